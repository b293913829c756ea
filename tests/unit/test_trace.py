"""The graph reader: layers in every form, decoys, counts, receptive fields."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import models
from tinydigits.errors import TinydigitsError
from tinydigits.trace import fingerprint, trace
from tinydigits.trace.field import propagate
from tinydigits.trace.gradient import positive_weights, smooth_operation, touched_box
from tinydigits.trace.graph import export_graph, tensor_of
from tinydigits.trace.replay import replay


class Net(nn.Module):
    """A convolution, whatever `middle` makes of its map, and a linear layer of the features that are left."""

    def __init__(self, middle: Callable[[Net, Tensor], Tensor], num_features: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm, self.dropout = nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.middle = middle
        self.linear = nn.Linear(num_features, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.middle(self, self.conv(images_BCHW)).flatten(1))


def receptive_field_by_gradient(model: nn.Module) -> tuple[int, int]:
    """Rows and columns of input pixels that the last map depends on, as gradients tell.

    The graph up to the last map runs in float64 on a canvas larger than the field, with all weights positive,
    activations left out and maxima replaced by averages, so that no gradient is lost to a dead unit or to cancellation.
    What is differentiated is the sum over the map's central positions, as many as the map has for the model's own
    input: what a pool or a linear layer over the map would see.
    """
    graph = export_graph(model, (1, 28, 28))
    views = propagate(graph)
    last = [n for n in graph.nodes if n in views and not views[n].pooled and getattr(tensor_of(n), "ndim", 0) == 4][-1]
    num_rows, num_columns = (int(side) for side in tensor_of(last).shape[2:])
    side = 28 + 2 * max(views[last].size)
    canvas = (torch.rand(2, 1, side, side, dtype=torch.float64) + 0.5).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        values = positive_weights(graph)
        features_BCHW = replay(graph, canvas, values=values, operation=smooth_operation, until=last)[last]
    top, left = (features_BCHW.shape[2] - num_rows) // 2, (features_BCHW.shape[3] - num_columns) // 2
    features_BCHW[:, :, top : top + num_rows, left : left + num_columns].sum().backward()
    return touched_box(canvas.grad)


GLOBAL_AVERAGES = {
    "mean over both": lambda net, x: x.mean([2, 3]),
    "mean over both, negative": lambda net, x: x.mean((-1, -2), keepdim=True),
    "mean over one, then the other": lambda net, x: x.mean(3).mean(2),
    "mean of the flattened map": lambda net, x: x.flatten(2).mean(-1),
    "mean of the viewed map": lambda net, x: x.view(x.shape[0], 4, -1).mean(2),
    "mean, channels last": lambda net, x: x.permute(0, 2, 3, 1).mean((1, 2)),
    "adaptive": lambda net, x: F.adaptive_avg_pool2d(x, 1),
    "adaptive module": lambda net, x: nn.AdaptiveAvgPool2d((1, 1))(x),
    "window of the whole map": lambda net, x: F.avg_pool2d(x, 6),
    "window by shape": lambda net, x: F.avg_pool2d(x, x.shape[2:]),
    "einsum": lambda net, x: torch.einsum("bchw->bc", x) / 36,
    "sum and divide": lambda net, x: x.sum((2, 3)) / 36,
    "two average pools": lambda net, x: F.avg_pool2d(F.avg_pool2d(x, 2), 3),
}
NO_GLOBAL_AVERAGES = {
    "window leaves 2×2": (lambda net, x: F.avg_pool2d(x, 3), 16),
    "adaptive leaves 2×2": (lambda net, x: F.adaptive_avg_pool2d(x, 2), 16),
    "mean over rows only": (lambda net, x: x.mean(2), 24),
    "window misses the edge": (lambda net, x: F.avg_pool2d(x, 4), 4),
    "mean over channels": (lambda net, x: x.mean(1), 36),
    "mean over channels, too": (lambda net, x: x.mean((1, 2, 3))[:, None].expand(-1, 4), 4),
    "mean over batch": (lambda net, x: x.mean(0, keepdim=True).expand(x.shape[0], -1, -1, -1), 144),
    "maximum": (lambda net, x: x.amax((2, 3)), 4),
    "output thrown away": (lambda net, x: (x.mean((2, 3)), x)[1], 144),
    "1×1 already": (lambda net, x: F.adaptive_avg_pool2d(x[:, :, :1, :1], 1), 4),
    "one corner": (lambda net, x: x[:, :, 0, 0], 4),
}


@pytest.mark.parametrize("name", GLOBAL_AVERAGES)
def test_global_average_pooling_is_found_in_every_form(name: str) -> None:
    found = trace(Net(GLOBAL_AVERAGES[name]), (1, 8, 8))
    assert found.kinds["global_average_pool"] == 1
    assert found.receptive_field == (8, 8) and found.exact


@pytest.mark.parametrize("name", NO_GLOBAL_AVERAGES)
def test_what_is_no_global_average_pooling_is_not_called_so(name: str) -> None:
    middle, num_features = NO_GLOBAL_AVERAGES[name]
    assert trace(Net(middle, num_features), (1, 8, 8)).kinds["global_average_pool"] == 0


@pytest.mark.parametrize(
    "middle",
    [
        lambda net, x: x.amax((2, 3)),
        lambda net, x: F.adaptive_max_pool2d(x, 1),
        lambda net, x: F.max_pool2d(x, 6),
        lambda net, x: x.flatten(2).max(-1).values,
        lambda net, x: F.adaptive_max_pool2d(x, 1, return_indices=True)[0],
    ],
)
def test_global_max_pooling_is_found_in_every_form(middle: Callable[[Net, Tensor], Tensor]) -> None:
    assert trace(Net(middle), (1, 8, 8)).kinds["global_max_pool"] == 1


@pytest.mark.parametrize(
    ("middle", "batch_norms", "dropouts"),
    [
        (lambda net, x: net.dropout(net.norm(x)), 1, 1),
        (lambda net, x: F.batch_norm(x, None, None, training=True), 1, 0),
        (lambda net, x: F.batch_norm(x, net.norm.running_mean, net.norm.running_var, training=net.training), 1, 0),
        (lambda net, x: F.dropout(x, 0.2, net.training), 0, 1),
        (lambda net, x: F.dropout2d(x, 0.2, net.training), 0, 1),
        (lambda net, x: F.dropout(x, 0.0, net.training), 0, 0),
        (lambda net, x: F.dropout(x, 0.2, training=False), 0, 0),
        (lambda net, x: x, 0, 0),  # the modules are there and never called
        (lambda net, x: (net.norm(x), net.dropout(x), x)[2], 0, 0),  # called, and thrown away
        (lambda net, x: net.norm(x) + net.norm(x), 2, 0),
    ],
)
def test_batch_norm_and_dropout_count_where_they_reach_the_output(
    middle: Callable[[Net, Tensor], Tensor], batch_norms: int, dropouts: int
) -> None:
    kinds = trace(Net(middle, 144), (1, 8, 8)).kinds
    assert (kinds["batch_norm"], kinds["dropout"]) == (batch_norms, dropouts)


def test_a_pooled_gate_does_not_blur_the_pool_that_follows() -> None:
    kinds = trace(Net(lambda net, x: (x * x.mean((2, 3), keepdim=True).sigmoid()).amax((2, 3))), (1, 8, 8)).kinds
    assert (kinds["global_average_pool"], kinds["global_max_pool"]) == (1, 1)


def _write_into(net: Net, x: Tensor) -> Tensor:
    board = torch.zeros_like(x)
    board[:, :2] = net.norm(x)[:, :2]
    return board


def _normalise_in_place(net: Net, x: Tensor) -> Tensor:
    view = x[:, :2]
    view.mul_(F.dropout(view, 0.5, net.training))
    return x


@pytest.mark.parametrize(("middle", "kind"), [(_write_into, "batch_norm"), (_normalise_in_place, "dropout")])
def test_writes_in_place_and_through_views_are_followed(middle: Callable[[Net, Tensor], Tensor], kind: str) -> None:
    found = trace(Net(middle, 144), (1, 8, 8))
    assert found.kinds[kind] == 1 and found.receptive_field == (8, 8)


@pytest.mark.parametrize(
    ("name", "parameters", "macs", "field"),
    [
        ("four-conv", 24_539, 618_606, 28),
        ("gap-cnn", 9_274, 1_217_160, 46),
        ("rf29-cnn", None, None, 29),
        ("two-conv", 13_242, 97_536, 34),
    ],
)
def test_published_models(name: str, parameters: int | None, macs: int | None, field: int) -> None:
    model = models.build(name)
    found = trace(model)
    assert found.num_parameters == parameters or parameters is None
    assert found.macs == macs or macs is None
    assert found.receptive_field == receptive_field_by_gradient(model) == (field, field)
    assert sum(layer.num_parameters for layer in found.layers) == found.num_parameters
    assert found.output_shape == (10,) and found.exact and not found.num_unused


def test_rf29_grows_as_its_document_says() -> None:
    layers = trace(models.build("rf29-cnn")).layers
    assert [layer.receptive_field[0] for layer in layers if layer.kind == "conv"] == [3, 5, 9, 13, 21, 29]
    assert layers[-1].output_shape == (10,) and layers[-1].receptive_field == (29, 29)


def test_squeeze_and_excitation_sees_the_whole_image() -> None:
    model = models.build("se-resnet")
    found = trace(model)
    assert found.kinds["depthwise_conv"] == 7 and found.kinds["dropout"] == 7
    assert found.kinds["global_average_pool"] == found.kinds["global_max_pool"] == 4
    assert min(found.receptive_field) >= 28


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (nn.Conv2d(1, 2, 3, dilation=3), 7 + 21),
        (nn.Conv2d(1, 2, (1, 5)), None),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 2, 1)), 5 + 26),
        (nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.AvgPool2d(2), nn.Conv2d(2, 4, 3, groups=2)), 12 + 16),
    ],
)
def test_field_of_one_output_and_of_the_map_agree(model: nn.Module, field: int | None) -> None:
    found = trace(model)
    jumps = [
        (whole - one) for whole, one in zip(receptive_field_by_gradient(model), found.receptive_field, strict=True)
    ]
    rows, columns = found.output_shape[1:]
    assert jumps[0] % max(rows - 1, 1) == 0 and jumps[1] % max(columns - 1, 1) == 0
    if field is not None:
        assert receptive_field_by_gradient(model) == (field, field)
    else:
        assert found.receptive_field == (1, 5)


def test_largest_path_counts() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 7, padding=3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.small(x), self.large(x)], 1) + x

    assert trace(Branches()).receptive_field == (7, 7)


def test_attention_sees_everything_and_patches_do_not() -> None:
    class Patches(nn.Module):
        def __init__(self, attend: bool) -> None:
            super().__init__()
            self.attend, self.embed = attend, nn.Linear(16, 8)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.view(x.shape[0], 7, 4, 7, 4).transpose(2, 3).flatten(3).flatten(1, 2)
            tokens = self.embed(tokens)
            return F.scaled_dot_product_attention(tokens, tokens, tokens) if self.attend else tokens

    assert trace(Patches(attend=False)).receptive_field == (4, 4)
    assert trace(Patches(attend=True)).receptive_field == (28, 28)


def test_shared_frozen_unused_and_hidden_weights_are_told_apart() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
            self.second.weight = self.first.weight
            self.first.bias.requires_grad_(False)
            self.spare = nn.Linear(3, 3)
            self.hidden = torch.randn(64, 10)
            self.register_buffer("scale", torch.ones(10))

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x.flatten(1))) @ self.hidden * self.scale

    found = trace(Odd(), (1, 8, 8))
    assert found.num_parameters == 64 * 64 + 64 + 64 + 12
    assert found.num_trainable == found.num_parameters - 64
    assert (found.num_unused, found.num_constants, found.num_buffers) == (12, 640, 10)
    assert [layer.num_parameters for layer in found.layers if layer.kind == "linear"] == [64 * 64 + 64, 64]


class Twice(nn.Module):
    """Has every layer twice: the first time by a name of its own, the second in what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)
        self.net = nn.Sequential(self.conv, self.norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.head)
        self.register_buffer("scale", torch.rand(10))
        self.net.register_buffer("scale", self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.net.scale


class Repeated(nn.Module):
    """One block at each place of a list, the weight of its convolution also a parameter of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
        self.blocks = nn.ModuleList([block, block, block])
        self.kernels = nn.ParameterList([block[0].weight])
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(64, 10))
        self.again = self.head

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) + F.conv2d(x, self.kernels[0], padding=1)
        return self.again(x.flatten(1))


@pytest.mark.parametrize(
    ("model", "each", "buffers"), [(Twice, [40, 8, 50], 9 + 10), (Repeated, [10, 2, 10 * 64 + 10 + 10], 3)]
)
def test_a_weight_with_several_names_counts_once_and_is_called_by_its_first(
    model: Callable[[], nn.Module], each: list[int], buffers: int
) -> None:
    named_parameters = dict(model().named_parameters())
    found = trace(model(), (1, 8, 8))
    assert found.num_parameters == sum(each) == sum(p.numel() for p in named_parameters.values())
    assert (found.num_unused, found.num_buffers) == (0, buffers)
    assert [layer.num_parameters for layer in found.layers if layer.num_parameters] == each
    assert {name for layer in found.layers for name in layer.parameter_names} == set(named_parameters)


def test_lazy_layers_are_counted_and_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))
    assert trace(model, (1, 8, 8)).num_parameters == 40 + 144 * 10 + 10
    assert isinstance(model[0].weight, nn.UninitializedParameter)


def test_macs_of_groups_products_and_einsum() -> None:
    assert trace(nn.Conv2d(4, 8, 3, groups=2), (4, 5, 5)).macs == 8 * 9 * 2 * 9
    assert trace(nn.ConvTranspose2d(2, 3, 3), (2, 5, 5)).macs == 2 * 25 * 3 * 9
    net = Net(lambda net, x: torch.einsum("bchw,kc->bk", x, net.linear.weight[:, :4]), 10)
    assert trace(net, (1, 8, 8)).macs == 36 * 36 + 4 * 36 * 10 + 100


def test_module_paths_and_shapes_are_named() -> None:
    layers = trace(models.build("gap-cnn")).layers
    assert (layers[0].path, layers[0].output_shape, layers[0].parameter_names) == (
        "features.0", (4, 28, 28), ("features.0.weight", "features.0.bias"),
    )  # fmt: skip


def test_unknown_operation_makes_the_field_a_bound() -> None:
    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).real

    found = trace(Sorted())
    assert not found.exact and found.receptive_field == (28, 28) and found.unknown_ops


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Net(lambda net, x: x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))), "decides by the values"),
        (nn.Linear(5, 5), r"cannot be traced with an input of shape \(2, 1, 28, 28\)"),
    ],
)
def test_what_cannot_be_traced_says_why(model: nn.Module, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TinydigitsError, match=says):
        trace(model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("train", [True, False])
def test_the_model_stays_as_it_was(train: bool) -> None:
    model = models.build("se-resnet").train(train)
    model.head.eval()
    before = copy.deepcopy(model.state_dict())
    modes, random_state = [module.training for module in model.modules()], torch.get_rng_state()
    trace(model)
    receptive_field_by_gradient(models.build("gap-cnn"))
    torch.set_rng_state(random_state)
    trace(model)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_every_change_of_a_weight_changes_the_fingerprint_whatever_its_strides() -> None:
    layer = nn.Module()
    layer.one_of_eight, layer.turned = nn.Parameter(torch.arange(8.0)[::8]), nn.Parameter(torch.rand(3, 2).T)
    prints = [fingerprint(layer)]
    for weight in layer.parameters():
        with torch.no_grad():
            weight[-1] += 1
        prints.append(fingerprint(layer))
    assert len(set(prints)) == 3
    assert fingerprint(copy.deepcopy(layer)) == prints[-1]
