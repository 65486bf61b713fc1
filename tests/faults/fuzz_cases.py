"""Damaged inputs in one forked child: each is read under a limit of time and memory, and what came of it is checked.

Runs inside `server`, with the code under test; see `fuzz` for who reads the results.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 20
"""Longest that one input may take, on a busy machine too."""

Case = Callable[[random.Random, Path, Path], str]
"""(random numbers, scratch folder, model folder) → what became of the input, in a few words."""


class WrongError(Exception):
    """An input was taken for what it is not."""


class LateError(BaseException):
    """An input took too long."""


def run(kind: str, first: int, last: int, seed: int, folder: str, model: str, results: str) -> None:
    """Cases ``first`` to ``last - 1`` of a kind; one line of JSON before and after each."""
    sys.path.insert(0, str(Path(__file__).parent))
    import fuzz_files
    import fuzz_tables

    from preprocessing.errors import ToolkitError

    case: Case = {**fuzz_files.CASES, **fuzz_tables.CASES}[kind]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _late)
    scratch = Path(folder)
    with Path(results).open("a") as out:
        for number in range(first, last):
            print(json.dumps({"begun": number}), file=out, flush=True)
            rng = random.Random(f"{kind} {seed} {number}")
            what = ""
            signal.alarm(SECONDS)
            try:
                outcome = case(rng, scratch, Path(model))
            except (ToolkitError, ValueError, OSError) as error:
                outcome, what = "refused in a sentence", str(error)
                if not what.strip():
                    outcome = "refused without a word"
            except WrongError as error:
                outcome, what = "silent wrong results", str(error)
            except LateError:
                outcome, what = "hangs", traceback.format_exc()[-1500:]
            except Exception:  # whatever the command line does not turn into a sentence
                outcome, what = "tracebacks", traceback.format_exc()[-1500:]
            finally:
                signal.alarm(0)
            print(json.dumps({"ended": number, "outcome": outcome, "what": what[:2000]}), file=out, flush=True)


def _late(*_: Any) -> None:
    raise LateError


def expect(fine: bool, what: str) -> None:
    """Raise `WrongError` unless an accepted input was read right."""
    if not fine:
        raise WrongError(what)


def flip(data: bytearray, rng: random.Random) -> None:
    """Some bits."""
    for _ in range(rng.choice((1, 1, 3, 50))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_early(data: bytearray, rng: random.Random) -> None:
    """Some bits of the first bytes, where formats keep their numbers."""
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(min(len(data), 120))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    """Only the beginning is there."""
    del data[rng.randrange(len(data)) :]


def zero(data: bytearray, rng: random.Random) -> None:
    """A stretch of zeros."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 16, 400)))
    data[start:stop] = bytes(stop - start)


def double(data: bytearray, rng: random.Random) -> None:
    """A stretch stands there twice."""
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.choice((1, 7, 300))]


def drop(data: bytearray, rng: random.Random) -> None:
    """A stretch is gone."""
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 5, 200))]


def large(data: bytearray, rng: random.Random) -> None:
    """A number of four bytes is as large as it can be, or nearly."""
    start = rng.randrange(len(data))
    data[start : start + 4] = rng.choice(
        (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80")
    )


def noise(data: bytearray, rng: random.Random) -> None:
    """Nothing of it is left."""
    data[:] = rng.randbytes(rng.choice((1, 10, 1000)))


DAMAGES = (flip, flip, flip_early, flip_early, cut, zero, double, drop, large, large, noise)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes that differ from ``content``; once in a while all are gone."""
    if rng.random() < 0.01:
        return b""
    data = bytearray(content)
    while bytes(data) == content:
        rng.choice(DAMAGES)(data, rng)
        data = data or bytearray(content[:1])
    return bytes(data)
