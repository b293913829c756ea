"""`tinydigits verify`: does the model hold to the contract?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from tinydigits.cli import model_input

if TYPE_CHECKING:
    from rich.console import Console

    from tinydigits.verdict import Verdict
    from tinydigits.verification import Case

_COLOURS = {"pass": "green", "fail": "red", "undecided": "yellow", "not run": "yellow"}
_WIDTH_WITHOUT_TERMINAL = 160


def verify(
    target: Annotated[
        str | None,
        typer.Argument(help="A run, a model's name, file.py:Class, weights or an export; by default the latest run."),
    ] = None,
    contract: Annotated[
        str | None, typer.Option(help="A contract's name or TOML file. The one that the run's recipe names by default.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights for a class: a state dict as .safetensors, .pt or .pth.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The code that a run, or weights, are of: file.py:Class, where you trust it."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An argument of the class; repeatable.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input", help="The shape of one input where it is not 1x28x28: 3x32x32, 784.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Taken from grey levels of 0 to 1; one number, or one for each channel.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Then divided by; one number, or one for each channel.")] = None,
    levels: Annotated[
        str | None, typer.Option("--range", help="Instead of --mean and --std: what paper and ink become, as in 0:255.")
    ] = None,
    resize: Annotated[
        bool | None, typer.Option("--resize", help="Resize to a larger input instead of a border of paper.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict as JSON, too; - prints it.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as JUnit's XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown.")] = None,
    badge: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as an SVG badge.")] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier verdict's JSON: Markdown shows what changed.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Measure accuracy on this data set instead.")] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train anew first in a sandbox, under the contract's budget.")
    ] = False,
    recipe: Annotated[str | None, typer.Option(help="With --retrain: the recipe, in place of the run's own.")] = None,
    train: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:FUNCTION", help="With --retrain: a function train(model, data) to train by."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="With --retrain: so many trainings; as many as the contract asks by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of runs.")] = Path("runs"),
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of this process; latency names its own.")] = None,
) -> int:
    """Check a model against a contract, every figure measured anew. Exit code 0: holds, 1: not, 2: no verdict.

    Under GitHub Actions the verdict also goes to the step's summary, and what does not pass becomes an annotation.
    """
    import sys

    _collect_rarely()
    from tinydigits import bounds, models
    from tinydigits.cli.console import plain_console
    from tinydigits.cli.github import tell_github
    from tinydigits.errors import TinydigitsError
    from tinydigits.verification import Request, Retraining, keep, prepare

    if not retrain and (recipe or train or seeds):
        raise TinydigitsError("verify", "--recipe, --train and --seeds say how to train anew", hint="--retrain")
    for spec in filter(None, (target, model)):
        models.allow(spec, lasting=True)
    bounds.enforce()
    files = {"json": json, "junit": junit, "markdown": markdown, "badge": badge}
    printed = _printed(files)
    before = _earlier(compare, out)
    # Taken now: a target that is a script may put a file of its own in place of them.
    output, words = sys.stdout, sys.stdout if printed is None else sys.stderr
    console = plain_console(file=words)  # standard output is the printed file's alone
    if not console.is_terminal:
        console = plain_console(file=words, width=_WIDTH_WITHOUT_TERMINAL)
    request = Request(
        target=target, contract=contract, runs=str(out), weights=str(weights) if weights else None, model=model,
        options=model_input.parse_options(settings), data=data, device=device, threads=threads,
        input=model_input.parse_input(input_shape, mean, std, levels, resize),
        retraining=Retraining(recipe=recipe, function=train, seeds=seeds) if retrain else None,
    )  # fmt: skip
    with console.status("verifying") as status:
        case = prepare(request, on_training=status.update)
        verdict = case.judge(lambda finding: status.update(f"{finding.check}: {finding.status}"))
    _print(console, case, verdict, model)
    _write(files, verdict, before, output)
    tell_github(verdict, before, words)
    keep(case, verdict)
    if case.run is not None:
        from tinydigits.report import write_run_report

        write_run_report(case.run)  # now with the test images' pictures and the verdict
    return verdict.exit_code


def _collect_rarely() -> None:
    """Tracing imports some thousand modules of torch that live to the end: looking through them for garbage, again and
    again and once more at exit, is a fifth of the command's time."""
    import atexit
    import gc

    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)


def _earlier(file: Path | None, out: Path) -> Verdict | None:
    if file is None:
        return None
    from tinydigits.run import at_latest
    from tinydigits.verdict import load

    return load(at_latest(file, out))


def _printed(files: Mapping[str, Path | None]) -> str | None:
    """The format that goes to standard output, if any."""
    from tinydigits.errors import TinydigitsError

    named = [name for name, path in files.items() if str(path) == "-"]
    if len(named) > 1:
        raise TinydigitsError(f"verify --{named[1]} -", f"standard output is taken by --{named[0]}")
    return named[0] if named else None


def _write(files: Mapping[str, Path | None], verdict: Verdict, before: Verdict | None, output: TextIO) -> None:
    if not any(files.values()):
        return
    from tinydigits.report import render
    from tinydigits.run import write_output

    for name, path in files.items():
        if str(path) == "-":
            typer.echo(render(name, verdict, before), file=output, nl=False)
        elif path is not None:
            write_output(path, render(name, verdict, before))


def _print(console: Console, case: Case, verdict: Verdict, model: str | None) -> None:
    from rich.text import Text

    from tinydigits.cli.console import print_table
    from tinydigits.errors import printable
    from tinydigits.table import Table

    head = ("check", "measured", "limit", "finding", "why")
    rows = [(one.check, one.measured, one.limit, one.status, one.why) for one in verdict.findings]
    print_table(
        console, Table(head, rows, "l" * len(head)), folded=("measured", "limit", "why"),
        style=lambda column, cell: {"finding": _COLOURS.get(cell, ""), "why": "dim"}.get(column, ""),
    )  # fmt: skip
    advised = [finding for finding in verdict.findings if finding.advice]
    if advised:
        console.print("\nwhat to do")
        for finding in advised:
            console.print(Text.assemble(("  " + finding.check, "bold"), f": {finding.advice}"))
    colour = {"holds": "green", "does not hold": "red"}.get(verdict.word, "yellow")
    names = verdict.headline.removesuffix(verdict.word)
    console.print(Text.assemble(f"\n{names}", (verdict.word, f"bold {colour}"), f" ({verdict.summary})"))
    for note in verdict.target.notes:
        console.print(Text(note, style="yellow" if note == verdict.target.code_note else "dim"))
    console.print(model_input.words(verdict.target), highlight=False)
    if case.run is not None:
        console.print(printable(f"report: {case.run.folder}/report.md"), highlight=False)
    for step in _next_steps(case, verdict, model):
        console.print(printable(f"next: {step}"))


def _next_steps(case: Case, verdict: Verdict, model: str | None) -> list[str]:
    if case.run is not None:
        named = f" --model {shlex.quote(model)}" if model is not None else ""
        return [f"tinydigits export {case.run.folder} pth{named}"]
    if not verdict.target.model:
        return []
    steps = [f"tinydigits models show {verdict.target.model}"]
    if any(finding.status == "not run" for finding in verdict.findings):
        steps.append(f"tinydigits train --model {verdict.target.model}")
    return steps
