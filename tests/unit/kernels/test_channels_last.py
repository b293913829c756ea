"""Layers in C on bfloat16 give what torch's give, forward and backward, and stand back where they do not fit."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import data, models
from tinydigits.kernels import CHANNELS_LAST, train_in_c

ROUNDED = 2.7e-3  # of many values, in bfloat16: of one it is up to 2⁻⁸, and evenly spread


def values(*shape: int) -> Tensor:
    return (torch.randn(shape) * 2 + 0.5).bfloat16().to(memory_format=torch.channels_last)


def both_ways(model: nn.Module, features_BCHW: Tensor, weights_BCHW: Tensor) -> list[Tensor]:
    """The output, and the gradients of the features and of the parameters."""
    features_BCHW = features_BCHW.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out_BCHW = model(features_BCHW * 1)  # what follows may change it in place
    (out_BCHW * weights_BCHW.to(out_BCHW.dtype)).sum().backward()
    assert features_BCHW.grad is not None
    return [out_BCHW.detach(), features_BCHW.grad, *(parameter.grad for parameter in model.parameters())]


def compare(model: nn.Module, features_BCHW: Tensor, out_shape: tuple[int, ...] | None = None) -> None:
    """Both ways and running statistics: no further from torch's in double precision than by what bfloat16 rounds."""
    weights_BCHW = values(*(out_shape or features_BCHW.shape))
    exact, in_c = copy.deepcopy(model).double(), copy.deepcopy(model)
    train_in_c(in_c, CHANNELS_LAST)
    expected = both_ways(exact, features_BCHW.double(), weights_BCHW.double())
    for got, exactly in zip(both_ways(in_c, features_BCHW, weights_BCHW), expected, strict=True):
        limit = ROUNDED if got.dtype == torch.bfloat16 else 1e-5
        assert (got.double() - exactly).norm() <= limit * exactly.norm()
    for mine, theirs in zip(in_c.buffers(), exact.buffers(), strict=True):
        assert torch.allclose(mine.double(), theirs.double(), rtol=1e-6)


def norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 20, 24, 32, 50])
@pytest.mark.parametrize(("images", "size"), [(16, (1, 1)), (16, (5, 3)), (48, (14, 14))])
def test_a_norm_with_and_without_a_relu(channels: int, images: int, size: tuple[int, int]) -> None:
    torch.manual_seed(channels)
    features_BCHW = values(images, channels, *size)
    for layers in ([norm(channels)], [norm(channels), nn.ReLU(inplace=True)], [norm(channels), nn.ReLU()]):
        compare(nn.Sequential(*layers), features_BCHW)


def test_a_norm_of_values_far_from_nothing_or_alike() -> None:
    torch.manual_seed(0)
    far_BCHW = (torch.randn(32, 8, 9, 9) * 100 + 1000).bfloat16().to(memory_format=torch.channels_last)
    compare(nn.Sequential(norm(8)), far_BCHW)
    alike = nn.Sequential(norm(8))
    train_in_c(alike, CHANNELS_LAST)
    assert torch.isfinite(alike(torch.full_like(far_BCHW, 3.0))).all()


@pytest.mark.parametrize("channels", [1, 3, 8, 12, 16, 50])
@pytest.mark.parametrize("size", [(2, 2), (6, 8), (7, 5)])
def test_maxima_and_among_equals_the_first(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features_BCHW = torch.randint(-2, 3, (32, channels, *size)).bfloat16().to(memory_format=torch.channels_last)
    for pooled in (features_BCHW, values(*features_BCHW.shape)):
        compare(nn.Sequential(nn.MaxPool2d(2)), pooled, (32, channels, size[0] // 2, size[1] // 2))


def test_the_maps_of_images_of_one_channel_are_in_order() -> None:
    """Such images have the memory of every order; where torch chose the other, no layer up to a maximum ran in C."""
    torch.manual_seed(0)
    plain = nn.Conv2d(1, 8, 3, padding=1)
    in_c, images_BCHW = copy.deepcopy(plain), torch.randn(16, 1, 9, 7)
    train_in_c(in_c, CHANNELS_LAST)
    with torch.autocast("cpu", torch.bfloat16):
        maps_BCHW, expected_BCHW = in_c(images_BCHW), plain(images_BCHW)
    assert maps_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert not expected_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert (maps_BCHW - expected_BCHW).norm() <= ROUNDED * expected_BCHW.norm()


def test_torchs_layers_do_what_does_not_fit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(norm(4), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    in_c = copy.deepcopy(model)
    train_in_c(in_c, CHANNELS_LAST)
    for features_BCHW in (values(16, 4, 6, 6).float(), values(17, 4, 6, 6), values(16, 4, 6, 6).contiguous()):
        found = [both_ways(net, features_BCHW, torch.ones(())) for net in (model, in_c)]
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
        for net in (model, in_c):
            net.zero_grad()
    with torch.no_grad():
        assert torch.equal(model(features_BCHW), in_c(features_BCHW))
    assert torch.equal(model.eval()(features_BCHW), in_c.eval()(features_BCHW))


@pytest.mark.parametrize("name", ["gap-cnn", "six-conv", "dash", "dihedral-cnn", "dihedral-ensemble"])
def test_a_whole_model_trains_as_before(name: str) -> None:
    torch.manual_seed(0)
    plain = models.build(name, {"dropout": 0.0} if name == "gap-cnn" else {})
    in_c = copy.deepcopy(plain)
    train_in_c(in_c, CHANNELS_LAST)
    images_BCHW = torch.from_numpy(data.load("digits", "train").images_NHW[:64, None]).float() / 255
    labels_B = torch.from_numpy(data.load("digits", "train").labels_N[:64]).long()
    losses, gradients = [], []
    for model in (plain, in_c):
        model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits_BK = model(images_BCHW.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits_BK.float(), labels_B)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_any_number_of_threads_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(norm(24), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    train_in_c(model, CHANNELS_LAST)
    features_BCHW, before, found = values(64, 24, 15, 15), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            model.zero_grad()
            found.append(both_ways(model, features_BCHW, torch.ones(())))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("inf")])
@pytest.mark.parametrize("layers", [[nn.BatchNorm2d(4), nn.ReLU(inplace=True)], [nn.MaxPool2d(2)]], ids=str)
def test_what_is_not_finite_stays_so(value: float, layers: list[nn.Module]) -> None:
    """Else a training that has diverged would go on."""
    model = nn.Sequential(*copy.deepcopy(layers))
    train_in_c(model, CHANNELS_LAST)
    features_BCHW = values(16, 4, 6, 6)
    features_BCHW[3, 1, 2, 5] = value
    assert not torch.isfinite(model(features_BCHW.requires_grad_() * 1)).all()
