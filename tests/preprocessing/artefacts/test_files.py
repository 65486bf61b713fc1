"""Files are written whole or not at all; keys and digests are the same tomorrow; only leftovers are removed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.artefacts import files
from preprocessing.artefacts.files import atomic, digest, is_scratch, key_of, remove_leftovers, scratch_path, write_text
from preprocessing.faces.landmarks import LANDMARKERS, DlibLandmarker
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings


class Killed(BaseException):
    """Like Ctrl-C: caught by nothing on its way."""


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


class TestDigests:
    def test_a_file_and_its_bytes_have_the_same(self, tmp_path: Path) -> None:
        data = os.urandom(files.BLOCK + 5)
        (tmp_path / "a").write_bytes(data)
        assert digest(tmp_path / "a") == digest(data)

    def test_every_bit_counts(self) -> None:
        data = bytes(64)
        others = {digest(data[:i] + bytes([1 << bit]) + data[i + 1 :]) for i in range(64) for bit in range(8)}
        assert len(others | {digest(data)}) == 64 * 8 + 1

    def test_a_digest_is_the_same_tomorrow(self) -> None:
        """Computed by this function when it was written: another value makes every cache stale."""
        assert digest(b"onset, apex, offset") == "95ec362c68a31b7bdd7cfbfb499e539c"


class TestAtomic:
    def test_text_is_written_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: Any) -> None:
            raise Killed

        write_text(tmp_path / "new" / "a.txt", "first")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stop)
            with pytest.raises(Killed):
                write_text(tmp_path / "new" / "a.txt", "second")
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
        assert (tmp_path / "new" / "a.txt").read_text() == "first"

    def test_arrays_keep_their_name(self, tmp_path: Path) -> None:
        """NumPy appends .npy to a name without it: the scratch has the suffix of its file."""
        with atomic(tmp_path / "a.npy") as scratch:
            np.save(scratch, np.arange(3))
        assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
        assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"old")
        with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a.png") as scratch:
            scratch.write_bytes(b"half")
            _ = 1 / 0
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"old"}

    def test_two_calls_write_at_once_into_scratches_of_their_own(self, tmp_path: Path) -> None:
        with atomic(tmp_path / "a") as one, atomic(tmp_path / "a") as two:
            assert one != two
            one.write_bytes(b"one")
            two.write_bytes(b"two")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_equal_bytes_are_not_written_again(self, tmp_path: Path) -> None:
        """So that everything fresh can lie in a folder that is only readable."""
        write_text(tmp_path / "a", "é")
        before = (tmp_path / "a").stat().st_mtime_ns, (tmp_path / "a").stat().st_ino
        write_text(tmp_path / "a", "é")
        assert before == ((tmp_path / "a").stat().st_mtime_ns, (tmp_path / "a").stat().st_ino)


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


class TestLeftovers:
    def test_those_of_dead_processes_go_and_those_of_living_ones_stay(self, tmp_path: Path, dead: int) -> None:
        gone = [
            tmp_path / f".partial-{dead}-{files._HOST}00000001",
            tmp_path / f".partial-{dead}-{files._HOST}0000000a.npy",
        ]
        gone[0].mkdir()
        (gone[0] / "crops.npy").write_bytes(b"half")
        gone[1].write_bytes(b"half")
        kept = [
            tmp_path / f".partial-{os.getppid()}-{files._HOST}00000001",
            tmp_path / f".partial-{dead}-{'f' * 6 if files._HOST != 'f' * 6 else 'e' * 6}00000001",
            tmp_path / f".partial-{dead}",
            tmp_path / "crops.npy",
        ]
        for path in kept:
            path.write_bytes(b"")
        with scratch_path(tmp_path) as mine:
            mine.write_bytes(b"")
            remove_leftovers(tmp_path)
            assert sorted(tmp_path.iterdir()) == sorted([*kept, mine])

    def test_whoever_is_alone_removes_all_but_its_own(self, tmp_path: Path) -> None:
        (tmp_path / f".partial-{os.getppid()}-{files._HOST}00000001").mkdir()
        with scratch_path(tmp_path) as mine:
            mine.mkdir()
            remove_leftovers(tmp_path, alone=True)
            assert list(tmp_path.iterdir()) == [mine]
        assert list(tmp_path.iterdir()) == []

    def test_a_link_is_removed_and_not_followed(self, tmp_path: Path, dead: int) -> None:
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "a").write_bytes(b"")
        link = tmp_path / f".partial-{dead}-{files._HOST}00000001"
        link.symlink_to(tmp_path / "kept")
        remove_leftovers(tmp_path)
        assert not link.is_symlink()
        assert (tmp_path / "kept" / "a").exists()

    def test_their_names_are_known(self, tmp_path: Path) -> None:
        with scratch_path(tmp_path, ".png") as mine:
            assert is_scratch(mine.name)
        assert not is_scratch("crops.npy")
