"""The page in Chromium: draw with mouse, touch and pen, read the answer, undo, clear, open from disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from benchmarks.pictures.strokes import HANDS, curve
from tinydigits import exports, pretrained
from tinydigits.errors import TinydigitsError
from tinydigits.page import assemble, network_of
from tinydigits.run import Run

NAME = "gap-cnn-tuned"


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The html export of a trained model."""
    folder = tmp_path_factory.mktemp("html")
    run = Run(Path(shutil.copytree(pretrained.find(NAME).folder, folder / "run")))
    return exports.export(exports.of_run(run), "html", folder).path


@pytest.fixture
def page(browser: Any, html: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1000, "height": 800}, has_touch=True)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(html.as_uri())
    yield page
    assert page.complaints == []
    context.close()


def strokes_of(digit: int, page: Any) -> list[np.ndarray]:
    """A digit's recorded strokes in the page's coordinates."""
    box = page.locator("#pad").bounding_box()
    corner, size = np.array([box["x"], box["y"]]), np.array([box["width"], box["height"]])
    return [corner + size * ((curve(points, 6) - (0.5, 0.7)) / 1.4 * 0.6 + 0.5) for points in HANDS["right"][digit][0]]


def draw_by_mouse(digit: int, page: Any) -> None:
    for points in strokes_of(digit, page):
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def draw_by_touch(digit: int, page: Any) -> None:
    """Touches as the browser gets them from a screen, not made by script."""
    session = page.context.new_cdp_session(page)
    for points in strokes_of(digit, page):
        for kind, point in [("touchStart", points[0]), *(("touchMove", point) for point in points[1:])]:
            touch = {"x": float(point[0]), "y": float(point[1])}
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [touch]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def draw_by_pen(digit: int, page: Any) -> None:
    """A pen that is pressed harder as it goes."""
    session = page.context.new_cdp_session(page)
    for points in strokes_of(digit, page):
        for index, point in enumerate(points):
            kind = "mouseMoved" if index else "mousePressed"
            event = {"type": kind, "x": float(point[0]), "y": float(point[1]), "button": "left", "buttons": 1}
            force = 0.2 + 0.6 * index / len(points)
            session.send("Input.dispatchMouseEvent", {**event, "pointerType": "pen", "force": force, "clickCount": 1})
        event = {"type": "mouseReleased", "x": float(points[-1][0]), "y": float(points[-1][1]), "button": "left"}
        session.send("Input.dispatchMouseEvent", {**event, "pointerType": "pen", "clickCount": 1})


def answer(page: Any) -> Any:
    """The answer shown, to be awaited: the page reads a drawing at its next frame."""
    return expect(page.locator("#digit"))


@pytest.mark.parametrize("draw", [draw_by_mouse, draw_by_touch, draw_by_pen])
def test_each_digit_that_is_drawn_is_read(draw: Any, page: Any) -> None:
    for digit in range(10):
        draw(digit, page)
        answer(page).to_have_text(str(digit))
        page.keyboard.press("Escape")
        answer(page).to_have_text("–")


def test_the_answer_follows_while_drawing(page: Any) -> None:
    [points] = strokes_of(2, page)
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1 : len(points) // 2]:
        page.mouse.move(*point)
    answer(page).not_to_have_text("–")
    for point in points[len(points) // 2 :]:
        page.mouse.move(*point)
    answer(page).to_have_text("2")
    page.mouse.up()
    texts = page.locator("#bars .percent").all_text_contents()
    assert "< 0.1 %" in texts and not {"0.0 %", "100.0 %"} & {*texts}  # which no softmax gives
    shares = [float(text.split()[-2]) for text in texts]
    assert abs(sum(shares) - 100) < 1 and shares.index(max(shares)) == 2
    expect(page.locator("#time")).to_contain_text("ms")
    assert page.evaluate("() => document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data.some("
                         "(value, index) => index % 4 < 3 && value > 200)")  # fmt: skip


def test_undo_takes_one_stroke_back_by_button_and_by_keyboard(page: Any) -> None:
    draw_by_mouse(4, page)
    answer(page).to_have_text("4")
    with_both = page.evaluate("() => document.getElementById('pad').toDataURL()")
    page.keyboard.press("Control+z")
    answer(page).not_to_have_text("4")
    page.click("#undo")
    answer(page).to_have_text("–")
    expect(page.locator("#undo")).to_be_disabled()
    draw_by_mouse(4, page)
    answer(page).to_have_text("4")
    assert page.evaluate("() => document.getElementById('pad').toDataURL()") == with_both
    page.click("#clear")
    answer(page).to_have_text("–")


def test_a_digit_is_drawn_by_the_keys_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("#pad")).to_be_focused()
    for key, times in (("ArrowUp", 12), ("ArrowLeft", 6), (" ", 1), ("ArrowRight", 12), ("ArrowDown", 26), (" ", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    answer(page).to_have_text("7")
    with_ring = page.evaluate("() => document.getElementById('pad').toDataURL()")
    page.keyboard.press("ArrowLeft")  # lifted, it draws nothing, but is seen to move
    answer(page).to_have_text("7")
    assert page.evaluate("() => document.getElementById('pad').toDataURL()") != with_ring
    page.keyboard.press("Control+z")
    answer(page).to_have_text("–")
    expect(page.locator("#undo")).to_be_disabled()


def test_the_keys_scroll_no_page_and_leave_the_browsers_own_alone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 400})
    page.locator("#pad").focus()
    top = page.evaluate("scrollY")
    for key in ("ArrowDown", " ", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("scrollY") == top
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # the pad holds nobody
    expect(page.locator("#pad")).not_to_be_focused()


def test_a_finger_does_not_scroll_the_page_and_a_second_one_draws_nothing(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    draw_by_touch(1, page)
    assert page.evaluate("scrollY") == 0
    answer(page).to_have_text("1")


def test_a_picture_from_disk_is_read(page: Any) -> None:
    pictures = Path(__file__).parents[2] / "pictures"
    for path in (next(pictures.glob("6_photo_*")), next(pictures.glob("7_*"))):
        page.set_input_files("#file", path)
        expect(page.locator("#digit")).to_have_text(path.name[0])


def test_a_picture_is_dropped_onto_the_page(page: Any) -> None:
    path = next((Path(__file__).parents[2] / "pictures").glob("4_photo_*"))
    page.evaluate(
        """([bytes, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], name));
            for (const kind of ["dragover", "drop"]) {
                const event = new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
                if (document.body.dispatchEvent(event)) throw new Error("the browser would open the file itself");
            }
        }""",
        [list(path.read_bytes()), path.name],
    )
    answer(page).to_have_text("4")


def test_feature_maps_show_each_layer(page: Any) -> None:
    page.click("summary")
    expect(page.locator("#maps")).to_contain_text("Draw something")
    draw_by_mouse(3, page)
    expect(page.locator("#maps canvas")).to_have_count(8)
    expect(page.locator("#maps section").first).to_contain_text("4 maps of 28 × 28")


def test_it_can_be_read_aloud_and_reached_by_keyboard(page: Any) -> None:
    draw_by_mouse(5, page)
    expect(page.locator("#spoken")).to_contain_text("5, ")
    unnamed = page.evaluate("""() => [...document.querySelectorAll('button, select, input, canvas')].filter((one) =>
        !(one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length))).length""")
    assert unnamed == 0
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"pad", "undo", "clear", "file", "SUMMARY"} <= reached


CONTRASTS = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
    const ground = (one) => {
        for (; one; one = one.parentElement) {
            const color = parse(getComputedStyle(one).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
    };
    const texts = 'h1, h1 b, button, .button, #digit, #sure, #bars li, .percent, figcaption *, summary, footer';
    const contrast = (...colors) => {
        const sides = colors.map(light).sort((x, y) => y - x);
        return (sides[0] + 0.05) / (sides[1] + 0.05);
    };
    const frame = document.querySelector('.frame'), edge = parse(getComputedStyle(frame).borderTopColor);
    return [
        ['the edge of the drawing area', contrast(edge, ground(frame.parentElement)) * 4.5 / 3],
        ...[...document.querySelectorAll(texts)].filter((one) => one.textContent.trim()).map((one) =>
            [one.id || one.className || one.tagName, contrast(parse(getComputedStyle(one).color), ground(one))]),
    ];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str, browser: Any, html: Path) -> None:
    """WCAG's contrast of 4.5 for every text, and of 3 for the edge of what is drawn on, in light and in dark."""
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(html.as_uri())
    draw_by_mouse(8, page)
    answer(page).to_have_text("8")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert [found for found in contrasts if found[1] < 4.5] == []
    assert page.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
    context.close()


def test_the_export_is_one_small_file_that_asks_for_nothing(html: Path) -> None:
    text = html.read_text()
    assert html.stat().st_size < 200_000
    assert (
        "default-src 'none'" in text and '<link rel="stylesheet"' not in text and "src=" not in text.split("<script")[0]
    )


def test_no_name_ends_the_script_that_it_stands_in() -> None:
    models = [{"name": "</script><script>alert(1)</script>", "classes": ["{{script}}", "{{style}}", "<!--"]}]
    text = assemble(models)
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert found is not None and json.loads(found[1]) == models and "<script>alert" not in text


def test_a_choice_of_models_is_loaded_when_it_is_made(browser: Any, tmp_path: Path) -> None:
    form = network_of(pretrained.find(NAME).onnx, "one")
    (tmp_path / "page.html").write_text(assemble([form, {**form, "name": "two</script>"}]))
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("#model option").all_text_contents() == ["one", "two</script>"]
    page.select_option("#model", index=1)
    draw_by_mouse(7, page)
    answer(page).to_have_text("7")
    page.close()


def test_a_model_that_cannot_be_loaded_is_named_with_its_reason_and_the_last_one_goes_on(
    browser: Any, tmp_path: Path
) -> None:
    form = network_of(pretrained.find(NAME).onnx, "one")
    (tmp_path / "page.html").write_text(assemble([form, {**form, "name": "odd", "nodes": [], "weights": "?"}]))
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    draw_by_mouse(7, page)
    answer(page).to_have_text("7")
    page.select_option("#model", label="odd")
    expect(page.locator("#sure")).to_contain_text("odd cannot be used")
    expect(page.locator("#model")).to_have_value("0")
    answer(page).to_have_text("7")
    page.close()


def test_of_two_models_chosen_in_haste_the_last_one_answers(browser: Any) -> None:
    """However long the first one takes to come."""
    forms = {name: network_of(pretrained.find(name).onnx, name) for name in pretrained.names()[:3]}
    _, slow, last = forms
    page = browser.new_page()
    held: list[Any] = []

    def give(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == slow:
            held.append(route)
        elif name in forms:
            route.fulfill(json=forms[name])
        else:
            text = assemble([{"name": name, "address": f"networks/{name}"} for name in forms])
            route.fulfill(body=text, content_type="text/html")

    page.route("http://page.test/**", give)
    page.goto("http://page.test/")
    draw_by_mouse(3, page)
    answer(page).to_have_text("3")
    page.select_option("#model", label=slow)
    with page.expect_response(f"**/{last}"):
        page.select_option("#model", label=last)
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    shares = page.locator("#bars .percent")
    texts = shares.all_text_contents()
    with page.expect_response(f"**/{slow}"):
        held[0].fulfill(json=forms[slow])
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert shares.all_text_contents() == texts
    expect(page.locator("#model")).to_have_value("2")
    page.close()


@pytest.mark.parametrize("width", [1000, 360])
def test_classes_with_long_names_have_room(width: int, browser: Any, tmp_path: Path) -> None:
    form = network_of(pretrained.find(NAME).onnx, "clothes")
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    (tmp_path / "page.html").write_text(assemble([{**form, "classes": names}]))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((tmp_path / "page.html").as_uri())
    expect(page.locator("header")).to_contain_text("Model clothes")
    draw_by_mouse(0, page)
    answer(page).to_have_text("T-shirt/top")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    parts = page.evaluate("""() => [...document.querySelectorAll('#bars li')].map((row) =>
        [...row.children].flatMap((part) =>
            [part.getBoundingClientRect().left, part.scrollWidth - part.clientWidth]))""")
    assert len({tuple(part[::2]) for part in parts}) == 1  # names, bars and shares stand in columns
    assert [part for part in parts if max(part[1::2]) > 1] == []
    page.close()


def test_an_operation_that_the_page_does_not_have_is_named(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Softsign", ["images"], ["logits"])], "one",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    model = helper.make_model(graph)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(TinydigitsError, match="Softsign"):
        network_of(tmp_path / "odd.onnx", "odd")
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(TinydigitsError, match="not a readable ONNX file"):
        network_of(tmp_path / "no.onnx", "no")
