"""Augmentation: each step does what it says, to each image of its own, from the generator alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinydigits import recipe
from tinydigits.data.augment import augment

STEPS = {
    "rotation": "{name='rotation', degrees=20}",
    "affine": "{name='affine', degrees=10, shift_pixels=2, scale=[0.8, 1.2], shear_degrees=10}",
    "zoom-out": "{name='zoom-out', scale=0.75}",
    "perspective": "{name='perspective', distortion=0.3, p=1.0}",
    "elastic": "{name='elastic', pixels=1.5}",
    "erasing": "{name='erasing', p=1.0}",
    "blur": "{name='blur', p=1.0, sigma_pixels=[0.5, 1.5]}",
    "contrast": "{name='contrast', p=1.0, factor=[0.3, 0.7]}",
    "inversion": "{name='inversion', p=1.0}",
    "noise": "{name='noise', p=1.0}",
}


def steps(*texts: str) -> tuple[object, ...]:
    return recipe.load("two-conv", [f"augment=[{', '.join(texts)}]"]).augment


def run(images: Tensor, *texts: str, seed: int = 0) -> Tensor:
    return augment(images, steps(*texts), torch.Generator().manual_seed(seed))


@pytest.fixture
def bars() -> Tensor:
    """A vertical bar, off centre, in every image."""
    images = torch.zeros(64, 1, 28, 28)
    images[:, :, 6:22, 12:15] = 1
    return images


def centre_of_mass(images: Tensor) -> tuple[Tensor, Tensor]:
    mass = images.sum((1, 2, 3))
    axis = torch.arange(28.0)
    return (images.sum(3)[:, 0] @ axis) / mass, (images.sum(2)[:, 0] @ axis) / mass


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_every_image_and_keeps_range_and_shape(name: str, bars: Tensor) -> None:
    changed = run(bars, STEPS[name])
    assert changed.shape == bars.shape
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    if name == "erasing":  # a box may fall on empty ground
        assert (changed != bars).flatten(1).any(1).sum() > 16
    else:
        assert (changed != bars).flatten(1).any(1).all()


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"zoom-out", "inversion"}))
def test_images_of_a_batch_get_draws_of_their_own_and_a_seed_repeats_them(name: str, bars: Tensor) -> None:
    changed = run(bars, STEPS[name])
    assert not torch.equal(changed[0], changed[1]) or not torch.equal(changed[1], changed[2])
    assert torch.equal(changed, run(bars, STEPS[name]))
    assert not torch.equal(changed, run(bars, STEPS[name], seed=1))


def test_the_probability_is_kept(bars: Tensor) -> None:
    many = bars.repeat(40, 1, 1, 1)
    for step in ("{name='inversion', p=0.1}", "{name='zoom-out', scale=0.875, p=0.1}"):
        difference = (run(many, step) - many).abs().flatten(1).max(1).values
        assert 0.07 < (difference > 0.01).float().mean() < 0.13


def test_a_shift_moves_the_mass_by_that_many_pixels(bars: Tensor) -> None:
    rows, columns = centre_of_mass(run(bars, "{name='affine', shift_pixels=3}"))
    before_rows, before_columns = centre_of_mass(bars)
    for moved in (rows - before_rows, columns - before_columns):
        assert moved.abs().max() <= 3.01 and moved.min() < -2 and moved.max() > 2


def test_a_scale_changes_the_mass_by_its_square(bars: Tensor) -> None:
    ratio = run(bars, "{name='zoom-out', scale=0.5}").sum() / bars.sum()
    assert ratio == pytest.approx(0.25, rel=0.05)
    grown = run(bars, "{name='affine', scale=[1.2, 1.2]}").sum() / bars.sum()
    assert grown == pytest.approx(1.44, rel=0.05)


def test_a_rotation_keeps_the_mass_and_turns_both_ways(bars: Tensor) -> None:
    turned = run(bars, "{name='rotation', degrees=20}")
    assert turned.sum((1, 2, 3)) == pytest.approx(bars.sum((1, 2, 3)), rel=0.03)
    top = turned[:, :, :14].sum(2)[:, 0] @ torch.arange(28.0) / turned[:, :, :14].sum((1, 2, 3))
    bottom = turned[:, :, 14:].sum(2)[:, 0] @ torch.arange(28.0) / turned[:, :, 14:].sum((1, 2, 3))
    lean = top - bottom  # the upper half moves one way, the lower the other
    assert lean.max() > 1 and lean.min() < -1 and lean.abs().max() < 8 * 2 * 0.35


def test_geometric_steps_in_a_row_are_one_resampling(bars: Tensor) -> None:
    # Forth and back by whole turns of the matrix is the identity; resampling twice would have blurred the bar.
    there_and_back = run(bars, "{name='affine', scale=[0.5, 0.5]}", "{name='affine', scale=[2.0, 2.0]}")
    assert there_and_back == pytest.approx(bars, abs=1e-5)


def test_steps_of_nothing_leave_the_picture(bars: Tensor) -> None:
    assert run(bars, "{name='affine'}", "{name='perspective', distortion=0.0, p=1.0}") == pytest.approx(bars, abs=1e-4)
    assert torch.equal(run(bars), bars)


def test_erasing_takes_its_share(bars: Tensor) -> None:
    white = torch.ones(2000, 1, 28, 28)
    erased = 1 - run(white, "{name='erasing', p=1.0, area=[0.1, 0.1], aspect=[1.0, 1.0]}").mean((1, 2, 3))
    assert erased.mean() == pytest.approx(0.1, abs=0.005)


def test_blur_keeps_the_mass_and_noise_has_its_deviation(bars: Tensor) -> None:
    assert run(bars, STEPS["blur"]).sum() == pytest.approx(bars.sum().item(), rel=1e-3)
    grey = torch.full((200, 1, 28, 28), 0.5)
    assert run(grey, "{name='noise', p=1.0, std=0.05}").std() == pytest.approx(0.05, rel=0.02)


def test_elastic_moves_every_part_of_a_picture_its_own_smooth_way() -> None:
    """Along a line that was straight, columns wander by pixels, but hardly from one row to the next."""
    lines = torch.zeros(64, 1, 28, 28)
    lines[:, :, :, 14] = 1
    bent = run(lines, "{name='elastic', pixels=1.0}")[:, 0, 5:23]  # black comes in at the border
    columns = (bent @ torch.arange(28.0)) / bent.sum(2)
    spread = (columns.amax(1) - columns.amin(1)).mean()
    assert 1 < spread < 4
    assert (columns[:, 1:] - columns[:, :-1]).abs().mean() < 0.35
    assert abs(columns.mean() - 14) < 0.3
    assert torch.allclose(run(lines, "{name='elastic', pixels=0.0}"), lines, atol=1e-5)


def test_elastic_and_affine_steps_resample_a_picture_once(bars: Tensor) -> None:
    """Two resamplings would blur twice: with both amounts at nothing the picture must come back as it was."""
    nothing = ("{name='elastic', pixels=0.0}", "{name='affine'}", "{name='elastic', pixels=0.0}")
    assert torch.allclose(run(bars, *nothing), bars, atol=1e-5)
    shifted = run(bars, "{name='affine', shift_pixels=2}", "{name='elastic', pixels=0.0}")
    assert torch.allclose(shifted, run(bars, "{name='affine', shift_pixels=2}"), atol=1e-5)
