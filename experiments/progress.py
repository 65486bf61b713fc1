"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Step = Callable[[int, int, str], None]
"""Called with (done, total, what was done last)."""
Progress = Callable[[str], AbstractContextManager[Step]]
"""Opens the display of one piece of long work by its title."""

LOG_EVERY = 10.0  # seconds


@contextmanager
def progress(title: str, console: Console) -> Iterator[Step]:
    """Yield a `Step` to call after each piece of work; shows a bar, or plain lines where there is no terminal."""
    if not console.is_terminal:
        yield _log(title, console)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", style="dim", markup=False),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(title, total=None, last="")

        def step(done: int, total: int, last: str = "") -> None:
            bars.update(task, completed=done, total=total, last=last)

        yield step


def say(text: str) -> None:
    """A line about what a command waits for, above the bar that is shown meanwhile; workers say it as well."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _log(title: str, console: Console) -> Step:
    start = last_line = time.monotonic()

    def step(done: int, total: int, last: str = "") -> None:
        nonlocal last_line
        now = time.monotonic()
        if done < total and now - last_line < LOG_EVERY:
            return
        last_line = now
        spent = f"{now - start:.0f} s"
        if 0 < done < total:
            spent += f", about {_words((now - start) * (total - done) / done)} left"
        console.print(f"{title}: {done}/{total} ({spent}) {last}".rstrip(), highlight=False, markup=False)

    return step


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
