"""`tinydigits serve`: the drawing page and the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; the default is this machine alone.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option("--port", "-p", help="The port; 0 takes a free one.", min=0, max=65535)] = 8000,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model that answers unless another is chosen.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A name to answer to, beside addresses and localhost.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Requests a second of one address, 0 for any; by default 100, and any on this machine alone.",
            min=0,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
) -> None:
    """Open a page to draw on, and an HTTP API that reads digits, until Ctrl-C.

    The models are those that come with the package, and the runs that have an ONNX file (`tinydigits export RUN onnx`).
    """
    from tinydigits import bounds
    from tinydigits.extras import extra
    from tinydigits.prediction import models_at_hand, open_model
    from tinydigits.run import runs_in

    bounds.enforce()
    models = models_at_hand(out)
    if model is not None:
        chosen = open_model(model, out)
        name = model if model in models else chosen.name
        models = {name: chosen.path} | {other: path for other, path in models.items() if other != name}
    with extra("serve", "serve"):
        from tinydigits.serve import run_server
    num_without = sum(run.name not in models for run in runs_in(out))
    if num_without:
        typer.echo(f"{num_without} of {out}/ left out, without an ONNX file: tinydigits export RUN onnx")
    run_server(models, host, port, allow_hosts=allow_host or (), requests_a_second=rate)
