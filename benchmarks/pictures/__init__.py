"""The test pictures, and how many of them the shipped models read.

`make` writes tests/pictures/: four pictures of each scene, a digit's name in each file's name. `score` asks a model for
a fresh set. `compare` asks every shipped model for both hands' pictures, and for letters and signs that are no digits;
docs/picture.md has the table. `sheet` writes docs/picture.png, the steps from a picture to 28×28.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from benchmarks.pictures.scenes import FONTS, SCENES, find_font, make_picture
from benchmarks.protocol import DOCS, RESULTS, ROOT, read_rows, write_rows
from benchmarks.provenance import files_sha256, short, stamp
from tinydigits import pretrained
from tinydigits.data.picture import find_digits, read_picture
from tinydigits.data.picture.ink import find_ink
from tinydigits.figures import percent
from tinydigits.prediction import DEFAULT, Classifier, classify_picture, open_model
from tinydigits.report.text import table

FOLDER = ROOT / "tests" / "pictures"
FILE = RESULTS / "pictures.json"
NO_DIGITS = "ABCDEFGHKLMNPQRTUVWXYZabdefghkmnpqrtwxy&%@#?+*="
_SEED, _PER_SCENE, _CELL = 28, 4, 124
_PICTURES = ["tests/pictures", "benchmarks/pictures/scenes.py", "benchmarks/pictures/strokes.py"]
_COMPARED = {"seed": 2, "per_digit": 10}  # 1,900 pictures: with 380 the models are too close to tell apart


def make() -> None:
    """Write tests/pictures/ anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    rng = np.random.default_rng(_SEED)
    for index, (name, scene) in enumerate(SCENES.items()):
        for number in range(_PER_SCENE):
            digit = (index * _PER_SCENE + number) % 10
            content = make_picture(digit, scene, "right", rng)
            (FOLDER / f"{digit}_{name}_{number}{scene.suffix}").write_bytes(content)


def sheet() -> None:
    """Write docs/picture.png: a row for each of some pictures; the picture, its ink, what the model sees."""
    names = ["lamp", "shadow", "color", "ghost", "noisy", "thin", "thick"]
    canvas = Image.new("RGB", (_CELL * len(names), 3 * _CELL), (120, 120, 128))
    for column, name in enumerate(names):
        path = sorted(FOLDER.glob(f"*_{name}_*"))[0]
        picture_HW4 = read_picture(path).pixels_HW4
        shown = Image.new("RGBA", picture_HW4.shape[1::-1], (120, 120, 128, 255))
        shown.alpha_composite(Image.fromarray(picture_HW4))
        steps = [shown.convert("RGB"), Image.fromarray(find_ink(picture_HW4).gray_HW),
                 Image.fromarray(find_digits(picture_HW4)[0].image_HW)]  # fmt: skip
        for row, step in enumerate(steps):
            scale = (_CELL - 8) / max(step.size)
            how = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BOX
            step = step.resize((round(step.width * scale), round(step.height * scale)), how)
            corner = (column * _CELL + (_CELL - step.width) // 2, row * _CELL + (_CELL - step.height) // 2)
            canvas.paste(step.convert("RGB"), corner)
    info = PngInfo()
    info.add_text("Description", files_sha256("tests/pictures"))
    canvas.quantize(64).save(DOCS / "picture.png", optimize=True, pnginfo=info)


def score(model: str | None = None, hand: str = "left", per_digit: int = 2, seed: int = 1) -> None:
    """Print how many of fresh pictures a model gets right, scene by scene, and how well its probabilities tell.

    Those of the hand `left` are to tune on; what is claimed is of tests/pictures, of the other hand's forms and fonts.
    """
    classifier = open_model(model)
    rng = np.random.default_rng(seed)
    right, unsure, wrong_and_sure, seen = Counter[str](), 0, 0, 0
    confidence, correct = [], []
    for name, scene in SCENES.items():
        mistakes = []
        for digit in list(range(10)) * per_digit:
            answers = list(classify_picture(make_picture(digit, scene, hand, rng), classifier))
            label = answers[0].label if answers else "none"
            probability = answers[0].probability if answers else 0.0
            is_right = label == str(digit)
            right[name] += is_right
            seen += 1
            unsure += probability < classifier.unsure_below
            wrong_and_sure += not is_right and probability >= classifier.unsure_below
            confidence.append(probability)
            correct.append(is_right)
            if not is_right:
                mistakes.append(f"{digit} as {label} ({percent(probability, 0)})")
        print(f"{name:12} {right[name]:3} of {10 * per_digit}  {', '.join(mistakes)}", flush=True)
    total = sum(right.values())
    print(f"{classifier.name}: {total} of {seen} right ({percent(total / seen)}), {unsure} unsure, ", end="")
    error = calibration_error(np.array(confidence), np.array(correct))
    print(f"{wrong_and_sure} wrong and sure, calibration error {error:.3f}")


def compare() -> None:
    """Ask every shipped model for the tuning pictures, for those of tests/pictures, and for what is no digit."""
    rng = np.random.default_rng(_COMPARED["seed"])
    tuning = [
        (make_picture(digit, scene, "left", rng), digit)
        for scene in SCENES.values() for digit in list(range(10)) * _COMPARED["per_digit"]
    ]  # fmt: skip
    test = [(path.read_bytes(), int(path.name[0])) for path in sorted(FOLDER.iterdir())]
    sets = {"tuning": _seen(tuning), "test": _seen(test), "no digit": _seen([(one, -1) for one in make_no_digits()])}
    models: dict[str, Any] = {}
    for name in pretrained.names():
        classifier = open_model(name)
        asked = {key: ask(classifier, *found) for key, found in sets.items()}
        models[name] = {"unsure_below": classifier.unsure_below, "sets": asked}
    measured = stamp(weights=pretrained.names(), files=_PICTURES)
    write_rows(FILE, {**measured, "default": DEFAULT, **_COMPARED, "models": models})
    print("next: make docs")


def part() -> str:
    """The part of docs/picture.md: what `compare` counted, the model that is best on the tuning pictures first."""
    rows = read_rows(FILE)
    cells, weights = [], rows["measured_on"]["weights"]
    for name, model in sorted(rows["models"].items(), key=lambda item: -item[1]["sets"]["tuning"]["right"]):
        tuning, test, other = (model["sets"][key] for key in ("tuning", "test", "no digit"))
        cells.append([
            f"`{name}`{' (default)' * (name == rows['default'])}", f"`{short(weights[name])}`",
            *(f"{row['right']} of {row['seen']}" for row in (tuning, test)),
            tuning["wrong_and_sure"] + test["wrong_and_sure"], f"{model['unsure_below']:.2f}",
            percent(1 - tuning["unsure"] / tuning["seen"], 1), percent(other["unsure"] / other["seen"], 0),
        ])  # fmt: skip
    header = ["model", "weights", "tuning pictures", "test pictures", "wrong and sure", "unsure below",
              "tuning pictures above it", "letters below it"]  # fmt: skip
    return f"{table(header, cells)}\n\nMeasured on {rows['measured_at']}."


def make_no_digits() -> list[np.ndarray]:
    """Letters and signs that no hand takes for a digit, in the tuning fonts: uint8 (200, 200, 4) each."""
    pictures = []
    for name in FONTS["left"]:
        for sign in NO_DIGITS:
            picture = Image.new("RGBA", (200, 200), (255, 255, 255, 255))
            font = ImageFont.truetype(find_font(name), 120)
            ImageDraw.Draw(picture).text((100, 100), sign, fill=(0, 0, 0, 255), font=font, anchor="mm")
            pictures.append(np.asarray(picture))
    return pictures


def _seen(pictures: Sequence[tuple[Any, int]]) -> tuple[np.ndarray, np.ndarray]:
    """The 28×28 of each picture (N, 28, 28) and its digit (N,); where no ink is found, an empty image."""
    images, digits = [], []
    for picture, digit in pictures:
        found = find_digits(picture if isinstance(picture, np.ndarray) else read_picture(picture).pixels_HW4)
        images.append(found[0].image_HW if found else np.zeros((28, 28), np.uint8))
        digits.append(digit)
    return np.stack(images), np.array(digits)


def ask(classifier: Classifier, images_NHW: np.ndarray, digits_N: np.ndarray) -> dict[str, int]:
    """How many a model was shown, got right, was unsure of, and got wrong without being unsure."""
    probability_NK = classifier.probabilities(images_NHW)
    is_right_N = probability_NK.argmax(axis=1) == digits_N
    is_unsure_N = probability_NK.max(axis=1) < classifier.unsure_below
    return {
        "seen": len(digits_N), "right": int(is_right_N.sum()), "unsure": int(is_unsure_N.sum()),
        "wrong_and_sure": int((~is_right_N & ~is_unsure_N).sum()),
    }  # fmt: skip


def calibration_error(probability_N: np.ndarray, is_right_N: np.ndarray, num_bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap between probability and accuracy, in equal bins."""
    bin_N = np.minimum((probability_N * num_bins).astype(int), num_bins - 1)
    gaps = [
        abs(float(probability_N[bin_N == b].mean()) - float(is_right_N[bin_N == b].mean())) * float((bin_N == b).mean())
        for b in np.unique(bin_N)
    ]
    return sum(gaps)


COMMANDS = (make, score, compare, sheet)
