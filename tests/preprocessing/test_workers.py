"""Work in several processes: every task once, a killed worker is one sentence, nothing of a killed command stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from preprocessing import worker_leftovers, workers
from preprocessing.artefacts.locks import listener, waits_told
from preprocessing.errors import EnvironmentProblemError
from preprocessing.workers import unordered

WORK = (
    "import sys, time; from preprocessing.workers import unordered\n"
    "if __name__ == '__main__':\n"
    "    for done in unordered(time.sleep, [(0.1,)] * 20 + [(600,)] * 20, 2):\n"
    "        print('one is done', flush=True)\n"
)
NEEDS_SHARED_MEMORY = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm")


class TestWorkers:
    def test_with_one_process_everything_happens_here_and_in_order(self) -> None:
        pairs = list(unordered(_where, [(i,) for i in range(4)], jobs=1))
        assert pairs == [(i, os.getpid()) for i in range(4)]

    def test_one_task_starts_no_process(self) -> None:
        assert list(unordered(_where, [(7,)], jobs=8)) == [(7, os.getpid())]

    @pytest.mark.slow
    def test_several_processes_do_every_task_once(self) -> None:
        results = list(unordered(_where, [(i,) for i in range(20)], jobs=2))
        assert sorted(i for i, _ in results) == list(range(20))
        assert os.getpid() not in {process for _, process in results}

    @pytest.mark.slow
    def test_a_worker_tells_for_whom_it_waits_like_its_command(self) -> None:
        with waits_told(_hear):
            assert set(unordered(_listener, [(), ()], jobs=2)) == {"_hear"}
        assert set(unordered(_listener, [(), ()], jobs=2)) == {""}

    @pytest.mark.slow
    def test_a_killed_worker_is_one_sentence(self) -> None:
        with pytest.raises(EnvironmentProblemError, match="fewer --jobs"):
            list(unordered(_die, [(i,) for i in range(4)], jobs=2))

    @pytest.mark.slow
    def test_a_worker_that_cannot_begin_is_one_sentence(self) -> None:
        """As one that is interrupted while it unpacks its work."""
        with pytest.raises(EnvironmentProblemError, match="one of 2 worker processes broke down"):
            list(unordered(_where, [(Unpackable(),), (Unpackable(),)], jobs=2))  # type: ignore[arg-type]

    def test_sigterm_waits_until_workers_know_what_to_do(self) -> None:
        """One whose parent ends before prints a traceback."""
        heard: list[str] = []
        before = signal.signal(signal.SIGTERM, lambda *_: heard.append("handled"))
        try:
            with workers._interrupts_held_back():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
                heard.append("block ends")
            assert heard == ["block ends", "handled"]
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_nothing_watches_the_parent_of_the_command_itself(self) -> None:
        """Else a command that is left alone by its shell would end."""
        before = threading.active_count()
        list(unordered(_where, [(1,), (2,)], jobs=1))
        assert threading.active_count() == before


class Unpackable:
    """Cannot be unpacked in another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _interrupted, ()


def _interrupted() -> None:
    raise KeyboardInterrupt


def _where(task: int) -> tuple[int, int]:
    return task, os.getpid()


def _listener() -> str:
    return getattr(listener(), "__name__", "")


def _hear(text: str) -> None:
    """Nothing."""


def _die(task: int) -> None:
    os._exit(9)


def shared(process: int) -> list[str]:
    """What a process has in shared memory."""
    patterns = [pattern.format(process) for pattern in worker_leftovers.PATTERNS]
    return [path.name for pattern in patterns for path in Path("/dev/shm").glob(pattern)]


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Claims in a folder for temporary files of this test alone."""
    monkeypatch.setattr(worker_leftovers.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = worker_leftovers._claims()
    assert folder is not None
    return folder


@NEEDS_SHARED_MEMORY
class TestLeftovers:
    def start(self, folder: Path) -> subprocess.Popen[str]:
        """A command with two workers, at work."""
        process = subprocess.Popen(
            [sys.executable, "-c", WORK],
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "one is done\n"
        return process

    def test_what_a_killed_command_left_goes_and_what_a_living_one_has_stays(
        self, claims: Path, tmp_path: Path
    ) -> None:
        dead, living = self.start(tmp_path), self.start(tmp_path)
        try:
            os.killpg(dead.pid, signal.SIGKILL)
            dead.wait()
            assert shared(dead.pid), "it leaves nothing: this test and what it tests can go"
            before = shared(living.pid)
            worker_leftovers._remove_of_dead(claims)
            assert shared(dead.pid) == []
            assert shared(living.pid) == before != []
            assert [path.name.partition("-")[0] for path in claims.iterdir()] == [str(living.pid)]
        finally:
            os.killpg(living.pid, signal.SIGKILL)
            living.wait()
        worker_leftovers._remove_of_dead(claims)
        assert shared(living.pid) == list(claims.iterdir()) == []

    def test_what_others_left_is_not_touched(self, claims: Path, tmp_path: Path) -> None:
        """It carries the number of a dead process too, but of none that we started."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        theirs = tmp_path / f"joblib_memmapping_folder_{process.pid}_x"
        theirs.mkdir()
        worker_leftovers._remove_of_dead(claims)
        assert theirs.is_dir()
        (claims / f"{process.pid}-00000000{worker_leftovers.CLAIM}").touch()
        worker_leftovers._remove_of_dead(claims)
        assert not theirs.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
def test_a_worker_that_is_killed_from_outside_is_one_sentence() -> None:
    """As the kernel does when memory runs out; the work that is missing must not pass for done."""
    done, killed = 0, False
    with pytest.raises(EnvironmentProblemError, match="one of 2 worker processes was killed"):
        for _, worker in unordered(_slowly, [(i,) for i in range(400)], jobs=2):
            done += 1
            if not killed:
                os.kill(worker, signal.SIGKILL)
                killed = True
    assert 1 <= done < 400


def _slowly(task: int) -> tuple[int, int]:
    time.sleep(0.05)
    return task, os.getpid()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads signal masks in /proc")
def test_ctrl_c_never_reaches_a_worker_that_is_still_importing(tmp_path: Path) -> None:
    """From its first moment on: one that is interrupted while it imports would print a traceback."""
    script = tmp_path / "script.py"
    script.write_text(
        "import signal; from pathlib import Path; from preprocessing.workers import unordered\n"
        "if __name__ == '__main__':\n"
        "    for text in unordered(Path.read_text, [(Path('/proc/self/status'),)] * 4, 2):\n"
        "        blocked = int(text.split('SigBlk:')[1].split()[0], 16)\n"
        "        print(bool(blocked & 1 << signal.SIGINT - 1))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 4
