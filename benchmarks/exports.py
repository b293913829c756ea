"""Every export of every shipped model: size, parity, speed; flash and RAM on microcontrollers.

    python -m benchmarks.exports measure     # bytes, parity, accuracy, flash: every shipped model, 1 to 4 minutes each
    python -m benchmarks.exports measure --models gap-cnn-tuned    # this one
    python -m benchmarks.exports time        # on a quiet machine: models whose architecture has not been timed yet
    python -m benchmarks.exports measure --converters    # .tflite and .pte beside ONNX, where both extras are installed
    python -m benchmarks.exports page        # writes docs/export.md from it (--check: only compare)

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

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.provenance import differences, sentence, short, stamp, weights_sha256
from tinydigits import export, pretrained
from tinydigits.errors import TinydigitsError
from tinydigits.export import c_code
from tinydigits.extras import NotInstalled
from tinydigits.machine import describe_machine, describe_versions
from tinydigits.run import write_atomic

FILE = Path(__file__).parent / "results" / "exports.json"
CONVERTERS_FILE = FILE.with_name("exports-converters.json")
CONVERTERS = {"litert": ("litert-torch", "ai-edge-litert"), "executorch": ("executorch",)}  # formats and their packages
PAGE = Path(__file__).parents[1] / "docs" / "export.md"
REPEATS = 5
# What BitNetMCU publishes of itself (https://github.com/cpldcpu/BitNetMCU, docs/documentation_cnn.md), for a RISC-V
# CH32V002 at 48 MHz: not measured here, and on its own count of bytes.
BITNETMCU = (("3.2 kB", "98.92 %"), ("7.3 kB", "99.28 %"), ("11 kB", "99.55 %"))


def measure(names: Sequence[str], file: Path = FILE, *, converters: bool = False) -> None:
    """Export the named models in every format, or `CONVERTERS`, and put each file to the test images."""
    if not converters and not shutil.which("arm-none-eabi-gcc"):
        raise TinydigitsError("benchmarks.exports", "needs arm-none-eabi-gcc for flash and RAM")
    for name in names:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            formats = {form: _facts(form, done) for form, done in _export(name, Path(folder), converters)}
        before = read_rows(file).get(name, {})
        for form, facts in formats.items():
            if "problem" in facts and "bytes" in before.get("formats", {}).get(form, {}):
                raise TinydigitsError(f"{name}, {form}", f"was made before, and is not now: {facts['problem']}")
        row = {
            **stamp(weights=[name]), "versions": _versions(converters),
            "num_parameters": pretrained.find(name).run.record.num_parameters, "formats": formats,
        }  # fmt: skip
        _keep(file, name, row | {key: before[key] for key in ("timing",) if key in before})
        print(f"{name}: {len(formats)} formats in {time.perf_counter() - started:.0f} s", flush=True)


def time_models(names: Sequence[str], repeats: int, file: Path = FILE, *, converters: bool = False) -> None:
    """Time every format of the named models that is in the file already and can be asked."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            done = _export(name, Path(folder), converters)
            paths = {form: found.path for form, found in done if not isinstance(found, str) and _is_asked(found)}
            speeds: dict[str, list[export.Speed]] = {form: [] for form in paths}
            for _ in range(repeats):
                for form, path in paths.items():
                    speeds[form].append(export.measure(form, path))
        timing = {
            **stamp(architectures=[name]), "weights_sha256": weights_sha256(name), "machine": describe_machine(),
            "versions": _versions(converters), "repeats": repeats,
            "formats": {
                form: {
                    "p50_us": [round(speed.p50_us, 2) for speed in found],
                    "images_per_second": [round(speed.images_per_second) for speed in found],
                }
                for form, found in speeds.items()
            },
        }  # fmt: skip
        _keep(file, name, read_rows(file)[name] | {"timing": timing})
        print(name, {form: statistics.median(found["p50_us"]) for form, found in timing["formats"].items()}, flush=True)


def _keep(file: Path, name: str, row: dict[str, Any]) -> None:
    found = {**read_rows(file), name: row}
    rows = {name: found[name] for name in pretrained.names() if name in found}
    write_atomic(file, json.dumps({"models": rows}, indent=1) + "\n")


def read_rows(file: Path = FILE) -> dict[str, Any]:
    """The rows that there are, by model."""
    rows: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["models"] if file.is_file() else {}
    return rows


def untimed(rows: dict[str, Any]) -> list[str]:
    """The models of the rows whose present architecture has not been timed."""
    return [name for name, row in rows.items() if "timing" not in row or any(differences(row["timing"]))]


def _export(name: str, folder: Path, converters: bool) -> Iterator[tuple[str, export.Exported | str]]:
    """Each format, and its file or why there is none."""
    trained = export.of_run(pretrained.find(name).run)
    usual = [form for form in export.formats(trained) if form not in CONVERTERS]
    for form in ["onnx", *CONVERTERS] if converters else usual:
        try:
            yield form, export.export(trained, form, folder)
        except NotInstalled:
            raise  # that says nothing of the format
        except TinydigitsError as error:  # too large, or an operation that the format does not have
            yield form, str(error).splitlines()[0]


def _facts(form: str, done: export.Exported | str) -> dict[str, Any]:
    if isinstance(done, str):
        return {"problem": done}
    facts: dict[str, Any] = {"bytes": done.num_bytes, "holds": done.holds}
    if done.parity is not None:
        facts["parity"] = dataclasses.asdict(done.parity)
    if form in ("c", "c-int8") and done.holds:
        found = {key: c_code.measure_footprint(done.path, flags) for key, flags in c_code.MICROCONTROLLERS.items()}
        facts["footprints"] = {key: dataclasses.asdict(value) for key, value in found.items() if value}
    return facts


def _is_asked(done: export.Exported) -> bool:
    return done.parity is not None and done.holds


def _versions(converters: bool) -> dict[str, str]:
    packages = [package for form in CONVERTERS for package in CONVERTERS[form]] if converters else []
    return describe_versions() | {package: metadata.version(package) for package in packages}


def page(rows: dict[str, Any], converted: dict[str, Any]) -> str:
    """The page as Markdown; every figure is from the rows of both files, by model."""
    return "\n".join(_page(rows, converted)) + "\n"


def _page(rows: dict[str, Any], converted: dict[str, Any]) -> Iterator[str]:
    yield "# Export"
    yield ""
    yield "<!-- written by `python -m benchmarks.exports page`; change that -->"
    yield ""
    yield "```sh"
    yield "tinydigits export onnx c                # the latest run, into its folder"
    yield "tinydigits export gap-cnn-tuned all     # a shipped model, into this folder, with the table below"
    yield "```"
    yield ""
    yield from _table(
        ["format", "what it is"], "ll", ([f"`{name}`", export.summary(name)] for name in export.formats())
    )
    yield ""
    yield (
        "In the source tree, `pip install -e '.[export]'` brings what ONNX and C need; "
        "C needs a compiler, too, to be asked. "
        "`tinydigits[litert]` and `tinydigits[executorch]` bring their converters, 1.2 and 0.6 GB beside torch "
        "([log](log.md#exports)). Continuous integration has neither; their tests run where they are. "
        "Under `all` a format that is not installed has a row that says so."
    )
    yield ""
    yield "## What an exported file takes and gives"
    yield ""
    yield (
        "ONNX and pt2 files take `images`: float32 (batch, 1, 28, 28), grey levels from 0 (paper) to 1 (ink), any "
        "batch. Normalisation is inside. They give `logits`, (batch, classes). The model's card stands in their "
        "metadata as JSON under `tinydigits`; a card's `mean` and `std` say what its file wants done to images first, "
        "and so are 0 and 1 here. The C headers take 784 bytes, 0 to 255, and give probabilities."
    )
    yield ""
    yield "```c"
    yield "#define TINYDIGITS_IMPLEMENTATION   // in one C file of the program"
    yield '#include "digits.h"'
    yield '#include "digits-int8.h"'
    yield ""
    yield "float probabilities[DIGITS_NUM_CLASSES];"
    yield "int label = digits_predict(image, probabilities), in_8_bits = digits_int8_predict(image, probabilities);"
    yield "```"
    yield ""
    yield (
        "Every name in a header begins with the file's own, in C's letters: `frontier-3k-int8.h` has "
        "`frontier_3k_int8_predict` and `FRONTIER_3K_INT8_NUM_CLASSES`, `3x3.h` has `model_3x3_predict`. So any number "
        "of headers go into one program, and into one file of it. Two different models of one name in one file are an "
        "error of the compiler: the name is the recipe's."
    )
    yield ""
    yield (
        "A .tflite and a .pte take one image a call, (1, 1, 28, 28), and are else the same. The card of a .tflite is "
        "its associated file `tinydigits`; that of a .pte is what its method `tinydigits` gives. A .pte is for a "
        "runtime with XNNPACK, as ExecuTorch has it for phones."
    )
    yield ""
    yield "## Parity"
    yield ""
    yield (
        "Every export is followed by a question to the file for every test image of the model's data set. It must give "
        "the checkpoint's class on all of them; 8-bit files may lose at most 0.1 points of accuracy. A file that does "
        "not is deleted, and the command exits with 1. The checkpoint is asked as the file is, one view of each image. "
        "The drawing page's own script is asked in Node; without Node the command says that its parity was not run. A "
        "page over 200,000 bytes is not written: an error when it is asked for by name, a row that says so under `all`."
    )
    yield ""
    yield "## The shipped models"
    yield ""
    yield (
        "Bytes, parity and accuracy are of the weights that come with the package, by the start of their SHA-256; each "
        "file is asked once for each of the 10,000 test images. Times are of the architecture, as exported on the day "
        "that is named: each file is timed in processes of its own, on one thread; the figures are medians of the "
        "processes'. *p50*: one image, pixels in, probabilities out. *Images/s*: in batches of 100. The C is compiled "
        "with `gcc -O3 -march=native`."
    )
    for name, model in rows.items():
        yield ""
        yield f"### {name}: {model['num_parameters']:,} parameters"
        yield ""
        yield f"{sentence(model)} {_timed(model)}"
        yield ""
        head = ["format", "bytes", "same class", "largest Δp", "accuracy", "p50 µs", "images/s"]
        yield from _table(head, "lrrrrrr", ([f"`{form}`", *_cells(model, form)] for form in model["formats"]))
        for claim in _claims(_times(model)):
            yield ""
            yield claim
    yield from _converted(converted)
    yield ""
    yield "## On microcontrollers"
    yield ""
    yield (
        "Flash is code with what it takes of the compiler's library, and constants with all weights; RAM is the static "
        "scratch memory, in bytes, linked by arm-none-eabi-gcc `-Os`. Nothing here was run on such a processor: the "
        "accuracy is that of the same header on this machine, for seed 0's weights, asked once for each image."
    )
    yield ""
    head = ["model", "format", "accuracy", "processor", "flash", "code", "constants", "RAM", "stack"]
    yield from _table(head, "lllrrrrrr", _footprints(rows))
    yield ""
    yield (
        "BitNetMCU publishes of its own: "
        + ", ".join(f"{size} at {accuracy}" for size, accuracy in BITNETMCU)
        + ", 14 to 57 ms an image at 48 MHz. These sizes are of the weights alone, without code; its images are "
        "16×16; each accuracy is one run's, of several that were compared on the test images. Nothing of it was "
        "measured here."
    )


def _converted(rows: dict[str, Any]) -> Iterator[str]:
    """LiteRT and ExecuTorch, each with ONNX from the same processes' turns."""
    yield ""
    yield "## LiteRT and ExecuTorch"
    yield ""
    yield (
        "Timed apart from the tables above, on a machine that had other work, and in turns: a model's three formats "
        "can be compared with each other alone. Bytes, parity and accuracy are of files that were made with "
        + "; or with ".join(sorted({_packages(model) for model in rows.values()}))
        + "."
    )
    yield ""
    for name, model in rows.items():
        yield f"- {name}: {sentence(model)} {_timed(model)}"
    yield ""
    head = ["model", "format", "bytes", "same class", "largest Δp", "accuracy", "p50 µs", "images/s"]
    cells = (
        [f"{name} ({model['num_parameters']:,})", f"`{form}`", *_cells(model, form)]
        for name, model in rows.items()
        for form in model["formats"]
    )
    yield from _table(head, "llrrrrrr", cells)


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
    return (
        f"Timed on {timing['measured_at']}{others}: {timing['repeats']} processes on {timing['machine']['processor']}, "
        f"{_packages(timing)}."
    )


def _packages(measured: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in measured["versions"].items() if version != "unknown")


def _cells(model: dict[str, Any], form: str) -> list[str]:
    row, times = model["formats"][form], _times(model).get(form)
    if "problem" in row:
        return ["not made", row["problem"], "", "", "", ""]
    parity = row.get("parity")
    if parity is None:
        return [f"{row['bytes']:,}", "", "", "", "", ""]
    accuracy = f"{100 * parity['correct_after'] / parity['seen']:.2f} %"
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
                accuracy = f"{100 * row['parity']['correct_after'] / row['parity']['seen']:.2f} %"
                what = [f"{name} ({model['num_parameters']:,})", f"`{form}`", accuracy, processor]
                yield what + [f"{number:,}" for number in numbers]


def _p50(row: dict[str, Any]) -> float:
    return statistics.median(row["p50_us"])


def _table(head: Sequence[str], alignment: str, rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join({'l': ' :--- ', 'r': ' ---: '}[letter] for letter in alignment)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["measure", "time", "page"])
    parser.add_argument("--models", nargs="+", help="shipped models; measure: otherwise all, time: those not timed yet")
    parser.add_argument("--converters", action="store_true", help="LiteRT and ExecuTorch, with ONNX beside them")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="time: processes for each file")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    options = parser.parse_args()
    file = CONVERTERS_FILE if options.converters else FILE
    if options.task != "page":
        if options.task == "measure":
            measure(options.models or pretrained.names(), file, converters=options.converters)
        else:
            names = options.models or untimed(read_rows(file))
            time_models(names, options.repeats, file, converters=options.converters)
        print(f"{file}\nnext: python -m benchmarks.exports page")
        return 0
    text = page(read_rows(), read_rows(CONVERTERS_FILE))
    if options.check:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
