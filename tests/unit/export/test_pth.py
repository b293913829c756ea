"""The .pth export: the reference systems' file name and content."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from tinydigits import data, export, models, recipe
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import evaluate
from tinydigits.run import Run
from tinydigits.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = ["data.source=digits", "data.batch_size=64", "epochs=2", "data.validation=200"]
    return train(recipe.load("two-conv", settings), out=tmp_path_factory.mktemp("runs"))


def test_the_file_has_the_systems_name_and_answers_as_the_run_does(run: Run, tmp_path: Path) -> None:
    path = export.export(run, "pth", tmp_path / "new")
    result = run.record.result
    assert result is not None
    assert re.fullmatch(rf"digits_model_\d{{8}}_\d{{6}}_acc{100 * result.accuracy:.2f}\.pth", path.name)
    content = torch.load(path, weights_only=True)
    model: nn.Module = models.build("two-conv")
    model.load_state_dict(content["model_state_dict"])
    _, validation = data.hold_out(data.load("digits", "train"), 200)
    found = evaluate(model, validation.images_NHW, validation.labels_N, mean=0.1307, std=0.3081)
    assert content["validation_accuracy"] == content["accuracy"] == found.accuracy
    assert [row["epoch"] for row in content["history"]] == [1, 2]
    torch.optim.Adam(model.parameters()).load_state_dict(content["optimizer_state_dict"])


def test_an_unknown_format_and_an_unfinished_run_are_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match=r"unknown format 'pt'[^\n]*\n  try: pth"):
        export.export(run, "pt", tmp_path)
    copy = Run(tmp_path)
    copy.write_record(run.record.model_copy(update={"status": "interrupted"}))
    with pytest.raises(TinydigitsError, match=r"is not finished but interrupted\n  try: tinydigits train --resume"):
        export.export(copy, "pth", tmp_path)
