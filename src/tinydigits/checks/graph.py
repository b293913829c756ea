"""A stranger's code answers as its graph does: what was counted and scored is what runs.

Everything else in a verdict is of the graph that torch.export wrote of the model. Here the code itself is asked once
more, in its own process: for images of the sets that were evaluated (where there are none, for digits and noise), in an
order and in batches that are drawn anew each time, so that no code can know them. Where an answer differs by more than
the tolerance from the graph's, the code acts otherwise than what it handed over: while it is exported, on noise, by
batch, by call. Code that answers otherwise each time, from one seed, cannot be compared.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from tinydigits import data
from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._limits import Tolerance
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "model.graph"
ADVICE = "Let the forward pass be the same whether it is exported or not, for every image, batch and call."
_BATCH_SIZES = (1, 2, 5, 16, 33)


class Limits(_limits.Limits):
    """`true`, or `{images = 128, tolerance = 1e-3}`; the difference is relative to the largest answer."""

    images: int = Field(128, ge=1, description="how many images the code itself is asked")
    tolerance: Tolerance = Field(1e-3, description="the largest difference, relative to the largest answer")

    def text(self) -> str:
        return f"the same answers within {self.tolerance:g}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask the code and its graph for the same images, and compare."""
    if subject.own_answers is None:
        _ = subject.trace  # raises Contradiction where the graph gives other answers
        return Finding(NAME, "pass", "the same answers", why="the graph was compared with the model in this process")
    images_NCHW = torch.cat([*_images(subject, limits.images)])
    images_NCHW = images_NCHW[torch.randperm(len(images_NCHW), generator=_secret())]
    differences: list[float] = []
    with subject.borrow() as model, torch.no_grad():
        for part_BCHW in _batches(images_NCHW):
            seed = secrets.randbelow(2**31)
            own_BK, again_BK = (subject.own_answers(part_BCHW, seed) for _ in range(2))
            torch.manual_seed(seed)
            graph_BK = logits_of(model, part_BCHW.to(subject.device)).to(own_BK.device)
            if _difference(own_BK, again_BK) > limits.tolerance:
                why = "the code gives other answers each time that it is asked, from the same random numbers"
                return Finding(NAME, "undecided", "answers at random", why=why)
            differences.append(_difference(own_BK, graph_BK))
    worst, num_images = max(differences), len(images_NCHW)
    why = f"the code itself, asked for {num_images} images in its own process"
    if worst > limits.tolerance:
        return Finding(NAME, "fail", f"differs by {worst:.1e}", why=f"answers otherwise than its graph: {why}")
    return Finding(NAME, "pass", f"within {worst:.1e}", why=why, details={"images": num_images, "difference": worst})


def _images(subject: Subject, num_images: int) -> Iterator[Tensor]:
    evaluated = [images for images, _ in subject.evaluations.values()]
    for images in evaluated:
        some_N = torch.randperm(len(images), generator=_secret())[: -(-num_images // len(evaluated))].numpy()
        yield subject.model_input.prepare(torch.from_numpy(images.images_NHW[some_N]))
    if not evaluated:
        yield subject.images(num_images // 2, seed=secrets.randbelow(2**31))
        if len(subject.input_shape) == 3:
            digits = data.load("digits", "test").images_NHW
            some_N = torch.randperm(len(digits), generator=_secret())[: num_images - num_images // 2].numpy()
            ink_BCHW = torch.from_numpy(digits[some_N])[:, None].float() / 255
            ink_BCHW = F.interpolate(ink_BCHW, subject.input_shape[1:], mode="bilinear", antialias=True)
            yield subject.normalise(ink_BCHW.expand(-1, subject.input_shape[0], -1, -1))


def _batches(images_NCHW: Tensor) -> Iterator[Tensor]:
    while len(images_NCHW):
        size = secrets.choice(_BATCH_SIZES)
        yield images_NCHW[:size]
        images_NCHW = images_NCHW[size:]


def _secret() -> torch.Generator:
    return torch.Generator().manual_seed(secrets.randbits(48))


def _difference(own_BK: Tensor, other_BK: Tensor) -> float:
    """The largest difference relative to the largest answer; infinite where there is no comparing them."""
    if own_BK.shape != other_BK.shape:
        return float("inf")
    both_finite = own_BK.isfinite() & other_BK.isfinite()
    if not torch.equal(own_BK.isfinite(), other_BK.isfinite()) or not both_finite.any():
        return 0.0 if torch.equal(own_BK.nan_to_num(), other_BK.nan_to_num()) else float("inf")
    scale = own_BK[both_finite].abs().max().double().clamp_min(1e-12)
    return float((own_BK - other_BK)[both_finite].abs().max().double() / scale)


def _with_code(model: torch.nn.Module, *, other: bool = False) -> Subject:
    code = small_model() if other else copy.deepcopy(model)
    return small(model, own_answers=lambda images, seed: code.eval()(images).detach())


EXAMPLES = (
    Example("pass", lambda: small(), says="in this process"),
    Example("pass", lambda: _with_code(small_model(dropout=0.0)), says="asked for 128 images"),
    Example("fail", lambda: _with_code(small_model(), other=True), says="otherwise than its graph"),
)
