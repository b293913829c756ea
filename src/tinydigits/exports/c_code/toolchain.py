"""What a header becomes: a shared library to ask, and sizes on a microcontroller."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinydigits.compiler import load_library
from tinydigits.errors import TinydigitsError
from tinydigits.exports.trained import Answer

__all__ = ["MICROCONTROLLERS", "Footprint", "footprint_note", "load_header", "measure_footprint"]

_HARNESS = Path(__file__).with_name("harness.c.template")
_FLAGS = (("-std=c99", "-march=native"), ("-std=c99", "-mcpu=native"))

MICROCONTROLLERS = {
    "Cortex-M4F": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "Cortex-M0": ("-mcpu=cortex-m0", "-mthumb"),
}


def load_header(path: Path, num_pixels: int = 784) -> Answer:
    """Compile a header for this machine and ask it; raises TinydigitsError where it does not compile."""
    prefix = _prefix_in(path)
    names = {"prefix": prefix, "macros": prefix.upper()}
    harness = _HARNESS.read_text("utf-8").format(path=path.resolve(), num_pixels=num_pixels, **names)
    library = load_library(harness, where=str(path), flags=_FLAGS)
    num_classes = library.num_classes()

    def answer(images_NHW: np.ndarray) -> np.ndarray:
        images_NHW = np.ascontiguousarray(images_NHW)
        probabilities_NK = np.empty((len(images_NHW), num_classes), np.float32)
        library.many(
            images_NHW.ctypes.data_as(ctypes.c_void_p), probabilities_NK.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(len(images_NHW)),
        )  # fmt: skip
        return probabilities_NK

    return answer


@dataclass(frozen=True)
class Footprint:
    """Bytes on a microcontroller: code (with what it takes of the compiler's library), constants, static RAM, stack."""

    code: int
    constants: int
    ram: int
    stack: int

    @property
    def flash(self) -> int:
        return self.code + self.constants


def measure_footprint(path: Path, flags: Sequence[str], *, compiler: str = "arm-none-eabi-gcc") -> Footprint | None:
    """Link a header into a program that calls it, for size, and take off what an empty program has.

    None where there is no such compiler. `flags` name the processor, as in `MICROCONTROLLERS`.
    """
    if not shutil.which(compiler):
        return None
    calls = f'#define TINYDIGITS_IMPLEMENTATION\n#include "{path.resolve()}"\n'
    calls += "extern uint8_t image[784]; extern float out[];\n"
    calls += f"int main(void) {{ return {_prefix_in(path)}_predict(image, out); }}\n"
    empty = "int main(void) { return 0; }\n"
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as folder:
        sections = {}
        stack = 0
        for name, text in (("calls", calls), ("empty", empty)):
            source, program = Path(folder) / f"{name}.c", Path(folder) / f"{name}.elf"
            source.write_text(text, encoding="utf-8")
            # `image` and `out` are the program's own, at an address that takes no room.
            _run([
                compiler, *flags, "-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", "-fstack-usage",
                "-nostartfiles", "-specs=nosys.specs", "-Wl,--gc-sections,-e,main",
                "-Wl,--defsym=image=0x20000000,--defsym=out=0x20001000", "-o", str(program), str(source),
            ], path)  # fmt: skip
            listing = _run([compiler.replace("gcc", "size"), "-A", str(program)], path)
            sections[name] = {
                line.split()[0]: int(line.split()[1]) for line in listing.splitlines() if line.startswith(".")
            }
            if name == "calls":
                usage = next(Path(folder).glob("*calls.su")).read_text(encoding="utf-8")
                stack = max(int(line.split("\t")[1]) for line in usage.splitlines())
    code, constants, ram = (
        sum(sections["calls"].get(key, 0) - sections["empty"].get(key, 0) for key in keys)
        for keys in ((".text",), (".rodata",), (".data", ".bss"))
    )
    return Footprint(code, constants, ram, stack)


def footprint_note(path: Path) -> str:
    """Flash and RAM of a header on each microcontroller, in one line; empty where there is no compiler for them."""
    parts = []
    for name, flags in MICROCONTROLLERS.items():
        footprint = measure_footprint(path, flags)
        if footprint is not None:
            parts.append(
                f"{name}: {footprint.flash:,} bytes of flash ({footprint.code:,} code, "
                f"{footprint.constants:,} constants), {footprint.ram:,} of RAM"
            )
    return "; ".join(parts)


def _prefix_in(path: Path) -> str:
    """What the header's names begin with, whatever its file is called by now."""
    declaration = re.search(r"^int (\w+)_predict\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    if declaration is None:
        raise TinydigitsError(str(path), "is no header of tinydigits")
    return declaration[1]


def _run(command: list[str], path: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        reason = next((line for line in lines if "error" in line), lines[0])
        raise TinydigitsError(str(path), f"does not compile: {reason}")
    return done.stdout
