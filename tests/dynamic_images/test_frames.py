from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_images.frames import grey_frames, sample_indices
from preprocessing.artefacts.frame_stack import FrameReader

SIDE = 48
ANGLES = np.linspace(0, 2 * np.pi, 68, endpoint=False)
LANDMARKS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) * SIDE / 3 + SIDE / 2


def crops(n_frames: int = 20, seed: int = 0) -> np.ndarray:
    """A face of noise in which frame t has a patch of 5 t grey levels above it, outside the face."""
    rng = np.random.default_rng(seed)
    stack = np.repeat(rng.integers(60, 120, (1, SIDE, SIDE, 3), np.uint8), n_frames, axis=0)
    stack[:, :4, :4] = 5 * np.arange(n_frames, dtype=np.uint8)[:, None, None, None]
    return stack


def stored(path: Path, stack: np.ndarray) -> FrameReader:
    np.save(path, stack)
    return FrameReader(path)


@given(st.integers(1, 400), st.integers(2, 40))
def test_first_and_last_frame_are_always_in(n_frames: int, wanted: int) -> None:
    """The sampler ``i * (n // 8)`` of published code never sees the end."""
    picked = sample_indices(n_frames, wanted)
    assert (len(picked), picked[0], picked[-1]) == (wanted, 0, n_frames - 1)
    steps = np.diff(picked)
    assert (steps >= 0).all() and steps.max() - steps.min() <= 1
    if n_frames >= wanted:
        assert len(set(picked.tolist())) == wanted


def test_samples_by_hand() -> None:
    assert sample_indices(8, 8).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sample_indices(15, 8).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert sample_indices(3, 8).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]  # short: neighbours repeat
    assert sample_indices(1, 2).tolist() == [0, 0]


@pytest.mark.parametrize(("n_frames", "wanted"), [(0, 8), (5, 1)])
def test_nothing_to_sample_is_refused(n_frames: int, wanted: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        sample_indices(n_frames, wanted)


def test_frames_come_in_grey_and_steady_light_in_the_order_asked_for(tmp_path: Path) -> None:
    flicker = crops().astype(float) * np.where(np.arange(20) % 2, 1.1, 1.0)[:, None, None, None]
    indices = (0, 15, 4, 19)
    frames = grey_frames(stored(tmp_path / "a.npy", np.rint(flicker).astype(np.uint8)), LANDMARKS, indices)
    assert frames.shape == (4, SIDE, SIDE) and frames.dtype == np.float32
    np.testing.assert_allclose(frames[:, 1, 1], 5 * np.array(indices), atol=1)
    face = frames[:, 16:32, 16:32].mean(axis=(1, 2))
    assert np.ptp(face) < 0.2  # the flicker is 9 grey levels


def test_grey_is_what_opencv_calls_so(tmp_path: Path) -> None:
    stack = crops(2)
    frames = grey_frames(stored(tmp_path / "a.npy", stack), LANDMARKS, [0, 1])
    assert np.abs(frames[0] - cv2.cvtColor(stack[0], cv2.COLOR_RGB2GRAY)).max() <= 0.5 + 1e-3  # it rounds
