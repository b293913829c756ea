"""Every source keeps the same promises; `digits` keeps its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinydigits import data
from tinydigits.data import idx, sources
from tinydigits.data.originals import OriginalFiles
from tinydigits.errors import DataUnavailable, TinydigitsError


def test_the_folder_is_the_list():
    files = {path.stem for path in Path(sources.__file__).parent.glob("[!_]*.*")}
    assert set(data.names()) == files
    assert {"mnist", "fashion-mnist", "kmnist", "digits"} <= files


@pytest.mark.parametrize("name", data.names())
def test_each_source_says_who_it_is(name):
    info = data.describe(name)
    assert info.name == name
    assert info.title and info.licence and info.homepage.startswith("http")
    assert len(set(info.classes)) == len(info.classes) >= 2
    assert info.num_train > info.num_test > 0


@pytest.mark.parametrize("name", data.names())
def test_each_published_source_has_four_files_and_a_second_mirror(name):
    source = sources.get(name)
    if isinstance(source, OriginalFiles):
        assert [original.role for original in source.originals] == list(idx.ROLES)
        assert len(source.info.mirrors) >= 2
        for original in source.originals:
            assert len(original.sha256) == 64 and len(original.sha256_plain or original.sha256) == 64


@pytest.mark.parametrize("name", [name for name in data.names() if name != "digits"])
def test_without_data_and_mirrors_it_is_unavailable_in_one_line(name):
    assert data.at_hand(name) is None
    with pytest.raises(DataUnavailable) as caught:
        data.load(name, "train")
    assert f"http://127.0.0.1:9/{name}/ (cannot connect)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_comes_with_near_ones():
    with pytest.raises(TinydigitsError, match=r"unknown data set 'fashion_mnist'(.|\n)*try: fashion-mnist"):
        data.load("fashion_mnist", "train")


def test_an_unknown_split_is_refused():
    with pytest.raises(TinydigitsError, match="data digits: got split 'validation', expected 'train' or 'test'"):
        data.load("digits", "validation")


def test_a_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(data.load("digits", "test")) == 596
    with pytest.raises(TinydigitsError, match="digits: got 0 folders"):
        data.load("./digits", "test")


def test_a_source_that_gives_another_number_of_images_is_refused(small, monkeypatch, tmp_path):
    from dataclasses import replace

    wrong = replace(small.source, info=replace(small.source.info, num_train=7))
    monkeypatch.setattr(sources, "get", lambda _name: wrong)
    monkeypatch.setenv("TINYDIGITS_DATA", str(tmp_path))
    for name, content in small.contents.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TinydigitsError, match="small train: got 6 images, expected 7"):
        data.load("small", "train")


def test_digits_are_scikit_learns_in_two_thirds_and_one():
    from sklearn.datasets import load_digits

    bundled = load_digits()
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test)) == (1201, 596)
    counts = np.bincount(bundled.target)
    assert np.array_equal(np.bincount(test.labels_N), counts // 3)
    assert np.array_equal(np.bincount(train.labels_N) + np.bincount(test.labels_N), counts)
    for label in range(10):
        drawings = (bundled.images[bundled.target == label] * 255 / 16 + 0.5).astype(np.uint8)
        of_label = test.images_NHW[test.labels_N == label]
        assert np.array_equal(of_label, [data.to_mnist_geometry(drawing) for drawing in drawings[2::3]])


def test_digits_are_the_same_everywhere():
    assert data.load("digits", "train").sha256 == "1cf263520da040c29869f8c1e949af785c65641c74348398f4d99cfda11b508a"
    assert data.load("digits", "test").sha256 == "631df15f41c9ad9170ffbb908ff2a09f31aeeb0f63b486dcd85633b9bf1c10c6"


def test_digits_without_scikit_learn_is_unavailable(monkeypatch):
    from tinydigits.data.sources import digits

    monkeypatch.setattr(digits, "find_spec", lambda _name: None)
    assert data.at_hand("digits") is None
    with pytest.raises(DataUnavailable, match="digits: not found in scikit-learn"):
        data.load("digits", "train")


def test_copied_files_are_the_same_set(tmp_path):
    paths = data.copy_files("digits", tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [idx.file_names(role)[0] for role in idx.ROLES]
    for split in ("train", "test"):
        assert data.load(str(tmp_path / "new" / "folder"), split).sha256 == data.load("digits", split).sha256
    assert data.copy_files("digits", tmp_path / "new" / "folder") == paths, "again is no harm"


def test_copying_overwrites_nothing(tmp_path):
    mine = tmp_path / "t10k-labels-idx1-ubyte.gz"
    mine.write_text("mine")
    with pytest.raises(TinydigitsError, match="exists already"):
        data.copy_files("digits", tmp_path)
    assert mine.read_text() == "mine" and list(tmp_path.iterdir()) == [mine]


def test_copying_into_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TinydigitsError, match="file: cannot be written"):
        data.copy_files("digits", tmp_path / "file")


def test_neither_torch_nor_scikit_learn_is_imported():
    code = (
        "import sys; from tinydigits import data; data.load('digits', 'train')\n"
        "print(*{'torch', 'sklearn', 'scipy', 'requests', 'PIL'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(Path(data.__file__).parents[2]), "PATH": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
