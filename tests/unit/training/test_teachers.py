"""Knowledge distillation: what the loss is, who may teach, and that the record names the teachers."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tinydigits import models, recipe
from tinydigits.data import load
from tinydigits.errors import Interrupted, TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.run import Run, open_run
from tinydigits.training import Reporter, resume, train
from tinydigits.training.teachers import Teachers

QUICK = ["data.source=digits", "data.batch_size=64", "epochs=1"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe.load("two-conv", QUICK), out=tmp_path_factory.mktemp("teacher"), threads=1)


def taught(*teachers: object, settings: tuple[str, ...] = ()) -> Recipe:
    names = ", ".join(f"'{teacher}'" for teacher in teachers)
    return recipe.load("two-conv", [*QUICK, f"distil.teachers=[{names}]", *settings])


def test_the_loss_is_that_of_the_paper_over_the_averaged_teachers(teacher: Run) -> None:
    other = train(recipe.load("two-conv", [*QUICK, "seed=1"]), out=teacher.folder.parent, threads=1)
    chosen = taught(teacher.folder, other.folder, settings=("distil.temperature=4", "distil.weight=0.3"))
    teachers = Teachers(chosen, list("0123456789"), CPU)
    images_BCHW, logits_BK = torch.randn(5, 1, 28, 28), torch.randn(5, 10, requires_grad=True)
    loss = teachers.blend(torch.tensor(2.0), logits_BK, images_BCHW)
    nets = [models.load_weights(run.file("weights.safetensors"))[0] for run in (teacher, other)]
    with torch.no_grad():
        wanted_BK = sum(F.softmax(net(images_BCHW) / 4, dim=1) for net in nets) / 2
    soft_BK = F.softmax(logits_BK / 4, dim=1)
    divergence = (wanted_BK * (wanted_BK / soft_BK).log()).sum(dim=1).mean()
    assert loss.item() == pytest.approx(0.7 * 2.0 + 0.3 * 16 * divergence.item(), rel=1e-4)
    loss.backward()
    assert logits_BK.grad is not None and logits_BK.grad.any()


def require_its_own_answers(run: Run) -> None:
    """As a teacher it differs by nothing from what the model itself answers."""
    chosen = taught(run.folder, settings=("distil.temperature=1", "distil.weight=1.0"))
    images_BCHW = torch.randn(5, 1, 28, 28)
    with torch.no_grad():
        answers_BK = models.load_weights(run.file("weights.safetensors"))[0](images_BCHW)
    loss = Teachers(chosen, list("0123456789"), CPU).blend(torch.tensor(0.0), answers_BK, images_BCHW)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_with_shared_weights_gives_its_own_answers(tmp_path: Path) -> None:
    settings = [*QUICK, "model.name=dihedral-cnn", "model.options={fields=[1, 1, 1], depths=[1, 1, 1]}"]
    shared = train(recipe.load("two-conv", settings), out=tmp_path, threads=1)
    require_its_own_answers(shared)


MIXED = """
from torch import nn

class Doubled(nn.Conv2d):
    def forward(self, maps):
        return super().forward(maps) * 2 + 1

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False),
            Doubled(4, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
        )

    def forward(self, images):
        return self.layers(images)
"""


def test_a_teacher_gives_its_own_answers_whatever_its_norms_and_convolutions(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text(MIXED, encoding="utf-8")
    settings = [*QUICK, f"model={{name='{tmp_path}/mixed.py:Mixed'}}"]
    mixed = train(recipe.load("two-conv", settings), out=tmp_path, threads=1)
    require_its_own_answers(mixed)


def test_teachers_alone_can_teach(teacher: Run, tmp_path: Path) -> None:
    """With the whole weight on the teacher no label is used, and the student still learns most digits."""
    settings = ("distil.weight=1.0", "distil.temperature=1", "epochs=4", "schedule={name='constant'}")
    good = train(recipe.load("two-conv", [*QUICK, "epochs=4", "schedule={name='constant'}"]), out=tmp_path, threads=1)
    student = train(taught(good.folder, settings=settings), out=tmp_path, threads=1).record
    assert student.result is not None and student.result.accuracy > 0.8


def test_the_record_names_the_teachers_weights(teacher: Run, tmp_path: Path) -> None:
    record = train(taught(teacher.folder), out=tmp_path, threads=1).record
    weights = teacher.file("weights.safetensors").read_bytes()
    assert record.teachers_sha256 == {str(teacher.folder): hashlib.sha256(weights).hexdigest()}
    assert train(recipe.load("two-conv", QUICK), out=tmp_path, threads=1).record.teachers_sha256 == {}


def test_the_teacher_latest_stays_the_run_that_was_the_newest(
    teacher: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Reporter):
        def on_progress(self, progress: object) -> None:
            raise Interrupted("run", "stopped")

    monkeypatch.chdir(tmp_path)
    shutil.copytree(teacher.folder, tmp_path / "runs" / teacher.name)
    with pytest.raises(Interrupted):
        train(taught("./runs/latest"), threads=1, reporter=Stop())
    stopped = open_run("runs/latest")
    assert stopped.name != teacher.name
    assert resume(stopped).record.teachers_sha256.keys() == {f"runs/{teacher.name}"}


def test_a_training_is_not_taken_up_with_another_teacher(teacher: Run, tmp_path: Path) -> None:
    class Stop(Reporter):
        def on_progress(self, progress: object) -> None:
            raise Interrupted("run", "stopped")

    copy = Run(tmp_path / "teacher")
    copy.folder.mkdir()
    for name in ("record.json", "weights.safetensors"):
        copy.write(name, teacher.file(name).read_bytes())
    with pytest.raises(Interrupted):
        train(taught(copy.folder), out=tmp_path / "runs", threads=1, reporter=Stop())
    model, card = models.load_weights(copy.file("weights.safetensors"))
    next(model.parameters()).data.add_(1)
    copy.write("weights.safetensors", models.weights_bytes(model, card))
    with pytest.raises(TinydigitsError, match="the teachers are not those"):
        resume(Run((tmp_path / "runs/latest").resolve()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("data.validation=100",), "held-out images, got 0, expected 100"),
        (("data.std=0.5",), "normalisation"),
    ],
)
def test_a_teacher_that_does_not_fit_is_told(teacher: Run, settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        Teachers(taught(teacher.folder, settings=settings), list(load("digits", "train").classes), CPU)
    with pytest.raises(TinydigitsError, match="classes"):
        Teachers(taught(teacher.folder), ["a", "b"], CPU)
    with pytest.raises(TinydigitsError, match="unknown pretrained model 'nobody'"):
        Teachers(taught("nobody"), list("0123456789"), CPU)


def test_a_teacher_of_other_images_may_know_those_that_are_held_out(teacher: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "teacher")
    copy.folder.mkdir()
    copy.write("weights.safetensors", teacher.file("weights.safetensors").read_bytes())
    copy.write_record(teacher.record.model_copy(update={"num_validation": 100}))
    classes, own = list("0123456789"), teacher.record.data_sha256
    held_out = taught(copy.folder, settings=("data.validation=100",))
    Teachers(held_out, classes, CPU, own)
    Teachers(taught(copy.folder), classes, CPU, "another")
    with pytest.raises(TinydigitsError, match=f"training images, got {own}, expected another"):
        Teachers(held_out, classes, CPU, "another")
