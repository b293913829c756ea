"""A small stand-in for GitHub's runner: it reads a workflow, runs every `run:` step for real, and plays known actions.

Played, not run: checkout is a clone, setup-python looks whether Python is there, the caches are folders with GitHub's
rules (a newer key wins; a branch reads its own entries and the default branch's), artifacts are copies. Any other
action, and any expression that it does not know, is an error.

`act` (nektos/act), which is kept, would need a network and Docker in every run of the tests: it fetches the actions of
others from GitHub. Neither Debian nor PyPI has it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Tree = dict[str, Any]


def read_yaml(path: Path) -> Tree:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@dataclass
class Runner:
    """`actions` leads from what a workflow writes after `uses:` to the folder of a composite action."""

    repository: Path
    cache: Path
    environment: Mapping[str, str]
    actions: Mapping[str, Path] = field(default_factory=dict)
    num_runs: int = 0

    def run(self, folder: Path, workflow: str, *, branch: str = "main", ref: str | None = None) -> Job:
        """The only job of a workflow, on a branch of the repository; `ref` is another for a pull request."""
        self.num_runs += 1
        for name in ("work", "temp", "artifacts"):
            (folder / name).mkdir(parents=True)
        clone = ["git", "clone", "--quiet", "--branch", branch, str(self.repository), str(folder / "source")]
        subprocess.run(clone, check=True)
        tree = read_yaml(folder / "source" / workflow)
        (spec,) = tree["jobs"].values()
        github = {
            "ref": ref or f"refs/heads/{branch}", "run_id": str(1000 + self.num_runs), "run_attempt": "1",
            "workspace": str(folder / "work"), "event": {"repository": {"default_branch": "main"}},
        }  # fmt: skip
        job = Job(self, folder, github)
        values = {"github": github, "runner": {"temp": str(folder / "temp"), "os": "Linux"}, "env": {}, "steps": {}}
        values["env"] = {name: expand(value, values, job) for name, value in spec.get("env", {}).items()}
        job.steps(spec["steps"], values, dict(values["env"]))
        for finish in reversed(job.at_end):
            finish()
        return job


@dataclass
class Job:
    runner: Runner
    folder: Path
    github: Tree
    ok: bool = True
    log: str = ""
    summary: str = ""
    names: list[str] = field(default_factory=list)
    at_end: list[Callable[[], None]] = field(default_factory=list)

    def steps(
        self, steps: list[Tree], values: Tree, environment: Mapping[str, str], action: Path | None = None
    ) -> Tree:
        """Run steps in order and give their values. A step without a word on it runs where all before succeeded."""
        values = values | {"steps": {}}
        for step in steps:
            condition = str(step.get("if", "success()")).strip().removeprefix("${{").removesuffix("}}")
            if not re.search(r"\b(always|success|failure|cancelled)\(\)", condition):
                condition = f"success() && ({condition})"
            if not evaluate(condition, values, self):
                continue
            self.names.append(step.get("name") or step.get("uses") or step["run"])
            own = {name: expand(value, values, self) for name, value in step.get("env", {}).items()}
            inputs = {name: expand(value, values, self) for name, value in step.get("with", {}).items()}
            if "run" in step:
                where = self.folder / "work" / expand(step.get("working-directory", "."), values, self)
                outputs = self.script(expand(step["run"], values, self), where, {**environment, **own}, action)
            elif step["uses"] in self.runner.actions:
                outputs = self.composite(self.runner.actions[step["uses"]], inputs, values, {**environment, **own})
            else:
                name, _, version = step["uses"].partition("@")
                assert re.fullmatch(r"v\d+", version), step["uses"]
                outputs = PLAYED[name](self, inputs) or {}
            if "id" in step:
                values["steps"][step["id"]] = {"outputs": outputs}
        return values

    def composite(self, action: Path, given: Tree, values: Tree, environment: Mapping[str, str]) -> Tree:
        tree = read_yaml(action / "action.yml")
        assert tree["runs"]["using"] == "composite"
        assert given.keys() <= tree["inputs"].keys(), f"GitHub warns of inputs that an action does not have: {given}"
        inputs = {name: given.get(name, spec.get("default", "")) for name, spec in tree["inputs"].items()}
        within = {**values, "inputs": inputs}
        for step in tree["runs"]["steps"]:
            assert "uses" in step or "shell" in step, "a composite action's step names its shell"
        within = self.steps(tree["runs"]["steps"], within, environment, action)
        return {name: expand(output["value"], within, self) for name, output in tree.get("outputs", {}).items()}

    def script(self, text: str, where: Path, environment: Mapping[str, str], action: Path | None) -> Tree:
        files = {name: self.folder / "temp" / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        known = {
            "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_WORKSPACE": self.github["workspace"],
            "GITHUB_REF": self.github["ref"], "GITHUB_RUN_ID": self.github["run_id"],
            "RUNNER_TEMP": str(self.folder / "temp"), **{name: str(path) for name, path in files.items()},
        }  # fmt: skip
        if action is not None:
            known["GITHUB_ACTION_PATH"] = str(action)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text], cwd=where, text=True, timeout=900,
            env={**self.runner.environment, **known, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.log += done.stdout
        self.ok = self.ok and done.returncode == 0
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)


def commands_of(log: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands that the runner finds in what a step prints, each with its properties and its message.

    As in actions/runner, src/Runner.Common/ActionCommand.cs and ActionCommandManager.cs: `::name key=value::message`
    after spaces, `##[name key=value]message` anywhere in a line, and none between `::stop-commands::TOKEN` and
    `::TOKEN::`.
    """
    found, token = [], ""
    for line in re.split("\r\n|\r|\n", log):
        if token:
            token = "" if line.strip() == f"::{token}::" else token
            continue
        match = re.match(r"\s*::([^ :]+)( .*?)?::(.*)", line) or re.search(r"##\[([^ \]]+)( .*?)?\](.*)", line)
        if match and match[1] == "stop-commands":
            token = match[3]
        elif match:
            pairs = (pair.partition("=") for pair in (match[2] or "").strip().split(",") if pair)
            found.append((match[1], {key: unescape(value) for key, _, value in pairs}, unescape(match[3])))
    return found


def unescape(text: str) -> str:
    return re.sub("%(0D|0A|3A|2C|25)", lambda code: chr(int(code[1], 16)), text)


# Expressions: the part of GitHub's language that these files use.


def expand(text: object, values: Tree, job: Job) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(evaluate(found[1], values, job)), str(text), flags=re.S)


def evaluate(expression: str, values: Tree, job: Job) -> Any:
    """By Python, after its operators were put in place of GitHub's; strings are left as they are."""
    parts = re.split(r"('(?:[^']|'')*')", " ".join(expression.split()))
    for number in range(0, len(parts), 2):
        code = parts[number].replace("&&", " and ").replace("||", " or ")
        code = re.sub(r"!(?!=)", " not ", code)
        parts[number] = re.sub(r"\b[a-z]+(?:\.[\w-]+)+", lambda found: f"look({found[0]!r})", code)

    def look(path: str) -> Any:
        found: Any = values
        for key in path.split("."):
            found = found.get(key, "") if isinstance(found, Mapping) else ""
        return found

    def hash_files(*patterns: str) -> str:
        work = job.folder / "work"
        files = sorted({path for pattern in patterns for path in work.glob(pattern) if path.is_file()})
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""

    functions = {
        "look": look, "always": lambda: True, "success": lambda: job.ok, "failure": lambda: not job.ok,
        "cancelled": lambda: False, "hashFiles": hash_files, "format": lambda text, *rest: text.format(*rest),
    }  # fmt: skip
    return eval("".join(parts).strip(), {"__builtins__": {}}, functions)


# The actions of others, played.


def checkout(job: Job, inputs: Tree) -> None:
    shutil.copytree(job.folder / "source", job.folder / "work", dirs_exist_ok=True)


def setup_python(job: Job, inputs: Tree) -> None:
    assert re.fullmatch(r"3\.\d+", inputs["python-version"])
    assert shutil.which("python", path=job.runner.environment["PATH"])


def restore_cache(job: Job, inputs: Tree) -> Tree:
    entries = sorted(job.runner.cache.glob("*"), reverse=True)  # the newest first
    for place, prefix in enumerate([inputs["key"], *inputs.get("restore-keys", "").split()]):
        for entry in entries:
            key, *rest = (entry / "facts").read_text(encoding="utf-8").splitlines()
            fits = key == prefix if place == 0 else key.startswith(prefix)
            if fits and rest in [[where(job, inputs["path"]), ref] for ref in (job.github["ref"], "refs/heads/main")]:
                shutil.copytree(entry / "files", inputs["path"], dirs_exist_ok=True)
                return {"cache-hit": str(place == 0).lower()}
    return {"cache-hit": "false"}


def save_cache(job: Job, inputs: Tree) -> None:
    if not Path(inputs["path"]).exists():
        return
    entry = job.runner.cache / f"{len(list(job.runner.cache.glob('*'))):04}"
    shutil.copytree(inputs["path"], entry / "files")
    facts = [inputs["key"], where(job, inputs["path"]), job.github["ref"]]
    (entry / "facts").write_text("\n".join(facts), encoding="utf-8")


def use_cache(job: Job, inputs: Tree) -> Tree:
    outputs = restore_cache(job, inputs)
    if outputs["cache-hit"] != "true":
        job.at_end.append(lambda: save_cache(job, inputs))
    return outputs


def upload(job: Job, inputs: Tree) -> None:
    work, target, found = job.folder / "work", job.folder / "artifacts" / inputs["name"], 0
    for pattern in inputs["path"].split():
        for match in [work / pattern] if (work / pattern).exists() else work.glob(pattern):
            if match.is_dir():
                shutil.copytree(match, target / (match.name if "*" in pattern else ""), dirs_exist_ok=True)
            found += 1
    assert found or inputs.get("if-no-files-found") != "error"


def where(job: Job, path: str) -> str:
    """A path as it is on every machine of GitHub's, where it is the same for each job."""
    return os.path.relpath(path, job.folder)


PLAYED: dict[str, Callable[[Job, Tree], Tree | None]] = {
    "actions/checkout": checkout,
    "actions/setup-python": setup_python,
    "actions/cache": use_cache,
    "actions/cache/restore": restore_cache,
    "actions/cache/save": save_cache,
    "actions/upload-artifact": upload,
}
