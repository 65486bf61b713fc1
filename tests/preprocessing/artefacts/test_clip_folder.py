"""Stages of a clip on disk: fresh or undone and never half new, whatever stops them or damages their files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import digest
from preprocessing.artefacts.record import RECORD, Entry


def run_stage(folder: ClipFolder, stage: str, key: str, files: dict[str, bytes]) -> None:
    with folder.writing(stage, Entry(key, {"size": 160}), clip={"clip_id": "d/s/c"}) as scratch:
        for name, content in files.items():
            (scratch / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> ClipFolder:
    return ClipFolder(tmp_path / "clips" / "s" / "c")


class TestStages:
    def test_a_stage_is_fresh_under_its_key_only(self, folder: ClipFolder) -> None:
        assert not folder.fresh("faces", "k1")
        run_stage(folder, "faces", "k1", {"crops.npy": b"abc"})
        assert folder.fresh("faces", "k1")
        assert not folder.fresh("faces", "k2")
        assert not folder.fresh("flow", "k1")
        assert sorted(path.name for path in folder.folder.iterdir()) == ["crops.npy", RECORD]

    def test_the_record_tells_what_was_done(self, folder: ClipFolder) -> None:
        with folder.writing("faces", entry := Entry("k", {"size": 160}), input="digest") as scratch:
            (scratch / "crops.npy").write_bytes(b"abc")
            entry.result["n_frames"] = 7
        record = json.loads((folder / RECORD).read_text())
        assert record["input"] == "digest"
        assert {name: record["stages"]["faces"][name] for name in ("key", "settings", "files", "result", "inputs")} == {
            "key": "k",
            "settings": {"size": 160},
            "files": {"crops.npy": {"size": 3, "digest": digest(b"abc")}},
            "result": {"n_frames": 7},
            "inputs": {},
        }
        assert folder.entry("faces") == entry

    def test_a_stage_without_files_can_be_done(self, folder: ClipFolder) -> None:
        """A rejection is a result: it needs no second look."""
        run_stage(folder, "faces", "k", {})
        assert folder.fresh("faces", "k")

    def test_files_that_a_stage_no_longer_writes_go_away(self, folder: ClipFolder) -> None:
        run_stage(folder, "images", "k1", {"a.npy": b"a", "extra.npy": b"e"})
        run_stage(folder, "images", "k2", {"a.npy": b"b"})
        assert not (folder / "extra.npy").exists()

    def test_an_error_inside_leaves_everything_as_it_was(self, folder: ClipFolder) -> None:
        run_stage(folder, "faces", "f", {"crops.npy": b"abc"})
        with pytest.raises(ZeroDivisionError), folder.writing("flow", Entry("w", {})) as scratch:
            (scratch / "flow.npy").write_bytes(b"half")
            _ = 1 / 0
        assert folder.fresh("faces", "f")
        assert not folder.fresh("flow", "w")
        assert sorted(path.name for path in folder.folder.iterdir()) == ["crops.npy", RECORD]

    def test_clear_leaves_nothing_done(self, folder: ClipFolder) -> None:
        run_stage(folder, "faces", "f", {"crops.npy": b"abc"})
        folder.clear()
        assert list(folder.folder.iterdir()) == []
        assert not folder.fresh("faces", "f")


class TestDamage:
    @pytest.fixture
    def done(self, folder: ClipFolder) -> ClipFolder:
        run_stage(folder, "faces", "k", {"crops.npy": b"abcdef", "landmarks.npy": b"xy"})
        return folder

    def test_a_missing_file(self, done: ClipFolder) -> None:
        (done / "landmarks.npy").unlink()
        assert not done.fresh("faces", "k")

    @pytest.mark.parametrize("content", [b"", b"abcde", b"abcdefg"])
    def test_a_file_of_another_size(self, done: ClipFolder, content: bytes) -> None:
        (done / "crops.npy").write_bytes(content)
        assert not done.fresh("faces", "k")

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"stages": []}',
            b'{"stages": {"faces": null}}',
            b'{"stages": {"faces": "k"}}',
            b'{"stages": {"faces": {"key": "k"}}}',
            b'{"stages": {"faces": {"key": "k", "settings": {}, "files": ["crops.npy"]}}}',
            b'{"stages": {"faces": {"key": "k", "settings": {}, "unknown": 1}}}',
            b"\xff\xfe\x00",
        ],
    )
    def test_a_damaged_record_and_its_repair(self, done: ClipFolder, text: bytes) -> None:
        (done / RECORD).write_bytes(text)
        assert not done.fresh("faces", "k")
        run_stage(done, "faces", "k", {"crops.npy": b"abcdef"})
        assert done.fresh("faces", "k")

    def test_every_truncation_of_the_record(self, done: ClipFolder) -> None:
        whole = (done / RECORD).read_bytes()
        for length in range(len(whole) - 2):  # the last byte is a line end
            (done / RECORD).write_bytes(whole[:length])
            assert not done.fresh("faces", "k"), whole[:length]


class Killed(BaseException):
    """Like Ctrl-C: caught by nothing on its way."""


STEPS = ((Path, "replace"), (Path, "unlink"), (Path, "write_bytes"), (Path, "mkdir"), (shutil, "rmtree"))


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int, stop: Callable[[], None]) -> None:
    """Let ``after`` steps on the disk happen, then ``stop``."""
    count = iter(range(after + 1))

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if next(count, after) >= after:
                stop()
            return original(*args, **kwargs)

        return step

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


OLD = {"crops.npy": b"old", "landmarks.npy": b"old"}
NEW = {"crops.npy": b"newer", "transforms.npy": b"newer"}


def check_state_after_interruption(folder: ClipFolder) -> str:
    """Done under a key must mean: exactly that key's files. Returns which."""
    assert folder.fresh("flow", "w"), "another stage was touched"
    assert (folder / "flow.npy").read_bytes() == b"flow"
    state = "undone"
    for key, files in (("k1", OLD), ("k2", NEW)):
        if folder.fresh("faces", key):
            state = key
            assert {name: (folder / name).read_bytes() for name in files} == files
    run_stage(folder, "faces", "k2", NEW)
    assert folder.fresh("faces", "k2")
    assert {name: (folder / name).read_bytes() for name in NEW} == NEW
    assert {path.name for path in folder.folder.iterdir()} == {*NEW, "flow.npy", RECORD}, "something was left behind"
    return state


def raise_killed() -> None:
    raise Killed


def leave_at_once() -> None:
    os._exit(9)  # as with `kill -9`: no cleaning up


def run_in_child(folder: ClipFolder, monkeypatch: pytest.MonkeyPatch, after: int) -> bool:
    """Whether the stage was finished by a process that vanishes after so many steps."""
    child = os.fork()
    if child == 0:
        interrupt(monkeypatch, after, leave_at_once)
        run_stage(folder, "faces", "k2", NEW)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def run_here(folder: ClipFolder, monkeypatch: pytest.MonkeyPatch, after: int) -> bool:
    with monkeypatch.context() as patch:
        interrupt(patch, after, raise_killed)
        try:
            run_stage(folder, "faces", "k2", NEW)
        except Killed:
            return False
    return True


@pytest.mark.parametrize(
    "run",
    [
        run_here,
        pytest.param(run_in_child, marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")),
    ],
)
def test_no_interruption_leaves_a_half_new_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., bool]
) -> None:
    """Writing in place, or the record first, would leave a stage that counts as done with the wrong files."""
    seen, after, finished = [], 0, False
    while not finished:
        folder = ClipFolder(tmp_path / str(after))
        run_stage(folder, "faces", "k1", OLD)
        run_stage(folder, "flow", "w", {"flow.npy": b"flow"})
        finished = run(folder, monkeypatch, after)
        seen.append(check_state_after_interruption(folder))
        after += 1
    assert after > 8, "the interruptions did not reach the steps on the disk"
    assert seen[0] == "k1"
    assert seen[-1] == "k2"
    assert "undone" in seen
    assert seen == sorted(seen, key=["k1", "undone", "k2"].index), "the way back to an older state"
