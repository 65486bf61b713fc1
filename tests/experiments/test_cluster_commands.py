"""`--cluster` with a real scheduler and workers as processes: the bytes of one process, also if some are killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = """
[corpus]
subjects = 3
clips_per_subject = 2
width = 200
height = 200
fps = 60.0
lead_in = 2
tail = 2
[faces]
size = 64
[evaluation]
seeds = 1
input_size = 32
[fit]
epochs = 2
"""
ROUNDS = int(os.environ.get("MER_KILLS", "1"))
"""Of kills in the last test; 20 were tried for a release."""

pytest.importorskip("distributed", reason="needs Dask: pip install -e '.[cluster]'")
pytestmark = pytest.mark.slow


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """A Python module in a process group of its own, so that it can be killed with all that it started."""
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Dask:
    """A scheduler and two workers, in folders that the work is not in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.up()

    def up(self) -> None:
        """Start what is not running."""
        quiet = ("--no-dashboard",)
        worker = ("distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny", *quiet)
        commands = {
            "scheduler": ("distributed.cli.dask_scheduler", "--port", str(self.port), *quiet),
            "worker 1": worker,
            "worker 2": worker,
        }
        for name, words in commands.items():
            if name not in self.processes or self.processes[name].poll() is not None:
                self.processes[name] = start(*words, cwd=self.folder)

    def down(self) -> None:
        for process in self.processes.values():
            kill(process)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    (tmp_path / "dask").mkdir()
    found = Dask(tmp_path / "dask")
    yield found
    found.down()


def place(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "tiny.toml").write_text(TINY)
    return folder


def mer(folder: Path, *words: str) -> subprocess.Popen[str]:
    return start("experiments", *words, "synthetic", "--config", "tiny.toml", cwd=folder)


def finish(folder: Path, *words: str) -> str:
    process = mer(folder, *words)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    return text


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def differences(one: Path, other: Path) -> list[str]:
    first, second = tree(one), tree(other)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    folder = place(tmp_path, "undisturbed")
    finish(folder, "train", "--jobs", "1", "--name", "r")
    return folder


def test_killed_at_random_moments_a_cluster_ends_with_the_bytes_of_one_process(
    tmp_path: Path, dask: Dask, undisturbed: Path
) -> None:
    """Once left alone, then in each round the scheduler, a worker or the command is killed somewhere on the way."""
    words = ("train", "--cluster", dask.address, "--name", "r")
    begin = time.monotonic()
    alone = place(tmp_path, "alone")
    finish(alone, *words)
    took = time.monotonic() - begin
    assert differences(alone, undisturbed) == []

    chance = random.Random(0)
    for round_number in range(ROUNDS):
        folder = place(tmp_path, f"killed-{round_number}")
        for victim in ("worker 1", "scheduler", "command"):
            dask.up()
            command = mer(folder, *words)
            time.sleep(chance.uniform(0.2, 0.8) * took)
            kill(command if victim == "command" else dask.processes[victim])
            text, _ = command.communicate(timeout=600) if victim != "command" else ("", "")
            if victim == "worker 1":
                assert command.returncode == 0, text  # the other worker has done its work
            if victim == "scheduler" and command.returncode:
                assert "Traceback" not in text
                assert text.splitlines()[-1].startswith("error: ") and "scheduler" in text.splitlines()[-1], text
        dask.up()
        finish(folder, *words)
        assert differences(folder, undisturbed) == [], round_number


def test_jobs_have_no_effect_on_a_cluster(tmp_path: Path) -> None:
    process = mer(place(tmp_path, "x"), "dataset", "--cluster", "tcp://127.0.0.1:9", "--jobs", "2")
    text, _ = process.communicate()
    assert process.returncode == 2 and "--jobs has no effect with --cluster" in text
