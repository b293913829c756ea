"""The frontier's points, page and picture, from rows and anchors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import exports, frontier, views
from benchmarks.frontier import Aim, Numbers, Point, draw_frontier, load_anchors
from benchmarks.frontier import frontier_page as make_page
from benchmarks.frontier import measured_points as points_of
from benchmarks.protocol import RESULTS
from benchmarks.rows import Row, load_rows
from benchmarks.views import Shipped
from tinydigits import pretrained
from tinydigits.errors import TinydigitsError

REFERENCE = RESULTS / "reference"
ANCHORS = load_anchors(RESULTS / "anchors.toml")


def measured_points(
    rows: Sequence[Row], shipped: Mapping[str, Shipped] | None = None, aims: Mapping[str, Aim] | None = None
) -> list[Point]:
    return points_of(rows, frontier.numbers_of(rows), shipped, aims)


def tuned_rows(*, shift_pixels: int = 0) -> list[Row]:
    """Those of gap-cnn-tuned, as if they had been asked with shifts."""
    rows = [row for row in load_rows(REFERENCE) if row.recipe == "gap-cnn-tuned"]
    targets = (row.verdict.target.model_copy(update={"test_time_shift_pixels": shift_pixels}) for row in rows)
    verdicts = (row.verdict.model_copy(update={"target": target}) for row, target in zip(rows, targets, strict=True))
    return [row.model_copy(update={"verdict": verdict}) for row, verdict in zip(rows, verdicts, strict=True)]


def test_a_point_is_the_mean_of_all_its_rows_and_says_how_to_check_it() -> None:
    rows = load_rows(REFERENCE)
    points = {point.recipe: point for point in measured_points(rows, views.load())}
    assert points.keys() == {row.recipe for row in rows}
    counts = [row.test_counts for row in rows if row.recipe == "gap-cnn-tuned"]
    tuned = points["gap-cnn-tuned"]
    assert tuned.mean == pytest.approx(sum(correct for correct, _ in counts) / sum(seen for _, seen in counts))
    assert tuned.commands[0] == "tinydigits verify gap-cnn-tuned"
    assert tuned.commands[1].startswith(f"tinydigits train gap-cnn-tuned --seeds {len(counts)}")
    page = make_page(list(points.values()), ANCHORS)
    assert "| `gap-cnn-tuned` | `gap-cnn` | 9,274 | 152 | 9 | 9,435 |" in page
    for anchor in ANCHORS:
        assert f"]({anchor.source}) | {anchor.parameters:,} |" in page
    assert "| 697 | 0 |" in page and "| 3,762 | 120 |" in page and "| 480 | not known |" in page


def test_an_aim_stays_open_until_its_last_seed_and_is_then_reached_or_missed() -> None:
    rows = [row for row in load_rows(REFERENCE) if row.recipe == "gap-cnn-tuned"]

    def said(accuracy: float, seeds: int) -> str:
        return make_page(measured_points(rows, aims={"gap-cnn-tuned": Aim(accuracy, seeds)}), ANCHORS)

    assert f"| 99.00 %: open, {len(rows)} of 10 seeds |" in said(0.99, 10)
    assert "| 99.00 %: reached |" in said(0.99, len(rows))
    assert "| 99.90 %: missed by 0.277 points |" in said(0.999, len(rows))


def test_what_a_reader_must_know_of_a_record_stands_below_the_table() -> None:
    rows = [row for row in load_rows(REFERENCE) if row.recipe in ("gap-cnn-tuned", "gap-cnn")]
    aims = {"gap-cnn-tuned": Aim(0.99, 3, "an earlier series missed."), "gap-cnn": Aim(0.99, 3)}
    page = make_page(measured_points(rows, aims=aims), ANCHORS)
    assert page.count("\n\n`gap-cnn-tuned`: an earlier series missed.\n\n") == 1
    assert "`gap-cnn`:" not in page


def test_a_mean_that_is_the_aim_has_reached_it() -> None:
    counts = (9972, 9976, 9976, 9973, 9978, 9977, 9975, 9973, 9975, 9975)
    assert sum(counts) == 99_750
    point = Point("a", Numbers(1, 0, 2), tuple(count / 10_000 for count in counts), (), aim=Aim(0.9975, 10))
    assert point.mean < 0.9975, "the float is a hair below: the case in question"
    assert point.is_reached
    one_less = replace(point, accuracies=(*point.accuracies[:-1], 0.9974))
    assert not one_less.is_reached
    assert one_less.missed_by == pytest.approx(0.00001)


def test_a_record_of_nine_views_says_what_one_gives_and_whether_that_reaches_the_aim() -> None:
    sha = tuned_rows()[0].verdict.target.weights_sha256

    def told(shift_pixels: int, correct: int | None) -> str:
        shipped = {} if correct is None else {"gap-cnn-tuned": Shipped(sha, correct, 10_000)}
        aims = {"gap-cnn-tuned": Aim(0.996, 3)}
        return make_page(measured_points(tuned_rows(shift_pixels=shift_pixels), shipped, aims), ANCHORS)

    assert "| 99.623 ± 0.021 % | 3 | 99.60 %: reached | 99.623 ± 0.021 %, reached |" in told(0, 9_950)
    assert "| 99.623 ± 0.021 %, 9 views | 3 | 99.60 %: reached | seed 0: 99.60 %, reached |" in told(1, 9_960)
    assert "9 views | 3 | 99.60 %: reached | seed 0: 99.59 %, missed by 0.010 points |" in told(1, 9_959)
    assert "9 views | 3 | 99.60 %: reached | not measured |" in told(1, None)


def test_shipped_weights_that_are_not_those_of_their_row_are_named() -> None:
    for points in (frontier.load_points(), measured_points(tuned_rows(), {"gap-cnn-tuned": Shipped("0", 1, 2)})):
        page = make_page(points, ANCHORS)
        for point in points:
            note = f"\n`{point.recipe}`: the weights that come with the package are of another training"
            assert (note in page) == point.is_retrained
    rows = [*load_rows(REFERENCE), *load_rows(RESULTS / "records")]
    judged = {row.recipe: row.verdict.target.weights_sha256 for row in rows if row.seed == 0}
    points = {point.recipe: point for point in frontier.load_points()}
    for name, shipped in views.load().items():
        assert points[name].is_retrained == (judged[name] != shipped.weights_sha256)


def test_one_view_is_what_the_exported_files_were_found_to_answer() -> None:
    exported = exports.rows_of()
    for name, shipped in views.load().items():
        parity = exported[name]["formats"]["safetensors"]["parity"]
        assert (shipped.correct, shipped.seen) == (parity["correct_after"], parity["seen"])
        if not pretrained.find(name).run.record.recipe["evaluation"]["shift_pixels"]:
            assert (shipped.correct, shipped.seen) == pretrained.find(name).test_counts


def test_rows_of_different_recipes_under_one_name_are_refused() -> None:
    rows = load_rows(REFERENCE)
    row = next(row for row in rows if row.recipe == "gap-cnn-tuned").model_copy(deep=True)
    row.record.recipe["epochs"] = 5
    row.record.recipe["seed"] = 99
    with pytest.raises(TinydigitsError, match="does not belong together"):
        measured_points([*rows, row])


def test_every_point_and_anchor_is_drawn_in_the_picture() -> None:
    points = frontier.load_points()
    (axes,) = draw_frontier(points, ANCHORS).axes
    names = {text.get_text() for text in axes.texts}
    assert {anchor.name for anchor in ANCHORS} < names and len(names) == len(points) + len(ANCHORS)
    assert {"sprint, n = 20", "frontier-600, n = 10, 9 views", "summit, n = 10, 9 views, 2 nets"} < names
    (low, high), (bottom, top) = axes.get_xlim(), sorted(axes.get_ylim())
    assert all(low < point.numbers.parameters < high and bottom < 1 - point.mean < top for point in points)
    drawn = {(float(x), float(y)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    point = next(point for point in points if point.recipe == "frontier-600")
    assert point.shipped and (555 + 192, 1 - point.mean) in drawn and (555 + 192, 1 - point.shipped.accuracy) in drawn


def test_an_anchor_without_evidence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "anchors.toml"
    path.write_text(f"[[anchor]]\nname = 'x'\nparameters = 5\naccuracy = 0.5\nhow = {json.dumps('y')}\nsource = 'z'\n")
    with pytest.raises(TinydigitsError, match="evidence"):
        load_anchors(path)
