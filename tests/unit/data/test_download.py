"""Mirrors that fail in every way that mirrors do, against real local servers."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability._mirrors import redirects_to
from tinydigits.data import download
from tinydigits.errors import DataUnavailable, TinydigitsError


def use(monkeypatch, *mirrors) -> None:
    monkeypatch.setenv("TINYDIGITS_MIRRORS", ",".join(mirror.url for mirror in mirrors))


def cached(name="small") -> list[str]:
    folder = download.cache_folder(name)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def read(small, split="train"):
    return small.source.read(split)


def assert_right(small, split="train") -> None:
    images_NHW, labels_N = read(small, split)
    prefix = {"train": "train", "test": "t10k"}[split]
    assert np.array_equal(images_NHW, small.arrays[f"{prefix}-images"])
    assert np.array_equal(labels_N, small.arrays[f"{prefix}-labels"])


def test_one_read_fetches_all_four_files_once(small, mirror, monkeypatch, capsys):
    good = mirror()
    use(monkeypatch, good)
    assert small.source.at_hand() is None
    assert_right(small, "train")
    assert_right(small, "test")
    assert sorted(good.requested) == sorted(f"/small/{file}" for file in small.contents)
    assert cached() == sorted(small.contents)
    assert small.source.at_hand() == str(download.cache_folder("small"))
    assert f"small: fetching train-images-idx3-ubyte.gz (0.0 MB) from {good.url}/small/" in capsys.readouterr().err


def test_the_next_mirror_is_used_when_the_first_fails(small, mirror, bad_mirror, monkeypatch, capsys):
    bad, reason = bad_mirror
    good = mirror()
    use(monkeypatch, bad, good)
    assert_right(small)
    assert re.search(rf"from {good.url}/small/, after {bad.url}/small/ \(.*({reason})", capsys.readouterr().err)
    assert len(set(bad.requested)) == 1, "a mirror that failed is asked last from then on"
    assert cached() == sorted(small.contents)


def test_when_all_mirrors_fail_one_line_names_each_and_why(small, mirror, bad_mirror, monkeypatch):
    bad, reason = bad_mirror
    gone = mirror(lambda handler, _content: handler.send_error(410))
    use(monkeypatch, bad, gone)
    with pytest.raises(DataUnavailable) as caught:
        read(small)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("small: not on this machine, and no mirror gave train-images-idx3-ubyte.gz: ")
    assert re.search(re.escape(f"{bad.url}/small/") + rf" \(.*({reason}).*\); ", message)
    assert f"{gone.url}/small/ (HTTP 410)" in message
    assert cached() == [], "nothing half done stays behind"


def test_no_server_and_no_host_and_no_address_are_plain_words(small, monkeypatch, capsys):
    monkeypatch.setenv("TINYDIGITS_MIRRORS", "http://127.0.0.1:9, http://no-such-host.invalid/, mirror")
    with pytest.raises(DataUnavailable) as caught:
        read(small)
    message = str(caught.value)
    assert "http://127.0.0.1:9/small/ (cannot connect)" in message
    assert "http://no-such-host.invalid/small/ (cannot connect)" in message
    assert "mirror/small/ (MissingSchema)" in message
    assert capsys.readouterr().err == "", "the error itself is the one line"


def test_a_ca_bundle_that_is_missing_or_damaged_is_named_with_its_variable(small, mirror, monkeypatch, tmp_path):
    (damaged := tmp_path / "damaged.pem").write_text("no certificate")
    plain = mirror()  # no mirror without TLS asks for certificates
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    for variable, place, says in (
        ("CURL_CA_BUNDLE", tmp_path / "no.pem", "(the CA bundle {} that CURL_CA_BUNDLE names is not there)"),
        ("REQUESTS_CA_BUNDLE", damaged, "(no TLS connection, with the CA bundle {} that REQUESTS_CA_BUNDLE names)"),
    ):
        monkeypatch.setenv(variable, str(place))
        monkeypatch.setenv("TINYDIGITS_MIRRORS", plain.url.replace("http:", "https:"))
        with pytest.raises(DataUnavailable) as caught:
            read(small)
        assert says.format(place) in str(caught.value)
    use(monkeypatch, plain)
    assert_right(small)


def test_a_redirect_to_another_host_is_followed(small, mirror, monkeypatch):
    target = mirror()
    use(monkeypatch, mirror(redirects_to(target.url + "{path}")))
    assert_right(small)
    assert len(target.requested) == 4


def test_the_bytes_are_asked_for_as_published(small, mirror, monkeypatch):
    """Some servers take a .gz for a page that they packed themselves, and unpack it for who can read packed pages."""

    def obliging(handler, content):
        handler.send_response(200)
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content)
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    use(monkeypatch, mirror(obliging))
    assert_right(small)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"x", lambda _: b""])
def test_a_damaged_cached_file_is_found_and_fetched_again(small, mirror, monkeypatch, damage):
    good = mirror()
    use(monkeypatch, good)
    read(small)
    path = download.cache_folder("small") / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    good.requested.clear()
    assert small.source.at_hand() is None
    assert_right(small, "test")
    assert good.requested == ["/small/t10k-labels-idx1-ubyte.gz"]
    assert path.read_bytes() == small.contents[path.name]


def test_a_cache_that_cannot_be_written_is_the_users_error(small, mirror, monkeypatch, tmp_path):
    use(monkeypatch, mirror())
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "file"))
    with pytest.raises(TinydigitsError, match="cannot be written") as caught:
        read(small)
    assert not isinstance(caught.value, DataUnavailable)
    assert "TINYDIGITS_CACHE" in str(caught.value)


FILL = """
from tinydigits.data.download import Original, fetch
fetch("small", [Original({role!r}, {size}, {sha256!r})], [])
"""


def test_two_processes_fill_one_cache_at_once(small, mirror, monkeypatch):
    both_are_here = threading.Barrier(2, timeout=20)

    def together(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:100])
        both_are_here.wait()  # each has begun its file before either may end it
        handler.wfile.write(content[100:])

    use(monkeypatch, mirror(together))
    original = small.source.originals[0]
    file = original.file
    code = FILL.format(role=original.role, size=original.num_bytes, sha256=original.sha256)
    environment = {**os.environ, "PYTHONPATH": str(Path(download.__file__).parents[2])}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert cached() == [file]
    assert (download.cache_folder("small") / file).read_bytes() == small.contents[file]
