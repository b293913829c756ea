"""The C headers: compiled with every warning and sanitizer, asked about real images, fitted into microcontrollers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import absent
from tinydigits import data, exports, models
from tinydigits.errors import TinydigitsError
from tinydigits.exports import Trained, c, c_code, c_int8
from tinydigits.exports.c_code.fuse import fuse
from tinydigits.exports.c_code.graph import from_onnx
from tinydigits.exports.c_code.interpret import interpret
from tinydigits.exports.onnx import model_proto
from tinydigits.models import WeightsCard
from tinydigits.onnx_graph import read_onnx

TEST = data.load("digits", "test")
IMAGES = TEST.images_NHW[:100]
STRICT = ["-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
# Sanitizers watch code of -O1, which is compiled in a third of the time; the code of -O2 is asked without them.
WATCHED, FAST = ("-O1",), ("-O2", "-fno-sanitize=all")
MAIN = """
#include <stdio.h>
{includes}
int main(void) {{
    static uint8_t image[784];
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {{
{calls}
    }}
    return 0;
}}
"""
CALL = """
        {{
            static float probabilities[{macros}_NUM_CLASSES];
            const int best = {prefix}_predict(image, probabilities);
            for (int i = 0; i < {macros}_NUM_CLASSES; i++)
                if (probabilities[i] > probabilities[best]) return 1;
            fwrite(probabilities, sizeof(float), {macros}_NUM_CLASSES, stdout);
        }}
"""


def ask(header: Path, *flags: str) -> np.ndarray:
    """Probabilities (100, 10) from a program of its own, stopped by the first thing that a sanitizer finds."""
    main = f'#define TINYDIGITS_IMPLEMENTATION\n#include "{header}"'
    return run(header.with_suffix(".exe"), {"main.c": main}, [header.stem.replace("-", "_")], *flags)[:, 0]


def run(
    program: Path, files: dict[str, str], prefixes: list[str], *flags: str, compiler: str = "gcc", std: str = "c99"
) -> np.ndarray:
    """Probabilities (100, models, 10) of a program that asks several models; `main.c` is given its includes alone."""
    calls = "".join(CALL.format(prefix=prefix, macros=prefix.upper()) for prefix in prefixes)
    sources = [program.parent / f"{program.stem}-{name}" for name in files]
    for source, text in zip(sources, files.values(), strict=True):
        is_main = source.name.endswith("-main.c")
        source.write_text(MAIN.format(includes=text, calls=calls) if is_main else text, encoding="utf-8")
    subprocess.run([compiler, f"-std={std}", *STRICT, *flags, "-o", program, *sources], check=True)
    done = subprocess.run([program], input=IMAGES.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.float32).reshape(len(IMAGES), len(prefixes), 10)


def measured(model: nn.Module, *, least: float = 0.5) -> Trained:
    """A model with weights that mean nothing, and BatchNorm statistics and affine maps that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.weight is not None:
                nn.init.uniform_(module.weight, least, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
            module.momentum = None  # the mean over what is seen
    train = torch.from_numpy(data.load("digits", "train").images_NHW[:256, None]).float() / 255
    with torch.no_grad():
        model.train()((train - 0.1307) / 0.3081)
    card = WeightsCard(model="m:Net", source="digits", classes=[*"0123456789"], mean=0.1307, std=0.3081)
    return Trained(model.eval(), card, Path("weights.safetensors"))


@pytest.mark.parametrize("name", models.names())
def test_every_model_answers_in_c_as_in_torch(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    trained = measured(models.build(name))
    header = c.write(trained, tmp_path)
    expected = trained.answer(IMAGES)
    assert np.ptp(expected, axis=0).max() > 1e-3, "answers that do not depend on the image prove nothing"
    for flags in (WATCHED, FAST):
        assert np.abs(ask(header, *flags) - expected).max() <= 1e-4
    in_8_bits = ask(c_int8.write(trained, tmp_path), "-O2")
    assert np.abs(in_8_bits.sum(axis=1) - 1).max() < 1e-5
    # Through 45 layers of random weights any rounding at all grows into noise.
    assert np.abs(in_8_bits - expected).mean() < (0.1 if name == "se-resnet" else 0.01)


class Zoo(nn.Module):
    """One of every operation that C is written for, in odd sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.unshuffle = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.PixelUnshuffle(2), nn.Conv2d(8, 1, 1))
        self.beside = nn.Conv2d(1, 1, 2, stride=2)
        self.first = nn.Conv2d(1, 6, (3, 5), stride=(1, 2), padding=(2, 1), dilation=(2, 1))
        self.grouped = nn.Sequential(nn.Conv2d(6, 9, 3, groups=3, padding=1), nn.LeakyReLU(0.2), nn.BatchNorm2d(9))
        self.wide = nn.Sequential(nn.Conv2d(6, 9, 1, bias=False), nn.BatchNorm2d(9), nn.ReLU(), nn.BatchNorm2d(9))
        self.depthwise = nn.Conv2d(9, 9, 3, groups=9, dilation=2, padding=2)
        self.pools = nn.ModuleList([nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=True)])
        self.norm = nn.BatchNorm2d(18)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(18, 18, 1), nn.Sigmoid())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(18 * 3 * 3, 13), nn.LeakyReLU(), nn.Linear(13, 10))

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(self.unshuffle(images) + self.beside(images)).relu()
        both = (self.grouped(first) + self.wide(first)).relu() * 0.5 + 0.1
        both = self.depthwise(both) * both
        pooled = self.norm(torch.cat([pool(both) for pool in self.pools], dim=1))
        pooled = pooled * self.gate(pooled) + pooled.amax((2, 3), keepdim=True)
        return self.head(torch.nn.functional.max_pool2d(pooled, (2, 1)))


def test_every_operation_answers_in_c_as_in_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = measured(Zoo(), least=-0.5)
    expected = trained.answer(IMAGES)
    header = c.write(trained, tmp_path)
    for flags in (WATCHED, FAST, ("-Os",)):  # for size, the same header takes plain loops
        assert np.abs(ask(header, *flags) - expected).max() <= 1e-4
    assert np.abs(ask(c_int8.write(trained, tmp_path), "-O2") - expected).max() < 0.05


def test_no_name_ends_the_comment_that_it_stands_in(tmp_path: Path) -> None:
    trained = measured(models.build("two-conv"))
    classes = ["*/", "**//", "/*/", "a\nint b;", "\\", *"56789"]
    named = trained.card.model_copy(update={"classes": classes, "model": "m:*/int d;"})
    trained = replace(trained, card=named)
    assert np.abs(ask(c.write(trained, tmp_path), "-O1") - trained.answer(IMAGES)).max() <= 1e-4


def test_fusing_changes_no_answer_and_leaves_no_batch_norm() -> None:
    torch.manual_seed(2)
    onnx = read_onnx(model_proto(measured(models.build("gap-cnn"))).SerializeToString(), "gap-cnn")
    plain, fused = from_onnx(onnx), fuse(from_onnx(onnx))
    before, after = (interpret(graph, IMAGES)[graph.output] for graph in (plain, fused))
    assert np.abs(before - after).max() < 1e-9
    assert len(fused.nodes) == 11 < len(plain.nodes)
    assert {node.kind for node in fused.nodes} == {"conv", "max", "mean"}


def test_an_8_bit_header_keeps_the_accuracy_of_a_trained_model(trained: Trained, tmp_path: Path) -> None:
    done = exports.export(trained, "c-int8", tmp_path)
    assert done.parity is not None
    assert done.parity.same >= 0.98 * done.parity.seen
    assert abs(done.parity.correct_before - done.parity.correct_after) <= 3


class Opposite(nn.Module):
    """A layer of pairs that answer with opposite signs: its 8-bit zero is 128, in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs, self.mixed = nn.Conv2d(1, 20, 7, stride=7, bias=False), nn.Conv2d(20, 20, 1)
        with torch.no_grad():
            self.pairs.weight[10:] = -self.pairs.weight[:10]
        self.linear = nn.Linear(20 * 4 * 4, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.mixed(self.pairs(images_BCHW)).relu().flatten(1))


def test_an_8_bit_header_answers_the_same_with_this_machines_own_instructions(tmp_path: Path) -> None:
    """gcc 12 once summed wrongly here, on processors with VNNI: 86 points of a shipped model's accuracy were lost."""
    torch.manual_seed(0)
    header = c_int8.write(measured(Opposite()), tmp_path)
    text = header.read_text(encoding="utf-8")
    assert "Net_int8_window1);" in text and ", 128, Net_int8_w1" in text, "the zero is where it was"
    np.testing.assert_array_equal(c_int8.FORMAT.load(header)(IMAGES), ask(header))


class Product(nn.Module):
    """Images multiplied as matrices, as attention does."""

    def forward(self, images: Tensor) -> Tensor:
        return (images @ images).flatten(1)[:, :10]


@pytest.mark.parametrize(
    ("layer", "what"), [(nn.GELU(), "ONNX's Erf"), (Product(), "MatMul of two images")], ids=["gelu", "product"]
)
def test_an_operation_without_c_is_named(layer: nn.Module, what: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(TinydigitsError, match=rf"export c: no C is written for {what}\n  try: onnx"):
        c.write(measured(model), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_machine_without_a_compiler_is_told(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TinydigitsError, match=r"there is no C compiler\n  try: apt install gcc"):
        exports.export(trained, "c", tmp_path)
    assert not list(tmp_path.iterdir()), "what was not asked is not kept"


# Several models in one program.


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models, in floats and in 8 bits, whose names are none in C."""
    return [form.write(named, tmp_path_factory.mktemp("headers")) for named in (small("3x3-net.v2", 4), small("int", 6))
            for form in (c, c_int8)]  # fmt: skip


def small(name: str, channels: int) -> Trained:
    torch.manual_seed(channels)
    layers = nn.Conv2d(1, channels, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * channels, 10)
    trained = measured(nn.Sequential(*layers))
    return replace(trained, card=trained.card.model_copy(update={"recipe": name, "classes": [*"012345678", "/*"]}))


PREFIXES = ["model_3x3_net_v2", "model_3x3_net_v2_int8", "int", "int_int8"]


@pytest.mark.parametrize(("compiler", "std"), [("gcc", "c99"), ("g++", "c++17")])
def test_any_number_of_headers_make_one_program(headers: list[Path], compiler: str, std: str, tmp_path: Path) -> None:
    if not shutil.which(compiler):
        absent(compiler, f"{compiler} is not installed")
    includes = [f'#include "{header}"' for header in headers]
    implement = "#define TINYDIGITS_IMPLEMENTATION\n"
    in_one_file = {"main.c": implement + "\n".join(includes * 2)}  # a second time, as by way of another header
    in_their_own = {"main.c": "\n".join(includes)} | {
        f"{number}.c": f"{include}\n{implement}{include}" for number, include in enumerate(includes)
    }
    together, apart = (
        run(tmp_path / f"{name}.exe", files, PREFIXES, "-O2", compiler=compiler, std=std)
        for name, files in (("one", in_one_file), ("own", in_their_own))
    )
    for number, (include, prefix) in enumerate(zip(includes, PREFIXES, strict=True)):
        main = {"main.c": implement + include}
        alone = run(tmp_path / "alone.exe", main, [prefix], "-O2", compiler=compiler, std=std)
        np.testing.assert_array_equal(together[:, number], alone[:, 0])
    np.testing.assert_array_equal(together, apart)
    assert len({together[:, number].tobytes() for number in range(4)}) == 4, "each answers for itself"


def test_two_models_of_one_name_do_not_pass_for_each_other(headers: list[Path], tmp_path: Path) -> None:
    includes = f'#include "{headers[2]}"\n#include "{c.write(small("int", 5), tmp_path)}"'
    (tmp_path / "both.c").write_text(includes, encoding="utf-8")
    done = subprocess.run(["gcc", "-c", tmp_path / "both.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "two different models are called int: rename the recipe of one" in done.stderr


# Microcontrollers.


class Tiny(nn.Module):
    """1,782 parameters in depthwise separable convolutions."""

    def __init__(self) -> None:
        super().__init__()

        def separable(num_in: int, num_out: int) -> list[nn.Module]:
            depthwise = nn.Conv2d(num_in, num_in, 3, padding=1, groups=num_in, bias=False)
            return [depthwise, nn.Conv2d(num_in, num_out, 1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU()]

        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), *separable(8, 16),
            *separable(16, 20), nn.MaxPool2d(2), *separable(20, 24), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(24, 10),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("processor", c_code.MICROCONTROLLERS)
def test_a_model_of_1800_parameters_takes_less_than_8_kb_of_flash(tmp_path: Path, processor: str) -> None:
    trained = measured(Tiny())
    assert sum(parameter.numel() for parameter in trained.model.parameters()) <= 1_800
    header = c_int8.write(trained, tmp_path)
    found = c_code.measure_footprint(header, c_code.MICROCONTROLLERS[processor])
    assert found is not None
    assert found.code > 500 and found.constants > 1_700
    assert found.flash < 8 * 1024
    assert found.ram == 8 * 26 * 26 + 8 * 13 * 13, "the largest image and the one made of it"


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("form", [c, c_int8])
def test_flash_and_ram_are_stated(trained: Trained, tmp_path: Path, form: type[c]) -> None:
    header = form.write(replace(trained), tmp_path)
    assert "Cortex-M4F: " in (note := form.FORMAT.note(header)) and "bytes of flash" in note
    text = header.read_text(encoding="utf-8")
    stated = int(text.partition("scratch: ")[2].split()[0].replace(",", ""))
    found = c_code.measure_footprint(header, c_code.MICROCONTROLLERS["Cortex-M4F"])
    assert found is not None and found.ram == stated
