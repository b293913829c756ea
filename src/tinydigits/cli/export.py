"""`tinydigits export`: a trained model in formats that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] FORMAT...", help="A run (else the latest), and formats: onnx, pt2, pth, safetensors."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
    to: Annotated[Path | None, typer.Option("--to", help="The folder to write to; else the run's own.")] = None,
) -> None:
    """Write a trained model in one or more formats, and check that each file answers as the checkpoint does.

    Every test image of the model's data set is asked. Exit code 1, and no file, where the answers differ.
    """
    from tinydigits import export as exports
    from tinydigits.errors import TinydigitsError, unknown_name
    from tinydigits.run import open_run

    known = exports.formats()
    is_run = Path(words[0]).is_dir() or (out / words[0]).is_dir()
    formats = words[is_run:]
    if not formats:
        raise TinydigitsError("export", "no format named", expected=f"one or more of {', '.join(known)}")
    for name in formats:
        if name not in known:
            raise unknown_name("export", name, known, kind="format" if is_run or len(words) > 1 else "run or format")
    run = open_run(words[0] if is_run else None, out)
    trained = exports.of_run(run)
    all_hold = True
    for name in formats:
        done = exports.export(trained, name, to or run.folder)
        all_hold &= done.holds
        typer.echo(f"{done.path} ({done.num_bytes:,} bytes)" if done.holds else f"{done.path}: deleted")
        if done.parity is not None:
            typer.echo(f"  {done.parity}")
    typer.echo(f"next: tinydigits verify {run.folder}")
    raise typer.Exit(0 if all_hold else 1)
