"""The registered models, models of a user's own, and weights files."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from tinydigits import models
from tinydigits.errors import TinydigitsError

CARD = {"source": "mnist", "classes": list("0123456789"), "mean": 0.1307, "std": 0.3081}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("four-conv", 24_539), ("gap-cnn", 9_274), ("rf29-cnn", 24_702), ("se-resnet", 17_600), ("two-conv", 13_242)],
)
def test_a_reference_model_has_its_parameters_and_shape(name: str, num_parameters: int) -> None:
    model = models.build(name)
    assert count(model) == num_parameters
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize("name", models.names())
def test_the_summary_tells_the_true_number_of_parameters(name: str) -> None:
    said = re.search(r"([\d,]+) parameters", models.summary(name))
    assert said and int(said[1].replace(",", "")) == count(models.build(name))


@pytest.mark.parametrize("name", models.names())
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    model = models.build(name)
    loss = nn.functional.cross_entropy(model(torch.randn(8, 1, 28, 28)), torch.arange(8))
    loss.backward()
    dead = [key for key, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert dead == []


def test_repeated_blocks_share_their_convolutions_but_not_their_norms() -> None:
    options = {"widths": (4, 6, 8), "depths": (1, 2, 3)}
    once, twice = (models.build("separable-cnn", options | {"repeats": number}) for number in (1, 2))
    assert count(twice) - count(once) == 2 * 4 + 2 * 6 + 2 * 8  # scale and shift of one more norm in each stage
    twice.load_state_dict(once.state_dict(), strict=False)
    images_BCHW = torch.randn(4, 1, 28, 28)
    assert not torch.equal(once.eval()(images_BCHW), twice.eval()(images_BCHW))


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("mirrors", [False, True])
def test_a_changed_picture_gives_the_same_maps_changed_in_another_order_of_the_channels(
    mirrors: bool, separable: bool
) -> None:
    def change(images: torch.Tensor) -> torch.Tensor:
        return images.flip(-1) if mirrors else torch.rot90(images, 1, (-2, -1))

    torch.manual_seed(0)
    model = models.build("dihedral-cnn", {"fields": (1, 3, 2), "depths": (2, 2, 3), "separable": separable})
    maps: list[torch.Tensor] = []
    model.layers.register_forward_hook(lambda module, given, found: maps.append(found.detach().unflatten(1, (2, 8))))
    images_BCHW = torch.rand(8, 1, 28, 28)
    for images in (images_BCHW, change(images_BCHW)):  # in train mode: both batches have the same statistics
        model(images)
    found, of_changed = change(maps[0]), maps[1]
    orders = [
        [
            next(h for h in range(8) if torch.allclose(of_changed[:, field, g], found[:, field, h], atol=1e-4))
            for g in range(8)
        ]
        for field in range(2)
    ]
    assert orders[0] == orders[1] != list(range(8))
    assert sorted(orders[0]) == list(range(8))
    assert not any(torch.equal(found[:, 0, 0], found[:, 0, h]) for h in range(1, 8)), "no two channels are the same"


@pytest.mark.parametrize("separable", [True, False])
def test_the_gradient_of_a_shared_weight_is_the_sum_over_its_places(separable: bool) -> None:
    model = models.build("dihedral-cnn", {"fields": (1, 2, 1), "depths": (1, 1, 1), "separable": separable})
    kinds = set()
    for module in filter(parametrize.is_parametrized, model.modules()):
        for written_out in module.parametrizations.values():
            kinds.add(type(written_out[0]))
            assert torch.equal(written_out(), written_out[0].write_out(written_out.original))
            assert torch.autograd.gradcheck(written_out[0], [written_out.original.detach().double().requires_grad_()])
    assert len(kinds) == 3  # first kernels, the layers' and biases


def test_a_dihedral_model_that_was_first_built_without_numbers_has_them_next_time() -> None:
    options = {"fields": (3, 1, 1), "depths": (1, 1, 1)}  # shapes that no other test has asked for
    with torch.device("meta"):
        models.build("dihedral-cnn", options)
    assert torch.isfinite(models.build("dihedral-cnn", options)(torch.zeros(2, 1, 28, 28))).all()


def test_a_dihedral_layer_has_an_eighth_of_the_pointwise_weights_of_its_width() -> None:
    sizes = [count(models.build("dihedral-cnn", {"depths": (2, depth, 2)})) for depth in (2, 3)]
    assert sizes[1] - sizes[0] == 2 * 9 + 16 * 16 // 8 + 2  # kernels, pointwise weights, biases


def test_a_whole_dihedral_layer_has_an_eighth_of_the_weights_of_its_width() -> None:
    options = {"fields": (1, 2, 3), "separable": False}
    sizes = [count(models.build("dihedral-cnn", options | {"depths": (2, depth, 2)})) for depth in (2, 3)]
    assert sizes[1] - sizes[0] == 9 * 16 * 16 // 8 + 2


def test_the_members_of_an_ensemble_share_a_batch_in_training_and_average_their_logits_afterwards() -> None:
    torch.manual_seed(0)
    model = models.build("dihedral-ensemble", {"members": 3})
    images_BCHW, labels_B = torch.randn(13, 1, 28, 28), torch.arange(13) % 10
    alone = [copy.deepcopy(member) for member in model.members]
    logits_BK = model(images_BCHW)
    nn.functional.cross_entropy(logits_BK, labels_B).backward()
    for member, own, share in zip(model.members, alone, [slice(first, None, 3) for first in range(3)], strict=True):
        own_BK = own(images_BCHW[share])
        assert torch.equal(logits_BK[share], own_BK)
        (nn.functional.cross_entropy(own_BK, labels_B[share]) * len(own_BK) / 13).backward()
        for parameter, of_own in zip(member.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, of_own.grad)
    model.eval()
    mean_BK = torch.stack([member(images_BCHW) for member in model.members]).mean(0)
    torch.testing.assert_close(model(images_BCHW), mean_BK)
    assert not torch.allclose(mean_BK, model.members[0](images_BCHW))


def test_options_reach_the_model() -> None:
    dropouts = [
        module.p for module in models.build("two-conv", {"dropout": 0.25}).modules() if isinstance(module, nn.Dropout)
    ]
    assert dropouts == [0.25]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("gap-cn", {}, r"unknown model 'gap-cn'.*\n.*gap-cnn"),
        ("gap-cnn", {"dropout": 1.5}, r"options\.dropout: got 1\.5, expected < 1"),
        ("gap-cnn", {"dropot": 0.1}, r"unknown key 'options\.dropot'[^\n]*\n.*try: options\.dropout"),
        ("separable-cnn", {"widths": [8, 16]}, r"options\.widths\.2: is required"),
        ("four-conv", {"dropout": 0.1}, r"unknown key 'options\.dropout'"),
        ("nowhere.py:Net", {}, r"no file nowhere\.py"),
        ("no_such_package:Net", {}, r"'no_such_package' does not import"),
        ("collections:OrderedDict", {}, r"a subclass of torch\.nn\.Module"),
    ],
)
def test_a_bad_name_or_option_is_told(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        models.build(spec, options)


def write_model(folder: Path, text: str) -> Path:
    path = folder / "net.py"
    path.write_text("import torch\nfrom torch import nn\n" + text, encoding="utf-8")
    return path


def test_a_class_in_a_file_is_built_and_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "widths.py").write_text("WIDTH = 7", encoding="utf-8")
    path = write_model(
        tmp_path,
        "from widths import WIDTH\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, width=WIDTH):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))\n",
    )
    assert models.build(f"{path}:Net")[1].out_features == 7
    assert models.build(f"{path}:Net", {"width": 3})[1].out_features == 3


@pytest.mark.parametrize(
    ("text", "class_name", "message"),
    [
        ("import no_such_thing", "Net", "does not import: ModuleNotFoundError"),
        ("class Net(:", "Net", "does not import: SyntaxError"),
        ("class Netz(nn.Module): pass", "Net", r"unknown class 'Net'[^\n]*\n.*Netz"),
        ("class Net(nn.Module):\n    def __init__(self): 1 / 0", "Net", "could not be built: ZeroDivisionError"),
        ("class Net(nn.Module):\n    def __init__(self, width): pass", "Net", "options.width: is required"),
    ],
)
def test_a_file_that_does_not_give_a_model_is_told(tmp_path: Path, text: str, class_name: str, message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        models.build(f"{write_model(tmp_path, text)}:{class_name}")


def test_weights_come_back_to_the_bit_with_their_card(tmp_path: Path) -> None:
    model = models.build("gap-cnn", {"dropout": 0.2})
    card = models.WeightsCard(model="gap-cnn", options={"dropout": 0.2}, recipe="mine", **CARD)
    (tmp_path / "w.safetensors").write_bytes(models.weights_bytes(model, card))
    again, card_again = models.load_weights(tmp_path / "w.safetensors")
    assert card_again == card
    assert not again.training
    for (key, tensor), (key_again, tensor_again) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert key == key_again and torch.equal(tensor, tensor_again)


def test_a_damaged_weights_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(models.weights_bytes(models.build("two-conv"), models.WeightsCard(model="two-conv", **CARD)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TinydigitsError, match="not a whole safetensors file"):
        models.load_weights(path)
    path.write_bytes(whole)
    with pytest.raises(TinydigitsError, match="does not fit GapCNN"):
        models.load_weights(path, spec="gap-cnn")
    with pytest.raises(TinydigitsError, match="no such weights file"):
        models.load_weights(tmp_path / "other.safetensors")
