"""The model takes the input that it says it takes, alone and in batches."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small
from tinydigits.checks._finding import Finding
from tinydigits.checks._subject import Subject, logits_of

NAME = "shapes.input"
ADVICE = "Size the layers and the flattened width for it; `tinydigits models show MODEL` prints each layer's output."


class Limits(_finding.Limits):
    """`true`, or `{shape = [1, 28, 28], batch_sizes = [1, 2, 16]}`; the shape is without the batch."""

    shape: tuple[int, ...] | None = None
    batch_sizes: tuple[int, ...] = (1, 2, 16)


def check(subject: Subject, limits: Limits) -> Finding:
    """Run one forward pass for each batch size, in eval mode."""
    subject = replace(subject, input_shape=limits.shape or subject.input_shape)
    text = "×".join(map(str, subject.input_shape))
    taken: list[int] = []
    with subject.borrow() as model:
        for batch_size in limits.batch_sizes:
            try:
                logits_of(model, subject.images(batch_size))
            except Exception as error:  # whatever the model's own code raises
                return Finding(
                    NAME, "fail", f"refuses {batch_size}×{text}", f"takes {text}", f"{type(error).__name__}: {error}"
                )
            taken.append(batch_size)
    return Finding(NAME, "pass", f"takes {text}", f"takes {text}", f"in batches of {', '.join(map(str, taken))}")


def _of_16_pixels() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10))


EXAMPLES = (
    Example("pass", lambda: small(), says="1×8×8"),
    Example("pass", lambda: small(), {"shape": [1, 12, 12]}, says="1×12×12"),
    Example("fail", lambda: small(_of_16_pixels()), says="refuses 1×1×8×8"),
)
