"""Mirrors that fail, and caches that were damaged.

A local server stands in for a mirror: it sends garbage, half or no end, is silent, slow or gone, or redirects; for one
of four files or for all, before a mirror that works or alone. The seconds that a mirror is waited for are 0.3 here.
Files in the cache are cut, changed and lengthened; several processes fill one cache at the same moment; and each write
into the cache fails in turn, as on a full, read-only or broken disk. Held: the very images that were published, with
nothing else in the cache, and no file asked for that was whole; or, where no mirror has them, one error that names each
mirror with its reason, and an empty cache; or, on the disk, exit code 2 with one message and no file that is not whole,
and the same command succeeds once there is room.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.reliability import Row, count_each
from benchmarks.reliability._disks import read_only, small_disk
from benchmarks.reliability._forks import Ended
from benchmarks.reliability._mirrors import (
    BAD_MIRRORS,
    LIMITS,
    Behaviour,
    Mirror,
    Mirrors,
    SmallSet,
    redirects_to,
    send,
    serving,
    small_set,
)
from benchmarks.reliability._writes import WORDS, Fault
from benchmarks.reliability.disk import wrong
from tinydigits.data import download
from tinydigits.errors import DataUnavailable, TinydigitsError

ORDER = 4
FAULTS: dict[Fault, str] = {
    "disk full": "a full disk, at a write into the cache", "read-only": "a read-only disk, at a write into the cache",
    "input/output error": "a broken disk, at a write into the cache",
}  # fmt: skip
_ROOT = Path(__file__).parents[2]
_FILL = """
import json, sys
from pathlib import Path
from benchmarks.reliability._writes import Writes
from tinydigits.data.download import Original, cache_folder, fetch
from tinydigits.errors import TinydigitsError
files, fault = json.loads(sys.argv[1])
writes = Writes(cache_folder("small").parents[1], **fault)
writes.watch()
try:
    fetch("small", [Original(*file) for file in files], [])
except TinydigitsError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
print(json.dumps(writes.steps))
"""


@dataclass(frozen=True)
class Place:
    """A cache of its own, the set, and what starts mirrors of it."""

    cache: Path
    small: SmallSet
    start: Mirrors

    def damage_of(self, *mirrors: Mirror) -> list[str]:
        """Read both splits from these mirrors: what is not as it was published."""
        with self._by(mirrors):
            found = []
            for split, prefix in (("train", "train"), ("test", "t10k")):
                try:
                    given = self.small.source.read(split)
                except TinydigitsError as error:
                    return [str(error)]
                names = (f"{prefix}-images", f"{prefix}-labels")
                same = [np.array_equal(one, self.small.arrays[name]) for one, name in zip(given, names, strict=True)]
                found += [] if all(same) else [f"other images for {split}"]
        return found + self.damage_of_cache()

    def refusal_of(self, mirrors: Sequence[Mirror], reason: str) -> list[str]:
        """Read from mirrors of which none has the files: what is wrong with how that is told."""
        with self._by(mirrors):
            try:
                self.small.source.read("train")
            except DataUnavailable as error:
                named = all(re.search(rf"{re.escape(one.url)}/small/ \(.*({reason})", str(error)) for one in mirrors)
                found = [] if named and "\n" not in str(error) else [str(error)]
                return found + [f"{path} was left" for path in self.cache.rglob("*") if path.is_file()]
        return ["it was read"]

    def damage_of_cache(self) -> list[str]:
        """Files of the cache that are not the published ones, or that are missing."""
        folder = self.cache / "data" / "small"
        there = {path.name: path.read_bytes() for path in folder.glob("*")}
        return [f"{name} in the cache" for name in there.keys() ^ self.small.contents.keys()] + [
            f"another {name}" for name in there.keys() & self.small.contents.keys()
            if there[name] != self.small.contents[name]
        ]  # fmt: skip

    def fill(self, *mirrors: Mirror, num_files: int = 4, **fault: object) -> subprocess.Popen[str]:
        """Start a process that fills the cache, with a fault at one of its steps."""
        originals = self.small.source.originals[:num_files]
        files = [(one.role, one.num_bytes, one.sha256) for one in originals]
        path = os.pathsep.join([str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [sys.executable, "-c", _FILL, json.dumps([files, fault])], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **self._variables(mirrors), "PYTHONPATH": path},
        )  # fmt: skip

    def _variables(self, mirrors: Sequence[Mirror]) -> dict[str, str]:
        urls = ",".join(mirror.url for mirror in mirrors)
        return {"TINYDIGITS_CACHE": str(self.cache), "TINYDIGITS_MIRRORS": urls, "TINYDIGITS_DATA": "", "no_proxy": "*"}

    def _by(self, mirrors: Sequence[Mirror]) -> mock._patch_dict:
        return mock.patch.dict(os.environ, self._variables(mirrors))


def fails_for(names: Collection[str], behaviour: Behaviour) -> Behaviour:
    """A mirror that behaves, but for some files."""

    def behave(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        (behaviour if handler.path.rpartition("/")[2] in names else send)(handler, content)

    return behave


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """Every bad mirror before a good one and without; 100 damaged caches; 10 caches filled twice; every write."""
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name, mock.patch.multiple(download, **LIMITS):
        small = small_set("small", seed=1)
        with serving(small) as start:
            number = 0

            def place() -> Place:
                nonlocal number
                number += 1
                return Place(Path(name) / str(number), small, start)

            rows = {f"a mirror that {what}": bad_mirror(place, what) for what in BAD_MIRRORS}
            rows["a mirror that redirects to another host"] = redirects(place)
            rows["a file in the cache cut, changed or lengthened"] = damages(place(), cases or 100)
            rows["two processes that fill one cache at once"] = (
                fill_together(place(), 100 * number) for number in range(cases or 10)
            )
            rows |= {words: disk_faults(place, fault, cases) for fault, words in FAULTS.items()}
            rows["a small disk of the kernel's, full"] = (fill_disk(place(), size) for size in (4_096, 8_192))
            rows["a cache that can only be read, by the kernel"] = (
                read_only_cache(place(), whole) for whole in (False, True)
            )
            yield from count_each(rows, done)


def bad_mirror(place: Callable[[], Place], what: str) -> Iterator[list[str]]:
    """For each of four files, for all of them, and with no other mirror."""
    behaviour, reason = BAD_MIRRORS[what]
    small = place().small
    for names in [*([name] for name in small.contents), [*small.contents]]:
        here = place()
        good, bad = here.start(), here.start(fails_for(names, behaviour))
        again = len(bad.requested) != len(set(bad.requested))
        yield here.damage_of(bad, good) + (["a mirror that failed was asked again"] if again else [])
    here = place()
    yield here.refusal_of([here.start(behaviour), here.start(behaviour)], reason)


def redirects(place: Callable[[], Place]) -> Iterator[list[str]]:
    """To one that works, once and twice; to one that sends garbage, and to one that is not there."""
    here = place()
    good = here.start()
    once = here.start(redirects_to(good.url + "{path}"))
    yield here.damage_of(once)
    here = place()
    yield here.damage_of(here.start(redirects_to(once.url + "{path}")))
    here = place()
    garbage = here.start(BAD_MIRRORS["sends garbage"][0])
    yield here.damage_of(here.start(redirects_to(garbage.url + "{path}")), good)
    here = place()
    yield here.damage_of(here.start(redirects_to("http://127.0.0.1:9{path}")), good)


def damages(here: Place, times: int) -> Iterator[list[str]]:
    """A file damaged at a random place: it is found, and it alone is fetched again."""
    rng, good = random.Random("cache"), here.start()
    here.damage_of(good)
    for _ in range(times):
        path = here.cache / "data" / "small" / rng.choice([*here.small.contents])
        whole = path.read_bytes()
        at = rng.randrange(len(whole))
        changed = bytes([whole[at] ^ rng.randrange(1, 256)])
        path.write_bytes(
            rng.choice((whole[:at], whole[:at] + changed + whole[at + 1 :], whole + rng.randbytes(at + 1)))
        )
        good.requested.clear()
        found = here.damage_of(good)
        asked = good.requested == [f"/small/{path.name}"]
        yield found + ([] if asked else [f"{path.name} damaged, and asked for: {good.requested}"])


def fill_together(here: Place, num_bytes: int) -> list[str]:
    """Two processes that have both begun the same file, of which so many bytes have come, before either ends it."""
    shutil.rmtree(here.cache, ignore_errors=True)
    both_are_here = threading.Barrier(2, timeout=60)

    def together(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:num_bytes])
        both_are_here.wait()
        handler.wfile.write(content[num_bytes:])

    mirror = here.start(fails_for([here.small.source.originals[0].file], together))
    processes = [here.fill(mirror) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in processes]
    return [text for process, text in zip(processes, told, strict=True) if process.returncode] + here.damage_of_cache()


def disk_faults(place: Callable[[], Place], fault: Fault, cases: int | None) -> Iterator[list[str]]:
    """Each step of a process that fills an empty cache with one file."""
    here = place()
    good = here.start()
    told, errors = here.fill(good, num_files=1).communicate(timeout=120)
    steps = [at for at, (what, _) in enumerate(json.loads(told or errors), 1) if what not in ("unlink", "rmdir")]
    for at in steps[:cases]:
        shutil.rmtree(here.cache)
        process = here.fill(good, num_files=1, at=at, fault=fault, lasting=True)
        found = _told(process, fault) + _half(here, fault) + here.damage_of(good)
        # What was begun on a disk that can only be read stays there, by a name of its own.
        yield [line for line in found if not (fault == "read-only" and line.startswith("tmp"))]


def fill_disk(here: Place, num_bytes: int) -> list[str]:
    """A cache on a file system with less room than the set needs."""
    here.cache.mkdir()
    with small_disk(here.cache, num_bytes):
        found = _told(here.fill(here.start()), "disk full") + _half(here, "disk full")
    return found + here.damage_of(here.start())


def read_only_cache(here: Place, is_whole: bool) -> list[str]:
    """A cache that the kernel lets nobody write: what is in it is read, and what is not there is told."""
    here.cache.mkdir()
    if is_whole:
        here.damage_of(here.start())
    with read_only(here.cache):
        return here.damage_of() if is_whole else _told(here.fill(here.start()), "read-only") + _half(here, "disk full")


def _told(process: subprocess.Popen[str], fault: Fault) -> list[str]:
    """What is wrong with how a process that met a fault ends."""
    told, errors = process.communicate(timeout=120)
    return wrong(Ended(process.returncode, told + errors, []), WORDS[fault])


def _half(here: Place, fault: Fault) -> list[str]:
    """Files that are not whole; where nothing can be taken away, those that have a published file's name."""
    return [
        f"{path.name} was left" for path in here.cache.rglob("*")
        if path.is_file() and path.read_bytes() != here.small.contents.get(path.name)
        and (fault != "read-only" or path.name in here.small.contents)
    ]  # fmt: skip
