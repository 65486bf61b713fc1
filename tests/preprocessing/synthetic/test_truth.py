"""The truth of a synthetic clip, against the frames that were drawn from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.errors import DatasetError
from preprocessing.synthetic.action_units import CODES, EMOTIONS
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.synthetic.truth import Truth, dense_motion, expression_motion, grid, load_truth, peaks

CLEAN = CorpusSettings(subjects=1, clips_per_subject=1, width=320, height=240, intensity=2, noise=0, flicker=0, blink=0)


@pytest.fixture(scope="module")
def clip() -> tuple[Truth, NDArray[np.uint8]]:
    """A clip with head motion but without noise, flicker and blink, and its frames."""
    truth, frames = draw_clip(CLEAN, 0, 0, "surprise")
    return truth, np.array(list(frames))


def grey(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)


def bilinear(field: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    planes = [field[..., c].astype(np.float32) for c in (0, 1)]
    x, y = points.astype(np.float32).T
    return np.stack([cv2.remap(plane, x[None], y[None], cv2.INTER_LINEAR)[0] for plane in planes], axis=1)


def test_dense_motion_explains_the_frames(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, frames = clip
    motion = dense_motion(truth, truth.apex)
    x, y = np.moveaxis((grid(truth.size, 1) + motion).astype(np.float32), -1, 0)
    onset, apex = grey(frames[truth.onset]), grey(frames[truth.apex])
    warped = cv2.remap(apex, x, y, cv2.INTER_LANCZOS4)
    size = np.linalg.norm(expression_motion(truth, truth.apex), axis=-1)
    moving = truth.face_mask & (size > 0.5 * size.max())
    still, aligned = (np.sqrt(np.mean((other - onset)[moving] ** 2)) for other in (apex, warped))
    assert aligned < 0.25 * still  # zero motion scores 1.0
    backwards = cv2.remap(
        apex, *np.moveaxis((grid(truth.size, 1) - motion).astype(np.float32), -1, 0), cv2.INTER_LANCZOS4
    )
    assert np.sqrt(np.mean((backwards - onset)[moving] ** 2)) > still


def test_dense_motion_carries_the_landmarks(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    start, end = truth.landmarks[truth.onset], truth.landmarks[truth.apex]
    assert np.linalg.norm(end - start, axis=1).max() > 0.5  # what zero motion would err
    carried = start + bilinear(dense_motion(truth, truth.apex), start)
    assert np.abs(carried - end).max() < 0.02


def test_motion_to_the_reference_itself_is_zero(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    assert np.abs(dense_motion(truth, truth.onset)).max() < 5e-3
    assert np.abs(dense_motion(truth, truth.apex, reference=truth.apex)).max() < 5e-3


def test_motion_there_and_back_is_none(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    there, back = dense_motion(truth, truth.apex), dense_motion(truth, truth.onset, reference=truth.apex)
    points = truth.landmarks[truth.onset]
    arrived = points + bilinear(there, points)
    assert np.abs(bilinear(there, points)).max() > 0.5
    assert np.abs(arrived + bilinear(back, arrived) - points).max() < 0.02


def test_expression_is_the_motion_without_the_head(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    held = dataclasses.replace(truth, rigid=np.repeat(truth.rigid[truth.onset][None], truth.n_frames, axis=0))
    assert np.allclose(expression_motion(truth, truth.apex), dense_motion(held, truth.apex), atol=1e-6)
    difference = np.linalg.norm(dense_motion(truth, truth.apex) - expression_motion(truth, truth.apex), axis=-1)
    assert difference[truth.face_mask].max() > 0.05  # the head did move
    assert difference[0, 0] < 0.02  # the background did not


def test_onset_is_neutral_and_apex_is_the_strongest_frame(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    assert (truth.curves[: truth.onset + 1] == 0).all()
    sizes = [
        np.linalg.norm(expression_motion(truth, t), axis=-1)[truth.face_mask]
        for t in range(truth.onset, truth.offset + 1, 2)
    ]
    apex = np.linalg.norm(expression_motion(truth, truth.apex), axis=-1)[truth.face_mask]
    assert max(size.mean() for size in sizes) <= apex.mean() * 1.0001
    assert 2 * 0.25 - 0.02 <= apex.max() <= 2 * 1.25 + 0.02  # px: intensity 2 at half of 480 px


@pytest.mark.parametrize("fps", [25, 40])
def test_a_slow_camera_sees_an_onset_an_apex_and_an_offset(fps: float) -> None:
    """An expression of a fifth of a second has five frames there."""
    slow = CorpusSettings(width=160, height=120, fps=fps, lead_in=2, tail=0)
    for clip in range(12):
        truth, _ = draw_clip(slow, 0, clip, EMOTIONS[clip % len(EMOTIONS)])
        assert truth.onset < truth.apex < truth.offset


def test_peaks_have_one_place_per_unit_and_side(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    vector = peaks(truth)
    assert vector.shape == (len(CODES),)
    assert {code for code, peak in zip(CODES, vector, strict=True) if peak > 0} == set(truth.action_units)


def test_saved_truth_reads_back_equal(clip: tuple[Truth, NDArray[np.uint8]], tmp_path: Path) -> None:
    truth, _ = clip
    for name in ("a.npz", "b.npz"):
        truth.save(tmp_path / name)
    read = Truth.load(tmp_path / "a.npz")
    for field in dataclasses.fields(Truth):
        assert np.array_equal(getattr(read, field.name), getattr(truth, field.name)), field.name
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_missing_or_foreign_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"c03\.npz holds no truth"):
        load_truth(tmp_path, "synthetic/s01/c03")
    np.savez(tmp_path / "x.npz", a=1)
    with pytest.raises(DatasetError, match=r"x\.npz holds no truth"):
        Truth.load(tmp_path / "x.npz")


def test_frame_outside_the_clip_is_refused(clip: tuple[Truth, NDArray[np.uint8]]) -> None:
    truth, _ = clip
    with pytest.raises(ValueError, match="is not one of the"):
        dense_motion(truth, truth.n_frames)
