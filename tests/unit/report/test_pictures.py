"""The charts as files: what is drawn where, that no text runs into another, that they are read in light and dark."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinydigits.report.charts import augmented_sheet, confusion_chart, curves_chart, filters_sheet, mistakes_sheet
from tinydigits.report.kept import Curves, Line
from tinydigits.report.svg import Chart
from tinydigits.run import Mistakes

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGITS = tuple("0123456789")
SVG = "{http://www.w3.org/2000/svg}"

# Texts that reach over the edge, or two of them over each other: boxes hold room for letters below the line.
UNREADABLE = """() => {
  const texts = [...document.querySelectorAll("text")].map((node) => [node.textContent, node.getBoundingClientRect()]);
  const whole = document.documentElement.getBoundingClientRect(), found = [];
  texts.forEach(([name, a], index) => {
    if (a.left < 0 || a.top < 0 || a.right > whole.width || a.bottom > whole.height) found.push(name + " sticks out");
    for (const [other, b] of texts.slice(index + 1)) {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 2 && height > 4) found.push(name + " runs into " + other);
    }
  });
  return found;
}"""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Shows a chart's file as a browser does; its folder is `page.folder`."""
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.folder = tmp_path_factory.mktemp("charts")
    yield page
    page.close()


def must_be_readable(page: Any, chart: Chart) -> None:
    (page.folder / "chart.svg").write_text(chart.file(), encoding="utf-8")
    page.goto((page.folder / "chart.svg").as_uri())
    assert page.evaluate(UNREADABLE) == []


def elements(chart: Chart, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(chart.file()).iter(f"{SVG}{tag}"))


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in elements(chart, "text")]


def images(chart: Chart) -> list[np.ndarray]:
    files = [base64.b64decode(element.attrib["href"].split(",")[1]) for element in elements(chart, "image")]
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


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
        ("a name that is much longer than anybody would want", "$x_1$", "お茶\x1b"),
        tuple(f"class {i}" for i in range(47)),
        tuple(str(i) for i in range(120)),
    ],
    ids=["digits", "fashion", "two", "one", "odd", "47", "120"],
)
def test_confusion_is_readable_with_any_classes(page: Any, names: tuple[str, ...]) -> None:
    must_be_readable(page, confusion_chart("recipe, seed 0: <set> test", "9 of 10 right", confusion(len(names)), names))


def test_confusion_shows_a_single_mistake_and_counts_per_class() -> None:
    marked = confusion_chart("", "", confusion(10, (4, 9, 1)), DIGITS)
    assert [rect.attrib["class"] for rect in elements(marked, "rect")].count("s3") == 1
    assert texts(marked).count("980") == 10
    assert f"{100 * 980 / 981:.2f}" in texts(marked)  # recall of 4, precision of 9
    assert texts(marked).count("100.00") == 18
    assert "4 answered 9: 1" in [title.text for title in elements(marked, "title")]
    nearly = confusion_chart("", "", confusion(2, (0, 1, 1), right=59_999), ("a", "b"))
    assert texts(nearly).count("99.998") == 2  # not called all


def test_worse_mistakes_are_darker() -> None:
    chart = confusion_chart("", "", confusion(10, (0, 1, 1), (0, 2, 5), (0, 3, 20)), DIGITS)
    kinds = [rect.attrib["class"] for rect in elements(chart, "rect")]
    assert [kind for kind in kinds if kind.startswith("s")] == ["s1", "s2", "s5"]


def test_class_without_images_has_no_rate() -> None:
    counts = confusion(3, right=5)
    counts[1, 1] = 0
    assert texts(confusion_chart("", "", counts, ("a", "b", "c"))).count("–") == 2


def mistakes(num: int, num_classes: int = 10) -> Mistakes:
    rng = np.random.default_rng(0)
    return Mistakes(
        rng.integers(0, 256, (num, 28, 28)).astype(np.uint8),
        np.arange(num) % num_classes,
        (np.arange(num) + 1) % num_classes,
        np.linspace(0.99996, 0.3, num),
    )


@pytest.mark.parametrize(
    "names", [DIGITS, FASHION, ("x" * 60, "お茶お茶お茶お茶お茶") * 5], ids=["digits", "fashion", "long"]
)
def test_sheets_are_readable(page: Any, names: tuple[str, ...]) -> None:
    some = mistakes(64)
    must_be_readable(page, mistakes_sheet("recipe, seed 0: set test", "9 of 10 right", some, names))
    must_be_readable(page, augmented_sheet("title", "affine", some.images_NHW, some.labels_N, names))


def test_pictures_are_kept_pixel_by_pixel_with_label_and_answer() -> None:
    some = mistakes(9)
    sheet = mistakes_sheet("", "", some, DIGITS)
    assert all((shown == kept).all() for shown, kept in zip(images(sheet), some.images_NHW, strict=True))
    assert "0 → 1" in texts(sheet) and "8 → 9" in texts(sheet) and "30.00 %" in texts(sheet)
    assert "99.996 %" in texts(sheet)  # a mistake was not certain
    augmented = augmented_sheet("", "", some.images_NHW, some.labels_N, FASHION)
    assert (images(augmented)[8] == some.images_NHW[8]).all() and "Bag" in texts(augmented)


def test_filters_are_blue_below_zero_and_orange_above() -> None:
    sheet = filters_sheet("", "", np.array([[[[0.0, 2.0, -2.0]]]]))
    assert images(sheet)[0].tolist() == [[[255, 255, 255], [213, 94, 0], [0, 114, 178]]]
    assert [title.text for title in elements(sheet, "title")][1:] == ["Filter 0"]


def curves(*, validation: bool = True, epochs: int = 5, noisy: bool = False, last: float = 0.99) -> Chart:
    rows = 200 if noisy else epochs
    seen = [(row + 1) * epochs * 1000 / rows for row in range(rows)]
    accuracy = [*(0.5 + 0.4 * row / rows for row in range(rows - 1)), last]
    held_out = [seen[-1:], [0.1]], [seen[-1:], [last]]
    (loss_seen, losses), (accuracy_seen, accuracies) = held_out if validation else (([], []), ([], []))
    return curves_chart("recipe on set, seed 0", "model, 9,274 parameters", Curves(
        loss=(
            Line("train", seen, [2 / (row + 1) for row in range(rows)], noisy=noisy),
            Line("validation", loss_seen, losses),
        ),
        accuracy=(
            Line("train", seen, accuracy, 1000, noisy=noisy), Line("validation", accuracy_seen, accuracies, 100),
        ),
        lr=Line("learning rate", seen, [0.01] * rows), num_train=1000, end=epochs * 1000,
    ))  # fmt: skip


@pytest.mark.parametrize("options", [{"epochs": 1}, {"epochs": 40}, {"noisy": True}, {"last": 1.0}, {"last": 0.98999}])
def test_curves_are_readable(page: Any, options: dict[str, float]) -> None:
    must_be_readable(page, curves(**options))  # type: ignore[arg-type]


def test_curves_name_their_ends_and_have_validation_only_where_there_is_one() -> None:
    with_validation = texts(curves(last=0.9876))
    assert {"train 98.76 %", "validation 98.76 %", "validation 0.100", "learning rate"} <= set(with_validation)
    without = curves(validation=False)
    assert not any(words.startswith("validation") for words in texts(without))
    assert {line.attrib["class"] for line in elements(without, "polyline")} == {"line first"}
    assert "train 99.998 %" in texts(curves(last=59_999 / 60_000))


def test_all_right_has_its_place_and_name() -> None:
    chart = curves(last=1.0, validation=False)
    (tick,) = [float(element.attrib["y"]) for element in elements(chart, "text") if element.text == "100 %"]
    ends = [element.attrib["points"].split(" ")[-1] for element in elements(chart, "polyline")]
    assert float(ends[1].split(",")[1]) == pytest.approx(tick - 4)


def test_noisy_line_is_faint_under_its_mean_by_which_it_is_named() -> None:
    line = Line("train", range(100), [0.0, 1.0] * 50, noisy=True)
    assert line.trend[0] == 0.0 and 0.4 < line.trend[50] < 0.6 and 0.4 < line.trend[-1] < 0.6
    assert Line("train", [1, 2], [0.0, 1.0]).trend == [0.0, 1.0]
    kinds = [element.attrib["class"] for element in elements(curves(noisy=True, validation=False), "polyline")]
    assert kinds == ["line first faint", "line first"] * 2 + ["line first"]


def test_a_file_has_its_title_and_note_in_words_and_follows_light_and_dark(page: Any) -> None:
    chart = curves()
    file = chart.file()
    assert elements(chart, "title")[0].text == texts(chart)[0] == "recipe on set, seed 0"
    assert elements(chart, "desc")[0].text == texts(chart)[1] == "model, 9,274 parameters"
    assert "http" not in file.replace("http://www.w3.org/2000/svg", "") and not re.search(
        r"<script|url\(|@import", file
    )
    # As GitHub shows it: a picture on a page, which follows the reader's scheme, with paper of its own.
    (page.folder / "chart.svg").write_text(file, encoding="utf-8")
    (page.folder / "readme.html").write_text("<img src='chart.svg'>", encoding="utf-8")
    brightness = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto((page.folder / "readme.html").as_uri())
        shot = np.asarray(Image.open(io.BytesIO(page.locator("img").screenshot())).convert("L"))
        brightness[scheme] = float(np.median(shot)), float(np.abs(shot - np.median(shot)).max())
    page.emulate_media(color_scheme="light")
    assert brightness["light"][0] > 250 and brightness["dark"][0] < 30
    assert all(contrast > 150 for _, contrast in brightness.values())
