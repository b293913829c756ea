"""Training: what a run holds, what decides it, and how it comes through a stop."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import put_pictures
from tinydigits import data, models, recipe
from tinydigits.errors import DataWarning, Interrupted, TinydigitsError, TrainingDiverged
from tinydigits.evaluate import evaluate
from tinydigits.kernels.library import load_kernels
from tinydigits.run import Run
from tinydigits.training import Progress, Reporter, ledger, loop, resume, train
from tinydigits.training.distributed import World

QUICK = ["data.source=digits", "data.batch_size=64"]
# One of each kind of state that a checkpoint must carry.
WITH_EVERYTHING = [
    *QUICK, "epochs=3", "data.validation=200", "optimizer={name='adamw', lr=0.01, accumulate=2, clip_norm=1.0}",
    "mix={probability=0.5, mixup_alpha=0.4, cutmix_alpha=1.0}", "model.options.dropout=0.3",
    "augment=[{name='affine', degrees=10, shift_pixels=2}, {name='noise'}]", "loss.label_smoothing=[0.1, 0.0]",
]  # fmt: skip
WITH_NORMS = [
    *QUICK, "data.validation=701", "model.options.dropout=0.1",
    "augment=[{name='affine', degrees=20, scale=[0.7, 1.2]}]",
]  # fmt: skip


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.file("weights.safetensors"))


def assert_same_bits(one: Run, other: Run) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def test_a_run_holds_all_that_it_promises(tmp_path: Path) -> None:
    chosen = recipe.load("two-conv", [*QUICK, "epochs=2", "data.validation=101"])
    run = train(chosen, out=tmp_path)
    assert {path.name for path in run.folder.iterdir()} == {
        "record.json", "recipe.toml", "history.csv", "steps.csv", "checkpoint.pt", "weights.safetensors", "samples.npz",
    }  # fmt: skip
    record = run.record
    assert recipe.load(run.file("recipe.toml")) == chosen
    assert recipe.Recipe(**record.recipe) == chosen
    assert (record.status, record.epochs, record.source) == ("finished", 2, "digits")
    assert (record.num_train, record.num_validation, record.images_seen) == (1100, 101, 2200)
    assert record.steps == 2 * 18  # the last, smaller batch counts
    assert record.num_parameters == 13_242
    assert record.data_sha256 == data.load("digits", "train").sha256
    assert record.seconds.training > 0 and record.seconds.evaluation > 0 and record.seconds.start_up > 0
    assert record.peak_memory_bytes > 50e6
    assert record.versions["torch"] == torch.__version__
    with run.file("history.csv").open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_the_stored_result_is_that_of_the_stored_weights(tmp_path: Path) -> None:
    run = train(recipe.load("gap-cnn", [*QUICK, "epochs=2", "data.validation=150"]), out=tmp_path)
    model, card = models.load_weights(run.file("weights.safetensors"))
    _, validation = data.hold_out(data.load("digits", "train"), 150)
    found = evaluate(model, validation.images_NHW, validation.labels_N, mean=card.mean, std=card.std)
    result = run.record.result
    assert result is not None and result.split == "validation"
    assert (result.correct, result.seen) == (found.correct, 150)
    assert result.confusion == found.confusion_KK.tolist()
    assert result.calibration_error == pytest.approx(found.calibration_error(validation.labels_N))
    assert run.table("history.csv")[-1]["validation_accuracy"] == pytest.approx(found.accuracy)
    samples = np.load(run.file("samples.npz"), allow_pickle=False)
    assert len(samples["mistakes_images"]) == min(64, found.seen - found.correct)
    assert (samples["mistakes_labels"] != samples["mistakes_predicted"]).all()
    assert (np.diff(samples["mistakes_probability"]) <= 0).all()
    assert samples["augmented_images"].shape == (64, 28, 28)


@pytest.mark.parametrize(("validation", "shift_pixels"), [(150, 1), (0, 0)])
def test_validation_images_are_asked_as_test_images_are_and_training_images_once(
    validation: int, shift_pixels: int, tmp_path: Path
) -> None:
    settings = [*QUICK, "epochs=1", f"data.validation={validation}", "evaluation.shift_pixels=1"]
    run = train(recipe.load("two-conv", settings), out=tmp_path)
    model, card = models.load_weights(run.file("weights.safetensors"))
    images = data.load("digits", "train")
    asked = data.hold_out(images, validation)[1] if validation else images
    found = [
        evaluate(model, asked.images_NHW, asked.labels_N, mean=card.mean, std=card.std, shift_pixels=shift)
        for shift in (0, 1)
    ]
    assert run.record.result is not None and run.record.result.seen == len(asked)
    assert run.record.result.loss == pytest.approx(found[shift_pixels].loss)
    assert found[0].loss != pytest.approx(found[1].loss)


def test_a_checkpoint_loads_without_running_code(tmp_path: Path) -> None:
    run = train(recipe.load("two-conv", QUICK), out=tmp_path)
    content = torch.load(run.file("checkpoint.pt"), weights_only=True)
    assert {"model", "optimizer", "schedule", "average", "random", "position", "history"} <= set(content)


@pytest.mark.parametrize("name", ["four-conv", "gap-cnn", "rf29-cnn", "se-resnet", "two-conv"])
def test_the_seed_decides_every_bit(name: str, tmp_path: Path) -> None:
    settings = ["data.source=digits", "data.batch_size=60", "schedule={name='constant'}"]
    settings += ["epochs=1", "data.validation=0"] if name != "se-resnet" else ["epochs=1", "average={name='ema'}"]
    settings += ["data.validation=600"]
    first, again, other = (train(recipe.load(name, [*settings, f"seed={seed}"]), out=tmp_path) for seed in (1, 1, 2))
    assert_same_bits(first, again)
    assert any(not torch.equal(a, b) for a, b in zip(weights(first).values(), weights(other).values(), strict=True))


class StopAfter(Reporter):
    """Presses Ctrl-C once so many reports were made."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def on_progress(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("average", ["", "average={name='ema', decay=0.9}", "average={name='swa', start_epoch=1}"])
@pytest.mark.parametrize("reports", [1, 2, 4])
def test_a_stopped_run_resumes_to_the_same_bits(average: str, reports: int, tmp_path: Path) -> None:
    settings = [*WITH_EVERYTHING, "data.batch_size=10", *([average] if average else [])]
    chosen = recipe.load("two-conv", settings)
    whole = train(chosen, out=tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"checkpoint kept\n  try: tinydigits train --resume") as stopped:
        train(chosen, out=tmp_path / "parts", reporter=StopAfter(reports))
    run = Run(Path(str(stopped.value.where).removeprefix("run ")))
    assert run.record.status == "interrupted"
    assert not (run.folder / "weights.safetensors").exists()
    torch.manual_seed(99)  # resuming must not lean on the process's random state
    assert resume(run).record.status == "finished"
    assert_same_bits(whole, run)
    timeless = [{key: row[key] for key in row if key != "seconds"} for row in run.table("history.csv")]
    assert timeless == [{key: row[key] for key in row if key != "seconds"} for row in whole.table("history.csv")]
    assert run.table("steps.csv") == whole.table("steps.csv") != []
    assert run.record.images_seen == whole.record.images_seen
    assert run.record.result == whole.record.result
    assert run.record.resumed == 1


@pytest.mark.parametrize("average", ["", "average={name='ema', decay=0.9}", "average={name='swa', start_epoch=1}"])
def test_statistics_of_plain_images_change_nothing_else_and_resume_to_the_same_bits(
    average: str, tmp_path: Path
) -> None:
    settings = [*WITH_NORMS, "epochs=2", *([average] if average else [])]
    augmented = train(recipe.load("gap-cnn", settings), out=tmp_path / "augmented")
    chosen = recipe.load("gap-cnn", [*settings, "statistics=plain"])
    plain = train(chosen, out=tmp_path / "plain")
    others = weights(augmented)
    differ = {key.rsplit(".")[-1] for key, value in weights(plain).items() if not torch.equal(value, others[key])}
    assert {"running_mean", "running_var"} <= differ <= {"running_mean", "running_var", "num_batches_tracked"}
    assert plain.table("steps.csv") == augmented.table("steps.csv")
    assert plain.record.images_for_statistics == plain.record.num_train == 500
    with pytest.raises(Interrupted) as stopped:
        train(chosen, out=tmp_path / "parts", reporter=StopAfter(1))
    resumed = resume(Run(Path(str(stopped.value.where).removeprefix("run "))))
    assert_same_bits(plain, resumed)
    assert resumed.record.result == plain.record.result


def test_statistics_of_plain_images_are_of_all_training_images_as_they_are(tmp_path: Path) -> None:
    run = train(recipe.load("gap-cnn", [*WITH_NORMS, "epochs=1", "statistics=plain"]), out=tmp_path)
    model, card = models.load_weights(run.file("weights.safetensors"))
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    images_NHW = data.hold_out(data.load("digits", "train"), 701)[0].images_NHW
    evaluate(model, images_NHW, np.zeros(len(images_NHW), np.uint8), mean=card.mean, std=card.std)
    features_CP = torch.cat(seen).transpose(0, 1).flatten(1)
    # Two batches of 250 images: the mean of their variances is near that of all, that of their means is it.
    assert norm.running_mean is not None and norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, features_CP.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, features_CP.var(1), atol=1e-3, rtol=2e-2)


def test_statistics_of_plain_images_need_a_model_with_batch_norm(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match='two-conv: statistics: got "plain", for a model without BatchNorm'):
        train(recipe.load("two-conv", [*QUICK, "statistics=plain"]), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_finds_its_folder_from_anywhere_and_takes_no_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = put_pictures(Path("digits")).resolve()
    settings = ['data.source="./digits"', "data.batch_size=10", "epochs=2"]
    with pytest.raises(Interrupted) as stopped:
        train(recipe.load("two-conv", settings), out=tmp_path, reporter=StopAfter(1))
    run = Run(Path(str(stopped.value.where).removeprefix("run ")))
    assert (run.record.source, run.record.recipe["data"]["source"]) == (str(folder), str(folder))
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(TinydigitsError, match=r"data digits \(.*is not there(.|\n)*--data FOLDER"):
        resume(run)
    picture = moved / "train/A/0.png"
    picture.rename(tmp_path / "kept.png")
    with pytest.raises(TinydigitsError, match="has other training images than before"):
        resume(run, source="../moved")
    (tmp_path / "kept.png").rename(picture)
    assert resume(run, source="../moved").record.source == str(moved)
    card = models.read_card(run.file("weights.safetensors"))
    assert (card.source, card.data_sha256) == ("./moved", run.record.data_sha256)


def test_a_finished_run_that_is_given_more_epochs_is_one_of_so_many_to_the_bit(tmp_path: Path) -> None:
    settings = [*QUICK, "schedule={name='constant'}", "model.options.dropout=0.3"]
    run = train(recipe.load("two-conv", [*settings, "epochs=2"]), out=tmp_path)
    whole = train(recipe.load("two-conv", [*settings, "epochs=4"]), out=tmp_path)
    extended = resume(run, epochs=4)
    assert_same_bits(extended, whole)
    record = extended.record
    assert (record.status, record.epochs, record.extended_at, record.resumed) == ("finished", 4, [2], 1)
    assert record.epochs_trained == "4 of 4, extended after 2"
    assert record.recipe == whole.record.recipe
    assert recipe.load(run.file("recipe.toml")) == recipe.load(whole.file("recipe.toml"))
    assert len(extended.table("history.csv")) == 4 and resume(extended).record == record
    with pytest.raises(TinydigitsError, match="expected more than its 4"):
        resume(extended, epochs=4)


def test_a_finished_run_is_given_back_as_it_is(tmp_path: Path) -> None:
    run = train(recipe.load("two-conv", QUICK), out=tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    assert resume(run).record.status == "finished"
    assert before == {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}


def test_a_loss_that_diverges_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    chosen = recipe.load(
        "two-conv", [*QUICK, "epochs=9", "optimizer={name='sgd', lr=1e6}", "schedule={name='constant'}"]
    )
    with pytest.raises(
        TrainingDiverged, match=r"the loss became (nan|inf) in epoch \d, batch \d+ of 19\n  try: a lower"
    ):
        train(chosen, out=tmp_path)
    (run,) = (Run(path.parent) for path in tmp_path.glob("2*/record.json"))
    assert run.record.status == "diverged"
    state = torch.load(run.file("checkpoint.pt"), weights_only=True)["model"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_weights_that_are_spoiled_by_the_last_step_are_no_finished_run(tmp_path: Path) -> None:
    # One step an epoch: its loss is finite, and only the evaluation after it sees what it did.
    wild = ["data.batch_size=1201", "optimizer={name='sgd', lr=1e38}", "schedule={name='constant'}"]
    with pytest.raises(TrainingDiverged, match="the loss on train images became nan after epoch 1"):
        train(recipe.load("two-conv", [*QUICK, *wild]), out=tmp_path)
    (run,) = (Run(path.parent) for path in tmp_path.glob("2*/record.json"))
    assert run.record.status == "diverged"
    assert not (run.folder / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run.folder / "checkpoint.pt").unlink(), r"incomplete: it has no checkpoint\.pt"),
        (lambda run: (run.folder / "recipe.toml").unlink(), r"incomplete: it has no recipe\.toml"),
        (lambda run: (run.folder / "checkpoint.pt").write_bytes(b"PK\x03\x04 no"), "damaged checkpoint"),
    ],
)
def test_a_damaged_run_is_told(spoil: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(recipe.load("two-conv", [*QUICK, "epochs=2", "data.batch_size=10"]), out=tmp_path, reporter=StopAfter(1))
    (run,) = (Run(path.parent) for path in tmp_path.glob("2*/record.json"))
    spoil(run)
    with pytest.raises(TinydigitsError, match=message):
        resume(run)


def test_training_never_reads_the_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[str] = []
    load = data.load

    def watched(source: str, split: str, **options: Any) -> data.ImageSet:
        splits.append(split)
        return load(source, split, **options)

    monkeypatch.setattr(data, "load", watched)
    train(recipe.load("two-conv", [*QUICK, "data.validation=100"]), out=tmp_path)
    assert splits == ["train"]


def test_gradient_accumulation_steps_once_for_several_batches(tmp_path: Path) -> None:
    settings = [*QUICK, "data.batch_size=90", "optimizer={name='sgd', lr=0.1, accumulate=4}"]
    run = train(recipe.load("two-conv", [*settings, "schedule={name='constant'}"]), out=tmp_path)
    assert run.record.steps == 4  # fourteen batches: three full groups and the rest


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    common = ["data.source=digits", "data.validation=401", "model.options.dropout=0", "schedule={name='constant'}"]
    small = [*common, "data.batch_size=100", "optimizer={name='sgd', lr=0.1, accumulate=2}"]
    large = [*common, "data.batch_size=200", "optimizer={name='sgd', lr=0.1}"]
    one, other = (weights(train(recipe.load("two-conv", s), out=tmp_path)) for s in (small, large))
    for key in one:
        assert torch.allclose(one[key], other[key], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nn.Linear(784, 7)", r"input \(2, 1, 28, 28\), got output \(2, 7\), expected \(2, 10\)"),
        ("nn.Linear(99, 10)", r"fails on input \(2, 1, 28, 28\): "),
    ],
)
def test_a_model_of_the_wrong_shape_is_told_before_anything_is_written(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        f"from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        f"        super().__init__(nn.Flatten(), {text})\n",
        encoding="utf-8",
    )
    with pytest.raises(TinydigitsError, match=message):
        train(recipe.load("two-conv", [*QUICK, f"model={{name='{path}:Net'}}"]), out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_device_that_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match="device: got 'cuda:77'"):
        train(recipe.load("two-conv", QUICK), out=tmp_path, device="cuda:77")


def test_threads_are_as_asked_and_set_back_after(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    run = train(recipe.load("two-conv", [*QUICK, "data.validation=1100"]), out=tmp_path, threads=before + 1)
    assert run.record.threads == before + 1
    assert torch.get_num_threads() == before


def test_small_batches_get_one_thread_unless_asked(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        few = ["data.source=digits", "data.validation=1100"]
        threads = [
            train(
                recipe.load("two-conv", [*few, f"data.batch_size={size}"]), out=tmp_path, threads=asked
            ).record.threads
            for size, asked in ((10, None), (64, None), (10, 2), ("{1=64, 2=10}", None))
        ]
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 2, 2, 2]


def test_a_checkpoint_is_written_each_half_minute_and_not_at_each_step_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    clock = types.SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    for module in (loop, ledger):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(ledger, "_BATCHES_PER_READING", 1)
    writes: list[str] = []
    write = Run.write
    monkeypatch.setattr(Run, "write", lambda run, name, content: (writes.append(name), write(run, name, content))[1])
    run = train(recipe.load("two-conv", [*QUICK, "data.batch_size=12"]), out=tmp_path)
    assert run.record.steps == 100  # a second or more each, by this clock
    assert 2 <= writes.count("checkpoint.pt") - 1 <= 5  # one of them at the epoch's end


# Layers in C.

IN_C = {
    "batch_last": [*QUICK, "batch_last=true", "precision=fp32", "channels_last=false", "epochs=3"],
    "fused": [*QUICK, "fused=true", "epochs=3"],
}


@pytest.mark.parametrize("name", IN_C)
def test_a_training_in_c_goes_on_after_a_stop_to_the_same_bits_and_names_its_compiler(
    tmp_path: Path, name: str
) -> None:
    chosen = recipe.load("gap-cnn-tuned", IN_C[name])
    whole = train(chosen, out=tmp_path, threads=1)

    class Stopping(Reporter):
        def on_epoch(self, row: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(chosen, out=tmp_path / "stopped", threads=1, reporter=Stopping())
    stopped = Run(tmp_path / "stopped" / "latest")
    assert_same_bits(resume(stopped), whole)
    assert any(character.isdigit() for character in whole.record.versions["compiler"])
    plain = train(recipe.load("gap-cnn-tuned", [*IN_C[name], f"{name}=false"]), out=tmp_path, threads=1)
    assert "compiler" not in plain.record.versions
    assert plain.record.result is not None and whole.record.result is not None
    assert whole.record.result.loss == pytest.approx(plain.record.result.loss, rel=0.05)


@pytest.mark.parametrize("name", IN_C)
def test_a_training_in_c_without_a_compiler_is_by_torchs_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    load_kernels.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    run = train(recipe.load("gap-cnn-tuned", [*IN_C[name], "epochs=1"]), out=tmp_path, threads=1)
    plain = train(recipe.load("gap-cnn-tuned", [*IN_C[name], "epochs=1", f"{name}=false"]), out=tmp_path, threads=1)
    assert "compiler" not in run.record.versions
    assert_same_bits(run, plain)


@pytest.mark.parametrize("other", ["precision=bf16", "channels_last=true", "recompute=['features']"])
def test_batch_last_is_refused_with_what_it_cannot_do(other: str) -> None:
    with pytest.raises(
        TinydigitsError, match='batch_last with precision = "fp32", without channels_last and recompute'
    ):
        recipe.load("gap-cnn-tuned", [*IN_C["batch_last"], other])


@pytest.mark.parametrize("other", ["precision=fp32", "channels_last=false", "recompute=['features']"])
def test_fused_is_refused_with_what_it_cannot_do(other: str) -> None:
    with pytest.raises(TinydigitsError, match='fused with precision = "bf16" and channels_last, without recompute'):
        recipe.load("gap-cnn-tuned", [*IN_C["fused"], other])


@pytest.mark.parametrize(("rank", "num_warnings"), [(0, 1), (1, 0)])
def test_the_first_of_several_processes_alone_warns_of_the_data(rank: int, num_warnings: int) -> None:
    world = World(torch.device("cpu"))
    world.rank = rank
    with warnings.catch_warnings(record=True) as caught, world.one_first():
        warnings.warn("left out", DataWarning, stacklevel=1)
    assert len(caught) == num_warnings
