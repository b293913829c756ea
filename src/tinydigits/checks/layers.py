"""Which kinds of layer the model is made of: required, forbidden.

Read from the exported graphs of train and eval mode, by what is computed: functional and module forms alike, and only
what reaches the output. A BatchNorm that is never called or whose output is thrown away is not there, nor is one that
is frozen in train mode, nor a dropout with p = 0. Average pooling is global when it leaves no rows and columns, however
it is written (`mean`, a full-sized window, adaptive, einsum). A required layer must also act: the graph is run, and
when the layer's result is changed the answers must change, in train mode and, but for dropout, in eval mode.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject
from tinydigits.trace import KINDS
from tinydigits.verdict import Finding

NAME = "model.layers"
ADVICE = "A layer counts when its result reaches the output: one that is only constructed, or thrown away, does not."


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        import difflib

        near = difflib.get_close_matches(kind, KINDS, n=2)
        raise ValueError(f"a kind of layer, as {' or '.join(near)}" if near else f"one of {', '.join(KINDS)}")
    return kind


Kind = Annotated[str, AfterValidator(_known_kind)]


class Limits(_limits.Limits):
    """`{require = ["batch_norm", "dropout"], forbid = ["linear"]}`."""

    require: tuple[Kind, ...] = Field((), description="kinds that must be there and act")
    forbid: tuple[Kind, ...] = Field((), description="kinds that must not be there")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Limits:
        if not self.require and not self.forbid:
            raise ValueError("require or forbid, or both")
        both = sorted(set(self.require) & set(self.forbid))
        if both:
            raise ValueError(f"either require or forbid for {', '.join(both)}")
        return self


def check(subject: Subject, limits: Limits) -> Finding:
    """Look each kind up, try whether it acts, and name the layers that should not be there."""
    trace = subject.trace
    kinds = trace.kinds
    hidden = {
        kind: subject.lacks[kind]
        for kind in dict.fromkeys([*limits.require, *limits.forbid])
        if kind in subject.lacks and not kinds[kind]
    }
    lacking = {kind: trace.lacks(kind, moved=not subject.trained) for kind in limits.require if kind not in hidden}
    surplus = {kind: trace.places(kind) for kind in limits.forbid}
    wrong = [why for why in lacking.values() if why]
    wrong += [f"{kind} at {', '.join(places)}" for kind, places in surplus.items() if places]
    kinds_named = dict.fromkeys([*limits.require, *limits.forbid])
    words = [f"needs {kind}" for kind in limits.require] + [f"no {kind}" for kind in limits.forbid]
    measured, limit = ", ".join(f"{kind} {kinds[kind]}" for kind in kinds_named), ", ".join(words)
    if not wrong and hidden:
        why = "; ".join(f"{kind} cannot be told: {reason}" for kind, reason in hidden.items())
        return Finding.not_run(NAME, why, limit=limit, advice="Verify the model's class with --weights, or its run.")
    if not wrong and limits.forbid and trace.opaque_ops:
        why = f"what {', '.join(trace.opaque_ops)} does inside cannot be read"
        return Finding(NAME, "undecided", measured, limit, why, {"kinds": dict(kinds)})
    return Finding.judge(
        NAME, not wrong, measured=measured, limit=limit, why="; ".join(wrong), details={"kinds": dict(kinds)},
        advice=_advise([kind for kind in lacking if lacking[kind]], [kind for kind in surplus if surplus[kind]]),
    )  # fmt: skip


def _advise(missing: list[str], surplus: list[str]) -> str:
    kinds_by_verb = {"Add": missing, "Take out": surplus}
    return " ".join([*(f"{verb} {' and '.join(kinds)}." for verb, kinds in kinds_by_verb.items() if kinds), ADVICE])


class _Decoy(nn.Module):
    """Has BatchNorm and Dropout modules: one is never called, the other's output is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.never_called, self.thrown_away = nn.BatchNorm2d(1), nn.Dropout(0.5)
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        self.thrown_away(images)
        return self.linear(images.flatten(1))


class _ByZero(nn.Module):
    """Adds nothing times what BatchNorm gives."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm2d(1), nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear((images + 0.0 * self.norm(images)).flatten(1))


EXAMPLES = (
    Example("pass", lambda: small(), {"require": ["batch_norm", "dropout", "global_average_pool"]}),
    Example("fail", lambda: small(_Decoy()), {"require": ["batch_norm"]}, says="no batch_norm"),
    Example("fail", lambda: small(_Decoy()), {"require": ["dropout"]}, says="no dropout"),
    Example("fail", lambda: small(_ByZero()), {"require": ["batch_norm"]}, says="norm has no effect on the answers"),
    Example("fail", lambda: small(small_model(dropout=0.0)), {"require": ["dropout"]}),
    Example("fail", lambda: small(), {"forbid": ["linear"]}, says="linear at 6"),
    Example("pass", lambda: small(_Decoy()), {"forbid": ["conv", "batch_norm"]}),
)
