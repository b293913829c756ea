"""Exit codes: 0 and 1 are answers, and whatever keeps a command from its answer is 2 and one sentence."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinydigits.cli.main import app
from tinydigits.errors import EndsProcess, TinydigitsError

NET = """
import asyncio, os, sys
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, images):
        return self.layers(images)
"""
IN_FORWARD = "        return self.layers(images)"
# Where a model's code can run, what it does there in place of its work, and what is said of it.
CALLED = "(called.*|trained)"
ENDINGS = {
    "a script without a guard": (NET + "print('trained and saved')\nsys.exit(0)\n", "imported", "SystemExit: 0"),
    "an attribute of the module": ("def __getattr__(name):\n    exit()\n", "imported", "SystemExit: None"),
    "an annotation": (NET.replace("(self)", "(self, width: 'exit()' = 3)"), "built", "SystemExit: None"),
    "the constructor": (NET.replace("super().__init__()", "super().__init__(); exit(0)"), "built", "SystemExit: 0"),
    "forward": (NET.replace(IN_FORWARD, "        sys.exit(0)"), CALLED, "SystemExit: 0"),
    "forward in train mode": (
        NET.replace(IN_FORWARD, f"        if self.training: sys.exit(0)\n{IN_FORWARD}"), CALLED, "SystemExit: 0"
    ),
    "a copy": (NET + "    def __deepcopy__(self, memo):\n        sys.exit('done')\n", CALLED, "SystemExit: done"),
    "another exception that is no Exception": (
        NET.replace(IN_FORWARD, "        raise asyncio.CancelledError"), CALLED, "CancelledError"
    ),
}  # fmt: skip
CONTRACT = "[model]\nparameters.max = 10_000\n[shapes]\noutput = true\n[behaviour]\ntrain_step = true\n"
VERBS = {
    "verify": "verify net.py:Net --contract contract.toml",
    "models show": "models show net.py:Net",
    "train": "train digits --epochs 1 --set average={name='ema',decay=0.9} --model net.py:Net",
}
SWEEP = "sweep digits --set epochs=1 --set model.name=net.py:Net"


def error_of(words: str) -> BaseException | None:
    """What a command raises within this process."""
    return CliRunner().invoke(app, words.split()).exception


def tinydigits(words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A command in a shell of its own; `tinydigits` in it is this very package."""
    script = f'tinydigits() {{ {shlex.quote(sys.executable)} -m tinydigits "$@"; }}\n{words}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a contract."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "contract.toml").write_text(CONTRACT, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_model_that_ends_the_process_is_an_error_that_names_it(ending: str, verb: str, here: Path) -> None:
    text, when, what = ENDINGS[ending]
    (here / "net.py").write_text(text, encoding="utf-8")
    error = error_of(VERBS[verb])
    assert isinstance(error, EndsProcess), error
    assert re.search(rf"net\.py:Net: ends the process when it is {when} \({what}\)", str(error)), error
    assert when != "imported" or """`if __name__ == "__main__":`""" in error.hint


def test_neither_a_runs_model_nor_that_of_a_sweep_ends_the_process(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is the same as before, so that it may be run, and ends when it is asked for by a variable."""
    ends = "        if 'END' in os.environ: os.environ['END'] == 'hard' and os._exit(0) or sys.exit(0)\n"
    (here / "net.py").write_text(NET.replace(IN_FORWARD, ends + IN_FORWARD), encoding="utf-8")
    assert error_of(f"{VERBS['train']} --out one") is None
    monkeypatch.setenv("END", "softly")
    assert error_of("verify latest --contract contract.toml --out one") is None  # its worker has no such variable
    for words in ("export latest onnx", "export latest safetensors"):
        assert isinstance(error_of(f"{words} --out one"), EndsProcess), words
    assert not list(here.glob("one/*/*.onnx"))  # nothing that was not found to be right
    # In a worker's process; a search rejects settings whose model does not fit, and this is none of those.
    error = error_of(f"{SWEEP} --search optimizer.lr=0.01..0.1 --trials 2 --out searched")
    assert isinstance(error, TinydigitsError) and "ends the process when it is trained" in str(error)
    monkeypatch.setenv("END", "hard")
    (study,) = here.glob("searched/sweep_*")
    for words in (f"{SWEEP} --vary optimizer.lr=0.01,0.02", f"sweep join {study}"):
        error = error_of(words)
        assert isinstance(error, TinydigitsError) and "all its workers were killed" in str(error), words


# A verb whose body is replaced; the codes that `main` ends with.
ENDS = """
import builtins, json, os, signal, sys
import typer
from tinydigits.cli import recipes, main
from tinydigits.cli import main as _

def end(how):
    def ls():
        how()
    recipes.app.registered_commands[0].callback = ls
    sys.modules["tinydigits.cli.main"]._make_verb.cache_clear()
    try:
        main()
    except SystemExit as stopped:
        return stopped.code

def throw(error):
    raise error

sys.argv = ["tinydigits", "recipes", "ls"]
ways = {
    "answers": lambda: None,
    **{repr(error): lambda error=error: throw(error) for error in (
        SystemExit(0), SystemExit(), typer.Exit(0), typer.Abort(), ValueError("of two\\nlines"), KeyError("findings"),
        OSError(28, "No space left on device", "file"), BrokenPipeError(32, "Broken pipe"), EOFError(), MemoryError(),
        GeneratorExit(), KeyboardInterrupt(),
    )},
    "SIGTERM": lambda: signal.raise_signal(signal.SIGTERM),
    "SIGINT": lambda: signal.raise_signal(signal.SIGINT),
}
print(json.dumps({name: end(how) for name, how in ways.items()}))
"""


def test_whatever_ends_a_verb_but_its_answer_is_2_and_a_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=False, timeout=120)
    codes = json.loads(done.stdout)
    assert codes.pop("answers") == 0
    assert codes.pop("SIGTERM") == 143
    assert codes.pop("SIGINT") == codes.pop("KeyboardInterrupt()") == 130
    assert len(codes) == 11 and set(codes.values()) == {2}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("  try: ")]
    assert len(lines) == 11 and all(line.startswith("error: ") for line in lines), done.stderr
    assert "error: tinydigits: was ended by code that it ran (SystemExit 0)" in lines
    assert "error: unforeseen ValueError: of two" in lines and "error: file: No space left on device" in lines


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("tinydigits recipes ls >/dev/full", 2, "error: standard output: cannot write: No space left on device\n"),
        ("PYTHONUNBUFFERED=1 tinydigits --help >/dev/full", 2, "error: standard output: cannot write: No space left"),
        ("tinydigits recipes ls >&-", 2, "error: standard output: is closed\n"),
        ("tinydigits recipes show sprint >&- 2>&- <&-", 2, ""),
        ("tinydigits recipes show nothing 2>&-", 2, ""),
        ("tinydigits recipes show nothing 2>/dev/full", 2, ""),
        ("tinydigits recipes show sprint 2>/dev/full >/dev/null", 0, ""),
        ("tinydigits recipes ls | true", 0, ""),
        ("PYTHONUNBUFFERED=1 tinydigits recipes show sprint 2>&1 | true", 0, ""),
        ("tinydigits verify net.py:Net --contract contract.toml --json v.json | head -1", 0, ""),
        ("tinydigits verify net.py:Net --contract no.toml --json v.json 2>&1 | true", 1, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_is_an_error_and_one_that_nobody_reads_is_none(
    command: str, code: int, said: str, here: Path
) -> None:
    (here / "net.py").write_text(NET, encoding="utf-8")
    (here / "no.toml").write_text(CONTRACT.replace("10_000", "10"), encoding="utf-8")
    done = tinydigits(f"{command}\nexit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr[: len(said) or None]) == (code, said), done.stderr
    if "--json" in command:
        assert json.loads((here / "v.json").read_text(encoding="utf-8"))["exit_code"] == code


def test_the_verdict_is_printed_though_the_model_is_a_script_that_redirects_what_it_prints(here: Path) -> None:
    (here / "net.py").write_text(f"import sys\nsys.stdout = open('log', 'w')\nprint('epoch 1')\n{NET}", "utf-8")
    done = tinydigits(f"tinydigits {VERBS['verify']} --json -")
    assert done.returncode == 0 and json.loads(done.stdout)["verdict"] == "holds"
    assert "net.py:Net against contract: holds" in done.stderr
    assert not (here / "log").exists()  # it was written into a folder of its worker's own


@pytest.mark.parametrize("columns", ["0", "5", "many"])
def test_a_terminal_without_width_is_one_of_80_columns(columns: str) -> None:
    narrow, usual = (tinydigits(f"export COLUMNS={number}; tinydigits contracts ls") for number in (columns, "80"))
    assert narrow.stdout == usual.stdout and "under-25k" in narrow.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_that_trains_nothing(number: int, code: int, here: Path) -> None:
    waits = "        import time; time.sleep(60)\n"
    (here / "net.py").write_text(NET.replace(IN_FORWARD, waits + IN_FORWARD), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "tinydigits", *VERBS["verify"].split()], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    has_worker = ["pgrep", "-P", str(process.pid)]  # where the model waits; what it writes is seen by nobody
    while subprocess.run(has_worker, stdout=subprocess.DEVNULL, check=False).returncode and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, b"")
