from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from preprocessing.artefacts.clip_folder import RECORD, ClipFolder, Entry, clip_folder, write_members
from preprocessing.artefacts.files import key_of, write_text
from preprocessing.artefacts.frame_stack import FrameReader, FrameWriter
from preprocessing.artefacts.manifest import read_manifest, write_manifest
from preprocessing.errors import ToolkitError
from preprocessing.faces.landmarks import LANDMARKERS, DlibLandmarker
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings


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
        assert record["stages"]["faces"] == {
            "key": "k",
            "settings": {"size": 160},
            "files": {"crops.npy": 3},
            "result": {"n_frames": 7},
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


STEPS = ((Path, "replace"), (Path, "unlink"), (Path, "write_text"), (Path, "mkdir"), (shutil, "rmtree"))


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


class TestFrames:
    @given(
        stack=hnp.arrays(
            st.sampled_from([np.uint8, np.float16, np.float32, np.float64, np.int64, np.bool_]),
            hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=11),
        )
    )
    def test_writer_and_reader_agree_with_numpy(
        self, tmp_path_factory: pytest.TempPathFactory, stack: NDArray[Any]
    ) -> None:
        folder = tmp_path_factory.mktemp("frames")
        with FrameWriter(folder / "ours.npy", stack.shape[1:], stack.dtype) as file:
            for frame in stack:
                file.append(np.asarray(frame))
        np.save(folder / "numpy.npy", stack)
        assert np.array_equal(np.load(folder / "ours.npy"), stack, equal_nan=stack.dtype.kind == "f")
        for name in ("ours.npy", "numpy.npy"):
            reader = FrameReader(folder / name)
            assert (len(reader), reader.shape, reader.dtype) == (len(stack), stack.shape, stack.dtype)
            for t, frame in enumerate(reader):
                assert frame.tobytes() == np.asarray(stack[t]).tobytes()
                assert reader[t - len(stack)].tobytes() == frame.tobytes()

    def test_the_header_grows_in_place(self, tmp_path: Path) -> None:
        """From one digit to many: the frames must not move."""
        with FrameWriter(tmp_path / "a.npy", (1,), np.uint8) as file:
            for t in range(1200):
                file.append(np.array([t % 251], np.uint8))
        assert np.array_equal(np.load(tmp_path / "a.npy")[:, 0], np.arange(1200) % 251)

    def test_wrong_frames_and_positions_are_refused(self, tmp_path: Path) -> None:
        with FrameWriter(tmp_path / "a.npy", (2, 3), np.uint8) as file:
            with pytest.raises(ValueError, match=r"frame of shape \(3, 2\), wanted \(2, 3\)"):
                file.append(np.zeros((3, 2), np.uint8))
            file.append(np.zeros((2, 3), np.uint8))
        with pytest.raises(IndexError, match="frame 1 of 1"):
            FrameReader(tmp_path / "a.npy")[1]

    def test_what_is_not_one_frame_after_the_other_is_refused(self, tmp_path: Path) -> None:
        """Read as if it were, a transposed stack would be a clip of scrambled pictures."""
        np.save(tmp_path / "a.npy", np.asfortranarray(np.arange(12).reshape(3, 4)))
        with pytest.raises(ValueError, match="no stack of frames"):
            FrameReader(tmp_path / "a.npy")

    def test_a_full_disk_is_reported_as_such(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            closed = False

            def write(self, data: bytes) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                self.closed = True

        disk = Full()
        with (
            pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
            FrameWriter(tmp_path / "a.npy", (2,), int) as file,
        ):
            file._file.close()
            monkeypatch.setattr(file, "_file", disk)
            file.append(np.zeros(2, int))
        assert disk.closed


class TestKeys:
    def test_a_key_is_the_same_tomorrow(self) -> None:
        """Computed by this function when it was written: another value makes every cache stale."""
        assert key_of("faces", 1, {"b": 2, "a": (1.5, None)}) == "4ccca5b5165190a0e4cc48a9"

    @pytest.mark.parametrize("settings", [FaceSettings(), FlowSettings()], ids=["faces", "flow"])
    def test_every_setting_counts(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(LANDMARKERS, "mine", DlibLandmarker)
        other = {"size": 224, "landmark_frames": 3, "check_every": 7, "stabilise": False, "landmark_model": "x.dat"}
        other |= {"library": "mine"}
        other |= {"method": "farneback", "denoise": 2.0, "window": 7.0, "prior": 0.1}
        names = [field.name for field in dataclasses.fields(settings)]
        keys = {key_of(dataclasses.replace(settings, **{name: other[name]})) for name in names}
        assert len(keys | {key_of(settings)}) == len(names) + 1

    def test_order_of_names_and_kind_of_sequence_do_not_count(self) -> None:
        assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": (1, 2), "a": np.int64(1)})

    def test_parts_do_not_run_together(self) -> None:
        assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of(["ab", "c"])}) == 4


class TestFiles:
    def test_text_is_written_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_text(tmp_path / "new" / "a.txt", "first")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: raise_killed())
            with pytest.raises(Killed):
                write_text(tmp_path / "new" / "a.txt", "second")
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
        assert (tmp_path / "new" / "a.txt").read_text() == "first"

    def test_a_manifest_comes_back_in_order(self, tmp_path: Path) -> None:
        rows = [{"clip_id": f"d/{s}/1", "subject": s, "status": "ok", "n_frames": 7} for s in ("b", "a", "007")]
        write_manifest(tmp_path, rows)
        assert read_manifest(tmp_path).to_dict("records") == rows

    def test_a_missing_manifest_names_the_cure(self, tmp_path: Path) -> None:
        with pytest.raises(ToolkitError, match="`mer dataset casme2` first"):
            read_manifest(tmp_path / "casme2")

    def test_a_clip_has_its_folder_below_the_data_set(self, tmp_path: Path) -> None:
        assert clip_folder(tmp_path, "casme2/sub01/EP02_01f").folder == tmp_path / "clips" / "sub01" / "EP02_01f"


class TestMembers:
    def test_clips_are_found_in_the_folder_of_their_data_set(self, tmp_path: Path) -> None:
        cache = tmp_path / "both"
        assert clip_folder(cache, "one/s1/c1").folder == cache / "clips" / "s1" / "c1"
        write_members(cache, {"one": "../one", "two": "inside"})
        assert clip_folder(cache, "one/s1/c1").folder == cache / "../one/clips/s1/c1"
        assert clip_folder(cache, "two/s1/c1").folder == cache / "inside/clips/s1/c1"
        assert clip_folder(cache, "three/s1/c1").folder == cache / "clips" / "s1" / "c1"
        write_members(cache, {})
        assert clip_folder(cache, "one/s1/c1").folder == cache / "clips" / "s1" / "c1"

    def test_a_damaged_list_is_named(self, tmp_path: Path) -> None:
        for text in ("{", '["one"]'):
            (tmp_path / "members.json").write_text(text)
            with pytest.raises(ToolkitError, match=r"members\.json is no list of folders .*: run `mer dataset"):
                clip_folder(tmp_path, "one/s1/c1")


def test_a_word_that_pandas_takes_for_nothing_stays_a_word(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"clip_id": "a/b/c", "emotion": word, "apex": None} for word in ("none", "NA", None)])
    table = read_manifest(tmp_path)
    assert table["emotion"].tolist()[:2] == ["none", "NA"]
    assert table["emotion"].isna().tolist() == [False, False, True] and table["apex"].isna().all()
