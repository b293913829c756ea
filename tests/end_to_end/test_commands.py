"""The command line as its user meets it: real processes in an empty folder."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import APART, write_pictures
from tinydigits import data
from tinydigits.data import idx

QUICK = ["two-conv", "--data", "digits", "--epochs", "1", "--set", "data.batch_size=100"]
COMMAND = [sys.executable, "-m", "tinydigits"]


def tinydigits(*arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, **options)


def fails(*arguments: str, cwd: Path, says: str, code: int = 2, **options: object) -> None:
    answer = tinydigits(*arguments, cwd=cwd, **options)
    assert re.search(says, answer.stderr), answer.stderr
    assert answer.returncode == code
    assert "Traceback" not in answer.stderr and "tinydigits --debug" not in answer.stderr


def test_a_recipe_is_copied_edited_trained_verified_reported_and_exported(tmp_path: Path) -> None:
    assert tinydigits("recipes", "cp", "digits", "mine.toml", cwd=tmp_path).returncode == 0
    recipe = tmp_path / "mine.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs = 40", "epochs = 2"), encoding="utf-8")

    trained = tinydigits("train", "mine.toml", "--seeds", "2", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert len(re.findall(r"^epoch 2/2  loss", trained.stdout, re.MULTILINE)) == 2
    assert re.search(r"mine on digits: [\d.]+ ± [\d.]+ % .*\(mean ± standard deviation, 2 seeds\)", trained.stdout)
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert [re.sub(r"^\d{8}_\d{6}", "", folder.name) for folder in folders] == ["_mine_s0", "_mine_s1"]
    promised = "record.json recipe.toml history.csv checkpoint.pt weights.safetensors report.md"
    pictures = "curves.svg confusion.svg mistakes.svg augmented.svg"
    assert {*promised.split(), *pictures.split()} <= {path.name for path in folders[0].iterdir()}
    assert set(tmp_path.iterdir()) == {recipe, tmp_path / "runs"}  # nothing is written elsewhere

    verdict = tinydigits("verify", "--json", "verdict.json", cwd=tmp_path)  # the latest run, its recipe's contract
    assert verdict.returncode == 1  # two epochs are not enough for 98 %
    assert re.search(r"_mine_s1 against digits: does not hold", verdict.stdout)
    findings = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["findings"]
    assert {finding["check"]: finding["status"] for finding in findings}["accuracy"] == "fail"
    assert "digits test" in (tmp_path / "runs" / "latest" / "report.md").read_text(encoding="utf-8")

    assert tinydigits("report", cwd=tmp_path).returncode == 0
    exported = tinydigits("export", folders[0].name, "pth", "--to", "out", cwd=tmp_path)
    assert exported.returncode == 0 and len(list((tmp_path / "out").glob("digits_model_*_acc*.pth"))) == 1
    listed = tinydigits("runs", "ls", cwd=tmp_path).stdout
    assert listed.count("finished") == 2


def test_a_contract_that_holds_exits_with_0(tmp_path: Path) -> None:
    contract = tmp_path / "small.toml"
    contract.write_text("[model]\nparameters.max = 13_242\n[shapes]\noutput = true\n", encoding="utf-8")
    answer = tinydigits("verify", "two-conv", "--contract", "small.toml", cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    contract.write_text("[model]\nparameters.max = 13_241\n", encoding="utf-8")
    assert tinydigits("verify", "two-conv", "--contract", "small.toml", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "twoconv"], r"error: recipe: unknown recipe 'twoconv'[^\n]*\n  try: two-conv"),
        (["train", "--model", "gapcnn", *QUICK], r"unknown model 'gapcnn'[^\n]*\n  try: gap-cnn"),
        (["train", "--data", "mnits"], r"unknown .*'mnits'"),
        (["train", "two-conv", "--set", "optimizer.lrr=1"], r"unknown key 'optimizer\.lrr'[^\n]*\n  try: optim"),
        (["train", "two-conv", "--set", "data.batch_size=0"], r"data\.batch_size: got 0, expected ≥ 1"),
        (["train", "two-conv", "--set", "optimizer.lr=-1"], r"optimizer\.lr: got -1, expected > 0"),
        (["train", "two-conv", "--epochs", "0"], r"epochs: got 0, expected ≥ 1"),
        (["train", *QUICK, "--set", "model.options.dropout=1.5"], r"options\.dropout: got 1\.5, expected < 1"),
        (["train", *QUICK, "--model", "broken.py:Net"], r"broken\.py does not import: SyntaxError"),
        (["train", *QUICK, "--model", "net.py:Nett"], r"unknown class 'Nett'[^\n]*\n  try: Net"),
        (["train", *QUICK, "--model", "net.py:Net"], r"got output \(2, 7\), expected \(2, 10\)"),
        (["train", *QUICK, "--device", "cuda:9"], r"device: got 'cuda:9'"),
        (["train", *QUICK, "--out", "file/runs"], r"file/runs: cannot write: Not a directory"),
        (["train", "--resume", "nothing"], r"run nothing: no such folder"),
        (["verify"], r"no run here yet\n  try: tinydigits train"),
        (["verify", "two-conv", "--contract", "under25k"], r"unknown contract 'under25k'[^\n]*\n  try: under-25k"),
        (["export", "pth"], "no run here yet"),
        (["recipes", "cp", "two-conv", "file"], "file: exists already"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_clear_message_and_exit_code_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "broken.py").write_text("class Net(:", encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 7))\n",
        encoding="utf-8",
    )
    fails(*arguments, cwd=tmp_path, says=says)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "package"), APART.items())
def test_an_export_without_its_packages_names_the_extra(name: str, package: str, tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules[{package!r}] = None; from tinydigits.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hidden, "export", "sprint", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(rf"try: pip install .*\[{name}\]", done.stderr)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_becomes_nan_stops_with_2_and_keeps_the_run(tmp_path: Path) -> None:
    wild = ["--set", "optimizer={name='sgd', lr=1e9}", "--set", "schedule={name='constant'}"]
    fails("train", *QUICK, *wild, cwd=tmp_path, says=r"the loss became (nan|inf) in epoch 1, batch \d+ of 12")
    assert "diverged" in tinydigits("runs", "ls", cwd=tmp_path).stdout


def test_a_write_that_fails_is_told_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    run = ["train", "two-conv", "--data", "digits", "--set", "data.batch_size=100", "--epochs", "3"]

    def limit_file_size(num_bytes: int) -> Callable[[], None]:  # as on a full disk, a larger file's write fails midway
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    message = r"checkpoint\.pt: cannot write: File too large"
    fails(*run, cwd=tmp_path, says=message, preexec_fn=limit_file_size(20_000))
    assert list((tmp_path / "runs").iterdir()) == []  # no half-made run
    # The first checkpoint fits, those with the optimizer's state do not.
    fails(*run, cwd=tmp_path, says=message, preexec_fn=limit_file_size(100_000))
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert not list(folder.glob(".*"))
    assert tinydigits("train", "--resume", str(folder), cwd=tmp_path).returncode == 0
    assert json.loads((folder / "record.json").read_text(encoding="utf-8"))["status"] == "finished"


def test_damaged_data_is_told_with_the_files_name(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    digits = data.load("digits", "train")
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx.encode(digits.images_NHW))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx.encode(digits.labels_N))
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    fails("train", "two-conv", "--data", "./images", cwd=tmp_path, says=r"train-images-idx3-ubyte\.gz")
    assert not (tmp_path / "runs").exists()


def test_what_is_left_out_of_a_folder_of_pictures_is_one_line_on_standard_error(tmp_path: Path) -> None:
    write_pictures(tmp_path / "own")
    (tmp_path / "own" / "9" / "8\n9.png").write_bytes(b"no picture")
    settings = ["--set", "data.source=./own", "--set", "data.batch_size=20", "--set", "data.validation=10"]
    trained = tinydigits("train", "two-conv", *settings, cwd=tmp_path)
    assert trained.returncode == 0 and "(40 images, 10 for validation)" in trained.stdout
    says = r"1 picture cannot be read and left out (9/8\n9.png: not a picture that can be read)"
    assert trained.stderr == f"warning: {tmp_path}/own: train: left out 10 .heic; {says}\n"
    swept = tinydigits("sweep", "two-conv", *settings, "--vary", "epochs=1,2", "--workers", "2", cwd=tmp_path)
    assert swept.returncode == 0 and swept.stderr.count("warning: ") == swept.stderr.count("\n") == 1


def test_mnist_asked_for_by_name_is_an_error_where_it_cannot_be_had_and_nothing_asked_falls_back(
    tmp_path: Path,
) -> None:
    offline = {key: value for key, value in os.environ.items() if key != "TINYDIGITS_DATA"}
    offline |= {
        "TINYDIGITS_CACHE": str(tmp_path / "cache"),
        "TINYDIGITS_MIRRORS": "http://127.0.0.1:9/a,http://127.0.0.1:9/b",
    }
    fails("train", "--data", "mnist", cwd=tmp_path, env=offline, says=r"127\.0\.0\.1:9/a.*127\.0\.0\.1:9/b")
    answer = tinydigits("train", "--epochs", "1", cwd=tmp_path, env=offline)
    assert answer.returncode == 0, answer.stderr
    first, second = answer.stdout.splitlines()[:2]
    assert re.search(r"mnist: .*127\.0\.0\.1:9/a.*127\.0\.0\.1:9/b.* Training the recipe 'digits'", first)
    assert "on digits (1,201 images)" in second


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_exits_by_its_signal_and_the_printed_command_finishes_it(
    number: int, tmp_path: Path
) -> None:
    arguments = ["train", "two-conv", "--data", "digits", "--epochs", "300", "--set", "data.batch_size=20"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    resume = re.search(r"stopped: .*checkpoint kept\n  try: tinydigits (train --resume \S+)", said)
    assert resume, said
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    checkpoint = (folder / "checkpoint.pt").stat().st_mtime_ns
    again = subprocess.Popen([*COMMAND, *resume[1].split()], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (folder / "checkpoint.pt").stat().st_mtime_ns == checkpoint and time.monotonic() < deadline:
        time.sleep(0.1)  # it goes on from where it stood
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=60)
    epochs = json.loads((folder / "record.json").read_text(encoding="utf-8"))["epochs"]
    assert epochs > 2


def test_a_bar_is_shown_on_a_terminal_and_lines_elsewhere(tmp_path: Path) -> None:
    import pty

    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "train", *QUICK, "--set", "data.batch_size=1"], cwd=tmp_path, stdout=writer, stderr=writer,
        env={**os.environ, "COLUMNS": "150", "TERM": "xterm"},
    )  # fmt: skip
    os.close(writer)
    shown = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:  # the terminal's other end was closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=60) == 0
    text = shown.decode("utf-8", "replace")
    for part in (r"epoch 1/1", r"\d+/1201", r"loss \d\.\d{4}", r"lr ", r"images/s", r"\d:\d\d left"):
        assert re.search(part, text), part
    assert "\x1b[" in text
    assert "\x1b[" not in tinydigits("train", *QUICK, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "recipes ls", "models ls", "contracts ls", "datasets ls", "runs ls", "train --help"],
)
def test_looking_around_never_imports_torch(arguments: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tinydigits.cli import main\n"
        f"sys.argv = ['tinydigits', *{arguments.split()!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
