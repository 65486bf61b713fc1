"""Ctrl-C and SIGTERM: at any moment one sentence, exit code 130 or 143, and nothing left running.

Loads nothing that takes time, since the first seconds of a command are spent on loading libraries.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

KEPT = "what is finished is kept, the same command goes on from there"
WORDS = {signal.SIGINT: f"interrupted: {KEPT}", signal.SIGTERM: f"terminated: {KEPT}"}


class Terminated(KeyboardInterrupt):
    """SIGTERM, on its way like Ctrl-C."""


def leave_at_once() -> None:
    """From now on a signal ends the process there and then, with its sentence.

    While libraries are loaded there is nothing to tidy up, and an exception would come out of them as another.
    """
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave)


@contextmanager
def tidying_up() -> Iterator[None]:
    """In the block a signal is an exception, so that work can be stopped; after it as before, so also while stopping.

    Without `leave_at_once` before, which is the case if somebody calls commands from Python, nothing is changed.
    """
    taken = [number for number in WORDS if signal.getsignal(number) is _leave]
    for number in taken:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _terminate)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, _leave)


def behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that an error came out of, if any: a library in C that is loading makes an ImportError of it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen


def answered() -> None:
    """The interrupt was answered: the exit code that is chosen now stands.

    Python notes an interrupt that comes out of code given as text, such as the methods that ``dataclass`` writes while
    a library is loaded. ``python -m`` then ends by the signal, whatever code was asked for. The next such code takes
    the note back.
    """
    exec("")


def _leave(number: int, _: FrameType | None) -> None:
    os.write(2, f"{WORDS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated
