from __future__ import annotations

import numpy as np
import pytest

from dynamic_images.encoding import VIEW_RANGE, from_input, from_view, to_input, to_view


def signed(scale: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(0, scale, (16, 16, 3))).astype(np.float32)


def test_views_have_one_printed_scale() -> None:
    values = np.array([[-2 * VIEW_RANGE, -VIEW_RANGE, 0, VIEW_RANGE, 2 * VIEW_RANGE]], np.float32)
    np.testing.assert_array_equal(to_view(values), [[1, 1, 128, 255, 255]])


def test_view_round_trip_within_half_a_step() -> None:
    image = np.clip(signed(8), -VIEW_RANGE, VIEW_RANGE)
    error = np.abs(from_view(to_view(image)) - image).max()
    assert error <= VIEW_RANGE / 254 + 1e-5  # truncating instead of rounding doubles it


def test_fixed_inputs_keep_zero_sign_and_relative_strength() -> None:
    weak, strong = signed(1), 5 * signed(1)
    np.testing.assert_allclose(to_input(strong), 5 * to_input(weak), rtol=1e-6)
    assert to_input(np.zeros((2, 2), np.float32)).any() == np.False_
    np.testing.assert_allclose(from_input(to_input(weak, scale=3.0), scale=3.0), weak, rtol=1e-6)


def test_minmax_blows_the_noise_of_a_still_clip_up_to_full_range() -> None:
    still, moving = signed(0.05), signed(6)
    trapped = to_input(still, "minmax")
    assert (trapped.min(), trapped.max()) == (0, 1)
    # strength is gone: a hundredfold difference looks the same
    assert trapped.std() == pytest.approx(to_input(moving, "minmax").std(), rel=0.2)
    # where the fixed scale shows a still clip as nothing
    assert np.abs(to_input(still)).max() < 0.05
    assert np.abs(to_view(still).astype(int) - 128).max() <= 2


def test_minmax_of_a_constant_is_zero_and_not_nan() -> None:
    np.testing.assert_array_equal(to_input(np.full((3, 3), 7, np.float32), "minmax"), np.zeros((3, 3)))


def test_unknown_encodings_and_impossible_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="'zscore' is unknown: choose one of fixed, minmax"):
        to_input(signed(1), "zscore")
    with pytest.raises(ValueError, match="must be positive"):
        to_input(signed(1), scale=0.0)
