"""Every registered model, as an ONNX file; Node, which runs the page's code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tinydigits.page
from tinydigits import models
from tinydigits.exports.onnx import model_proto
from tinydigits.exports.trained import Trained
from tinydigits.models import WeightsCard

ROOM = Path(tinydigits.page.__file__).parent


@pytest.fixture(scope="session")
def node(nodejs: str) -> Any:
    """A function that runs JavaScript on the page's modules with JSON as `given`, and gives what it returns."""

    def run(body: str, given: Any) -> Any:
        script = (
            f"const picture = require({str(ROOM / 'picture.js')!r}), network = require({str(ROOM / 'network.js')!r});"
            "const given = JSON.parse(require('fs').readFileSync(0));"
            f"console.log(JSON.stringify((() => {{ {body} }})()));"
        )
        done = subprocess.run(
            [nodejs, "-e", script], input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


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
