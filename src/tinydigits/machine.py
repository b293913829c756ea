"""What a result was measured on: machine, versions, commit, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = [
    "cache_root", "describe_arithmetic", "describe_machine", "describe_versions", "find_git_commit",
    "freed_memory_kept", "is_forked", "machine_words", "peak_memory_bytes",
]  # fmt: skip

_USUAL_THRESHOLD_BYTES = 128 * 1024  # of glibc, for both

_PROCESS = os.getpid()


def is_forked() -> bool:
    """Whether this process was forked after it had loaded this module: it has its parent's memory, not its threads.

    >>> is_forked()
    False
    """
    return os.getpid() != _PROCESS


def cache_root() -> Path:
    """The folder of what can be had again: downloads; `TINYDIGITS_CACHE`, or else in the user's cache folder.

    >>> cache_root().is_absolute()
    True
    """
    from platformdirs import user_cache_path

    root = os.environ.get("TINYDIGITS_CACHE")
    return Path(root).expanduser().absolute() if root else user_cache_path("tinydigits")


_INSTRUCTIONS = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in bytes and operating system; nothing that names the user or the host.

    >>> sorted(describe_machine())
    ['instructions', 'memory_bytes', 'num_cores', 'processor', 'system']

    `instructions` are the sets of vector and matrix instructions by which libraries choose their kernels, where the
    system tells them: another set, other bits.
    """
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _noted("cpuinfo", "model name") or platform.processor() or platform.machine(),
        "instructions": [flag for flag in _noted("cpuinfo", "flags", "Features").split() if flag in _INSTRUCTIONS],
        "num_cores": os.cpu_count() or 1,
        "memory_bytes": pages,
    }


def machine_words(machine: Mapping[str, Any], device: str = "", threads: int = 0) -> str:
    """A recorded machine for people, and what of it was used.

    >>> machine_words({"processor": "EPYC", "num_cores": 2, "system": "Linux x86_64"}, "cpu", 1)
    'EPYC, 2 cores, Linux x86_64; cpu, 1 thread'
    >>> machine_words({})
    'an unknown processor'
    """
    cores = machine.get("num_cores", 0)
    parts = [machine.get("processor") or "an unknown processor", f"{cores} core{'s' * (cores != 1)}" if cores else ""]
    used = [device, f"{threads} thread{'s' * (threads != 1)}" if threads else ""]
    return "; ".join(", ".join(filter(None, words)) for words in ([*parts, machine.get("system")], used) if any(words))


def _noted(file: str, *names: str) -> str:
    """What Linux first says in a file of `/proc` under one of some names; nothing elsewhere."""
    try:
        for line in Path("/proc", file).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    except OSError:
        pass  # not Linux
    return ""


def describe_arithmetic(device: str = "cpu") -> dict[str, Any]:
    """What of torch decides in which order numbers are added, and so the last bits: kernels, libraries, the GPU.

    >>> sorted(describe_arithmetic())
    ['kernels', 'libraries']

    `kernels` is the instruction set that torch's own kernels use, `libraries` are those that are there. For a CUDA
    device also `gpu`, `cuda` and `cudnn`. Imports torch.
    """
    import torch

    backends = {"mkl": torch.backends.mkl, "onednn": torch.backends.mkldnn, "openmp": torch.backends.openmp}
    described: dict[str, Any] = {
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "libraries": [name for name, backend in backends.items() if backend.is_available()],
    }
    if device.startswith("cuda"):
        described |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda,
                  "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    return described


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result.

    >>> sorted(describe_versions())
    ['numpy', 'python', 'tinydigits', 'torch']
    """
    versions = {"python": platform.python_version()}
    for package in ("tinydigits", "torch", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            versions[package] = "unknown"
    return versions


def find_git_commit() -> str | None:
    """The commit of the current folder's git repository, with `-dirty` where tracked files were changed, or None.

    >>> find_git_commit() is None or len(find_git_commit()) >= 40
    True
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far (resident set), in bytes; 0 where the system does not tell.

    >>> peak_memory_bytes() >= 0
    True

    Linux keeps it in `/proc`. What getrusage says there starts from the peak of the process that started this one.
    """
    if kilobytes := _noted("self/status", "VmHWM"):
        return int(kilobytes.split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def freed_memory_kept(largest_block_bytes: int | None = None) -> Iterator[None]:
    """A block in which glibc's allocator keeps freed memory instead of giving it back to the system after every step.

    >>> with freed_memory_kept():
    ...     pass

    A training step allocates and frees the same few megabyte-sized tensors again and again. By default glibc maps and
    unmaps them each time, and the kernel must clear every page anew: 12,000 page faults a step were seen for se-resnet
    at batch 64, a third of its time. But what is kept lies in pieces that the next step does not quite fit into: blocks
    over `largest_block_bytes` still go back, which costs time and lowers the peak. Does nothing where the C library is
    another one. After the block glibc's usual thresholds are set; what it had adapted them to cannot be asked for.
    """
    largest = 2**31 - 1
    _set_allocator(largest if largest_block_bytes is None else largest_block_bytes, largest)
    try:
        yield
    finally:
        _set_allocator(_USUAL_THRESHOLD_BYTES, _USUAL_THRESHOLD_BYTES)


def _set_allocator(mmap_threshold_bytes: int, trim_threshold_bytes: int) -> None:
    import ctypes

    m_mmap_threshold, m_trim_threshold = -3, -1  # the names and numbers of malloc.h
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(m_mmap_threshold, mmap_threshold_bytes)
        library.mallopt(m_trim_threshold, trim_threshold_bytes)
