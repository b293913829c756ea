"""A claim about a recipe is judged over the runs that differ in nothing but the seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tinydigits import data, recipe
from tinydigits.contract import Contract
from tinydigits.run import Run
from tinydigits.training import train
from tinydigits.verdict import Finding
from tinydigits.verification import Request, verify

SETTINGS = ["data.source=digits", "epochs=2", "data.batch_size=32"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three seeds of a recipe, and a run of another learning rate, in one folder."""
    out = tmp_path_factory.mktemp("runs")
    seeds = [recipe.load("two-conv", [*SETTINGS, f"seed={seed}"]) for seed in range(3)]
    other = recipe.load("two-conv", [*SETTINGS, "seed=3", "optimizer.lr=0.004"])
    return [train(each, out=out, device="cpu", threads=1) for each in (*seeds, other)]


def judge(run: Path, **limits: object) -> Finding:
    group = {"source": "digits", "min": 0.1, "seeds": 3, **limits}
    return verify(Request(target=run, contract=Contract(name="seeds", accuracy=group))).findings[0]


def test_the_mean_of_all_seeds_of_the_recipe_is_judged(runs: list[Run]) -> None:
    finding = judge(runs[0].folder)
    assert finding.status == "pass" and finding.details["seeds"] == 3
    test = len(data.load("digits", "test"))
    alone = [judge(run.folder, seeds=1).details["correct"] for run in runs[:3]]
    assert (
        sorted(finding.details["correct_of_each"]) == sorted(alone)
        and finding.details["correct_of_each"][0] == alone[0]
    )
    assert finding.details["mean"] == pytest.approx(sum(alone) / 3 / test)
    assert judge(runs[1].folder).details["mean"] == pytest.approx(finding.details["mean"])


def test_too_few_seeds_are_undecided_and_a_copy_is_no_seed(runs: list[Run], tmp_path: Path) -> None:
    alone = Path(shutil.copytree(runs[0].folder, tmp_path / "alone"))
    copy = Path(shutil.copytree(runs[0].folder, tmp_path / "copy"))
    text = (copy / "recipe.toml").read_text()
    (copy / "recipe.toml").write_text(text.replace("seed = 0", "seed = 7"))
    again = Path(shutil.copytree(runs[0].folder, tmp_path / "again"))  # the same seed, other weights
    shutil.copy(runs[1].folder / "weights.safetensors", again)
    finding = judge(alone, seeds=2)
    assert finding.status == "undecided" and "and 1 found" in finding.why and "--seeds" in finding.advice


def test_a_baseline_is_asked_the_same_images_as_the_run(runs: list[Run]) -> None:
    def compare(run: Run, with_run: Run, **limits: object) -> Finding:
        group = {"baseline": {"run": with_run.name, "source": "digits", **limits}}
        return verify(
            Request(target=run.folder, contract=Contract(name="paired", accuracy=group), runs=runs[0].folder.parent)
        ).findings[0]

    first, second = compare(runs[0], runs[3]), compare(runs[3], runs[0])
    details = first.details
    assert details["won"] + details["lost"] > 0 and first.details["p_value"] == second.details["p_value"]
    assert (details["won"], details["lost"]) == (second.details["lost"], second.details["won"])
    alone = [judge(run.folder, seeds=1).details["correct"] for run in (runs[0], runs[3])]
    assert details["won"] - details["lost"] == alone[0] - alone[1]
    assert compare(runs[0], runs[0]).status == "pass"
    assert compare(runs[0], runs[3], margin=0.99).status == "pass"


def test_another_data_set_is_asked_by_every_check_of_the_group(runs: list[Run]) -> None:
    group = {"per_class": {"min": 0.001, "source": "mnist"}, "shifted": {"min": 0.001}}
    verdict = verify(Request(target=runs[0].folder, contract=Contract(name="both", accuracy=group), data="digits"))
    assert [part["source"] for part in verdict.data] == ["digits"]
    assert [finding.status for finding in verdict.findings] == ["pass", "pass"]
