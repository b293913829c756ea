"""Every export of every shipped model: size, parity, speed; flash and RAM on microcontrollers.

    python -m benchmarks exports measure     # bytes, parity, accuracy, flash: every shipped model, 1 to 4 minutes each
    python -m benchmarks exports measure gap-cnn-tuned    # this one
    python -m benchmarks exports time-formats    # on a quiet machine: models whose architecture has not been timed yet
    python -m benchmarks exports measure --converters    # .tflite and .pte beside ONNX, where both extras are installed

A model's row goes into benchmarks/results/exports.json as soon as it is done; rows of other models are kept. What
`measure` finds is of the weights, the same on a busy machine, and to be found anew whenever weights or an exporter
change. What `time` finds is of the architecture, and stands apart in the row, under `timing`. Each has the stamp of
what it was measured on (see `benchmarks.provenance`). LiteRT and ExecuTorch need an environment of their own, and so
have a file of their own, exports-converters.json, with ONNX beside them to compare with.

Each file is timed in a process of its own on one thread, the formats one after the other and over again, so that a busy
machine slows all of them alike. What is timed is all of it: uint8 pixels in, probabilities out. torch eager is the
`safetensors` file, the model's own code with its weights.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.protocol import LAB, RESULTS, Page, in_turns, read_rows, write_rows
from benchmarks.provenance import differences, sentence, short, stamp, weights_sha256
from tinydigits import exports, pretrained
from tinydigits.errors import TinydigitsError
from tinydigits.exports import c_code
from tinydigits.extras import NotInstalled
from tinydigits.figures import percent
from tinydigits.machine import describe_versions, machine_words
from tinydigits.report.text import table

FILE = RESULTS / "exports.json"
CONVERTERS_FILE = RESULTS / "exports-converters.json"
CONVERTERS = {"litert": ("litert-torch", "ai-edge-litert"), "executorch": ("executorch",)}  # formats and their packages
PAGE = LAB / "exports.md"
REPEATS = 5
# What BitNetMCU publishes of itself (https://github.com/cpldcpu/BitNetMCU, docs/documentation_cnn.md), for a RISC-V
# CH32V002 at 48 MHz: not measured here, and on its own count of bytes.
BITNETMCU = (("3.2 kB", "98.92 %"), ("7.3 kB", "99.28 %"), ("11 kB", "99.55 %"))


Models = Annotated[list[str] | None, typer.Argument(help="shipped models; otherwise all, or all not timed yet")]


def measure(models: Models = None, converters: bool = False, file: Path | None = None) -> None:
    """Export models in every format, or LiteRT and ExecuTorch, and put each file to the test images."""
    if not converters and not shutil.which("arm-none-eabi-gcc"):
        raise TinydigitsError("benchmarks.exports", "needs arm-none-eabi-gcc for flash and RAM")
    file = file or (CONVERTERS_FILE if converters else FILE)
    for name in models or pretrained.names():
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            formats = {form: _facts(form, done) for form, done in _export(name, Path(folder), converters)}
        before = rows_of(file).get(name, {})
        for form, facts in formats.items():
            if "problem" in facts and "bytes" in before.get("formats", {}).get(form, {}):
                raise TinydigitsError(f"{name}, {form}", f"was made before, and is not now: {facts['problem']}")
        row = {
            **stamp(weights=[name]), "versions": _versions(converters),
            "num_parameters": pretrained.find(name).run.record.num_parameters, "formats": formats,
        }  # fmt: skip
        _keep(file, name, row | {key: before[key] for key in ("timing",) if key in before})
        print(f"{name}: {len(formats)} formats in {time.perf_counter() - started:.0f} s", flush=True)
    print("next: python -m benchmarks exports page")


def time_formats(
    models: Models = None, converters: bool = False, repeats: int = REPEATS, file: Path | None = None
) -> None:
    """Time every format that is in the file already and can be asked, each in so many processes."""
    file = file or (CONVERTERS_FILE if converters else FILE)
    for name in models or untimed(rows_of(file)):
        with tempfile.TemporaryDirectory() as folder:
            done = _export(name, Path(folder), converters)
            paths = {form: made.path for form, made in done if not isinstance(made, str) and _is_asked(made)}
            speeds = in_turns({form: partial(exports.measure, form, path) for form, path in paths.items()}, repeats)
        timing = {
            **stamp(architectures=[name]), "weights_sha256": weights_sha256(name), "versions": _versions(converters),
            "repeats": repeats,
            "formats": {
                form: {
                    "p50_us": [round(speed.p50_us, 2) for speed in timed],
                    "images_per_second": [round(speed.images_per_second) for speed in timed],
                }
                for form, timed in speeds.items()
            },
        }  # fmt: skip
        _keep(file, name, rows_of(file)[name] | {"timing": timing})
        print(name, {form: statistics.median(timed["p50_us"]) for form, timed in timing["formats"].items()}, flush=True)
    print("next: python -m benchmarks exports page")


def _keep(file: Path, name: str, row: dict[str, Any]) -> None:
    rows = {**rows_of(file), name: row}
    write_rows(file, {"models": {name: rows[name] for name in pretrained.names() if name in rows}})


def rows_of(file: Path = FILE) -> dict[str, Any]:
    """The rows that there are, by model."""
    rows: dict[str, Any] = read_rows(file).get("models", {})
    return rows


def untimed(rows: dict[str, Any]) -> list[str]:
    """The models of the rows whose present architecture has not been timed."""
    return [name for name, row in rows.items() if "timing" not in row or any(differences(row["timing"]))]


def _export(name: str, folder: Path, converters: bool) -> Iterator[tuple[str, exports.Exported | str]]:
    """Each format, and its file or why there is none."""
    trained = exports.of_run(pretrained.find(name).run)
    usual = [form for form in exports.formats(trained) if form not in CONVERTERS]
    for form in ["onnx", *CONVERTERS] if converters else usual:
        try:
            yield form, exports.export(trained, form, folder)
        except NotInstalled:
            raise  # that says nothing of the format
        except TinydigitsError as error:  # too large, or an operation that the format does not have
            yield form, str(error).splitlines()[0]


def _facts(form: str, done: exports.Exported | str) -> dict[str, Any]:
    if isinstance(done, str):
        return {"problem": done}
    facts: dict[str, Any] = {"bytes": done.num_bytes, "holds": done.holds}
    if done.parity is not None:
        facts["parity"] = dataclasses.asdict(done.parity)
    if form in ("c", "c-int8") and done.holds:
        found = {key: c_code.measure_footprint(done.path, flags) for key, flags in c_code.MICROCONTROLLERS.items()}
        facts["footprints"] = {key: dataclasses.asdict(value) for key, value in found.items() if value}
    return facts


def _is_asked(done: exports.Exported) -> bool:
    return done.parity is not None and done.holds


def _versions(converters: bool) -> dict[str, str]:
    packages = [package for form in CONVERTERS for package in CONVERTERS[form]] if converters else []
    return describe_versions() | {package: metadata.version(package) for package in packages}


def pages() -> Iterator[Page]:
    yield Page(PAGE, page(rows_of(), rows_of(CONVERTERS_FILE)), [FILE, CONVERTERS_FILE])


def formats() -> str:
    """The part of docs/export.md: every format, and what it is."""
    return table(["format", "what it is"], ([f"`{name}`", exports.summary(name)] for name in exports.formats()))


def page(rows: dict[str, Any], converted: dict[str, Any]) -> str:
    """The page as Markdown; every figure is from the rows of both files, by model."""
    return "\n\n".join(_page(rows, converted)) + "\n"


_HEAD = ["format", "bytes", "same class", "largest Δp", "accuracy", "p50 µs", "images/s"]


def _page(rows: dict[str, Any], converted: dict[str, Any]) -> Iterator[str]:
    yield "# Exported files, measured"
    yield "<!-- written by `python -m benchmarks exports page`; change that -->"
    yield (
        "What the formats are: [export](../export.md). Bytes, parity and accuracy are of the weights that come with "
        "the package, by the start of their SHA-256; each "
        "file is asked once for each of the 10,000 test images. Times are of the architecture, as exported on the day "
        "that is named: each file is timed in processes of its own, on one thread; the figures are medians of the "
        "processes'. *p50*: one image, pixels in, probabilities out. *Images/s*: in batches of 100. The C is compiled "
        "with `gcc -O3 -march=native`."
    )
    for name, model in rows.items():
        yield f"## {name}: {model['num_parameters']:,} parameters"
        yield f"{sentence(model)} {_timed(model)}"
        yield table(_HEAD, ([f"`{form}`", *_cells(model, form)] for form in model["formats"]), "lrrrrrr")
        yield from _claims(_times(model))
    yield "## LiteRT and ExecuTorch"
    yield (
        "Timed apart from the tables above, on a machine that had other work, and in turns: a model's three formats "
        "can be compared with each other alone. Bytes, parity and accuracy are of files that were made with "
        + "; or with ".join(sorted({_packages(model) for model in converted.values()}))
        + "."
    )
    yield "\n".join(f"- {name}: {sentence(model)} {_timed(model)}" for name, model in converted.items())
    cells = (
        [f"{name} ({model['num_parameters']:,})", f"`{form}`", *_cells(model, form)]
        for name, model in converted.items()
        for form in model["formats"]
    )
    yield table(["model", *_HEAD], cells, "llrrrrrr")
    yield "## On microcontrollers"
    yield (
        "Flash is code with what it takes of the compiler's library, and constants with all weights; RAM is the static "
        "scratch memory, in bytes, linked by arm-none-eabi-gcc `-Os`. Nothing here was run on such a processor: the "
        "accuracy is that of the same header on this machine, for seed 0's weights, asked once for each image."
    )
    head = ["model", "format", "accuracy", "processor", "flash", "code", "constants", "RAM", "stack"]
    yield table(head, _footprints(rows), "lllrrrrrr")
    yield (
        "BitNetMCU publishes of its own: "
        + ", ".join(f"{size} at {accuracy}" for size, accuracy in BITNETMCU)
        + ", 14 to 57 ms an image at 48 MHz. These sizes are of the weights alone, without code; its images are "
        "16×16; each accuracy is one run's, of several that were compared on the test images. Nothing of it was "
        "measured here."
    )


def _times(model: dict[str, Any]) -> dict[str, Any]:
    """What was timed, by format, of files that hold today."""
    timed = model.get("timing", {}).get("formats", {})
    return {form: times for form, times in timed.items() if model["formats"].get(form, {}).get("holds")}


def _timed(model: dict[str, Any]) -> str:
    """When, where and with what a model was timed."""
    if "timing" not in model:
        return "Not timed yet."
    timing = model["timing"]
    with_others = timing["weights_sha256"] not in model["measured_on"]["weights"].values()
    others = f" with other weights of this architecture, {short(timing['weights_sha256'])}" if with_others else ""
    where = f"{machine_words(timing['machine'])}, {_packages(timing)}"
    return f"Timed on {timing['measured_at']}{others}: {timing['repeats']} processes on {where}."


def _packages(measured: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in measured["versions"].items() if version != "unknown")


def _cells(model: dict[str, Any], form: str) -> list[str]:
    row, times = model["formats"][form], _times(model).get(form)
    if "problem" in row:
        return ["not made", row["problem"], "", "", "", ""]
    parity = row.get("parity")
    if parity is None:
        return [f"{row['bytes']:,}", "", "", "", "", ""]
    accuracy = percent(parity["correct_after"] / parity["seen"])
    cells = [f"{row['bytes']:,}" if row["holds"] else "deleted", f"{parity['same']:,} of {parity['seen']:,}"]
    cells += [f"{parity['largest_difference']:.1e}", accuracy]
    if times is None:
        return [*cells, "", ""]
    return [*cells, f"{_p50(times):,.0f}", f"{statistics.median(times['images_per_second']):,.0f}"]


def _claims(times: dict[str, Any]) -> Iterator[str]:
    """The two ratios, as they came out."""
    if not {"safetensors", "onnx", "c"} <= times.keys():
        return
    eager, onnx, c = (_p50(times[form]) for form in ("safetensors", "onnx", "c"))
    yield (
        f"onnxruntime takes {onnx / eager:.2f} of torch eager's time for one image "
        f"({'at most' if onnx <= eager / 3 else 'more than'} a third); the C header {c / onnx:.2f} of onnxruntime's "
        f"({'not slower' if c <= onnx else 'slower'})."
    )


def _footprints(models: dict[str, Any]) -> Iterator[list[str]]:
    for name, model in models.items():
        for form in ("c-int8", "c"):
            row = model["formats"].get(form, {})
            for processor, found in row.get("footprints", {}).items():
                flash = found["code"] + found["constants"]
                numbers = (flash, found["code"], found["constants"], found["ram"], found["stack"])
                accuracy = percent(row["parity"]["correct_after"] / row["parity"]["seen"])
                what = [f"{name} ({model['num_parameters']:,})", f"`{form}`", accuracy, processor]
                yield what + [f"{number:,}" for number in numbers]


def _p50(row: dict[str, Any]) -> float:
    return statistics.median(row["p50_us"])


COMMANDS = (measure, time_formats)
