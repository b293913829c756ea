"""A model card in Hugging Face's form: what the model is, what it was trained on, what was measured, how to use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinydigits import data
from tinydigits.escape import code, markdown
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained
from tinydigits.machine import machine_words
from tinydigits.run import Record
from tinydigits.text import source_alias, source_label
from tinydigits.verdict import Verdict

__all__ = ["FORMAT", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>-card.md`, to be saved as README.md beside the model's files.

    Every figure is from the run's record and from the verdict on these very weights; without a verdict the card says
    that nothing has been verified. The licence of the weights is left to their owner. Raises TinydigitsError for a
    damaged verdict.
    """
    assert trained.run is not None  # see NEEDS
    record = trained.run.record
    verdict = trained.run.verdict
    front = ["---", *_front_matter(trained, verdict), "---"]
    sections = [*_sections(trained, record, verdict)]
    return trained.write(folder / f"{trained.stem}-card.md", "\n".join(front) + "\n\n" + "\n\n".join(sections) + "\n")


def _front_matter(trained: Trained, verdict: Verdict | None) -> Iterator[str]:
    known = [trained.origin.source] if trained.origin.source in data.names() else []
    yield "library_name: tinydigits"
    yield "pipeline_tag: image-classification"
    yield f"tags: {_yaml(['tinydigits', 'image-classification', 'tiny', *known])}"
    if known:
        yield f"datasets: {_yaml(known)}"
    yield "metrics: [accuracy]"
    results = list(verdict.counted()) if verdict is not None else []
    shift = verdict.target.test_time_shift_pixels if verdict is not None else 0
    name = f", name: {_yaml(f'accuracy, averaged over shifts of up to {shift} px')}" if shift else ""
    if results:
        yield "model-index:"
        yield f"- name: {_yaml(trained.stem)}"
        yield "  results:"
    for result in results:
        source = result.data.source
        yield "  - task: {type: image-classification}"
        # A folder's name is not that of a data set that others could look up.
        kind = source if source in data.names() else "imagefolder"
        dataset = {"name": source_alias(source), "type": kind, "split": result.data.split}
        yield f"    dataset: {_yaml(dataset)}"
        yield f"    metrics: [{{type: accuracy, value: {result.correct / result.seen:.6g}{name}}}]"


def _in_words(source: str) -> str:
    """A data set for readers elsewhere: a folder is none that they could look up, whatever it is called."""
    return source if source in data.names() else f"its maker's own images ({code(source_alias(source))})"


def _yaml(value: Any) -> str:
    """JSON is YAML, but for letters beyond 16 bits: YAML does not read their two halves as one."""
    return json.dumps(value, ensure_ascii=False)


def _sections(trained: Trained, record: Record, verdict: Verdict | None) -> Iterator[str]:
    card, stem, recipe = trained.card, trained.stem, record.recipe
    height, width = card.input_shape[1:]
    yield f"# {stem}"
    yield (
        f"A classifier of {height}×{width} grey images into {len(card.classes)} classes "
        f"({markdown(', '.join(card.classes))}): the architecture {code(card.model)} with "
        f"{record.num_parameters:,} parameters, trained on {_in_words(trained.origin.source)} by tinydigits."
    )
    yield "## Results"
    yield "\n".join(_results(verdict, record.source)) or "Nothing has been verified yet: `tinydigits verify` does it."
    yield "## Use"
    yield (
        f"Images are {height}×{width} pixels, prepared as the training images are (MNIST's digits: bright ink on "
        f"black, fitted to 20×20, centred by mass). `{stem}.onnx` (from `tinydigits export RUN onnx`) takes grey "
        "levels of 0 to 1 and normalises by itself."
    )
    yield "\n".join([
        "```python", "import numpy as np, onnxruntime", "",
        f'session = onnxruntime.InferenceSession("{stem}.onnx")',
        f"image = np.zeros((1, 1, {height}, {width}), np.float32)  # grey levels, 0 paper to 1 ink",
        'logits = session.run(["logits"], {"images": image})[0]',
        "probabilities = np.exp(logits) / np.exp(logits).sum(axis=1)", "```",
    ])  # fmt: skip
    yield (
        f"With the weights alone, normalise by `(image - {card.mean:g}) / {card.std:g}`; "
        "`tinydigits.models.load_weights` builds the module."
    )
    yield "## Training"
    yield "\n".join(_training(record, recipe))
    yield "## Limits"
    yield (
        "It knows its classes only and has no answer for what is none of them. The metadata of its ONNX file has "
        "`unsure_below`, the probability that 99 of 100 training images' answers reach: below it an answer is not to "
        "be relied on. It was measured on images like those that it was trained on; photographs and drawings need the "
        "preparation named above. It is no base for decisions about people."
    )


def _results(verdict: Verdict | None, source: str) -> Iterator[str]:
    if verdict is None:
        return
    yield "| check | measured | limit | finding |"
    yield "| --- | --- | --- | --- |"
    sources = {source, *(data.source for data in verdict.data)}
    for finding in verdict.findings:
        limit = finding.limit
        for name in sources:  # the card is given away, and does not tell where a folder lies
            limit = limit.replace(source_label(name), source_alias(name))
        cells = map(markdown, (finding.check, finding.measured, limit, finding.status))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        f"Measured by `tinydigits verify` on {verdict.verified_at[:10]} against the contract "
        f"{code(verdict.contract.name)}: {verdict.word}."
    )
    if note := verdict.target.code_note:
        yield ""
        yield f"In that verdict, {markdown(note)}."
    if shift := verdict.target.test_time_shift_pixels:
        yield ""
        yield (
            f"Test-time augmentation: the accuracy is of answers averaged over all shifts of up to {shift} px. An "
            "exported file is asked once; its accuracy may be lower or higher."
        )


def _training(record: Record, recipe: Mapping[str, Any]) -> Iterator[str]:
    images = f"{record.num_train:,} training images"
    if record.num_validation:
        images += f", {record.num_validation:,} more held out for validation"
    licence = data.describe(record.source).licence if record.source in data.names() else "not known here"
    yield f"- data: {_in_words(record.source)}, {images}; licence of the data: {licence}"
    yield f"- recipe: {code(recipe['name'])}, seed {recipe['seed']}, epochs: {record.epochs}, steps: {record.steps:,}"
    machine = machine_words(record.machine, record.device, record.threads)
    yield f"- time: {record.seconds.training:.0f} s on {markdown(machine)}"
    yield "- versions: " + markdown(", ".join(f"{name} {version}" for name, version in record.versions.items()))
    yield f"- SHA-256 of the training images and labels: {code(record.data_sha256)}"


FORMAT = Format(write, needs=("record.json",))
