"""Which kinds of layer the model is made of: required, forbidden.

Read from the exported graph in train mode, by what is computed: functional and module forms alike, and only what
reaches the output. A BatchNorm that is never called or whose output is thrown away is not there, nor is a dropout with
p = 0. Average pooling is global when it leaves no rows and columns, however it is written (`mean`, a full-sized window,
adaptive, einsum).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, model_validator
from torch import Tensor, nn

from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._finding import Finding
from tinydigits.checks._subject import Subject
from tinydigits.trace import KINDS

NAME = "model.layers"
ADVICE = "A layer counts when its result reaches the output: one that is only constructed, or thrown away, does not."


def _known(kind: str) -> str:
    if kind not in KINDS:
        import difflib

        near = difflib.get_close_matches(kind, KINDS, n=2)
        raise ValueError(f"unknown kind of layer, near {' or '.join(near)}" if near else f"one of {', '.join(KINDS)}")
    return kind


Kind = Annotated[str, AfterValidator(_known)]


class Limits(_finding.Limits):
    """`{require = ["batch_norm", "dropout"], forbid = ["linear"]}`."""

    require: tuple[Kind, ...] = ()
    forbid: tuple[Kind, ...] = ()

    @model_validator(mode="after")
    def _asks_for_something(self) -> Limits:
        if not self.require and not self.forbid:
            raise ValueError("require or forbid is needed")
        return self


def check(subject: Subject, limits: Limits) -> Finding:
    """Look each kind up; name the layers that should not be there."""
    found = subject.trace.kinds
    wrong = [f"no {kind} reaches the output" for kind in limits.require if not found[kind]]
    for kind in limits.forbid:
        places = [layer.path or layer.name for layer in subject.trace.layers if kind in layer.kinds]
        if places:
            wrong.append(f"{kind} at {', '.join(places)}")
    asked = dict.fromkeys([*limits.require, *limits.forbid])
    words = [f"needs {kind}" for kind in limits.require] + [f"no {kind}" for kind in limits.forbid]
    return Finding.judge(
        NAME, not wrong, measured=", ".join(f"{kind} {found[kind]}" for kind in asked), limit=", ".join(words),
        why="; ".join(wrong), details={"kinds": dict(found)}, advice=_advise(limits, found),
    )  # fmt: skip


def _advise(limits: Limits, found: Mapping[str, int]) -> str:
    missing = [kind for kind in limits.require if not found[kind]]
    surplus = [kind for kind in limits.forbid if found[kind]]
    asked = {"Add": missing, "Take out": surplus}
    return " ".join([*(f"{verb} {' and '.join(kinds)}." for verb, kinds in asked.items() if kinds), ADVICE])


class _Decoy(nn.Module):
    """Has BatchNorm and Dropout modules: one is never called, the other's output is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.never_called, self.thrown_away = nn.BatchNorm2d(1), nn.Dropout(0.5)
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        self.thrown_away(images)
        return self.linear(images.flatten(1))


EXAMPLES = (
    Example("pass", lambda: small(), {"require": ["batch_norm", "dropout", "global_average_pool"]}),
    Example("fail", lambda: small(_Decoy()), {"require": ["batch_norm"]}, says="no batch_norm"),
    Example("fail", lambda: small(_Decoy()), {"require": ["dropout"]}, says="no dropout"),
    Example("fail", lambda: small(small_model(dropout=0.0)), {"require": ["dropout"]}),
    Example("fail", lambda: small(), {"forbid": ["linear"]}, says="linear at 6"),
    Example("pass", lambda: small(_Decoy()), {"forbid": ["conv", "batch_norm"]}),
)
