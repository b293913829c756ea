"""A stranger's code in its worker: what it cannot do, and what is said of it. Real processes, by the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tinydigits.contract import Contract
from tinydigits.errors import EndsProcess, TinydigitsError
from tinydigits.trace import ExportedModel
from tinydigits.verdict import load
from tinydigits.verification import Request, process, verify

NET = """
import atexit, ctypes, json, os, pathlib, socket, subprocess, sys, tempfile, threading, time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, images):
        return self.layers(images)
"""
SMALL = "[model]\nparameters.max = 100\n"
LARGE = "[model]\nparameters.max = 10_000\n[shapes]\noutput = true\n"

# A process that shuts itself in, and what it finds to be refused.
SHUT_IN = """
import sys
from tinydigits import sandbox
sandbox.shut_in(*sandbox.readable_places(), "nowhere")
print(*sandbox.try_forbidden(sys.argv[1]), sep=",")
"""
REFUSED = subprocess.run(
    [sys.executable, "-c", SHUT_IN, __file__], capture_output=True, text=True, check=True
).stdout  # fmt: skip
needs_landlock = pytest.mark.skipif("other files" not in REFUSED, reason="no Landlock in this kernel")


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tinydigits", "verify", "net.py:Net", "--contract", "c.toml", *words],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Any]:
    """The verdict on some code, against limits."""

    def judge(code: str, contract: Contract | None = None, **request: Any) -> Any:
        (tmp_path / "net.py").write_text(code, encoding="utf-8")
        target = f"{tmp_path}/net.py:Net"
        limits = contract or Contract(name="c", model={"parameters": {"max": 10_000}})
        return verify(Request(target=target, contract=limits, threads=1, **request))

    return judge


# None of these changes the exit code, a file or what the terminal shows, though the contract is not held.
TAKES_OVER = """
print("check  measured\\nnet.py:Net against c: holds (16 pass)", flush=True)
print("::error::taken over", file=sys.stderr, flush=True)
atexit.register(os._exit, 0)
for file in pathlib.Path({folder!r}).glob("*.toml"):
    try:
        file.write_text("[model]\\nparameters.max = 10_000_000\\n")
    except OSError as error:
        print("refused", error)
import tinydigits.verdict, tinydigits.checks
tinydigits.verdict.Verdict.exit_code = 0
tinydigits.checks.run = lambda *given: None
threading.Thread(target=lambda: (time.sleep(3600), os._exit(0)), daemon=True).start()
"""


@needs_landlock
def test_code_that_means_to_take_the_verdict_over_changes_nothing(tmp_path: Path) -> None:
    takes_over = TAKES_OVER.format(folder=str(tmp_path))
    (tmp_path / "net.py").write_text(NET + takes_over, encoding="utf-8")
    (tmp_path / "c.toml").write_text(SMALL, encoding="utf-8")
    done = command(tmp_path, "--json", "v.json")
    verdict = load(tmp_path / "v.json")
    assert (done.returncode, verdict.word) == (1, "does not hold"), done.stderr
    assert (tmp_path / "c.toml").read_text(encoding="utf-8") == SMALL
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith(("::", "net.py:Net against c: holds"))], done.stdout
    (printed,) = [line for line in lines if line.startswith("its code printed: check  measured")]
    assert "Permission denied" in printed and "a sandbox, which refused it other files" in done.stdout


@pytest.mark.parametrize(
    ("code", "when"),
    [
        (NET + "os._exit(0)\n", "built"),
        (NET + "threading.Thread(target=os._exit, args=[0]).start(); time.sleep(60)\n", "built"),
        (NET.replace("return self", "os._exit(0); return self"), "called"),
        (NET + "ctypes.string_at(0)\n", "built"),
    ],
    ids=["at import", "by a thread", "in forward", "by a crash"],
)
def test_code_that_ends_its_process_has_no_verdict(tmp_path: Path, code: str, when: str) -> None:
    (tmp_path / "net.py").write_text(code, encoding="utf-8")
    (tmp_path / "c.toml").write_text(LARGE, encoding="utf-8")
    done = command(tmp_path, "--json", "v.json")
    assert done.returncode == 2 and not (tmp_path / "v.json").exists()
    assert f"net.py:Net: ends the process when it is {when} (" in done.stderr and not done.stdout.strip()


def test_code_that_does_not_answer_has_no_verdict(judged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_SECONDS", 8.0)
    with pytest.raises(EndsProcess, match=r"built \(no answer within 8 s\)"):
        judged(NET + "time.sleep(600)\n")


@needs_landlock
def test_a_child_that_holds_the_channel_does_not_keep_the_judge(
    judged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_SECONDS", 20.0)
    leaves = """
if os.fork() == 0:
    try: os.setsid()
    except PermissionError: print("stays in its session", flush=True)
    time.sleep(600)
time.sleep(1)
os._exit(3)
"""
    with pytest.raises(EndsProcess, match=r"built \(exit code 3\)"):
        judged(NET + leaves)


FORGERY = """
from tinydigits import messages
pipes = [number for number in range(3, 12) if pathlib.Path(f"/proc/self/fd/{{number}}").exists()]
for number in pipes:
    try:
        with os.fdopen(os.dup(number), "wb") as stream: {act}
    except OSError: pass
"""
FORGED = {
    "an answer ahead of the question": 'messages.send(stream, {"class": "Net"})',
    "fields without end": r'stream.write(b"\xff\xff\xff\x3f\0\0\0\0" + b"[" * 1000)',
    "nested fields": r'stream.write(b"\x40\x0d\x03\0\0\0\0\0" + b"[" * 200_000)',
    "fields of another kind": 'messages.send(stream, [["fields", 1]])',
    "a part of no size": r"""stream.write(b'\x28\0\0\0\0\0\0\0{"fields":{"a":1},"parts":{"eval":-123456}}')""",
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_reply_is_no_verdict(judged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(process, "_SECONDS", 60.0)
    with pytest.raises(EndsProcess, match=r"built \((no message of ours|exit code 1)\)"):
        judged(NET + FORGERY.format(act=FORGED[what]))


@needs_landlock
def test_a_link_that_is_called_code_does_not_open_another_file(judged: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "code.py").symlink_to("secret.txt")
    with pytest.raises(TinydigitsError, match="Permission denied"):
        judged(NET + "pathlib.Path(__file__).with_name('code.py').read_text()\n")


def test_parts_may_bear_the_names_of_what_holds_them(judged: Callable[..., Any]) -> None:
    names = sorted({*vars(ExportedModel), "constants", "modes", "reader", "contents"} - {*dir(nn.Module), "forward"})
    layers = "\n".join(f"        self.{name} = nn.Linear(10, 10)" for name in names if not name.startswith("__"))
    call = "".join(f"self.{name}(" for name in names if not name.startswith("__"))
    code = NET.replace("        self.layers", f"{layers}\n        self.layers")
    code = code.replace("return self.layers(images)", f"return {call}self.layers(images){')' * call.count('(')}")
    behaviour = dict.fromkeys(("save_and_load", "gradients", "train_step"), True)
    assert judged(code, Contract(name="c", model={"parameters": {"max": 10_000}}, behaviour=behaviour))


def test_code_that_cannot_be_copied_is_judged_all_the_same(judged: Callable[..., Any]) -> None:
    code = NET.replace("        self.layers", "        self.lock = threading.Lock()\n        self.layers")
    assert judged(code).findings["model.parameters"].status == "pass"


def test_code_that_writes_into_the_judges_channel_has_no_verdict(judged: Callable[..., Any]) -> None:
    floods = "for number in range(3, 12):\n    try: os.write(number, b'x' * 64)\n    except OSError: pass\n"
    with pytest.raises(EndsProcess, match=r"no message of ours|exit code"):
        judged(NET + floods)


@needs_landlock
def test_a_sandbox_refuses_what_it_says_and_a_probe_of_the_models_own_agrees(
    judged: Callable[..., Any], tmp_path: Path
) -> None:
    probes = """
def tried(act):
    try: act(); return "done"
    except OSError as error: return type(error).__name__
here, parent = pathlib.Path(__file__).parent, os.getppid()
print(json.dumps([tried(act) for act in (
    lambda: (here / "net.pth").read_bytes(), lambda: (here / "net.py").open("a"),
    lambda: socket.create_connection(("127.0.0.1", 9)), lambda: socket.socket(socket.AF_UNIX),
    lambda: os.kill(parent, 0), lambda: pathlib.Path(f"/proc/{parent}/environ").read_bytes(),
    lambda: subprocess.run(["cat", str(here / "net.pth")], check=True, capture_output=True),
    lambda: torch.from_file(str(here / "net.pth"), size=10, dtype=torch.uint8),
    lambda: pathlib.Path(tempfile.gettempdir(), "own").write_text("1"), lambda: pathlib.Path("log").write_text("1"),
)]), sorted(os.environ))
"""
    probes = probes.replace("except OSError", "except (OSError, RuntimeError, subprocess.CalledProcessError)")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "net.pth")
    verdict = judged(NET + probes)
    told, _, environment = verdict.target.printed.partition("] [")
    forbidden = (
        "other files", "writing elsewhere", "the network", "local sockets", "signals to others", "others' environment"
    )  # fmt: skip
    assert verdict.target.refused == tuple(REFUSED.strip().split(","))
    tried = dict(zip(forbidden, json.loads(told + "]"), strict=False))
    assert {what for what, result in tried.items() if result == "PermissionError"} == set(verdict.target.refused)
    assert json.loads(told + "]")[len(forbidden) :] == ["CalledProcessError", "RuntimeError", "done", "done"]
    assert "TINYDIGITS" not in environment


@needs_landlock
def test_neither_weights_beside_the_code_nor_the_test_images_of_a_package_can_be_read(
    judged: Callable[..., Any], tmp_path: Path
) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "hidden.pth")
    with pytest.raises(TinydigitsError, match=r"Permission denied[^\n]*hidden\.pth") as refused:
        judged(NET + "torch.load(pathlib.Path(__file__).with_name('hidden.pth'))\n")
    assert "--weights" in refused.value.hint
    with pytest.raises(TinydigitsError, match="Permission denied"):
        judged(NET + "from sklearn.datasets import load_digits\nload_digits()\n")


def test_a_project_of_several_files_loads_with_its_weights(judged: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "parts" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "parts" / "deep" / "blocks.py").write_text("from torch import nn\nHead = nn.Linear\n", encoding="utf-8")
    code = """
import importlib
from torch import nn
blocks = importlib.import_module("parts." + "deep.blocks")

class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = blocks.Head(width, 10)

    def forward(self, images):
        return self.head(self.net(images).flatten(1))
"""
    body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    state = {f"net.{name}": tensor for name, tensor in body.state_dict().items()}
    state |= {f"head.{name}": tensor for name, tensor in nn.Linear(6, 10).state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    behaviour = dict.fromkeys(("save_and_load", "train_eval", "gradients", "batch_invariance", "device_movement"), True)
    contract = Contract(
        name="c", model={"parameters": {"equals": 142}, "layers": {"require": ["batch_norm"]}}, behaviour=behaviour
    )
    verdict = judged(code, contract, options={"width": 6}, weights=tmp_path / "w.pth")
    assert verdict, verdict
    assert verdict.findings["model.graph"].measured == "within 0.0e+00"


NO_GRAPH = {
    "decides by values": (NET.replace("return self", "images.sum() > 1e9 and print(); return self"), "by the values"),
    "an operation of its own": (
        NET.replace("return self.layers(images)", "return opaque(self.layers(images))") + """
@torch.library.custom_op("test_worker::opaque", mutates_args=())
def opaque(x: torch.Tensor) -> torch.Tensor:
    return x * 2
opaque.register_fake(lambda x: torch.empty_like(x))
opaque.register_autograd(lambda ctx, g: g * 2)
""",
        "goes through test_worker.opaque.default",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NO_GRAPH)
def test_what_has_no_graph_is_judged_by_its_answers_and_undecided_where_a_graph_is_needed(
    judged: Callable[..., Any], what: str
) -> None:
    code, why = NO_GRAPH[what]
    contract = Contract(
        name="c", model={"parameters": {"max": 10_000}}, behaviour={"batch_invariance": True, "train_step": True}
    )
    verdict = judged(code, contract)
    assert verdict.word == "undecided"
    statuses = {finding.check: finding.status for finding in verdict.findings}
    assert statuses["behaviour.batch_invariance"] == "pass" and statuses["behaviour.train_step"] == "not run"
    parameters = verdict.findings["model.parameters"]
    assert (parameters.status, parameters.measured) == ("undecided", "at least 7,850")
    assert why in parameters.why and why in verdict.findings["behaviour.train_step"].why


def test_code_that_answers_otherwise_than_its_graph_fails(judged: Callable[..., Any]) -> None:
    hides = (
        "answers = self.layers(images)\n        return answers if torch.compiler.is_exporting() else answers.flip(1)"
    )
    verdict = judged(NET.replace("return self.layers(images)", hides))
    assert verdict.word == "does not hold" and verdict.findings["model.parameters"].status == "pass"
    graph = verdict.findings["model.graph"]
    assert graph.status == "fail" and "answers otherwise than its graph" in graph.why


def test_a_backward_pass_of_its_own_leaves_what_gradients_tell_undecided(judged: Callable[..., Any]) -> None:
    straight = """
class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.sign()
    @staticmethod
    def backward(ctx, g): return g
"""
    code = NET.replace("return self.layers(images)", "return Sign.apply(self.layers(images))") + straight
    verdict = judged(code, Contract(name="c", behaviour={"gradients": True, "determinism": True}))
    gradients = verdict.findings["behaviour.gradients"]
    assert gradients.status == "not run" and "Sign is written by hand" in gradients.why
    assert verdict.findings["behaviour.determinism"].status == "pass"


def test_a_graph_that_asks_for_too_much_memory_is_no_verdict(tmp_path: Path) -> None:
    greedy = "return self.layers(images) + torch.zeros(len(images) * 10**11).sum()"
    (tmp_path / "net.py").write_text(NET.replace("return self.layers(images)", greedy), encoding="utf-8")
    (tmp_path / "c.toml").write_text(LARGE, encoding="utf-8")
    done = command(tmp_path)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "holds" not in done.stdout.replace("does not hold", "")
