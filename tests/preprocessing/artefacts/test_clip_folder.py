"""Stages of a clip on disk: fresh or undone and never half new, whatever stops them or damages their files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preprocessing.artefacts import clip_folder as module
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import digest
from preprocessing.artefacts.record import RECORD, Entry, Mark, stored
from preprocessing.errors import DamagedArtefactError


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


def flip(path: Path, position: float = 0.5) -> None:
    """One bit of a file, size and everything else as before."""
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 1
    path.write_bytes(data)


def flip_unnoticed(path: Path) -> None:
    """The same as a failing disk does it: the file looks no newer than its record."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))


@pytest.fixture
def chain(folder: ClipFolder) -> ClipFolder:
    """Two stages, the second made from a file of the first."""
    run_stage(folder, "faces", "f", {"crops.npy": b"abcdef", "landmarks.npy": b"xy"})
    with folder.writing("flow", Entry("w", {}, inputs=folder.digests("crops.npy"))) as scratch:
        (scratch / "flow.npy").write_bytes(b"flow")
    return folder


class TestDigests:
    def test_a_flipped_bit_is_found_where_the_file_is_used(self, chain: ClipFolder) -> None:
        assert chain.verified("crops.npy") == chain / "crops.npy"
        flip(chain / "crops.npy")
        with pytest.raises(DamagedArtefactError, match=r"crops\.npy \(stage faces\) is not what was written") as caught:
            chain.verified("crops.npy")
        assert (caught.value.folder, caught.value.file, caught.value.stage) == (chain.folder, "crops.npy", "faces")
        assert "mer dataset" in str(caught.value)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value), "it has to come from a worker"

    def test_a_file_that_no_stage_wrote_is_not_trusted(self, chain: ClipFolder) -> None:
        (chain / "extra.npy").write_bytes(b"abc")
        with pytest.raises(DamagedArtefactError, match="nothing vouches for it"):
            chain.verified("extra.npy")

    def test_a_file_is_hashed_once_while_it_stays_the_same(
        self, chain: ClipFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[Any] = []
        monkeypatch.setattr(module, "digest", lambda content: hashed.append(content) or digest(content))
        chain.verified("flow.npy")
        assert hashed == [], "it was hashed when it was written"
        os.utime(chain / "flow.npy")
        for _ in range(3):
            chain.verified("flow.npy")
        assert hashed == [chain / "flow.npy"]

    def test_touched_files_are_compared_and_all_of_them_when_asked(self, chain: ClipFolder) -> None:
        assert chain.damage() == chain.damage(everything=True) == []
        os.utime(chain / "flow.npy")
        assert chain.damage() == [], "touched, and the same"
        flip(chain / "landmarks.npy")
        assert chain.damage() == [("faces", "landmarks.npy")]
        (chain / "flow.npy").unlink()
        assert set(chain.damage()) == {("faces", "landmarks.npy"), ("flow", "flow.npy")}

    def test_bits_that_changed_by_themselves(self, chain: ClipFolder) -> None:
        flip_unnoticed(chain / "crops.npy")
        assert chain.damage() == []
        assert chain.damage(everything=True) == [("faces", "crops.npy")]

    def test_a_discarded_stage_is_undone_and_its_files_go_when_it_is_made_again(self, chain: ClipFolder) -> None:
        chain.discard("flow")
        assert not chain.fresh("flow", "w") and not chain.fresh("flow", "")
        assert chain.fresh("faces", "f")
        run_stage(chain, "flow", "w", {"flow2.npy": b"flow"})
        assert not (chain / "flow.npy").exists()

    def test_what_was_made_from_other_bytes_is_stale(self, chain: ClipFolder) -> None:
        """Also under its key: a file that came out otherwise when it was made again takes along what stands on it."""
        assert chain.fresh("flow", "w")
        run_stage(chain, "faces", "f", {"crops.npy": b"abcdef", "landmarks.npy": b"XY"})
        assert chain.fresh("flow", "w"), "it was made from the crops alone"
        run_stage(chain, "faces", "f", {"crops.npy": b"abcdeF", "landmarks.npy": b"xy"})
        assert not chain.fresh("flow", "w")

    def test_the_state_is_that_of_the_artefacts(self, chain: ClipFolder) -> None:
        before = chain.state(("faces",))
        run_stage(chain, "faces", "f", {"crops.npy": b"abcdef", "landmarks.npy": b"xy"})
        assert chain.state(("faces",)) == before
        run_stage(chain, "input x", "i", {"x.npy": b"x"})
        assert chain.state(("faces",)) == before, "another stage is another matter"
        run_stage(chain, "faces", "f", {"crops.npy": b"abcdeF", "landmarks.npy": b"xy"})
        assert chain.state(("faces",)) != before


class TestRecords:
    def test_every_flipped_bit_of_a_stage_makes_it_undone(self, folder: ClipFolder) -> None:
        """Believed, it would say another number of frames, or that the clip shows no face."""
        with folder.writing("faces", entry := Entry("k", {"size": 160})) as scratch:
            (scratch / "crops.npy").write_bytes(b"abc")
            entry.result["n_frames"] = 63
        whole = (folder / RECORD).read_bytes()
        for i in range(whole.index(b'"faces"'), len(whole) - 4):
            for bit in range(8):
                changed = bytearray(whole)
                changed[i] ^= 1 << bit
                (folder / RECORD).write_bytes(changed)
                found = folder.entry("faces")
                assert found is None or found == entry, changed[max(0, i - 20) : i + 20]

    def test_every_flipped_bit_of_the_facts_makes_everything_undone(self, folder: ClipFolder) -> None:
        """They are for people: a frame rate that nobody wrote would stay there for ever."""
        with folder.writing("faces", Entry("k", {}), clip={"fps": 200.0, "subject": "toy/s1"}, libraries={"x": "1"}):
            pass
        whole, record = (folder / RECORD).read_bytes(), folder.record()
        for i in range(whole.index(b'"stages"')):
            for bit in range(8):
                changed = bytearray(whole)
                changed[i] ^= 1 << bit
                (folder / RECORD).write_bytes(changed)
                found = folder.record()
                assert found == {"stages": {}} or found == record, changed[max(0, i - 20) : i + 20]

    def test_a_part_that_does_not_count_is_gone_with_the_next_one(self, folder: ClipFolder) -> None:
        """One flipped bit in the name of a stage would leave an entry of nothing."""
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        right = (folder / RECORD).read_bytes()
        (folder / RECORD).write_bytes(right.replace(b'"faces"', b'"facds"'))
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        assert (folder / RECORD).read_bytes() == right

    @pytest.mark.parametrize(
        "name",
        ["../victim.txt", "ABSOLUTE", "", ".", "..", "a/b.npy", "a\\b.npy", "C:x.npy", "a\0b", RECORD, ".lock"],
    )
    def test_a_foreign_record_deletes_nothing(self, tmp_path: Path, folder: ClipFolder, name: str) -> None:
        """It comes with a cache from somebody else, its digest is right."""
        victim = tmp_path / "clips" / "s" / "victim.txt"
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        victim.write_text("years of work")
        mark = Mark(victim.stat().st_size, digest(victim))
        record = folder.record()
        foreign = Entry("k", {}, {str(victim) if name == "ABSOLUTE" else name: mark})
        record["stages"]["faces"] = stored("faces", foreign)
        (folder / RECORD).write_text(json.dumps(record))
        assert folder.entry("faces") is None
        assert not folder.fresh("faces", "k")
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        folder.discard("faces")
        folder.clear()
        assert victim.read_text() == "years of work"

    def test_a_record_of_an_older_form_is_undone_and_replaced(self, folder: ClipFolder) -> None:
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        old = {"key": "k", "settings": {}, "files": {"crops.npy": 3}, "result": {}}
        (folder / RECORD).write_text(json.dumps({"stages": {"faces": old}}))
        assert not folder.fresh("faces", "k")
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        assert folder.fresh("faces", "k")

    def test_brackets_within_brackets_are_no_record(self, folder: ClipFolder) -> None:
        run_stage(folder, "faces", "k", {"crops.npy": b"abc"})
        for depth in (400, 900, 100_000):
            (folder / RECORD).write_text('{"stages": {"faces": ' + "[" * depth + "]" * depth + "}}")
            assert not folder.fresh("faces", "k")


class TestTogether:
    def test_stages_that_are_written_at_once_are_each_whole(self, folder: ClipFolder) -> None:
        """With one scratch for all, the first would be recorded over the files of the second."""
        with contextlib.ExitStack() as one, contextlib.ExitStack() as two:
            for stack, key in ((one, "A"), (two, "B")):
                scratch = stack.enter_context(folder.writing("flow", Entry(key, {})))
                (scratch / "flow.npy").write_bytes(key.encode())
            one.close()
            assert folder.fresh("flow", "A") and (folder / "flow.npy").read_bytes() == b"A"
            assert folder.damage(everything=True) == []
        assert folder.fresh("flow", "B") and (folder / "flow.npy").read_bytes() == b"B"
        assert sorted(path.name for path in folder.folder.iterdir()) == ["flow.npy", RECORD]

    def test_two_processes_on_one_clip_leave_a_record_that_agrees_with_its_files(self, folder: ClipFolder) -> None:
        code = (
            "import sys; from pathlib import Path\n"
            "from preprocessing.artefacts.clip_folder import ClipFolder, Entry\n"
            "folder, key = ClipFolder(Path(sys.argv[1])), sys.argv[2]\n"
            "for i in range(40):\n"
            "    with folder.writing('flow', Entry(f'{key}{i}', {})) as scratch:\n"
            "        for name in 'abc':\n"
            "            (scratch / name).write_text(f'{key}{i}')\n"
        )
        both = [subprocess.Popen([sys.executable, "-c", code, str(folder.folder), key]) for key in "AB"]
        seen = set()
        while any(process.poll() is None for process in both):
            if (entry := folder.entry("flow")) is not None:
                seen.add(entry.key[:1])
        assert [process.returncode for process in both] == [0, 0]
        entry = folder.entry("flow")
        assert entry is not None and folder.damage(everything=True) == []
        assert {(folder / name).read_text() for name in "abc"} == {entry.key}
        assert {"A", "B"} <= seen, "they did not run at once"


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
