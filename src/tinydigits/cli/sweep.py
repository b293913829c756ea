"""`tinydigits sweep`: many runs of one recipe, a grid or a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tinydigits.figures import interval, percent, setting, spread
from tinydigits.table import Table

if TYPE_CHECKING:
    from tinydigits.sweep import Row, Standing, Study, Sweep

_MOST_ROWS = 10


class _RunByDefault(TyperGroup):
    """`tinydigits sweep RECIPE …` is `tinydigits sweep run RECIPE …`."""

    implied = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.implied, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Many runs of one recipe, as a grid or a search. `sweep RECIPE` is short for `sweep run RECIPE`.",
    no_args_is_help=True,
)

Workers = Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes, with the cores divided among them.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads of each, in place of its share.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder that the study's folder is in.")]
Storage = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="postgresql://…, for machines without a shared folder.")
]


@app.command()
def run(
    target: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, or a sweep: a name or a TOML file.")],
    vary: Annotated[
        list[str] | None, typer.Option("--vary", metavar="KEY=A,B,…", help="A grid: values of a setting; repeatable.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="A grid: so many seeds for each combination.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="KEY=RANGE",
            help="A search: 0..0.5, log:1e-4..1e-1, int:4..48 or A,B,…; `model` alone: all ranges that it declares.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="A search: so many trials.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="A search: so long, as in 90s, 30m, 2h.")
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(help="A search keeps its static limits; alone: search the model's options and the rate."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="A grid: put each run to the contract, test images included.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of every trial; repeatable.")
    ] = None,
    workers: Workers = 1,
    threads: Threads = None,
    device: Device = None,
    out: Out = Path("runs"),
    storage: Storage = None,
) -> None:
    """Run a grid or a search to its end; the same command again goes on where it was stopped.

    A grid trains every combination of --vary with every seed. A search lets Optuna's TPE choose, by accuracy on
    validation images, and ends trials early that fall behind. The trials are plain runs in the study's folder.
    """
    from tinydigits.run import at_latest
    from tinydigits.sweep import create

    target = at_latest(target, out)
    given: dict[str, Any] = {"seeds": seeds, "trials": trials, "budget": budget, "contract": contract}
    lists = {"--vary": vary or [], "--search": search or [], "--set": settings or []}
    sweep = _read(target, {key: value for key, value in given.items() if value is not None}, lists, verify)
    _work(create(sweep, out, storage=storage), workers, threads, device)


@app.command()
def join(
    target: Annotated[str, typer.Argument(metavar="STUDY", help="A study's folder, or its name.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="The code that it trains, as file.py:Class, where you trust it; repeatable."
        ),
    ] = None,
    workers: Workers = 1,
    threads: Threads = None,
    device: Device = None,
    out: Out = Path("runs"),
    storage: Storage = None,
) -> None:
    """Add workers to a study, on this machine or any other that sees its folder or its storage."""
    from tinydigits import models
    from tinydigits.sweep import open_study

    for spec in model or []:
        models.allow(spec, lasting=True)  # for its workers, which are processes of their own
    _work(open_study(target, out, storage=storage), workers, threads, device)


def _read(target: str, options: dict[str, Any], lists: dict[str, list[str]], verify: bool) -> Sweep:
    from tinydigits.errors import TinydigitsError
    from tinydigits.recipe import parse_settings
    from tinydigits.sweep import check, is_sweep, load

    if is_sweep(target):
        if options or verify or any(lists.values()):
            raise TinydigitsError(
                f"sweep {target}", "is a file that says all of it", hint=f"tinydigits sweeps cp {target} mine.toml"
            )
        return load(target)
    name = Path(target).stem if target.endswith(".toml") else target
    tree = options | {"name": name, "recipe": target, "verify": verify}
    tree["set"] = parse_settings("sweep", lists["--set"])
    tree["vary"] = _grid(lists["--vary"])
    tree["search"] = {
        key: text if ".." in text or not text else _split(text)
        for key, _, text in (option.partition("=") for option in lists["--search"])
    }
    if "contract" in options and not (verify or tree["vary"] or tree["search"] or "seeds" in options):
        tree["search"] = {"model": "", **_around_lr(target)}
    return check(tree)


def _grid(options: list[str]) -> dict[str, Any]:
    from tinydigits.errors import TinydigitsError

    values = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key.strip() or not text:
            raise TinydigitsError("--vary", got=option, expected="KEY=A,B")
        values[key.strip()] = _split(text)
    return values


def _split(text: str, *, whole: bool = False) -> list[Any]:
    """Values as TOML, or else plain strings, separated by commas."""
    import tomllib

    try:
        return list(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return [text] if whole else [value for part in text.split(",") for value in _split(part.strip(), whole=True)]


def _around_lr(name: str) -> dict[str, str]:
    """The learning rate that the recipe has, a quarter to four times."""
    from tinydigits.recipe import load

    lr = load(name).optimizer.lr
    return {"optimizer.lr": f"log:{lr / 4:.6g}..{lr * 4:.6g}"}


def _work(study: Study, workers: int, threads: int | None, device: str | None) -> None:
    from tinydigits.cli.sweep_progress import watch
    from tinydigits.errors import Interrupted
    from tinydigits.sweep import join as join_study

    typer.echo(f"study: {study.folder}")
    try:
        with watch() as on_progress:
            standing = join_study(
                study, workers=workers, threads=threads, device=device or "auto", on_progress=on_progress
            )
    except Interrupted as error:
        hint = f"tinydigits sweep join {study.folder}"
        raise Interrupted(error.where, error.problem, hint=hint, signal_number=error.signal_number) from error
    _show(study, standing)


def _show(study: Study, standing: Standing) -> None:
    from tinydigits.cli.console import plain_console, print_table

    table = _searched(standing) if study.sweep.search else _compared(standing)
    print_table(plain_console(), table, folded=table.head)
    counts = [f"{len(standing.done)} trials"]
    for state in ("pruned", "diverged"):
        number = sum(row.state == state for row in standing.done)
        counts += [f"{number} {state}"] if number else []
    counts += [f"{standing.rejected} rejected before training"] if standing.rejected else []
    typer.echo(f"{', '.join(counts)}; accuracy on {_split_name(standing)} images")
    best = standing.best
    recipe = study.folder / best.run / "recipe.toml" if best is not None else None
    if study.sweep.search and recipe is not None and recipe.is_file():  # without a shared folder, not on all machines
        typer.echo(f"next: tinydigits train {recipe} --set data.validation=0 --seeds 5")
    typer.echo(f"next: tinydigits report {study.folder}")


def _split_name(standing: Standing) -> str:
    return next((str(row.facts["split"]) for row in standing.done if "split" in row.facts), "no")


def _searched(standing: Standing) -> Table:
    """The best trials of a search, with what was set."""
    keys = _keys(standing.done)
    finished = [row for row in standing.done if row.state == "finished"]
    rows = [
        [
            str(row.slot + 1), *(setting(row.settings.get(key)) for key in keys), f"{row.facts['parameters']:,}",
            percent(row.value or 0), f"{row.seconds:.1f}",
        ]
        for row in sorted(finished, key=lambda row: (-(row.value or 0), row.slot))[:_MOST_ROWS]
    ]  # fmt: skip
    return _table(["trial", *_short(keys), "parameters", "accuracy", "seconds"], rows)


def _compared(standing: Standing) -> Table:
    """Each combination of a grid with the mean over its seeds."""
    from tinydigits.stats import mean_interval

    keys = _keys(standing.done)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in standing.done:
        groups.setdefault(tuple(setting(row.settings.get(key)) for key in keys), []).append(row)
    rows = []
    for values, trials in groups.items():
        accuracies = [row.value for row in trials if row.state == "finished" and row.value is not None]
        ends = interval(mean_interval(accuracies)) if len(accuracies) > 1 else ""
        accuracy = spread(accuracies, 2) if accuracies else trials[0].state
        seconds = f"{sum(row.seconds for row in trials) / len(trials):.1f}"
        rows.append([*values, str(len(accuracies)), accuracy, ends, seconds])
    return _table([*_short(keys), "n", "accuracy", "95 % interval", "seconds"], rows)


def _table(head: list[str], rows: list[list[str]]) -> Table:
    return Table(head, rows, "r" * len(head))


def _keys(rows: tuple[Row, ...]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row.settings))


def _short(keys: list[str]) -> list[str]:
    """The last part of each setting's name, where that says which is meant."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]
