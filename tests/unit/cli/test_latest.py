"""`latest` is the newest run in every command that takes a run, whatever stands in its folder under this name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinydigits import pretrained
from tinydigits.cli.main import app

PICTURE = Path(__file__).parents[2] / "pictures" / "0_plain_0.png"
OLD, NEW = "20260103_000000_digits_s0", "20260102_000000_digits_s1"  # by their names the new one is older


def run_of(name: str, start: str) -> None:
    """A finished run in `runs`, its ONNX file with it."""
    folder = Path("runs", name)
    shutil.copytree(pretrained.find("gap-cnn-tuned").folder, folder, ignore=shutil.ignore_patterns("verdict.json"))
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    (folder / "record.json").write_text(json.dumps(record | {"started_at": start}), encoding="utf-8")


@pytest.fixture(params=["nothing", "a link to the old run", "a copy of the old run"])
def stands_there(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(OLD, "2026-01-02T03:04:05.000+00:00")
    run_of(NEW, "2026-01-02T03:04:05.001+00:00")
    if "link" in request.param:
        Path("runs", "latest").symlink_to(OLD)
    elif "copy" in request.param:
        shutil.copytree(Path("runs", OLD), Path("runs", "latest"))
    Path("small.toml").write_text("[model.parameters]\nmax = 9_274\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("verify --contract small.toml", f"{NEW} against small: holds"),
        ("verify runs/latest --contract small.toml", f"{NEW} against small: holds"),
        ("verify latest --contract small.toml", f"{NEW} against small: holds"),
        ("verify runs/latest/gap-cnn-tuned.onnx --contract small.toml", "gap-cnn-tuned.onnx against small: holds"),
        ("export card", f"runs/{NEW}/gap-cnn-tuned-card.md"),
        ("export latest card", f"runs/{NEW}/gap-cnn-tuned-card.md"),
        ("export runs/latest card", f"runs/{NEW}/gap-cnn-tuned-card.md"),
        ("train --resume runs/latest", f"runs/{NEW} is finished already"),
        ("train --resume latest", f"runs/{NEW} is finished already"),
        ("report", f"runs/{NEW}/report.md"),
        ("report latest", f"runs/{NEW}/report.md"),
        ("runs show", f"runs/{NEW}"),
        ("runs show runs/latest", f"runs/{NEW}"),
        (f"runs diff latest {OLD}", f"next: tinydigits verify runs/{NEW}"),
        (f"predict --model latest {PICTURE}", f"model: {NEW}"),
        (f"predict --model runs/latest {PICTURE}", f"model: {NEW}"),
    ],
)
def test_latest_is_the_newest_run(stands_there: None, command: str, says: str) -> None:
    old = Path("runs", OLD)
    before = sorted(old.iterdir())
    answer = CliRunner().invoke(app, command.split(), catch_exceptions=False, env={"COLUMNS": "200"})
    assert answer.exit_code == 0 and re.search(rf"(^|\W){re.escape(says)}", answer.output), answer.output
    assert sorted(old.iterdir()) == before  # nothing is written into the old one
    if Path("runs", "latest").is_dir():
        assert sorted(path.name for path in Path("runs", "latest").iterdir()) == [path.name for path in before]
