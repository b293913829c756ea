"""Whole models in files of other formats: what they answer, and what they cannot be asked."""

from __future__ import annotations

import copy
import importlib
import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tests.conftest import require_format
from tinydigits import models
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.exports import onnx as onnx_format
from tinydigits.exports import pt2 as pt2_format
from tinydigits.exports import pth as pth_format
from tinydigits.exports import safetensors as safetensors_format
from tinydigits.exports.trained import Trained, of_run
from tinydigits.run import Run
from tinydigits.verdict import Verdict
from tinydigits.verification import InputFacts, Request, verify
from tinydigits.verification.targets._file import FileModule
from tinydigits.verification.targets.onnx import open_session

FORMATS = {"pt2": pt2_format, "onnx": onnx_format}
# Files of one image a call, whose graphs are not read, and their formats; the packages of some machines alone.
ONE_BY_ONE = {"tflite": "litert", "pte": "executorch"}
ACCURACY = {"source": "digits", "split": "test", "min": 0.5, "bound": "point"}
EVERYTHING = Contract(
    name="everything",
    model={
        "parameters": {"equals": 13_242}, "multiply_adds": {"min": 1}, "receptive_field": {"min": 3},
        "layers": {"require": ["conv", "max_pool", "linear"], "forbid": ["attention"]}, "file_size": {"max_kb": 1_000},
    },
    shapes={"input": True, "output": True},
    behaviour=dict.fromkeys(
        (
            "batch_invariance", "determinism", "device_movement", "finite", "gradients", "probabilities",
            "save_and_load", "train_eval", "train_step",
        ),
        True,
    ),
    accuracy=ACCURACY,
    latency={"max_ms": 1_000, "budget_seconds": 0.2},
)  # fmt: skip
NOT_ASKED = {
    "pt2": {"behaviour.gradients", "behaviour.train_eval", "behaviour.train_step"},
    "onnx": {
        "behaviour.device_movement", "behaviour.gradients", "behaviour.save_and_load", "behaviour.train_eval",
        "behaviour.train_step",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def files(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run's model as the exporter writes it."""
    folder = tmp_path_factory.mktemp("files")
    return {name: writer.write(of_run(trained), folder) for name, writer in FORMATS.items()}


@pytest.fixture(scope="module")
def of_the_run(trained: Run) -> Verdict:
    return verify(Request(target=trained.folder, contract=EVERYTHING))


def by_name(verdict: Verdict) -> dict[str, Any]:
    return {finding.check: finding for finding in verdict.findings}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_answers_all_that_its_format_can_as_the_run_does(
    files: dict[str, Path], of_the_run: Verdict, name: str
) -> None:
    verdict = verify(Request(target=files[name], contract=EVERYTHING))
    found, run = by_name(verdict), by_name(of_the_run)
    silent = {check for check, finding in found.items() if finding.status == "not run"}
    assert silent == NOT_ASKED[name]
    assert all(name in found[check].why for check in silent)
    assert {finding.status for check, finding in found.items() if check not in silent} == {"pass"}, verdict.findings
    assert verdict.word == "undecided" and verdict.exit_code == 1, "what was not run is no quiet pass"
    assert found["accuracy"].details["correct"] == run["accuracy"].details["correct"]
    for check in ("model.parameters", "model.multiply_adds", "model.receptive_field"):
        assert found[check].measured == run[check].measured
    assert (verdict.target.mean, verdict.target.input_origins["mean"]) == (0.0, "the target")
    assert verdict.target.kind == name and len(verdict.target.weights_sha256) == 64


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("spec", ["gap-cnn", "se-resnet", "four-conv", "rf29-cnn"])
def test_the_structure_of_every_architecture_is_read(tmp_path: Path, name: str, spec: str) -> None:
    torch.manual_seed(0)
    card = models.WeightsCard(model=spec, source="digits", classes=list("0123456789"), mean=0.5, std=0.5)
    path = FORMATS[name].write(Trained(models.build(spec).eval(), card, tmp_path / "none"), tmp_path)
    asked = Contract(name="size", model={"parameters": {"max": 25_000}, "receptive_field": {"min": 3}})
    ours = by_name(verify(Request(target=spec, contract=asked)))
    theirs = by_name(verify(Request(target=path, contract=asked)))
    assert theirs["model.receptive_field"].measured == ours["model.receptive_field"].measured
    if name == "pt2":  # an exporter to ONNX folds BatchNorm into the convolution before it
        assert theirs["model.parameters"].measured == ours["model.parameters"].measured
    assert {finding.status for finding in theirs.values()} == {"pass"}, theirs


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("pt2", {"require": ["dropout"]}),
        ("onnx", {"require": ["dropout"]}),
        ("onnx", {"require": ["batch_norm"]}),
        ("onnx", {"forbid": ["batch_norm"]}),
    ],
)
def test_a_layer_that_a_format_does_not_show_is_not_run(files: dict[str, Path], name: str, limits: Any) -> None:
    finding = verify(Request(target=files[name], contract=Contract(name="layers", model={"layers": limits}))).findings[
        0
    ]
    assert finding.status == "not run" and "cannot be told" in finding.why
    failing = Contract(name="layers", model={"layers": limits | {"require": ["attention"]}})
    assert verify(Request(target=files[name], contract=failing)).findings[0].status == "fail"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_file_that_is_cut_short_is_told(files: dict[str, Path], tmp_path: Path, name: str, share: float) -> None:
    whole = files[name].read_bytes()
    path = tmp_path / f"cut.{name}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TinydigitsError, match=f"cut.{name}: "):
        verify(Request(target=path, contract=EVERYTHING))
    with pytest.raises(TinydigitsError, match="no such file"):
        verify(Request(target=tmp_path / f"none.{name}", contract=EVERYTHING))


@pytest.mark.parametrize("writer", [pth_format, safetensors_format], ids=["pth", "safetensors"])
def test_exported_weights_say_what_model_they_belong_to(
    trained: Run, of_the_run: Verdict, tmp_path: Path, writer: Any
) -> None:
    verdict = verify(
        Request(target=writer.write(of_run(trained), tmp_path), contract=Contract(name="c", accuracy=ACCURACY))
    )
    assert verdict.target.model == "two-conv" and verdict.target.input_origins["mean"] == "the target"
    assert verdict.findings[0].details["correct"] == by_name(of_the_run)["accuracy"].details["correct"]


@pytest.fixture(params=ONE_BY_ONE)
def one_by_one(request: pytest.FixtureRequest, trained: Run, tmp_path: Path) -> Path:
    """The run's model as a .tflite or .pte."""
    require_format(ONE_BY_ONE[request.param])
    writer = importlib.import_module(f"tinydigits.exports.{ONE_BY_ONE[request.param]}")
    path: Path = writer.write(of_run(trained), tmp_path)
    assert path.suffix == f".{request.param}"
    return path


def test_a_file_for_phones_is_asked_all_but_its_structure(one_by_one: Path, of_the_run: Verdict) -> None:
    verdict = verify(Request(target=one_by_one, contract=EVERYTHING))
    found = by_name(verdict)
    kind = one_by_one.suffix[1:]
    silent = {check for check, finding in found.items() if finding.status == "not run"}
    structure = {"model.layers", "model.multiply_adds", "model.receptive_field"}
    assert silent == NOT_ASKED["onnx"] | structure
    assert all(kind in found[check].why for check in silent)
    other = {check: finding.status for check, finding in found.items() if finding.status != "pass"}
    told = {check: status for check, status in other.items() if check not in silent}
    assert told == {"shapes.input": "fail", "model.parameters": "undecided"}, verdict.findings
    assert f"this .{kind} takes batches of 1 alone" in found["shapes.input"].why
    assert f"the graph of a .{kind} is not read" in found["model.parameters"].why
    assert found["accuracy"].details["correct"] == by_name(of_the_run)["accuracy"].details["correct"]
    assert (verdict.target.mean, verdict.target.input_origins["mean"]) == (0.0, "the target")
    assert verdict.target.kind == kind and verdict.target.model == "two-conv"


def test_a_damaged_file_for_phones_is_told(one_by_one: Path) -> None:
    whole = one_by_one.read_bytes()
    for share in (0.0, 0.3, 0.9):
        one_by_one.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(TinydigitsError, match=rf"{one_by_one.name}: not a whole "):
            verify(Request(target=one_by_one, contract=EVERYTHING))
    assert whole.count(b'"two-conv"') >= 1
    one_by_one.write_bytes(whole.replace(b'"two-conv"', b'"\xff\xff\xff\xff\xff\xff\xff\xff"'))
    with pytest.raises(TinydigitsError, match=r"(not a whole|its associated file tinydigits is damaged)"):
        verify(Request(target=one_by_one, contract=EVERYTHING))


@pytest.mark.parametrize(("suffix", "extra"), ONE_BY_ONE.items())
@pytest.mark.usefixtures("without_converters")
def test_without_its_runtime_a_file_for_phones_names_the_extra(tmp_path: Path, suffix: str, extra: str) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"any")
    message = rf"model.{suffix}: needs [^\n]*\n  try: pip install .*\[{extra}\]"
    with pytest.raises(TinydigitsError, match=message):
        verify(Request(target=path, contract=EVERYTHING))
    with pytest.raises(TinydigitsError, match="no such file"):
        verify(Request(target=tmp_path / f"none.{suffix}", contract=EVERYTHING))


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)).eval()


def test_a_strangers_pt2_of_one_batch_size_is_asked_in_its_batches(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(net(), (torch.zeros(3, 1, 32, 32),)), tmp_path / "three.pt2")
    asked = Contract(
        name="c", model={"parameters": {"max": 100}}, shapes={"input": True, "output": True},
        behaviour={"batch_invariance": True, "probabilities": True},
    )  # fmt: skip
    verdict = verify(Request(target=tmp_path / "three.pt2", contract=asked, input=InputFacts(mean=0.5, std=0.5)))
    assert verdict.target.input_shape == (1, 32, 32)
    assert [finding.status for finding in verdict.findings] == ["undecided", "fail", "pass", "pass", "pass"]
    assert all("batches of 3 alone" in finding.why for finding in verdict.findings[:2])


class _Marks:
    """Pickled, it is a call that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "was run")


@pytest.mark.parametrize(
    "place", ["data/sample_inputs/model.pt", "data/aotinductor/model/a.so", "data/constants/opaque_obj_0"]
)
def test_code_in_a_pt2_is_refused_and_not_run(files: dict[str, Path], tmp_path: Path, place: str) -> None:
    path, mark = tmp_path / "code.pt2", tmp_path / "mark"
    code = io.BytesIO()
    torch.save(_Marks(mark), code)
    with zipfile.ZipFile(files["pt2"]) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if not name.endswith(place):
                new.writestr(name, old.read(name))
        new.writestr(f"archive/{place}", code.getvalue())
    with pytest.raises(TinydigitsError, match=r"code.pt2: .*holds .*code.*, which is not run"):
        verify(Request(target=path, contract=EVERYTHING))
    assert not mark.exists()


def test_a_pt2_of_two_inputs_is_refused(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    torch.export.save(torch.export.export(Two(), (torch.zeros(2), torch.zeros(2))), tmp_path / "two.pt2")
    with pytest.raises(TinydigitsError, match="2 inputs"):
        verify(Request(target=tmp_path / "two.pt2", contract=EVERYTHING))


def onnx_file(
    path: Path, nodes: list[Any], given: list[Any], weights: dict[str, np.ndarray], opset: int = 18, **card: str
) -> Path:
    graph = helper.make_graph(
        nodes, "graph", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(proto, card)
    onnx.save(proto, path)
    return path


def image(*shape: int | str, kind: int = TensorProto.FLOAT, name: str = "x") -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


WEIGHTS = {"w": np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)}


def test_a_strangers_onnx_says_what_it_takes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("Flatten", ["f"], ["v"]),
        helper.make_node("MatMul", ["v", "w"], ["l"]), helper.make_node("Softmax", ["l"], ["y"]),
    ]  # fmt: skip
    path = onnx_file(tmp_path / "net.onnx", nodes, [image("n", 28, 28, 1, kind=TensorProto.UINT8)], WEIGHTS)
    asked = Contract(
        name="c", model={"parameters": {"equals": 7_840}}, behaviour={"probabilities": {"output": "probabilities"}},
        accuracy=ACCURACY | {"min": 0.001},
    )  # fmt: skip
    verdict = verify(Request(target=path, contract=asked))
    assert verdict.word == "holds", verdict.findings
    assert verdict.target.input_shape == (28, 28, 1) and verdict.target.output == "probabilities"
    assert verdict.target.std == pytest.approx(1 / 255), "whole numbers are grey levels of 0 to 255"


@pytest.mark.parametrize("part", [{"end": 1}, {"start": 0, "end": -3}])
def test_an_onnx_may_ask_for_a_part_of_a_shape(part: dict[str, int], tmp_path: Path) -> None:
    """As torch's exporter writes it with onnxscript below 0.7.2."""
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], **part), helper.make_node("Concat", ["n", "size"], ["s"], axis=0),
        helper.make_node("Reshape", ["x", "s"], ["v"]), helper.make_node("MatMul", ["v", "w"], ["y"]),
    ]  # fmt: skip
    path = onnx_file(tmp_path / "net.onnx", nodes, [image("n", 1, 28, 28)], WEIGHTS | {"size": np.array([784])})
    (finding,) = verify(
        Request(target=path, contract=Contract(name="c", model={"parameters": {"equals": 7_840}}))
    ).findings
    assert (finding.status, finding.measured) == ("pass", "7,840")


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (helper.make_node("Mish", ["l"], ["y"]), "Mish"),
        (helper.make_node("Pad", ["l", "pads", "", "axis"], ["y"]), "its graph cannot be read"),
    ],
    ids=["unknown", "with an input that is not read"],
)
def test_an_onnx_operation_that_is_not_read_leaves_the_rest_answered(tmp_path: Path, node: Any, says: str) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["v"]), helper.make_node("MatMul", ["v", "w"], ["l"]), node]
    weights = WEIGHTS | {"pads": np.array([0, 0]), "axis": np.array([1])}
    path = onnx_file(tmp_path / "net.onnx", nodes, [image("n", 1, 28, 28)], weights)
    asked = Contract(name="c", model={"parameters": {"max": 10_000}}, behaviour={"finite": True})
    finding, finite = verify(Request(target=path, contract=asked)).findings
    assert finding.status == "undecided" and says in finding.why and finite.status == "pass"


PLAIN = [helper.make_node("Flatten", ["h"], ["v"]), helper.make_node("MatMul", ["v", "w"], ["y"])]


@pytest.mark.parametrize(
    ("nodes", "weights", "opset"),
    [
        ([helper.make_node("Clip", ["x", "low", "high"], ["h"]), *PLAIN],
         {"low": np.float32(0), "high": np.float32(0.5)}, 18),
        ([helper.make_node("Slice", ["x"], ["s"], starts=[4], ends=[28], axes=[3]),
          helper.make_node("Pad", ["s"], ["h"], pads=[0, 0, 0, 4, 0, 0, 0, 0]), *PLAIN], {}, 9),
        ([helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Gather", ["shape", "zero"], ["n"]),
          helper.make_node("Mul", ["n", "one"], ["m"]), helper.make_node("Unsqueeze", ["m", "axis"], ["rows"]),
          helper.make_node("Concat", ["rows", "columns"], ["sides"], axis=0),
          helper.make_node("Reshape", ["x", "sides"], ["h"]), *PLAIN],
         {"zero": np.array(0), "one": np.array(1), "axis": np.array([0]), "columns": np.array([784])}, 18),
        ([helper.make_node("Mul", ["x", "b.c"], ["a"]), helper.make_node("Mul", ["a", "b_c"], ["h"]), *PLAIN],
         {"b.c": np.float32([0.5]), "b_c": np.float32([3])}, 18),
    ],
    ids=["limits of Clip", "attributes that are inputs by now", "a shape that is computed", "names nearly alike"],
)  # fmt: skip
def test_the_structure_of_a_strangers_onnx_is_read(
    tmp_path: Path, nodes: list[Any], weights: dict[str, Any], opset: int
) -> None:
    path = onnx_file(tmp_path / "net.onnx", nodes, [image("n", 1, 28, 28)], WEIGHTS | weights, opset)
    (finding,) = verify(
        Request(target=path, contract=Contract(name="c", model={"parameters": {"equals": 7_840}}))
    ).findings
    assert finding.status == "pass", finding


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([image("n", 1, 28, 28), image("n", 10, name="z")], "got the inputs x, z"),
        ([image("n", 1, 28, 28, kind=TensorProto.INT64)], r"got tensor\(int64\)"),
    ],
)
def test_an_onnx_that_does_not_take_images_is_refused(tmp_path: Path, given: list[Any], says: str) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("Flatten", ["f"], ["v"]),
        helper.make_node("MatMul", ["v", "w"], ["l" if len(given) > 1 else "y"]),
    ]  # fmt: skip
    nodes += [helper.make_node("Add", ["l", "z"], ["y"])] if len(given) > 1 else []
    with pytest.raises(TinydigitsError, match=says):
        verify(Request(target=onnx_file(tmp_path / "net.onnx", nodes, given, WEIGHTS), contract=EVERYTHING))


def test_a_damaged_card_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["v"]), helper.make_node("MatMul", ["v", "w"], ["y"])]
    path = onnx_file(tmp_path / "net.onnx", nodes, [image("n", 1, 28, 28)], WEIGHTS, tinydigits="{}")
    with pytest.raises(TinydigitsError, match="damaged tinydigits metadata"):
        verify(Request(target=path, contract=EVERYTHING))


def test_without_onnxruntime_the_extra_is_named(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TinydigitsError, match=r"needs onnxruntime[^\n]*\n  try: pip install .*\[export\]"):
        verify(Request(target=files["onnx"], contract=EVERYTHING))


def test_an_onnx_module_can_be_copied_and_sent_to_another_process(files: dict[str, Path]) -> None:
    model = FileModule(files["onnx"].read_bytes(), open_session)
    images = torch.rand(3, 1, 28, 28)
    file = io.BytesIO(pickle.dumps(model))
    for other in (copy.deepcopy(model), pickle.load(file)):
        assert torch.equal(other(images), model(images)) and other is not model
