"""Descriptors of flow and frames that can be worked out by hand, and what they say of other inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dynamic_images.encoding import median_centred
from dynamic_images.motion_histograms import (
    DIRECTIONS,
    PATTERNS,
    PLANES,
    REGIONS,
    directions,
    local_patterns,
    main_directions,
    orientation_histograms,
    region_centres,
)

RIGHT, DOWN, LEFT = 0, 2, 4


class TestHOOF:
    def test_each_vector_adds_its_length_to_its_direction_in_its_cell(self) -> None:
        flow = np.zeros((4, 4, 2))
        flow[0, 0], flow[0, 3], flow[3, 3] = (3, 0), (0, 1), (-4, 0)
        found = orientation_histograms(flow, grid=2).reshape(4, DIRECTIONS)
        wanted = np.zeros((4, DIRECTIONS))
        wanted[0, RIGHT], wanted[1, DOWN], wanted[3, LEFT] = 3 / 8, 1 / 8, 4 / 8
        np.testing.assert_allclose(found, wanted)

    def test_strength_has_no_effect_and_stillness_is_zero(self) -> None:
        flow = np.random.default_rng(0).normal(size=(20, 20, 2))
        np.testing.assert_allclose(orientation_histograms(flow), orientation_histograms(7 * flow))
        assert orientation_histograms(flow).sum() == pytest.approx(1)
        assert not orientation_histograms(np.zeros((20, 20, 2))).any()

    def test_a_turn_by_a_bin_moves_every_count_to_the_next_bin(self) -> None:
        angle = np.linspace(0, 2 * np.pi, 50, endpoint=False) + 0.01
        one, turned = (directions(np.stack([np.cos(a), np.sin(a)], -1)) for a in (angle, angle + np.pi / 4))
        np.testing.assert_array_equal(turned, (one + 1) % DIRECTIONS)

    def test_more_cells_than_pixels_are_refused(self) -> None:
        with pytest.raises(ValueError, match="grid of 5 cells over 4 px"):
            orientation_histograms(np.zeros((4, 4, 2)))


class TestMDMO:
    def test_the_commonest_direction_counts_and_others_do_not(self, clip: Any) -> None:
        """The mean of all vectors would be pulled off by a third that points elsewhere: 2/3 of the truth."""
        side = clip.flow.shape[1]
        flow = np.tile(np.array([1.0, 0.0]), (5, side, side, 1))
        flow[:, ::3] = (0, -9)
        found = main_directions(flow, clip.landmarks, clip.crops.shape[1:3]).reshape(REGIONS, 2)
        np.testing.assert_allclose(found, np.tile([1.0, 0.0], (REGIONS, 1)), atol=1e-9)

    def test_frames_are_averaged(self, clip: Any) -> None:
        side = clip.flow.shape[1]
        flow = np.linspace(0, 2, 5)[:, None, None, None] * np.ones((1, side, side, 2))
        found = main_directions(flow, clip.landmarks, clip.crops.shape[1:3])
        np.testing.assert_allclose(found, 1)

    def test_the_regions_lie_in_the_face_and_apart(self, clip: Any) -> None:
        centres = region_centres(clip.landmarks)
        assert centres.shape == (REGIONS, 2)
        assert len(np.unique(centres.round(3), axis=0)) == REGIONS
        assert (centres.min(0) >= clip.landmarks.min(0)).all() and (centres.max(0) <= clip.landmarks.max(0)).all()


class TestLBPTOP:
    def test_patterns_of_a_ramp_are_known(self) -> None:
        """Grey levels that rise to the right: of x, the right neighbour is as bright; of y and t, both are."""
        frames = np.tile(np.arange(20, dtype=np.uint8), (9, 20, 1))  # (T, H, W)
        found = local_patterns(frames, grid=2).reshape(4, PLANES, PATTERNS)
        right, both = 0b10, 0b11
        for plane, pattern in enumerate((right | both << 2, right | both << 2, both | both << 2)):
            np.testing.assert_allclose(found[:, plane, pattern], 1)

    def test_it_is_the_plain_definition(self) -> None:
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 9, (7, 8, 8), np.uint8)
        found = local_patterns(frames, grid=1, radius=1, radius_t=2).reshape(PLANES, PATTERNS)
        counts = np.zeros((PLANES, PATTERNS))
        steps = {"x": (0, 0, 1), "y": (0, 1, 0), "t": (2, 0, 0)}
        for t in range(2, 5):
            for y in range(1, 7):
                for x in range(1, 7):
                    for plane, axes in enumerate(("xy", "xt", "yt")):
                        code = 0
                        for i, (axis, sign) in enumerate((a, s) for a in axes for s in (-1, 1)):
                            at = tuple(np.add((t, y, x), np.multiply(sign, steps[axis])))
                            code |= int(frames[at] >= frames[t, y, x]) << i
                        counts[plane, code] += 1
        np.testing.assert_allclose(found, counts / counts.sum(1, keepdims=True))

    def test_brightness_has_no_effect_and_the_order_of_frames_has(self) -> None:
        frames = np.random.default_rng(0).integers(0, 100, (9, 20, 20), np.uint8)
        frames.sort(axis=0)  # brighter from frame to frame
        found = local_patterns(frames)
        np.testing.assert_array_equal(found, local_patterns(frames + np.uint8(50)))
        assert np.abs(found - local_patterns(frames[::-1])).max() > 0.5

    def test_a_short_clip_is_looked_at_over_shorter_times_and_two_frames_are_refused(self) -> None:
        frames = np.random.default_rng(0).integers(0, 100, (5, 20, 20), np.uint8)
        np.testing.assert_array_equal(local_patterns(frames, radius_t=4), local_patterns(frames, radius_t=2))
        with pytest.raises(ValueError, match="LBP-TOP of 2 frames: wanted at least 3"):
            local_patterns(frames[:2])


def test_the_median_of_each_channel_becomes_zero() -> None:
    """As in pictures that were stretched by their own extremes: what does not move has another level in each."""
    motion = np.zeros((9, 9, 2), np.float32)
    motion[2:4, 2:4] = (5, -3)
    np.testing.assert_allclose(median_centred(motion + np.float32([128, 40])), motion)
