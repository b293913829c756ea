"""The API as a client meets it: answers, limits, reasons, counters, headers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Mnist
from tinydigits import pretrained
from tinydigits.prediction import Classifier, models_at_hand
from tinydigits.serve import Limits, create_app

PICTURES = Path(__file__).parents[2] / "pictures"
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(models_at_hand("nowhere"), Limits(body_bytes=300_000, pixels=1_000_000, images=50))
    with TestClient(app) as client:
        yield client


def test_pictures_of_each_format_are_read(client: TestClient) -> None:
    for suffix, kind in TYPES.items():
        path = next(PICTURES.glob(f"*{suffix}"))
        answer = client.post("/predict", content=path.read_bytes(), headers={"content-type": kind})
        assert answer.status_code == 200
        [found] = answer.json()["answers"]
        assert found["class"] == path.name[0] and found["picture"] == 0 and len(found["box"]) == 4


def test_many_files_of_one_form_are_answered_in_order(client: TestClient) -> None:
    paths = sorted(PICTURES.glob("*_plain_*"))
    files = [("file", (path.name, path.read_bytes(), "image/png")) for path in paths]
    answers = client.post("/predict", files=files).json()["answers"]
    assert [(one["picture"], one["class"]) for one in answers] == [(k, path.name[0]) for k, path in enumerate(paths)]


def test_numbers_are_answered_as_the_model_does(client: TestClient, mnist: Mnist) -> None:
    images_NHW = mnist.train.images_NHW[:20]
    expected_NK = Classifier(pretrained.find("gap-cnn-tuned").onnx).probabilities(images_NHW)
    answers = client.post("/predict", json={"images": images_NHW.reshape(-1, 784).tolist()}).json()["answers"]
    given_NK = [list(answer["probabilities"].values()) for answer in answers]
    assert np.abs(np.array(given_NK) - expected_NK).max() < 1e-5
    alone = client.post("/predict", json=images_NHW[3].ravel().tolist()).json()
    assert alone["answers"][0]["class"] == answers[3]["class"] and alone["model"] == "gap-cnn-tuned"


IMAGE = [0] * 784


@pytest.mark.parametrize(
    ("kind", "body", "status", "reason"),
    [
        ("application/json", b"", 400, "empty"),
        ("application/json", b"{", 400, "not JSON"),
        ("application/json", b"[" * 100_000, 400, "not JSON"),
        ("application/json", b"7", 422, "expected a list"),
        ("application/json", b"[]", 422, "got 0 values"),
        ("application/json", json.dumps(IMAGE[:-1]), 422, "got 783 values"),
        ("application/json", json.dumps([256, *IMAGE[1:]]), 422, "from 0 to 255"),
        ("application/json", json.dumps([-1, *IMAGE[1:]]), 422, "from 0 to 255"),
        ("application/json", json.dumps([0.5, *IMAGE[1:]]), 422, "whole"),
        ("application/json", json.dumps([True, *IMAGE[1:]]), 422, "whole"),
        ("application/json", json.dumps([None, *IMAGE[1:]]), 422, "whole"),
        ("application/json", '{"images": []}', 422, "an object must be"),
        ("application/json", '{"images": [1]}', 422, "image 0: got int"),
        ("application/json", '{"picture": 1}', 422, "an object must be"),
        ("application/json", json.dumps({"images": [IMAGE] * 51}), 413, "at most 50"),
        ("application/json", b" " * 300_001, 413, "300,000 bytes"),
        ("image/png", b"no picture", 422, "not a picture"),
        ("text/plain", b"7", 415, "text/plain"),
        ("", b"7", 415, "no content-type"),
        ("multipart/form-data", b"7", 400, "not a multipart form"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422, "no file"),
    ],
)
def test_bad_bodies_get_a_reason(client: TestClient, kind: str, body: Any, status: int, reason: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_a_picture_with_too_many_pixels_is_refused(client: TestClient) -> None:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("1", (2_000, 2_000)).save(file, "png")
    answer = client.post("/predict", content=file.getvalue(), headers={"content-type": "image/png"})
    assert answer.status_code == 422 and "at most 1,000,000 pixels" in answer.json()["detail"]


def test_a_body_without_a_length_is_cut_off(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    answer = client.post("/predict", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_an_unknown_model_and_path_are_named(client: TestClient) -> None:
    answer = client.post("/predict?model=nobody", json=IMAGE)
    assert answer.status_code == 404 and "gap-cnn-tuned" in answer.json()["detail"]
    assert client.get("/networks/nobody").status_code == 404
    assert client.get("/nowhere").status_code == 404
    assert client.get("/predict").status_code == 405


def test_many_reads_each_digit_and_refuses_what_is_neither_true_nor_false(client: TestClient) -> None:
    headers, path = {"content-type": "image/png"}, next(PICTURES.glob("*_plain_*"))
    assert len(client.post("/predict?many=true", content=path.read_bytes(), headers=headers).json()["answers"]) == 1
    answer = client.post("/predict?many=perhaps", content=path.read_bytes(), headers=headers)
    assert answer.status_code == 422 and "perhaps" in answer.json()["detail"]


def test_models_health_and_the_page(client: TestClient) -> None:
    models = client.get("/models").json()
    assert models[0]["name"] == "gap-cnn-tuned" and models[0]["default"] and models[0]["classes"] == list("0123456789")
    assert client.get("/health").json() == {"status": "ok", "model": "gap-cnn-tuned"}
    assert "networks/gap-cnn-tuned" in client.get("/").text
    assert client.get("/networks/gap-cnn-tuned").json()["nodes"][2]["op"] == "Conv"


def test_a_box_is_in_pixels_of_the_file_that_was_sent(client: TestClient) -> None:
    """A large JPEG is decoded at half of its size."""
    from io import BytesIO

    from PIL import Image

    image = Image.new("L", (2400, 2200), 255)
    image.paste(0, (1500, 400, 1600, 1400))
    file = BytesIO()
    image.save(file, "jpeg")
    with TestClient(create_app(models_at_hand("nowhere"))) as large:
        answer = large.post("/predict", content=file.getvalue(), headers={"content-type": "image/jpeg"}).json()
    assert np.abs(np.array(answer["answers"][0]["box"]) - (1500, 400, 100, 1000)).max() <= 10


def test_a_run_answers_by_its_own_name_and_a_damaged_one_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(pretrained.find("sprint").folder, tmp_path / "runs" / 'my "run"'))
    shutil.copy(pretrained.find("dash-99").onnx, run / "sprint-int8.onnx")  # the page cannot do quantised ones
    damaged = Path(shutil.copytree(run, tmp_path / "runs" / "damaged"))
    for path in damaged.glob("*.onnx"):
        path.write_bytes(b"no model")
    shutil.copytree(run, tmp_path / "runs" / "gap-cnn-tuned")  # the package's own name stays its own
    with TestClient(create_app(models_at_hand(tmp_path / "runs"))) as client:
        names = [one["name"] for one in client.get("/models").json()]
        assert 'my "run"' in names and "damaged" not in names and "damaged" in caplog.text
        picture = next(PICTURES.glob("6_*.png")).read_bytes()
        answers = {
            name: client.post(
                "/predict", params={"model": name}, content=picture, headers={"content-type": "image/png"}
            ).json()
            for name in ('my "run"', "sprint", "gap-cnn-tuned")
        }
        assert all(answer["model"] == name for name, answer in answers.items())
        assert answers['my "run"']["answers"] == answers["sprint"]["answers"] != answers["gap-cnn-tuned"]["answers"]
        assert client.get("/networks/my%20%22run%22").json()["name"] == 'my "run"'
        images = {
            sample.labels["model"]: sample.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            if family.name == "tinydigits_images"
            for sample in family.samples
        }
    assert images == {'my "run"': 1, "sprint": 1, "gap-cnn-tuned": 1}


def test_metrics_are_what_prometheus_reads() -> None:
    with TestClient(create_app(models_at_hand("nowhere"))) as client:
        for _ in range(3):
            client.post("/predict", json=IMAGE)
        text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(text.text)}
    created = {f"{name}_created" for name in families}  # when each began, which the client adds
    assert {name: family.type for name, family in families.items() if name not in created} == {
        "tinydigits_requests": "counter", "tinydigits_images": "counter", "tinydigits_requests_under_way": "gauge",
        "tinydigits_request_seconds": "histogram",
    }  # fmt: skip
    assert all(family.documentation for family in families.values())
    seconds = families["tinydigits_request_seconds"].samples
    buckets = [sample.value for sample in seconds if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 3
    assert next(sample.value for sample in seconds if sample.name.endswith("_count")) == 3
    assert families["tinydigits_requests_under_way"].samples[0].value == 1  # the one that asks


def test_docs_name_every_path_and_load_nothing(client: TestClient) -> None:
    text = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in text
    assert "src=" not in text and "<script" not in text and "http" not in re.sub("http://127.0.0.1:8000", "", text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_docs_are_read_in_a_browser_that_reaches_nothing_else(scheme: str, client: TestClient, browser: Any) -> None:
    """The policy lets the style in, nothing is complained of, nothing else is asked for, and it fits a phone."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 360, "height": 700})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []

    def give(route: Any) -> None:
        asked.append(route.request.url)
        found = client.get(route.request.url.removeprefix("http://localhost"))
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.content)

    page.route("**", give)
    page.goto("http://localhost/docs")
    assert page.locator("h2").all_text_contents()[1:] == [
        "POST /predict", "GET /models", "GET /health", "GET /metrics",
    ]  # fmt: skip
    assert page.evaluate("getComputedStyle(document.querySelector('dl')).display") == "grid"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert asked == ["http://localhost/docs"] and complaints == []
    page.close()


def test_every_answer_has_the_headers_that_browsers_need(client: TestClient) -> None:
    for answer in (client.get("/"), client.post("/predict", json=IMAGE), client.get("/nowhere")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_metrics_count_requests_and_images() -> None:
    with TestClient(create_app(models_at_hand("nowhere"))) as client:
        client.post("/predict", json={"images": [IMAGE] * 3})
        client.post("/predict", json=7)
        client.get("/made/up")
        lines = client.get("/metrics").text.splitlines()
    assert 'tinydigits_requests_total{path="/predict",status="200"} 1.0' in lines
    assert 'tinydigits_requests_total{path="/predict",status="422"} 1.0' in lines
    assert 'tinydigits_requests_total{path="other",status="404"} 1.0' in lines
    assert 'tinydigits_images_total{model="gap-cnn-tuned"} 3.0' in lines
    assert "tinydigits_request_seconds_count 3.0" in lines
    assert 'tinydigits_request_seconds_bucket{le="+Inf"} 3.0' in lines


def test_more_requests_than_allowed_are_told_to_come_back() -> None:
    async def ask() -> list[int]:
        app = create_app(models_at_hand("nowhere"), Limits(requests=3))
        picture = next(PICTURES.glob("*_photo_*")).read_bytes()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"content-type": "image/jpeg"}
            answers = await asyncio.gather(
                *[client.post("/predict", content=picture, headers=headers) for _ in range(9)]
            )
        assert all("busy" in one.json()["detail"] for one in answers if one.status_code == 503)
        return sorted(one.status_code for one in answers)

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests has a loop running in this one
        codes = thread.submit(lambda: asyncio.run(ask())).result()
    assert codes.count(200) == 3 and codes.count(503) == 6


def test_a_name_from_elsewhere_is_turned_away_where_only_this_machine_may_ask() -> None:
    with TestClient(create_app(models_at_hand("nowhere"), hosts=("localhost", "127.0.0.1", "::1"))) as client:
        for name, status in (("localhost:8000", 200), ("[::1]:80", 200), ("evil.example", 421), ("", 421)):
            assert client.get("/health", headers={"host": name}).status_code == status
