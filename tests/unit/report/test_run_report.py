from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import must_be_inert, spoil
from tinydigits.errors import TinydigitsError
from tinydigits.figures import percent
from tinydigits.report import fill_readme, write_reports, write_run_report
from tinydigits.run import Run
from tinydigits.stats import wilson_interval


def sections_of(page: str) -> list[str]:
    return re.findall(r"^## (.*)$", page, flags=re.MULTILINE)


def row_of(page: str, *cells: str) -> str:
    return next(line for line in page.splitlines() if line.startswith("| " + " | ".join(cells) + " |"))


@pytest.fixture(scope="module")
def reported(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The trained run with its report."""
    run = Run(Path(shutil.copytree(trained.folder, tmp_path_factory.mktemp("reported") / trained.name)))
    assert write_run_report(run) == run.folder / "report.md"
    return run


@pytest.fixture(scope="module")
def page(reported: Run) -> str:
    """The report of the trained run."""
    return reported.file("report.md").read_text(encoding="utf-8")


def test_report_of_a_trained_run_shows_its_pictures_and_names_its_split(reported: Run, page: str) -> None:
    assert page.startswith("# digits on digits, seed 3\n")
    shown = re.findall(r"!\[.*\]\((.*)\)", page)
    assert shown == ["curves.svg", "confusion.svg", "mistakes.svg", "augmented.svg", "filters.svg"]
    for file in shown:
        picture = ElementTree.parse(reported.folder / file).getroot()
        assert float(picture.attrib["width"]) >= 500 and picture[0].text and picture[1].text
    assert "digits validation images" in page
    assert "digits test images" not in page
    assert "The model has not been evaluated on the test images yet" in page


def test_report_has_the_counts_with_their_interval(trained: Run, page: str) -> None:
    result = trained.record.result
    assert result is not None and result.split == "validation"
    interval = wilson_interval(result.correct, result.seen)
    row = row_of(page, "digits", "validation")
    assert f"{result.correct} of 300 | {100 * result.accuracy:.2f} % |" in row
    assert f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %" in row
    assert f"{result.loss:.4f} | {result.calibration_error:.4f} |" in row


def test_report_breaks_the_answers_down_by_class_and_by_probability(trained: Run, page: str) -> None:
    result = trained.record.result
    assert result is not None
    for number, counts in enumerate(result.confusion):
        assert f"{100 * counts[number] / sum(counts):.2f} %" in row_of(page, str(number), str(sum(counts)))
    with np.load(trained.file("samples.npz")) as kept:
        seen, right, total = (float(row[-1]) for row in kept["reliability"])
    assert f"| {100 * right / seen:.2f} % |" in row_of(page, percent(total / seen), f"{seen:.0f}")


def test_report_has_the_facts_of_the_record(trained: Run, page: str) -> None:
    record = trained.record
    assert "9,274" in row_of(page, "parameters")
    assert "901 images of digits train, 300 held out" in row_of(page, "trained on")
    assert "1,802" in row_of(page, "images seen")
    assert f"{record.seconds.training:.1f} s" in row_of(page, "training")
    assert f"{record.seconds.start_up:.1f} s" in row_of(page, "start-up")
    assert f"{record.seconds.evaluation:.1f} s" in row_of(page, "evaluation")
    assert f"{record.peak_memory_bytes / 1e6:,.0f} MB" in row_of(page, "peak memory")
    assert record.machine["processor"] in row_of(page, "machine")
    assert record.versions["torch"] in row_of(page, "versions")
    command = "tinydigits train digits --seed 3 --set epochs=2 --set data.validation=300 --device cpu --threads 1"
    assert f"```\n{command}\n```" in page


def test_report_of_a_verified_run_adds_the_test_images_and_the_verdict(judged: Run) -> None:
    page = write_run_report(judged).read_text(encoding="utf-8")
    verdict = judged.verdict
    assert verdict is not None and verdict.test_counts is not None
    correct, seen = verdict.test_counts
    assert f"{correct} of {seen}" in row_of(page, "digits", "test")
    assert f"| {verdict.calibration_error:.4f} |" in row_of(page, "digits", "test")
    assert f"of the {seen} digits test images right" in page.split("##")[0]
    assert "Contract half: **does not hold**" in page
    assert "| **fail** |" in row_of(page, "training.epochs", "2") and "- **training.epochs**: Train again" in page
    assert sections_of(page)[:7] == [
        "Results",
        "Contract half: does not hold",
        "Curves",
        "Confusion on digits test images",
        "Worst mistakes on digits test images",
        "Confusion on digits validation images",
        "Worst mistakes on digits validation images",
    ]
    for file in ("confusion-test.svg", "mistakes-test.svg"):
        assert f"]({file})" in page and (judged.folder / file).is_file()


def test_what_strangers_named_stays_text_in_every_page(judged: Run, tmp_path: Path) -> None:
    spoil(judged.folder)
    write_reports([judged], tmp_path)
    page = judged.file("report.md").read_text(encoding="utf-8")
    must_be_inert(page)
    assert page.startswith("# x: holds (9 pass)") and page.count("# Contract x: holds (9 pass)") == 1
    markers = "<!-- tinydigits: verdict -->\nold\n<!-- end -->\nmine"
    readme = fill_readme(markers, judged)
    must_be_inert(readme)
    assert readme.endswith("<!-- end -->\nmine") and fill_readme(readme, judged) == readme
    html = judged.file("report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in html and "<script>alert" not in html and "\x1b" not in html
    other = Run(Path(shutil.copytree(judged.folder, tmp_path / "[a](b)")))
    write_reports([judged, other], tmp_path)
    must_be_inert((tmp_path / "report.md").read_text(encoding="utf-8"))


def test_verdict_of_other_weights_is_not_shown(judged: Run) -> None:
    weights = judged.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    page = write_run_report(judged).read_text(encoding="utf-8")
    assert "half" not in page and "digits test images" not in page
    assert "The model has not been evaluated on the test images yet" in page


def test_verdict_without_test_images_does_not_bring_back_older_predictions(judged: Run) -> None:
    path = judged.folder / "verdict.json"
    verdict = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(verdict | {"data": []}), encoding="utf-8")
    page = write_run_report(judged).read_text(encoding="utf-8")
    assert "Contract half" in page and "digits test images" not in page


def test_report_is_the_same_when_written_again(reported: Run, run: Run) -> None:
    write_run_report(run)
    for path in reported.folder.iterdir():
        assert path.read_bytes() == (run.folder / path.name).read_bytes(), path.name


def test_stopped_run_shows_what_there_is(run: Run) -> None:
    for file in ("weights.safetensors", "samples.npz"):
        (run.folder / file).unlink()
    run.write_record(run.record.model_copy(update={"status": "interrupted", "result": None, "epochs": 1}))
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "stopped before its end. 1 epoch of 2 are done." in page
    assert re.findall(r"\]\((.*\.svg)\)", page) == ["curves.svg"]
    assert "Results" not in sections_of(page)


def test_run_before_its_first_epoch_has_no_pictures(run: Run) -> None:
    for file in ("weights.safetensors", "samples.npz", "history.csv", "steps.csv"):
        (run.folder / file).unlink()
    run.write_record(run.record.model_copy(update={"status": "running", "result": None, "epochs": 0}))
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "![" not in page and "has not ended yet" in page


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("history.csv", "epoch,lr,train_loss\n1,x,y\n"),
        ("history.csv", "epoch\n1\n"),
        ("steps.csv", "images_seen,loss,accuracy,lr\n1,x,1,1\n"),
        ("samples.npz", "no archive"),
        ("verdict.json", "{}"),
        ("verdict.json", '{"verdict": "holds", "target": {"name": "a"}, "contract": {"name": "b"}, "findings": [{}]}'),
    ],
)
def test_damaged_file_is_named(judged: Run, file: str, content: str) -> None:
    (judged.folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(TinydigitsError, match=file):
        write_run_report(judged)


def test_steps_give_a_curve_within_the_epochs(reported: Run, run: Run) -> None:
    (run.folder / "steps.csv").unlink()
    write_run_report(run)
    # Two epochs alone are a line from the first one's end on.
    files = [(folder / "curves.svg").read_text(encoding="utf-8") for folder in (reported.folder, run.folder)]
    starts = [float(re.findall(r'class="line first" points="([\d.]+),', file)[0]) for file in files]
    assert starts[0] < 100 < 200 < starts[1]


def test_training_stopped_in_its_first_epoch_has_its_curve(run: Run) -> None:
    for file in ("weights.safetensors", "samples.npz"):
        (run.folder / file).unlink()
    run.write("history.csv", "")
    run.write_record(run.record.model_copy(update={"status": "interrupted", "result": None, "epochs": 0}))
    assert "](curves.svg)" in write_run_report(run).read_text(encoding="utf-8")


def test_a_run_that_an_older_version_reported_on_is_reported_anew(run: Run) -> None:
    run.write("curves.png", b"of the old report")
    run.write("report.md", "![Curves](curves.png)")
    page = write_run_report(run).read_text(encoding="utf-8")
    assert ".png" not in page and "](curves.svg)" in page


def test_no_torch_is_needed(judged: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from tinydigits.report import write_run_report; "
        "from tinydigits.run import Run; write_run_report(Run(Path(sys.argv[1]))); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(judged.folder)], check=True)
    assert Path(judged.folder / "report.md").is_file()
