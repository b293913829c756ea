"""What the flags of `verify` and `models show` say of a model: its input, its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinydigits.verdict import JudgedTarget
    from tinydigits.verification import InputFacts

__all__ = ["parse_input", "parse_options", "parse_shape", "words"]


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape of one input: `1x28x28`, also written with commas.

    >>> parse_shape("3x32x32"), parse_shape("784")
    ((3, 32, 32), (784,))
    """
    from tinydigits.errors import TinydigitsError

    try:
        shape = tuple(int(part) for part in text.replace("x", ",").replace("×", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise TinydigitsError("--input", got=text, expected="whole numbers, as in 1x28x28")
    return shape


def parse_options(settings: Sequence[str] | None) -> dict[str, Any]:
    """A class's arguments from `--set KEY=VALUE`.

    >>> parse_options(["dropout=0.1", "norm=batch"])
    {'dropout': 0.1, 'norm': 'batch'}
    """
    from tinydigits.recipe import apply_settings, parse_settings

    options: dict[str, Any] = {}
    apply_settings("model", options, parse_settings("model", settings or []))
    return options


def parse_input(
    shape: str | None, mean: str | None, std: str | None, levels: str | None, resize: bool | None
) -> InputFacts:
    """What the flags say of a model's input; `levels`, such as `0:255`, stands in for mean and std."""
    from tinydigits.data.model_input import levels_of_range, parse_levels
    from tinydigits.errors import TinydigitsError
    from tinydigits.verification import InputFacts

    facts: dict[str, Any] = {"input_shape": parse_shape(shape) if shape is not None else None, "resize": resize}
    for name, text in (("mean", mean), ("std", std)):
        try:
            facts[name] = parse_levels(text) if text is not None else None
        except ValueError as error:
            raise TinydigitsError(
                f"--{name}", got=text, expected="a number, or one for each channel: 0.5,0.5,0.5"
            ) from error
    if levels is not None:
        if mean is not None or std is not None:
            raise TinydigitsError("--range", "says the same as --mean and --std", expected="one of them")
        try:
            paper, ink = (float(part) for part in levels.split(":"))
            facts["mean"], facts["std"] = levels_of_range(paper, ink)
        except (ValueError, ZeroDivisionError) as error:
            raise TinydigitsError("--range", got=levels, expected="two numbers, as in 0:255 or -1:1") from error
    return InputFacts(**facts)


def words(target: JudgedTarget) -> str:
    """How a verdict's target takes its images and answers, in one line.

    >>> from tinydigits.verdict import JudgedTarget
    >>> words(JudgedTarget(kind="run", name="net", input_shape=(1, 28, 28), mean=0.5, std=0.5, output="logits"))
    'takes 1×28×28 as (grey - 0.5) / 0.5, gives logits'
    """
    shape = "×".join(map(str, target.input_shape or ()))
    line = f"takes {shape} as (grey - {_levels(target.mean)}) / {_levels(target.std)}"
    if target.output is not None:
        line += f", gives {target.output.replace('_', '-')}"
    flags = {"input_shape": "--input", "mean": "--mean", "std": "--std"}
    assumed = [flag for name, flag in flags.items() if target.input_origins.get(name) == "nobody"]
    return line + (f" (assumed; {', '.join(assumed)} say otherwise)" if assumed else "")


def _levels(levels: float | Sequence[float] | None) -> str:
    if levels is None:
        return "?"
    if isinstance(levels, int | float):
        return f"{levels:.4g}"
    return f"[{', '.join(f'{level:.4g}' for level in levels)}]"
