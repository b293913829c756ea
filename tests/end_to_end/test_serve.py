"""`tinydigits serve` as a process: the page in Chromium, a request under way when it is told to stop."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tinydigits import pretrained

PICTURES = Path(__file__).parents[1] / "pictures"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    shutil.copytree(pretrained.find("gap-cnn-tuned").folder, tmp_path / "runs" / "mine")
    process = subprocess.Popen(
        [sys.executable, "-m", "tinydigits", "serve", "--port", "0"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.match(r"(http://127\.0\.0\.1:\d+) ", process.stdout.readline())
    assert found, process.communicate(timeout=5)
    for _ in range(300):
        try:
            httpx.get(f"{found[1]}/health")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield found[1], process
    process.kill()
    process.communicate()


def test_it_answers_and_stops_when_it_is_told_to_with_the_last_request_answered(
    service: tuple[str, subprocess.Popen[str]],
) -> None:
    address, process = service
    path = next(PICTURES.glob("2_*.png"))
    answer = httpx.post(f"{address}/predict", content=path.read_bytes(), headers={"content-type": "image/png"})
    assert answer.json()["answers"][0]["class"] == "2"
    assert {one["name"] for one in httpx.get(f"{address}/models").json()} >= {"gap-cnn-tuned", "mine"}
    # A request whose body is still coming when the signal does.
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        body = path.read_bytes()
        head = (
            f"POST /predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/png\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:100])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[100:])
        given = b""
        while part := connection.recv(65536):
            given += part
    assert b"200 OK" in given and b'"class":"2"' in given
    process.wait(timeout=20)
    assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_is_said_to_be(service: tuple[str, subprocess.Popen[str]]) -> None:
    port = service[0].rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "tinydigits", "serve", "--port", port], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "cannot be had" in done.stderr


def test_the_page_offers_the_models_of_the_package_and_of_the_folder(
    service: tuple[str, subprocess.Popen[str]], browser
) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(service[0])
    assert set(page.locator("#model option").all_text_contents()) >= {"gap-cnn-tuned", "mine"}
    page.select_option("#model", label="mine")
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.8, steps=10)
    page.mouse.up()
    page.locator("#digit", has_text="1").wait_for()
    assert complaints == []
    page.close()
