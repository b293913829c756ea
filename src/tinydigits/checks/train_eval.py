"""Train and eval mode differ exactly as the model's layers say.

With dropout in the graph, two passes in train mode differ. With BatchNorm, a pass in train mode moves the running
statistics. With neither, without other random numbers and buffers that a pass moves (as spectral norm's), both modes
give the same. In eval mode nothing is random and nothing in the model changes. No forward pass changes the mode itself.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.trace import inventory
from tinydigits.verdict import Finding

NAME = "behaviour.train_eval"
NEEDS = ("train",)
ADVICE = "Let `train()` and `eval()` switch dropout and BatchNorm, nothing else; functional forms take `self.training`."
_TOLERANCE = 1e-5


class Limits(_limits.Limits):
    """`true`, or `{passes = 8}`: how often dropout with a small p is given the chance to show."""

    passes: int = Field(8, ge=2, description="how many passes in train mode are compared")


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare passes in each mode with what the traced layers promise."""
    kinds, draws = subject.trace.kinds, subject.trace.random_ops
    has_dropout, has_norm = kinds["dropout"] + kinds["stochastic_depth"] > 0, kinds["batch_norm"] > 0
    images_BCHW = subject.images(64)
    wrong = []
    with subject.borrow() as model, torch.no_grad():
        state = _state(model)
        eval_BK = logits_of(model, images_BCHW)
        if not torch.equal(eval_BK, logits_of(model, images_BCHW)):
            wrong.append("eval mode gives another answer each time")
        if _changed(state, _state(model)):
            wrong.append(f"eval mode changes {', '.join(_changed(state, _state(model)))}")
        switched = any(module.training for module in inventory(model).modules.values())
    train_BK = []
    for seed in range(limits.passes):  # each from the same weights: what a pass changes is no randomness
        with subject.borrow(train=True, seed=seed) as model, torch.no_grad():
            state, modes = _state(model), _modes(model)
            train_BK.append(logits_of(model, images_BCHW))
            moved = [name for name in _changed(state, _state(model)) if state[name].is_floating_point()]
            switched |= modes != _modes(model)
    if switched:
        wrong.append("the forward pass changes the mode")
    random_in_train = any(not torch.equal(train_BK[0], other) for other in train_BK[1:])
    same_as_eval = all(_close(answer, eval_BK) for answer in train_BK)
    if has_dropout and not random_in_train:
        wrong.append(f"the graph has dropout, but {limits.passes} passes in train mode are the same")
    if not has_dropout and not draws and random_in_train:
        wrong.append("train mode is random, but the graph draws no random numbers")
    if has_norm and not moved:
        wrong.append("the graph has BatchNorm, but a pass in train mode moves no running statistics")
    if not (has_dropout or has_norm or draws or moved or same_as_eval):
        wrong.append("train and eval mode differ without dropout or BatchNorm")
    layers = " and ".join([*["dropout"] * has_dropout, *["BatchNorm"] * has_norm, *[", ".join(draws)] * bool(draws)])
    layers = layers or "neither dropout nor BatchNorm"
    return Finding.judge(
        NAME, not wrong, measured="the same" if same_as_eval else "they differ", limit=f"as expected with {layers}",
        why="; ".join(wrong), details={"random_in_train": random_in_train, "statistics_moved": len(moved)},
    )  # fmt: skip


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in inventory(model).tensors.items()}


def _modes(model: nn.Module) -> list[bool]:
    return [module.training for module in inventory(model).modules.values()]


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in after.items() if name not in before or not torch.equal(tensor, before[name])]


def _close(answer: Tensor, expected: Tensor) -> bool:
    return bool((answer - expected).abs().max() <= _TOLERANCE * expected.abs().max().clamp_min(1e-12))


class _AlwaysDrops(nn.Module):
    """Forgets to say `training=self.training`, so it drops in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model(dropout=0.0)

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(self.inner(images), 0.5)


class _HandMadeNoise(nn.Module):
    """Adds noise in train mode, as a regulariser of its own."""

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn_like(images) if self.training else 0
        return (images + noise).flatten(1)[:, :10]


def _without_statistics() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(64, 10))


def _spectral() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(64, 10)))


EXAMPLES = (
    Example("pass", lambda: small(), says="they differ"),
    Example("pass", lambda: small(small_model(batch_norm=False, dropout=0.0)), says="the same"),
    Example("pass", lambda: small(small_model(batch_norm=False)), says="they differ"),
    Example("fail", lambda: small(_AlwaysDrops()), says="another answer each time"),
    Example("pass", lambda: small(_HandMadeNoise()), says="they differ"),
    Example("pass", lambda: small(_spectral()), says="they differ"),
    Example("fail", lambda: small(_without_statistics()), says="no running statistics"),
)
