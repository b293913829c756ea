"""Layers in C give what torch's give, forward and backward, and stand back where they do not fit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import models
from tinydigits.kernels import BATCH_LAST, train_in_c


class Net(nn.Module):
    """Some layers, and a function in place of a chain of them where the order matters."""

    def __init__(self, *layers: nn.Module, forward: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = forward

    def forward(self, features: Tensor) -> Tensor:
        if self.function is not None:
            return self.function(features, *self.layers)
        for layer in self.layers:
            features = layer(features)
        return features


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected).norm() / expected.norm().clamp_min(1e-12))


def compare(model: nn.Module, features_BCHW: Tensor, limit: float = 3e-6) -> Tensor:
    """Both ways against torch in double precision; gives the output, whose strides say which layers made it."""
    exact = copy.deepcopy(model).double()
    train_in_c(model, BATCH_LAST)
    torch.manual_seed(5)
    there = features_BCHW.double().requires_grad_()
    expected = exact(there)
    weights = torch.rand_like(expected)
    (expected * weights).sum().backward()
    here = features_BCHW.clone().requires_grad_()
    got = model(here)
    (got * weights.float()).sum().backward()
    assert relative(got, expected) < limit
    assert here.grad is not None and there.grad is not None and relative(here.grad, there.grad) < limit
    for (name, one), other in zip(model.named_parameters(), exact.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and relative(one.grad, other.grad) < limit, name
    for (name, one), other in zip(model.named_buffers(), exact.buffers(), strict=True):
        assert relative(one.double(), other.double()) < limit, name
    return got


def is_batch_last(features_BCHW: Tensor) -> bool:
    return features_BCHW.stride(0) == 1 and features_BCHW.stride(3) == len(features_BCHW)


@pytest.mark.parametrize("images", [16, 48, 64, 80])
@pytest.mark.parametrize("sizes", [(1, 8), (3, 5), (8, 6), (7, 4), (12, 13)])
@pytest.mark.parametrize(("kernel", "pad"), [(1, 0), (3, 1), (3, 0), (5, 2), (2, 1), (5, 4)])
def test_a_dense_convolution(images: int, sizes: tuple[int, int], kernel: int, pad: int) -> None:
    torch.manual_seed(images)
    model = Net(nn.Conv2d(*sizes, kernel, padding=pad, bias=kernel != 1))
    assert is_batch_last(compare(model, torch.randn(images, sizes[0], 6, 9)))


@pytest.mark.parametrize("images", [16, 64, 80])
@pytest.mark.parametrize(("channels", "kernel", "pad"), [(2, 3, 1), (5, 3, 0), (8, 5, 2), (20, 7, 0)])
def test_a_depthwise_convolution(images: int, channels: int, kernel: int, pad: int) -> None:
    torch.manual_seed(images)
    model = Net(nn.Conv2d(channels, channels, kernel, padding=pad, groups=channels, bias=kernel == 5))
    assert is_batch_last(compare(model, torch.randn(images, channels, 7, 8)))


CONV = nn.Conv2d(2, 6, 3, padding=1, bias=False)  # before a norm the gradient of a bias is nothing


@pytest.mark.parametrize("in_place", [False, True])
def test_norms_and_activations_in_either_order(in_place: bool) -> None:
    torch.manual_seed(0)
    features_BCHW = torch.randn(32, 2, 7, 5) * 3 + 1
    relu, second = nn.ReLU(in_place), [nn.Conv2d(6, 3, 1, bias=False), nn.BatchNorm2d(3, eps=1e-2, momentum=0.3)]
    for layers in (
        [CONV, nn.BatchNorm2d(6), relu],
        [CONV, relu, nn.BatchNorm2d(6)],
        [CONV, nn.BatchNorm2d(6), relu, *second, relu],
        [CONV, nn.BatchNorm2d(6)],
        [CONV, nn.BatchNorm2d(6, affine=False), relu],
        [CONV, nn.BatchNorm2d(6, bias=False), relu],
    ):
        parts = copy.deepcopy(layers)
        nn.init.normal_(parts[-1].weight) if isinstance(parts[-1], nn.BatchNorm2d) else None
        assert is_batch_last(compare(Net(*parts), features_BCHW, 2e-5))


@pytest.mark.parametrize("far", ["the mean", "one value"])
def test_a_norm_of_values_far_from_nothing(far: str) -> None:
    torch.manual_seed(0)
    features_BCHW = torch.randn(32, 3, 20, 20)
    if far == "the mean":
        features_BCHW += 100
    else:
        features_BCHW[0, :, 0, 0] = 1000
    in_order = features_BCHW.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    # A mean of 100 is rounded to 4e-6, and the sum of the gradients takes its part of that: torch's as well.
    assert is_batch_last(compare(Net(nn.BatchNorm2d(3)), in_order, 1e-3 if far == "the mean" else 3e-6))


def test_a_norm_that_someone_else_looks_at_has_no_activation() -> None:
    torch.manual_seed(0)
    features_BCHW = torch.randn(16, 2, 4, 4)

    def both(features: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        normed = norm(conv(features))
        return normed * 2 + F.relu(normed)

    def before(features: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        normed = norm(conv(features))
        kept = normed + 1
        return kept + normed.relu_()

    def other(features: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        convolved = conv(features)
        normed = norm(convolved.clone())
        return convolved.relu_() + normed

    for forward in (both, before, other):
        compare(Net(copy.deepcopy(CONV), nn.BatchNorm2d(6), forward=forward), features_BCHW, 1e-5)


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (2, 2)])
def test_maxima_and_among_equals_the_first(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features_BCHW = torch.randint(0, 3, (32, 3, *size)).float()  # many are equal
    assert is_batch_last(compare(Net(nn.MaxPool2d(2)), features_BCHW))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2), nn.Conv2d(4, 6, 3, dilation=2), nn.Conv2d(4, 6, 2, groups=2),
        nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(4, 6, (3, 1)), nn.Conv2d(4, 6, 3, padding="same"),
        nn.Conv2d(4, 6, 3, padding=(1, 0)), nn.Conv2d(4, 6, 3, padding=4), nn.ConvTranspose2d(4, 6, 3),
        nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False), nn.MaxPool2d(3, 1),
        nn.MaxPool2d(2, 1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2),
        nn.LeakyReLU(0.2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 3, padding_mode="reflect", padding=1),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_layers_do_not_do_is_torchs_between_them(layer: nn.Module) -> None:
    torch.manual_seed(0)

    norm = nn.BatchNorm2d(4) if not isinstance(layer, nn.BatchNorm2d) else nn.ReLU()
    model = Net(nn.Conv2d(2, 4, 3, padding=1, bias=False), norm, copy.deepcopy(layer), nn.ReLU(inplace=True))
    compare(model, torch.randn(32, 2, 9, 9), 2e-5)


@pytest.mark.parametrize("name", ["gap-cnn", "separable-cnn", "six-conv", "dash", "rf29-cnn", "four-conv", "se-resnet"])
def test_a_whole_model_trains_as_before(name: str) -> None:
    torch.manual_seed(0)
    plain = models.build(name, {"dropout": 0.0} if name in {"gap-cnn", "se-resnet"} else {})
    other = copy.deepcopy(plain)
    train_in_c(other, BATCH_LAST)
    images_BCHW, labels_B, losses, gradients = torch.rand(32, 1, 28, 28), torch.randint(0, 10, (32,)), [], []
    for model in (plain, other):
        torch.manual_seed(1)
        loss = F.cross_entropy(model(images_BCHW), labels_B)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert relative(gradients[1], gradients[0].double()) < 0.02  # a value near nothing falls to either side of a ReLU


def test_evaluation_and_batches_that_do_not_fit_are_torchs_to_the_bit() -> None:
    torch.manual_seed(0)
    plain = models.build("separable-cnn", {})
    other = copy.deepcopy(plain)
    train_in_c(other, BATCH_LAST)
    images_BCHW = torch.rand(32, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(plain(images_BCHW), other(images_BCHW))
    assert torch.equal(plain(images_BCHW[:17]), other(images_BCHW[:17]))
    assert torch.equal(plain.eval()(images_BCHW), other.eval()(images_BCHW))
    assert torch.equal(plain.train().double()(images_BCHW.double()), other.train().double()(images_BCHW.double()))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    model = models.build("gap-cnn", {"dropout": 0.0})
    train_in_c(model, BATCH_LAST)
    images_BCHW, before, gradients = torch.rand(64, 1, 28, 28), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            model.zero_grad()
            model(images_BCHW).square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.features[:9].parameters()])
    finally:
        torch.set_num_threads(before)
    for others in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], others, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(value: float) -> None:
    """Else a training that has diverged would go on."""
    model = models.build("separable-cnn", {})
    train_in_c(model, BATCH_LAST)
    images_BCHW = torch.rand(16, 1, 28, 28)
    images_BCHW[3, 0, 5, 5] = value
    assert not torch.isfinite(model(images_BCHW)).all()
