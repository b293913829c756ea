"""The pictures themselves: what is drawn where, and that no text runs into another or out of the picture."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tinydigits.report.confusion import draw_confusion
from tinydigits.report.curves import Line, draw_curves
from tinydigits.report.sheets import Mistakes, draw_augmented, draw_mistakes
from tinydigits.report.style import png_bytes

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGITS = tuple("0123456789")
BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def pixels_of(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB")).astype(int)


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - np.array(colour)).sum(axis=2) < 12).sum())


def assert_text_is_readable(figure: Figure) -> None:
    """Every text stands inside the picture and none over another."""
    figure.canvas.draw()
    boxes = []
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text() and text.get_visible():
            boxes.append((text.get_text(), text.get_window_extent()))
    whole = figure.bbox
    for name, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, f"{name} sticks out"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Boxes hold room for letters that go below the line, so a point of overlap is none to the eye.
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width <= 2 or height <= 2, f"{one} runs into {other}"


def confusion(num_classes: int, *mistakes: tuple[int, int, int], right: int = 980) -> np.ndarray:
    counts = np.diag(np.full(num_classes, right))
    for label, answer, number in mistakes:
        counts[label, answer] = number
    return counts


@pytest.mark.parametrize(
    "names",
    [
        DIGITS,
        FASHION,
        ("cat", "dog"),
        ("only",),
        ("a name that is much longer than anybody would want", "$x_1$", "お茶"),
        tuple(f"class {i}" for i in range(47)),
        tuple(str(i) for i in range(120)),
    ],
    ids=["digits", "fashion", "two", "one", "odd", "47", "120"],
)
def test_confusion_is_readable_with_any_classes(names: tuple[str, ...]) -> None:
    figure = draw_confusion("recipe, seed 0: set test", "9 of 10 right", confusion(len(names)), names)
    assert_text_is_readable(figure)


def test_confusion_shows_a_single_mistake_and_counts_per_class() -> None:
    clean = draw_confusion("", "", confusion(10), DIGITS)
    marked = draw_confusion("", "", confusion(10, (4, 9, 1)), DIGITS)
    differing = np.abs(pixels_of(clean) - pixels_of(marked)).sum(axis=2) > 0
    assert differing.sum() > 72 * 72 * 0.9  # the whole cell changed its colour
    texts = [text.get_text() for text in marked.findobj(Text) if isinstance(text, Text)]
    assert texts.count("980") == 10
    assert f"{100 * 980 / 981:.2f}" in texts  # recall of 4, precision of 9
    assert texts.count("100.00") == 18


def test_worse_mistakes_are_darker() -> None:
    figure = draw_confusion("", "", confusion(10, (0, 1, 1), (0, 2, 5), (0, 3, 20)), DIGITS)
    image = next(axes.images[0] for axes in figure.axes if axes.images)
    colours = np.asarray(image.get_array())[0]
    brightness = colours.sum(axis=1)
    assert brightness[4] > brightness[1] > brightness[2] > brightness[3]


def test_class_without_images_has_no_rate() -> None:
    counts = confusion(3, right=5)
    counts[1, 1] = 0
    figure = draw_confusion("", "", counts, ("a", "b", "c"))
    assert [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)].count("–") == 2


def mistakes(num: int, num_classes: int = 10) -> Mistakes:
    rng = np.random.default_rng(0)
    return Mistakes(
        rng.integers(0, 256, (num, 28, 28)).astype(np.uint8),
        np.arange(num) % num_classes,
        (np.arange(num) + 1) % num_classes,
        np.linspace(1, 0.3, num),
    )


@pytest.mark.parametrize("names", [DIGITS, FASHION], ids=["digits", "fashion"])
@pytest.mark.parametrize("num", [0, 1, 9, 40, 64])
def test_mistakes_are_readable(names: tuple[str, ...], num: int) -> None:
    figure = draw_mistakes("recipe, seed 0: set test", "9 of 10 right", mistakes(num), names)
    assert_text_is_readable(figure)


def test_mistakes_are_drawn_pixel_by_pixel_with_label_and_answer() -> None:
    some = mistakes(9)
    figure = draw_mistakes("", "", some, DIGITS)
    pixels = pixels_of(figure)
    first = pixels[110 : 110 + 140, 40 : 40 + 140]
    assert (first[2::5, 2::5] == some.images_NHW[0][..., None]).all()
    texts = [text.get_text() for text in figure.texts]
    assert "0 → 1" in texts and "8 → 9" in texts and "30.0 %" in texts
    assert "99.99 %" in texts and "100.0 %" not in texts  # a mistake was not certain


def test_no_mistakes_is_said() -> None:
    assert "No mistakes." in [text.get_text() for text in draw_mistakes("", "", mistakes(0), DIGITS).texts]


def test_augmented_images_stand_over_their_labels() -> None:
    some = mistakes(64)
    figure = draw_augmented("title", "affine", some.images_NHW, some.labels_N, FASHION)
    assert_text_is_readable(figure)
    assert (pixels_of(figure)[111:194:3, 41:124:3] == some.images_NHW[0][..., None]).all()


def curves(*, validation: bool = True, epochs: int = 5, noisy: bool = False, last: float = 0.99) -> Figure:
    rows = 200 if noisy else epochs
    seen = [(row + 1) * epochs * 1000 / rows for row in range(rows)]
    accuracy = [*(0.5 + 0.4 * row / rows for row in range(rows - 1)), last]
    held_out = [Line("validation", seen[-1:], [0.1])], [Line("validation", seen[-1:], [last], 100)]
    return draw_curves(
        "recipe on set, seed 0", "model, 9,274 parameters",
        loss=[Line("train", seen, [2 / (row + 1) for row in range(rows)], noisy=noisy), *held_out[0][:validation]],
        accuracy=[Line("train", seen, accuracy, 1000, noisy=noisy), *held_out[1][:validation]],
        lr=Line("learning rate", seen, [0.01] * rows), num_train=1000, end=epochs * 1000,
    )  # fmt: skip


@pytest.mark.parametrize("options", [{"epochs": 1}, {"epochs": 40}, {"noisy": True}, {"last": 1.0}, {"last": 0.98999}])
def test_curves_are_readable(options: dict[str, float]) -> None:
    assert_text_is_readable(curves(**options))  # type: ignore[arg-type]


def test_curves_have_a_line_for_validation_only_where_there_is_one() -> None:
    assert count(pixels_of(curves(validation=True)), ORANGE) > 50
    without = pixels_of(curves(validation=False))
    assert count(without, ORANGE) == 0 and count(without, BLUE) > 500


def test_ends_are_named_with_their_figures() -> None:
    texts = [text.get_text() for text in curves(last=0.9876).findobj(Text) if isinstance(text, Text)]
    assert "train 98.76 %" in texts and "validation 98.76 %" in texts and "validation 0.100" in texts


def test_all_right_has_its_place_and_name() -> None:
    panel = curves(last=1.0).axes[1]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert "100 %" in names
    places = panel.get_lines()[0].get_ydata()
    assert np.isfinite(np.asarray(places)).all()


def test_noisy_line_is_named_by_its_mean() -> None:
    line = Line("train", range(100), [0.0, 1.0] * 50, noisy=True)
    assert line.trend[0] == 0.0 and 0.4 < line.trend[50] < 0.6 and 0.4 < line.trend[-1] < 0.6
    assert Line("train", [1, 2], [0.0, 1.0]).trend == [0.0, 1.0]


@pytest.mark.parametrize("has_folder", [False, True], ids=["new", "user of matplotlib"])
def test_the_list_of_fonts_is_in_the_cache_unless_the_user_has_a_folder(tmp_path: Path, has_folder: bool) -> None:
    settings = tmp_path / "home" / ".config" / "matplotlib" / "matplotlibrc"
    if has_folder:
        settings.parent.mkdir(parents=True)
        settings.write_text("lines.linewidth: 7\n", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    program = "import os, tinydigits.report, matplotlib as m; print(m.rcParams['lines.linewidth'], dict(os.environ))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=kept | {"HOME": str(tmp_path / "home"), "TINYDIGITS_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.stdout.startswith("7.0" if has_folder else "1.5") and "MPLCONFIGDIR" not in done.stdout
    (written,) = tmp_path.rglob("fontlist-*.json")
    assert written.relative_to(tmp_path).parts[0] == ("home" if has_folder else "cache")
