"""What a record says for people: what was trained on what, for how long, and where."""

from __future__ import annotations

from collections.abc import Iterator

from tinydigits.figures import count_of, duration, megabytes, setting
from tinydigits.machine import machine_words
from tinydigits.run.folder import Record

__all__ = ["facts_of"]


def facts_of(record: Record) -> Iterator[tuple[str, object]]:
    """What was run, on what: pairs of a name and a value for people."""
    recipe, seconds = record.recipe, record.seconds
    options = ", ".join(f"{key} = {setting(value)}" for key, value in recipe["model"].get("options", {}).items())
    yield "model", recipe["model"]["name"] + (f" ({options})" if options else "")
    yield "parameters", f"{record.num_parameters:,}, and {record.num_buffers:,} numbers in buffers"
    held_out = f", {record.num_validation:,} held out for validation" if record.num_validation else ""
    yield "trained on", f"{record.num_train:,} images of {record.source_label} train{held_out}"
    yield "epochs", record.epochs_trained
    yield "steps", f"{record.steps:,}"
    statistics = f", and {record.images_for_statistics:,} for BatchNorm's" if record.images_for_statistics else ""
    yield "images seen", f"{record.images_seen:,}{statistics}"
    shift = recipe.get("evaluation", {}).get("shift_pixels", 0)
    if shift:
        yield "test-time augmentation", f"shifts of up to {count_of(shift, 'pixel')}"
    yield "start-up", duration(seconds.start_up)
    speed = f" ({record.images_seen / seconds.training:,.0f} images/s)" if seconds.training > 0 else ""
    yield "training", duration(seconds.training) + speed
    yield "evaluation", duration(seconds.evaluation)
    yield "peak memory", megabytes(record.peak_memory_bytes)
    if record.resumed:
        yield "resumed", count_of(record.resumed, "time")
    yield "machine", machine_words(record.machine, record.device, record.threads)
    yield "memory", f"{record.machine.get('memory_bytes', 0) / 1e9:.0f} GB"
    yield "versions", ", ".join(f"{package} {version}" for package, version in record.versions.items())
    yield "git commit", record.git_commit or "none"
    yield "training images", f"SHA-256 {record.data_sha256[:16]}…"
    if record.code_sha256:
        yield "code", ", ".join(f"{name} {sha256[:16]}…" for name, sha256 in record.code_sha256.items())
    yield "started", record.started_at
