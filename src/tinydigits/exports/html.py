"""HTML: one file that opens from disk, a page to draw on that reads digits by itself, in plain JavaScript."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import weakref
from pathlib import Path

import numpy as np

import tinydigits.page
from tinydigits.errors import TinydigitsError
from tinydigits.exports.onnx import model_proto
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, NotAsked, TooLarge, Trained
from tinydigits.page import assemble, network_of

__all__ = ["FORMAT", "MAX_BYTES", "load", "write"]

MAX_BYTES = 200_000

_ASK = Path(tinydigits.page.__file__).with_name("ask.js")


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.html`, the drawing page with the model inside: nothing is loaded from anywhere.

    Raises TooLarge for a model that needs more than 200,000 bytes, TinydigitsError for operations that the page does
    not have.
    """
    text = assemble([network_of(model_proto(trained).SerializeToString(), trained.stem)])
    num_bytes = len(text.encode("utf-8"))
    if num_bytes > MAX_BYTES:
        raise TooLarge(
            "export html", "the page would be too large", got=f"{num_bytes:,} bytes", expected=f"at most {MAX_BYTES:,}"
        )
    return trained.write(folder / f"{trained.stem}.html", text)


def load(path: Path) -> Answer:
    """Ask the page's script, with the model that is in the page, in a process of Node; raises NotAsked without Node."""
    node = shutil.which("node")
    if node is None:
        raise NotAsked(str(path), "Node, which asks the page, is not installed", hint="apt install nodejs")
    num_classes = len(_classes(path))
    command = [node, "-e", _ASK.read_text("utf-8"), str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    to_node, from_node = process.stdin, process.stdout
    assert to_node is not None and from_node is not None

    def answer(images_NHW: np.ndarray) -> np.ndarray:
        num = len(images_NHW)
        to_node.write(num.to_bytes(4, "little") + images_NHW.tobytes())
        to_node.flush()
        content = from_node.read(4 * num * num_classes)
        if len(content) < 4 * num * num_classes:
            raise TinydigitsError(str(path), "the page's script failed in Node")
        return np.frombuffer(content, "<f4").reshape(num, num_classes)

    weakref.finalize(answer, _stop, process)  # when nobody can ask it any more
    return answer


def _classes(path: Path) -> list[str]:
    form = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text(encoding="utf-8"), re.S)
    assert form is not None  # `write` puts it there
    classes: list[str] = json.loads(form[1])[0]["classes"]
    return classes


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    process.wait()


FORMAT = Format(write, load)
