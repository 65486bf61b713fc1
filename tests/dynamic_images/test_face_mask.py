"""The face mask: 1 on what expressions move, 0 where hair, collar and background do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.face_mask import face_outline, face_weight, share_outside, weighted_rms
from preprocessing.faces.points68 import EYES, JAW, MOUTH, NOSE
from preprocessing.synthetic.geometry import MIRROR, average_shape, head_outline

SIZE = 192


def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points in face units where a crop shows them: the eyes 0.32 of the side apart, at 0.33 of its height."""
    return np.asarray(points) * 0.45 * SIZE + (0.5 * SIZE - 0.5, 0.33 * SIZE)


def at(weight: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y = np.rint(points).astype(int).T
    return weight[np.clip(y, 0, SIZE - 1), np.clip(x, 0, SIZE - 1)]


@pytest.fixture(scope="module")
def landmarks() -> NDArray[np.float64]:
    return placed(average_shape())


@pytest.fixture(scope="module")
def weight(landmarks: NDArray[np.float64]) -> NDArray[np.float32]:
    return face_weight(landmarks, (SIZE, SIZE), (SIZE, SIZE))


def test_what_an_expression_moves_counts_in_full(weight: NDArray[np.float32], landmarks: NDArray[np.float64]) -> None:
    assert weight.shape == (SIZE, SIZE) and weight.dtype == np.float32
    assert (weight.min(), weight.max()) == (0, 1)
    for part in (EYES, NOSE, MOUTH):
        assert (at(weight, landmarks[part]) == 1).all()
    assert (at(weight, landmarks[18:26]) == 1).all(), "brows, but for their outer ends"
    forehead = placed(np.array([(-0.4, -0.5), (0, -0.5), (0.4, -0.5)]))
    assert (at(weight, forehead) > 0.9).all()


def test_outline_hair_and_collar_do_not_count(weight: NDArray[np.float32], landmarks: NDArray[np.float64]) -> None:
    assert at(weight, landmarks[JAW]).max() < 0.05, "the jaw line itself, where the face meets the background"
    hair = placed(np.array([(-0.55, -0.72), (0, -0.75), (0.55, -0.72), (-0.9, 0.2), (0.9, 0.2)]))
    collar = placed(np.array([(-0.5, 1.45), (0, 1.45), (0.5, 1.45)]))
    assert (at(weight, hair) == 0).all() and (at(weight, collar) == 0).all()
    # a head that turns a little: all its energy lies in a band of 3 px around its outline and hairline
    y, x = np.mgrid[:SIZE, :SIZE]
    edge = np.concatenate([placed(head_outline(average_shape())), landmarks[JAW]])
    band = (np.hypot(x[..., None] - edge[:, 0], y[..., None] - edge[:, 1]).min(axis=-1) < 1.5).astype(float)
    assert share_outside(band, weight) > 0.98
    assert weighted_rms(band, weight) < 0.1 * np.sqrt(np.square(band).mean()), "the whole crop's is the trivial one"


def test_the_edge_is_soft_and_the_same_on_every_grid(landmarks: NDArray[np.float64]) -> None:
    full, half = (face_weight(landmarks, (n, n), (SIZE, SIZE)) for n in (SIZE, SIZE // 2))
    averaged = full.reshape(SIZE // 2, 2, SIZE // 2, 2).mean(axis=(1, 3))
    assert np.abs(averaged - half).max() < 0.02  # a mask of 0 and 1 differs by 0.5
    assert max(np.abs(np.diff(full, axis=axis)).max() for axis in (0, 1)) < 0.25


def test_it_follows_the_landmarks(landmarks: NDArray[np.float64], weight: NDArray[np.float32]) -> None:
    mirrored = landmarks[MIRROR] * (-1, 1) + (SIZE - 1, 0)
    np.testing.assert_allclose(face_weight(mirrored, weight.shape, weight.shape), weight[:, ::-1], atol=2e-3)
    moved = face_weight(np.add(landmarks, (7, -4)), weight.shape, weight.shape)
    np.testing.assert_allclose(moved[20:-20, 20:-20], np.roll(weight, (-4, 7), (0, 1))[20:-20, 20:-20], atol=2e-3)
    corners = face_outline(landmarks)
    (ax, ay), (bx, by) = ((np.roll(corners, -k - 1, 0) - np.roll(corners, -k, 0)).T for k in (0, 1))
    turns = ax * by - ay * bx
    assert (turns > -1e-6).all(), "clockwise as seen, whatever OpenCV's hull does"
    with pytest.raises(ValueError, match=r"landmarks of shape \(5, 2\): wanted \(68, 2\)"):
        face_weight(landmarks[:5], weight.shape, weight.shape)


def test_a_background_changes_no_number_of_the_face(weight: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(0)
    face = rng.normal(0, 2, (SIZE, SIZE, 3)) * (weight == 1)[..., None]
    noisy = face + rng.normal(0, 20, face.shape) * (weight == 0)[..., None]
    assert weighted_rms(noisy, weight) == pytest.approx(weighted_rms(face, weight), rel=1e-12)
    assert np.sqrt(np.square(noisy).mean()) > 5 * np.sqrt(np.square(face).mean()), "what the whole crop says"
    assert share_outside(face, weight) == pytest.approx(0, abs=1e-12)
    assert share_outside(noisy, weight) > 0.9
    assert (weighted_rms(0 * face, weight), share_outside(0 * face, weight)) == (0, 0)
