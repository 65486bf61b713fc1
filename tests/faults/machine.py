"""Commands of the code under test, each in a process group of its own, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import living

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST = 240.0
"""Seconds after which a command counts as hanging: far more than any takes here, on a busy machine too."""
SETTLE = 30.0
"""Seconds in which the processes of an ended command must be gone: a worker that is still importing ends after that."""


@dataclass
class Tally:
    """Counts of one kind of fault, and what went wrong in words.

    Attributes:
        counts: name → number, in the order of their first use.
        wrong: what may never be: silent wrong results, tracebacks, hangs, left processes.
    """

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def fault(self, kind: str, what: str) -> None:
        self.add(kind)
        self.wrong.append(f"{kind}: {what}")

    def __str__(self) -> str:
        rows = [f"| {name} | {number:,} |" for name, number in self.counts.items()]
        return "\n".join(["| what | count |", "|---|---:|", *rows])


@dataclass
class Command:
    """A command that was started."""

    pid: int
    log: Path
    words: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def signal(self, number: int, group: bool = False) -> None:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)


class Machine:
    """Starts commands of the code in ``code``, forked from a process that has loaded it, or as fresh processes."""

    def __init__(self, code: Path, logs: Path) -> None:
        self.logs, self.code, self._count = logs, code, 0
        logs.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(code), "COLUMNS": "120"}
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            cwd=logs,
            start_new_session=True,
        )
        self._codes: dict[int, int] = {}
        self._started: list[int] = []
        self._news = threading.Condition()
        self._ready = ""
        threading.Thread(target=self._listen, daemon=True).start()
        with self._news:
            if not self._news.wait_for(lambda: self._ready, 300):
                raise RuntimeError("the code under test cannot be loaded")

    def start(self, folder: Path, *words: str, fresh: bool = False, **request: Any) -> Command:
        """``mer`` with these words in ``folder``; ``fresh``: as a process that imports everything itself."""
        self._count += 1
        log = self.logs / f"{self._count}.log"
        if fresh:
            with log.open("wb") as out:
                command = [sys.executable, "-m", "experiments", *words]
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            return Command(process.pid, log, words, process)
        asked = {"folder": str(folder), "words": words, "log": str(log), **request}
        assert self._server.stdin is not None
        with self._news:
            self._server.stdin.write((json.dumps(asked) + "\n").encode())
            self._server.stdin.flush()
            assert self._news.wait_for(lambda: self._started, 60), "the server does not answer"
            return Command(self._started.pop(), log, words)

    def wait(self, command: Command, seconds: float = LONGEST) -> int | None:
        """Exit code, negative for a signal; None if it has not ended in time."""
        if command.process is not None:
            try:
                return command.process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
        with self._news:
            self._news.wait_for(lambda: command.pid in self._codes, seconds)
            return self._codes.get(command.pid)

    def end(self, command: Command, tally: Tally, seconds: float = LONGEST) -> int | None:
        """`wait`, and note a hang, a traceback and processes that are left, which are then ended."""
        code = self.wait(command, seconds)
        shown = f"mer {' '.join(command.words[:2])}"
        if code is None:
            tally.fault("hangs", f"{shown} has not ended after {seconds:.0f} s: {command.said[-500:]}")
        deadline = time.monotonic() + SETTLE
        while (left := living(command.pid)) and code is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            if code is not None:
                tally.fault("processes left", f"{len(left)} of {shown}")
            command.signal(signal.SIGKILL, group=True)
            self.wait(command, 30)
        if re.search(r"Traceback|^\w*Error\b", command.said, re.MULTILINE):
            tally.fault("tracebacks", f"{shown}: {command.said[-1500:]}")
        return code

    def run(self, folder: Path, *words: str, tally: Tally | None = None) -> tuple[int | None, str]:
        """A command from beginning to end: exit code and what it said."""
        command = self.start(folder, *words)
        code = self.end(command, tally if tally is not None else Tally())
        said = command.said
        command.log.unlink(missing_ok=True)
        return code, said

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            news = json.loads(line)
            with self._news:
                if "ready" in news:
                    self._ready = news["ready"]
                elif "started" in news:
                    self._started.append(news["started"])
                else:
                    self._codes[news["ended"]] = news["code"]
                self._news.notify_all()
