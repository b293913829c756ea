"""The page of the frontier: numbers against accuracy on the test images, ours from rows, others' as published."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks import views
from benchmarks.protocol import DOCS, RESULTS, Page, new_frame
from benchmarks.records import load_plan
from benchmarks.rows import Row, load_rows
from benchmarks.views import Shipped
from tinydigits import figures, models
from tinydigits.errors import TinydigitsError
from tinydigits.machine import machine_words
from tinydigits.report import text
from tinydigits.report.command import what_decides
from tinydigits.report.scales import FINE_SHARES, accuracy_ticks, nines, size_ticks
from tinydigits.report.svg import Chart
from tinydigits.report.svg import text as words_at
from tinydigits.stats import mean_and_sd, shortfall
from tinydigits.trace import trace
from tinydigits.trace.graph import op_name

__all__ = [
    "Aim", "Anchor", "Numbers", "Point", "draw_frontier", "frontier_page", "load_anchors", "load_points",
    "measured_points", "numbers_of", "pages", "part",
]  # fmt: skip

PAGE = DOCS / "frontier.md"


class Anchor(BaseModel):
    """What others reached: a project, its size and accuracy, and how well that is known.

    `statistics` are the running statistics that its inference reads beside its parameters; None where nobody knows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    parameters: Annotated[int, Field(ge=1)]
    statistics: Annotated[int, Field(ge=0)] | None = None
    accuracy: Annotated[float, Field(gt=0, le=1)]
    evidence: Literal["read", "re-run", "unconfirmed"]
    how: str
    source: str


@dataclass(frozen=True)
class Numbers:
    """All numbers that inference reads, by kind.

    >>> Numbers(parameters=555, statistics=192, constants=8).total
    755
    """

    parameters: int
    statistics: int
    constants: int

    @property
    def total(self) -> int:
        return self.parameters + self.statistics + self.constants


@dataclass(frozen=True)
class Aim:
    """What a record is to reach, and by how many seeds: both were fixed before its first one.

    `note` says what a reader must know beside that, as that other series came before; it is a sentence or two.
    """

    accuracy: float
    seeds: int
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A recipe's mean over all its seeds, how it was trained, and the commands that give it again.

    >>> Point("sprint", Numbers(24_000, 120, 8), (0.99, 0.992), ("tinydigits train sprint",)).mean
    0.991

    `is_retrained` says that the shipped weights are not those of the row of their seed.
    """

    recipe: str
    numbers: Numbers
    accuracies: tuple[float, ...]
    commands: tuple[str, ...]
    epochs: int = 0
    seconds: float = 0.0
    circumstances: tuple[str, ...] = ()
    aim: Aim | None = None
    shift_pixels: int = 0
    model: str = ""
    num_nets: int = 1
    shipped: Shipped | None = None
    is_retrained: bool = False

    @property
    def mean(self) -> float:
        """The mean accuracy, as a share of 1."""
        return mean_and_sd(self.accuracies)[0]

    @property
    def spread(self) -> str:
        """Mean and standard deviation in percent, and the views of an image that were averaged."""
        return figures.spread(self.accuracies) + (f", {self.num_views} views" if self.shift_pixels else "")

    @property
    def num_views(self) -> int:
        """How often each image was asked, once for every shift."""
        return (2 * self.shift_pixels + 1) ** 2

    @property
    def with_one_view(self) -> str:
        """What one view of each image gives, and whether that reaches the aim."""
        if not self.shift_pixels:
            return figures.spread(self.accuracies) + self._reaches(self.mean)
        if self.shipped is None:
            return "not measured"
        return f"seed 0: {figures.percent(self.shipped.accuracy)}" + self._reaches(self.shipped.accuracy)

    def _reaches(self, accuracy: float) -> str:
        if self.aim is None:
            return ""
        missed_by = shortfall(accuracy, self.aim.accuracy)
        return ", reached" if missed_by <= 0 else f", missed by {figures.points(missed_by, 3)[1:]} points"

    @property
    def is_reached(self) -> bool:
        """Whether all seeds of the aim are there, and their mean is no less than it."""
        return self.aim is not None and len(self.accuracies) >= self.aim.seeds and self.missed_by <= 0

    @property
    def missed_by(self) -> float:
        """What the mean is short of the aim, as a share of 1; raises ValueError for a point without one."""
        if self.aim is None:
            raise ValueError(f"{self.recipe} has no aim")
        return shortfall(self.mean, self.aim.accuracy)


def load_anchors(path: Path) -> tuple[Anchor, ...]:
    """Read `anchors.toml`; raises TinydigitsError for a key that is missing or unknown."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(Anchor.model_validate(entry) for entry in tree["anchor"])
    except (tomllib.TOMLDecodeError, KeyError, ValidationError) as error:
        raise TinydigitsError(str(path), str(error)) from error


def pages() -> Iterator[Page]:
    points, anchors = load_points(), load_anchors(RESULTS / "anchors.toml")
    text = f"{frontier_page(points, anchors)}\n{views.section()}\n"
    yield Page(PAGE, text, [views.FILE], draw_frontier(points, anchors))


def part() -> str:
    """The table of the records that were reached, smallest first."""
    cells = (
        [
            f"`{point.recipe}`", f"{point.numbers.parameters:,}", f"{point.numbers.total:,}", point.epochs,
            point.spread, len(point.accuracies), figures.percent(point.aim.accuracy), point.with_one_view,
        ]
        for point in load_points() if point.aim and point.is_reached
    )  # fmt: skip
    header = ["recipe", "parameters", "numbers", "epochs", "test accuracy", "seeds", "aimed at", "with one view"]
    return text.table(header, cells)


def load_points() -> list[Point]:
    """Every model of the project that has rows, with what was aimed at."""
    rows = [*load_rows(RESULTS / "reference"), *load_rows(RESULTS / "records")]
    aims = {planned.recipe: Aim(planned.accuracy, planned.seeds, planned.note) for planned in load_plan()}
    return measured_points(rows, numbers_of(rows), views.load(), aims)


def numbers_of(rows: Sequence[Row]) -> dict[str, Numbers]:
    """What the model of each row's recipe reads to answer, by recipe."""
    parts = {row.recipe: row.record.recipe["model"] for row in rows}
    return {
        recipe: _count_numbers(model["name"], json.dumps(model.get("options", {}))) for recipe, model in parts.items()
    }


_ARITHMETIC = {"add", "div", "mul", "pow", "rsub", "sub"}


@cache
def _count_numbers(model: str, options: str) -> Numbers:
    found = trace(models.build(model, json.loads(options)), train=False)
    nodes = found.graphs[-1].nodes
    read = sum(found.graphs[-1].values[node].numel() for node in found.graphs[-1].buffers)
    epsilons = sum(op_name(node) == "batch_norm" for node in nodes)
    literals = [value for node in nodes if op_name(node) in _ARITHMETIC for value in node.args]
    return Numbers(
        parameters=found.num_parameters - found.num_unused,
        statistics=read - found.num_buffer_weights,
        constants=found.num_buffer_weights + found.num_constants + epsilons
        + sum(isinstance(value, int | float) for value in literals)
        + 2,  # the input's mean and standard deviation
    )  # fmt: skip


def measured_points(
    rows: Sequence[Row],
    numbers: Mapping[str, Numbers],
    shipped: Mapping[str, Shipped] | None = None,
    aims: Mapping[str, Aim] | None = None,
) -> list[Point]:
    """A point for every recipe among the rows: smallest first, of equal ones the best first.

    By recipe, `numbers` are what its model's inference reads, `shipped` its weights in the package, `aims` what it is
    to reach. Raises TinydigitsError where the rows of a recipe differ in more than the seed, or in their test images.
    """
    points = []
    for recipe in dict.fromkeys(row.recipe for row in rows):
        group = sorted((row for row in rows if row.recipe == recipe), key=lambda row: row.seed)
        first = group[0]
        for row in group:
            if what_decides(row.record) != what_decides(first.record) or row.test_set != first.test_set:
                raise TinydigitsError(f"row {recipe} s{row.seed}", f"does not belong together with seed {first.seed}")
        commands = [first.command(len(group))]
        weights = (shipped or {}).get(recipe)
        if weights is not None:
            commands.insert(0, f"tinydigits verify {recipe}")
        accuracies = tuple(correct / seen for correct, seen in (row.test_counts for row in group))
        records = [row.record for row in group]
        circumstances = dict.fromkeys(
            f"{machine_words(record.machine, record.device, record.threads)}; "
            + ", ".join(f"{name} {number}" for name, number in record.versions.items())
            for record in records
        )
        model = first.record.recipe["model"]
        points.append(
            Point(
                recipe, numbers[recipe], accuracies, tuple(commands), first.record.epochs,
                mean_and_sd([record.seconds.training for record in records])[0], tuple(circumstances),
                (aims or {}).get(recipe), first.shift_pixels, model["name"], model.get("options", {}).get("members", 1),
                weights, weights is not None and weights.weights_sha256 != first.verdict.target.weights_sha256,
            )
        )  # fmt: skip
    return sorted(points, key=lambda point: (point.numbers.parameters, -point.mean))


def frontier_page(points: Sequence[Point], anchors: Sequence[Anchor]) -> str:
    """The page as Markdown, with the picture `frontier.svg` beside it."""
    places = list(dict.fromkeys(place for point in points for place in point.circumstances))
    ours = [
        [
            f"`{point.recipe}`", f"`{point.model}`" + (f" of {point.num_nets}" if point.num_nets > 1 else ""),
            *(f"{number:,}" for number in (
                point.numbers.parameters, point.numbers.statistics, point.numbers.constants, point.numbers.total,
            )),
            point.epochs, point.spread, len(point.accuracies), _aim(point), point.with_one_view,
            f"`{point.shipped.weights_sha256[:12]}`" if point.shipped else "", f"{point.seconds:,.0f}",
            ", ".join(str(places.index(place) + 1) for place in point.circumstances),
            " then ".join(f"`{command}`" for command in point.commands),
        ]
        for point in points
    ]  # fmt: skip
    others = [
        [text.link(anchor.name, anchor.source), f"{anchor.parameters:,}",
         "not known" if anchor.statistics is None else f"{anchor.statistics:,}", figures.percent(anchor.accuracy),
         anchor.evidence, anchor.how]
        for anchor in sorted(anchors, key=lambda anchor: anchor.parameters)
    ]  # fmt: skip
    parts = [
        "# The frontier",
        "<!-- Made by `python -m benchmarks frontier page` from benchmarks/results. Do not edit. -->",
        "How accurate a model of so many numbers is on MNIST's official 10,000 test images. *Numbers* are all that "
        "inference reads: *parameters*, which training sets and every limit here is about; *statistics*, BatchNorm's "
        "running means and variances; *constants*, the mean and standard deviation of the input, one ε for each "
        "BatchNorm, and what the code writes out.",
        text.picture("frontier.svg", "Parameters and running statistics against accuracy: ours and published ones"),
        "## Ours",
        "Mean ± standard deviation over all n seeds, at the last epoch, counted once by `tinydigits verify`; nothing "
        "was chosen on test images. A `dihedral-ensemble` is several nets in one model, each trained on its share of "
        "every epoch, their answers averaged; all other models are one net. In ONNX and C files of both `dihedral` "
        "models the shared parameters are written out, each eight times ([bytes](lab/exports.md)). `verify` re-checks "
        "the weights that come with the package, `train` makes all n anew.",
        "*9 views*: test-time augmentation, the mean of the answers to all shifts of up to a pixel. Exported files, "
        "`predict` and `serve` ask once, as published projects do: *with one view*. For a recipe that was measured "
        "with more views this is known for the weights of seed 0 alone, which come with the package (*weights*: the "
        "start of their SHA-256); those of the other seeds were not kept.",
        text.table(
            ["recipe", "model", "parameters", "statistics", "constants", "numbers", "epochs", "test accuracy", "n",
             "aim", "with one view", "weights", "seconds", "where", "re-check"],
            ours, "llrrrrrrrlllrll",
        ),
        *(
            f"`{point.recipe}`: the weights that come with the package are of another training of seed 0 than the one "
            f"in this mean; `tinydigits verify {point.recipe}` gives theirs."
            for point in points if point.is_retrained
        ),
        *(f"`{point.recipe}`: {point.aim.note}" for point in points if point.aim and point.aim.note),
        "Aims and numbers of seeds were fixed beforehand; a record is open while seeds are to come. Seconds are "
        "of training, the mean over seeds. Where:",
        "\n".join(f"{number}. {place}" for number, place in enumerate(places, start=1)),
        "## Published",
        "*Read*: in the project's own files. *Re-run*: its published weights, asked again. *Unconfirmed*: reported, "
        "neither read nor re-run. All but the unconfirmed ask each image once. *Statistics* are counted from the "
        "project's own model; constants, a handful in each, are not.",
        text.table(
            ["project", "parameters", "statistics", "test accuracy", "evidence", "how it was counted"], others, "lrrrll"
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _aim(point: Point) -> str:
    """Reached or not, once all seeds are there."""
    if point.aim is None:
        return ""
    aim = figures.percent(point.aim.accuracy)
    if point.is_reached:
        return f"{aim}: reached"
    if len(point.accuracies) < point.aim.seeds:
        return f"{aim}: open, {len(point.accuracies)} of {point.aim.seeds} seeds"
    return f"{aim}: missed by {figures.points(point.missed_by, 3)[1:]} points"


def draw_frontier(points: Sequence[Point], anchors: Sequence[Anchor]) -> Chart:
    """Both axes logarithmic, accuracy by its error: 99.7 % is as far from 99.4 % as 99.4 % from 98.8 %.

    The size is parameters and running statistics, which is known of most published nets, too. Ours have a bar of one
    standard deviation over seeds and, where they were measured with more views than one, a small point: what seed 0's
    weights give with one. The line joins those of ours that no smaller one of ours reaches.
    """

    def height(accuracy: float) -> float:
        return nines(accuracy, 10_000)

    places = [(_size(entry), height(entry.mean if isinstance(entry, Point) else entry.accuracy)) for entry in
              (*points, *anchors)]  # fmt: skip
    frame = new_frame([size for size, _ in places], [place for _, place in places], width=960, height=560)
    best, steps = 0.0, []
    for point in sorted(points, key=lambda point: (_size(point), -point.mean)):
        if point.mean > best:
            best = point.mean
            steps.append((_size(point), height(point.mean)))
    content = [frame.path(*zip(*steps, strict=True), "first faint")]
    for point in points:
        x, y, sd = _size(point), height(point.mean), mean_and_sd(point.accuracies)[1]
        if len(point.accuracies) > 1:
            content.append(frame.bar(x, height(point.mean - sd), height(point.mean + sd)))
        content.append(frame.dot(x, y, "first", 5))
        if point.shift_pixels and point.shipped:
            content.append(frame.dot(x, height(point.shipped.accuracy), "first", 2.5))
        # Above the line there is room to the left of its points, but where a small point may stand.
        content.append(
            _name(frame.x(x), frame.y(y) - 7, _label(point), "first", left=point.shift_pixels > 0 and frame.x(x) > 250)
        )
    for anchor in anchors:
        x, y = _size(anchor), height(anchor.accuracy)
        name = anchor.name + " (unconfirmed)" * (anchor.evidence == "unconfirmed")
        content.append(frame.dot(x, y, "second", 4))
        content.append(_name(frame.x(x), frame.y(y) + 14, name, "second", left=frame.x(x) > 0.7 * frame.width))
    ticks = accuracy_ticks(frame.y_low, frame.y_high, at_least=0.1, shares=FINE_SHARES)
    return frame.chart(
        "Numbers against accuracy on MNIST",
        "Official test images, spaced by the error. Blue: our means ± sd; small: seed 0, one view. Orange: published.",
        content, x_ticks=size_ticks(frame.x_low, frame.x_high), y_ticks=ticks,
        x_name="parameters and running statistics", heading="test accuracy",
    )  # fmt: skip


def _size(entry: Point | Anchor) -> float:
    if isinstance(entry, Point):
        return math.log10(entry.numbers.parameters + entry.numbers.statistics)
    return math.log10(entry.parameters + (entry.statistics or 0))


def _label(point: Point) -> str:
    nets = f", {point.num_nets} nets" if point.num_nets > 1 else ""
    views = f", {point.num_views} views" if point.shift_pixels else ""
    return f"{point.recipe}, n = {len(point.accuracies)}{views}{nets}"


def _name(x: float, y: float, name: str, kind: str, *, left: bool) -> Markup:
    """Ours stand above their points, published ones below: they do not meet."""
    return words_at(x - 6 if left else x + 6, y, name, f"tick {kind}" if left else kind, size=10)


COMMANDS = ()
