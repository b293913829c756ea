"""Weights of every origin: plain, nested, wrapped, pickled with code, cut short, of another model."""

from __future__ import annotations

import pickle
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from tinydigits import models
from tinydigits.errors import TinydigitsError


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))


def loaded(path: Path) -> nn.Module:
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))
    models.fit_weights(fresh, models.read_weights(path)[0], str(path))
    return fresh


def same(model: nn.Module, other: nn.Module) -> bool:
    pairs = zip(model.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == name_b and torch.equal(tensor, tensor_b) for (name, tensor), (name_b, tensor_b) in pairs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model_state_dict": state, "epoch": 3, "history": [{"loss": 0.5}]},
        lambda state: {"state_dict": state},
        lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_state_dict_is_found_wherever_it_is_usually_kept(tmp_path: Path, wrap: Any, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    torch.save(wrap(net().state_dict()), path)
    assert same(loaded(path), net())


def test_a_models_file_is_never_imported_on_the_meta_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tensors a file makes at its import would be without values for as long as the process lasts."""
    card = models.WeightsCard(model="four-conv", source="mnist", classes=tuple("0123456789"), mean=0.1, std=0.3)
    (tmp_path / "w.safetensors").write_bytes(models.weights_bytes(models.build("four-conv"), card))
    monkeypatch.delitem(sys.modules, "tinydigits.models.four_conv")
    devices: list[torch.device] = []

    class Watch(MetaPathFinder):
        def find_spec(self, name: str, path: Any, target: Any = None) -> None:
            if name == "tinydigits.models.four_conv":
                devices.append(torch.get_default_device())

    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    models.load_weights(tmp_path / "w.safetensors")
    assert devices == [torch.device("cpu")]


def test_safetensors_without_a_card_and_a_file_of_the_old_pickle_format(tmp_path: Path) -> None:
    save_file(net().state_dict(), tmp_path / "w.safetensors")
    torch.save(net().state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert same(loaded(tmp_path / "w.safetensors"), net()) and same(loaded(tmp_path / "w.pt"), net())
    with pytest.raises(TinydigitsError, match=r"has no tinydigits metadata[^\n]*\n.*--weights"):
        models.load_weights(tmp_path / "w.safetensors")


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / "w.pt"
    torch.save({"state_dict": net().state_dict(), "x": Evil(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TinydigitsError, match=r"pickled code \(.*\), which is not run\n  try: .*state_dict\(\)"):
        models.read_weights(path)
    assert not mark.exists()
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(TinydigitsError):
        models.read_weights(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the file of this test would have run"


def test_a_pickled_module_is_refused_with_its_class_and_a_way_out(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pt")
    with pytest.raises(TinydigitsError, match=r"torch\.nn\.modules\.container\.Sequential.*\n  try: .*state_dict"):
        models.read_weights(tmp_path / "whole.pt")


def test_torchscript_is_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.jit.trace(net().eval(), torch.zeros(1, 784)).save(str(tmp_path / "s.pt"))
    with pytest.raises(TinydigitsError, match=r"TorchScript.*\n  try: torch\.save\(torch\.jit\.load"):
        models.read_weights(tmp_path / "s.pt")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"w{suffix}"
    save_file(net().state_dict(), path) if suffix == ".safetensors" else torch.save(net().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TinydigitsError, match="not a whole"):
        models.read_weights(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (torch.zeros(3), "got Tensor, expected a state dict"),
        ([torch.zeros(3)], "got list"),
        ({"epoch": 3, "loss": 0.1}, r"holds no state dict, got the keys epoch, loss, expected one of model_state_dict"),
        ({}, "holds no state dict"),
    ],
)
def test_a_file_without_a_state_dict_is_told(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(TinydigitsError, match=says):
        models.read_weights(tmp_path / "w.pt")


def test_weights_of_another_model_are_told_tensor_by_tensor() -> None:
    state = net().state_dict()
    state["1.weight"] = torch.zeros(20, 784)
    state["3.weight"] = state.pop("2.weight")
    with pytest.raises(TinydigitsError) as caught:
        models.fit_weights(net(), state, "w.pt")
    assert str(caught.value) == (
        "w.pt: does not fit Sequential: lacks 2.weight; has besides 3.weight; 1.weight is 20×784 and should be 10×784"
    )


def test_a_tensor_with_several_names_needs_one_of_them(tmp_path: Path) -> None:
    def twice() -> nn.Module:
        model = nn.Module()
        model.first, model.net = nn.Linear(3, 2), nn.Sequential()
        model.net.append(model.first)
        return model

    given, fresh = twice(), twice()
    save_model(given, str(tmp_path / "w.safetensors"))
    state = models.read_weights(tmp_path / "w.safetensors")[0]
    assert len(state) == 2, "safetensors keeps one of the names"
    for names in (state, {f"net.0.{name.rpartition('.')[2]}": tensor for name, tensor in state.items()}):
        models.fit_weights(fresh, names, "w.safetensors")
        assert same(fresh, given)
    with pytest.raises(TinydigitsError, match=r"lacks first\.bias, net\.0\.bias$"):
        models.fit_weights(fresh, {"first.weight": state["first.weight"]}, "w.safetensors")


def test_many_misfits_are_counted_not_listed() -> None:
    state = {f"layers.{number}.weight": torch.zeros(1) for number in range(20)}
    with pytest.raises(TinydigitsError, match=r"has besides layers\.0\.weight, .* and 14 more"):
        models.fit_weights(net(), state, "w.pt")


def test_lazy_modules_take_the_files_shapes(tmp_path: Path) -> None:
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.LazyBatchNorm1d())
    models.fit_weights(lazy, net().state_dict(), "w.pt")
    assert same(lazy, net())
