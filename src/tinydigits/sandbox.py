"""A process shut in for good: it reads what is listed, writes into one folder, and reaches neither network nor others.

On Linux by Landlock (files, signals) and a seccomp filter (sockets, other processes' memory); elsewhere nothing but
limits on resources, and `try_forbidden` says so. This module imports nothing that starts a thread, since a thread that
runs before `shut_in` would stay outside.

The numbers are those of linux/landlock.h, linux/seccomp.h and linux/audit.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

__all__ = ["limit_resources", "readable_places", "shut_in", "try_forbidden"]

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version of the interface; 16 since 5
_TCP, _SCOPES = 0b11, 0b11  # to bind and to connect; abstract sockets and signals of others
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER, _ADOPT_ORPHANS = 38, 22, 2, 36

# Sockets, other processes' memory, leaving the session by which it is ended, what leads around the filter or around
# Landlock, and the kernel's own interfaces.
_SYSTEM_CALLS = {
    "x86_64": (
        0xC000003E,
        (29, 41, 101, 109, 112, 165, 240, 248, 249, 250, 298, 304, 308, 310, 311, 321, 323, 425, 438),
    ),
    "aarch64": (
        0xC00000B7,
        (40, 117, 154, 157, 180, 194, 198, 217, 218, 219, 241, 265, 268, 270, 271, 280, 282, 425, 438),
    ),
}
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 13, 0x80000000  # 13: EACCES
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/bin", "/usr/bin", "/usr/share/zoneinfo",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/nsswitch.conf", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
# Data sets that come inside packages.
_DATA_SETS = ("sklearn/datasets/data", "sklearn/datasets/images", "tinydigits/pretrained/*/")


def readable_places(hidden: Iterable[str | Path] = ()) -> tuple[list[str], list[str]]:
    """What may be read: the interpreter, the system's libraries, installed packages; without data sets and `hidden`.

    >>> "/usr/lib" in readable_places()[0] or sys.platform != "linux"
    True

    A folder that holds something hidden is replaced by what else lies in it; those folders, of which the names alone
    may be read, come second.
    """
    packages = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    own = Path(__file__).resolve().parent
    roots = [*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, *packages, str(own)]
    real = {os.path.realpath(root) for root in roots if Path(root).exists()}
    out = {os.path.realpath(path) for path in hidden}
    places = [Path(place) for place in (*sys.path, str(own.parent))]
    sets = (path for place in places for name in _DATA_SETS for path in place.glob(name))
    out |= {os.path.realpath(path) for path in sets if path.name != "__pycache__"}
    readable, listable, waiting = [], [], sorted(real)
    while waiting:
        place = waiting.pop()
        if place in out:
            continue
        if not any(path.startswith(place + os.sep) for path in out):
            readable.append(place)
            continue
        listable.append(place)
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            waiting += [entry.path for entry in entries if not entry.is_symlink()]
    return readable, listable


def shut_in(readable: Sequence[str], listable: Sequence[str], writable: str) -> None:
    """From now on and for ever, for this process and its children; folders that are `listable` show names alone.

    Call it while there is one thread. Where the system has no such means, it does what it can: see `try_forbidden`.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    library.prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)  # so that the time of a child's child is seen when it has ended
    _restrict_files(library, readable, listable, writable)
    _filter_system_calls(library)


def _restrict_files(library: ctypes.CDLL, readable: Sequence[str], listable: Sequence[str], writable: str) -> None:
    version = library.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return  # a kernel without Landlock
    every = (1 << _NUM_RIGHTS.get(version, 16)) - 1
    wanted = (every, *((_TCP,) if version >= 4 else ()), *((_SCOPES,) if version >= 6 else ()))
    attributes = struct.pack(f"={len(wanted)}Q", *wanted)
    ruleset = library.syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return
    devices = [(f"/dev/{name}", _READ_FILE | _WRITE_FILE) for name in ("null", "tty")]
    own = [("/proc/self", _READ), (writable, every)]
    places = [*((path, _READ) for path in readable), *((path, _READ_DIR) for path in listable), *devices, *own]
    for path, rights in places:
        with contextlib.suppress(OSError):  # what is not there needs no rule
            descriptor = os.open(path, os.O_PATH)
            allowed = rights & every & (-1 if os.path.isdir(path) else _OF_FILES)  # noqa: PTH112 (as os.open)
            library.syscall(_ADD, ruleset, 1, struct.pack("=Qi", allowed, descriptor), 0)
            os.close(descriptor)
    library.syscall(_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _filter_system_calls(library: ctypes.CDLL) -> None:
    if platform.machine() not in _SYSTEM_CALLS:
        return
    architecture, refused = _SYSTEM_CALLS[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, _KILL), (load, 0, 0, 0)]
    program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, _KILL)]  # the same calls by their 32-bit numbers
    for number in refused:
        program += [(equal, 0, 1, number), (give, 0, 0, _REFUSE)]
    program.append((give, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    library.prctl(_SET_SECCOMP, _FILTER, whole, 0, 0)


def limit_resources(memory_bytes: int, seconds: int, file_bytes: int) -> None:
    """Bound this process: private memory, processor time, the size of a file, and no core dumps."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = [(resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_CORE, 0)]
    for kind, most in [*limits, *([(resource.RLIMIT_DATA, memory_bytes)] if sys.platform == "linux" else [])]:
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def try_forbidden(foreign_file: str) -> list[str]:
    """Try what `shut_in` forbids, and give what was really refused; `foreign_file` is one that no rule names."""
    parent = os.getppid()
    acts: dict[str, Callable[[], object]] = {
        "other files": lambda: Path(foreign_file).read_bytes(),
        "writing elsewhere": lambda: Path(foreign_file).open("ab").close(),
        "the network": lambda: socket.socket(socket.AF_INET).close(),
        "local sockets": lambda: socket.socket(getattr(socket, "AF_UNIX", socket.AF_INET)).close(),
        "signals to others": lambda: os.kill(parent, 0),
        "others' environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    }
    return [what for what, act in acts.items() if _is_refused(act)]


def _is_refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except PermissionError:
        return True
    except OSError:  # not to be had here at all, such as /proc elsewhere
        return False
    return False
