"""Readers given anything.

Hypothesis makes files that are nearly right, and bytes and trees that are not, for each reader of a stranger's files:
IDX (plain and gzipped), recipes and contracts as TOML, records and verdicts as JSON, pictures. Held: the reader gives
an answer of the right kind, or raises TinydigitsError; anything else is a hole. `make fuzz` runs this, a workflow does
each night.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from benchmarks.reliability import Row

ORDER = 6
CASES = 20_000
_ROOT = Path(__file__).parents[2]


def edited(whole: bytes) -> SearchStrategy[bytes]:
    """A file with some places overwritten, and perhaps its end cut off or something after it."""
    edit = st.tuples(st.integers(0, len(whole)), st.binary(max_size=8))

    def apply(edits: list[tuple[int, bytes]], end: int, more: bytes) -> bytes:
        content = bytearray(whole)
        for at, new in edits:
            content[at : at + len(new)] = new
        return bytes(content[:end]) + more

    ends = st.just(len(whole)) | st.integers(0, len(whole))
    return st.builds(apply, st.lists(edit, max_size=5), ends, st.just(b"") | st.binary(max_size=20))


# Whole numbers of every size, floats with their edges, words and no words at all.
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["gap-cnn", "sgd", "digits", "mnist", "affine", "constant", "test", "logits", "-1", "1e999"])
)  # fmt: skip


def changed(tree: dict[str, Any], *, nones: bool) -> SearchStrategy[dict[str, Any]]:
    """A tree with some of its values, however deep, put in place of others, taken away or added."""
    places = [*_places(tree)]
    leaves = _LEAVES if nones else _LEAVES.filter(lambda value: value is not None)
    values = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    change = st.tuples(st.sampled_from(places), st.just("take away") | st.just("put"), values)

    def apply(changes: list[tuple[tuple[str, ...], str, Any]]) -> dict[str, Any]:
        copy = json.loads(json.dumps(tree))
        for (*path, last), what, value in changes:
            branch = copy
            for part in path:
                branch = branch.get(part) if isinstance(branch, dict) else None
            if isinstance(branch, dict):
                branch.pop(last, None) if what == "take away" else branch.__setitem__(last, value)
        return copy

    return st.builds(apply, st.lists(change, max_size=4))


def _places(tree: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("unknown",)
    for key, value in tree.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *place) for place in _places(value))


def _toml(tree: dict[str, Any]) -> bytes:
    import tomli_w

    return tomli_w.dumps(tree).encode("utf-8", errors="surrogatepass")


# What each reader is given, and what reads it.


def idx_files() -> SearchStrategy[bytes]:
    """IDX of images, whole and edited, plain and gzipped."""
    from tinydigits.data import idx

    whole = idx.encode(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    packed = gzip.compress(whole, mtime=0)
    sizes = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5), min_size=3, max_size=3)
    headers = sizes.map(lambda found: b"\0\0\x08\x03" + np.array(found, ">u4").tobytes() + bytes(24))
    plain = edited(whole) | headers | st.binary(max_size=60)
    return plain | plain.map(lambda content: gzip.compress(content, 1, mtime=0)) | edited(packed)


def read_idx(content: bytes, folder: Path) -> None:
    """Read images, and the same file as labels."""
    from tinydigits.data import idx
    from tinydigits.errors import TinydigitsError

    path = folder / "file"
    path.write_bytes(content)
    try:
        assert idx.read(path, num_dims=1).ndim == 1
    except TinydigitsError:
        assert idx.read(path, num_dims=3).ndim == 3


def recipes() -> SearchStrategy[bytes]:
    """A shipped recipe, its text edited or its tree changed."""
    import tomllib

    text = (_ROOT / "src/tinydigits/recipes/se-resnet-tuned.toml").read_bytes()
    return edited(text) | changed(tomllib.loads(text.decode()), nones=False).map(_toml)


def read_recipe(content: bytes, folder: Path) -> None:
    """Load a recipe's file, and write it back as it was read."""
    from tinydigits import recipe

    path = folder / "recipe.toml"
    path.write_bytes(content)
    found = recipe.load(path)
    recipe.to_toml(found)


def contracts() -> SearchStrategy[bytes]:
    """A shipped contract, its text edited or its tree changed."""
    import tomllib

    text = (_ROOT / "src/tinydigits/contracts/under-8k-994.toml").read_bytes()
    return edited(text) | changed(tomllib.loads(text.decode()), nones=False).map(_toml)


def read_contract(content: bytes, folder: Path) -> None:
    """Load a contract's file and bind its limits to the checks that there are."""
    from tinydigits import checks, contract

    path = folder / "contract.toml"
    path.write_bytes(content)
    checks.bind(contract.load(path))


def records() -> SearchStrategy[bytes]:
    """A shipped record, its text edited or its tree changed."""
    text = (_ROOT / "src/tinydigits/pretrained/sprint/record.json").read_bytes()
    return edited(text) | changed(json.loads(text), nones=True).map(lambda tree: json.dumps(tree).encode())


def read_record(content: bytes, folder: Path) -> None:
    """Open the run that has this record."""
    from tinydigits.run import open_run

    (folder / "record.json").write_bytes(content)
    assert open_run(folder).record.format <= 1


def verdicts() -> SearchStrategy[bytes]:
    """A shipped verdict, its text edited or its tree changed."""
    text = (_ROOT / "src/tinydigits/pretrained/sprint/verdict.json").read_bytes()
    tree = json.loads(text)
    tree["findings"] = {str(number): finding for number, finding in enumerate(tree["findings"])}  # places to change

    def as_list(changed_tree: dict[str, Any]) -> bytes:
        findings = changed_tree.get("findings")
        listed = {"findings": [*findings.values()]} if isinstance(findings, dict) else {}
        return json.dumps(changed_tree | listed).encode()

    return edited(text) | changed(tree, nones=True).map(as_list)


def read_verdict(content: bytes, folder: Path) -> None:
    """Load a verdict, write it again, and render it in every format."""
    from tinydigits import verdict
    from tinydigits.report import formats, render

    (folder / "verdict.json").write_bytes(content)
    document = verdict.load(folder / "verdict.json")
    assert verdict.Verdict.model_validate_json(document.to_json()).word == document.word
    for name in formats():
        render(name, document, document)


@cache
def _picture(kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.tile(np.arange(0, 240, 20, dtype=np.uint8), (9, 1))).convert("RGB").save(file, kind)
    return file.getvalue()


def pictures() -> SearchStrategy[bytes]:
    """A small picture of each format, edited, or bytes that are none."""
    kinds = ["png", "jpeg", "webp", "gif", "bmp", "tiff", "ppm"]
    return st.one_of([edited(_picture(kind)) for kind in kinds]) | st.binary(max_size=60)


def read_picture(content: bytes, folder: Path) -> None:
    """From a file's bytes to the digits of the picture, as `predict` and the service do."""
    from tinydigits.data import picture

    pixels_HW4 = picture.read_picture(content, max_pixels=1_000_000).pixels_HW4
    for digit in picture.find_digits(pixels_HW4, many=True):
        assert digit.image_HW.shape == (28, 28)


READERS: dict[str, tuple[Callable[[], SearchStrategy[bytes]], Callable[[bytes, Path], None]]] = {
    "the IDX reader": (idx_files, read_idx),
    "the recipe loader": (recipes, read_recipe),
    "the contract loader": (contracts, read_contract),
    "the record reader": (records, read_record),
    "the verdict reader": (verdicts, read_verdict),
    "the image path": (pictures, read_picture),
}


def feed(name: str, cases: int, *, derandomize: bool = False) -> tuple[int, int]:
    """Give a reader so many files; how many were tried, and how many of them it read.

    Raises what the reader raised where it is no TinydigitsError.
    """
    from tinydigits.errors import TinydigitsError

    files, read = READERS[name]
    tried = accepted = 0

    with tempfile.TemporaryDirectory(prefix="tinydigits-") as folder:

        @settings(
            max_examples=cases, deadline=None, database=None, derandomize=derandomize,
            phases=[Phase.explicit, Phase.generate, Phase.shrink], suppress_health_check=[*HealthCheck],
        )  # fmt: skip
        @given(files())
        def give(content: bytes) -> None:
            nonlocal tried, accepted
            tried += 1
            try:
                read(content, Path(folder))
            except TinydigitsError:
                return
            accepted += 1

        give()
    return tried, accepted


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """As many files for each reader."""
    for name in READERS:
        fault = f"files for {name}"
        if fault not in done:
            tried, accepted = feed(name, cases or CASES)
            yield Row(fault, tried, tried, f"{accepted:,} of them read, the others refused")
