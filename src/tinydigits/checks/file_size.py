"""How many bytes the model takes as a file.

For a model that came as a file (weights of a run, `--weights`, an exported one) it is that file's size. A fresh model
is saved as safetensors, which is the tensors' own bytes and a header of a few hundred: parameters and buffers, shared
ones once.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject
from tinydigits.verdict import Finding

NAME = "model.file_size"
ADVICE = "Fewer parameters make a smaller file; checkpoints that hold optimizer state are larger than weights."


class Limits(_limits.Limits):
    """`{max_kb = 100}`, of 1,000 bytes."""

    max_kb: float = Field(gt=0, description="the largest size, in kB of 1,000 bytes")

    def text(self) -> str:
        return f"at most {self.max_kb:,g} kB"


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the file's size, or that of the file that the model would be."""
    if subject.file is not None:
        num_bytes, why = subject.file.stat().st_size, f"size of {subject.file.name}"
    else:
        num_bytes, why = len(_saved(subject)), "saved as safetensors"
    return Finding.judge(
        NAME, num_bytes <= 1_000 * limits.max_kb, measured=f"{num_bytes / 1_000:,.1f} kB", why=why,
        details={"bytes": num_bytes},
    )  # fmt: skip


def _saved(subject: Subject) -> bytes:
    from safetensors.torch import save

    unique: dict[Any, tuple[str, Tensor]] = {}
    for name, tensor in subject.model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else (name,)
        unique.setdefault(place, (name, tensor.detach().cpu().contiguous().clone()))
    return save(dict(unique.values()))


def _shared() -> Subject:
    model = small_model()
    model.twin = model[6]
    return small(model)


EXAMPLES = (
    Example("pass", lambda: small(), {"max_kb": 2}, says="saved as safetensors"),
    Example("fail", lambda: small(), {"max_kb": 0.2}, says="kB"),
    Example("pass", _shared, {"max_kb": 2}),
)
