"""A folder is held by one process at a time, a dead one holds nothing, and who waits is told for whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from preprocessing.artefacts import locks
from preprocessing.artefacts.locks import LOCK, FolderInUseError, listener, locked, waits_told

HOLD = (
    "import sys; from pathlib import Path; from preprocessing.artefacts.locks import locked\n"
    "with locked(Path(sys.argv[1]), 'mer dataset casme2'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.readline()\n"
)


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds ``folder`` until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_held_folder_says_by_whom(tmp_path: Path) -> None:
    with another_process(tmp_path / "run") as process:
        who = rf"process {process.pid} on \S+ since \d{{4}}-\d\d-\d\d .*\(mer dataset casme2\): wait until"
        with pytest.raises(FolderInUseError, match=who), locked(tmp_path / "run", "x"):
            pytest.fail("two at once")


def test_who_waits_gets_it_when_the_other_ends(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        threading.Timer(0.3, process.kill).start()
        with locked(tmp_path, "x", wait=60):
            assert process.wait(timeout=60) != 0
    assert list(tmp_path.iterdir()) == []


def test_who_waits_long_is_told_for_whom_and_not_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of a thousand clips somebody may wait for the same process: a word now and then says it."""
    monkeypatch.setattr(locks, "TELL_AFTER", 0.1)
    monkeypatch.setattr(locks, "_told", -locks.TELL_EVERY)
    heard: list[str] = []
    with another_process(tmp_path / "run") as process, waits_told(heard.append):
        for _ in range(2):
            with pytest.raises(FolderInUseError), locked(tmp_path / "run", "x", wait=0.3):
                pytest.fail("two at once")
    assert len(heard) == 1
    assert heard[0].startswith(f"waiting for process {process.pid} on ")
    assert "(mer dataset casme2), which is at work in " in heard[0]
    assert listener() is None


def test_a_folder_that_was_made_for_the_lock_alone_goes_with_it(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "run", "x"):
        pass
    assert not (tmp_path / "runs").exists()
    with locked(tmp_path / "run", "x"):
        (tmp_path / "run" / "file").touch()
    assert (tmp_path / "run" / "file").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK).exists(), "nobody tidied up"
        with locked(tmp_path, "x"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_holder_may_lock_again_and_others_only_after_the_last(tmp_path: Path) -> None:
    with locked(tmp_path, "x"):
        with locked(tmp_path / ".." / tmp_path.name, "y"):
            pass
        assert (tmp_path / LOCK).exists()
        found: list[str] = []

        def try_it() -> None:
            try:
                with locked(tmp_path, "z"):
                    found.append("two at once")
            except FolderInUseError as error:
                found.append(str(error))

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        assert f"process {os.getpid()} on" in found[0]
    assert list(tmp_path.iterdir()) == []


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "x"):
        _ = 1 / 0
    with locked(tmp_path, "x"):
        pass


def test_many_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    """Each adds one to a number in a file, read and written in two steps: without a lock some would be lost."""
    code = (
        "import sys; from pathlib import Path; from preprocessing.artefacts.locks import locked\n"
        "number = Path(sys.argv[1]) / 'number'\n"
        "for _ in range(50):\n"
        "    with locked(number.parent, 'x', wait=100):\n"
        "        number.write_text(str(int(number.read_text()) + 1))\n"
    )
    (tmp_path / "number").write_text("0")
    some = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=100) for process in some] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "150"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_in_a_folder_that_is_only_readable_nothing_is_locked(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with locked(tmp_path, "x"):
        assert list(tmp_path.iterdir()) == []
