"""The service under load, with hostile clients among the others.

For ten minutes the server of `tinydigits serve` answers clients who mean well, one process, while others do what
stands below; the seconds that it grants a slow client are 2 here, so that more of them fit. Held: each answer to those
who mean well is what `predict` says of the same picture, probabilities to 2e-6; each fault is refused or the
connection closed, none is answered with an error of the service's own (500), and at the end the process is the one that
was started, has as many files open, and no request under way.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.reliability import Row
from benchmarks.reliability._requests import FORMS, GET, MALFORMED, OTHER_FILES, PATHS, damaged, dots, post, small_bomb
from benchmarks.reliability._service import Service, read_answer, serving, status_of
from tinydigits.figures import percent, points
from tinydigits.prediction import DEFAULT

ORDER = 50
SUBJECTS = {"weights": [DEFAULT]}
SECONDS = 600
CLIENTS, SLOW_AT_ONCE, CONNECTIONS = 3, 20, 1_000
LIMITS = "head_seconds=2, body_seconds=2, answer_seconds=2, body_bytes=2_000_000"
MAX_GROWTH = 0.10
PICTURES = sorted((Path(__file__).parents[2] / "tests" / "pictures").glob("*.*"))


# The faults: each gives whether the service did as it should.


def leaves_midway(service: Service, rng: random.Random) -> bool:
    """A client that resets its connection somewhere in its request, or before the answer."""
    sent = post(rng.choice(PICTURES).read_bytes(), "content-type: image/png")
    with service.connect() as connection:
        connection.sendall(sent[: rng.randrange(1, len(sent) + 1)])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, not an end
    return True


def sends_noise(service: Service, rng: random.Random) -> bool:
    """Bytes that are no HTTP."""
    return service.status(rng.randbytes(rng.randrange(100, 5_000)) + b"\r\n\r\n") in (0, 400, 408, 421)


def speaks_badly(service: Service, rng: random.Random) -> bool:
    """Malformed HTTP."""
    return service.status(rng.choice(list(MALFORMED.values()))) in (0, 400, 404, 405, 408, 421)


def sends_a_bad_form(service: Service, rng: random.Random) -> bool:
    """Malformed multipart forms."""
    kind, body, status = rng.choice(list(FORMS.values()))
    return service.status(post(body, f"content-type: {kind}", "connection: close")) == status


def sends_damage(service: Service, rng: random.Random) -> bool:
    """Pictures with bytes changed, cut or doubled, which may still be readable."""
    body = damaged(rng.choice(PICTURES).read_bytes(), rng)
    return service.status(post(body, "content-type: image/png", "connection: close")) in (200, 422)


def sends_numbers_that_are_none(service: Service, rng: random.Random) -> bool:
    """JSON with values, lengths and shapes that are no image."""
    odd = rng.choice((-1, 256, 1.5, "0", None, True, [], 10**30))
    image = [0] * rng.choice((783, 784, 785, 28))
    image[rng.randrange(len(image))] = odd
    body = json.dumps(rng.choice((image, {"images": [image]}, {"image": image}, odd))).encode()
    return service.status(post(body, "content-type: application/json", "connection: close")) in (413, 422)


def sends_other_files(service: Service, rng: random.Random) -> bool:
    """Files of formats that name other files or run."""
    body = rng.choice(list(OTHER_FILES.values()))()
    return service.status(post(body, "content-type: image/svg+xml", "connection: close")) == 422


def looks_for_files(service: Service, rng: random.Random) -> bool:
    """Paths that climb out."""
    head = f"GET {rng.choice(PATHS)} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    return service.status(head.encode()) in (400, 404, 405)


def asks_by_another_name(service: Service, rng: random.Random) -> bool:
    """Host names of someone else, as in DNS rebinding."""
    name = rng.choice(("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"))
    return service.status(GET.replace(b"localhost", name.encode()) + b"\r\n") == 421


def sends_too_much(service: Service, rng: random.Random) -> bool:
    """Bodies over the bound, with a length and in chunks, and heads without an end."""
    kind = rng.randrange(3)
    if kind == 0:
        return service.status(post(b"", "content-type: image/png").replace(b"h: 0", b"h: 99000000")) == 413
    if kind == 1:
        head = post(b"", "content-type: image/png").replace(b"content-length: 0", b"transfer-encoding: chunked")
        return service.status(head + (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 80) in (0, 413)
    return service.status(GET + (b"x: " + b"y" * 50_000 + b"\r\n") * 8) in (0, 431)


def costs_much(service: Service, rng: random.Random) -> bool:
    """Small files with very many pixels or digits."""
    time.sleep(2)  # they are answered one after the other, and the others' answers are what is looked at
    if rng.random() < 0.5:
        body = post(dots(), "content-type: image/png", "connection: close")
        return service.status(body.replace(b"/predict", b"/predict?many=true")) == 422
    return service.status(post(small_bomb(), "content-type: image/png", "connection: close")) in (200, 503)


def writes_slowly(service: Service, rng: random.Random) -> bool:
    """A head or a body of a byte now and then, as many clients at once."""
    body = post(rng.choice(PICTURES).read_bytes(), "content-type: image/png")
    start = rng.choice((3, body.index(b"\r\n\r\n") + 4))
    with service.connect() as connection:
        connection.sendall(body[:start])
        connection.settimeout(0.3)
        for place in range(start, len(body)):
            try:
                connection.sendall(body[place : place + 1])
                return status_of(read_answer(connection)) in (0, 408)
            except TimeoutError:
                continue
            except ConnectionError:
                return True
    return False


def never_reads(service: Service, rng: random.Random) -> bool:
    """A client that asks and asks and reads no answer."""
    asked = b"GET /networks/gap-cnn-tuned HTTP/1.1\r\nhost: localhost\r\n\r\n" * 20
    with service.connect() as connection:
        connection.settimeout(0.5)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                connection.sendall(asked)
            except TimeoutError:
                continue
            except ConnectionError:
                return True  # let go
    return False


def connects_a_thousand_times(service: Service, rng: random.Random) -> bool:
    """1,000 connections held open at once, half of them in the middle of a request; then one that asks."""
    time.sleep(2)
    with ExitStack() as open_ones:
        for number in range(CONNECTIONS):
            connection = open_ones.enter_context(service.connect())
            if number % 2:
                connection.sendall(GET)
        return service.status(GET + b"\r\n") == 200


Fault = Callable[[Service, random.Random], bool]
# How many threads of each do it again and again.
FAULTS: dict[Fault, int] = {
    leaves_midway: 1, sends_noise: 1, speaks_badly: 1, sends_a_bad_form: 1, sends_damage: 1,
    sends_numbers_that_are_none: 1, sends_other_files: 1, looks_for_files: 1, asks_by_another_name: 1,
    sends_too_much: 1, costs_much: 1, writes_slowly: SLOW_AT_ONCE, never_reads: 2, connects_a_thousand_times: 1,
}  # fmt: skip


class Load:
    """Clients of both kinds at work, and what came of it."""

    def __init__(self, service: Service, cases: int | None) -> None:
        self.service, self.cases = service, cases
        self.end = time.monotonic() + (SECONDS if cases is None else 120)
        self.done: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lock, self.over = threading.Lock(), threading.Event()

    def is_over(self, name: str) -> bool:
        return self.over.is_set() or time.monotonic() > self.end or (
            self.cases is not None and self.done[name] >= self.cases
        )  # fmt: skip

    def note(self, name: str, is_held: bool, what: str = "") -> None:
        """Count one, and keep the first few that were not held."""
        with self.lock:
            self.done[name] += 1
            self.held[name] += is_held
            if not is_held and len(self.wrong) < 20:
                self.wrong.append(f"{name}: {what}")

    def do_harm(self, fault: Fault, seed: int) -> None:
        """One hostile client, again and again."""
        rng = random.Random(f"{fault.__name__} {seed}")
        while not self.is_over(fault.__name__):
            try:
                self.note(fault.__name__, fault(self.service, rng))
            except OSError as error:
                self.note(fault.__name__, False, repr(error))
            time.sleep(0.02)

    def mean_well(self, questions: list[tuple[bytes, dict[str, Any]]], seed: int) -> None:
        """One client that keeps its connection and compares each answer; it goes on as long as the others do."""
        rng = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        while not self.over.is_set():
            body, expected = rng.choice(questions)
            try:
                connection.request("POST", "/predict", body, {"content-type": "image/png", "host": "localhost"})
                answer = connection.getresponse()
                content, status = answer.read(), answer.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.note("answers", False, repr(error))
                continue
            told = json.loads(content) if status == 200 else {}
            is_same = status == 200 and is_the_answer(told["answers"], expected)
            self.note("answers", is_same, f"{status} {content[:200]!r} {expected}")


def is_the_answer(given: list[dict[str, Any]], expected: dict[str, Any]) -> bool:
    """Whether an answer of the service is that of `predict`."""
    [one] = given
    if any(one[key] != expected[key] for key in ("class", "runner_up", "unsure", "box")):
        return False
    names = expected["probabilities"]
    return all(abs(one["probabilities"][name] - names[name]) <= 2e-6 for name in names)


def predict_says() -> list[tuple[bytes, dict[str, Any]]]:
    """The pictures, and what `tinydigits predict` says of each."""
    command = [sys.executable, "-m", "tinydigits", "predict", "--json", *map(str, PICTURES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    by_source = {answer["source"]: answer for answer in json.loads(done.stdout)}
    return [(path.read_bytes(), by_source[str(path)]) for path in PICTURES]


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """All at once for ten minutes, or until each fault was done `cases` times; then a row for each."""
    questions = predict_says()
    with serving(LIMITS) as service:
        process = psutil.Process(service.process.pid)
        load = Load(service, cases)
        open_files = process.num_fds()
        hostile = [
            threading.Thread(target=load.do_harm, args=(fault, number))
            for fault, at_once in FAULTS.items()
            for number in range(at_once if cases is None else min(at_once, cases))
        ]
        well = [threading.Thread(target=load.mean_well, args=(questions, seed)) for seed in range(CLIENTS)]
        for thread in (*well, *hostile):
            thread.start()
        memory: list[int] = []
        while any(thread.is_alive() for thread in hostile):
            if process.is_running():
                memory.append(process.memory_info().rss)
            time.sleep(1 if cases is None else 0.1)
        load.over.set()
        for thread in well:
            thread.join()
        asked = load.done["answers"]
        seconds = "" if cases else f"in {SECONDS / 60:.0f} minutes"
        yield Row("an answer to a client that means well, compared", asked, load.held["answers"], seconds)
        for fault in FAULTS:
            name = fault.__name__
            yield Row((fault.__doc__ or name).rstrip("."), load.done[name], load.held[name])
        yield _is_as_before(service, process, open_files)
        if cases is None:
            yield _memory(memory)
    for line in load.wrong:
        print(line, file=sys.stderr)


def _is_as_before(service: Service, process: psutil.Process, open_files: int) -> Row:
    """The same process, with no more files open and nothing under way, some seconds after the last client left."""
    for _ in range(100):
        is_quiet = process.is_running() and process.num_fds() <= open_files
        if is_quiet:
            break
        time.sleep(0.1)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", "/metrics", headers={"host": "localhost"})
    text = connection.getresponse().read().decode()
    connection.close()
    errors = sum(int(found) for found in re.findall(r'status="5(?!03)\d\d"} (\d+)', text))
    [under_way] = re.findall(r"^tinydigits_requests_under_way .*", text, re.MULTILINE)
    held = is_quiet and float(under_way.split()[-1]) == 1 and not errors
    return Row(
        "The process at the end: the same, nothing open, nothing under way", 1, int(held),
        "" if held else f"{process.num_fds()} files against {open_files}, {errors} errors; {under_way}",
    )  # fmt: skip


def _memory(rss: list[int]) -> Row:
    """The least of the second quarter against the least of the last: between two pictures, with caches filled."""
    quarter = len(rss) // 4
    early, late = (min(part) for part in (rss[quarter : 2 * quarter], rss[-quarter:]))
    growth = late / early - 1
    return Row(
        f"The process's memory, growth at most {percent(MAX_GROWTH, trim=True)}", 1, int(growth <= MAX_GROWTH),
        f"least of the second quarter {early / 1e6:.0f} MB, of the last {late / 1e6:.0f} MB ({points(growth, 1)} %); "
        f"{max(rss) / 1e6:.0f} MB at most, while pictures of 25 million pixels are read",
    )  # fmt: skip
