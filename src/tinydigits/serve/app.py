"""The API: `POST /predict`, `GET /models`, `/health`, `/metrics`, `/docs`, and the page at `/`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from tinydigits.data.picture import find_digits, read_picture
from tinydigits.errors import TinydigitsError
from tinydigits.page import assemble, hash_of, network_of, policy
from tinydigits.prediction import Answer, Classifier
from tinydigits.serve.bodies import PREDICT, Bodies, images_of_json, many_of, read_files
from tinydigits.serve.docs import STYLE, describe
from tinydigits.serve.gate import Gate, Rate
from tinydigits.serve.limits import Limits
from tinydigits.serve.metrics import CONTENT_TYPE, Metrics

__all__ = ["create_app"]

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body cannot be read"},
    404: {"description": "No such model"},
    413: {"description": "Too many bytes, pixels or images"},
    415: {"description": "A body of another kind"},
    421: {"description": "Asked by a name that is not the service's"},
    422: {"description": "Not 784 whole numbers from 0 to 255, or no picture"},
    429: {"description": "Too many requests a second of this address"},
    503: {"description": "Too many requests at once"},
}
_ALWAYS: dict[int | str, dict[str, Any]] = {code: _ERRORS[code] for code in (421, 429)}
_LOG = logging.getLogger(__name__)
_HINT = "application/json, image/… or multipart/form-data"
_JSON_BYTES = 784 * 8  # of an image: "255," and some space
_QUICK = 16  # images that are answered sooner than a thread is found for them


def create_app(
    models: Mapping[str, Path], limits: Limits | None = None, *, hosts: Sequence[str] | None = None
) -> FastAPI:
    """The service over some exported models by name, the first of them the default.

    `hosts` are the names that it answers to beside addresses; None is any. Raises TinydigitsError where the default
    cannot be opened; another that cannot is left out, and the log says so.
    """
    bounds = limits or Limits()
    if not models:
        raise TinydigitsError("serve", "no exported model", hint="tinydigits export RUN onnx")
    opened: dict[str, Classifier] = {}
    for name, path in models.items():
        try:
            opened[name] = Classifier(path, name)
        except TinydigitsError as error:
            if not opened:
                raise
            _LOG.warning("left out: %s", error)
    default = next(iter(opened))
    metrics = Metrics()
    threads = asyncio.Semaphore(bounds.pictures_at_once)
    bodies = Bodies(bounds.bodies_bytes)
    answering = 0

    @contextmanager
    def turn() -> Iterator[None]:
        # Taken when the body is whole: who sends his slowly keeps nobody waiting.
        nonlocal answering
        if answering >= bounds.requests:
            raise HTTPException(503, f"busy: {bounds.requests} requests are under way; try again", {"retry-after": "1"})
        answering += 1
        try:
            yield
        finally:
            answering -= 1

    app = FastAPI(
        title="tinydigits", docs_url=None, redoc_url=None,
        description="Reads digits in pictures. Every error has its reason in `detail`.",
    )  # fmt: skip

    def classifier_of(name: str | None) -> Classifier:
        if name is not None and name not in opened:
            raise HTTPException(404, f"no model {name!r}; there are {', '.join(opened)}")
        return opened[name or default]

    async def read_numbers(body: bytes, classifier: Classifier) -> list[dict[str, Any]]:
        images_NHW = images_of_json(body, bounds.images)
        if len(images_NHW) <= _QUICK:
            rows = classifier.probabilities(images_NHW)
        else:
            async with threads:
                rows = await asyncio.to_thread(classifier.probabilities, images_NHW)
        return [_brief(classifier, row) for row in rows]

    async def read_pictures(
        request: Request, files: list[bytes], classifier: Classifier, many: bool
    ) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        pixels_left = bounds.pixels_of_request
        for number, file in enumerate(files):
            async with threads:
                if number and await request.is_disconnected():
                    break
                most = min(bounds.pixels, pixels_left)
                read_answers, num_pixels = await asyncio.to_thread(
                    _read, file, classifier, many, most, bounds.digits - len(answers)
                )
            pixels_left -= num_pixels
            answers += [{"picture": number, **answer} for answer in read_answers]
        return answers

    # The query is read and described by hand: the framework takes as long for it as the model for its answer.
    @app.post("/predict", openapi_extra=PREDICT, responses=_ERRORS, response_description="What was read")
    async def predict(request: Request) -> Response:
        """Read digits: a picture as the body, several in a form, or 28×28 grey levels as JSON.

        `answers` has one for each image of JSON. Of pictures it has what was found, each with `picture`, its number,
        and `box`; with `many`, each digit of each picture; none where there is no ink.
        """
        classifier = classifier_of(request.query_params.get("model"))
        many = many_of(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            async with bodies.read(request, min(bounds.body_bytes, bounds.images * _JSON_BYTES)) as body:
                with turn():
                    answers = await read_numbers(body, classifier)
        elif kind.startswith("image/") or kind in ("application/octet-stream", "multipart/form-data"):
            async with bodies.read(request, bounds.body_bytes) as body:
                with turn():
                    is_form = kind.startswith("multi")
                    files = await read_files(request, body, bounds.images) if is_form else [body]
                    answers = await read_pictures(request, files, classifier, many)
        else:
            raise HTTPException(415, f"got {kind or 'no content-type'}, expected {_HINT}")
        metrics.images.labels(classifier.name).inc(len(answers))
        return JSONResponse({"model": classifier.name, "answers": answers})

    @app.get("/models", responses=_ALWAYS, response_description="Name, classes, data, and which is the default")
    async def list_models() -> list[dict[str, Any]]:
        """The models to choose among."""
        return [
            {"name": name, "classes": opened_model.classes, "source": opened_model.source, "default": name == default}
            for name, opened_model in opened.items()
        ]

    @app.get("/health", responses=_ALWAYS, response_description="It does")
    async def health() -> dict[str, str]:
        """Whether the service answers."""
        return {"status": "ok", "model": default}

    @app.get("/metrics", response_class=PlainTextResponse, responses=_ALWAYS, response_description="The counters")
    async def show_metrics() -> Response:
        """Counters in Prometheus's text form."""
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE)

    @cache
    def form_of(name: str) -> Response:
        return JSONResponse(network_of(opened[name].path, name))

    @app.get("/networks/{name}", include_in_schema=False)
    async def network(name: str) -> Response:
        classifier_of(name)
        return form_of(name)

    page = assemble([{"name": name, "address": f"networks/{name}"} for name in opened])

    @app.get("/", include_in_schema=False)
    async def draw() -> Response:
        return HTMLResponse(page, headers=_policy(policy()))

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        answers = await read_pictures(request, [_stroke()], opened[default], False)
        text = describe(app.openapi(), {"model": default, "answers": answers})
        return HTMLResponse(text, headers=_policy(f"default-src 'none'; img-src data:; style-src '{hash_of(STYLE)}'"))

    @app.exception_handler(TinydigitsError)
    async def explain(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, status_code=422)

    paths = ("/", "/predict", "/models", "/health", "/metrics", "/docs", "/openapi.json")
    rate = Rate(bounds.requests_a_second) if bounds.requests_a_second else None
    app.add_middleware(Gate, metrics=metrics, paths=paths, rate=rate, hosts=hosts)
    return app


def _stroke() -> bytes:
    """A picture for the example: a straight stroke on paper."""
    import io

    from PIL import Image

    file, picture = io.BytesIO(), Image.new("L", (60, 90), 255)
    picture.paste(0, (28, 15, 34, 75))
    picture.save(file, "png")
    return file.getvalue()


def _policy(text: str) -> dict[str, str]:
    return {"content-security-policy": f"{text}; frame-ancestors 'none'"}


def _read(
    file: bytes, classifier: Classifier, many: bool, max_pixels: int, max_digits: int
) -> tuple[list[dict[str, Any]], int]:
    picture = read_picture(file, max_pixels=max_pixels)
    num_pixels = picture.pixels_HW4.shape[0] * picture.pixels_HW4.shape[1]
    digits = find_digits(picture.pixels_HW4, many=many, max_digits=max_digits)
    if not digits:
        return [], num_pixels
    rows = classifier.probabilities(np.stack([digit.image_HW for digit in digits]))
    answers = [
        {**_brief(classifier, row), "box": list(picture.in_file(digit.box))}
        for digit, row in zip(digits, rows, strict=True)
    ]
    return answers, num_pixels


def _brief(classifier: Classifier, probability_K: np.ndarray) -> dict[str, Any]:
    """An answer as `tinydigits predict --json` has it, without a file's name and a box."""
    answer = Answer("", classifier.classes, probability_K, (0, 0, 28, 28), np.empty(0), classifier.unsure_below)
    return {key: value for key, value in answer.as_dict().items() if key not in ("source", "box")}
