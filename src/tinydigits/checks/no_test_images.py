"""No test image was trained on: neither the same picture nor one a little changed.

The training images are those that the run's record names, told apart by their hash; they are compared with the official
test images. The same bytes are found by hash. Near duplicates (shifted by a pixel or two, dimmed, a little noise) are
found by descriptors, whose threshold was set on MNIST, where the honest training and test images have no such pair.
What else a training may have looked at, no finished run can tell: `verify --retrain` trains anew, in a sandbox that has
the training images alone.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._subject import Subject, Training
from tinydigits.data import ImageSet, Origin
from tinydigits.data.duplicates import find_duplicates
from tinydigits.verdict import Finding

NAME = "training.no_test_images"
ADVICE = "Take these images out of the training images, and train again."


class Limits(_limits.Limits):
    """`true`, or `{test = "mnist", max_near = 3}`: another test set than the run's own, one that has some by nature."""

    test: str | None = Field(None, description="another test set than the run's own")
    max_near: int = Field(0, ge=0, description="how many near duplicates are allowed")

    def text(self) -> str:
        near = f", at most {self.max_near} near duplicates" if self.max_near else ""
        return f"no test image{f' of {self.test}' if self.test else ''} among the training images{near}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Look for each test image among the training images."""
    _ = subject.recorded()
    if subject.trained_on is None:
        return Finding.not_run(
            NAME, "no run's record says which images the model was trained on",
            advice="Train it with `tinydigits train`, which writes them down.",
        )  # fmt: skip
    train = subject.load(subject.trained_on.source, "train")
    test = subject.load_images(limits.test or subject.trained_on.source, "test")
    duplicates = find_duplicates(train.images_NHW, test.images_NHW)
    holds = not duplicates.exact and len(duplicates.near) <= limits.max_near
    examples = ", ".join(f"{index} = training {place}" for place, index in (duplicates.exact + duplicates.near)[:3])
    return Finding.judge(
        NAME, holds, measured=f"{len(duplicates.exact):,} exact, {len(duplicates.near):,} near",
        why=f"{len(train):,} training and {len(test):,} test images" + (examples and f"; test image {examples}"),
        details={
            "exact": len(duplicates.exact), "near": len(duplicates.near),
            "pairs": (duplicates.exact + duplicates.near)[:100],
            "train_sha256": train.sha256, "test_sha256": test.sha256,
        },
        value=float(len(duplicates.exact) + len(duplicates.near)),
    )  # fmt: skip


def _trained_on(added: np.ndarray | None = None, sha256: str = "") -> Subject:
    """A subject trained on blobs, and on what is added to them."""
    train, test = _blobs(200, seed=0), _blobs(50, seed=1)
    seen = train if added is None else np.concatenate([train, added])

    def load_images(source: str, split: str) -> ImageSet:
        images_NHW = seen if split == "train" else test
        return ImageSet(source, split, images_NHW, np.zeros(len(images_NHW), np.uint8), tuple("0123456789"))

    training = Training(1, len(seen), len(seen), 0)
    return small(training=training, trained_on=Origin("blobs", sha256), load_images=load_images)


def _blobs(num_images: int, seed: int) -> np.ndarray:
    """Soft random shapes, uint8 (N, 28, 28)."""
    coarse = np.random.default_rng(seed).random((num_images, 7, 7)) > 0.6
    coarse[:, [0, -1]] = coarse[:, :, [0, -1]] = False
    return (coarse.repeat(4, axis=1).repeat(4, axis=2) * 255).astype(np.uint8)


EXAMPLES = (
    Example("pass", lambda: _trained_on(), says="0 exact, 0 near"),
    Example("fail", lambda: _trained_on(_blobs(50, seed=1)[7:9]), says="test image 7 = training 200"),
    Example("fail", lambda: _trained_on(np.roll(_blobs(50, seed=1)[7:9], 1, axis=1)), says="0 exact, 2 near"),
    Example("fail", lambda: _trained_on(_blobs(50, seed=1)[:5] // 2), {"max_near": 4}, says="0 exact, 5 near"),
    Example("pass", lambda: _trained_on(_blobs(50, seed=1)[:5] // 2), {"max_near": 5}, says="5 near"),
    Example("not run", lambda: _trained_on(sha256="other"), says="other training images than before"),
    Example("not run", lambda: small(), says="no run's record"),
)
