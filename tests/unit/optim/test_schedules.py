"""Learning-rate schedules against torch's own, and weight averages against their definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinydigits import models, recipe
from tinydigits.optim import Average, Schedule, build_optimizer
from tinydigits.recipe.fields import EmaPart, SwaPart


def rates(name: str, settings: list[str], steps_per_epoch: int) -> list[float]:
    loaded = recipe.load(name, settings)
    schedule = Schedule(loaded, [steps_per_epoch] * loaded.epochs)
    return [schedule.lr_at(epoch, step) for epoch in range(1, loaded.epochs + 1) for step in range(steps_per_epoch)]


def torch_rates(make: type, steps: int, lr: float, **constants: object) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    schedule = make(optimizer, **constants)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_one_cycle_is_torchs() -> None:
    ours = rates("two-conv", ["epochs=2", "schedule={name='one-cycle', warmup=0.3}"], 500)
    theirs = torch_rates(torch.optim.lr_scheduler.OneCycleLR, 1000, 0.005, max_lr=0.005, total_steps=1000)
    assert ours == pytest.approx(theirs, rel=0.02, abs=2e-6)


def test_the_published_two_conv_is_flat_and_then_falls_to_a_tenth() -> None:
    found = rates("two-conv", [], 6000)
    assert found[0] == found[599] == pytest.approx(0.005)
    assert found[-1] == pytest.approx(0.0005)
    assert found == sorted(found, reverse=True)


def test_one_cycle_moves_adams_first_beta_against_the_rate() -> None:
    loaded = recipe.load("two-conv")
    optimizer = build_optimizer(nn.Linear(1, 1), loaded.optimizer)
    schedule = Schedule(loaded, [1001])
    betas = []
    for step in (0, 100, 1000):
        schedule.apply(optimizer, 1, step)
        betas.append(optimizer.param_groups[0]["betas"][0])
    assert betas == pytest.approx([0.95, 0.85, 0.95])


def test_cosine_is_torchs() -> None:
    setting = ["schedule={name='cosine', final_lr=0.001}", "average={name='ema'}"]
    ours = rates("se-resnet", ["epochs=4", *setting], 25)
    theirs = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, 100, 0.003, T_max=100, eta_min=0.001)
    assert ours == pytest.approx(theirs)


def test_warmup_rises_to_the_full_rate() -> None:
    found = rates("se-resnet", ["schedule={name='cosine', warmup_epochs=2}", "average={name='ema'}"], 10)
    assert found[:20] == sorted(found[:20]) and found[0] < 0.0003
    assert max(found) == found[20] == pytest.approx(0.003)


def test_the_published_se_resnet_has_its_logs_rates() -> None:
    # The log prints the rate after each epoch, which is the next epoch's.
    log = [0.002927, 0.002714, 0.002382, 0.001964, 0.001500, 0.001037, 0.000619, 0.000287, 0.000074, 0.000001,
           0.000025, 0.000096, 0.000207, 0.000346, 0.000500, 0.000655, 0.000794, 0.000905, 0.000976]  # fmt: skip
    found = rates("se-resnet", [], 1)
    assert found[0] == 0.003
    assert found[1:] == pytest.approx(log, abs=6e-7)


def test_plateau_is_torchs() -> None:
    loaded = recipe.load("gap-cnn")
    schedule = Schedule(loaded, [1] * loaded.epochs)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.1)
    for epoch, loss in enumerate([1, 0.9, 0.95, 0.9, 0.91, 0.92, 0.8, 0.81, 0.79995, 0.82, 0.83, 0.84, 0.85], start=1):
        assert schedule.lr_at(epoch, 0) == pytest.approx(optimizer.param_groups[0]["lr"])
        schedule.observe(loss)
        theirs.step(loss)
    assert schedule.lr_at(14, 0) == pytest.approx(0.00001)  # reduced three times
    again = Schedule(loaded, [1] * loaded.epochs)
    again.load_state_dict(schedule.state_dict())
    assert again.lr_at(14, 0) == schedule.lr_at(14, 0)


def walk(model: nn.Linear, average: Average, values: list[float], *, epochs: bool) -> None:
    for number, value in enumerate(values, start=1):
        with torch.no_grad():
            model.weight.fill_(value)
        if epochs:
            average.after_epoch(number)
        else:
            average.after_step(number)


def test_swa_is_the_mean_of_the_epochs_after_its_start() -> None:
    model = nn.Linear(1, 1)
    average = Average(model, SwaPart(name="swa", start_epoch=2))
    walk(model, average, [100, 100, 1, 2, 6], epochs=True)
    assert average.model.weight.item() == pytest.approx(3)
    assert model.weight.item() == 6


def test_ema_follows_by_its_decay() -> None:
    model = nn.Linear(1, 1)
    average = Average(model, EmaPart(name="ema", decay=0.5))
    walk(model, average, [8, 4, 2], epochs=False)
    assert average.model.weight.item() == pytest.approx(0.5 * (0.5 * 8 + 0.5 * 4) + 0.5 * 2)


def test_swa_measures_batch_norm_anew() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1))
    average = Average(model, SwaPart(name="swa", start_epoch=1))
    average.after_epoch(2)
    assert average.needs_statistics
    batches = [torch.full((4, 1, 2, 2), 5.0) + torch.arange(4.0).view(4, 1, 1, 1), torch.full((4, 1, 2, 2), 9.5)]
    state = torch.get_rng_state()
    average.measure_statistics(batches)
    assert average.model[0].running_mean.item() == pytest.approx(8.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_both_rates_of_muon_follow_the_schedule() -> None:
    settings = ["optimizer={name='muon', lr=0.02, other_lr=0.1, momentum=0.9}", "schedule={name='cosine'}", "epochs=1"]
    loaded = recipe.load("gap-cnn", settings)
    model = models.build("gap-cnn")
    optimizer = build_optimizer(model, loaded.optimizer)
    schedule = Schedule(loaded, [100])
    for step, share in ((0, 1.0), (50, 0.5)):
        assert schedule.apply(optimizer, 1, step) == pytest.approx(0.02 * share)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02 * share, 0.1 * share])
