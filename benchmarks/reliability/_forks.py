"""Commands of tinydigits in processes of their own that start at once: copies of one that has imported everything."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability._writes import Writes

__all__ = ["Ended", "Forks"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that killed it), what it printed, its steps,
    and by how much its memory grew at most."""

    code: int
    output: str
    steps: list[tuple[str, str]]
    grown_bytes: int = 0

    @property
    def is_unforeseen(self) -> bool:
        """Whether it ended in an error for which no part of the package has a sentence."""
        return "Traceback" in self.output or "tinydigits --debug" in self.output


class Forks:
    """A process that has imported tinydigits and torch, and forks for each command.

    The process that forks never computes, so its copies have one thread when they begin.
    """

    def __enter__(self) -> Forks:
        self._folder = tempfile.TemporaryDirectory(prefix="tinydigits-")
        paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.reliability._forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1",
                              "OMP_WAIT_POLICY": "passive"},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def start(
        self,
        arguments: Sequence[str],
        *,
        writes: Writes | None = None,
        settings: Mapping[str, Any] | None = None,
        clock: float = 0.0,
        cwd: Path | None = None,
        memory_bytes: int | None = None,
    ) -> int:
        """Start `tinydigits ARGUMENTS` and give its process id; `finish` must follow.

        `settings` are attributes of modules to set in it, as "package.module:NAME". The clock of the day jumps by
        `clock` seconds after it has been asked once. It may take `memory_bytes` more than it begins with.
        """
        self._task = {
            "arguments": list(arguments), "settings": dict(settings or {}),
            "writes": asdict(writes) | {"folder": str(writes.folder)} if writes is not None else None,
            "clock": clock, "cwd": str(cwd) if cwd else None, "memory_bytes": memory_bytes,
            "output": f"{self._folder.name}/output", "steps": f"{self._folder.name}/steps",
        }  # fmt: skip
        Path(self._task["steps"]).write_text("[]", encoding="utf-8")
        return int(self._ask(json.dumps(self._task)))

    def finish(self) -> Ended:
        """Wait for the end of what was started."""
        code, grown = (int(word) for word in self._ask("").split())
        output = Path(self._task["output"]).read_text(encoding="utf-8", errors="replace")
        steps = [tuple(step) for step in json.loads(Path(self._task["steps"]).read_text(encoding="utf-8"))]
        return Ended(code, output, steps, grown)

    def run(self, arguments: Sequence[str], **options: Any) -> Ended:
        """`start` and `finish`."""
        self.start(arguments, **options)
        return self.finish()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that forks has ended with {self._process.wait()}")
        return answer


def _serve() -> None:
    import importlib

    for name in ("torch", "tinydigits.training", "tinydigits.report", "tinydigits.verification", "tinydigits.cli.main"):
        importlib.import_module(name)
    pid = 0
    for line in sys.stdin:
        if line.strip():
            pid = os.fork()
            if pid == 0:
                _be(json.loads(line))
            print(pid, flush=True)
        else:
            _, status, used = os.wait4(pid, 0)
            print(os.waitstatus_to_exitcode(status), max(0, used.ru_maxrss * 1024 - _resident_bytes()), flush=True)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _jump(seconds: float) -> None:
    """Set this process's clock of the day, after it has been asked once."""
    asked = 0
    plain_time, plain_strftime = time.time, time.strftime

    def shifted() -> float:
        nonlocal asked
        asked += 1
        return plain_time() + (seconds if asked > 1 else 0)

    def strftime(form: str, moment: Any = None) -> str:
        return plain_strftime(form, time.localtime(shifted()) if moment is None else moment)

    time.time, time.strftime = shifted, strftime


def _be(task: dict[str, Any]) -> None:
    """The copy: from here on it is the command."""
    import importlib

    output = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code: Any = 1
    try:
        for place, value in task["settings"].items():
            module, _, name = place.partition(":")
            setattr(importlib.import_module(module), name, value)
        if task["clock"]:
            _jump(task["clock"])
        if task["cwd"]:
            os.chdir(task["cwd"])
        if task["memory_bytes"]:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            limit = pages * resource.getpagesize() + task["memory_bytes"]
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        writes = Writes(**task["writes"] | {"folder": Path(task["writes"]["folder"])}) if task["writes"] else None
        if writes is not None:
            writes.watch()
        from tinydigits.cli.main import main

        sys.argv = ["tinydigits", *task["arguments"]]
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        if writes is not None:
            Path(task["steps"]).write_text(json.dumps(writes.steps), encoding="utf-8")
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
