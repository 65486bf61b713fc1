"""Identities and landmarks of the synthetic faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.synthetic.geometry import (
    MIRROR,
    Identity,
    average_shape,
    draw_identity,
    eye_outline,
    lip_outlines,
    shape,
    spline,
)


def person(seed: int, rank: float = 0.5) -> Identity:
    return draw_identity(np.random.default_rng(seed), 640, 480, rank)


def test_mirror_is_its_own_inverse() -> None:
    assert (MIRROR[MIRROR] == np.arange(68)).all()


def test_average_face_is_symmetric_and_in_face_units() -> None:
    points = average_shape()
    assert np.allclose(points[MIRROR] * (-1, 1), points)
    assert np.allclose(points[[36, 45]], [(-0.5, 0), (0.5, 0)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_every_person_fits_the_frame_and_has_a_face_in_order(seed: int, rank: float) -> None:
    who = person(seed, rank)
    points = who.landmarks()
    assert np.isfinite(points).all()
    assert points.min() > 0
    assert (points.max(axis=0) < (640, 480)).all()
    assert 200 < np.ptp(points[:17, 0]) < 280  # px
    brows, eyes, nose, mouth, chin = (
        points[part, 1].mean() for part in (range(17, 27), range(36, 48), [33], range(48, 68), [8])
    )
    assert brows < eyes < nose < mouth < chin
    assert (points[[37, 38, 43, 44], 1] < points[[41, 40, 47, 46], 1]).all()  # open eyes
    assert (points[[61, 62, 63], 1] <= points[[67, 66, 65], 1]).all()


def test_people_differ_more_than_dlib_errs() -> None:
    """A corpus of one face drawn again would score 0 here."""
    people = np.array([shape(person(seed)) for seed in range(30)])
    spread = np.linalg.norm(people - people.mean(axis=0), axis=-1).mean()
    assert spread > 0.02  # of the distance of the outer eye corners


def test_rank_orders_the_skin_tones() -> None:
    tones = [np.mean(person(seed, rank).skin) for seed, rank in enumerate((0.0, 0.35, 0.65, 1.0))]
    assert sorted(tones, reverse=True) == tones


@pytest.mark.parametrize("closed", [False, True])
def test_spline_passes_through_its_points(closed: bool) -> None:
    points = np.random.default_rng(0).uniform(0, 10, (6, 2))
    curve = spline(points, closed)
    nearest = np.linalg.norm(curve[:, None] - points[None], axis=-1).min(axis=0)
    assert nearest.max() < 1e-9


def test_eyes_by_the_subjects_sides() -> None:
    points = shape(person(3))
    assert eye_outline(points, left=True)[0][:, 0].min() > 0 > eye_outline(points, left=False)[0][:, 0].max()


def test_lips_share_the_mouth_line() -> None:
    upper, lower = lip_outlines(shape(person(3)))
    shared = {tuple(p) for p in upper.round(9)} & {tuple(p) for p in lower.round(9)}
    assert len(shared) > 20
