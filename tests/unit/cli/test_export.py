"""`tinydigits export` as it is typed: the table of all formats, exit codes, words that it does not know."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import APART
from tinydigits import exports, pretrained, recipe
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError
from tinydigits.exports import Exported, Speed, safetensors
from tinydigits.exports.parity import Format, Parity
from tinydigits.extras import NotInstalled
from tinydigits.run import Run
from tinydigits.training import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = ["data.source=digits", "data.batch_size=16", "epochs=2"]
    return train(recipe.load("two-conv", settings), out=tmp_path_factory.mktemp("runs"))


def invoke(*words: str | Path) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["export", *map(str, words)], env={"COLUMNS": "200"})
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.exit_code, answer.output


def test_all_prints_a_row_for_every_format(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodejs: str
) -> None:
    monkeypatch.setattr("tinydigits.exports.measure", lambda name, path, spec: Speed(12.0, 3_400.0))
    code, output = invoke(run.folder, "all", "--to", tmp_path)
    rows = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    for name in exports.formats():
        (path,) = re.findall(rf"^{name}: (.+)$", output, re.M)[:1]
        if path.startswith("not installed"):
            assert name in APART and "not installed" in rows[name]
        elif path.startswith("deleted"):  # so few digits may lose one image by 8 bits
            assert code == 1 and name.endswith("int8")
        else:
            assert f"{Path(path).stat().st_size:,}" in rows[name]
            assert name == "card" or re.search(r" 12 +3,400$", rows[name])
    assert "596 of 596" in rows["onnx"] and "596 of 596" in rows["html"]


@pytest.mark.usefixtures("without_converters")
def test_a_terminal_of_80_columns_cuts_no_figure_of_mnist(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = Parity("same class", "mnist", 10_000, 10_000, correct_before=9_973, correct_after=9_973,
                    largest_difference=8.9e-7)  # fmt: skip
    monkeypatch.setattr(exports, "formats", lambda trained=None: ["litert", "safetensors"])
    monkeypatch.setattr("tinydigits.exports.measure", lambda name, path, spec: Speed(14_702.0, 10_813.0))
    done = exports.export

    def as_of_mnist(trained: exports.Trained, name: str, folder: Path) -> Exported:
        return done(trained, name, folder) if name == "litert" else Exported(name, folder / name, 2_942_713, parity)

    monkeypatch.setattr(exports, "export", as_of_mnist)
    answer = CliRunner().invoke(app, ["export", str(run.folder), "all", "--to", str(tmp_path)], env={"COLUMNS": "80"})
    figures = r"2,942,713 +10,000 of 10,000 +8\.9e-07 +99\.73 % +14,702 +10,813"
    assert re.search(rf"^safetensors +{figures}$", answer.output, re.M), answer.output


@pytest.mark.usefixtures("without_converters")
def test_a_format_that_is_not_installed_is_an_error_by_name_and_a_row_under_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotInstalled, match=r"export litert: needs litert_torch\n"):
        invoke(run.folder, "litert", "--to", tmp_path)
    monkeypatch.setattr(exports, "formats", lambda trained=None: ["card", *APART])
    code, output = invoke(run.folder, "all", "--to", tmp_path)
    assert code == 0 and [path.suffix for path in tmp_path.iterdir()] == [".md"]
    for name in APART:
        assert re.search(rf"^{name} +not installed", output, re.M)
        assert re.search(rf"^{name}: not installed: .*\n  try: pip install .*\[{name}\]'?$", output, re.M)


def test_a_model_too_large_for_a_page_is_an_error_by_name_and_a_row_under_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinydigits.exports.html.MAX_BYTES", 50_000)
    monkeypatch.setattr(exports, "formats", lambda trained=None: ["card", "html"])
    reason = r"export html: the page would be too large, got [\d,]+ bytes, expected at most 50,000"
    with pytest.raises(TinydigitsError, match=reason):
        invoke(run.folder, "html", "--to", tmp_path)
    code, output = invoke(run.folder, "all", "--to", tmp_path)
    assert (
        code == 0
        and re.search(r"^html +not made", output, re.M)
        and re.search(f"^html: not made: {reason}", output, re.M)
    )
    assert [path.suffix for path in tmp_path.iterdir()] == [".md"]


def test_what_fails_for_another_reason_gives_exit_code_2_under_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(trained: exports.Trained, folder: Path) -> Path:
        raise TinydigitsError("export card", "no disk")

    monkeypatch.setattr("tinydigits.exports.card.FORMAT", Format(fail))
    monkeypatch.setattr(exports, "formats", lambda trained=None: ["card"])
    code, output = invoke(run.folder, "all", "--to", tmp_path)
    assert code == 2 and "card: not made: export card: no disk" in output


def test_a_page_that_nothing_can_ask_says_that_parity_was_not_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, output = invoke(run.folder, "html", "--to", tmp_path)
    assert code == 0 and len(list(tmp_path.iterdir())) == 1
    assert re.search(
        r"parity not run: .*Node, which asks the page, is not installed\n *try: apt install nodejs", output
    )


def test_a_page_whose_script_answers_otherwise_is_deleted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodejs: str
) -> None:
    from tinydigits.page import assemble

    def broken(models: list[dict[str, object]]) -> str:
        text = assemble(models)
        assert "k * data[r + 2]" in text
        return text.replace("k * data[r + 2]", "k * data[r + 1]")

    monkeypatch.setattr("tinydigits.exports.html.assemble", broken)
    code, output = invoke(run.folder, "html", "--to", tmp_path)
    assert code == 1 and "parity does not hold" in output and not list(tmp_path.iterdir())


def test_a_file_that_answers_otherwise_gives_exit_code_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(safetensors.FORMAT, load=lambda path, spec: lambda images: 1 - images[:, 0, :10] / 1.0)
    monkeypatch.setattr(safetensors, "FORMAT", wrong)
    code, output = invoke(run.folder, "safetensors", "--to", tmp_path)
    assert code == 1 and "deleted" in output and "parity does not hold" in output
    assert not list(tmp_path.iterdir())


def test_test_time_augmentation_stays_behind_and_that_is_told(run: Run, tmp_path: Path) -> None:
    assert "averaged over shifts" not in invoke(run.folder, "safetensors", "--to", tmp_path)[1]
    asked = Run(Path(shutil.copytree(run.folder, tmp_path / "run")))
    changed = asked.record.recipe | {"evaluation": {"shift_pixels": 2}}
    asked.write_record(asked.record.model_copy(update={"recipe": changed}))
    output = " ".join(invoke(asked.folder, "safetensors", "--to", tmp_path)[1].split())
    assert "averaged over shifts of up to 2 px; a file answers to the image alone" in output


def test_a_shipped_model_is_written_into_this_folder_and_has_no_pth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = invoke("gap-cnn-tuned", "card")
    assert code == 0 and [path.name for path in tmp_path.iterdir()] == ["gap-cnn-tuned-card.md"]
    assert output.splitlines()[-1] == "next: tinydigits verify gap-cnn-tuned"
    with pytest.raises(TinydigitsError, match=r"export pth: needs a run's checkpoint\.pt"):
        invoke("gap-cnn-tuned", "pth")
    shipped = exports.of_run(pretrained.find("gap-cnn-tuned").run)
    assert set(exports.formats()) - set(exports.formats(shipped)) == {"pth"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["onx"], r"unknown run or format 'onx', expected one of c, .*onnx.*\n  try: onnx"),
        (["no-such-run", "onnx"], "unknown format 'no-such-run'"),
    ],
)
def test_what_is_not_known_is_told(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        invoke(*words, "--out", tmp_path)


def test_a_run_alone_names_the_formats(run: Run) -> None:
    with pytest.raises(TinydigitsError, match="no format named, expected one or more of c, "):
        invoke(run.folder)
