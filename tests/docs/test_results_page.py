"""Rows get into the results only from finished, verified runs, and its page is what they say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

import tinydigits.recipe
from benchmarks.__main__ import main
from benchmarks.results_page import Claims, Structure, System, results_page
from benchmarks.rows import Row, load_rows
from tests.conftest import verify_and_keep
from tinydigits.errors import TinydigitsError
from tinydigits.run import Run
from tinydigits.training import train
from tinydigits.verdict import JudgedData

CLAIMS = Claims(
    source="mnist",
    system=(
        System(
            name="gap-cnn", claim="Much | in little.", short="> 99.4 % in 19", accuracy=0.994, epochs=19,
            code="Code\nof theirs.", published="gap-cnn", tuned="gap-cnn-tuned",
        ),
        System(
            name="two-conv", claim="Some.", short="> 95 % in 1", accuracy=0.95, epochs=1, code="", published="two-conv"
        ),
    ),
)  # fmt: skip
STRUCTURES = {"gap-cnn": Structure(9274, (46, 46), 1_217_160)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A shipped recipe, trained to its end on bundled data and verified; not to be written to."""
    run = train(tinydigits.recipe.load("digits", ["epochs=1"]), out=tmp_path_factory.mktemp("runs"), threads=1)
    record = run.record
    record.recipe["epochs"] = tinydigits.recipe.load("digits").epochs  # the rest would be 39 more of the same
    run.write_record(record)
    verify_and_keep(run.folder, threads=1)
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished.folder, tmp_path / finished.name)))


@pytest.fixture
def row(finished: Run) -> Row:
    """A real row, of a run on the bundled digits."""
    assert finished.verdict is not None
    return Row(record=finished.record, verdict=finished.verdict)


def with_verdict(row: Row, **changes: object) -> Row:
    return row.model_copy(update={"verdict": row.verdict.model_copy(update=changes)})


def measured(
    row: Row, recipe: str, seed: int, correct: int, *, seconds: float = 10.0, settings: tuple[str, ...] = ()
) -> Row:
    """The row as a run on MNIST with so many right of 10,000 would have left it."""
    row = row.model_copy(deep=True)
    loaded = tinydigits.recipe.load(recipe, [f"seed={seed}", *settings])
    row.record.recipe = loaded.model_dump(mode="json", exclude_none=True)
    row.record.epochs, row.record.seconds.training = loaded.epochs, seconds
    counts = {"correct": correct, "seen": 10_000, "data_sha256": "5"}
    return with_verdict(
        row, target=row.verdict.target.model_copy(update={"trained_on": "mnist"}),
        data=(JudgedData(source="mnist", split="test", num_images=10_000, sha256="5"),),
        findings=tuple(
            replace(finding, status="pass", details=counts if finding.check == "accuracy" else {})
            for finding in row.verdict.findings
        ),
    )  # fmt: skip


def cells(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_page_has_mean_and_spread_over_seeds_beside_the_test_sets_own_error(row: Row) -> None:
    rows = [measured(row, "gap-cnn", seed, 9_930 + 10 * seed, seconds=10 + seed) for seed in range(3)]
    rows += [measured(row, "gap-cnn-tuned", seed, 9_950) for seed in range(2)]
    page = results_page(rows, CLAIMS, STRUCTURES)
    assert cells(page, "[gap-cnn](#gap-cnn)") == [
        "`gap-cnn`", "9,274", "19", "99.400 ± 0.100 %, n = 3", "> 99.4 % in 19", "holds"
    ]  # fmt: skip
    assert cells(page, "accuracy, mean ± sd over seeds") == ["99.400 ± 0.100 %", "99.500 ± 0.000 %"]
    assert cells(page, "the test set's own error")[0] == "± 0.077 points (binomial)"
    assert cells(page, "right test images, seed by seed")[0] == "9,930, 9,940, 9,950 of 10,000 (seeds 0, 1, 2)"
    assert cells(page, "training seconds")[0] == "11.0 ± 1.0"
    assert cells(page, "receptive field")[0] == "46×46"
    assert cells(page, "multiply-adds for one image")[0] == "1,217,160"
    assert cells(page, "verdict")[0] == "contract digits holds for 3 of 3"
    assert "tinydigits train gap-cnn --seeds 3 --device cpu --threads 1" in page
    assert "**Claim.** Much | in little." in page and "Code of theirs." in page


def test_claim_is_judged_by_the_mean_and_the_epochs(row: Row) -> None:
    rows = [measured(row, "gap-cnn", 0, 9_939), measured(row, "gap-cnn-tuned", 0, 9_999, settings=("epochs=20",))]
    page = results_page(rows, CLAIMS)
    assert cells(page, "claim") == ["misses by 0.010 points", "takes 20 epochs, not 19"]
    assert cells(page, "accuracy, mean ± sd over seeds")[0] == "99.390 %"  # one seed has no spread
    assert cells(page, "receptive field")[0] == "not traced"


def test_a_mean_that_is_the_claim_holds_it(row: Row) -> None:
    def claim(*counts: int) -> list[str]:
        page = results_page([measured(row, "two-conv", seed, count) for seed, count in enumerate(counts)], CLAIMS)
        return cells(page, "claim")

    assert fmean([0.9499, 0.95, 0.9501]) < 0.95, "the float is a hair below: the case in question"
    assert claim(9_499, 9_500, 9_501) == ["holds"]
    assert claim(9_499, 9_500, 9_500) == ["misses by 0.003 points"]


def test_broken_checks_are_named(row: Row) -> None:
    bad = measured(row, "gap-cnn", 0, 9_939)
    first, *others = bad.verdict.findings
    bad = with_verdict(bad, findings=(replace(first, status="fail"), *others))
    check = first.check
    page = results_page([bad], CLAIMS)
    assert cells(page, "verdict")[0] == f"contract digits holds for 0 of 1 ({check} fail)"


def test_system_without_rows_is_there_and_says_so() -> None:
    page = results_page([], CLAIMS)
    assert cells(page, "[two-conv](#two-conv)")[3] == "not measured yet"
    assert "`two-conv` has not been measured yet." in page


def test_seeds_that_do_not_follow_each_other_have_a_command_each(row: Row) -> None:
    page = results_page([measured(row, "two-conv", seed, 9_800) for seed in (1, 4)], CLAIMS)
    for seed in (1, 4):
        assert f"tinydigits train two-conv --seed {seed} --device cpu --threads 1\n" in page


def test_rows_that_do_not_belong_together_are_refused(row: Row) -> None:
    one = measured(row, "gap-cnn", 0, 9_940)
    with pytest.raises(TinydigitsError, match="another recipe"):
        results_page([one, measured(row, "gap-cnn", 1, 9_940, settings=("epochs=3",))], CLAIMS)
    with pytest.raises(TinydigitsError, match="another model"):
        results_page([one], CLAIMS, {"gap-cnn": Structure(9_275, (46, 46), 1)})
    other = measured(row, "gap-cnn", 1, 9_940)
    digits = other.verdict.data[0].model_copy(update={"source": "digits"})
    other = with_verdict(other, data=(digits,))
    with pytest.raises(TinydigitsError, match="other test images"):
        results_page([one, other], CLAIMS)
    with pytest.raises(TinydigitsError, match="no system names"):
        results_page([one, measured(row, "rf29-cnn", 0, 9_800)], CLAIMS)
    untested = with_verdict(measured(row, "gap-cnn", 1, 9_940), data=())
    with pytest.raises(TinydigitsError, match="did not ask"):
        results_page([one, untested], CLAIMS)


def test_rows_are_read_by_recipe_and_seed_and_must_bear_their_name(row: Row, tmp_path: Path) -> None:
    for seed in (10, 9):
        content = measured(row, "gap-cnn", seed, 9_940).model_dump_json()
        (tmp_path / f"gap-cnn_s{seed}.json").write_text(content, encoding="utf-8")
    assert [(found.recipe, found.seed) for found in load_rows(tmp_path)] == [("gap-cnn", 9), ("gap-cnn", 10)]
    (tmp_path / "gap-cnn_s9.json").rename(tmp_path / "gap-cnn_s8.json")
    with pytest.raises(TinydigitsError, match=r"gap-cnn_s8\.json"):
        load_rows(tmp_path)
    (tmp_path / "gap-cnn_s8.json").write_text("{", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="damaged"):
        load_rows(tmp_path)


def collect(arguments: list[str]) -> int:
    return main(["collect", "reference", *arguments])


def test_collected_row_is_the_record_and_the_verdict(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "rows"
    assert collect([str(run.folder), "--to", str(to)]) == 0
    row = json.loads((to / "digits_s0.json").read_text(encoding="utf-8"))
    assert row["record"] == run.record.model_dump(mode="json")
    assert row["verdict"] == json.loads(run.file("verdict.json").read_text(encoding="utf-8"))
    assert (to / "digits_s0.json").stat().st_size < 20_000


def test_row_is_not_quietly_replaced(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "rows"
    arguments = [str(run.folder), "--to", str(to)]
    assert collect(arguments) == collect(arguments) == 0
    run.write_record(run.record.model_copy(update={"steps": 1}))
    assert collect(arguments) == 2
    assert collect([*arguments, "--replace"]) == 0


@pytest.mark.parametrize("fault", ["unfinished", "unverified", "other weights", "other recipe", "no test images"])
def test_run_without_a_sound_verdict_is_refused(
    run: Run, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record, verdict = run.record, json.loads(run.file("verdict.json").read_text(encoding="utf-8"))
    if fault == "unfinished":
        run.write_record(record.model_copy(update={"status": "interrupted"}))
    elif fault == "unverified":
        (run.folder / "verdict.json").unlink()
    elif fault == "other weights":
        weights = run.folder / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    elif fault == "other recipe":
        run.write_record(record.model_copy(update={"recipe": {**record.recipe, "epochs": 41}}))
    else:
        run.write("verdict.json", json.dumps(verdict | {"data": []}))
    assert collect([str(run.folder), "--to", str(tmp_path / "rows")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "rows").exists()
