"""The golden set: Python and JavaScript see the same 28×28 in a picture, and give it the same probabilities."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Mnist
from tinydigits import models, pretrained
from tinydigits.data.picture import find_digits, read_picture
from tinydigits.page import assemble, network_of
from tinydigits.prediction import Classifier

PICTURES = sorted((Path(__file__).parents[2] / "pictures").iterdir())
DECODE = "const rgba = Uint8Array.from(atob(one.rgba), (letter) => letter.charCodeAt(0));"
SEE = f"return given.map((one) => {{ {DECODE} const seen = picture.see(rgba, one.width, one.height);"
SEE += " return seen && Array.from(seen); });"
ASK = "const model = network.load(given.form); return given.images.map((image) => model.ask(image).probabilities);"


def golden() -> list[np.ndarray]:
    """The test pictures, and what they leave out: tiny, empty, one line, noise, a frame, a photograph's size."""
    rng = np.random.default_rng(3)
    noise_HW4 = rng.integers(0, 256, (90, 70, 4)).astype(np.uint8)
    blank_HW4 = np.full((40, 30, 4), 255, np.uint8)
    line_HW4 = np.full((1, 200, 4), 255, np.uint8)
    line_HW4[0, 90:100, :3] = 10
    frame_HW4 = np.full((60, 60, 4), 230, np.uint8)
    frame_HW4[:5] = frame_HW4[:, :5] = (10, 20, 30, 255)
    frame_HW4[20:50, 28:33, :3] = 20
    large_HW4 = read_picture(PICTURES[40]).pixels_HW4.repeat(3, axis=0).repeat(2, axis=1)
    tiny_HW4 = next(read_picture(path).pixels_HW4 for path in PICTURES if "_tiny_" in path.name)
    strip_HW4 = np.pad(tiny_HW4, ((0, 0), (900, 1200), (0, 0)), mode="edge")
    dot_HW4 = np.array([[[0, 0, 0, 255]]], np.uint8)
    ghost_HW4 = np.full((50, 50, 4), 90, np.uint8)
    ghost_HW4[:, :, 3] = rng.integers(0, 2, (50, 50)) * 200
    return [
        *(read_picture(path).pixels_HW4 for path in PICTURES), noise_HW4, blank_HW4, line_HW4, frame_HW4, large_HW4,
        strip_HW4, dot_HW4, ghost_HW4, blank_HW4 * 0,
    ]  # fmt: skip


def as_json(pictures: list[np.ndarray]) -> list[dict[str, Any]]:
    return [
        {
            "rgba": base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode(),
            "width": picture.shape[1],
            "height": picture.shape[0],
        }
        for picture in pictures
    ]


def assert_seen_alike(given: list[Any], pictures: list[np.ndarray]) -> None:
    num_seen = 0
    for seen, picture in zip(given, pictures, strict=True):
        digits = find_digits(picture)
        assert (seen is not None) == bool(digits)
        if digits:
            num_seen += 1
            assert np.abs(np.array(seen) - digits[0].image_HW.ravel().astype(int)).max() <= 1
    assert num_seen >= len(PICTURES)


@pytest.mark.parametrize("name", pretrained.names())
def test_the_page_and_predict_warn_below_the_same_probability(name: str, node: Any) -> None:
    form = network_of(pretrained.find(name).onnx, name)
    below = node("return network.load(given).unsureBelow;", form)
    assert below == Classifier(pretrained.find(name).onnx).unsure_below and 0.3 < below < 1


def test_node_sees_what_python_sees(node: Any) -> None:
    pictures = golden()
    assert_seen_alike(node(SEE, as_json(pictures)), pictures)


def test_chromium_sees_and_answers_what_python_does(browser: Any, tmp_path: Path) -> None:
    name = "gap-cnn-tuned"
    form = network_of(pretrained.find(name).onnx, name)
    (tmp_path / "page.html").write_text(assemble([form]))
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    pictures = golden()[::4]
    digits = [find_digits(picture)[:1] for picture in pictures]
    seen = page.evaluate(f"(given) => {{ {SEE} }}", as_json(pictures))
    for one, found in zip(seen, digits, strict=True):
        assert (one is not None) == bool(found)
        assert not found or np.abs(np.array(one) - found[0].image_HW.ravel().astype(int)).max() <= 1
    images_NHW = np.stack([found[0].image_HW for found in digits if found])
    given = {"form": form, "images": images_NHW.reshape(-1, 784).tolist()}
    answers = page.evaluate(f"(given) => {{ {ASK} }}", given)
    expected_NK = Classifier(pretrained.find(name).onnx).probabilities(images_NHW)
    assert np.abs(np.array(answers) - expected_NK).max() <= 1e-4
    page.close()


@pytest.mark.parametrize("name", [*models.names(), *pretrained.names()])
def test_node_answers_as_onnxruntime_for_every_model(
    name: str, node: Any, onnx_files: dict[str, Path], mnist: Mnist
) -> None:
    path = onnx_files[name] if name in onnx_files else pretrained.find(name).onnx
    images_NHW = mnist.train.images_NHW[:10]
    given = {"form": network_of(path, name), "images": images_NHW.reshape(-1, 784).tolist()}
    answers = np.array(node(ASK, given))
    assert np.abs(answers - Classifier(path).probabilities(images_NHW)).max() <= 1e-4
    assert answers.std() > 1e-3  # the answers say something
