"""Ctrl-C and SIGTERM at any moment: one sentence, exit code 130 or 143, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import living

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left processes in /proc")

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = [
    *("--set", "corpus.width=320", "--set", "corpus.height=240", "--set", "faces.size=64"),
    *("--set", "corpus.subjects=2", "--set", "corpus.clips_per_subject=6"),
]
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "experiments", *words]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def check_end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number, said
    assert said.splitlines()[-1].startswith(f"{WORDS[number]}: what is finished is kept"), said
    assert "Traceback" not in said
    deadline = time.monotonic() + 5
    while living(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living(process.pid) == []


def loads(process: subprocess.Popen[str], library: str) -> bool:
    """Whether a process has mapped a library into its memory."""
    try:
        return library in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("number", WORDS)
@pytest.mark.parametrize("library", ["numpy", "cv2"])
def test_while_libraries_are_loaded(tmp_path: Path, number: signal.Signals, library: str) -> None:
    """Python alone would print a traceback, or an ImportError where the exception came out of a module in C."""
    process = start(tmp_path, "dataset", "synthetic", *SMALL)
    while not loads(process, library):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    check_end(process, number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", WORDS)
@pytest.mark.parametrize(
    "everybody", [pytest.param(True, id="the group"), pytest.param(False, id="the command", marks=pytest.mark.slow)]
)
def test_while_workers_are_at_work(tmp_path: Path, number: signal.Signals, everybody: bool) -> None:
    process = start(tmp_path, "dataset", "synthetic", *SMALL, "--jobs", "2")
    while not list(tmp_path.glob("data/synthetic/frames/*/.partial-*/*.jpg")):
        assert process.poll() is None
        time.sleep(0.02)
    (os.killpg if everybody else os.kill)(process.pid, number)
    check_end(process, number)


def test_an_interrupt_in_code_that_was_text(tmp_path: Path) -> None:
    """As in the methods that dataclass writes; Python would end the process by the signal, which is -2 here."""
    (tmp_path / "interrupted.py").write_text(
        "from experiments.options import guarded_command\n"
        "import typer\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "@guarded_command\n"
        "def work() -> None:\n"
        "    exec('raise KeyboardInterrupt')\n"
        "app()\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "interrupted"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    check_end(process, signal.SIGINT)
