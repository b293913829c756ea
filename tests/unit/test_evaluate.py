"""Evaluation: exact counts whatever the batch size, and a model left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tinydigits import data, models
from tinydigits.evaluate import Evaluation, evaluate


@pytest.fixture(scope="module")
def images() -> data.ImageSet:
    return data.load("digits", "test")


def ask(model: nn.Module, images: data.ImageSet, **changes: object) -> Evaluation:
    return evaluate(model, images.images_NHW, images.labels_N, **{"mean": 0.1307, "std": 0.3081, **changes})


@pytest.mark.parametrize("batch_size", [1, 7, 250, 10_000])
def test_counts_do_not_depend_on_the_batch_size(images: data.ImageSet, batch_size: int) -> None:
    torch.manual_seed(0)
    model = models.build("four-conv")
    whole, found = ask(model, images, batch_size=len(images)), ask(model, images, batch_size=batch_size)
    assert found.seen == len(images) == found.confusion_KK.sum()
    assert found.correct == whole.correct == np.trace(found.confusion_KK)
    assert found.loss == pytest.approx(whole.loss, rel=1e-5)
    assert found.accuracy == found.correct / len(images)


class Constant(nn.Module):
    """Answers with the class of the first pixel's brightness band, so that the truth is known."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        wanted = (images_BCHW[:, 0, 0, 0] * 255).round().long() % 10
        return nn.functional.one_hot(wanted, 10).float() * 5


def test_the_confusion_has_labels_in_rows_and_predictions_in_columns() -> None:
    pixels = np.zeros((4, 28, 28), dtype=np.uint8)
    pixels[:, 0, 0] = [3, 3, 7, 2]
    labels = np.array([3, 5, 7, 9], dtype=np.uint8)
    found = evaluate(Constant(), pixels, labels, mean=0.0, std=1.0)
    assert (found.correct, found.seen) == (2, 4)
    assert found.confusion_KK[5, 3] == 1 and found.confusion_KK[9, 2] == 1
    assert found.predicted_N.tolist() == [3, 3, 7, 2]
    sure = np.exp(5) / (np.exp(5) + 9)
    assert found.probability_N == pytest.approx([sure] * 4, rel=1e-5)
    assert found.loss == pytest.approx((-2 * np.log(sure) - 2 * np.log((1 - sure) / 9)) / 4, rel=1e-5)


def test_the_model_and_the_random_state_are_left_alone(images: data.ImageSet) -> None:
    model = models.build("gap-cnn").train()
    model.features[1].eval()
    modes = [module.training for module in model.modules()]
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    ask(model, images)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_is_off(images: data.ImageSet) -> None:
    model = models.build("two-conv", {"dropout": 0.9})
    assert ask(model, images).loss == ask(model, images).loss


def test_shifts_average_the_answers_over_all_of_them(images: data.ImageSet) -> None:
    torch.manual_seed(0)
    model = models.build("two-conv")
    few = data.ImageSet("few", "test", images.images_NHW[:3], images.labels_N[:3], images.classes)
    padded = np.pad(few.images_NHW, ((0, 0), (1, 1), (1, 1)))
    answers = []
    for row in range(3):
        for column in range(3):
            shifted = torch.from_numpy(padded[:, row : row + 28, column : column + 28].copy())[:, None].float()
            with torch.no_grad():
                answers.append(model.eval()((shifted / 255 - 0.1307) / 0.3081).softmax(1))
    probability = torch.stack(answers).mean(0).max(1).values
    found = ask(model, few, shift_pixels=1)
    assert found.probability_N == pytest.approx(probability.numpy(), rel=1e-4)
    assert found.probability_N != pytest.approx(ask(model, few).probability_N, rel=1e-4)
