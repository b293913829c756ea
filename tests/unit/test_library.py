"""The public face, `import tinydigits as td`: its names, and what each does with objects."""

from __future__ import annotations

import copy
import gc
import inspect
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tinydigits as td
from tinydigits import recipe
from tinydigits.errors import Interrupted, TinydigitsError, TrainingDiverged
from tinydigits.optim import build_optimizer

IMPORT_TWICE = """
import importlib, pkgutil, sys
import tinydigits as td
assert not {"torch", "numpy", "pydantic"} & set(sys.modules)
before = {name: getattr(td, name) for name in td.__all__}
for module in pkgutil.walk_packages(td.__path__, "tinydigits."):
    if "__main__" not in module.name:
        try:
            importlib.import_module(module.name)
        except ImportError as error:  # of a package that is not installed here
            print(module.name, error)
assert {name: getattr(td, name) for name in td.__all__} == before
assert [name for name in td.__all__ if name[0].islower() and not callable(before[name])] == []
"""


EVERYWHERE = """
import multiprocessing, sys, threading
import numpy as np
import tinydigits as td
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

contract = {"behaviour": {"determinism": True}, "accuracy": {"source": "digits", "min": 0.3}}
one = np.pad(np.full((20, 3), 255, np.uint8), ((4, 4), (12, 13)))

def everything(out, answers):
    run = td.resume(td.train(Net, epochs=1, quiet=True, out=out, threads=2), epochs=2, quiet=True)
    holds = bool(td.verify(run, contract)) and td.export(run, "onnx")[0].holds
    answers.put((run.record.epochs, holds, td.predict(one)[0].label, type(td.load(run)) is Net))

"""
IN_CHILDREN = """
if __name__ == "__main__":
    here = multiprocessing.get_context("spawn").Queue()
    everything("here", here)  # torch's threads are there when the process is forked
    places = {way: multiprocessing.get_context(way).Process for way in ("fork", "spawn")}
    places |= {"thread": threading.Thread}  # last: after one MKL's own memory can spin in a forked child
    for name, place in places.items():
        started = place(target=everything, args=(name, here), daemon=True)
        started.start()
        started.join(60)
        print(name, "hangs" if started.is_alive() else "ends")
    print([here.get(timeout=5) for _ in range(4)] == [(2, True, "1", True)] * 4)
"""
AT_A_PROMPT = """
import queue
answers = queue.Queue()
everything("out", answers)
print(answers.get() == (2, True, "1", True))
"""


class Net(nn.Module):
    """Takes images of three classes."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, width, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 64, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


class Cell(Net):
    """A class as a notebook's cell defines it: in no file."""


Cell.__module__ = "__main__"


def bars(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A bar at the left, in the middle or at the right."""
    labels_N = np.arange(number) % 3
    images_NHW = np.random.default_rng(0).uniform(0, 0.2, (number, 28, 28)).astype(np.float32)
    for image_HW, label in zip(images_NHW, labels_N, strict=True):
        image_HW[4:24, 3 + 8 * label : 7 + 8 * label] = 1
    return images_NHW, labels_N


def test_each_name_is_the_same_before_and_after_every_module_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_TWICE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_and_images_in_memory_are_trained_verified_loaded_and_exported(tmp_path: Path) -> None:
    images_NHW, labels_N = bars(300)
    rows = []
    run = td.train(
        Cell, images=(images_NHW[:180], labels_N[:180]),
        validation=(torch.from_numpy(images_NHW[180:240]), torch.from_numpy(labels_N[180:240])),
        test=(images_NHW[240:, None], labels_N[240:].tolist()), classes=("left", "middle", "right"), epochs=9,
        callbacks=[rows.append, lambda row: row["epoch"] == 3], out=tmp_path, quiet=True,
    )  # fmt: skip
    record = run.record
    assert (record.status, record.epochs, len(rows), record.num_train, record.num_validation) == (
        "finished", 3, 3, 180, 60,
    )  # fmt: skip
    assert record.source.startswith("in-memory:") and record.classes == ["left", "middle", "right"]
    verdict = td.verify(run, {"shapes": {"output": {"classes": 3}}, "accuracy": {"min": 0.9}})
    assert verdict and verdict.findings["accuracy"].measured == "100.00 % (60 of 60)", verdict
    assert run.verdict == verdict
    net = td.load(run)
    assert not net.training and type(net) is Cell and record.recipe["model"]["name"] == "in-memory:Cell"
    with torch.no_grad():
        answers_N = net((torch.from_numpy(images_NHW[240:, None]) - 0.1307) / 0.3081).argmax(1)
    assert answers_N.tolist() == labels_N[240:].tolist()
    files = td.export(run, "onnx")
    assert files[0].holds and files[0].parity is not None and files[0].parity.seen == 60
    assert repr(files).splitlines()[1].startswith("  parity holds: same class on 60 of 60")
    shown = run._repr_html_()  # the pictures' styles are their own, not the notebook's
    assert '<img class="tinydigits-picture" alt="curves"' in shown and ":root" not in shown


def test_the_same_training_images_with_other_test_images_are_another_set(tmp_path: Path) -> None:
    images_NHW, labels_N = bars(90)
    contract = {"shapes": {"output": {"classes": 3}}, "accuracy": {"min": 0.5}}
    first, second = (
        td.train(Cell, images=(images_NHW[:60], labels_N[:60]), test=test, epochs=1, out=tmp_path, quiet=True)
        for test in ((images_NHW[60:], labels_N[60:]), (images_NHW[60:75], labels_N[60:75]))
    )
    assert first.record.data_sha256 == second.record.data_sha256
    counts = [td.verify(run, contract).test_counts for run in (first, second)]
    assert [count and count[1] for count in counts] == [30, 15]


def test_a_module_is_trained_from_the_weights_that_it_has_and_stays_as_it_was(tmp_path: Path) -> None:
    module, images = Net(), bars(90)
    before = copy.deepcopy(module.state_dict())
    run = td.train(module, images=images, epochs=1, set={"optimizer.lr": 1e-9}, out=tmp_path, quiet=True)
    trained = td.load(run).state_dict()
    for name, tensor in module.state_dict().items():
        assert torch.equal(before[name], tensor) and torch.allclose(trained[name], tensor, atol=1e-6)


def test_a_class_of_a_file_is_that_class_here_and_is_found_by_later_processes(tmp_path: Path) -> None:
    run = td.train(Net, images=bars(60), epochs=1, out=tmp_path, quiet=True)
    assert type(td.load(run)) is Net and run.record.recipe["model"]["name"] == f"{__file__}:Net"


def test_what_a_session_kept_in_memory_is_refused_by_name_in_the_next(tmp_path: Path) -> None:
    run = td.train(Cell, images=bars(60), test=bars(30), epochs=1, out=tmp_path, quiet=True)
    for command, message in (
        (["verify", str(run.folder), "--contract", "under-25k"], "given as an object by a Python session"),
        (["verify", str(run.folder), "--model", f"{__file__}:Net", "--contract", "three.toml"], "given as arrays"),
    ):
        (tmp_path / "three.toml").write_text("[shapes]\noutput = {classes = 3}\n[accuracy]\nmin = 0.9\n", "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tinydigits", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert message in done.stdout + done.stderr and done.returncode in (1, 2), done.stdout + done.stderr


def run_python(words: list[str], folder: Path, text: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_works_in_a_thread_and_in_forked_and_spawned_children(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(EVERYWHERE + IN_CHILDREN, encoding="utf-8")
    assert run_python(["script.py"], tmp_path).splitlines() == ["fork ends", "spawn ends", "thread ends", "True"]


def test_threads_and_torchs_defaults_change_no_result(tmp_path: Path) -> None:
    def weights(seed: int) -> list[float]:
        run = td.train(Net, images=bars(60), epochs=1, seed=seed, out=tmp_path, quiet=True)
        td.summary(run_model := td.load(run))
        return [float(p.detach().double().sum()) for p in run_model.parameters()]

    expected = [weights(seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(weights, (0, 1))) == expected
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            assert weights(0) == expected[0]
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_it_works_at_a_prompt(tmp_path: Path) -> None:
    assert run_python(["-i"], tmp_path, EVERYWHERE + AT_A_PROMPT).splitlines()[-1] == "True"


def test_a_trained_module_is_plain_torch_and_it_and_optimizers_can_be_pickled(tmp_path: Path) -> None:
    run = td.train(Net, images=bars(60), epochs=1, set={"optimizer.name": "sgd"}, out=tmp_path, quiet=True)
    net = td.load(run)
    assert not {"forward", "__call__"} & vars(net).keys() and not net._forward_hooks and not net._forward_pre_hooks
    images_N1HW = torch.rand(5, 1, 28, 28)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert torch.equal(other(images_N1HW), net(images_N1HW)) and other.card == net.card
    fresh = Net()
    fresh.load_state_dict(net.state_dict())
    assert all(type(parameter) is nn.Parameter for parameter in net.parameters())
    for settings in ({"name": "sgd"}, {"name": "adamw"}, {"name": "muon", "other_lr": 0.1, "momentum": 0.9}):
        chosen = recipe.load("digits", {"optimizer": {"lr": 0.1, **settings}})
        optimizer = build_optimizer(fresh, chosen.optimizer)
        fresh(images_N1HW).sum().backward()
        optimizer.step()
        again = pickle.loads(pickle.dumps(optimizer))
        assert str(again.state_dict()) == str(optimizer.state_dict())
        assert type(again) is type(optimizer).__mro__[1], type(again)
        again.step()


@pytest.mark.parametrize(("images", "message"), [
    ((np.zeros((9, 28, 28)), np.zeros(8, int)), "8 labels"),
    ((np.zeros((9, 27, 28)), np.zeros(9, int)), "(9, 27, 28)"),
    ((np.full((9, 28, 28), 255.0), np.zeros(9, int)), "floating point of 0 to 1"),
    ((np.zeros((9, 28, 28)), np.full(9, -1)), "-1"),
    ((np.zeros((9, 28, 28)), np.zeros(9)), "whole numbers"),
    ((np.zeros((9, 28, 28)), np.full(9, 3)), "labels that count from 0"),
    (np.zeros((9, 28, 28)), "a pair (images, labels)"),
    (([[1, 2], [3]], np.zeros(9, int)), "cannot be read as an array"),
])  # fmt: skip
def test_images_that_do_not_fit_are_refused(images: Any, message: str) -> None:
    with pytest.raises(TinydigitsError) as error:
        td.train(Net, images=images)
    assert message in str(error.value)


def test_errors_are_the_command_lines_sentences_and_keep_their_parts_between_processes() -> None:
    command = [sys.executable, "-m", "tinydigits", "train", "digitz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        error = pool.submit(td.train, "digitz").exception()
    assert isinstance(error, TinydigitsError) and done.returncode == 2 and f"{error}\n" in done.stderr
    assert (error.where, error.problem, error.hint) == ("recipe", "unknown recipe 'digitz'", "digits")


def test_early_stopping_ends_a_training_that_gets_no_better_and_resumes_to_the_same_end(tmp_path: Path) -> None:
    settings = {"data.validation": 200, "early_stopping": {"patience": 2}}
    run = td.train("digits", epochs=40, set=settings, out=tmp_path, quiet=True)
    losses = [row["validation_loss"] for row in run.table("history.csv")]
    assert 3 <= len(losses) == run.record.epochs < 40
    assert losses.index(min(losses)) == len(losses) - 3, "two epochs after the best"
    longer = td.resume(run, epochs=60, quiet=True).record
    assert longer.epochs >= len(losses) + 2 and longer.extended_at == [len(losses)], "its patience begins anew"
    with pytest.raises(TinydigitsError, match=r"data\.validation > 0"):
        td.train("digits", set={"early_stopping": {"patience": 2}})


def test_pictures_are_read_from_arrays_images_and_files() -> None:
    from PIL import Image

    path = Path(__file__).parents[1] / "pictures" / "photo_3.png"
    path = path if path.is_file() else next(path.parent.glob("*.png"))
    image = Image.open(path).convert("RGB")
    answers = td.predict([path, image, np.asarray(image), np.asarray(image) / 255.0])
    assert len({answer.label for answer in answers}) == 1 and len(answers) == 4
    assert "array" not in repr(answers[0]) and answers._repr_html_().count("<img") == 4
    assert td.predict(np.zeros((40, 40), np.uint8)) == []
    with pytest.raises(TinydigitsError, match=r"\(2, 28, 28\)"):
        td.predict(np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(TinydigitsError, match=r"picture: got \d+ to 25\d, expected floating point of 0 to 1"):
        td.predict(np.asarray(image, float))
    others = [image.convert("CMYK"), image.convert("I"), image.convert("F"), image.convert("HSV")]
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # a camera that was held upright: to be turned back
    answers = td.predict([*others, turned, np.zeros((40, 40), np.uint8), image])
    assert [answer.label for answer in answers] == [answers[-1].label] * 6
    assert [answer.source for answer in answers][-2:] == ["Image 4", "Image 6"]


def test_what_is_shown_is_short_and_a_notebook_gets_tables() -> None:
    verdict = td.verify("two-conv", {"model": {"parameters": {"max": 10}}})
    assert not verdict and "does not hold" in repr(verdict) and "model.parameters" in repr(verdict)
    assert '<th style="text-align:left">fail</th>' in verdict._repr_html_(), "what does not pass is in bold type"
    for shown in (verdict, td.summary("two-conv"), td.list_models()):
        assert shown._repr_html_().startswith("<table>") and "\n" in repr(shown)
    with pytest.raises(KeyError, match=r"model\.parameters"):
        verdict.findings["accuracy"]


def state_of_the_process() -> dict[str, object]:
    """What a function of a library has no business to change."""
    return {
        "random numbers": (torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()),  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "modes": (torch.is_grad_enabled(), torch.get_default_dtype(), gc.get_threshold(), sys.path[:], Path.cwd()),
        "optimizer": [
            vars(inspect.unwrap(method)) for method in (torch.optim.Optimizer.state_dict, torch.optim.SGD.step)
        ],
        "layers": (nn.Conv2d.forward, nn.BatchNorm2d.forward, nn.Module.__call__, torch.nn.functional.conv2d),
    }


def test_the_process_is_left_as_it_was_found_also_after_an_error_and_after_ctrl_c(tmp_path: Path) -> None:
    def interrupt(row: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = state_of_the_process()
    settings = {"out": tmp_path, "quiet": True, "epochs": 2}
    run = td.train("digits", **settings)
    assert state_of_the_process() == before
    td.train("sprint", set={"data.source": "digits"}, **settings)  # by layers in C
    assert state_of_the_process() == before
    with pytest.raises(TrainingDiverged):
        td.train("digits", set={"optimizer.lr": 1e30}, **settings)
    assert state_of_the_process() == before
    with pytest.raises(Interrupted):
        td.train("digits", callbacks=[interrupt], **settings)
    assert state_of_the_process() == before
    for call in (lambda: td.resume(out=tmp_path, quiet=True), lambda: td.verify(run, "digits"), lambda: td.load(run),
                 lambda: td.summary("two-conv"), lambda: td.export(run, "onnx", "pt2", "c")):  # fmt: skip
        call()
        assert state_of_the_process() == before
