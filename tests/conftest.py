"""What tests in any room may ask for."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from tinydigits import data
from tinydigits.errors import printable
from tinydigits.verdict import Verdict

# For models this small a second thread waits more than it works, and on a busy machine it makes tests ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True)
class Mnist:
    """Real MNIST: both splits, and a folder of this test session with the four original files."""

    train: data.ImageSet
    test: data.ImageSet
    folder: Path


# What a stranger may call a contract, a layer or a class, or say in an exception: it would paint a verdict on a
# terminal, leave a cell, load a picture, end a comment and give GitHub's runner a command.
HOSTILE = (
    "x: holds (9 pass)\n\n\x1b[2J\x1b[32mNet against small: holds\x1b[0m [bold]b[/] :smile: | a | "
    "<script>alert(1)</script> ![x](http://evil) --> */ ``` **b** \\| \u202egnp\ufffe\x00 $\\frac{ "
    "\r\n::error::hi\n##[error]ho %0A &lt;"
)


# Chromium as a test needs it: no sandbox for root, and no word to the outside.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def verify_and_keep(run: Path, contract: Any = None, **fields: Any) -> Verdict:
    """What `tinydigits verify` does with a run: its verdict, which is also written into it."""
    from tinydigits.verification import Request, keep, prepare

    case = prepare(Request(target=run, contract=contract, **fields))
    verdict = case.judge()
    keep(case, verdict)
    return verdict


def spoil(run: Path) -> None:
    """Let a run's record and verdict say `HOSTILE` wherever they hold what somebody named."""
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["recipe"]["name"] = record["recipe"]["model"]["name"] = record["source"] = HOSTILE
    record["classes"] = [f"{number}{HOSTILE}" for number in range(len(record["classes"]))]
    record["machine"]["processor"], record["versions"]["torch"] = HOSTILE, HOSTILE
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    if (run / "verdict.json").is_file():
        verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
        verdict["target"]["name"] = verdict["contract"]["name"] = HOSTILE
        verdict["data"] = [entry | {"source": HOSTILE} for entry in verdict["data"]]
        told = dict.fromkeys(("measured", "limit", "why", "advice"), HOSTILE)
        verdict["findings"] = [finding | told for finding in verdict["findings"]]
        (run / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")


def must_be_inert(page: str) -> None:
    """Fail where a page of Markdown has what `HOSTILE` would make of it, beside its code and its own pictures."""
    assert not [letter for letter in page if letter != "\n" and printable(letter) != letter]
    prose = re.sub(r"(?ms)^```.*?^```$|(?<!`)`(?!`)[^`\n]*(?<!`)`(?!`)", "", page)
    assert "<script" not in prose and "](http" not in prose and not re.search(r"(?<!\\)\*\*b", prose)
    assert not [line for line in page.splitlines() if line.startswith(("Net against", "::error", "##[error"))]
    for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.M):
        assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table.splitlines()}) == 1, table


@pytest.fixture(scope="session", autouse=True)
def unbounded() -> Iterator[None]:
    """A command run within this process would hold it to a graph's bounds for good, and the browser that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinydigits.bounds.enforce", lambda: None)
        yield


def absent(component: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where `TINYDIGITS_REQUIRE` names the component that is not there."""
    if component in os.environ.get("TINYDIGITS_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


# Export formats whose packages are too large for continuous integration, and one of these packages each.
APART = {"executorch": "executorch", "litert": "litert_torch"}


def require_format(name: str) -> None:
    """Leave a test to machines that have an export format's packages."""
    if name in APART and importlib.util.find_spec(APART[name]) is None:
        absent(name, f"the extra {name} is not installed")


@pytest.fixture
def without_converters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the packages of `APART`, whether or not this one has them."""
    packages = {*APART.values(), "ai_edge_litert"}
    for name in packages | {name for name in sys.modules if name.partition(".")[0] in packages}:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(scope="session")
def arm() -> None:
    """A compiler for Arm's microcontrollers, with a C library: Debian's gcc-arm-none-eabi, libnewlib-arm-none-eabi."""
    if not shutil.which("arm-none-eabi-gcc"):
        absent("arm", "arm-none-eabi-gcc is not installed")


@pytest.fixture(scope="session")
def nodejs() -> str:
    """The program that runs the page's JavaScript: Debian's nodejs."""
    return shutil.which("node") or absent("node", "Node.js is not installed")


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Mnist:
    """Real MNIST, from `TINYDIGITS_DATA` or the cache. Without it a test is skipped, or fails where it is required.

    `TINYDIGITS_REQUIRE` lists, separated by commas, what a machine must have.
    """
    if data.at_hand("mnist") is None:
        absent("mnist", "MNIST is not at hand: set TINYDIGITS_DATA, or run `tinydigits datasets cp mnist FOLDER`")
    folder = tmp_path_factory.mktemp("mnist")
    data.copy_files("mnist", folder)
    train, test = (data.load("mnist", split) for split in ("train", "test"))
    return Mnist(train, test, folder)


def write_pictures(folder: Path) -> None:
    """A folder of pictures for each of ten classes, six to be read and one that is not."""
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number in range(6):
            Image.linear_gradient("L").rotate(6 * (6 * label + number)).save(folder / str(label) / f"{number}.png")
        (folder / str(label) / "6.heic").write_bytes(b"")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or absent("chromium", "Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A fresh PostgreSQL cluster (Debian's package), which refuses to run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "")]
    if not programs[-1].is_file():
        absent("postgres", "PostgreSQL is not installed")
    import pwd  # not on Windows

    names = {entry.pw_name for entry in pwd.getpwall()}
    user = None if os.geteuid() else "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        shutil.chown(folder, user)

    def run(program: str, *words: str) -> None:
        done = subprocess.run(
            [programs[-1].resolve().parent / program, *words], user=user, cwd=folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {[path.read_text() for path in folder.glob('log')]}"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def row_of_467(tmp_path: Path) -> Path:
    """A picture with the digits 4, 6 and 7 in a row."""
    row = Image.new("L", (600, 200), 255)
    for index, digit in enumerate("467"):
        picture = Image.open(next((Path(__file__).parent / "pictures").glob(f"{digit}_print_*"))).convert("L")
        picture.thumbnail((180, 180))
        row.paste(picture, (index * 200 + 10, 10))
    path = tmp_path / "row.png"
    row.save(path)
    return path


def put_pictures(folder: Path, classes: str = "ABCDEFGHIJ", num_train: int = 200, num_test: int = 60) -> Path:
    """A data set of one's own: the bundled digits as pictures in folders of their classes, which have other names."""
    for split, num in (("train", num_train), ("test", num_test)):
        images = data.load("digits", split)
        for name in classes:
            (folder / split / name).mkdir(parents=True)
        for number in range(num):
            path = folder / split / classes[images.labels_N[number] % len(classes)] / f"{number}.png"
            Image.fromarray(images.images_NHW[number]).save(path)
    return folder
