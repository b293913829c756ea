"""`tinydigits models`: the registered models, those that come trained, and the layer table of any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydigits.cli.model_input import parse_shape
from tinydigits.figures import percent

app = typer.Typer(
    help="List the models and those that come trained, show one's layers, copy one to edit.", no_args_is_help=True
)

# Layers that only rename or reorder numbers tell nothing in the table.
_SILENT = {"reshape", "no_dropout"}


@app.command()
def ls() -> None:
    """List the registered models, then the trained ones that come with the package."""
    from rich.table import Table

    from tinydigits import models, pretrained
    from tinydigits.cli.console import plain_console

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("architecture", overflow="fold")
    for name in models.names():
        table.add_row(name, models.summary(name))
    console = plain_console()
    console.print(table)
    console.print()
    trained = Table(box=None, header_style="bold", pad_edge=False)
    trained.add_column("trained", no_wrap=True)
    trained.add_column("architecture", overflow="fold")  # where all do not fit, names are folded and no number is cut
    for column in ("parameters", "buffers", "bytes", "test\naccuracy", "seed"):
        trained.add_column(column, justify="right", no_wrap=True)
    shifted: dict[int, list[str]] = {}
    for name in pretrained.names():
        shipped = pretrained.find(name)
        record, (correct, seen) = shipped.run.record, shipped.test_counts
        shift_pixels = record.recipe["evaluation"]["shift_pixels"]
        accuracy = percent(correct / seen) + ("*" if shift_pixels else "")
        if shift_pixels:
            shifted.setdefault(shift_pixels, []).append(name)
        trained.add_row(
            name, shipped.card.model, f"{record.num_parameters:,}", f"{record.num_buffers:,}",
            f"{shipped.weights.stat().st_size:,}", accuracy, str(record.recipe["seed"]),
        )  # fmt: skip
    console.print(trained, highlight=False)
    for shift_pixels, names in shifted.items():
        line = f"* the mean answer to all shifts of up to {shift_pixels} px: {', '.join(names)}"
        console.print(line, highlight=False)
    console.print(f"next: tinydigits models show {models.names()[0]}")
    for name in pretrained.names()[:1]:
        console.print(f"next: tinydigits verify {name}")


@app.command()
def show(
    spec: Annotated[str, typer.Argument(help="A registered model, file.py:Class or package.module:Class.")],
    input_shape: Annotated[
        str, typer.Option("--input", help="The shape of one input: channels, rows, columns.")
    ] = "1x28x28",
) -> None:
    """Show a model's layers: output shape, parameters, receptive field, multiply-adds; then totals and sizes."""
    from rich.table import Table

    from tinydigits import models
    from tinydigits.cli.console import plain_console
    from tinydigits.errors import foreign_code
    from tinydigits.trace import trace

    with foreign_code(f"model {spec}", "when it is called"):
        traced = trace(models.build(spec), parse_shape(input_shape))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    for column in ("output", "parameters", "field", "multiply-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in traced.layers:
        if layer.kind not in _SILENT:
            table.add_row(
                layer.path or layer.name, layer.kind, "×".join(map(str, layer.output_shape)),
                f"{layer.num_parameters:,}" if layer.parameter_names else "", _field(layer.receptive_field),
                f"{layer.macs:,}" if layer.macs else "",
            )  # fmt: skip
    console = plain_console()
    console.print(table)
    trainable = "" if traced.num_trainable == traced.num_parameters else f" ({traced.num_trainable:,} trainable)"
    unused = f", {traced.num_unused:,} that the output does not use" if traced.num_unused else ""
    exact = "" if traced.exact else f" at most, because of {', '.join(traced.unknown_ops)}"
    for label, value in (
        ("parameters", f"{traced.num_parameters:,}{trainable}{unused}"),
        ("buffers", f"{traced.num_buffers:,}"),
        ("multiply-adds", f"{traced.macs:,} for one image"),
        ("receptive field", f"{_field(traced.receptive_field)} pixels{exact}"),
        ("size of parameters", f"{traced.num_parameters * 4:,} bytes as fp32, {traced.num_parameters:,} as int8"),
    ):
        console.print(f"{label:<20}{value}", highlight=False)
    console.print(f"next: tinydigits verify {spec} --contract under-25k")


@app.command()
def cp(
    name: Annotated[str, typer.Argument(help="A name from `tinydigits models ls`.")],
    file: Annotated[Path, typer.Argument(help="The Python file to write; it must not exist.")],
) -> None:
    """Copy a registered model's source to a file of your own."""
    from tinydigits import models, run

    text = models.module_file(name).read_text(encoding="utf-8")
    run.write_new(file, text)
    class_name = next(line for line in text.splitlines() if line.startswith("class ")).split()[1].split("(")[0]
    typer.echo(f"next: tinydigits models show {file}:{class_name}")


def _field(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}×{size[1]}"
