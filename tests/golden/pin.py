"""Pins what a refactoring must not change, so that before and after can be compared, on one machine, to the last bit.

    python tests/golden/pin.py > before.json      # then move code, and compare:
    python tests/golden/pin.py | diff before.json -
    python tests/golden/pin.py losses             # one part alone

Losses are those of 20 steps of every recipe; exports are the SHA-256 of each file of every shipped model; verdicts are
what `tinydigits verify` says of it, without figures that differ from run to run. Needs MNIST at hand; minutes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tinydigits import exports, pretrained, recipe
from tinydigits.verification import Request, verify

NUM_STEPS = 20
FORMATS = ("onnx", "onnx-int8", "c", "c-int8", "html", "card")
VOLATILE = ("latency", "memory")  # measured anew each time, and never alike


def losses_of(name: str) -> list[float]:
    """The losses of a recipe's first steps."""
    from test_losses import first_losses  # beside this script; pytest, which looks for examples here, does not see it

    return first_losses(name, NUM_STEPS)


def exports_of(name: str) -> dict[str, str]:
    """The SHA-256 of every file that a shipped model is exported to."""
    trained = exports.of_run(pretrained.find(name).run)
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            form = importlib.import_module(f"tinydigits.exports.{kind.replace('-', '_')}")
            try:
                hashes[kind] = hashlib.sha256(form.write(trained, Path(folder)).read_bytes()).hexdigest()
            except exports.TooLarge as error:
                hashes[kind] = str(error)
    return hashes


def verdict_of(name: str) -> list[dict[str, Any]]:
    """What is found of a shipped model, check by check."""
    tree = json.loads(verify(Request(target=name, threads=1)).to_json())
    kept = ("check", "status", "measured", "limit", "why", "advice", "value")
    return [
        {key: finding[key] for key in kept} for finding in tree["findings"]
        if not finding["check"].startswith(VOLATILE)
    ]  # fmt: skip


PARTS = {
    "losses": lambda: {name: losses_of(name) for name in recipe.names()},
    "exports": lambda: {name: exports_of(name) for name in pretrained.names()},
    "verdicts": lambda: {name: verdict_of(name) for name in pretrained.names()},
}


if __name__ == "__main__":
    json.dump({part: PARTS[part]() for part in sys.argv[1:] or PARTS}, sys.stdout, indent=1)
