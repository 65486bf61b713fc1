from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dynamic_images.rank_pooling import apex_centred_weights, harmonic_weights, linear_weights, pool
from dynamic_images.representations import REPRESENTATIONS, Motion, pooling_order

PULSE = Motion(np.array([0, 0.3, 0.9, 1.4, 0.8, 0.2]), apex=3)


def test_trdi_is_rank_pooling_in_time() -> None:
    np.testing.assert_array_equal(REPRESENTATIONS["temporal_ranked"](PULSE), harmonic_weights(6))


@pytest.mark.parametrize("rule", ["linear", "harmonic"])
def test_midi_is_rank_pooling_of_the_reordered_frames(rule: str) -> None:
    motion = dataclasses.replace(PULSE, intensity_weights=rule)
    frames = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), np.uint8)
    weights = {"linear": linear_weights, "harmonic": harmonic_weights}[rule](6)
    np.testing.assert_allclose(
        pool(frames, REPRESENTATIONS["motion_intensity"](motion)),
        pool(frames[pooling_order(motion)], weights),
        atol=1e-4,  # the order of summation differs
    )


def test_midi_weighs_the_strongest_motion_most_and_the_stillest_least() -> None:
    weights = REPRESENTATIONS["motion_intensity"](PULSE)
    assert (np.diff(weights[np.argsort(PULSE.intensity)]) > 0).all()
    # harmonic weights by rank fail this: they peak on frames of median motion
    harmonic = REPRESENTATIONS["motion_intensity"](dataclasses.replace(PULSE, intensity_weights="harmonic"))
    assert np.argmax(harmonic) != np.argmax(PULSE.intensity)


def test_a_symmetric_pulse_survives_reordering_under_the_weights_that_cancel_it_in_time() -> None:
    p = 1 - np.abs(np.arange(9) - 4) / 4
    frames = 100 + 20 * p[:, None, None] * np.ones((9, 2, 2))
    motion = Motion(p, apex=4, weights="linear")
    assert np.abs(pool(frames, REPRESENTATIONS["temporal_ranked"](motion))).max() < 1e-5
    assert pool(frames, REPRESENTATIONS["motion_intensity"](motion)).min() > 10  # apex minus onset is 20


def test_descending_order_negates_a_linear_midi() -> None:
    down = dataclasses.replace(PULSE, order="descending")
    np.testing.assert_array_equal(
        REPRESENTATIONS["motion_intensity"](down), -REPRESENTATIONS["motion_intensity"](PULSE)
    )


def test_phases_share_the_apex_and_nothing_else() -> None:
    rising, falling = REPRESENTATIONS["onset_to_apex"](PULSE), REPRESENTATIONS["apex_to_offset"](PULSE)
    np.testing.assert_array_equal(rising, [*harmonic_weights(4), 0, 0])
    np.testing.assert_array_equal(falling, [0, 0, 0, *harmonic_weights(3)])


def test_apex_centred_peaks_at_the_apex() -> None:
    np.testing.assert_array_equal(REPRESENTATIONS["apex_centred"](PULSE), apex_centred_weights(6, 3))


def test_span_to_the_apex_leaves_the_rest_out() -> None:
    motion = dataclasses.replace(PULSE, span="onset..apex")
    np.testing.assert_array_equal(pooling_order(motion), [0, 1, 2, 3])
    for name in ("temporal_ranked", "motion_intensity", "apex_centred"):
        weights = REPRESENTATIONS[name](motion)
        assert (weights[4:] == 0).all()
        assert (weights[:4] != 0).any()


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("span", ["onset..offset", "onset..apex"])
@pytest.mark.parametrize("apex", [0, 2, 5])
def test_every_image_of_a_still_clip_is_zero(name: str, span: str, apex: int) -> None:
    # an apex at either end leaves a phase of one frame, whose conventional weight 1 would show a face
    weights = REPRESENTATIONS[name](Motion(PULSE.intensity, apex, span=span))
    assert weights.shape == (6,)
    assert np.abs(pool(np.full((6, 2, 2), 200, np.uint8), weights)).max() < 1e-4
