"""Batches: every image once, the same for the same seed, from any batch on; and mixing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinydigits import recipe
from tinydigits.data.batches import Batches
from tinydigits.data.mix import mix

NUM_IMAGES = 2600  # more than two chunks, and no multiple of a batch


def make(**changes: object) -> Batches:
    # Each image carries its own number in its first two pixels.
    images = np.zeros((NUM_IMAGES, 28, 28), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(NUM_IMAGES), 256)
    labels = (np.arange(NUM_IMAGES) % 10).astype(np.uint8)
    return Batches(images, labels, **{"mean": 0.0, "std": 1 / 255, "seed": 0, **changes})


def numbers(batches: Batches, epoch: int = 1, batch_size: int = 64, start: int = 0) -> list[int]:
    found = []
    for images, labels in batches.epoch(epoch, batch_size, start=start):
        ids = (images[:, 0, 0, 0] * 256 + images[:, 0, 0, 1]).round().long()
        assert torch.equal(ids % 10, labels)
        found += ids.tolist()
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 10, 64, 1000, 5000])
def test_every_image_comes_once_an_epoch(batch_size: int) -> None:
    batches = make()
    assert sorted(numbers(batches, batch_size=batch_size)) == list(range(NUM_IMAGES))
    assert len(list(batches.epoch(1, batch_size))) == batches.num_batches(batch_size)


@pytest.mark.parametrize("batch_size", [3, 1299, 2599])
def test_a_single_image_left_over_joins_the_last_batch(batch_size: int) -> None:
    batches = make()
    assert NUM_IMAGES % batch_size in (1, 2)
    sizes = [len(labels) for _, labels in batches.epoch(1, batch_size)]
    assert sum(sizes) == NUM_IMAGES and len(sizes) == batches.num_batches(batch_size)
    assert min(sizes) > 1
    assert sorted(numbers(batches, batch_size=batch_size)) == list(range(NUM_IMAGES))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = numbers(make())
    assert first == numbers(make(), batch_size=10)
    assert first != numbers(make(), epoch=2) != numbers(make(seed=1), epoch=2)
    assert numbers(make(shuffle=False)) == list(range(NUM_IMAGES))


@pytest.mark.parametrize("start", [1, 15, 16, 17, 40])
def test_an_epoch_taken_up_in_its_middle_is_the_same_to_the_bit(start: int) -> None:
    steps = recipe.load("two-conv", ["augment=[{name='noise', p=0.5}, {name='rotation', degrees=10}]"]).augment
    whole = list(make(steps=steps).epoch(3, 64))[start:]
    rest = list(make(steps=steps).epoch(3, 64, start=start))
    assert len(whole) == len(rest)
    for (images, labels), (images_again, labels_again) in zip(whole, rest, strict=True):
        assert torch.equal(images, images_again) and torch.equal(labels, labels_again)


def test_an_epoch_augments_anew() -> None:
    steps = recipe.load("two-conv", ["augment=[{name='noise', p=1.0}]"]).augment
    batches = make(steps=steps, shuffle=False)
    (first, _), (second, _) = next(batches.epoch(1, 64)), next(batches.epoch(2, 64))
    assert not torch.equal(first, second)


def test_images_are_normalised_and_stay_uint8_in_memory() -> None:
    images = np.full((3, 28, 28), 51, dtype=np.uint8)
    batches = Batches(images, np.zeros(3, dtype=np.uint8), mean=0.1, std=0.5, seed=0)
    batch, labels = next(batches.epoch(1, 3))
    assert batch.dtype == torch.float32 and labels.dtype == torch.int64
    assert batch.unique().item() == pytest.approx(0.2)
    assert batches.images_NHW.dtype == torch.uint8


def test_mixup_blends_images_and_cutmix_pastes_a_box_of_the_share_it_names() -> None:
    images, labels = torch.zeros(2, 1, 28, 28), torch.tensor([0, 1])
    images[1] = 1
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mixed, others, share = mix(images, labels, mixup_alpha=1.0, cutmix_alpha=0.0, rng=rng)
        assert others.tolist() == [1, 0]
        assert mixed[0].mean().item() == pytest.approx(1 - share, abs=1e-5) and mixed[0].unique().numel() == 1
        mixed, others, share = mix(images, labels, mixup_alpha=0.0, cutmix_alpha=1.0, rng=np.random.default_rng(seed))
        assert mixed[0].mean().item() == pytest.approx(1 - share, abs=1e-5)
        assert set(mixed[0].unique().tolist()) <= {0.0, 1.0}
        assert images[0].sum() == 0  # the batch itself is left alone
