"""The workers of one machine: processes that run many trials each, with the cores divided among them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

from tinydigits.errors import DataWarning, Interrupted, TinydigitsError, print_warnings
from tinydigits.signals import Terminated, sigterm_raises
from tinydigits.sweep.lease import Lease
from tinydigits.sweep.standing import Standing
from tinydigits.sweep.study import Study

__all__ = ["join", "work"]

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_STOP = 60.0


def join(
    study: Study,
    *,
    workers: int = 1,
    threads: int | None = None,
    device: str = "auto",
    on_progress: Callable[[Standing], None] = lambda standing: None,
) -> Standing:
    """Work on a study with so many processes of this machine, until it is finished; gives where it stands then.

    >>> import tempfile
    >>> from tinydigits.sweep import Sweep, create
    >>> sweep = Sweep(name="mine", recipe="digits", set={"epochs": 1}, vary={"optimizer.lr": [0.01, 0.02]})
    >>> with tempfile.TemporaryDirectory() as out:
    ...     [(row.settings, row.facts["seen"]) for row in join(create(sweep, out)).done]
    [({'optimizer.lr': 0.01}, 200), ({'optimizer.lr': 0.02}, 200)]

    Each process has its share of the cores as threads, or `threads`. One that is killed is missed by its trial alone,
    which another takes over. Raises Interrupted after Ctrl-C (each worker keeps a checkpoint of its trial), and
    TinydigitsError for what stopped a worker, or when none is left.
    """
    standing = study.standing()
    on_progress(standing)
    if standing.is_finished:
        return standing
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    share = max(1, _num_cores() // workers)
    before = os.environ.get("OMP_NUM_THREADS")
    crew: list[multiprocessing.context.SpawnProcess] = []
    receivers = []
    try:
        os.environ["OMP_NUM_THREADS"] = str(threads or share)  # torch reads it as it is imported
        for _ in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (study, sender, threads, device, not crew)
            process = context.Process(target=_work, args=arguments, name="tinydigits-sweep")
            process.start()
            sender.close()
            crew.append(process)
            receivers.append(receiver)
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)
    try:
        with sigterm_raises():
            while any(process.is_alive() for process in crew):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                on_progress(study.standing())
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        raise Interrupted(
            f"study {study.folder}", "every trial that has ended is kept", signal_number=number
        ) from error
    finally:
        _stop(crew)
    standing = study.standing()
    on_progress(standing)
    if not standing.is_finished:
        messages = [word for word in map(_message, receivers) if word]
        raise TinydigitsError(f"study {study.folder}", messages[0] if messages else "all its workers were killed")
    return standing


def work(study: Study, *, lease: Lease | None = None, threads: int | None = None, device: str = "auto") -> None:
    """Work on a study until it is finished, whoever else works on it.

    A place in the sweep belongs to the first trial, by Optuna's number, that was begun for it and is not given up. A
    worker begins a trial, looks whether an earlier one has the place, and if so withdraws. The trial of a worker that
    has died is closed as failed, which only one can do and which frees the place; whoever was taken for dead and was
    not finds its trial closed, and what it has measured does not count.

    Raises Interrupted after Ctrl-C or SIGTERM, once the trial is given up; whoever takes over uses its checkpoint.
    """
    from tinydigits.sweep.worker import Worker  # with torch, which lists of sweeps and the crew do without

    worker = Worker(study, lease or Lease(), threads, device)
    while (trial := worker.claim()) is not None:
        worker.run(trial)


def _work(study: Study, sender: Connection, threads: int | None, device: str, is_first: bool) -> None:
    """A worker's process; all read the same data, and the first alone warns of them."""
    print_warnings()
    if not is_first:
        warnings.simplefilter("ignore", DataWarning)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # raises KeyboardInterrupt
    _stop_when_orphaned(os.getppid())
    try:
        work(study, threads=threads, device=device)
    except (Interrupted, KeyboardInterrupt):
        os._exit(130)  # a trial is given up by now, and there is nothing to tidy up
    except TinydigitsError as error:
        sender.send(str(error))
    except BaseException as error:  # also what would end this process with 0
        import traceback

        if os.environ.get("TINYDIGITS_DEBUG") == "1":
            traceback.print_exc()
        sender.send(f"{type(error).__name__}: {error}")


def _stop_when_orphaned(parent: int) -> None:
    """End as by SIGTERM once the process that started this one is gone: nobody would see or stop it any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _stop(crew: list[multiprocessing.context.SpawnProcess]) -> None:
    """Let the workers write their checkpoints; a terminal's Ctrl-C has reached them already."""
    for process in crew:
        if process.is_alive():
            process.terminate()
    until = time.monotonic() + _SECONDS_TO_STOP
    for process in crew:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _message(receiver: Connection) -> str:
    try:
        return str(receiver.recv()) if receiver.poll() else ""
    except EOFError:
        return ""


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
