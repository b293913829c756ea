"""The model takes the input that it says it takes, alone and in batches.

For a model that does not say it itself (a class, a file without metadata), `shape`, `mean`, `std`, `range` and `resize`
tell every check how it takes its images. Grey levels of 0 to 1 are normalised as `(grey - mean) / std`; `range = [0,
255]` says the same by what paper and ink become. To a larger size, images get a border of paper, or are resized with
`resize = true`; to a smaller one they are always resized. Grey is repeated in every channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator
from torch import nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._limits import Count
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.data.model_input import Levels, levels_of_range
from tinydigits.verdict import Finding

NAME = "shapes.input"
ADVICE = "Size the layers and the flattened width for it; `tinydigits models show MODEL` prints each layer's output."


class Limits(_limits.Limits):
    """`true`, or `{shape = [3, 32, 32], mean = 0.5, std = 0.5, batch_sizes = [1, 2, 16]}`; without the batch.

    >>> Limits(range=(-1, 1)).input_facts()
    {'mean': 0.5, 'std': 0.5}
    """

    shape: tuple[Count, ...] | None = Field(
        None, min_length=1, description="one image as the model takes it, without the batch"
    )
    batch_sizes: tuple[Count, ...] = Field((1, 2, 16), min_length=1, description="how many images it must take at once")
    mean: Levels | None = Field(None, description="taken from grey levels of 0 to 1, one or one for each channel")
    std: Levels | None = Field(None, description="then divided by")
    range: tuple[float, float] | None = Field(None, description="instead of mean and std: what paper and ink become")
    resize: bool | None = Field(None, description="resize to a larger input in place of a border of paper")

    @model_validator(mode="after")
    def _says_it_once(self) -> Limits:
        if self.range is not None and not (self.mean is None and self.std is None):
            raise ValueError("either range, or mean and std")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("a range from paper to ink, as [0, 255]")
        return self

    def input_facts(self) -> dict[str, Any]:
        """What is said of the input, by the fields of `Subject`."""
        mean, std = levels_of_range(*self.range) if self.range is not None else (self.mean, self.std)
        fields = {"input_shape": self.shape, "mean": mean, "std": std, "resize": self.resize}
        return {name: value for name, value in fields.items() if value is not None}


def check(subject: Subject, limits: Limits) -> Finding:
    """Run one forward pass for each batch size, in eval mode."""
    subject = replace(subject, input_shape=limits.shape or subject.input_shape)
    text = "×".join(map(str, subject.input_shape))
    if "batches" in subject.lacks and len(limits.batch_sizes) > 1:
        return Finding(NAME, "fail", "one batch size", f"takes {text}", subject.lacks["batches"])
    accepted: list[int] = []
    with subject.borrow() as model:
        for batch_size in limits.batch_sizes:
            try:
                logits_of(model, subject.images(batch_size))
            except Exception as error:  # whatever the model's own code raises
                return Finding(
                    NAME, "fail", f"refuses {batch_size}×{text}", f"takes {text}", f"{type(error).__name__}: {error}"
                )
            accepted.append(batch_size)
    return Finding(NAME, "pass", f"takes {text}", f"takes {text}", f"in batches of {', '.join(map(str, accepted))}")


def _of_16_pixels() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10))


EXAMPLES = (
    Example("pass", lambda: small(), says="1×8×8"),
    Example("pass", lambda: small(), {"shape": [1, 12, 12]}, says="1×12×12"),
    Example("fail", lambda: small(_of_16_pixels()), says="refuses 1×1×8×8"),
)
