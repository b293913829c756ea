"""Recomputation changes what is kept between the passes, and nothing else: to the last bit."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from tinydigits import models, recipe
from tinydigits.errors import TinydigitsError
from tinydigits.training import train
from tinydigits.training.recompute import recompute

PARTS = recipe.load("se-resnet").recompute


def pair() -> tuple[nn.Module, nn.Module]:
    """The same se-resnet twice, with dropout and BatchNorm in every part; the second one recomputes."""
    torch.manual_seed(0)
    plain = models.build("se-resnet", {"dropout": 0.3})
    recomputing = copy.deepcopy(plain)
    recompute(recomputing, PARTS)
    return plain, recomputing


def step(model: nn.Module, precision: str) -> Tensor:
    torch.manual_seed(1)
    images_BCHW, labels_B = torch.randn(8, 1, 28, 28), torch.arange(8)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = F.cross_entropy(model(images_BCHW).float(), labels_B)
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_gradients_statistics_and_random_numbers_are_the_same_to_the_bit(precision: str) -> None:
    plain, recomputing = pair()
    losses, randoms = [], []
    for model in (plain, recomputing):
        losses.append([step(model, precision) for _ in range(3)])
        randoms.append(torch.rand(1))
    assert losses[0] == losses[1]
    assert randoms[0] == randoms[1]
    for (name, one), other in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and torch.equal(one.grad, other.grad), name
    for (name, one), other in zip(plain.named_buffers(), recomputing.buffers(), strict=True):
        assert torch.equal(one, other), name  # running means, variances, and the number of batches


def test_less_than_half_is_kept_between_the_passes() -> None:
    kept = []
    for model in pair():
        sizes: dict[int, int] = {}

        def note(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            output = model(torch.randn(8, 1, 28, 28))
        kept.append(sum(sizes.values()))
        del output
    assert kept[1] < kept[0] / 2


def test_gradients_reach_inputs_that_need_them() -> None:
    plain, recomputing = pair()
    gradients = []
    for model in (plain, recomputing):
        images_BCHW = torch.ones(2, 1, 28, 28, requires_grad=True)
        torch.manual_seed(0)
        model(images_BCHW).sum().backward()
        gradients.append(images_BCHW.grad)
    assert gradients[0] is not None and torch.equal(gradients[0], gradients[1])


def test_a_part_that_the_model_does_not_have_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match=r"recipe se-resnet: recompute.*stage9.*stage1"):
        train(
            recipe.load("se-resnet", ["data.source=digits", "data.validation=100", 'recompute=["stage9"]']),
            out=tmp_path,
        )


_FIRST_STEPS = """
import sys, tempfile
from tinydigits import recipe
from tinydigits.machine import peak_memory_bytes
from tinydigits.training import Reporter, train

class Enough(Exception): pass

class Listener(Reporter):
    steps = 0
    def on_progress(self, progress):
        self.steps += len(progress.step_losses)
        if self.steps >= 32: raise Enough

with tempfile.TemporaryDirectory() as out:
    try: train(recipe.load(sys.argv[1]), out=out, threads=1, reporter=Listener())
    except Enough: print(peak_memory_bytes())
"""


def test_the_largest_recipe_trains_within_500_megabytes(mnist: object) -> None:
    command = [sys.executable, "-c", _FIRST_STEPS, "se-resnet"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 100e6 < json.loads(answer.stdout) < 500e6
