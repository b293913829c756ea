"""Files that a stranger may send: pickles that run code, archives that climb out, headers that lie, bombs.

Each is made in a folder of its own, from parts that any attacker has. `canary` is the file whose being there afterwards
says that code was run, or that something was written outside of the folder.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability import _hostile_graphs

__all__ = ["CASES", "Case"]

_PACKAGE = Path(__file__).parents[2] / "src" / "tinydigits"
Case = tuple[str, list[str], Callable[[Path, Path], None]]
"""What it is, the command that is given it (in the folder), and what makes the files: make(folder, canary)."""

CASES: list[Case] = []


def _add(name: str, commands: list[str], make: Callable[[Path, Path], None]) -> None:
    CASES.extend((f"{name}: {command}", command.split(), make) for command in commands)


# Pickles that call something.


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _payloads(canary: Path) -> dict[str, Any]:
    touch = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": _Calls(os.system, f"touch '{canary}'"),
        "exec": _Calls(exec, touch),
        "eval": _Calls(eval, touch),
        "Path.touch": _Calls(Path.touch, canary),
        "a call in a state dict": {"model_state_dict": {"w": _Calls(Path.touch, canary)}},
        "a call as a key": {_Hashable(Path.touch, canary): 1},
    }


class _Hashable(_Calls):
    pass


_PAYLOADS = ("os.system", "exec", "eval", "Path.touch", "a call in a state dict", "a call as a key")


def _torch_file(payload: str, file: str, zipped: bool = True) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        import torch

        torch.save(_payloads(canary)[payload], folder / file, _use_new_zipfile_serialization=zipped)

    return make


for payload in _PAYLOADS:
    _add(f"a .pt that calls, by {payload}", ["verify w.pt"], _torch_file(payload, "w.pt"))
    _add(f"a .pth of the old form that calls, by {payload}", ["verify two-conv --contract under-25k --weights w.pth"],
         _torch_file(payload, "w.pth", zipped=False))  # fmt: skip


def _plain_pickle(file: str) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        (folder / file).write_bytes(pickle.dumps(_Calls(Path.touch, canary)))

    return make


for file in ("w.pt", "w.pth", "w.safetensors", "w.pt2", "w.onnx"):
    _add(f"a plain pickle called {file}", [f"verify {file} --contract under-25k"], _plain_pickle(file))


# A run's folder, whole but for one file.


@cache
def _shipped() -> Path:
    return _PACKAGE / "pretrained" / "sprint"


def _run(folder: Path) -> Path:
    run = folder / "run"
    shutil.copytree(_shipped(), run)
    return run


def _in_run(file: str, content: Callable[[Path], bytes], status: str = "finished") -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        run = _run(folder)
        if status != "finished":
            record = json.loads((run / "record.json").read_text(encoding="utf-8"))
            (run / "record.json").write_text(json.dumps(record | {"status": status}), encoding="utf-8")
        (run / file).write_bytes(content(canary))

    return make


def _saved(payload: str) -> Callable[[Path], bytes]:
    def content(canary: Path) -> bytes:
        import torch

        file = io.BytesIO()
        torch.save(_payloads(canary)[payload], file)
        return file.getvalue()

    return content


for payload in _PAYLOADS[:4]:
    _add(f"a checkpoint that calls, by {payload}", ["train --resume run"],
         _in_run("checkpoint.pt", _saved(payload), "interrupted"))  # fmt: skip
_add("a checkpoint that calls", ["export run pth"], _in_run("checkpoint.pt", _saved("exec")))
_add(
    "a checkpoint that is a bomb",
    ["train --resume run"],
    _in_run("checkpoint.pt", lambda _: _bomb_of("archive/data.pkl"), "interrupted"),
)


def _objects(canary: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, mistakes_images=np.array([_Calls(Path.touch, canary)], dtype=object))
    return file.getvalue()


_add("samples.npz of pickled objects", ["report run"], _in_run("samples.npz", _objects))


def _zip_bomb(name: str = "archive/data.pkl", num_bytes: int = 1 << 29) -> bytes:
    """512 MiB of zeros in 2 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(name, "w", force_zip64=True) as part:
            for _ in range(num_bytes >> 24):
                part.write(bytes(1 << 24))
        archive.writestr("archive/version", "3")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


@cache
def _bomb_of(name: str) -> bytes:
    return _zip_bomb(name)


def _bytes(file: str, content: Callable[[], bytes]) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        (folder / file).write_bytes(content())

    return make


_add("samples.npz that is a bomb", ["report run"], _in_run("samples.npz", lambda _: _npz_bomb()))
_add("a zip bomb", ["verify w.pt"], _bytes("w.pt", lambda: _bomb_of("archive/data.pkl")))
_add(
    "a zip bomb", ["verify w.pt2 --contract under-25k"], _bytes("w.pt2", lambda: _bomb_of("archive/models/model.json"))
)
_add("a zip bomb", ["verify w.pt2 --contract under-25k"], _bytes("w.pt2", lambda: _bomb_of("archive/archive_format")))


def _npz_bomb() -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("augmented_images.npy", "w", force_zip64=True) as part,
    ):
        np.lib.format.write_array_header_1_0(part, {"descr": "|u1", "fortran_order": False, "shape": (1 << 29,)})  # type: ignore[no-untyped-call]
        for _ in range(32):
            part.write(bytes(1 << 24))
    return file.getvalue()


# Archives of torch.export.


@cache
def _pt2() -> bytes:
    import torch

    program = torch.export.export(torch.nn.Flatten().eval(), (torch.zeros(2, 1, 28, 28),))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def _pt2_with(name: str, content: Callable[[Path], bytes], replaced: str = "") -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(_pt2())) as old, zipfile.ZipFile(folder / "w.pt2", "w") as new:
            root = old.namelist()[0].partition("/")[0]
            for entry in old.namelist():
                if not (replaced and replaced in entry):
                    new.writestr(entry, old.read(entry))
            new.writestr(name.format(root=root, canary=canary), content(canary))

    return make


def _graph(content: Callable[[Path], bytes]) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        (folder / "w.pt2").write_bytes(content(canary))

    return make


for place in ("data/aotinductor/model/a.so", "data/constants/custom_obj_0", "data/constants/opaque_obj_0"):
    _add(f"code at {place}", ["verify w.pt2 --contract under-25k"], _pt2_with(f"{{root}}/{place}", _saved("exec")))
for place in ("../canary", "{root}/../../canary", "{canary}", "{root}/data/weights/../../../../canary"):
    _add(f"a path that climbs out, {place}", ["verify w.pt2 --contract under-25k"], _pt2_with(place, lambda _: b"out"))
_add("sample inputs that call", ["verify w.pt2 --contract under-25k"],
     _pt2_with("{root}/data/sample_inputs/model.pt", _saved("exec"), "sample_inputs"))  # fmt: skip
_add("a graph that is no JSON", ["verify w.pt2 --contract under-25k"],
     _pt2_with("{root}/models/model.json", lambda _: b"[" * 100_000, "models/model.json"))  # fmt: skip
for name, make_graph in _hostile_graphs.PT2.items():
    _add(f"a .pt2 with {name}", ["verify w.pt2 --contract under-25k"], _graph(make_graph))


# ONNX.


def _onnx(**changes: Any) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        import onnx

        model = onnx.load(_shipped() / "sprint.onnx")
        if "location" in changes:
            secret = folder.parent / "secret"
            secret.write_bytes(bytes(1 << 20))
            weights = model.graph.initializer[0]
            weights.ClearField("raw_data")
            weights.ClearField("float_data")
            weights.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (
                ("location", changes["location"].format(secret=secret)),
                ("offset", "0"),
                ("length", ""),
            ):
                if value:
                    weights.external_data.add(key=key, value=value)
        if "dims" in changes:
            weights = model.graph.initializer[0]
            del weights.dims[:]
            weights.dims.extend(changes["dims"])
        if "input" in changes:
            for place, size in zip(model.graph.input[0].type.tensor_type.shape.dim, changes["input"], strict=True):
                place.dim_value = size
        if "domain" in changes:
            model.graph.node[0].domain = changes["domain"]
            model.opset_import.add(domain=changes["domain"], version=1)
        if "card" in changes:
            for entry in model.metadata_props:
                if entry.key == "tinydigits":
                    entry.value = changes["card"](entry.value)
        (folder / "w.onnx").write_bytes(model.SerializeToString())

    return make


_ASKS = ["verify w.onnx --contract under-25k", "predict --model w.onnx seven.png"]
_WITH_PICTURE: dict[str, Callable[[Path, Path], None]] = {
    "external data in the folder above": _onnx(location="../secret"),
    "external data at an absolute path": _onnx(location="{secret}"),
    "external data in /proc": _onnx(location="/proc/self/environ"),
    "external data that is not there": _onnx(location="nothing"),
    "weights of 2^40 numbers": _onnx(dims=[1 << 20, 1 << 20]),
    "weights of a negative size": _onnx(dims=[-1, 3]),
    "images of 10^12 pixels": _onnx(input=[2, 1, 10**6, 10**6]),
    "operators of an unknown library": _onnx(domain="evil.ops"),
    "a card that is no JSON": _onnx(card=lambda text: text[:-1]),
    "a card that is a list": _onnx(card=lambda text: "[]"),
    "a card nested deeply": _onnx(card=lambda text: "[" * 100_000),
    "a card without classes": _onnx(card=lambda text: json.dumps(json.loads(text) | {"classes": None})),
    "a card of another size": _onnx(
        card=lambda text: json.dumps(json.loads(text) | {"input_shape": [1, 10**6, 10**6]})
    ),
    "an empty file": _bytes("w.onnx", lambda: b""),
    "half a file": _bytes("w.onnx", lambda: (_shipped() / "sprint.onnx").read_bytes()[:5_000]),
    "a length of 2^60": _bytes("w.onnx", lambda: b"\x3a" + b"\xff" * 8 + b"\x0f"),
}


def _with_picture(make: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def both(folder: Path, canary: Path) -> None:
        make(folder, canary)
        _draw(folder / "seven.png")

    return both


def _draw(path: Path) -> None:
    from PIL import Image

    pixels = np.full((60, 60), 255, np.uint8)
    pixels[10:50, 28:34] = 0
    Image.fromarray(pixels).save(path)


_WITH_PICTURE |= {name: _bytes("w.onnx", content) for name, content in _hostile_graphs.ONNX.items()}
for name, maker in _WITH_PICTURE.items():
    _add(f"an .onnx with {name}", _ASKS, _with_picture(maker))
for name, content in _hostile_graphs.ONNX.items():
    if "the image says" not in name:  # the others are found when the service opens them
        _add(f"an .onnx with {name}", ["serve --port 0 --model w.onnx"], _bytes("w.onnx", content))


# safetensors.


def _header(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _tensors(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def _card(**changes: Any) -> bytes:
    card = {
        "model": "two-conv", "source": "mnist", "classes": [*"0123456789"], "mean": 0.1, "std": 0.3,
        "input_shape": [1, 28, 28],
    }  # fmt: skip
    return _header(
        _tensors(
            __metadata__={"tinydigits": json.dumps(card | changes)},
            w={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        ),
        bytes(4),
    )


_SAFETENSORS = {
    "a header of 2^63 bytes": lambda: _header(b"{}", length=1 << 63),
    "a header of 2^40 bytes": lambda: _header(b"{}", length=1 << 40),
    "a header of no bytes": lambda: _header(b""),
    "a header that is no JSON": lambda: _header(b"\x80\x04"),
    "a header nested deeply": lambda: _header(b"[" * 100_000),
    "tensors of 2^80 numbers": lambda: _header(
        _tensors(w={"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}), bytes(4)
    ),
    "tensors that overlap": lambda: _header(
        _tensors(**{name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}), bytes(4)
    ),
    "offsets beyond the end": lambda: _header(
        _tensors(w={"dtype": "F32", "shape": [1], "data_offsets": [1 << 40, (1 << 40) + 4]}), bytes(4)
    ),
    "an unknown type": lambda: _header(_tensors(w={"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}), bytes(4)),
    "no tensors": lambda: _header(b"{}"),
    "a card that is no JSON": lambda: _header(
        _tensors(__metadata__={"tinydigits": "{"}, w={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}), bytes(4)
    ),
    "a card nested deeply": lambda: _header(
        _tensors(__metadata__={"tinydigits": "[" * 100_000}, w={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
        bytes(4),
    ),
    "a card of images of 10^12 pixels": lambda: _card(input_shape=[1, 10**6, 10**6]),
    "a card of a model of 10^12 parameters": lambda: _card(model="separable-cnn", options={"widths": [10**6] * 3}),
    "a card of a model of 10^9 layers": lambda: _card(model="separable-cnn", options={"repeats": 10**9}),
    "a card whose options are nested deeply": lambda: _card(options={"dropout": json.loads("[" * 500 + "]" * 500)}),
    "a card without a class": lambda: _card(classes=[]),
    "a card whose deviation is zero": lambda: _card(std=0.0),
    "a card that names os.system": lambda: _card(model="os:system"),
    "a card that names a module that greets": lambda: _card(model="this:Net"),
}
for name, content in _SAFETENSORS.items():
    _add(f"a .safetensors with {name}", ["verify w.safetensors --contract under-25k"], _bytes("w.safetensors", content))


# Code that a file names.


def _names_code(in_recipe: bool, in_weights: bool, status: str = "finished") -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        text = (
            f"open({str(canary)!r}, 'w').close()\nfrom torch import nn\n"
            "class Net(nn.Sequential):\n    def __init__(self): super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
        )
        (folder / "evil.py").write_text(text, encoding="utf-8")
        run = _run(folder)
        if in_weights:
            shutil.copy(run / "weights.safetensors", folder / "w")
            (run / "weights.safetensors").write_bytes(_card(model="evil.py:Net"))
        if in_recipe:
            recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
            import tomli_w

            (run / "recipe.toml").write_text(
                tomli_w.dumps(recipe | {"model": {"name": "evil.py:Net"}}), encoding="utf-8"
            )
        record = json.loads((run / "record.json").read_text(encoding="utf-8")) | {"status": status}
        (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
        (run / "checkpoint.pt").write_bytes(b"")

    return make


_add("a run whose weights name code", ["verify run", "export run safetensors", "verify run/weights.safetensors"],
     _names_code(in_recipe=False, in_weights=True))  # fmt: skip
_add("a run whose recipe names code", ["train --resume run"], _names_code(True, False, "interrupted"))
_add("a run whose recipe names code", ["verify run --retrain --contract sprint"], _names_code(True, False))


# Pictures.


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *chunks: bytes, depth: int = 8, color: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


@cache
def _zeros(num_bytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(num_bytes >> 20)) + packer.flush()


def _tiff(width: int, height: int, next_directory: int = 0) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height),
            (279, 4, width * height % 2**32)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", next_directory)


def _small(kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(file, kind)
    return file.getvalue()


def _jpeg(width: int, height: int) -> bytes:
    content = bytearray(_small("jpeg"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def _patched(kind: str, at: int, content: bytes) -> bytes:
    whole = bytearray(_small(kind))
    whole[at : at + len(content)] = content
    return bytes(whole)


_EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({canary}) (w) file closefile\nshowpage\n"
_PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a PNG of 2^31 by 2^31": ("a.png", lambda: _png((1 << 31) - 1, (1 << 31) - 1, _chunk(b"IDAT", _zeros(1 << 20)))),
    "a PNG of 60,000 by 60,000": ("a.png", lambda: _png(60_000, 60_000, _chunk(b"IDAT", _zeros(1 << 28)))),
    "a PNG of no size": ("a.png", lambda: _png(0, 0)),
    "a PNG that promises more than it has": ("a.png", lambda: _png(5_000, 5_000, _chunk(b"IDAT", zlib.compress(b"0")))),
    "a PNG with a bomb as its text": (
        "a.png", lambda: _png(9, 9, _chunk(b"zTXt", b"k\0\0" + _zeros(1 << 28)), _chunk(b"IDAT", zlib.compress(b"0"))),
    ),
    "a PNG with a bomb as its profile": (
        "a.png", lambda: _png(9, 9, _chunk(b"iCCP", b"k\0\0" + _zeros(1 << 28)), _chunk(b"IDAT", zlib.compress(b"0"))),
    ),
    "a PNG with a length of 2^32": ("a.png", lambda: _png(9, 9, struct.pack(">I", (1 << 32) - 1) + b"IDAT")),
    "a JPEG of 65,500 by 65,500": ("a.jpg", lambda: _jpeg(65_500, 65_500)),
    "a JPEG cut in its header": ("a.jpg", lambda: _small("jpeg")[:200]),
    "a GIF of 65,535 by 65,535": ("a.gif", lambda: _patched("gif", 6, b"\xff\xff\xff\xff")),
    "a BMP of 2^31 by 2^31": ("a.bmp", lambda: _patched("bmp", 18, struct.pack("<ii", (1 << 31) - 1, (1 << 31) - 1))),
    "a BMP of a negative size": ("a.bmp", lambda: _patched("bmp", 18, struct.pack("<ii", -5, -(1 << 31)))),
    "a TIFF of 2^31 by 2^31": ("a.tif", lambda: _tiff((1 << 31) - 1, (1 << 31) - 1)),
    "a TIFF whose directories go in a circle": ("a.tif", lambda: _tiff(60_000, 60_000, next_directory=8)),
    "a WebP that is cut": ("a.webp", lambda: _small("webp")[:40]),
    "a PPM of 10^9 by 10^9": ("a.pgm", lambda: b"P5 999999999 999999999 255\n"),
    "an EPS called PNG": ("a.png", lambda: _EPS.encode()),
    "an SVG called PNG": ("a.png", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "a pickle called PNG": ("a.png", lambda: pickle.dumps([1, 2, 3])),
    "an empty picture": ("a.png", lambda: b""),
}  # fmt: skip


def _as_set(file: str, content: Callable[[], bytes]) -> Callable[[Path, Path], None]:
    """A folder of images for training: two classes of six, one of them the hostile one."""

    def make(folder: Path, canary: Path) -> None:
        for label in "01":
            (folder / "set" / label).mkdir(parents=True)
            for number in range(6):
                _draw(folder / "set" / label / f"{number}.png")
        (folder / "set" / "0" / f"0{Path(file).suffix}").write_bytes(content())
        if file != "a.png":
            (folder / "set" / "0" / "0.png").unlink()

    return make


for name, (file, content) in _PICTURES.items():
    _add(name, [f"predict {file}"], _bytes(file, content))
    _add(name, ["train two-conv --data ./set"], _as_set(file, content))


# IDX.


def _idx_set(content: bytes, role: str = "train-images") -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        from tinydigits.data import idx

        (folder / "set").mkdir()
        for other in idx.ROLES:
            array = np.zeros((5, 28, 28) if other.endswith("images") else 5, np.uint8)
            (folder / "set" / idx.file_names(other)[0]).write_bytes(idx.encode(array))
        (folder / "set" / idx.file_names(role)[0]).write_bytes(content)

    return make


def _sizes(*sizes: int) -> bytes:
    return struct.pack(f">{1 + len(sizes)}I", 0x0800 + len(sizes), *sizes)


for name, head in {
    "2^32 images": _sizes((1 << 32) - 1, 28, 28), "images of 2^32 rows": _sizes(1, (1 << 32) - 1, (1 << 32) - 1),
    "1 GiB that is not there": _sizes(1 << 20, 32, 32), "no images": _sizes(0, 28, 28), "half a header": b"\0\0\x08",
    "floats": b"\0\0\x0d\x03" + bytes(12),
}.items():  # fmt: skip
    _add(f"an IDX file of {name}", ["train two-conv --data ./set"], _idx_set(head))
    _add(f"a gzipped IDX file of {name}", ["train two-conv --data ./set"], _idx_set(gzip.compress(head)))
_add("a gzip bomb behind an IDX header", ["train two-conv --data ./set"],
     _idx_set(gzip.compress(_sizes(10, 28, 28) + bytes(1 << 27), 1)))  # fmt: skip
_add("IDX labels of 2^32", ["train two-conv --data ./set"], _idx_set(_sizes((1 << 32) - 1), "train-labels"))


# TOML.

_TOML: dict[str, Callable[[], bytes]] = {
    "a million keys": lambda: "\n".join(f"k{number} = {number}" for number in range(1_000_000)).encode(),
    "lists nested deeply": lambda: b"a = " + b"[" * 50_000,
    "tables nested deeply": lambda: b"a = " + b"{a = " * 20_000 + b"1" + b"}" * 20_000,
    "a key of 100,000 parts": lambda: b"a" + b".a" * 100_000 + b" = 1",
    "a key of 100 parts": lambda: b"model.a" + b".a" * 100 + b" = 1",
    "a number of a million digits": lambda: b"epochs = " + b"9" * 1_000_000,
    "bytes of zero": lambda: bytes(1_000),
    "UTF-16": lambda: "epochs = 1".encode("utf-16"),
    "text that is not UTF-8": lambda: b"name = '\xff\xfe'",
    "10 MB of text": lambda: b"description = '" + b"a" * 10_000_000 + b"'",
}
_COMMANDS = ["train x.toml", "verify two-conv --contract x.toml", "sweep run x.toml", "verify sprint --compare x.toml"]
for name, content in _TOML.items():
    _add(f"TOML of {name}", _COMMANDS, _bytes("x.toml", content))


def _recipe(**changes: Any) -> Callable[[Path, Path], None]:
    def make(folder: Path, canary: Path) -> None:
        import tomli_w

        tree = {"model": {"name": "two-conv"}, "data": {"source": "digits", "mean": 0.1, "std": 0.3, "batch_size": 100}}
        tree |= {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 1}
        for place, value in changes.items():
            *path, last = place.split("__")
            branch: Any = tree
            for part in path:
                branch = branch.setdefault(part, {})
            branch[last] = value
        (folder / "x.toml").write_bytes(tomli_w.dumps(tree).encode())

    return make


for name, maker in {
    "10^15 epochs": _recipe(epochs=10**15),
    "a batch of 10^18": _recipe(data__batch_size=10**18, epochs=10**15),
    "a model of 10^12 parameters": _recipe(model={"name": "separable-cnn", "options": {"widths": [10**6] * 3}}),
    "a model of 10^9 layers": _recipe(model={"name": "separable-cnn", "options": {"repeats": 10**9}}),
    "a data set at /dev/zero": _recipe(data__source="/dev/zero"),
    "a teacher at /proc": _recipe(distil={"teachers": ["/proc/self"]}),
}.items():
    _add(f"a recipe of {name}", ["train x.toml"], maker)


# Records and tables of runs.


def _record(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], bytes]:
    def content(_: Path) -> bytes:
        return json.dumps(change(json.loads((_shipped() / "record.json").read_text(encoding="utf-8")))).encode()

    return content


_RECORDS: dict[str, Callable[[Path], bytes]] = {
    "lists nested deeply": lambda _: b"[" * 100_000,
    "10 MB": lambda _: b'{"format": 1, "source": "' + b"a" * 10_000_000 + b'"}',
    "no recipe": _record(lambda record: record | {"recipe": {}}),
    "a confusion of words": _record(lambda record: record | {"result": {"confusion": ["a"]}}),
    "a confusion of one cell": _record(
        lambda record: record | {"result": dict(record["result"]) | {"confusion": [[1], [2, 3]]}}
    ),
    "a number of 5,000 digits": lambda _: b'{"format": ' + b"9" * 5_000 + b"}",
    "nothing": lambda _: b"",
}
for name, made in _RECORDS.items():
    commands = ["report run", *(["verify run"] if name not in ("no recipe", "a confusion of one cell") else [])]
    _add(f"a record of {name}", commands, _in_run("record.json", made))
for name, table in {
    "words": b"epoch,lr\none,two\n", "a field of a million letters": b"epoch,lr\n1," + b"a" * 1_000_000 + b"\n",
    "text that is not UTF-8": b"epoch\n\xff\xfe\n", "a row too long": b"epoch\n1,2,3\n",
}.items():  # fmt: skip
    _add(f"a history of {name}", ["report run"], _in_run("history.csv", lambda _, table=table: table))  # type: ignore[misc]
for name, verdict in {
    "lists nested deeply": b"[" * 100_000, "a list": b"[]",
}.items():  # fmt: skip
    _add(f"a verdict of {name}", ["report run"], _in_run("verdict.json", lambda _, verdict=verdict: verdict))  # type: ignore[misc]
    _add(f"a verdict of {name}", ["verify sprint --compare v.json"], _bytes("v.json", lambda verdict=verdict: verdict))  # type: ignore[misc]
