"""How fast the engine is: seconds an epoch against the plain way and against the model alone; memory; start-up.

Three ways train the same model on the same images, one after the other and over again, so that a busy machine slows all
of them alike: the engine (a whole `train` of the recipe); the plain way (a Dataset that converts and normalises one
image at a time, torch's DataLoader, a loop that reads loss and accuracy at every step), in fp32 as the five systems do;
and the bare model (one batch, time and again: forward, backward, optimizer), what remains when the data cost nothing.
The plain way turns and zooms by Pillow, image by image; mixup and cutmix are the engine's alone.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import layouts
from benchmarks.protocol import (
    LAB,
    RESULTS,
    Page,
    in_turns,
    machine,
    made_by,
    read_rows,
    run_process,
    spread,
    write_rows,
)
from benchmarks.provenance import stamp
from tinydigits import data, models, recipe
from tinydigits.data import idx
from tinydigits.figures import percent
from tinydigits.machine import freed_memory_kept
from tinydigits.recipe import Recipe
from tinydigits.recipe.fields import ConstantSchedule, OneCycleSchedule, PlateauSchedule
from tinydigits.report.text import table

FILE = RESULTS / "speed.json"
PAGE = LAB / "speed.md"
REPEATS = 5
# So many images that a repeat takes a second or two.
NUM_IMAGES = {"four-conv": 2_000, "gap-cnn": 5_120, "rf29-cnn": 9_600, "se-resnet": 2_048, "two-conv": 8_000}
FULL_EPOCH = 60_000


def measure(threads: int = 1) -> None:
    """Measure every published recipe, some minutes; seconds are scaled to an epoch of 60,000 images."""
    import torch

    torch.set_num_threads(threads)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, num_images in NUM_IMAGES.items():
            source = Path(folder) / name
            images, chosen = _write_subset(source, num_images), recipe.load(name)
            ways: dict[str, Callable[[], float]] = {
                "engine": partial(_engine, chosen, source, threads),
                "plain": partial(_plain, chosen, images),
                "model": partial(_model, chosen, images),
            }
            seconds = in_turns({way: partial(_epoch, run, num_images) for way, run in ways.items()}, REPEATS)
            rows[name] = {
                "num_images": num_images, "seconds": seconds, "peak_memory_bytes": _peak_memory(name),
                "profile": profile_step(chosen, images),
            }  # fmt: skip
            print(name, {way: round(statistics.median(values), 2) for way, values in seconds.items()}, flush=True)
    write_rows(FILE, {**stamp(recipes=NUM_IMAGES), "threads": threads, "recipes": rows, "start_up": _start_up()})


def _epoch(run: Callable[[], float], num_images: int) -> float:
    with freed_memory_kept():  # the engine's setting, which a recipe may change; the others get the fast one
        return run() * FULL_EPOCH / num_images


def _write_subset(folder: Path, num_images: int) -> data.ImageSet:
    whole = data.load("mnist", "train")
    folder.mkdir()
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx.encode(whole.images_NHW[:num_images], packed=True))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx.encode(whole.labels_N[:num_images], packed=True))
    return data.load(str(folder), "train")


def _one_epoch(chosen: Recipe, source: str) -> Recipe:
    """The recipe for one epoch over a folder, without validation; its first batch size and all of its steps."""
    part = chosen.data.model_copy(
        update={"source": source, "validation": 0, "batch_size": chosen.data.batch_size_at(1)}
    )
    changes = {"data": part, "epochs": 1, "average": None}
    if isinstance(chosen.schedule, PlateauSchedule):  # it follows the validation loss, of which there is none here
        changes["schedule"] = ConstantSchedule()
    return chosen.model_copy(update=changes)


def _engine(chosen: Recipe, source: Path, threads: int) -> float:
    from tinydigits.training import train

    with tempfile.TemporaryDirectory() as out:
        return train(_one_epoch(chosen, str(source)), out=out, threads=threads).record.seconds.training


def _plain(chosen: Recipe, images: data.ImageSet) -> float:
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader

    from benchmarks.plain import PerImage, train_epoch

    rng = random.Random(0)

    def change(picture: Image.Image) -> Image.Image:  # the published recipes know these two
        for step in chosen.augment:
            if step.name == "rotation":
                picture = picture.rotate(rng.uniform(-step.degrees, step.degrees))
            elif step.name == "zoom-out" and rng.random() < step.p:
                size = round(28 / step.scale)
                ground = Image.new("L", (size, size))
                ground.paste(picture, ((size - 28) // 2,) * 2)
                picture = ground.resize((28, 28), Image.Resampling.BILINEAR)
        return picture

    model, optimizer = _make(chosen)
    dataset = PerImage(images, chosen.data.mean, chosen.data.std, change)
    loader = DataLoader(dataset, batch_size=chosen.data.batch_size_at(1), shuffle=chosen.data.shuffle)
    after_step: Callable[[], object] = int
    if isinstance(chosen.schedule, OneCycleSchedule):
        after_step = torch.optim.lr_scheduler.OneCycleLR(optimizer, chosen.optimizer.lr, total_steps=len(loader)).step
    return train_epoch(model, optimizer, loader, after_step=after_step, clip_norm=chosen.optimizer.clip_norm)


def _model(chosen: Recipe, images: data.ImageSet) -> float:
    step, num_batches = bare_step(chosen, images)
    started = time.perf_counter()
    for _ in range(num_batches):
        step()
    return time.perf_counter() - started


def profile_step(chosen: Recipe, images: data.ImageSet) -> dict[str, float]:
    """The operations that take most of a bare step, by their own share of its time."""
    from torch.profiler import ProfilerActivity, profile

    step, num_batches = bare_step(chosen, images)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        for _ in range(min(num_batches, 50)):
            step()
    spent = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in watched.key_averages()}
    largest = sorted(spent, key=lambda name: -spent[name])[:5]
    return {name: spent[name] / sum(spent.values()) for name in largest}


def bare_step(chosen: Recipe, images: data.ImageSet) -> tuple[Callable[[], None], int]:
    """One step of the recipe's model and optimizer on one batch, and how many an epoch has."""
    import torch
    from torch.nn.functional import cross_entropy

    from tinydigits.data.batches import Batches
    from tinydigits.kernels import order_of, train_in_c

    model, optimizer = _make(chosen)
    if chosen.channels_last:
        model.to(memory_format=torch.channels_last)
    if (order := order_of(chosen)) is not None:
        train_in_c(model, order)
    size = chosen.data.batch_size_at(1)
    batches = Batches(
        images.images_NHW, images.labels_N, mean=chosen.data.mean, std=chosen.data.std, seed=0,
        channels_last=chosen.channels_last,
    )  # fmt: skip
    batch, labels = next(batches.epoch(1, size))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=chosen.precision == "bf16"):
            loss = cross_entropy(model(batch).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, batches.num_batches(size)


def _make(chosen: Recipe) -> tuple[Any, Any]:
    import torch

    from tinydigits.optim import build_optimizer

    model = models.build(chosen.model.name, chosen.model.options)
    part = chosen.optimizer
    if part.name == "muon":  # torch's takes matrices only
        return model, build_optimizer(model, part)
    if part.name == "sgd":
        return model, torch.optim.SGD(model.parameters(), lr=part.lr, momentum=part.momentum)
    kind = torch.optim.Adam if part.name == "adam" else torch.optim.AdamW
    return model, kind(model.parameters(), lr=part.lr)


_MEMORY_PROGRAM = """
import sys, tempfile
from tinydigits import recipe
from tinydigits.machine import peak_memory_bytes
from tinydigits.training import Reporter, train
class Enough(Exception): pass
class Listener(Reporter):
    steps = 0
    def on_progress(self, progress):
        self.steps += len(progress.step_losses)
        if self.steps >= 64: raise Enough
with tempfile.TemporaryDirectory() as out:
    try: train(recipe.load(sys.argv[1]), out=out, reporter=Listener())
    except Enough: print(peak_memory_bytes())
"""


def _peak_memory(name: str) -> int:
    """Bytes that a process of its own has held at most after 64 steps of the recipe on all of MNIST."""
    return int(run_process(["-c", _MEMORY_PROGRAM, name])["stdout"])


def _start_up() -> dict[str, list[float]]:
    """Seconds of whole processes, alternating: `import torch`, and the commands that must not need it."""
    commands = {
        "import torch": ["-c", "import torch"],
        "tinydigits --help": ["-m", "tinydigits", "--help"],
        "tinydigits recipes ls": ["-m", "tinydigits", "recipes", "ls"],
    }
    timed = in_turns({name: partial(run_process, arguments) for name, arguments in commands.items()}, REPEATS)
    return {name: [row["wall"] for row in rows] for name, rows in timed.items()}


def pages() -> Iterator[Page]:
    yield Page(PAGE, page(read_rows(FILE), read_rows(layouts.FILE)), [FILE, layouts.FILE])


def page(rows: dict[str, Any], orders: dict[str, Any]) -> str:
    """docs/lab/speed.md, from the rows that `measure` gave here and in `layouts`."""
    cells = []
    for name, row in rows["recipes"].items():
        engine, plain, model = (_median(row, way) for way in ("engine", "plain", "model"))
        cells.append([
            name, *(spread(row["seconds"][way]) for way in ("engine", "plain", "model")), f"{plain / engine:.2f}×",
            percent(model / engine, 0), f"{row['peak_memory_bytes'] / 1e6:.0f} MB",
        ])  # fmt: skip
    bound = [name for name, row in rows["recipes"].items() if 2 * _median(row, "model") > _median(row, "plain")]
    saving = [name for name in rows["recipes"] if not recipe.load(name).keep_memory or recipe.load(name).recompute]
    reference = statistics.median(rows["start_up"]["import torch"])
    return "\n\n".join([
        "# Speed",
        made_by("speed", FILE, rows),
        f"{machine(rows, rows['threads'])}. Medians of {REPEATS} repeats, in brackets least and most; "
        "the three ways alternate in one process. Seconds for one epoch of 60,000 images, scaled up from a part.",
        table(
            ["recipe", "engine, s", "plain way, s", "model alone, s", "plain ÷ engine", "model's share", "peak memory"],
            cells, "lrrrrrr",
        ),
        "The model itself is the bound, with more than half of the plain way's time, so that no engine could be twice "
        f"as fast, for: {', '.join(bound) or 'none'}. Memory is bought with time, by `recompute` or "
        f"`keep_memory = false`, in: {', '.join(saving) or 'none'}.",
        "*Plain way*: a Dataset that converts and normalises image by image, torch's DataLoader, the same model in "
        "fp32, the recipe's rotation and zoom by Pillow, no mixing. *Model alone*: the recipe's model and optimizer on "
        "one batch, time and again: what remains when the data cost nothing. *Model's share* is its part of the "
        "engine's time; near 100 % the model is the bound. *Peak memory*: of a training process on all of MNIST.",
        "## Where the model's time goes",
        "The five largest of torch's operations in a bare step, by their own share of its time.",
        "\n".join(
            f"- {name}: " + ", ".join(f"{op} {percent(share, 0)}" for op, share in row["profile"].items())
            for name, row in rows["recipes"].items()
        ),
        layouts.section(orders),
        "## Start-up",
        table(
            ["process", "seconds", "share of `import torch`"],
            [[f"`{name}`", spread(seconds), f"{statistics.median(seconds) / reference:.2f}"]
             for name, seconds in rows["start_up"].items()],
            "lrr",
        ),
    ]) + "\n"  # fmt: skip


def _median(row: dict[str, Any], way: str) -> float:
    return statistics.median(row["seconds"][way])


COMMANDS = (measure,)
