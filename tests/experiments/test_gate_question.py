"""What the two images of AFN can differ in, on motions that are known."""

from __future__ import annotations

import numpy as np
import pytest

from dynamic_images.representations import Motion
from experiments.gate_question import RULES, Images, likeness, pooled

RNG = np.random.default_rng(0)
PLACE, OTHER = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)
FACE = np.ones((8, 8), np.float32)
TIME = np.arange(21)
PULSE = np.interp(TIME, [0, 6, 20], [0, 1, 0]).astype(np.float32)
LATE = np.interp(TIME, [0, 14, 20], [0, 1, 0]).astype(np.float32)


def images(*parts: tuple[np.ndarray, np.ndarray], backward: bool = False) -> Images:
    """Of frames that are a sum of places, each with a course over time."""
    frames = sum(course[:, None, None, None] * place for course, place in parts).astype(np.float32)
    intensity = sum(course for course, _ in parts)
    motion = Motion(intensity=intensity, apex=int(intensity.argmax()))
    if backward:
        frames, motion = frames[::-1], Motion(intensity=intensity[::-1], apex=20 - motion.apex)
    return pooled(frames, motion)


def test_of_one_motion_all_images_are_the_same_picture_up_to_a_factor() -> None:
    """So whatever the weights, the second stream adds no place to the first."""
    values = likeness(images((PULSE, PLACE)), FACE).values()
    np.testing.assert_allclose(np.abs(list(values)), 1, atol=1e-4)


def test_of_motions_at_different_times_they_differ() -> None:
    found = likeness(images((PULSE, PLACE), (0.7 * LATE, OTHER)), FACE)
    assert abs(found["TRDI, linear", "MIDI, linear"]) < 0.5  # one motion would give 1
    assert abs(found["onset to apex", "apex to offset"]) < 0.9


def test_midi_is_the_same_backward_and_linear_trdi_is_its_negative() -> None:
    forth, back = (
        images((PULSE, PLACE), (0.7 * LATE, OTHER)),
        images((PULSE, PLACE), (0.7 * LATE, OTHER), backward=True),
    )
    np.testing.assert_allclose(back["TRDI, linear"], -forth["TRDI, linear"], atol=1e-5)
    assert set(RULES) == set(forth)
    same = likeness({**forth, "onset to apex": back["MIDI, linear"]}, FACE)["MIDI, linear", "onset to apex"]
    assert same == pytest.approx(1, abs=0.02)
