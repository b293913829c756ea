"""From 28×28 grey levels to what any model takes."""

from __future__ import annotations

import pytest
import torch

from tinydigits.data.batches import normalise
from tinydigits.data.model_input import ModelInput
from tinydigits.errors import TinydigitsError

IMAGES = torch.arange(2 * 28 * 28, dtype=torch.int32).remainder(256).to(torch.uint8).reshape(2, 28, 28)


def test_the_usual_input_is_what_training_gives_to_the_bit() -> None:
    assert torch.equal(ModelInput().prepare(IMAGES), normalise(IMAGES, 0.1307, 0.3081))


def test_a_larger_input_has_a_border_of_paper_and_grey_in_every_channel() -> None:
    taken = ModelInput((3, 32, 33), mean=0.5, std=0.5).prepare(IMAGES)
    assert taken.shape == (2, 3, 32, 33)
    assert torch.equal(taken[:, :, 2:30, 2:30], normalise(IMAGES, 0.5, 0.5).expand(2, 3, 28, 28))
    border = taken.clone()
    border[:, :, 2:30, 2:30] = -1
    assert (border == -1).all(), "paper is -1 after normalisation"


def test_a_smaller_input_is_resized_and_so_is_a_larger_one_where_it_is_wanted() -> None:
    flat = torch.full((1, 28, 28), 51, dtype=torch.uint8)
    for wanted in (ModelInput((1, 14, 14), 0.0, 1.0), ModelInput((1, 64, 64), 0.0, 1.0, resize=True)):
        taken = wanted.prepare(flat)
        assert taken.shape == (1, *wanted.shape)
        assert torch.allclose(taken, torch.tensor(0.2))
    assert ModelInput((1, 64, 64), 0.0, 1.0).prepare(flat)[0, 0, 0, 0] == 0


def test_channels_can_be_last_and_pixels_can_be_flat() -> None:
    first = ModelInput((3, 28, 28), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)).prepare(IMAGES)
    last = ModelInput((28, 28, 3), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)).prepare(IMAGES)
    assert torch.equal(first.permute(0, 2, 3, 1), last)
    assert (first[0, 0] != first[0, 1]).any()
    assert torch.equal(ModelInput((784,)).prepare(IMAGES), ModelInput().prepare(IMAGES).flatten(1))
    assert torch.equal(ModelInput((28, 28)).prepare(IMAGES), ModelInput().prepare(IMAGES)[:, 0])


def test_levels_of_255() -> None:
    assert torch.allclose(ModelInput(mean=0.0, std=1 / 255).prepare(IMAGES)[:, 0], IMAGES.float())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"shape": (785,)}, "got 785"),
        ({"shape": (1, 1, 28, 28)}, "got 1×1×28×28"),
        ({"shape": ()}, "channels×rows×columns"),
        ({"shape": (3, 28, 28), "mean": (0.1, 0.2)}, "mean: got 2 numbers, expected 1 or 3"),
        ({"std": 0.0}, "std: got 0"),
    ],
)
def test_an_input_that_no_rule_leads_to_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(TinydigitsError, match=says):
        ModelInput(**arguments)  # type: ignore[arg-type]
