"""The pictures of tests/pictures, degraded as people's are, read by the whole command with the default model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PICTURES = Path(__file__).parents[1] / "pictures"


def test_at_least_97_of_100_pictures_are_read_right() -> None:
    """`python -m benchmarks.pictures make` made them; nothing was tuned on them."""
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
