"""A process that has loaded everything once and forks a child for each command: a command then costs what it does.

It runs the code that is first on PYTHONPATH, which may be another checkout than the one that tests it. Requests are
lines of JSON on standard input, answers lines of JSON on standard output; see `machine.Machine`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

MODULES = (
    *("experiments.cli", "experiments.workflow", "experiments.prediction", "experiments.runs.final"),
    *("experiments.runs.system_registry", "experiments.pages.report", "experiments.score_tables"),
    *("dynamic_images.inspection.gallery", "fusion_net.new_clips", "sklearn.svm", "matplotlib.pyplot"),
)
FREE = 3 << 30
"""Bytes of memory that a child may take beyond what it was forked with."""


def load() -> None:
    """Import what commands import, and what they load on first use."""
    import cv2
    import torch

    # an installed checkout would stand in for modules that the code under test has not
    sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def serve() -> dict[str, Any]:
    """Answer requests until the input ends; in a child, return its request."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    say(ready=sys.modules["experiments"].__file__)
    waiting = b""
    while True:
        readable = select.select([0, wake], [], [])[0]
        if wake in readable:
            os.read(wake, 1 << 16)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if not pid:
                    break
                say(ended=pid, code=os.waitstatus_to_exitcode(status))
        if 0 in readable:
            data = os.read(0, 1 << 16)
            if not data:
                os._exit(0)
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                request: dict[str, Any] = json.loads(line)
                pid = os.fork()
                if not pid:
                    os.close(wake)
                    os.close(waker)
                    return request


def say(**words: object) -> None:
    """One line to whoever asks."""
    os.write(1, (json.dumps(words) + "\n").encode())


def become(request: dict[str, Any]) -> None:
    """Make the forked child a process of its own: group, folder, output, limits, signals as at the start of Python."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(ImportError):  # the first thing that a command does
        importlib.import_module("experiments.signals").leave_at_once()
    os.setsid()
    os.chdir(request["folder"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    say(started=os.getpid())
    for file, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(file, number)
    if request.get("limited"):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + FREE, taken + FREE))


def main() -> None:
    """Serve; in a child do what was asked for and end as a command ends."""
    load()
    request = serve()
    become(request)
    if "cases" in request:
        from fuzz_cases import run

        run(**request["cases"])
        return
    sys.argv = ["mer", *request["words"]]
    try:
        from experiments.__main__ import main as command
    except ImportError:
        from experiments.cli import main as command
    try:
        command()
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
