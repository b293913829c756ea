"""`tinydigits runs`: the runs of a folder listed, shown, compared and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinydigits.errors import printable
from tinydigits.figures import p_value, percent, points, points_interval

if TYPE_CHECKING:
    from tinydigits.run import Difference, Paired, Run

app = typer.Typer(help="List the runs of this folder, show, compare and remove them.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, with shares and seconds as plain numbers.")]
Target = Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's folder or name; else the latest.")]


@app.command()
def ls(
    out: Out = Path("runs"),
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Smallest first; largest first with - before the column.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="As in 'parameters<10000', 'test>=99.4%', 'data=mnist'; repeatable."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only runs of this recipe.")] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """List the runs, oldest first, with those in folders inside, such as a sweep's.

    Columns: run, recipe, model, data, seed, parameters, epochs, accuracy, split, test, verdict, seconds, state,
    started. Accuracy is the training's own, on its split; test is what `verify` counted. Settings are columns too, as
    in --sort optimizer.lr or --where 'data.batch_size<64', and are shown where they are named.
    """
    from tinydigits.errors import TinydigitsError
    from tinydigits.run import COLUMNS, list_runs, parse_condition, select, sort_rows

    if json and csv:
        raise TinydigitsError("runs ls", "--json or --csv, not both")
    listing = list_runs(out)
    conditions = [parse_condition(text) for text in [*(where or []), *([f"recipe={recipe}"] if recipe else [])]]
    rows = select(listing.rows, conditions)
    if sort is not None:
        rows = sort_rows(rows, sort)
    named = [condition.column for condition in conditions] + ([sort.removeprefix("-")] if sort else [])
    columns = list(dict.fromkeys([*COLUMNS, *named]))
    if json or csv:
        _print_plain(rows, columns, as_json=json)
    elif rows:
        _print_table(rows, columns, named)
    if listing.skipped:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in listing.skipped.items())
        typer.echo(f"skipped {len(listing.skipped)}: {reasons}", err=True)
    if json or csv:
        return
    if rows:
        typer.echo(f"next: tinydigits runs show {rows[-1]['run']}")
    elif listing.rows:
        typer.echo(f"none of {len(listing.rows):,} runs in {out} is like that")
    else:
        typer.echo(f"no {'readable run in ' if listing.skipped else 'run in '}{out} yet\nnext: tinydigits train")


def _print_plain(rows: list[Any], columns: list[str], *, as_json: bool) -> None:
    import csv
    import json
    import sys

    from tinydigits.run import value_of

    chosen = [{column: value_of(row, column) for column in columns} for row in rows]
    if as_json:
        typer.echo(json.dumps(chosen, indent=1))
        return
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(chosen)


_ALWAYS = ("run", "data", "parameters", "epochs", "accuracy", "split", "test", "seconds", "state")


def _print_table(rows: list[Any], columns: list[str], named: list[str]) -> None:
    """Plain columns: laying out thousands of rows with rich takes many times as long as reading them."""
    from tinydigits.run import value_of
    from tinydigits.table import Table

    shown = [column for column in columns if column in _ALWAYS or column in named]
    cells = [[_cell(column, value_of(row, column)) for column in shown] for row in rows]
    are_words = [any(isinstance(value_of(row, column), str) for row in rows) for column in shown]
    head, *lines = str(Table(shown, cells, "".join("l" if is_word else "r" for is_word in are_words))).split("\n")
    typer.echo("\n".join([typer.style(head, bold=True), *lines]))


def _cell(column: str, value: Any) -> str:
    from tinydigits.text import source_label

    if value is None:
        return ""
    if column in ("accuracy", "test"):
        return percent(value)
    if column == "seconds":
        return f"{value:.1f}"
    if column == "data":
        return printable(source_label(value))
    return f"{value:,}" if column == "parameters" else printable(str(value))


@app.command()
def show(target: Target = None, out: Out = Path("runs"), json: Json = False) -> None:
    """Show the facts of one run."""
    from tinydigits.cli.console import print_facts
    from tinydigits.run import facts_of, open_run

    run = open_run(target, out)
    record = run.record
    if json:
        typer.echo(record.model_dump_json(indent=2))
        return
    verdict, result = run.verdict, record.result
    tested = verdict.test_counts if verdict is not None else None
    print_facts([
        ("run", run.folder),
        ("state", record.status),
        ("recipe", f"{record.recipe['name']}, seed {record.recipe['seed']}"),
        ("accuracy", f"{percent(result.accuracy)} ({result.split})" if result else ""),
        ("test", f"{percent(tested[0] / tested[1])} ({tested[0]:,} of {tested[1]:,})" if tested else "not evaluated"),
        ("contract", f"{verdict.contract.name}: {verdict.word}" if verdict is not None else "not verified"),
        *facts_of(record),
        ("files", ", ".join(sorted(path.name for path in run.folder.iterdir() if not path.name.startswith(".")))),
    ])  # fmt: skip
    finished = record.status == "finished"
    typer.echo(printable(f"next: tinydigits {'verify' if finished else 'train --resume'} {run.folder}"))


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's folder or name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Show in what two runs differ: settings, circumstances, results, and their answers to the same images.

    McNemar's exact test asks whether one is really better, from the images that only one of them gets right: on test
    images once both were verified, and on validation images where both held out the same ones.
    """
    from tinydigits.run import comparable_answers, find_differences, open_run, pair

    runs = [open_run(target, out) for target in (first, second)]
    differences = find_differences(*runs)
    one, other = map(comparable_answers, runs)
    pairs = [pair(one[images], other[images]) for images in one if images in other]
    if json:
        _print_json(runs, differences, pairs)
        return
    _print_differences(runs, differences)
    for paired in pairs:
        typer.echo(
            f"\non the same {paired.seen:,} {paired.what} images: both right {paired.both_right:,}, "
            f"only A {paired.won:,}, only B {paired.lost:,}, both wrong {paired.both_wrong:,}\n"
            f"  A - B = {points(paired.difference)} points, 95 % interval {points_interval(paired.interval)}; "
            f"McNemar's p = {p_value(paired.p_value)}"
        )
    if not pairs:
        typer.echo("\nno set of images that both were evaluated on and whose answers both keep")
    unasked = [run for run, sets in zip(runs, (one, other), strict=True) if not any(key[1] == "test" for key in sets)]
    for run in unasked:
        typer.echo(printable(f"next: tinydigits verify {run.folder}"))
    if not unasked:
        typer.echo(printable(f"next: tinydigits report {runs[0].folder} {runs[1].folder}"))


def _print_json(runs: list[Run], differences: list[Difference], pairs: list[Paired]) -> None:
    import json
    from dataclasses import asdict

    tests = [
        asdict(paired)
        | {"difference": paired.difference, "p_value": paired.p_value, "interval": asdict(paired.interval)}
        for paired in pairs
    ]
    tree = {"runs": [str(run.folder) for run in runs], "differences": list(map(asdict, differences)), "paired": tests}
    typer.echo(json.dumps(tree, indent=1))


def _print_differences(runs: list[Run], differences: list[Difference]) -> None:
    from tinydigits.cli.console import plain_console, print_table
    from tinydigits.table import Table

    if not differences:
        typer.echo("the same in all settings and results")
        return
    head = ["", *(printable(f"{letter}: {run.name}") for letter, run in zip("AB", runs, strict=True))]
    rows: list[list[str]] = []
    kind = ""
    for difference in differences:
        values = [printable(_value(difference.name, value)) for value in (difference.first, difference.second)]
        if values[0] == values[1]:
            continue  # they differ in less than is shown
        if difference.kind != kind:
            kind = difference.kind
            rows.append([f"{kind}s", "", ""])
        rows.append([f"  {difference.name}", *values])
    print_table(
        plain_console(), Table(head, rows, "lll"), folded=head[1:],
        style=lambda column, cell: "" if column or cell.startswith(" ") else "dim",
    )  # fmt: skip


def _value(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith("accuracy"):
        return percent(value)
    if isinstance(value, float):
        return f"{value:.4g}" if not name.startswith("seconds") else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@app.command()
def rm(
    targets: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs' folders or names.")],
    out: Out = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs for good. Asks first; removes nothing that is not a run, and nothing behind a link."""
    import sys

    from tinydigits.errors import TinydigitsError
    from tinydigits.run import find_removable, remove

    runs = list({run.folder: run for run in (find_removable(target, out) for target in targets)}.values())
    for run in runs:
        files = [path for path in run.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        size = sum(path.stat().st_size for path in files)
        typer.echo(printable(f"{run.folder}: {run.record.status}, {len(files)} files, {size / 1e6:.1f} MB"))
    if not yes:
        if not sys.stdin.isatty():
            raise TinydigitsError("runs rm", "there is nobody to ask", hint="--yes")
        typer.echo(f"remove {'this run' if len(runs) == 1 else f'these {len(runs)} runs'}? [y/N]: ", nl=False)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise TinydigitsError("runs rm", "nothing was removed")
    for run in runs:
        remove(run)
    typer.echo(f"removed {len(runs)}\nnext: tinydigits runs ls")
