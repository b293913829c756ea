"""The pictures of tests/pictures, degraded as people's are, read by the whole command with the default model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinydigits.data.picture import find_digits, read_picture
from tinydigits.prediction import open_model

PICTURES = Path(__file__).parents[1] / "pictures"


def test_at_least_97_of_100_pictures_are_read_right() -> None:
    """`python -m benchmarks pictures make` made them; nothing was tuned on them."""
    files = sorted(map(str, PICTURES.iterdir()))
    assert len(files) >= 60 and {Path(file).name[0] for file in files} == set("0123456789")
    done = subprocess.run(
        [sys.executable, "-m", "tinydigits", "predict", str(PICTURES), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = {answer["source"]: answer["class"] for answer in json.loads(done.stdout)}
    assert sorted(answers) == files
    wrong = {file: label for file, label in answers.items() if label != Path(file).name[0]}
    assert 100 * (len(files) - len(wrong)) >= 97 * len(files), wrong


@pytest.mark.parametrize(
    ("margin", "side"), [(0.0, None), (0.25, 16)], ids=["cropped to their ink", "of sixteen pixels"]
)
def test_digits_cut_out_close_and_tiny_ones_are_read_too(margin: float, side: int | None) -> None:
    """As people crop them, and as icons have them; `margin` is a share of the digit's longer side."""
    model, wrong = open_model(), []
    files = [file for file in sorted(PICTURES.iterdir()) if side is None or "_corner_" not in file.name]
    for file in files:
        pixels_HW4 = read_picture(file).pixels_HW4
        left, top, width, height = find_digits(pixels_HW4)[0].box
        rim = round(margin * max(width, height))
        cut = Image.fromarray(
            pixels_HW4[max(0, top - rim) : top + height + rim, max(0, left - rim) : left + width + rim]
        )
        if side:
            scale = side / max(cut.size)
            cut = cut.resize((round(cut.width * scale), round(cut.height * scale)), Image.Resampling.BOX)
        found = find_digits(np.asarray(cut))
        if not found or str(model.probabilities(found[0].image_HW[None])[0].argmax()) != file.name[0]:
            wrong.append(file.name)
    assert 100 * (len(files) - len(wrong)) >= 97 * len(files), wrong
