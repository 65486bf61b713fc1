"""Rates from the times of frames, whatever the container says."""

from __future__ import annotations

import numpy as np
import pytest

from preprocessing.recordings.times import gaps, rate_of


@pytest.mark.parametrize("announced", [None, 1000.0, 12.0])
def test_the_rate_is_frames_by_time(announced: float | None) -> None:
    """Rounded to a thousandth of a second, as WebM stores times."""
    times = np.round(np.arange(72) / 29.6, 3).tolist()
    assert rate_of(times, announced) == pytest.approx(29.6, abs=0.05)


def test_what_is_announced_is_taken_where_it_agrees() -> None:
    assert rate_of(np.round(np.arange(30) / 30, 3).tolist(), 30.0) == 30.0


def test_a_varying_rate_is_the_mean() -> None:
    times = [*(t / 30 for t in range(30)), *(1 + t / 10 for t in range(30))]
    assert rate_of(times, 30.0) == pytest.approx(60 / 4, rel=0.05)
    assert gaps(times) == 0


@pytest.mark.parametrize("jump", [60.0, 3600.0, -5.0])
def test_a_pause_or_a_set_clock_is_no_frame_distance(jump: float) -> None:
    """Frames by length would give 0.5 frames per second for a pause of a minute."""
    times = [t / 25 + (jump if t >= 20 else 0) for t in range(40)]
    assert rate_of(times, None) == pytest.approx(25)
    assert gaps(times) == 1


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 0.0]])
def test_without_times_there_is_what_is_announced(times: list[float]) -> None:
    assert rate_of(times, 25.0) == 25.0
    assert rate_of(times, None) is None
