"""The service as a process, asked by raw sockets: slow, broken, greedy and curious clients, and others meanwhile."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import resource
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from benchmarks.reliability._requests import FORMS, GET, MALFORMED, OTHER_FILES, PATHS, dots, post, small_bomb
from benchmarks.reliability._service import Service, read_answer, serving, status_of

PICTURE = next((Path(__file__).parents[1] / "pictures").glob("2_plain_*.png")).read_bytes()
QUICK = "head_seconds=3, body_seconds=3, body_bytes_a_second=1_000_000, answer_seconds=2, body_bytes=300_000"


def reads_a_two(service: Service) -> bool:
    answer = httpx.post(
        f"{service.address}/predict", content=PICTURE, headers={"content-type": "image/png"}, timeout=30
    )
    return answer.status_code == 200 and answer.json()["answers"][0]["class"] == "2"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(QUICK) as service:
        yield service


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http_is_refused_and_others_are_answered(service: Service, sent: bytes) -> None:
    assert service.status(sent) in (0, 400, 404, 405, 408, 421)
    assert reads_a_two(service)


def test_a_websocket_is_not_opened(service: Service) -> None:
    upgrade = (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n\r\n"
    )
    assert service.status(GET + upgrade) == 200 and reads_a_two(service)


@pytest.mark.parametrize(("kind", "body", "status"), FORMS.values(), ids=FORMS.keys())
def test_malformed_forms_get_a_reason(service: Service, kind: str, body: bytes, status: int) -> None:
    answer = httpx.post(f"{service.address}/predict", content=body, headers={"content-type": kind}, timeout=30)
    assert answer.status_code == status and answer.json()["detail"]
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("image/png", json.dumps([0] * 784).encode(), 422),
        ("application/json", PICTURE, 400),
        ("application/json; charset=utf-16", PICTURE, 400),
        ("multipart/form-data; boundary=x", PICTURE, 400),
        ("application/x-www-form-urlencoded", b"file=/etc/passwd", 415),
        ("text/html", b"<script>", 415),
        ("application/pickle", b"\x80\x04.", 415),
        ("application/zip", b"PK\x03\x04", 415),
        ("*/*", PICTURE, 415),
        ("image/png\x01", PICTURE, 400),
    ],
)
def test_a_body_that_is_not_what_its_type_says(service: Service, kind: str, body: bytes, status: int) -> None:
    assert service.status(post(body, f"content-type: {kind}", "connection: close")) == status


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(service: Service, path: str) -> None:
    answer = service.say(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert status_of(answer) in (400, 404, 405) and b"root:" not in answer


def test_a_model_is_a_name_and_no_path(service: Service) -> None:
    for name in ("../../etc/passwd", "%2fetc%2fpasswd", "gap-cnn-tuned%00", "gap-cnn-tuned.onnx", "%ff%fe"):
        answer = service.say(post(b"7", "content-type: application/json").replace(
            b"/predict", f"/predict?model={name}".encode()))  # fmt: skip
        assert status_of(answer) == 404 and b"root:" not in answer


def test_a_page_elsewhere_may_not_read_answers(service: Service) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST",
              "access-control-request-headers": "content-type"}  # fmt: skip
    answers = [httpx.options(f"{service.address}/predict", headers=origin), httpx.get(service.address, headers=origin)]
    answers.append(httpx.post(f"{service.address}/predict", json=[0] * 784, headers={"origin": "null"}))
    assert answers[0].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_only_its_own_names_and_addresses_are_answered_to(service: Service) -> None:
    def ask(*hosts: str, target: str = "/health") -> int:
        lines = "".join(f"host: {host}\r\n" for host in hosts)
        return status_of(service.say(f"GET {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode()))

    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "[::1]:80", "192.0.2.7", "digits.example:80"):
        assert ask(host) == 200, host
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:127", "", "[evil]",
                 "localhostt", "1.2.3", "[127.0.0.1", "0x7f000001", "2130706433", "xn--lclhost-0xa"):  # fmt: skip
        assert ask(host) == 421, host
    assert ask() == 421 and ask("localhost", "evil.example") == 421 and ask("evil.example", "localhost") == 421
    assert ask("evil.example", target="http://localhost/health") == 421


def test_pages_run_their_own_script_and_style_alone(service: Service) -> None:
    for path in ("/", "/docs", "/health", "/nowhere", "/openapi.json"):
        answer = httpx.get(service.address + path)
        headers = answer.headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"] and "http:" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY" and "server" not in headers
        for tag, source in (("script", "script-src"), ("style", "style-src")):
            texts = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
            hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
            assert policy.get(source, "") == " ".join(f"'sha256-{found}'" for found in hashes)
        assert not re.findall(r"\bon\w+=|style=|javascript:", answer.text.split("<script")[0])


def test_chromium_finds_nothing_to_complain_of(service: Service, browser) -> None:  # type: ignore[no-untyped-def]
    for path in ("/", "/docs"):
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(service.address + path)
        page.wait_for_load_state("networkidle")
        assert said == [] and page.evaluate("getComputedStyle(document.body).maxWidth") != "", path
        page.evaluate("() => { const s = document.createElement('script'); s.text = 'window.stolen = 1';"
                      " document.body.append(s) }")  # fmt: skip
        assert page.evaluate("window.stolen === undefined") and "Content Security Policy" in said[0]
        page.close()


@pytest.mark.parametrize("make", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_files_that_name_other_files_or_run_are_no_pictures(service: Service, make: Callable[[], bytes]) -> None:
    for kind in ("image/png", "image/svg+xml", "application/octet-stream"):
        answer = httpx.post(f"{service.address}/predict", content=make(), headers={"content-type": kind}, timeout=30)
        assert answer.status_code == 422 and "not a picture" in answer.json()["detail"]


def chunked(parts: Iterator[bytes], connection: socket.socket) -> bytes:
    """Send chunks until the service has had enough, and give its answer."""
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
    connection.sendall(head)
    try:
        for part in parts:
            connection.sendall(part)
    except (ConnectionError, TimeoutError):
        pass
    connection.settimeout(10)
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b"HTTP/1.1 000 closed"


def test_more_than_the_bounds_is_cut_off_wherever_it_comes(service: Service) -> None:
    assert status_of(service.say(post(b"", "content-type: image/png").replace(
        b"content-length: 0", b"content-length: 300001"))) == 413  # fmt: skip
    with service.connect() as connection:
        assert status_of(chunked((b"1000\r\n" + b" " * 4096 + b"\r\n" for _ in range(100)), connection)) == 413
    line = b"x: " + b"y" * 50_000 + b"\r\n"
    assert service.status(GET + line * 8) in (431, 0)
    for endless in (GET + b"x: ", b"GET /"):  # one header, one path, in pieces
        with service.connect() as connection:
            given = b""
            try:
                connection.sendall(endless)
                for _ in range(200):
                    connection.sendall(b"y" * 10_000)
                    time.sleep(0.001)
            except ConnectionError:
                pass
            try:
                given = connection.recv(65536)
            except ConnectionError:
                given = b"HTTP/1.1 431 closed"
            assert status_of(given) == 431
    with service.connect() as connection:  # trailers behind the last chunk, and what may stand beside a chunk's size
        trailers = (b"x: " + b"y" * 10_000 + b"\r\n" for _ in range(1_000))
        assert status_of(chunked((b for part in (iter([b"0\r\n"]), trailers) for b in part), connection)) in (0, 400)
    with service.connect() as connection:
        assert status_of(chunked((b"1;" + b"y" * 10_000 + b"\r\n \r\n" for _ in range(1_000)), connection)) in (0, 400)
    assert reads_a_two(service)


def test_slow_clients_are_told_that_it_is_too_late(service: Service) -> None:
    def dribble(sent: bytes) -> int:
        with service.connect() as connection:
            connection.settimeout(0.1)
            for start in range(min(150, len(sent))):
                try:
                    connection.sendall(sent[start : start + 1])
                    return status_of(connection.recv(65536))
                except TimeoutError:
                    continue
                except ConnectionError:
                    return 0
        return -1

    body = post(PICTURE + bytes(100_000), "content-type: image/png")
    head, _, rest = body.partition(b"\r\n\r\n")
    first = head + b"\r\n\r\n"

    def dribble_body() -> int:
        with service.connect() as connection:
            connection.sendall(first)
            connection.settimeout(0.1)
            for start in range(150):
                try:
                    connection.sendall(rest[start : start + 1])
                    return status_of(connection.recv(65536))
                except TimeoutError:
                    continue
        return -1

    def say_nothing() -> int:
        with service.connect() as connection:
            return status_of(connection.recv(65536))

    def line_ends_after_an_answer() -> int:
        with service.connect() as connection:
            connection.sendall(GET + b"\r\n")
            assert status_of(read_answer(connection)) == 200
            connection.sendall(b"GET")
            return status_of(read_answer(connection))

    with ThreadPoolExecutor(20) as pool:
        slow = [pool.submit(dribble, GET + b"x: " + b"y" * 1_000) for _ in range(8)]
        slow += [pool.submit(dribble_body) for _ in range(8)]
        silent = pool.submit(say_nothing)
        again = pool.submit(line_ends_after_an_answer)
        assert reads_a_two(service), "while they dribble"
        assert {one.result(timeout=60) for one in slow} == {408}
        assert silent.result(timeout=60) == 0 and again.result(timeout=60) == 408


def test_who_never_reads_is_let_go(service: Service) -> None:
    with service.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        asked = b"GET /networks/gap-cnn-tuned HTTP/1.1\r\nhost: localhost\r\n\r\n"
        connection.settimeout(1)
        for _ in range(60):  # until the service is written to no more: it waits for its answers to be read
            try:
                connection.sendall(asked * 50)
            except TimeoutError:
                break
            except ConnectionError:
                return
        connection.settimeout(60)
        time.sleep(5)
        with pytest.raises(ConnectionError):
            while connection.recv(65536):
                pass


def test_who_leaves_midway_leaves_nothing_behind(service: Service) -> None:
    large = io.BytesIO()
    Image.new("L", (3000, 3000)).save(large, "PNG")  # read for longer than its client stays
    one = post(PICTURE, "content-type: image/png")
    two = post(large.getvalue(), "content-type: image/png") + GET + b"\r\n"  # asks again without waiting
    for sent in (one[:1], one[:20], one[:60], one[: len(one) // 2], one[:-1], one, two[:-1], two):
        for _ in range(5):
            connection = service.connect()
            connection.sendall(sent)
            time.sleep(0.02)  # what has not been read is gone with a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, not an end
            connection.close()
    assert reads_a_two(service)
    for _ in range(100):
        metrics = httpx.get(f"{service.address}/metrics").text
        if "tinydigits_requests_under_way 1.0\n" in metrics:
            break
        time.sleep(0.1)
    assert "tinydigits_requests_under_way 1.0\n" in metrics, "this one alone"


def test_a_thousand_connections_and_one_more() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 4096 and hard > 0 else max(soft, 4096), hard))
    with serving("connections=1100") as service, ExitStack() as open_ones:
        many = [open_ones.enter_context(service.connect()) for _ in range(1_000)]
        for connection in many[::2]:
            connection.sendall(GET)  # half of them have begun to ask
        assert reads_a_two(service)
        for connection in many[::2]:
            connection.sendall(b"\r\n")
        assert all(status_of(read_answer(connection)) == 200 for connection in many[::2]), "all are answered"
        # More than may be open: the ones that were silent longest make room, and who asks is answered.
        more = [open_ones.enter_context(service.connect()) for _ in range(300)]
        for connection in more:
            connection.sendall(GET + b"\r\n")
        assert all(status_of(read_answer(connection)) == 200 for connection in more)
        assert reads_a_two(service)
        assert all(is_closed(connection) for connection in many[1:400:2]), "the silent ones, the oldest first"
        assert not any(is_closed(connection) for connection in more)


def test_one_address_may_ask_so_often() -> None:
    with serving(more="requests_a_second=5") as service:
        begin = time.monotonic()
        answers = [httpx.get(f"{service.address}/health") for _ in range(40)]
        passed = time.monotonic() - begin
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 5 <= 40 - len(refused) <= 6 + 5 * passed and len(refused) == 40 - sum(a.is_success for a in answers)
        assert all(answer.headers["retry-after"] == "1" and "5 requests" in answer.text for answer in refused)
        time.sleep(1)
        told = [{"x-forwarded-for": f"192.0.2.{number}"} for number in range(40)]
        with httpx.Client() as client:  # quicker than one for each
            again = [client.get(f"{service.address}/health", headers=one).status_code for one in told]
        assert again[0] == 200 and 429 in again, "nobody gives himself another address"


def test_large_bodies_share_a_bound() -> None:
    head = post(b"", "content-type: image/png").replace(b"content-length: 0", b"content-length: 600000")
    body = post(bytes(100_000), "content-type: image/png", "connection: close")
    with serving("bodies_bytes=1_000_000, body_bytes=600_000") as service:
        for seconds in (0.2, 1, 5):  # which the service may need to read what two have sent
            with ExitStack() as open_ones:
                for _ in range(2):
                    open_ones.enter_context(service.connect()).sendall(head + bytes(490_000))
                time.sleep(seconds)
                answer = status_of(service.say(body))
                assert reads_a_two(service)
            if answer == 503:
                break
        assert answer == 503
        for _ in range(50):
            if service.status(body) == 422:
                break
            time.sleep(0.1)
        assert service.status(body) == 422, "no picture, but there is room to see it"


def test_small_files_that_cost_much_are_refused(service: Service) -> None:
    headers = {"content-type": "image/png"}
    many = httpx.post(f"{service.address}/predict?many=true", content=dots(), headers=headers, timeout=60)
    assert many.status_code == 422 and "at most 500" in many.json()["detail"]
    form = [("file", ("a.png", small_bomb(), "image/png"))] * 6
    pixels = httpx.post(f"{service.address}/predict", files=form, timeout=60)
    assert pixels.status_code == 422 and "pixels" in pixels.json()["detail"]
    assert reads_a_two(service)
