"""Runs as plain folders: written whole or not at all, found, read, and told when they are damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import threading
from datetime import datetime
from pathlib import Path

import pytest

from tinydigits import run as runs
from tinydigits.errors import TinydigitsError


def record(**changes: object) -> runs.Record:
    facts: dict[str, object] = {
        "started_at": "2026-01-02T03:04:05+0000", "source": "digits", "classes": ["0"],
        "recipe": {"name": "x", "seed": 0, "epochs": 1, "model": {"name": "m"}},
        "num_train": 1, "num_validation": 0, "data_sha256": "0", "num_parameters": 1, "num_buffers": 0,
        "device": "cpu", "threads": 1, "machine": {}, "versions": {},
    }  # fmt: skip
    return runs.Record(**{**facts, **changes})


def make(out: Path, name: str = "two-conv", seed: int = 0, start: str | None = None) -> runs.Run:
    start = start or datetime.now().astimezone().isoformat()
    text = record(started_at=start).model_dump_json()
    return runs.create(out, name, seed, {"recipe.toml": "epochs = 1", "record.json": text})


def test_a_run_is_named_by_date_recipe_and_seed_and_latest_points_to_it(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path, "my recipe/ü", 3)
    assert first.name[8] == "_" and first.name.endswith("_two-conv_s0")
    assert second.name.endswith("_my-recipe-_s3")
    assert (tmp_path / "latest").resolve() == second.folder.resolve()
    assert runs.open_run(out=tmp_path).folder == second.folder
    assert [run.folder for run in runs.runs_in(tmp_path)] == [first.folder, second.folder]


@pytest.mark.parametrize(
    ("recorded", "typed", "source"),
    [
        ("digits", "./digits", "./digits"), ("digits", "digits/", "digits/"), ("digits", r"C:\digits", r"C:\digits"),
        ("digits", "digits", "digits"), ("/me/digits", "/me/digits", "/me/digits"), ("mine", "mnist", "mine"),
        ("/new/digits", "/old/digits", "/new/digits"),
    ],
)  # fmt: skip
def test_an_earlier_versions_record_of_a_folder_is_not_read_as_a_known_set(
    recorded: str, typed: str, source: str, tmp_path: Path
) -> None:
    recipe = {"name": "x", "seed": 0, "epochs": 1, "model": {"name": "m"}, "data": {"source": typed}}
    tree = record().model_dump(mode="json") | {"source": recorded, "recipe": recipe, "result": None}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(json.dumps(tree), encoding="utf-8")
    assert runs.Run(tmp_path / "run").record.source == source
    assert [row["data"] for row in runs.list_runs(tmp_path).rows] == [source]


def test_runs_of_the_same_second_do_not_meet(tmp_path: Path) -> None:
    names = {make(tmp_path).name for _ in range(5)}
    assert len(names) == 5


def test_a_run_is_opened_by_path_and_by_name(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert runs.open_run(run.folder, tmp_path / "elsewhere").folder == run.folder
    assert runs.open_run(run.name, tmp_path).folder == run.folder
    assert runs.open_run(tmp_path / "latest", tmp_path).folder.name == run.name


def opened(out: Path) -> set[str]:
    """What the word means in each way in which it can be written, from within the folder above `out`."""
    words: list[str | None] = [None, "latest", f"{out.name}/latest", f"./{out.name}/latest/", str(out / "latest")]
    return {runs.open_run(word, out.name).name for word in words}


def test_latest_is_the_newest_run_by_its_record_whatever_stands_there_under_this_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs"
    # Names lie about time: one is renamed, one was made under another clock, in another zone.
    newest = make(out, "aaa", start="2026-01-02T03:04:05+0000")
    make(out, "zzz", start="2026-01-02T04:04:04+0100").folder.rename(out / "99990101_000000_zzz_s0")
    link = out / "latest"
    assert link.resolve().name != newest.name
    assert opened(out) == {newest.name}  # a link to another run
    link.unlink()
    assert opened(out) == {newest.name}  # a system without links
    shutil.copytree(out / "99990101_000000_zzz_s0", link)
    assert opened(out) == {newest.name}  # a copy of an older run
    assert [run.name for run in runs.runs_in(out)] == ["99990101_000000_zzz_s0", newest.name]
    assert runs.at_latest("runs/latest/weights.safetensors") == f"runs/{newest.name}/weights.safetensors"
    assert [row["run"] for row in runs.list_runs(out).rows] == ["99990101_000000_zzz_s0", newest.name]
    assert runs.list_runs(out).skipped == {"latest": "a folder in the place of the newest run"}
    shutil.rmtree(link)
    shutil.copytree(newest.folder, link)
    assert opened(out) == {newest.name}  # a copy of the newest: the run itself is opened
    shutil.rmtree(newest.folder)
    assert opened(out) == {"latest"}  # it is the newest itself
    later = make(tmp_path / "elsewhere", start="2026-01-02T03:04:06+0000")
    assert runs.open_run("elsewhere/latest").folder == Path("elsewhere", later.name)
    with pytest.raises(TinydigitsError, match=r"^empty: no run here yet"):
        runs.open_run("empty/latest")


def test_of_runs_that_began_together_the_last_number_is_the_latest_and_copies_are_not(tmp_path: Path) -> None:
    begun = [make(tmp_path, start="2026-01-02T03:04:05+0000") for _ in range(11)]
    shutil.copytree(begun[0].folder, tmp_path / "zzz")
    assert runs.open_run(out=tmp_path).name == begun[-1].name


def test_a_damaged_newest_run_is_an_error_and_an_older_one_is_in_nobodys_way(tmp_path: Path) -> None:
    older = make(tmp_path, start="2026-01-02T03:04:05+0000").folder.rename(tmp_path / "20260102_030405_a_s0")
    newer = make(tmp_path, start="2026-01-02T03:04:06+0000").folder.rename(tmp_path / "20260102_030406_a_s0")
    for damaged in (b"", b"[]", b"{}", b'{"started_at": 1}', b'{"started_at": "soon"}', b"[" * 100_000, b"\xff"):
        (older / "record.json").write_bytes(damaged)
        assert runs.open_run(out=tmp_path).folder == newer
    (newer / "record.json").write_text("{", encoding="utf-8")
    with pytest.raises(TinydigitsError, match=r"record .*20260102_030406_a_s0/record\.json: not JSON"):
        runs.open_run(out=tmp_path)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match="no run here yet"):
        runs.open_run(out=tmp_path / "empty")
    with pytest.raises(TinydigitsError, match="no such folder"):
        runs.open_run("nothing", tmp_path)
    with pytest.raises(TinydigitsError, match=r"incomplete: it has no record\.json"):
        runs.open_run(tmp_path, tmp_path)
    with pytest.raises(TinydigitsError, match=r"incomplete: it has no weights\.safetensors"):
        make(tmp_path).file("weights.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 99}', r"newer version of tinydigits, got format 99, expected at most 1"),
        ('{"format": 1}', "damaged: [a-z_.]+: is required and not given"),
        ('{"format": 1', "not JSON"),
        ("[]", "damaged: expected a valid dictionary"),
        ("[" * 100_000, "not JSON that can be read: nested too deeply"),
    ],
)
def test_a_damaged_or_newer_record_is_told(tmp_path: Path, text: str, message: str) -> None:
    run = make(tmp_path)
    (run.folder / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(TinydigitsError, match=message):
        runs.open_run(run.folder)


def test_record_and_tables_come_back(tmp_path: Path) -> None:
    run = make(tmp_path)
    result = runs.Result(split="validation", seen=200, correct=199, loss=0.5, confusion=[[200]])
    run.write_record(record(status="finished", result=result))
    assert run.record.status == "finished" and run.record.result == result
    assert result.accuracy == 0.995
    rows = [{"epoch": 1, "loss": 0.25, "validation_loss": None}, {"epoch": 2, "loss": 0.125, "validation_loss": 0.5}]
    run.write_table("history.csv", rows)
    assert run.table("history.csv") == rows
    assert json.loads((run.folder / "record.json").read_text(encoding="utf-8"))["format"] == runs.FORMAT


def test_a_record_without_calibration_error_is_still_read(tmp_path: Path) -> None:
    run = make(tmp_path)
    result = runs.Result(split="validation", seen=200, correct=199, loss=0.5, confusion=[[200]], calibration_error=0.01)
    run.write_record(record(status="finished", result=result))
    text = (run.folder / "record.json").read_text(encoding="utf-8")
    earlier = json.loads(text)
    assert earlier["result"].pop("calibration_error") == 0.01
    (run.folder / "record.json").write_text(json.dumps(earlier), encoding="utf-8")
    found = run.record.result
    assert found is not None and found.correct == 199 and found.calibration_error is None


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    runs.write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TinydigitsError, match="cannot write: No space left on device"):
        runs.write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_whose_first_files_cannot_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TinydigitsError, match="No space left"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="cannot write"):
        make(tmp_path / "file" / "runs")


def test_a_new_file_does_not_replace_an_old_one(tmp_path: Path) -> None:
    runs.write_new(tmp_path / "mine.toml", "a = 1")
    (tmp_path / "dead").symlink_to("nowhere")
    for taken in ("mine.toml", "dead", "."):
        with pytest.raises(TinydigitsError, match="exists already"):
            runs.write_new(tmp_path / taken, "a = 2")
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "a = 1"
    assert not (tmp_path / "nowhere").exists()


def test_output_goes_through_links_to_the_file_and_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    real, link = tmp_path / "store" / "real.md", tmp_path / "link.md"
    real.write_text("old", encoding="utf-8")
    real.chmod(0o604)
    owner = (1234, 1234) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(real, *owner)
    (tmp_path / "store" / "middle.md").symlink_to("real.md")
    link.symlink_to("store/middle.md")
    with real.open(encoding="utf-8") as reader:
        runs.write_output(link, "new")
        assert reader.read() == "old", "the file was changed in place and not replaced"
    status = real.stat()
    assert link.is_symlink() and real.read_text(encoding="utf-8") == "new"
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o604, *owner)
    dead = tmp_path / "dead"
    dead.symlink_to("store/to-be.md")
    runs.write_output(dead, "new")
    assert dead.is_symlink() and (tmp_path / "store" / "to-be.md").read_text(encoding="utf-8") == "new"
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["middle.md", "real.md", "to-be.md"]


def test_output_goes_into_pipes_devices_and_open_descriptors(tmp_path: Path) -> None:
    pipe, null, stream = tmp_path / "pipe", tmp_path / "null", tmp_path / "stream"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    runs.write_output(pipe, "through the pipe" * 10_000)
    reader.join(20)
    assert read == ["through the pipe" * 10_000] and stat.S_ISFIFO(pipe.lstat().st_mode)
    null.symlink_to(os.devnull)
    runs.write_output(null, "nothing")
    assert null.is_symlink() and stat.S_ISCHR(null.stat().st_mode)
    # As a shell's `> file` gives it: what is printed before and after shares its position.
    with (tmp_path / "file").open("wb", buffering=0) as file:
        stream.symlink_to(f"/dev/fd/{file.fileno()}")
        file.write(b"before, ")
        runs.write_output(stream, "between, ")
        file.write(b"after")
    assert (tmp_path / "file").read_bytes() == b"before, between, after" and stream.is_symlink()


def test_output_that_can_go_nowhere_is_an_error_and_destroys_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, message in {
            tmp_path: "is a folder", Path(): "is a folder", tmp_path / "socket": "cannot write: No such device",
            Path("/dev/full"): "cannot write: No space left", tmp_path / "no" / "file": "cannot write: No such file",
        }.items():  # fmt: skip
            with pytest.raises(TinydigitsError, match=message):
                runs.write_output(path, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["socket"]


def test_a_link_in_a_run_s_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine", encoding="utf-8")
    run = make(tmp_path / "runs")
    (run.folder / "report.md").symlink_to(tmp_path / "outside")
    run.write("report.md", "a report")
    assert not (run.folder / "report.md").is_symlink()
    assert (tmp_path / "outside").read_text(encoding="utf-8") == "mine"
