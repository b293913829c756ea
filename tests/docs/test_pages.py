"""README and docs/: generated parts are up to date, nothing is undocumented, commands to type exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import tinydigits as td
from tinydigits import checks, contract, data, models, recipe
from tinydigits.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
SHELL = {"sh", "console"}


def commands() -> Iterator[tuple[Path, str]]:
    """Every line of a shell block that a reader would type; in a console block those after a `$`."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block["language"] in SHELL:
                for line in block["code"].splitlines():
                    if block["language"] == "sh" or line.startswith("$ "):
                        yield page, line.removeprefix("$ ")
        # Commands in running text, such as `tinydigits runs ls`; "tinydigits VERB" and the like are patterns.
        for span in re.findall(r"`(tinydigits [a-z][^`]*)`", FENCE.sub("", text)):
            if not re.search(r"[A-Z\[]{3}|…", span):
                yield page, span


COMMANDS = sorted({(page.name, line) for page, line in commands() if line.strip()})
OURS = [(page, line) for page, line in COMMANDS if "tinydigits " in line.partition("#")[0]]


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_commands_to_try() -> None:
    assert len(OURS) > 20


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words lead to, and the words that are left for it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *rest = words
        if name not in command.commands and hasattr(command, "implied"):
            name, rest = command.implied, words
        words = rest
        assert name in command.commands, f"no command {name!r} among {', '.join(command.commands)}"
        command = command.get_command(None, name)
    return command, words


@pytest.mark.parametrize(("page", "line"), OURS)
def test_a_command_of_the_pages_is_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[[word.rpartition("/")[2] for word in words].index("tinydigits") + 1 :]
    if words == ["--help"]:
        return
    command, left = find_command(words)
    values = command.make_context("tinydigits", left).params
    if values.get("recipe"):
        assert values["recipe"] in recipe.names() or values["recipe"].endswith(".toml")
    if values.get("contract"):
        assert values["contract"] in contract.names() or values["contract"].endswith(".toml")


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(line for _, line in COMMANDS))))
)
def test_a_make_target_of_the_pages_exists(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_the_readme_shows_both_commands_and_pip_on_its_first_screen() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])
    for words in ("make train", "make test", "pip install", "tinydigits train"):
        assert words in first_screen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("../../actions/"):  # the workflow's own pages, beside the source tree on the web
            continue
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


def every_command(path: str, command: Any) -> Iterator[str]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_command(f"{path} {name}", inner)


def documented(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", list(every_command("tinydigits", typer.main.get_command(app))))
def test_every_verb_is_documented(path: str) -> None:
    assert re.search(rf"^##+ `{path}[ `]", documented("cli.md"), re.M)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_is_documented_and_says_what_it_is(name: str) -> None:
    assert f"| `{name}`" in documented("recipes.md")
    assert recipe.load(name).description


@pytest.mark.parametrize("name", contract.names())
def test_every_contract_is_documented_and_says_what_it_claims(name: str) -> None:
    assert f"| `{name}` |" in documented("contract.md")
    assert contract.load(name).description


@pytest.mark.parametrize("name", checks.names())
def test_every_check_is_documented(name: str) -> None:
    assert f"### `{name}`\n" in documented("contract.md")
    for field, facts in checks.get(name).limits.model_fields.items():
        assert facts.description, f"{name}: {field} has no description"


@pytest.mark.parametrize("name", models.names())
def test_every_model_is_documented(name: str) -> None:
    assert f"| `{name}` |" in documented("architecture.md")


@pytest.mark.parametrize("name", sorted(set(td.__all__) - {"__version__"}))
def test_every_public_name_has_an_example_and_says_what_it_raises(name: str) -> None:
    part = documented("reference.md").partition(f"### `td.{name}`\n")[2].partition("\n### ")[0]
    assert re.search(r"```pycon\n>>> import .*tinydigits", part)
    assert "TinydigitsError" in part or name in ("list_models", "Contract", "Recipe", "Verdict")


@pytest.mark.parametrize("name", data.names())
def test_every_data_set_is_documented(name: str) -> None:
    assert f"| `{name}` |" in documented("recipes.md")
