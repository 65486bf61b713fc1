"""Displacement fields, time courses and mixtures of action units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.synthetic.action_units import (
    CODES,
    EMOTIONS,
    RECIPES,
    UNITS,
    at_points,
    bumps,
    curve,
    draw_mixture,
    field_of,
    notation,
)
from preprocessing.synthetic.geometry import average_shape

SCALE = 150.0
FACE = average_shape() * SCALE + (320, 215)
X, Y = np.arange(0, 640.0), np.arange(0, 480.0)


def moved(code: str, landmark: int) -> np.ndarray:
    """Displacement (x, y) of a landmark at full activation."""
    return at_points(bumps(code, FACE, SCALE), FACE[[landmark]])[0]


@pytest.mark.parametrize("code", CODES)
def test_strongest_push_of_a_field_is_one_pixel(code: str) -> None:
    field = field_of(bumps(code, FACE, SCALE), X, Y)
    assert np.linalg.norm(field, axis=-1).max() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("code", [code for code in CODES if code[-1] == "L"])
def test_right_is_the_mirror_image_of_left(code: str) -> None:
    left = field_of(bumps(code, FACE, SCALE), X, Y)
    right = field_of(bumps(code[:-1] + "R", FACE, SCALE), X, Y)
    # the face is symmetric about x = 320: column 320 + k mirrors column 320 - k
    assert np.allclose(right[:, 1:] * (-1, 1), left[:, :0:-1], atol=1e-9)


@pytest.mark.parametrize("code", [code for code in CODES if code[-1] == "L"])
def test_subjects_left_is_image_right(code: str) -> None:
    strength = np.linalg.norm(field_of(bumps(code, FACE, SCALE), X, Y), axis=-1).sum(axis=0)
    assert strength[321:].sum() > 1.5 * strength[:320].sum()  # a swapped side scores below 0.67


@pytest.mark.parametrize(
    ("code", "landmark", "right", "down"),
    [
        ("1L", 22, 0, -1),
        ("2L", 25, 0, -1),
        ("4L", 22, -1, 1),
        ("5L", 43, 0, -1),
        ("7L", 46, 0, -1),
        ("9L", 35, 0, -1),
        ("10L", 52, 0, -1),
        ("12L", 54, 1, -1),
        ("12R", 48, -1, -1),
        ("14R", 48, -1, 0),
        ("15L", 54, 0, 1),
        ("17L", 57, 0, -1),
        ("20L", 54, 1, 0),
        ("24L", 57, 0, -1),
        ("25L", 57, 0, 1),
    ],
)
def test_units_pull_where_their_muscles_do(code: str, landmark: int, right: int, down: int) -> None:
    x, y = moved(code, landmark)
    if right:
        assert x * right > 0.25
    if down:
        assert y * down > 0.25


def test_cheek_raiser_lifts_the_cheek() -> None:
    cheek = FACE[[46]] + (0, 0.24 * SCALE)
    assert at_points(bumps("6L", FACE, SCALE), cheek)[0, 1] < -0.7


def test_field_on_a_grid_is_the_field_at_points() -> None:
    table = bumps("12L", FACE, SCALE)
    field = field_of(table, X, Y)
    points = np.array([(380.0, 340.0), (400.0, 300.0), (10.0, 10.0)])
    assert np.allclose(at_points(table, points), [field[int(y), int(x)] for x, y in points])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(4, 40), st.integers(4, 40), st.integers(1, 9), st.floats(0, 0.5))
def test_curve_rises_and_falls_once(onset: int, rise: int, fall: int, tail: int, residual: float) -> None:
    apex, offset = onset + rise, onset + rise + fall
    c = curve(offset + tail, onset, apex, offset, residual)
    assert (c[: onset + 1] == 0).all()
    assert c[apex] == c.max() == 1
    assert np.allclose(c[offset:], residual)
    assert (np.diff(c[: apex + 1]) >= 0).all()
    assert (np.diff(c[apex:]) <= 1e-12).all()


@pytest.mark.parametrize("frames", [(5, 5, 9), (3, 2, 9), (2, 4, 20)])
def test_curve_refuses_frames_out_of_order(frames: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not in order within 20 frames"):
        curve(20, *frames)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EMOTIONS), st.integers(0, 10_000))
def test_mixtures_name_known_units_once(emotion: str, seed: int) -> None:
    mixture = draw_mixture(emotion, np.random.default_rng(seed))
    codes = [one.code for one in mixture]
    assert set(codes) <= set(CODES)
    assert len(codes) == len(set(codes)) > 0
    assert all(0 < one.peak <= 1 and 0 <= one.residual <= 0.3 for one in mixture)


def test_emotions_vary_and_overlap() -> None:
    """A table of one unit per emotion would have one mixture each and nothing shared."""
    rng = np.random.default_rng(0)
    shown = {e: [frozenset(a.code for a in draw_mixture(e, rng)) for _ in range(60)] for e in EMOTIONS}
    assert all(len(set(found)) >= 6 for found in shown.values())
    named = {e: {unit.lstrip("?") for _, units in RECIPES[e] for unit in units} for e in EMOTIONS}
    assert set().union(*named.values()) == set(UNITS)
    assert {"4"} <= named["disgust"] & named["others"]
    assert {"14"} <= named["happiness"] & named["repression"] & named["others"]


def test_notation() -> None:
    assert notation(("12L", "6L", "6R")) == "L12+6"
    assert notation(("2R",)) == "R2"
