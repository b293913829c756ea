"""Each export format: what the file holds, who can read it, and that its answers are the checkpoint's."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import APART, require_format
from tinydigits import data, exports, models
from tinydigits.environment import telemetry_off
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import evaluate
from tinydigits.exports import Trained
from tinydigits.exports.onnx_int8 import calibration_images
from tinydigits.exports.parity import compare
from tinydigits.exports.speed import measure
from tinydigits.extras import NotInstalled
from tinydigits.models import WeightsCard
from tinydigits.run import Run

TEST = data.load("digits", "test")
GREY_BCHW = TEST.images_NHW[:, None].astype(np.float32) / 255


@pytest.mark.parametrize("name", exports.formats())
def test_an_exported_file_answers_as_the_checkpoint_does(trained: Trained, tmp_path: Path, name: str) -> None:
    require_format(name)
    done = exports.export(trained, name, tmp_path / "new")
    assert done.holds and done.path.parent == tmp_path / "new"
    assert done.num_bytes == done.path.stat().st_size
    if done.parity is not None:
        assert done.parity.seen == len(TEST) == 596
        assert done.parity.rule == "accuracy" or (done.parity.same == 596 and done.parity.largest_difference < 1e-5)
    assert str(Path.cwd()).encode() not in done.path.read_bytes(), "a path of this machine is in the file"


def logits_of_checkpoint(trained: Trained) -> np.ndarray:
    images = (torch.from_numpy(GREY_BCHW) - trained.card.mean) / trained.card.std
    with torch.inference_mode():
        return trained.model(images).numpy()


def test_onnx_takes_grey_levels_in_batches_of_any_size_and_carries_the_card(trained: Trained, tmp_path: Path) -> None:
    import onnx

    with telemetry_off():
        import onnxruntime

    path = exports.export(trained, "onnx", tmp_path).path
    assert [file.name for file in tmp_path.iterdir()] == ["two-conv.onnx"]
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    card = WeightsCard(**json.loads({entry.key: entry.value for entry in proto.metadata_props}["tinydigits"]))
    assert card.unsure_below is not None
    assert card == trained.card.model_copy(update={"mean": 0.0, "std": 1.0, "unsure_below": card.unsure_below})
    top_N = trained.answer(data.load("digits", "train").images_NHW).max(axis=1)
    assert abs((top_N >= card.unsure_below).mean() - 0.99) < 0.002, "the limit that 99 of 100 training images reach"
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    session = onnxruntime.InferenceSession(path)
    for size in (1, 2, 7, 596):
        (logits_NK,) = session.run(None, {"images": GREY_BCHW[:size]})
        assert np.abs(logits_NK - logits_of_checkpoint(trained)[:size]).max() < 1e-4


def test_shared_weights_are_written_out_and_leave_the_trained_model_as_it_is(trained: Trained, tmp_path: Path) -> None:
    import onnx

    model = models.build("dihedral-cnn", {"fields": (1, 4, 6), "separable": False}).eval()
    shared = replace(trained, model=model)
    before = [(name, parameter.clone()) for name, parameter in model.named_parameters()]
    exported = exports.export(shared, "onnx", tmp_path)
    assert exported.holds
    assert {node.op_type for node in onnx.load(exported.path).graph.node} == {
        "Sub", "Div", "Conv", "Relu", "MaxPool", "Reshape", "Gemm"
    }  # fmt: skip
    after = dict(model.named_parameters())
    assert [name for name, _ in before] == list(after)
    assert all(torch.equal(after[name], parameter) for name, parameter in before)


def test_pt2_needs_torch_alone(trained: Trained, tmp_path: Path) -> None:
    path = exports.export(trained, "pt2", tmp_path).path
    extra = {"tinydigits": ""}
    module = torch.export.load(path, extra_files=extra).module()
    assert WeightsCard(**json.loads(extra["tinydigits"])).mean == 0
    for size in (1, 3, 596):
        logits_NK = module(torch.from_numpy(GREY_BCHW[:size])).detach().numpy()
        assert np.abs(logits_NK - logits_of_checkpoint(trained)[:size]).max() < 1e-4


def test_a_tflite_takes_one_image_by_name_and_carries_the_card(trained: Trained, tmp_path: Path) -> None:
    require_format("litert")
    from ai_edge_litert.interpreter import Interpreter

    path = exports.export(trained, "litert", tmp_path).path
    assert [file.name for file in tmp_path.iterdir()] == ["two-conv.tflite"]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["tinydigits"]
        card = WeightsCard(**json.loads(archive.read("tinydigits")))
    assert card.unsure_below is not None and (card.mean, card.std) == (0, 1)
    interpreter = Interpreter(str(path))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["images"], "outputs": ["logits"]}}
    ask = interpreter.get_signature_runner()
    for at in (0, 1, 595):
        logits_1K = ask(images=GREY_BCHW[at : at + 1])["logits"]
        assert np.abs(logits_1K - logits_of_checkpoint(trained)[at]).max() < 1e-4


def test_a_pte_needs_executorch_alone_and_carries_the_card(trained: Trained, tmp_path: Path) -> None:
    require_format("executorch")
    from executorch.runtime import Runtime

    path = exports.export(trained, "executorch", tmp_path).path
    assert [file.name for file in tmp_path.iterdir()] == ["two-conv.pte"]
    program = Runtime.get().load_program(path)
    assert program.method_names == {"forward", "tinydigits"}
    (text,) = program.load_method("tinydigits").execute([])
    card = WeightsCard(**json.loads(text))
    assert card.unsure_below is not None and (card.mean, card.std) == (0, 1)
    forward = program.load_method("forward")
    for at in (0, 1, 595):
        (logits_1K,) = forward.execute([torch.from_numpy(GREY_BCHW[at : at + 1])])
        assert np.abs(logits_1K.numpy() - logits_of_checkpoint(trained)[at]).max() < 1e-4


class Undecided(nn.Module):
    """Its layers depend on the image, so there is no one graph of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images if images.sum() > 0 else -images)
        return logits


@pytest.mark.parametrize("name", APART)
def test_a_model_that_cannot_be_converted_is_told(trained: Trained, tmp_path: Path, name: str) -> None:
    require_format(name)
    with pytest.raises(TinydigitsError, match=rf"export {name}: cannot be converted: .+\n  try: onnx"):
        exports.export(replace(trained, model=Undecided(trained.model).eval()), name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", APART)
@pytest.mark.usefixtures("without_converters")
def test_a_format_whose_packages_are_not_installed_names_its_extra(trained: Trained, tmp_path: Path, name: str) -> None:
    message = rf"export {name}: needs {APART[name]}[^\n]*\n  try: pip install .*\[{name}\]'?$"
    with pytest.raises(NotInstalled, match=message):
        exports.export(trained, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_safetensors_are_the_runs_weights(trained: Trained, tmp_path: Path) -> None:
    model, card = models.load_weights(exports.export(trained, "safetensors", tmp_path).path)
    assert card == trained.card
    for found, expected in zip(model.state_dict().values(), trained.model.state_dict().values(), strict=True):
        assert torch.equal(found, expected)


def test_pth_has_the_systems_name_and_content(run: Run, trained: Trained, tmp_path: Path) -> None:
    path = exports.export(trained, "pth", tmp_path).path
    result = run.record.result
    assert result is not None
    assert re.fullmatch(rf"digits_model_\d{{8}}_\d{{6}}_acc{100 * result.accuracy:.2f}\.pth", path.name)
    content = torch.load(path, weights_only=True)
    model: nn.Module = models.build("two-conv")
    model.load_state_dict(content["model_state_dict"])
    _, validation = data.hold_out(data.load("digits", "train"), 200)
    found = evaluate(model, validation.images_NHW, validation.labels_N, mean=0.1307, std=0.3081)
    assert content["validation_accuracy"] == content["accuracy"] == found.accuracy
    assert [row["epoch"] for row in content["history"]] == [1, 2, 3, 4]
    torch.optim.Adam(model.parameters()).load_state_dict(content["optimizer_state_dict"])


class Unsteady(nn.Module):
    """Answers otherwise when it is traced: what parity is there to find."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return -logits if torch.compiler.is_compiling() else logits


@pytest.mark.parametrize("name", ["onnx", "pt2", *APART])
def test_a_file_that_answers_otherwise_is_deleted(trained: Trained, tmp_path: Path, name: str) -> None:
    require_format(name)
    done = exports.export(replace(trained, model=Unsteady(trained.model).eval()), name, tmp_path)
    assert not done.holds and not list(tmp_path.iterdir())
    assert done.parity is not None and "does not hold: same class on" in str(done.parity)


def test_a_link_in_a_folder_of_the_user_s_is_followed_and_one_in_the_run_s_own_is_not(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Run(tmp_path / "run")
    for folder in (own.folder, tmp_path / "to", tmp_path / "store"):
        folder.mkdir()
    own.write_record(run.record)
    real = tmp_path / "store" / "real"
    for folder in (own.folder, tmp_path / "to"):
        (folder / "two-conv.safetensors").symlink_to(real)
    real.write_text("mine", encoding="utf-8")
    done = exports.export(replace(trained, run=own), "safetensors", own.folder)
    assert done.holds and not done.path.is_symlink() and real.read_text(encoding="utf-8") == "mine"
    done = exports.export(trained, "safetensors", tmp_path / "to")
    assert done.holds and done.path.is_symlink() and real.stat().st_size == done.num_bytes > 4
    with monkeypatch.context() as patch:
        patch.setattr(exports.Parity, "holds", False)
        assert not exports.export(trained, "safetensors", tmp_path / "to").holds
    assert done.path.is_symlink() and not real.exists(), "what was written is deleted, not the link to it"
    real.symlink_to("/dev/null")
    with pytest.raises(TinydigitsError, match="is not a regular file"):
        exports.export(trained, "safetensors", tmp_path / "to")
    assert real.is_symlink()


def test_parity_counts_one_image_and_what_is_no_number(trained: Trained) -> None:
    def answer(images_NHW: np.ndarray) -> np.ndarray:
        wrong_NK = trained.answer(images_NHW)
        wrong_NK[3] = wrong_NK[3][::-1]
        wrong_NK[5] = np.nan
        return wrong_NK

    parity = compare(trained, answer, "same class")
    assert parity.same == parity.seen - 2 * (-(-parity.seen // 500))  # two of each batch that was asked
    assert not parity.holds
    assert compare(trained, trained.answer, "accuracy").holds
    assert not compare(trained, lambda images: trained.answer(images)[:, ::-1], "accuracy").holds


def test_what_cannot_be_exported_is_told(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TinydigitsError, match=r"unknown format 'pt'[^\n]*\n  try: pt"):
        exports.export(trained, "pt", tmp_path)
    copy = Run(tmp_path)
    copy.write_record(run.record.model_copy(update={"status": "interrupted"}))
    with pytest.raises(TinydigitsError, match=r"is not finished but interrupted\n  try: tinydigits train --resume"):
        exports.of_run(copy)
    with pytest.raises(TinydigitsError, match=r"export pth: needs a run's checkpoint.pt"):
        exports.export(replace(trained, run=None), "pth", tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(NotInstalled, match=r"export onnx: needs onnxscript\n  try: pip install .*\[export\]"):
        exports.export(trained, "onnx", tmp_path)


def test_an_8_bit_file_has_the_same_interface_and_8_bit_weights(trained: Trained, tmp_path: Path) -> None:
    import onnx

    done = exports.export(trained, "onnx-int8", tmp_path)
    assert done.parity is not None and done.parity.rule == "accuracy"
    assert re.search(r"accuracy \d+\.\d+ % → \d+\.\d+ % \([+-]\d\.\d\d points; -0\.10 allowed\)", str(done.parity))
    proto = onnx.load(done.path)
    assert [put.name for put in (*proto.graph.input, *proto.graph.output)] == ["images", "logits"]
    assert {entry.key for entry in proto.metadata_props} == {"tinydigits"}
    sizes = {"int8": 0, "float": 0}
    for initializer in proto.graph.initializer:
        kind = "int8" if initializer.data_type == onnx.TensorProto.INT8 else "float"
        sizes[kind] += int(np.prod(initializer.dims)) if len(initializer.dims) > 1 else 0
    assert sizes == {"int8": sum(p.numel() for p in trained.model.parameters() if p.ndim > 1), "float": 0}


def test_calibration_images_are_training_images(trained: Trained) -> None:
    calibration = {image.tobytes() for image in calibration_images(trained)}
    assert len(calibration) >= 500
    assert calibration <= {image.tobytes() for image in data.load("digits", "train").images_NHW}


def test_speed_is_measured_in_a_process_of_its_own(trained: Trained, tmp_path: Path) -> None:
    path = exports.export(trained, "onnx", tmp_path).path
    speed = measure("onnx", path, budget_seconds=0.05)
    assert 0 < speed.p50_us < 1e6 and speed.images_per_second > 1
    with pytest.raises(TinydigitsError, match="the process that times it failed"):
        measure("onnx", tmp_path / "none.onnx")
