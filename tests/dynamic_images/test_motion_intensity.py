from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynamic_images.motion_intensity import (
    REGIONS,
    STATISTICS,
    apex_of,
    face_parts,
    frame_intensity,
    intensity_curve,
    intensity_order,
    region_mask,
)
from preprocessing.faces.points68 import LEFT_EYE, RIGHT_EYE


def masks(clip: Any) -> dict[str, np.ndarray]:
    size = clip.crops.shape[1:3]
    return {name: region_mask(name, clip.landmarks, clip.flow.shape[1:3], size) for name in REGIONS}


@pytest.mark.parametrize("statistic", ["top_decile", "mean", "percentile_99"])
def test_the_curve_follows_the_known_motion(clip: Any, statistic: str) -> None:
    curve = intensity_curve(clip.flow, masks(clip)["face"], statistic)
    assert curve.dtype == np.float32
    assert curve[0] == 0
    assert np.corrcoef(curve, clip.amplitude)[0, 1] > 0.999  # a constant curve has no correlation at all
    assert apex_of(curve) == int(np.argmax(clip.amplitude))


def test_a_local_motion_counts_in_the_top_decile_and_drowns_in_the_median(clip: Any) -> None:
    mask = masks(clip)["face"]
    peak = int(np.argmax(clip.amplitude))
    assert frame_intensity(clip.flow[peak], mask, "top_decile") > 0.5 * clip.amplitude[peak]
    assert frame_intensity(clip.flow[peak], mask, "median") < 0.05 * clip.amplitude[peak]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_every_statistic_of_a_uniform_motion_is_its_length(statistic: str) -> None:
    flow = np.tile(np.float16([3, -4]), (10, 10, 1))
    assert frame_intensity(flow, np.ones((10, 10), bool), statistic) == pytest.approx(5)


def test_motion_outside_the_face_does_not_count(clip: Any) -> None:
    mask = masks(clip)["face"]
    flow = np.full((*mask.shape, 2), 9.0)
    flow[mask] = 0
    assert frame_intensity(flow, mask) == 0
    assert frame_intensity(flow, np.ones_like(mask)) > 9


def test_a_blink_counts_only_where_eyes_are_in_the_region(make_clip: Callable[..., Any]) -> None:
    clip = make_clip(n_frames=3, apex=1, size=160)
    regions = masks(clip)
    blink = np.zeros((*regions["face"].shape, 2), np.float32)
    for eye in (RIGHT_EYE, LEFT_EYE):
        # the lid comes down over the eye's own height
        (left, top), (right, bottom) = clip.landmarks[eye].min(0) / 2, clip.landmarks[eye].max(0) / 2
        blink[int(top) : int(bottom) + 1, int(left) : int(right) + 1, 1] = 2.0
    assert frame_intensity(blink, regions["face_without_eyes"]) == 0
    assert frame_intensity(blink, regions["face"]) > 0.1


def test_the_face_reaches_over_the_brows_and_not_to_the_corners(clip: Any) -> None:
    size = clip.crops.shape[1]
    face = region_mask("face", clip.landmarks, (size, size), (size, size))
    brow_top = int(clip.landmarks[17:27, 1].min())
    assert face[brow_top - 6, size // 2]
    for x, y in clip.landmarks:
        assert face[round(float(y)), round(float(x))]
    assert not face[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 0.3 < face.mean() < 0.6


def test_a_half_grid_mask_is_the_full_mask_seen_coarsely(clip: Any) -> None:
    size = clip.crops.shape[1]
    full = region_mask("face", clip.landmarks, (size, size), (size, size))
    half = region_mask("face", clip.landmarks, (size // 2, size // 2), (size, size))
    majority = full.reshape(size // 2, 2, size // 2, 2).mean(axis=(1, 3)) >= 0.5
    assert (half != majority).mean() < 0.03  # landmarks left unscaled disagree on 0.4 of the cells


def test_a_known_pulse_is_ordered_by_its_height() -> None:
    pulse = np.array([0, 0.3, 0.9, 1.4, 0.8, 0.2])
    np.testing.assert_array_equal(intensity_order(pulse), [0, 5, 1, 4, 2, 3])
    np.testing.assert_array_equal(intensity_order(pulse, "descending"), [3, 2, 4, 1, 5, 0])


def test_ties_keep_time_order_both_ways() -> None:
    curve = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(intensity_order(curve), [1, 3, 0, 2, 4])
    np.testing.assert_array_equal(intensity_order(curve, "descending"), [0, 2, 4, 1, 3])


@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(0, 100, width=32), unique=True))
def test_descending_reverses_where_nothing_ties(curve: np.ndarray) -> None:
    ascending = intensity_order(curve)
    assert (np.diff(curve[ascending]) >= 0).all()
    assert sorted(ascending) == list(range(len(curve)))
    np.testing.assert_array_equal(intensity_order(curve, "descending"), ascending[::-1])


def test_smoothing_finds_the_plateau_behind_a_noise_spike() -> None:
    t = np.arange(100)
    curve = np.exp(-(((t - 60) / 15) ** 2))
    curve[20] = 1.05
    assert apex_of(curve) == 20
    assert abs(apex_of(curve, 0.02) - 60) <= 1


def test_a_still_clip_has_its_apex_at_the_onset() -> None:
    assert apex_of(np.zeros(9), 0.02) == 0


def test_unknown_names_and_unusable_input_are_refused(clip: Any) -> None:
    mask = masks(clip)["face"]
    with pytest.raises(ValueError, match="'max' is unknown: choose one of top_decile, mean"):
        frame_intensity(clip.flow[0], mask, "max")
    with pytest.raises(ValueError, match="'upwards' is unknown: choose one of ascending, descending"):
        intensity_order(np.zeros(3), "upwards")
    with pytest.raises(ValueError, match="'mouth' is unknown: choose one of face, face_without_eyes"):
        region_mask("mouth", clip.landmarks, (8, 8), (16, 16))
    with pytest.raises(ValueError, match=r"\(5, 2\): wanted \(68, 2\)"):
        region_mask("face", clip.landmarks[:5], (8, 8), (16, 16))
    with pytest.raises(ValueError, match="under a mask of shape"):
        frame_intensity(clip.flow[0][1:], mask)
    with pytest.raises(ValueError, match="mask is empty"):
        frame_intensity(clip.flow[0], np.zeros_like(mask))
    with pytest.raises(ValueError, match="not finite"):
        frame_intensity(np.full_like(clip.flow[0], np.nan), mask)
    with pytest.raises(ValueError, match="not finite"):
        intensity_order(np.array([0, np.nan]))
    with pytest.raises(ValueError, match="empty"):
        apex_of(np.zeros(0))


def test_parts_of_the_face_hold_their_landmarks_and_share_no_cell(drawn_face: Any) -> None:
    height, width = drawn_face.picture.shape[:2]
    parts = face_parts(drawn_face.points, (height, width), (height, width))
    assert set(parts) == {"eyes", "brows", "nose", "mouth"}
    assert np.stack(list(parts.values())).sum(axis=0).max() == 1
    for name, points in (("eyes", slice(36, 48)), ("mouth", slice(48, 68)), ("nose", slice(28, 36))):
        x, y = np.rint(drawn_face.points[points]).astype(int).T
        assert parts[name][y, x].all(), name
    between = np.rint(drawn_face.points[[21, 22]].mean(axis=0)).astype(int)
    assert parts["brows"][between[1], between[0]], "the skin between the brows belongs to them"
    assert all(0.005 < mask.mean() < 0.2 for mask in parts.values())


def test_parts_are_the_same_places_on_another_grid(drawn_face: Any) -> None:
    height, width = drawn_face.picture.shape[:2]
    fine, coarse = (face_parts(drawn_face.points, (height // k, width // k), (height, width)) for k in (1, 2))
    for name, mask in coarse.items():
        assert mask.mean() == pytest.approx(fine[name].mean(), rel=0.35)
        wanted = np.argwhere(fine[name]).mean(axis=0) / 2
        assert np.argwhere(mask).mean(axis=0) == pytest.approx(wanted, abs=1)
