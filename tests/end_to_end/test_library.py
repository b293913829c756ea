"""The Python face as its users have it: from the wheel, in an empty folder, under a strict type checker."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import tinydigits as td
from tests.end_to_end.conftest import Environment

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
PICTURE = Path(__file__).parents[1] / "pictures" / "0_plain_0.png"
A_USERS_FILE = """
from pathlib import Path
import numpy as np
import torch
import tinydigits as td
net: torch.nn.Module = td.load("frontier-600")
verdict: td.Verdict = td.verify(net, {"model": {"parameters": {"max": 600}}})
figure: str = verdict.findings["model.parameters"].measured
run: td.Run = td.train("digits", epochs=1, set={"optimizer.lr": 0.01}, callbacks=[lambda row: row["epoch"] > 1])
run = td.resume(run)
labels: list[str] = [answer.label for answer in td.predict([np.zeros((28, 28), np.uint8), Path("0.png")])]
written: list[Path] = [file.path for file in td.export(run, "onnx", "c")]
macs: int = td.summary(net).macs
names: list[str] = [model.name for model in td.list_models()]
contract: td.Contract = td.Contract(name="mine", model={"parameters": {"max": 600}})
recipe: type[td.Recipe] = td.Recipe
version: str = td.__version__
print(labels, figure, version)
"""


def test_a_users_file_with_every_public_name_is_typed_and_runs(installed: Environment, tmp_path: Path) -> None:
    assert [name for name in td.__all__ if f"td.{name}" not in A_USERS_FILE] == []
    (tmp_path / "mine.py").write_text(A_USERS_FILE, encoding="utf-8")
    shutil.copy(PICTURE, tmp_path / "0.png")
    for command in (["-m", "mypy", "--strict", "--config-file=", "mine.py"], ["mine.py"]):
        done = subprocess.run(
            [installed.python, *command], cwd=tmp_path, env=installed.variables(), capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("['0'] 555 0.1.0"), done.stdout


class Client(NotebookClient):
    """Runs a notebook, and keeps what each cell shows on the way to its last output."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        self.shown.append((msg["header"]["msg_type"], msg["content"].get("data", {})))
        return super().process_message(msg, cell, cell_index)


def test_the_notebook_runs_from_top_to_bottom_with_a_live_bar(installed: Environment, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    committed = [kinds(cell) for cell in code]
    kernel = AsyncKernelManager(kernel_name="python3")
    kernel.kernel_spec.argv[0] = str(installed.python)
    client = Client(notebook, km=kernel, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.shown = []
    client.execute(env=installed.variables(IPYTHONDIR=str(installed.folder / "ipython")))
    assert [kinds(cell) for cell in code] == committed, "tools/notebook writes its outputs anew"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "exported"}
    bars = [data["text/html"] for kind, data in client.shown if kind == "update_display_data"]
    bars = [bar.partition("</pre>")[2] for bar in bars]
    moving = list(filter(None, bars))
    assert len(set(moving)) > 3 and moving[0].startswith("<progress value=") and "images/s" in moving[0]
    assert bars[-1] == "" and "<progress" not in str(code[1].outputs), "it goes when the training ends"


def kinds(cell: Any) -> list[object]:
    """What each output of a cell is."""
    kinds = [(output.output_type, sorted(output.get("data", {}))) for output in cell.outputs]
    return [kind for number, kind in enumerate(kinds) if kind[0] != "stream" or kind not in kinds[:number]]
