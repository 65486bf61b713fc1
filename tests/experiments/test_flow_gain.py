"""What the methods read of small motions. Reading nothing is a gain of 0, doubling every motion one of 2."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.flow_gain import gain, gain_table, texture
from preprocessing.optical_flow import FlowSettings


def test_the_texture_is_moved_exactly() -> None:
    """Twenty times the distance changes the picture twenty times as much, which holds for short ones only."""
    assert np.std(texture(0.0, 12.0)) == pytest.approx(12, rel=0.15)
    near, far = (np.abs(texture(shift, 12.0) - texture(0.0, 12.0)).mean() for shift in (0.01, 0.2))
    assert far == pytest.approx(20 * near, rel=0.02)


@pytest.mark.parametrize("motion", [0.05, 1.0])
@pytest.mark.parametrize("contrast", [3.0, 12.0])
def test_track_reads_clear_pictures_as_they_are(motion: float, contrast: float) -> None:
    """At contrast 3, DIS reads half of 0.05 px here, and OpenCV's TV-L1 hardly anything."""
    assert gain(FlowSettings("track"), motion, contrast, 0.0, np.random.default_rng(0)) == pytest.approx(1, abs=0.05)


def test_track_reads_noisy_pictures_as_they_are_on_average() -> None:
    gains = [gain(FlowSettings("track"), 0.1, 12.0, 2.0, np.random.default_rng(d)) for d in range(4)]
    assert np.mean(gains) == pytest.approx(1, abs=0.12)  # DIS 1.5, zero flow 0


def test_the_table_holds_every_method_once_per_condition() -> None:
    tried = {"none": FlowSettings("zero"), "farneback": FlowSettings("farneback")}
    table = gain_table(tried, contrasts=(12.0,), noises=(0.0, 1.0), draws=2)
    assert table[["method", "noise sd"]].values.tolist() == [
        *(["none", 0.0], ["none", 1.0]),
        *(["farneback", 0.0], ["farneback", 1.0]),
    ]
    assert table["0.1 px"].tolist()[:2] == ["0.00", "0.00 ± 0.00"]
