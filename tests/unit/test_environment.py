"""What a library reads while it is imported, and what is left of it in the caller's process."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from tinydigits import environment
from tinydigits.environment import telemetry_off

VARIABLES = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not imported the libraries, and a user who has decided nothing."""
    monkeypatch.setattr(environment, "_switched_off", set())
    for name in ("onnxruntime", "mlflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def values() -> dict[str, str | None]:
    return {variable: os.environ.get(variable) for variable in VARIABLES}


def test_the_variables_are_set_for_the_import_alone() -> None:
    before = dict(os.environ)
    with telemetry_off():
        assert values() == VARIABLES
    assert dict(os.environ) == before
    with pytest.raises(ImportError), telemetry_off():
        import no_such_package  # noqa: F401
    assert dict(os.environ) == before


@pytest.mark.parametrize("choice", ["0", "1", "false", ""])
def test_what_the_user_has_set_decides(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    module = SimpleNamespace(disable_telemetry_events=lambda: calls.append("disabled"))
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", choice)
    with telemetry_off():
        assert values() == VARIABLES | {"ORT_DISABLE_TELEMETRY": choice}
    assert os.environ["ORT_DISABLE_TELEMETRY"] == choice and not calls


def test_what_the_user_imported_before_is_switched_off_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, str | None]]] = []
    onnxruntime = SimpleNamespace(disable_telemetry_events=lambda: calls.append(("onnxruntime", values())))
    mlflow = SimpleNamespace(
        telemetry=SimpleNamespace(set_telemetry_client=lambda: calls.append(("mlflow", values()))),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", onnxruntime)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for _ in range(2):  # whoever switches it on again afterwards has decided
        with telemetry_off():
            pass
    assert sorted(calls) == [("mlflow", VARIABLES), ("onnxruntime", VARIABLES)]


def test_what_was_imported_within_the_block_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with telemetry_off():
        monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())  # has no function to call
    with telemetry_off():
        pass
