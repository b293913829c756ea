"""Published files, from the first mirror that has them into the cache. pooch checks, renames and cleans up.

`TINYDIGITS_CACHE` names the cache (default: the user's cache folder). `TINYDIGITS_MIRRORS` replaces the public mirrors:
base addresses separated by commas, each holding `<set>/<file>`, e.g. `http://mirror.lan/mnist/t10k-labels-idx1-ubyte.gz`
for `TINYDIGITS_MIRRORS=http://mirror.lan`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from tinydigits.data.idx import file_names
from tinydigits.errors import DataUnavailable, TinydigitsError
from tinydigits.machine import cache_root

__all__ = ["Original", "cache_folder", "fetch", "mirror_urls"]

CONNECT_SECONDS = 10.0  # a mirror that does not answer
STALL_SECONDS = 20.0  # a mirror that falls silent
GRACE_SECONDS = 30.0  # a mirror that drips: after this long it must have sent …
MIN_BYTES_PER_SECOND = 8_192  # … this much on average


@dataclass(frozen=True)
class Original:
    """One of a set's four files as published; `sha256_plain` is of the unpacked file, where it is known.

    >>> Original("t10k-labels", num_bytes=4_542, sha256="f7ae60f9…").file
    't10k-labels-idx1-ubyte.gz'
    """

    role: str
    num_bytes: int
    sha256: str
    sha256_plain: str | None = None

    @property
    def file(self) -> str:
        """The name under which the mirrors have it."""
        return file_names(self.role)[0]


def cache_folder(name: str) -> Path:
    """Where the downloaded files of a set lie; the folder need not exist.

    >>> cache_folder("mnist").name
    'mnist'
    """
    return cache_root() / "data" / name


def mirror_urls(name: str, public: Iterable[str]) -> tuple[str, ...]:
    """The base addresses to try, each ending in "/": those of `TINYDIGITS_MIRRORS` in place of the public ones.

    >>> mirror_urls("mnist", ["https://example.org/mnist"])
    ('https://example.org/mnist/',)
    """
    own = [url.strip() for url in os.environ.get("TINYDIGITS_MIRRORS", "").split(",")]
    urls = [f"{url.rstrip('/')}/{name}" for url in own if url] or public
    return tuple(url.rstrip("/") + "/" for url in urls)


def fetch(name: str, files: Iterable[Original], public_mirrors: Iterable[str]) -> None:
    """Bring files into the cache of a set, each whole and with the right hash, or not at all.

    A file that is there already and right is left alone. A mirror that fails is asked last from then on. Two processes
    may do this at once: each writes a temporary file and renames it. Raises DataUnavailable, in one line that names
    every mirror and why it failed, and TinydigitsError when the cache cannot be written.
    """
    mirrors = list(mirror_urls(name, public_mirrors))
    for file in files:
        refusals: list[str] = []
        for mirror in tuple(mirrors):
            refusal = _fetch_from(mirror, name, file)
            if refusal is None:
                for failed in refusals:
                    print(f"{name}: {file.file} from {mirror}, after {failed}", file=sys.stderr)
                break
            refusals.append(f"{mirror} ({refusal})")
            mirrors.remove(mirror)
            mirrors.append(mirror)
        else:
            tried = "; ".join(refusals)
            raise DataUnavailable(name, f"not on this machine, and no mirror gave {file.file}: {tried}")


def _fetch_from(mirror: str, name: str, file: Original) -> str | None:
    """None when the file lies in the cache afterwards, else why this mirror failed, in a few words."""
    import pooch
    import requests
    import urllib3

    pooch.get_logger().setLevel("ERROR")  # this module says what happens, in one line
    folder = cache_folder(name)
    try:
        pooch.retrieve(
            mirror + file.file,
            known_hash=f"sha256:{file.sha256}",
            fname=file.file,
            path=folder,
            downloader=_Download(name, mirror, file),
        )
    except _Hopeless as error:
        return str(error)
    except requests.ConnectTimeout:
        return f"no connection within {CONNECT_SECONDS:g} s"
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        return f"silent for {STALL_SECONDS:g} s"
    except requests.TooManyRedirects:
        return "too many redirects"
    except requests.exceptions.SSLError:
        return ", with ".join(filter(None, ["no TLS connection", _ca_bundle()]))
    except requests.ConnectionError:
        return "cannot connect"
    except urllib3.exceptions.HTTPError:
        return "connection lost"
    except requests.RequestException as error:
        return type(error).__name__
    except ValueError:  # pooch's word for a hash that differs
        return "wrong content, its SHA-256 differs"
    except OSError as error:
        raise TinydigitsError(
            folder, f"cannot be written ({error.strerror or error})", hint="TINYDIGITS_CACHE=/another/folder"
        ) from error
    return None


def _ca_bundle() -> str:
    """Which certificates are trusted, where a variable names them: requests takes the first of two."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if place := os.environ.get(name):
            return f"the CA bundle {place} that {name} names" + ("" if Path(place).exists() else " is not there")
    return ""


class _Hopeless(Exception):
    """A download that is not worth waiting for."""


@final
@dataclass(frozen=True)
class _Download:
    """A pooch downloader that gives up on mirrors which send too much or too slowly, as pooch's own does not."""

    name: str
    mirror: str
    file: Original

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        import requests
        from tqdm import tqdm

        # The bytes as published: a server must not pack or unpack them on the way.
        headers = {"Accept-Encoding": "identity"}
        timeout = (CONNECT_SECONDS, STALL_SECONDS)
        try:
            answer = requests.get(url, stream=True, timeout=timeout, headers=headers)
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise
            raise _Hopeless(_ca_bundle() or str(error)) from error  # before any connection
        with (
            answer as response,
            Path(output_file).open("wb") as output,
            tqdm(
                desc=f"{self.name} {self.file.file}",
                total=self.file.num_bytes,
                unit="B",
                unit_scale=True,
                disable=not sys.stderr.isatty(),
            ) as bar,
        ):
            if response.status_code != 200:
                raise _Hopeless(f"HTTP {response.status_code}")
            if bar.disable:  # not a terminal: one line, where a bar would fill the log
                size = f"{self.file.num_bytes / 1e6:.1f} MB"
                print(f"{self.name}: fetching {self.file.file} ({size}) from {self.mirror}", file=sys.stderr)
            started, num_received = time.monotonic(), 0
            # read1 gives what has arrived; read would wait for a full block, however slowly it fills
            while block := response.raw.read1(1 << 16, decode_content=False):
                num_received += len(block)
                if num_received > self.file.num_bytes:
                    raise _Hopeless(f"sent more than {self.file.num_bytes} bytes")
                seconds = time.monotonic() - started
                if seconds > GRACE_SECONDS and num_received < seconds * MIN_BYTES_PER_SECOND:
                    raise _Hopeless(f"too slow, {num_received} bytes in {seconds:.0f} s")
                output.write(block)
                bar.update(len(block))
        if num_received < self.file.num_bytes:
            raise _Hopeless(f"stopped after {num_received} of {self.file.num_bytes} bytes")
