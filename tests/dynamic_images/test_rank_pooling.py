from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamic_images.rank_pooling import (
    WEIGHTS,
    apex_centred_order,
    apex_centred_weights,
    exact_rank_pooling,
    grey_level_scale,
    harmonic_weights,
    linear_weights,
    pool,
)
from preprocessing.artefacts.frame_stack import FrameReader
from preprocessing.errors import ToolkitError


def noise(n_frames: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n_frames, *shape), np.uint8)


@given(st.integers(2, 400), st.sampled_from(sorted(WEIGHTS)))
def test_weights_sum_to_zero(n_frames: int, name: str) -> None:
    weights = WEIGHTS[name](n_frames)
    assert weights.dtype == np.float64
    assert abs(weights.sum()) < 1e-9 * np.abs(weights).sum()  # the wrong harmonic formula sums to T


def test_harmonic_weights_of_the_paper() -> None:
    np.testing.assert_allclose(harmonic_weights(3), [-4 / 3, 2 / 3, 2 / 3], atol=1e-12)
    np.testing.assert_allclose(
        harmonic_weights(8), [-8.4607, -1.4607, 1.0393, 2.0393, 2.2893, 2.0893, 1.5893, 0.8750], atol=5e-5
    )


@given(st.integers(2, 200))
def test_harmonic_sum_equals_its_closed_form(n_frames: int) -> None:
    harmonic = np.r_[0, np.cumsum(1 / np.arange(1, n_frames + 1))]
    t = np.arange(1, n_frames + 1)
    closed = 2 * (n_frames - t + 1) - (n_frames + 1) * (harmonic[n_frames] - harmonic[t - 1])
    np.testing.assert_allclose(harmonic_weights(n_frames), closed, atol=1e-9)


@given(st.integers(2, 30), st.integers(0, 5))
def test_linear_on_running_means_is_harmonic_on_raw_frames(n_frames: int, seed: int) -> None:
    frames = noise(n_frames, 4, 5, seed=seed).astype(float)
    means = np.cumsum(frames, axis=0) / np.arange(1, n_frames + 1)[:, None, None]
    np.testing.assert_allclose(
        pool(means, linear_weights(n_frames), normalise=False),
        pool(frames, harmonic_weights(n_frames), normalise=False),
        atol=1e-3,  # float32 of values up to 1e4; linear on the raw frames is off by hundreds
    )


@given(st.integers(1, 200))
def test_linear_weights_are_antisymmetric(n_frames: int) -> None:
    weights = linear_weights(n_frames)
    if n_frames > 1:
        np.testing.assert_array_equal(weights, -weights[::-1])


def test_one_frame_has_weight_one_and_stays_itself() -> None:
    frame = noise(1, 3, 4)
    for rule in WEIGHTS.values():
        np.testing.assert_array_equal(rule(1), [1.0])
        np.testing.assert_array_equal(pool(frame, rule(1)), frame[0])


@pytest.mark.parametrize("rule", WEIGHTS.values())
def test_no_frames_are_refused(rule: Callable[[int], np.ndarray]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        rule(0)


def symmetric_pulse(n_frames: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Frames base + p(t)·change, p rising to the middle frame and falling back the same way."""
    base, change = noise(2, 6, 7).astype(float)
    middle = n_frames // 2
    p = 1 - np.abs(np.arange(n_frames) - middle) / middle
    return base + p[:, None, None] * change / 8, change / 8


def test_a_symmetric_pulse_cancels_under_linear_and_stays_under_harmonic() -> None:
    frames, change = symmetric_pulse()
    assert np.abs(pool(frames, linear_weights(9))).max() < 1e-5
    image = pool(frames, harmonic_weights(9))
    # mid minus onset: the same sign as the change everywhere, and a good part of its size
    share = image[change > 0] / change[change > 0]
    assert share.min() > 0.5
    assert share.max() < 1.0
    np.testing.assert_allclose(share, share[0], rtol=1e-4)


def test_time_reversal_negates_linear_images_only() -> None:
    frames = noise(7, 5, 5)
    forward, backward = (pool(order, linear_weights(7)) for order in (frames, frames[::-1]))
    np.testing.assert_allclose(backward, -forward, atol=1e-4)
    forward, backward = (pool(order, harmonic_weights(7)) for order in (frames, frames[::-1]))
    assert np.abs(backward + forward).max() > 10


@given(st.integers(2, 40), st.sampled_from(sorted(WEIGHTS)), st.integers(1, 255))
@settings(max_examples=30)
def test_a_still_clip_is_zero(n_frames: int, name: str, level: int) -> None:
    still = np.full((n_frames, 3, 3), level, np.uint8)
    assert np.abs(pool(still, WEIGHTS[name](n_frames))).max() < 1e-4  # a ghost would be of the order of `level`


def test_the_common_wrong_formula_leaves_a_ghost() -> None:
    i = np.arange(1, 9)
    wrong = np.cumsum(((2.0 * i - 8) / i)[::-1])[::-1]
    assert wrong.sum() == pytest.approx(8)
    assert pool(np.full((8, 2, 2), 100, np.uint8), wrong).min() > 50
    assert np.abs(pool(np.full((8, 2, 2), 100, np.uint8), harmonic_weights(8))).max() < 1e-4


@given(st.integers(2, 60), st.sampled_from(sorted(WEIGHTS)))
@settings(max_examples=30)
def test_images_are_differences_of_two_weighted_means(n_frames: int, name: str) -> None:
    weights = WEIGHTS[name](n_frames)
    assert grey_level_scale(weights) == pytest.approx(np.abs(weights).sum() / 2)
    # bright exactly where the weight is positive: the largest difference there is, whatever T
    frames = np.where(weights > 0, 255, 0)[:, None, None].astype(np.uint8)
    assert pool(frames, weights)[0, 0] == pytest.approx(255, rel=1e-5)


def test_weights_of_nothing_give_nothing() -> None:
    np.testing.assert_array_equal(pool(noise(3, 2, 2), np.zeros(3)), np.zeros((2, 2)))


@given(st.integers(1, 60), st.data())
def test_apex_centred_weights_peak_at_the_apex_and_fall_to_both_sides(n_frames: int, data: st.DataObject) -> None:
    apex = data.draw(st.integers(0, n_frames - 1))
    weights = apex_centred_weights(n_frames, apex)
    assert sorted(weights) == sorted(linear_weights(n_frames))
    assert int(np.argmax(weights)) == apex
    assert (np.diff(weights[: apex + 1]) > 0).all()
    assert (np.diff(weights[apex:]) < 0).all()


def test_apex_centred_weights_alternate_left_and_right() -> None:
    np.testing.assert_array_equal(apex_centred_weights(6, 2), [-1, 3, 5, 1, -3, -5])
    np.testing.assert_array_equal(apex_centred_order(6, 1), [5, 4, 3, 2, 0, 1])
    with pytest.raises(ValueError, match=r"apex 6 .* 0 \.\. 5"):
        apex_centred_weights(6, 6)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_streams_and_arrays_pool_to_the_same_bytes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    frames = noise(11, *shape)
    np.save(tmp_path / "frames.npy", frames)
    weights = harmonic_weights(11)
    from_array = pool(frames, weights)
    assert from_array.dtype == np.float32
    np.testing.assert_array_equal(pool(FrameReader(tmp_path / "frames.npy"), weights), from_array)
    np.testing.assert_array_equal(pool(iter(frames), weights), from_array)
    np.testing.assert_allclose(
        from_array, np.tensordot(weights, frames.astype(float), 1) / grey_level_scale(weights), rtol=1e-5, atol=1e-5
    )


def test_several_images_from_one_pass_are_the_single_images() -> None:
    frames = noise(6, 4, 4, 3)
    both = np.stack([harmonic_weights(6), linear_weights(6)])
    images = pool(iter(frames), both)
    assert images.shape == (2, 4, 4, 3)
    for image, weights in zip(images, both, strict=True):
        np.testing.assert_array_equal(image, pool(frames, weights))


def test_colours_do_not_mix() -> None:
    frames = noise(5, 4, 4, 3)
    image = pool(frames, harmonic_weights(5))
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], pool(frames[..., channel], harmonic_weights(5)))


@pytest.mark.parametrize("n_frames", [4, 6, 0])
def test_a_wrong_number_of_frames_is_refused(n_frames: int) -> None:
    with pytest.raises(ValueError, match=f"{n_frames} frames for 5 weights"):
        pool(noise(n_frames, 3, 3), linear_weights(5))


def test_a_changed_frame_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"frame 1 has shape \(3, 4\)"):
        pool([np.zeros((3, 3)), np.zeros((3, 4))], linear_weights(2))


def moving_pattern(n_frames: int = 14, size: int = 20) -> np.ndarray:
    """A bright blob that crosses a textured background once."""
    y, x = np.mgrid[:size, :size]
    background = np.random.default_rng(3).uniform(60, 120, (size, size))
    centres = np.linspace(4, size - 5, n_frames)
    return np.stack([background + 90 * np.exp(-((x - c) ** 2 + (y - 10) ** 2) / 8) for c in centres])


def alignment(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("sign_sqrt", [False, True])
def test_approximations_point_where_exact_rank_pooling_points(sign_sqrt: bool) -> None:
    frames = moving_pattern()
    exact = exact_rank_pooling(frames, sign_sqrt=sign_sqrt)
    assert exact.shape == frames.shape[1:]
    # measured 0.955 and 0.942 (scikit-learn 1.9); last minus first frame scores 0.67, the mean frame 0.44
    assert alignment(exact, pool(frames, harmonic_weights(len(frames)))) > 0.9
    # measured 0.67 and 0.66: linear weights approximate the ranking of raw frames, not of running means
    assert alignment(exact, pool(frames, linear_weights(len(frames)))) > 0.6


def test_exact_rank_pooling_orders_the_running_means_in_time() -> None:
    frames = moving_pattern()
    w = exact_rank_pooling(frames, sign_sqrt=False, l2=False)
    means = np.cumsum(frames, axis=0) / np.arange(1, len(frames) + 1)[:, None, None]
    scores = (means * w).sum(axis=(1, 2))
    assert (np.diff(scores) > 0).all()  # w = mean frame fails this
    with pytest.raises(ValueError, match="at least two"):
        exact_rank_pooling(frames[:1])


def weak_motion(n_frames: int = 40, size: int = 32) -> np.ndarray:
    """A face-like picture that changes by a few grey levels and comes back, with noise: (T, S, S) whole grey levels."""
    rng = np.random.default_rng(3)
    picture, change = rng.uniform(60, 200, (size, size)), rng.normal(0, 4, (size, size))
    curve = np.sin(np.linspace(0, np.pi, n_frames))[:, None, None]
    return np.rint(picture + curve * change + rng.normal(0, 1.2, (n_frames, size, size)))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("centred", [False, True])
def test_exact_rank_pooling_reaches_its_minimum_on_frames_as_recorded(centred: bool) -> None:
    frames = weak_motion()
    w = exact_rank_pooling(frames, sign_sqrt=False, l2=False, centred=centred).ravel().astype(float)
    time = np.arange(1, len(frames) + 1.0)
    means = np.cumsum(frames.reshape(len(frames), -1), axis=0) / time[:, None]
    if centred:
        means, time = means - means.mean(axis=0), time - time.mean()

    def objective(candidate: np.ndarray) -> float:
        beyond = np.maximum(np.abs(means @ candidate - time) - 0.1, 0)
        return 0.5 * candidate @ candidate + beyond @ beyond

    # ridge regression has a closed form and minimises nearly the same; it scores 6.49 in both cases, w = 0 more than
    # 5,000, and where liblinear stops by itself 585 and 6.52
    ridge = means.T @ np.linalg.solve(means @ means.T + 0.5 * np.eye(len(time)), time)
    assert objective(w) < objective(ridge)


def test_exact_rank_pooling_says_so_when_it_stops_before_the_minimum() -> None:
    with pytest.raises(ToolkitError, match=r"of 30 frames did not converge: after .* steps the objective is"):
        exact_rank_pooling(1e4 * weak_motion(30), sign_sqrt=False, l2=False)
    with pytest.raises(ValueError, match="C = 0: wanted a number above 0"):
        exact_rank_pooling(weak_motion(4), C=0)


def test_exact_rank_pooling_is_the_mean_picture_unless_it_is_centred() -> None:
    frames = weak_motion()
    pooled = pool(frames, harmonic_weights(len(frames)))
    plain = exact_rank_pooling(frames, sign_sqrt=False)
    centred = exact_rank_pooling(frames, sign_sqrt=False, centred=True)
    assert cosine(plain, frames.mean(axis=0)) > 0.9  # measured 0.94; a rank-pooled image has about 0
    assert abs(cosine(centred, frames.mean(axis=0))) < 0.1
    # under the strong regulariser the centred form is the first gradient step, which is what the weights stand for
    assert cosine(centred, pooled) > 0.99 > 0.6 > cosine(plain, pooled)
