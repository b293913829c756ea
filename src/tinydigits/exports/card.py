"""A model card in Hugging Face's form: what the model is, what it was trained on, what was measured, how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinydigits import data
from tinydigits.escape import code, template
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained
from tinydigits.machine import machine_words
from tinydigits.text import source_alias, source_label

__all__ = ["FORMAT", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>-card.md`, to be saved as README.md beside the model's files.

    Every figure is from the run's record and from the verdict on these very weights; without a verdict the card says
    that nothing has been verified. The licence of the weights is left to their owner. Raises TinydigitsError for a
    damaged verdict.
    """
    assert trained.run is not None  # see NEEDS
    record, verdict = trained.run.record, trained.run.verdict
    sources = {record.source, *(judged.source for judged in verdict.data)} if verdict is not None else set()

    def portable(limit: str) -> str:
        for name in sources:  # the card is given away, and does not tell where a folder lies
            limit = limit.replace(source_label(name), source_alias(name))
        return limit

    height, width = trained.card.input_shape[1:]
    source = trained.origin.source
    text = template(Path(__file__).with_name("card.md.j2")).render(
        card=trained.card, stem=trained.stem, record=record, verdict=verdict, height=height, width=width, source=source,
        alias=source_alias, in_words=_in_words, portable=portable, yaml=_yaml, names=data.names(),
        known=[source] if source in data.names() else [],
        results=list(verdict.counted()) if verdict is not None else [],
        shift=verdict.target.test_time_shift_pixels if verdict is not None else 0,
        licence=data.describe(record.source).licence if record.source in data.names() else "not known here",
        machine=machine_words(record.machine, record.device, record.threads),
        versions=", ".join(f"{name} {version}" for name, version in record.versions.items()),
    )  # fmt: skip
    return trained.write(folder / f"{trained.stem}-card.md", text)


def _in_words(source: str) -> str:
    """A data set for readers elsewhere: a folder is none that they could look up, whatever it is called."""
    return source if source in data.names() else f"its maker's own images ({code(source_alias(source))})"


def _yaml(value: Any) -> str:
    """JSON is YAML, but for letters beyond 16 bits: YAML does not read their two halves as one."""
    return json.dumps(value, ensure_ascii=False)


FORMAT = Format(write, needs=("record.json",))
