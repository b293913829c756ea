"""Every registered model, as an ONNX file; Node and Chromium, which run the page's code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinydigits.page
from tinydigits import models
from tinydigits.export.onnx import model_proto
from tinydigits.export.trained import Trained
from tinydigits.models import WeightsCard

ROOM = Path(tinydigits.page.__file__).parent
# Chromium as a test needs it: no sandbox for root, and no word to the outside.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def absent(component: str, what: str) -> None:
    """Skip, or fail where `TINYDIGITS_REQUIRE` names the component."""
    if component in os.environ.get("TINYDIGITS_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required here and is not there")
    pytest.skip(f"{what} is not there")


@pytest.fixture(scope="session")
def node() -> Any:
    """A function that runs JavaScript on the page's modules with JSON as `given`, and gives what it returns."""
    program = shutil.which("node") or absent("node", "Node.js")

    def run(body: str, given: Any) -> Any:
        script = (
            f"const picture = require({str(ROOM / 'picture.js')!r}), network = require({str(ROOM / 'network.js')!r});"
            "const given = JSON.parse(require('fs').readFileSync(0));"
            f"console.log(JSON.stringify((() => {{ {body} }})()));"
        )
        done = subprocess.run(
            [str(program), "-e", script], input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or absent("chromium", "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every registered architecture with weights as initialised, and statistics that are not all zero and one."""
    import torch

    folder = tmp_path_factory.mktemp("onnx")
    found = {}
    for name in models.names():
        torch.manual_seed(7)
        model = models.build(name)
        with torch.no_grad():
            model(torch.rand(64, 1, 28, 28) * 3 - 0.4)  # in train mode: the running statistics move
        card = WeightsCard(model=name, source="mnist", classes=list("0123456789"), mean=0.1307, std=0.3081)
        found[name] = folder / f"{name}.onnx"
        found[name].write_bytes(model_proto(Trained(model.eval(), card, folder / name)).SerializeToString())
    return found
