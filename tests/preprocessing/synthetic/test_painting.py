"""An expression painted into pixels: it goes where the truth says, and the noise stays what it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.faces.points68 import eye_distance
from preprocessing.optical_flow import FlowSettings, flow
from preprocessing.synthetic import painting
from preprocessing.synthetic.painted import PaintSettings, paint_clip
from preprocessing.synthetic.sitters import Sitter

SIZE = (240, 180)
Rest = Callable[..., Sitter]


def moved(frames: list[NDArray[np.uint8]], onset: int, apex: int) -> NDArray[np.float32]:
    return flow(frames[onset], frames[apex], FlowSettings())


@pytest.mark.parametrize("shift", [0.01, 0.1, 0.37, 0.5, 0.83])
def test_the_resampling_is_in_place_at_every_phase(shift: float) -> None:
    y, x = np.mgrid[:48, :96].astype(np.float64)
    wave = np.repeat((128 + 40 * np.cos(2 * np.pi * x / 8))[..., None], 3, axis=2)
    seen = painting._at(painting._coefficients(wave), np.stack([x + shift, y], -1))[24, 16:80, 0] - 128.0
    found = np.angle((seen * np.exp(-2j * np.pi * x[24, 16:80] / 8)).sum()) * 8 / (2 * np.pi)
    assert found == pytest.approx(shift, abs=0.005)  # doing nothing is off by the shift


@pytest.mark.parametrize("frames", [1, 12])
def test_painted_motion_is_the_truth(drawn_rest: Rest, frames: int) -> None:
    rest = drawn_rest(frames, noise=0.5)
    settings = PaintSettings(intensity=2.0, drift=0.0, rotation=0.0)
    truth, painted, _ = paint_clip(rest, settings, 0, "happiness")
    made = list(painted)
    assert len(made) == truth.n_frames
    wanted = painting.moved_pixels(truth, truth.apex, (slice(0, SIZE[1]), slice(0, SIZE[0])), False)
    strength = np.hypot(*np.moveaxis(wanted, -1, 0))
    at_work = (strength > 0.5 * strength.max()) & truth.face_mask
    error = np.hypot(*np.moveaxis(moved(made, truth.onset, truth.apex) - wanted, -1, 0))[at_work].mean()
    assert error < 0.4 * strength[at_work].mean()  # no motion at all: 1.0


def test_outside_the_face_a_recording_stays_as_it_was(drawn_rest: Rest) -> None:
    rest = drawn_rest(12)
    painted = paint_clip(rest, PaintSettings(), 0, "surprise")[1]
    corner = np.stack(list(painted))[:, :20, :20]
    given = np.stack(rest.frames)[:, :20, :20]
    assert all(any((frame == one).all() for one in given) for frame in corner)


def test_the_noise_of_a_recording_is_kept(drawn_rest: Rest) -> None:
    rest = drawn_rest(12)
    before = painting.noise_statistics(rest.frames, rest.face)
    truth, painted, _ = paint_clip(rest, PaintSettings(), 0, "others")
    after = painting.noise_statistics(list(painted)[truth.onset :][:12], rest.face)
    assert after["sd"] == pytest.approx(before["sd"], rel=0.1)  # warped by half a pixel it would lose a third
    assert after["x"] == pytest.approx(before["x"], abs=0.08)


def test_a_photograph_gets_noise_like_its_own() -> None:
    rng = np.random.default_rng(1)
    made = painting.noise_like(rng.normal(0, 3, (64, 64, 1)).astype(np.float32) * np.ones(3, np.float32), rng)
    assert made.std() == pytest.approx(3, rel=0.1)
    assert np.corrcoef(made[..., 0].ravel(), made[..., 2].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(made[:, 1:, 0].ravel(), made[:, :-1, 0].ravel())[0, 1]) < 0.1


def test_a_clip_depends_on_seed_person_and_number_alone(drawn_rest: Rest) -> None:
    rest = drawn_rest(6)
    one, other = (list(paint_clip(rest, PaintSettings(seed=3), 1, "disgust")[1]) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    another = paint_clip(rest, PaintSettings(seed=4), 1, "disgust")[0]
    assert not np.array_equal(another.curves, paint_clip(rest, PaintSettings(seed=3), 1, "disgust")[0].curves)


def test_peaks_are_shares_of_the_eye_distance(drawn_rest: Rest) -> None:
    rest = drawn_rest(1)
    truth = paint_clip(rest, PaintSettings(intensity=1.0), 0, "happiness")[0]
    assert 0.3 * 0.0033 < max(truth.peaks_px.values()) / eye_distance(rest.neutral) < 0.0167 * 1.5
