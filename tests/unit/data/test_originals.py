"""Where original files are looked for, and how they are known."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tinydigits import data
from tinydigits.data import download, sources
from tinydigits.errors import DataUnavailable, TinydigitsError


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TINYDIGITS_DATA", str(folder))
    return folder


@pytest.fixture(autouse=True)
def known(small, other, monkeypatch):
    """The two small sets stand in the registry, beside the real ones."""
    added = {"small": small.source, "other": other.source}
    real_names, real_get = sources.names(), sources.get
    monkeypatch.setattr(sources, "names", lambda: (*real_names, *added))
    monkeypatch.setattr(sources, "get", lambda name: added.get(name) or real_get(name))


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def plain(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removesuffix(".gz"): gzip.decompress(content) for name, content in contents.items()}


def assert_right(small) -> None:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        image_set = data.load("small", split)
        assert np.array_equal(image_set.images_NHW, small.arrays[f"{prefix}-images"])
        assert np.array_equal(image_set.labels_N, small.arrays[f"{prefix}-labels"])


@pytest.mark.parametrize("below", ["small", "."])
@pytest.mark.parametrize("form", [dict, plain])
def test_files_in_the_named_folder_are_taken(small, root, below, form):
    put(root / below, form(small.contents))
    assert_right(small)
    assert data.at_hand("small") == str(root / below)


def test_names_with_a_dot_are_taken(small, root):
    renamed = {n.replace("-idx", ".idx"): content for n, content in plain(small.contents).items()}
    assert "train-images.idx3-ubyte" in renamed
    put(root, renamed)
    assert_right(small)


def test_the_sets_own_folder_goes_first_then_the_shared_one_then_the_cache(small, root):
    cache = download.cache_folder("small")
    for folder in (cache, root, root / "small"):
        put(folder, small.contents)
        assert data.at_hand("small") == str(folder)


def test_gzipped_and_plain_files_have_one_digest(small, root):
    put(root, small.contents)
    packed = data.load("small", "train").sha256
    put(root / "small", plain(small.contents))
    assert data.at_hand("small") == str(root / "small")
    assert data.load("small", "train").sha256 == packed


def test_another_known_sets_files_in_the_shared_folder_are_passed_over(small, other, root):
    put(root, other.contents)
    assert data.at_hand("small") is None
    with pytest.raises(DataUnavailable, match="small: not on this machine"):
        data.load("small", "train")
    put(download.cache_folder("small"), small.contents)
    assert_right(small)


def test_another_known_sets_files_in_the_sets_own_folder_are_an_error(small, other, root):
    put(root / "small", other.contents)
    with pytest.raises(TinydigitsError, match="another set's"):
        data.load("small", "train")


@pytest.mark.parametrize("below", ["small", "."])
@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"\0", lambda c: c[:-1] + b"x", lambda _: b""])
@pytest.mark.parametrize("file", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"])
def test_a_damaged_file_is_an_error_though_a_mirror_has_it(small, root, mirror, monkeypatch, below, damage, file):
    good = mirror()
    monkeypatch.setenv("TINYDIGITS_MIRRORS", good.url)
    contents = small.contents if file.endswith(".gz") else plain(small.contents)
    put(root / below, contents | {file: damage(contents[file])})
    for ask in (lambda: data.load("small", "train"), lambda: data.at_hand("small")):
        with pytest.raises(TinydigitsError) as caught:
            ask()
        assert not isinstance(caught.value, DataUnavailable)
        message = str(caught.value)
        assert str(root / below / file) in message
        assert f"got {len(damage(contents[file]))} bytes, SHA-256" in message
        original = next(o for o in small.source.originals if file.startswith(o.role))
        assert f"expected {original.num_bytes} bytes, SHA-256 {original.sha256}" in message
    assert good.requested == []


def test_a_plain_file_of_unknown_hash_is_not_believed(other, root):
    put(root / "other", plain(other.contents))
    with pytest.raises(TinydigitsError, match="gzipped"):
        data.load("other", "train")


def test_a_whole_gzipped_file_makes_up_for_a_damaged_plain_one(small, root):
    put(root, small.contents)
    put(root, {"train-images-idx3-ubyte": b"torn"})
    assert_right(small)


def test_what_is_missing_comes_from_the_mirror(small, root, mirror, monkeypatch):
    good = mirror()
    monkeypatch.setenv("TINYDIGITS_MIRRORS", good.url)
    put(root, {name: content for name, content in small.contents.items() if "labels" in name})
    assert len(data.load("small", "train")) == 6
    assert sorted(good.requested) == ["/small/t10k-images-idx3-ubyte.gz", "/small/train-images-idx3-ubyte.gz"]


def test_a_data_folder_that_does_not_exist_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYDIGITS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(TinydigitsError, match=r"TINYDIGITS_DATA: got .*nowhere, expected a folder that exists"):
        data.load("mnist", "train")


def test_real_mnist_is_known_by_its_digests(mnist, monkeypatch):
    monkeypatch.setenv("TINYDIGITS_DATA", str(mnist.folder))
    assert data.at_hand("mnist") == str(mnist.folder)
    assert mnist.train.sha256 == "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b"
    assert mnist.test.sha256 == "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b"
    assert np.bincount(mnist.train.labels_N).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.at_hand("fashion-mnist") is None, "MNIST's files are not Fashion-MNIST's"
    assert round(float(mnist.train.images_NHW.mean()) / 255, 4) == 0.1307


def test_real_mnist_unpacked_is_the_same_set(mnist, monkeypatch, tmp_path):
    for path in mnist.folder.iterdir():
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    monkeypatch.setenv("TINYDIGITS_DATA", str(tmp_path))
    assert data.load("mnist", "test").sha256 == mnist.test.sha256


def test_truncated_real_mnist_is_refused(mnist, monkeypatch, tmp_path):
    content = (mnist.folder / "train-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content[:5_000_000])
    monkeypatch.setenv("TINYDIGITS_DATA", str(tmp_path))
    with pytest.raises(TinydigitsError, match=r"truncated.*got 5000000 bytes.*expected 9912422 bytes"):
        data.load("mnist", "test")
