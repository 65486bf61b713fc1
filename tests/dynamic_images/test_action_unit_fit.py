"""Candidate action units: what was put in comes out, and noise names nothing."""

from __future__ import annotations

import numpy as np
import pytest

from dynamic_images.action_unit_fit import candidates, told
from dynamic_images.regions import REGIONS, unit_motion
from preprocessing.synthetic.geometry import draw_identity

POINTS = draw_identity(np.random.default_rng(0), 320, 240, 0.3).landmarks()
RNG_SD = 0.03


def curves(codes: tuple[str, ...], size: float, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    noise = np.random.default_rng(seed).normal(0, RNG_SD, (50, len(REGIONS), 2))
    course = np.interp(np.arange(50), [0, 5, 25, 45, 50], [0, 0, 1, 0, 0])
    return noise - noise[0] + size * course[:, None, None] * unit_motion(codes, POINTS).sum(axis=0)


@pytest.mark.parametrize("unit", ["1", "2", "4", "12", "15", "17"])
def test_the_unit_that_moves_is_the_likeliest(unit: str) -> None:
    first = candidates(curves((f"{unit}L", f"{unit}R"), 1.2), POINTS, 100.0)[0]
    assert (first.unit, first.side) == (unit, "both")  # by chance one of fifteen
    assert first.probability > 0.5


def test_one_side_is_told() -> None:
    first = candidates(curves(("12L",), 1.2), POINTS, 100.0)[0]
    assert (first.unit, first.side) == ("12", "left")
    assert first.size == pytest.approx(1.2, abs=0.3)
    assert told([first]).startswith("12 left (0.")


def test_a_face_at_rest_has_hardly_any_candidates() -> None:
    assert sum(bool(candidates(curves(("12L",), 0.0, seed), POINTS, 100.0)) for seed in range(20)) <= 3


def test_too_few_frames_have_no_candidates() -> None:
    assert candidates(np.zeros((3, len(REGIONS), 2)), POINTS, 100.0) == []
