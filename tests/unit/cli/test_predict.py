"""`tinydigits predict` over what people give it: words, names, pipes; what it writes for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinydigits import pretrained
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError

PICTURES = Path(__file__).parents[2] / "pictures"
THREE, FIVE, SEVEN = (next(PICTURES.glob(name)) for name in ("3_plain_*", "5_photo_*", "7_print_*"))


def run(*words: object, stdin: bytes | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["predict", *map(str, words)], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures, what is hidden, what is none: a folder as a phone and a laptop leave it."""
    for name, source in (
        ("scans/a.png", THREE), ("scans/deep down/b ü 日本.JPG", FIVE), ("scans/.thumbnails/a.png", THREE),
        ("scans/._a.png", THREE), ("scans/seven.dat", SEVEN), ("scans/notes.txt", None), ("empty/notes.txt", None),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if source:
            shutil.copy(source, tmp_path / name)
        else:
            (tmp_path / name).write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("word", ["scans", "sc*", "scans/*", "scans/**", "*"])
def test_a_folder_and_a_glob_that_no_shell_expanded_stand_for_the_pictures_in_them(word: str, folder: Path) -> None:
    code, text, _ = run(word, "--json")
    answers = json.loads(text)
    assert code == 0
    assert [(one["source"], one["class"]) for one in answers] == [
        ("scans/a.png", "3"), ("scans/deep down/b ü 日本.JPG", "5"),
    ]  # fmt: skip


def test_a_file_that_is_named_is_read_whatever_it_is_called(folder: Path) -> None:
    shutil.copy(SEVEN, "a[1].png")
    for name in ("scans/seven.dat", "scans/._a.png", "a[1].png"):
        code, text, _ = run(name, "--json")
        assert code == 0 and json.loads(text)[0]["class"] == ("3" if "._" in name else "7")


def test_every_word_that_stands_for_nothing_is_named_and_the_others_are_answered(folder: Path) -> None:
    Path("zero.png").touch()
    Path("bad.png").write_bytes(b"no picture")
    words = ["nowhere.png", "empty", "scans/*.dat", "", "x" * 300, "zero.png", "bad.png", "scans/a.png"]
    code, text, complaints = run(*words)
    assert code == 2
    assert [line.split()[:2] for line in text.splitlines()[1:]] == [["scans/a.png", "3"], ["model:", "gap-cnn-tuned"]]
    for reason in (
        "nowhere.png: no such file or folder", "empty: no picture in this folder", "'': no such file or folder",
        "*.dat: no picture among what it matches", "xxx: no such file", "zero.png: is empty", "bad.png: not a picture",
    ):  # fmt: skip
        assert reason in complaints
    assert complaints.count("error:") == 7
    code, text, _ = run("nowhere.png")
    assert (code, text) == (2, "")


def test_a_file_given_twice_is_answered_twice(folder: Path) -> None:
    assert [one["class"] for one in json.loads(run(THREE, SEVEN, THREE, "--json")[1])] == ["3", "7", "3"]


def test_standard_input_is_read_once_and_beside_files(folder: Path) -> None:
    code, text, _ = run("-", SEVEN, "--json", stdin=THREE.read_bytes())
    assert code == 0 and [(one["source"], one["class"]) for one in json.loads(text)] == [("-", "3"), (str(SEVEN), "7")]
    code, text, complaints = run("-", stdin=b"")
    assert (code, text) == (2, "") and "is empty" in complaints
    with pytest.raises(TinydigitsError, match="can be read once"):
        run("-", "-", stdin=THREE.read_bytes())


def test_pipes_are_read_as_a_shell_gives_them(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tinydigits predict <(cat '{THREE}') - --csv < <(cat '{SEVEN}')"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert [row["class"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["3", "7"]


def test_any_name_is_one_line_of_the_table_and_comes_back_from_json(tmp_path: Path) -> None:
    names = ["two\nlines.png", "red \x1b[31m.png", os.fsdecode(b"latin \xfc.png"), "日本.png"]
    for name in names:
        shutil.copy(SEVEN, tmp_path / name)
    (tmp_path / "bad\n.png").touch()
    call = [sys.executable, "-m", "tinydigits", "predict", str(tmp_path)]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    table = subprocess.run(call, capture_output=True, env=strict, check=False)
    assert table.returncode == 2
    lines = table.stdout.decode("utf-8").splitlines()
    assert len(lines) == len(names) + 2 and all(" 7 " in line for line in lines[1:-1])
    assert b"\x1b" not in table.stdout and rb"bad\n.png: is empty" in table.stderr
    answers = json.loads(subprocess.run([*call, "--json"], capture_output=True, env=strict, check=False).stdout)
    assert {Path(one["source"]).name for one in answers} == set(names)


def test_json_and_csv_have_the_same_rows_with_or_without_ink(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "white").save(tmp_path / "blank.png")
    cross = np.full((100, 100), 255, np.uint8)
    cross[45:55, 5:95] = cross[5:95, 45:55] = 0
    Image.fromarray(cross).save(tmp_path / "cross.png")
    words = [THREE, tmp_path / "blank.png", tmp_path / "cross.png"]
    answers = json.loads(run(*words, "--json")[1])
    rows = list(csv.DictReader(io.StringIO(run(*words, "--csv")[1])))
    assert [one.keys() for one in answers] == [answers[0].keys()] * 3
    assert [one["class"] for one in answers][:2] == ["3", None] and [one["unsure"] for one in answers][::2] == [
        False,
        True,
    ]
    for answer, row in zip(answers, rows, strict=True):
        assert row["source"] == answer["source"] and row["class"] == (answer["class"] or "")
        assert row["unsure"] == ("" if answer["class"] is None else str(answer["unsure"]).lower())
        box = [row[side] for side in ("left", "top", "width", "height")]
        assert box == ([""] * 4 if answer["box"] is None else list(map(str, answer["box"])))


def test_show_adds_what_the_model_saw_to_json_and_csv_has_no_place_for_it() -> None:
    [answer] = json.loads(run(THREE, "--show", "--json")[1])
    image_HW = np.array(answer["image"])
    assert image_HW.shape == (28, 28) and image_HW.max() > 200
    assert "image" not in json.loads(run(THREE, "--json")[1])[0]
    with pytest.raises(TinydigitsError, match="--csv and --show"):
        run(THREE, "--show", "--csv")


def test_several_digits_read_as_one_are_said_to_look_like_it(row_of_467: Path) -> None:
    assert "looks like 3 digits: --many reads each" in run(row_of_467)[1]
    assert "looks like" not in run(row_of_467, "--many")[1]


def test_the_model_of_a_run_is_the_one_that_is_not_quantised_and_goes_by_the_runs_name(tmp_path: Path) -> None:
    run_folder = Path(shutil.copytree(pretrained.find("sprint").folder, tmp_path / "runs" / "mine"))
    # Sorted by name, the quantised file would come first.
    shutil.copy(pretrained.find("dash-99").onnx, run_folder / "sprint-int8.onnx")
    expected = json.loads(run(THREE, "--model", "sprint", "--json")[1])
    for words in (["--model", run_folder], ["--model", "mine", "--out", tmp_path / "runs"]):
        assert json.loads(run(THREE, *words, "--json")[1]) == expected
        assert "model: mine" in run(THREE, *words)[1]
    (run_folder / "sprint.onnx").unlink()
    assert json.loads(run(THREE, "--model", run_folder, "--json")[1]) != expected


def test_the_first_answer_is_written_before_the_last_picture_is_read(tmp_path: Path) -> None:
    """Of a folder with thousands of pictures, or of one that is still being written, in a pipe."""
    os.mkfifo(tmp_path / "late.png")
    for form in ([], ["--csv"]):
        call = [sys.executable, "-m", "tinydigits", "predict", str(THREE), str(tmp_path / "late.png"), *form]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        head, first = process.stdout.readline(), process.stdout.readline()  # the last picture is not there yet
        assert "class" in head and THREE.name in first
        (tmp_path / "late.png").write_bytes(SEVEN.read_bytes())
        rest = process.communicate()[0]
        assert "late.png" in rest and process.returncode == 0


def test_one_verb_is_made_and_no_other() -> None:
    """Making all of them takes a fifth of the time of `predict`."""
    code = (
        "import sys\nfrom tinydigits.cli import main\n"
        f"sys.argv = ['tinydigits', 'predict', {str(THREE)!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(*[name for name in sys.modules if name.startswith('tinydigits.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert modules == ["tinydigits.cli.streams", "tinydigits.cli.main", "tinydigits.cli.predict"]
