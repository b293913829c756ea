"""What a sweep may say, what becomes of it, and what a search keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import put_pictures
from tinydigits import recipe, sweep
from tinydigits.errors import TinydigitsError
from tinydigits.run import Run, runs_in
from tinydigits.sweep import Sweep
from tinydigits.sweep.worker import Worker, _load

QUICK = {"data.source": "digits", "data.batch_size": 200, "epochs": 1}


def test_a_toml_sweep_may_write_dotted_keys_as_tables(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "two-conv"\nset.epochs = 1\n[vary]\ndata.batch_size = [10, 50]\nmodel.dropout = [0.1]\n')
    found = sweep.load(file)
    assert found.vary == {"data.batch_size": (10, 50), "model.dropout": (0.1,)}
    assert [point.settings["data.batch_size"] for point in found.grid()] == [10, 50]


def test_a_grid_goes_seed_by_seed_through_cases_and_values() -> None:
    found = Sweep(
        name="s", recipe="two-conv", cases=[{"epochs": 1}, {"epochs": 2}], vary={"optimizer.lr": [1, 2]}, seeds=2
    )
    assert [(p.settings["epochs"], p.settings["optimizer.lr"], p.seed_offset) for p in found.grid()] == [
        (1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"vary": {"epochs": [1, 1]}}, "twice"),
        ({"search": {"epochs": "1-3"}, "trials": 1}, "int:4..48"),
        ({"search": {"optimizer.lr": "log:0..1"}, "trials": 1}, "above 0"),
        ({"search": {"optimizer.lr": "0..1"}}, "ends"),
        ({"search": {"optimizer.lr": "0..1"}, "trials": 1, "verify": True}, "test images"),
        ({"search": {"optimizer.lr": "0..1"}, "trials": 1, "seeds": 2}, "not both"),
        ({"trials": 3}, "grid"),
        ({"budget": "soon", "search": {"epochs": "int:1..3"}}, "30m"),
        ({"vari": {}}, "vary"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(fields: dict[str, object], word: str) -> None:
    with pytest.raises(TinydigitsError, match=word):
        sweep.check({"name": "s", "recipe": "two-conv", **fields})


def test_settings_that_the_recipe_does_not_have_are_refused_before_anything_runs(tmp_path: Path) -> None:
    for field in ({"vary": {"data.batchsize": [1]}}, {"search": {"data.batchsize": "0..1"}, "trials": 1}):
        with pytest.raises(TinydigitsError, match=r"data\.batch_size"):
            sweep.create(Sweep(name="s", recipe="two-conv", **field), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sweep.names())
def test_a_shipped_sweep_fits_its_recipe(name: str, tmp_path: Path) -> None:
    study = sweep.create(sweep.load(name), tmp_path)
    assert sweep.load(study.folder / "sweep.toml") == study.sweep
    assert sweep.open_study(study.name, tmp_path).recipe() == study.recipe()


def test_a_model_option_goes_by_its_own_name() -> None:
    assert recipe.load("two-conv", ["model.dropout=0.1"]).model.options == {"dropout": 0.1}


def test_validation_images_are_held_out_unless_the_verifier_asks(tmp_path: Path) -> None:
    held_out = sweep.create(Sweep(name="s", recipe="two-conv", vary={"epochs": [1]}), tmp_path)
    assert held_out.recipe().data.validation == 10_000
    asked = sweep.create(Sweep(name="s", recipe="two-conv", vary={"epochs": [1]}, verify=True), tmp_path)
    assert asked.recipe().data.validation == 0


def test_a_verified_grid_counts_test_images_and_keeps_the_verdicts(tmp_path: Path) -> None:
    contract = tmp_path / "c.toml"
    contract.write_text('[accuracy]\nsource = "digits"\nmin = 0.01\nbound = "point"\n')
    asked = Sweep(
        name="s", recipe="two-conv", set=QUICK, vary={"epochs": [1]}, seeds=2, verify=True, contract=str(contract)
    )
    study = sweep.create(asked, tmp_path)
    sweep.work(study, threads=1, device="cpu")
    rows = study.standing().done
    assert [(row.facts["split"], row.facts["seen"], row.seed) for row in rows] == [("test", 596, 0), ("test", 596, 1)]
    for row in rows:
        verdict = Run(study.folder / row.run).verdict
        assert verdict is not None and verdict.test_counts == (row.facts["correct"], row.facts["seen"])


def test_a_search_keeps_a_contracts_limits_and_trains_nothing_that_breaks_one(tmp_path: Path) -> None:
    contract = tmp_path / "small.toml"
    contract.write_text("[model]\nparameters = { max = 1_500 }\n[training]\nepochs = { max = 2 }\n")
    ranges = {f"model.widths.{stage}": "int:8..24" for stage in range(3)} | {"epochs": "int:1..3"}
    asked = Sweep(
        name="s", recipe="frontier-3k", set=QUICK | {"precision": "fp32", "model.depths": [0, 1, 1]}, search=ranges,
        trials=3, contract=str(contract),
    )  # fmt: skip
    study = sweep.create(asked, tmp_path)
    sweep.work(study, threads=1, device="cpu")
    standing = study.standing()
    assert standing.is_finished and len(standing.done) == 3 and standing.rejected > 0
    trained = [run.record for run in runs_in(study.folder)]
    assert len(trained) == 3
    assert all(record.num_parameters <= 1_500 and record.recipe["epochs"] <= 2 for record in trained)
    broken = [trial.user_attrs["broken"] for trial in study.optuna.trials if "broken" in trial.user_attrs]
    assert {check for found in broken for check in found} == {"model.parameters", "training.epochs"}
    assert standing.best is not None and standing.best.facts["split"] == "validation"


def test_the_same_search_with_one_worker_draws_the_same(tmp_path: Path) -> None:
    asked = Sweep(name="s", recipe="two-conv", set=QUICK, search={"optimizer.lr": "log:1e-4..1e-1"}, trials=3)
    drawn = []
    for out in ("a", "b"):
        study = sweep.create(asked, tmp_path / out)
        sweep.work(study, threads=1, device="cpu")
        drawn.append([(row.settings, row.value) for row in study.standing().done])
    assert drawn[0] == drawn[1] and len({str(settings) for settings, _ in drawn[0]}) == 3
    assert drawn[0][0][0] == {"optimizer.lr": 0.005}  # the recipe's own comes first


def test_a_hopeless_trial_is_pruned_by_validation_accuracy(tmp_path: Path) -> None:
    rates = {"optimizer.lr": [0.005, 1e-9]}
    asked = Sweep(name="s", recipe="two-conv", set=QUICK | {"epochs": 4}, search=rates, trials=12)
    study = sweep.create(asked, tmp_path)
    sweep.work(study, threads=1, device="cpu")
    pruned = [row for row in study.standing().done if row.state == "pruned"]
    assert pruned and all(row.settings == {"optimizer.lr": 1e-9} for row in pruned)
    assert all(Run(study.folder / row.run).record.epochs < 4 for row in pruned)


def test_a_budget_ends_a_search_and_stays_spent(tmp_path: Path) -> None:
    asked = Sweep(name="s", recipe="two-conv", set=QUICK, search={"optimizer.lr": "log:1e-4..1e-1"}, budget="1s")
    study = sweep.create(asked, tmp_path)
    sweep.work(study, threads=1, device="cpu")
    before = study.standing()
    assert before.is_finished and before.spent_seconds >= 1 and before.done
    sweep.work(study, threads=1, device="cpu")
    assert len(study.standing().rows) == len(before.rows)


def test_a_search_rejects_a_model_that_does_not_fit_and_goes_on(tmp_path: Path) -> None:
    code = """
from torch import nn

class Net(nn.Module):
    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, kernel), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 10))

    def forward(self, images):
        return self.layers(images)
"""
    (tmp_path / "net.py").write_text(code)
    search = {"model.kernel": [3, 40]}  # 40 is larger than the image
    fixed = QUICK | {"model.name": f"{tmp_path}/net.py:Net", "model.options": {}}
    asked = Sweep(name="s", recipe="two-conv", set=fixed, search=search, trials=6)
    study = sweep.create(asked, tmp_path)
    sweep.work(study, threads=1, device="cpu")
    standing = study.standing()
    assert {row.settings["model.kernel"] for row in standing.done} == {3} and standing.rejected > 0


@pytest.mark.parametrize("fields", [{"vary": {"epochs": [1, 2]}}, {"search": {"epochs": "int:1..3"}, "trials": 2}])
def test_all_trials_of_a_study_have_the_same_training_images(
    fields: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = put_pictures(Path("digits")) / "train/A/0.png"
    quick = {"data.source": "./digits", "data.batch_size": 50}
    contract = "under-25k" if "search" in fields else None
    study = sweep.create(Sweep(name="s", recipe="two-conv", set=quick, contract=contract, **fields), "runs")
    first = Worker(study, sweep.Lease(), threads=1, device="cpu")
    first.run(first.claim())
    picture.unlink()
    _load.cache_clear()  # as in another process
    with pytest.raises(TinydigitsError, match=r"data digits \(.*has other training images than before"):
        sweep.work(study, threads=1, device="cpu")
    assert [run.record.source for run in runs_in(study.folder)] == [str(tmp_path / "digits")]
