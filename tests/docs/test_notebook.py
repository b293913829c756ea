"""The notebook as it is committed: with its outputs, small, and with nothing of the machine that it was run on."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
TO_DO = "tools/notebook runs it and writes it"


def test_the_notebook_is_committed_with_the_outputs_of_one_run_from_top_to_bottom() -> None:
    assert NOTEBOOK.stat().st_size < 1_000_000
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), TO_DO
    shown = [output for cell in code for output in cell.outputs]
    assert len(shown) > 15 and not [output for output in shown if output.output_type == "error"], TO_DO
    texts = []
    for output in shown:
        texts += [output.text] if output.output_type == "stream" else output.data.values()
    pictures = re.findall(r"base64,([\w+/=]+)", " ".join(texts))
    texts += [base64.b64decode(picture).decode("latin-1") for picture in pictures]
    for text in texts:
        words = re.sub(r"base64,[\w+/=]+|https?://\S+|</?\w+/?>", "", text)
        assert not re.search(r"(?<![\w.>])(/|[A-Za-z]:\\)(\w[\w.-]*[/\\])+\w", words), words
    assert len(pictures) > 10
