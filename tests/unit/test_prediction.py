"""From words on the command line to answers: what is read, what is asked, and what is said of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinydigits import data, models, prediction, pretrained
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError

PICTURES = Path(__file__).parents[1] / "pictures"
SEVEN = next(PICTURES.glob("7_*"))


def run(*words: object, stdin: bytes | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["predict", *map(str, words)], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.fixture
def one_of_each(tmp_path: Path) -> Path:
    for name in ("3_plain_3.png", "5_photo_1.jpg", "0_thick_2.webp"):
        found = next(PICTURES.glob(f"{name[0]}_{name.split('_')[1]}_*"))
        shutil.copy(found, tmp_path / found.name)
    return tmp_path


def test_files_folders_globs_and_standard_input_are_read(one_of_each: Path) -> None:
    files = sorted(map(str, one_of_each.iterdir()))
    assert prediction.pictures_in(str(one_of_each)) == files
    assert prediction.pictures_in(str(one_of_each / "*.jpg")) == [file for file in files if file.endswith(".jpg")]
    assert prediction.pictures_in(files[0]) == files[:1] and prediction.pictures_in("-") == ["-"]
    code, text = run(one_of_each, "-", "--json", stdin=next(PICTURES.glob("8_*")).read_bytes())
    answers = json.loads(text)
    assert code == 0
    assert [answer["class"] for answer in answers] == [*(Path(file).name[0] for file in files), "8"]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-4 for answer in answers)
    assert all(answer["probability"] > answer["runner_up_probability"] for answer in answers)


def test_the_table_and_csv_say_the_same(one_of_each: Path) -> None:
    file = next(one_of_each.glob("5_*"))
    code, table = run(file)
    assert code == 0 and table.splitlines()[1].split()[1] == "5"
    header, row = run(file, "--csv")[1].splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["class"] == "5"


def test_show_draws_what_the_model_saw() -> None:
    _, text = run(next(PICTURES.glob("0_plain_*")), "--show")
    drawing = text.splitlines()[2:30]
    assert len(drawing) == 28 and any("@" in line for line in drawing)
    middle = drawing[14].rstrip()
    assert middle.count(" ") > 16  # the hole of the zero and the margin at its left


def test_many_reads_a_number(row_of_467: Path) -> None:
    answers = json.loads(run(row_of_467, "--many", "--json")[1])
    assert [answer["class"] for answer in answers] == ["4", "6", "7"]
    assert answers[0]["box"][0] < answers[1]["box"][0] < answers[2]["box"][0]


def test_a_blank_picture_has_no_class_and_a_scribble_gets_a_warning(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), (255, 255, 255)).save(tmp_path / "blank.png")
    [blank] = json.loads(run(tmp_path / "blank.png", "--json")[1])
    assert blank["source"] == str(tmp_path / "blank.png") and blank["class"] is None
    assert "nothing is written here" in run(tmp_path / "blank.png")[1]
    cross = np.full((100, 100), 255, np.uint8)
    cross[45:55, 5:95] = cross[5:95, 45:55] = cross[np.eye(100, dtype=bool)] = 0
    Image.fromarray(cross).save(tmp_path / "cross.png")
    assert "perhaps no digit" in run(tmp_path / "cross.png")[1]


def test_a_bad_file_among_good_ones_is_named_and_the_others_are_answered(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "bad.png"), str(next(PICTURES.glob("6_*")))])
    assert done.exit_code == 2
    assert "bad.png: not a picture" in done.stderr and "6_" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([SEVEN, "--model", "gap-cnn-tunde"], "gap-cnn-tuned"),
        ([SEVEN, "--model", "gone.onnx"], "no such model file"),
        ([SEVEN, "--json", "--csv"], "do not go together"),
    ],
)
def test_what_cannot_be_answered_says_why(
    words: list[object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TinydigitsError, match=reason):
        run(*words)


def test_a_damaged_model_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(TinydigitsError, match=r"bad\.onnx: not a readable ONNX file"):
        prediction.Classifier(tmp_path / "bad.onnx")


def test_a_run_with_an_exported_file_is_a_model(tmp_path: Path) -> None:
    shutil.copytree(pretrained.find(prediction.DEFAULT).folder, tmp_path / "runs" / "mine")
    assert "mine" in prediction.models_at_hand(tmp_path / "runs")
    assert prediction.open_model("mine", tmp_path / "runs").classes == tuple("0123456789")
    (tmp_path / "runs" / "mine" / f"{prediction.DEFAULT}.onnx").unlink()
    with pytest.raises(TinydigitsError, match="has no ONNX file"):
        prediction.open_model("mine", tmp_path / "runs")


@pytest.mark.parametrize("name", pretrained.names())
def test_the_onnx_file_of_the_package_answers_as_its_weights(name: str) -> None:
    """`python -m benchmarks collect pretrained RUN` writes both."""
    import torch

    from tinydigits.data.batches import normalise

    model, card = models.load_weights(pretrained.find(name).weights)
    images_NHW = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    with torch.inference_mode():
        expected_NK = model(normalise(torch.from_numpy(images_NHW), card.mean, card.std)).softmax(1).numpy()
    given_NK = prediction.open_model(name).probabilities(images_NHW)
    assert np.abs(given_NK - expected_NK).max() < 1e-4


def test_predict_starts_without_torch_pydantics_records_and_the_plotting_libraries() -> None:
    code = f"""
import sys
from tinydigits import prediction
list(prediction.classify_picture({str(SEVEN)!r}, prediction.open_model()))
heavy = ("torch", "pydantic", "scipy", "rich", "onnx", "sklearn")
print(*[name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def write_digits(folder: Path, kind: str) -> list[Path]:
    """scikit-learn's digits as pictures of 48×48, ten for training and two for testing a class; gives the latter."""
    train, test = data.load("digits", "train"), []
    for label in range(10):
        for number, at in enumerate(np.flatnonzero(train.labels_N == label)[:12]):
            ink = Image.new("L", (48, 48))
            ink.paste(Image.fromarray(train.images_NHW[at]).resize((42, 42)), (3, 3))
            paper = Image.eval(ink, lambda level: 255 - level)
            image = {"bright": ink, "dark": paper, "pen": Image.new("LA", ink.size)}
            image["pen"].putalpha(ink)
            is_train = number < 10 or kind == "val"
            path = folder / ("train" if is_train else "test") / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image["dark" if kind == "val" else kind].save(path)
            test += [path] if (number % 6 == 5 if kind == "val" else not is_train) else []
    if kind == "val":
        shutil.copytree(folder / "train", folder / "val")
    return test


@pytest.mark.filterwarnings("ignore::tinydigits.errors.DataWarning")  # of the set without a test folder
def test_predict_gives_the_answers_that_verify_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ink's colour: one model, trained on dark pictures, is asked for the test files of every set."""
    from tinydigits import exports, recipe
    from tinydigits.contract import Contract
    from tinydigits.training import train
    from tinydigits.verification import Request, prepare

    monkeypatch.chdir(tmp_path)
    files = {kind: write_digits(Path(kind), kind) for kind in ("dark", "bright", "pen", "val")}
    changes = ["data.source=./dark", "data.batch_size=20", "epochs=8"]
    run = train(recipe.load("two-conv", changes), out="runs")
    classifier = prediction.Classifier(exports.export(exports.of_run(run), "onnx", tmp_path).path)
    for kind, paths in files.items():
        limits = {"source": f"./{kind}", "split": "test", "min": 0.5, "bound": "point"}
        case = prepare(Request(target=run.folder, contract=Contract(name="own", accuracy=limits)))
        verdict = case.judge()
        [(images, counted)] = case.evaluations.values()
        answers = [answer for path in paths for answer in prediction.classify_picture(str(path), classifier)]
        assert [images.classes[label] for label in counted.predicted_N] == [answer.label for answer in answers], kind
        assert verdict.exit_code == 0 and len(answers) == 20
