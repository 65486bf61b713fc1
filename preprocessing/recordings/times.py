"""Frames per second from the times at which frames are shown, and where the times jump."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

GAP = 3.5  # times the usual distance of two frames; a camera that halves its rate in the dark stays below
AGREES = 0.01


def rate_of(times: Sequence[float], announced: float | None = None) -> float | None:
    """Frames per second: how many follow each other in how many seconds, pauses and jumps of the clock left out.

    Args:
        times: seconds, one per frame, in order.
        announced: what the file says; taken where it differs by less than a hundredth, since containers round times.

    Returns:
        The rate; ``announced`` where times say nothing; None where that is unknown too.
    """
    steps = _steps(times)
    usual = _median(steps)
    running = [step for step in steps if step <= GAP * usual]
    if not running:
        return announced
    measured = len(running) / sum(running)
    return round(announced if announced and abs(announced / measured - 1) < AGREES else measured, 3)


def gaps(times: Sequence[float]) -> int:
    """Places at which frames are missing, the recording paused, or its clock was set."""
    usual = _median(_steps(times))
    return sum(b < a or b - a > GAP * usual for a, b in pairwise(times))


def _steps(times: Sequence[float]) -> list[float]:
    return [step for a, b in pairwise(times) if (step := b - a) > 0]  # a clock set back is no step


def _median(steps: list[float]) -> float:
    return sorted(steps)[len(steps) // 2] if steps else 0.0
