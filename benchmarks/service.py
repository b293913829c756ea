"""How fast the shipped model answers: the service under load, its memory, and `predict` against torch's import.

`tinydigits serve` runs in a process of its own; the client is one more, which keeps some connections busy, one image at
a time, and reads every answer. Both share the machine's cores. First one connection alone gives the unloaded p50, then
many give requests a second, p99 and errors over a minute, then the requests go on to 200,000 in all and the service's
memory at the end is set against that after the first thousand. Last, whole commands take turns: `tinydigits predict` on
one picture, and `python -c "import torch"`.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.protocol import RESULTS, ROOT, in_turns, machine, read_rows, run_process, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits.escape import Markdown
from tinydigits.figures import percent, points
from tinydigits.prediction import DEFAULT
from tinydigits.report.text import table

FILE = RESULTS / "service.json"
PICTURES = ROOT / "tests" / "pictures"
CONNECTIONS, WARM_UP, ALONE = 8, 1_000, 2_000
# The figures that are aimed at.
MIN_REQUESTS_A_SECOND, MAX_P99_RATIO, MAX_START_SHARE, MAX_GROWTH = 2_000, 20, 0.25, 0.02


@dataclass
class Load:
    """What some connections were answered: milliseconds for each request, and how many failed."""

    milliseconds: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0


def measure(seconds: float = 60, requests: int = 200_000, repeats: int = 15, to: Path = FILE) -> None:
    """Measure for so many seconds, so many requests in all for the memory, so many whole commands; four minutes."""
    rows = {
        **stamp(weights=[DEFAULT]), "connections": CONNECTIONS, **measure_service(seconds, requests),
        "start": measure_start(repeats),
    }  # fmt: skip
    write_rows(to, rows)
    for what, aim, value, holds in figures(rows):
        print(f"{'holds' if holds else 'FALLS SHORT':12} {what}, {aim}: {value}")
    print("next: make docs")


def measure_service(seconds: float, num_requests: int) -> dict[str, Any]:
    """Start the service, ask it, stop it."""
    import psutil  # the docs, which take `figures` from here, are made without it

    process = subprocess.Popen(
        [sys.executable, "-m", "tinydigits", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(re.search(r":(\d+) ", process.stdout.readline())[1])  # type: ignore[index]
        wait_for(port)
        memory = psutil.Process(process.pid).memory_info
        request = make_request()
        ask(port, request, 1, num=WARM_UP)
        first = memory().rss
        alone = ask(port, request, 1, num=ALONE)
        busy = ask(port, request, CONNECTIONS, seconds=seconds)
        so_far = WARM_UP + ALONE + len(busy.milliseconds)
        rest = ask(port, request, CONNECTIONS, num=max(0, num_requests - so_far))
        last = memory().rss
    finally:
        process.terminate()
        process.wait(timeout=30)
    return {
        "alone_p50_ms": statistics.median(alone.milliseconds),
        "busy": {
            "seconds": busy.seconds,
            "requests": len(busy.milliseconds),
            "errors": alone.errors + busy.errors + rest.errors,
            "requests_a_second": len(busy.milliseconds) / busy.seconds,
            "p50_ms": statistics.median(busy.milliseconds),
            "p99_ms": float(np.percentile(busy.milliseconds, 99)),
        },
        "memory": {"requests": so_far + len(rest.milliseconds), "first_bytes": first, "last_bytes": last},
    }


def make_request() -> bytes:
    """One image of 784 numbers, as HTTP."""
    image = np.zeros((28, 28), int)
    image[4:24, 13:16] = 255
    body = json.dumps(image.ravel().tolist()).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service does not start")


def ask(
    port: int, request: bytes, num_connections: int, *, num: int | None = None, seconds: float | None = None
) -> Load:
    """Keep each connection busy with one request after another, for some seconds or so many requests in all."""
    load, selector = Load(), selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    given: dict[socket.socket, bytes] = {}
    left = num if num is not None else sys.maxsize
    begin = time.perf_counter()
    end = begin + seconds if seconds is not None else float("inf")

    def send(connection: socket.socket) -> None:
        nonlocal left
        if left > 0 and time.perf_counter() < end:
            left -= 1
            given[connection] = b""
            sent[connection] = time.perf_counter()
            connection.sendall(request)
        else:
            selector.unregister(connection)
            connection.close()

    for _ in range(num_connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send(connection)
    while selector.get_map():
        for key, _ in selector.select():
            connection = key.fileobj  # type: ignore[assignment]
            part = connection.recv(65536)
            given[connection] += part
            head, mark, body = given[connection].partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head) if mark else None
            if part and not (length and len(body) >= int(length[1])):
                continue
            load.milliseconds.append(1000 * (time.perf_counter() - sent[connection]))
            load.errors += not (head.startswith(b"HTTP/1.1 200") and b'"class":"1"' in body)
            if not part:
                raise SystemExit("the service closed a connection")
            send(connection)
    load.seconds = time.perf_counter() - begin
    return load


def measure_start(repeats: int) -> dict[str, list[float]]:
    """Seconds of whole commands, taking turns."""
    picture = str(sorted(PICTURES.glob("*_plain_*"))[0])
    commands = {"predict": ["-m", "tinydigits", "predict", picture], "import_torch": ["-c", "import torch"]}
    timed = in_turns({name: partial(run_process, arguments) for name, arguments in commands.items()}, repeats)
    return {name: [row["wall"] for row in rows] for name, rows in timed.items()}


def part() -> str:
    """The part of docs/serve.md: each figure beside what is aimed at."""
    rows = read_rows(FILE)
    cells = [[what, aim, value, "yes" if holds else Markdown("**no**")] for what, aim, value, holds in figures(rows)]
    return "\n\n".join([
        f"{machine(rows)}; service and client share the cores; {rows['connections']} connections, one image of 784 "
        f"numbers a request; medians of {len(rows['start']['predict'])} starts. {sentence(rows)}",
        table(["figure", "aimed at", "measured", "holds"], cells),
    ])  # fmt: skip


def figures(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What was measured, what is aimed at, the value, and whether it holds."""
    busy, memory, start = found["busy"], found["memory"], found["start"]
    ratio = busy["p99_ms"] / found["alone_p50_ms"]
    growth = memory["last_bytes"] / memory["first_bytes"] - 1
    predict, torch = (statistics.median(start[name]) for name in ("predict", "import_torch"))
    rate, errors = busy["requests_a_second"], busy["errors"]
    return [
        (
            f"requests a second over {busy['seconds']:.0f} s", f"at least {MIN_REQUESTS_A_SECOND:,}", f"{rate:,.0f}",
            rate >= MIN_REQUESTS_A_SECOND,
        ),
        (
            "p99 against the unloaded p50", f"under {MAX_P99_RATIO} times",
            f"{ratio:.1f} times ({busy['p99_ms']:.2f} ms against {found['alone_p50_ms']:.2f} ms)",
            ratio < MAX_P99_RATIO,
        ),
        (f"errors in {memory['requests']:,} requests", "none", f"{errors or 'none'}", not errors),
        (
            f"growth of memory over {memory['requests']:,} requests", f"at most {percent(MAX_GROWTH, trim=True)}",
            f"{points(growth, 1)} % ({memory['first_bytes'] / 1e6:.0f} to {memory['last_bytes'] / 1e6:.0f} MB)",
            growth <= MAX_GROWTH,
        ),
        (
            "a whole `tinydigits predict PICTURE` against importing torch", f"under {MAX_START_SHARE}",
            f"{predict / torch:.3f} ({predict:.2f} s against {torch:.2f} s)", predict / torch < MAX_START_SHARE,
        ),
    ]  # fmt: skip


COMMANDS = (measure,)
