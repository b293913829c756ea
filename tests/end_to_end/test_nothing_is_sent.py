"""No command writes into the user's home or reaches for the network, by a dependency either: the system's own record.

strace sees what a process and its children ask of the kernel, below Python and whatever language a library is in.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

import tinydigits
from tests.conftest import absent

PICTURE = next((Path(__file__).parents[1] / "pictures").glob("3_plain_*"))
IDLE_SECONDS = 12  # onnxruntime 1.31 looks its collector up after 9


@dataclass(frozen=True)
class Home:
    """A user with an empty home and nothing set, whose commands are traced."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        calls = "socket,bind,connect,sendto,sendmsg,sendmmsg"
        trace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={calls}", "-o", str(self.folder / "trace")]
        return [*trace, sys.executable, *words]

    def variables(self, **more: str) -> dict[str, str]:
        """Nothing of this process, for libraries are silent where they find that they are tested."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        (self.folder / "home").mkdir(exist_ok=True)
        return kept | {
            "HOME": str(self.folder / "home"), "TINYDIGITS_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(tinydigits.__file__).parents[1]), **more,
        }  # fmt: skip

    def run(self, *words: str, **more: str) -> str:
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=self.variables(**more), capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout

    def left(self) -> list[str]:
        """What lies in the home that was empty."""
        return sorted(str(path.relative_to(self.folder / "home")) for path in (self.folder / "home").rglob("*"))

    def reached(self) -> list[str]:
        """Sockets beyond those bound to this machine's own address, and everything that was sent to an address."""
        lines = (self.folder / "trace").read_text(encoding="utf-8", errors="replace").splitlines()
        opened = [line for line in lines if re.search(r"\bsocket\(AF_INET", line)]
        bound = [line for line in lines if re.search(r"\bbind\(.*AF_INET.*(127\.0\.0\.1|::1)\W", line)]
        sent = [line for line in lines if re.search(r"\b(connect|send\w+)\(.*AF_INET", line)]
        return sent + (opened if len(opened) > len(bound) else [])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    if not shutil.which("strace"):
        absent("strace", "strace is not installed")
    return Home(tmp_path)


def test_a_file_in_the_home_and_a_packet_of_a_child_are_noticed(home: Home) -> None:
    child = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', 9))"
    program = "import pathlib, subprocess, sys; pathlib.Path.home().joinpath('id').touch()"
    home.run("-c", f"{program}; subprocess.run([sys.executable, '-c', sys.argv[1]])", child)
    assert home.left() == ["id"]
    assert len(home.reached()) == 2 and "htons(9)" in home.reached()[0]


def test_commands_leave_the_home_empty_and_ask_nothing_of_the_network(home: Home) -> None:
    train = ["train", "two-conv", "--data", "digits", "--set", "data.batch_size=100"]
    for words, sign in (
        (["predict", str(PICTURE)], "gap-cnn-tuned"),
        ([*train, "--log", "mlflow", "--log", "tensorboard"], "run: "),
        (["verify", "--contract", "digits"], "against"),
        (["export", "latest", "onnx", "onnx-int8", "c", "html"], "parity"),
        (["verify", "runs/latest/two-conv.onnx", "--contract", "digits"], "against"),
    ):
        # No server of the environment is used either.
        out = home.run("-m", "tinydigits", *words, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
        assert sign in out
        assert (home.left(), home.reached()) == ([], []), words
    assert (home.folder / "runs" / "mlflow.db").is_file()
    assert {path.name for path in home.folder.iterdir()} == {"home", "runs", "trace"}


def test_the_service_has_no_socket_but_its_own(home: Home) -> None:
    process = subprocess.Popen(
        home.command("-m", "tinydigits", "serve", "--port", "0"), cwd=home.folder, env=home.variables(), text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        time.sleep(IDLE_SECONDS)
        assert (home.left(), home.reached()) == ([], [])
        request = urllib.request.Request(
            f"{address}/predict", PICTURE.read_bytes(), {"content-type": "image/png"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert b'"class":"3"' in response.read()
        os.killpg(process.pid, signal.SIGINT)  # strace leaves it to the process that it traces
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # what is traced outlives strace
        process.communicate()
    assert (home.left(), home.reached()) == ([], [])
    assert (home.folder / "trace").read_text(encoding="utf-8").count("bind(") == 1
