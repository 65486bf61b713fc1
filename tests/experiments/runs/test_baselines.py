from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.runs.baselines import (
    chance,
    floors,
    flow_features,
    flow_statistics,
    image_features,
    linear_svm,
    majority,
    oracle,
)
from experiments.scoring import metrics
from experiments.scoring.protocols import leave_one_subject_out
from experiments.scoring.summary import check_predictions
from fusion_net import ClipTensors

K = ("a", "b")


def clips_of(labels: dict[str, str]) -> pd.DataFrame:
    """``{"s1": "aab"}``: three clips of subject s1."""
    rows = [(f"{s}/{i}", s, y) for s, letters in labels.items() for i, y in enumerate(letters)]
    return pd.DataFrame(rows, columns=["clip_id", "subject", "y_true"])


def test_the_majority_is_that_of_the_training_clips() -> None:
    clips = clips_of({"s1": "aaaa", "s2": "bbb", "s3": "b"})
    table = majority(clips, leave_one_subject_out(clips["subject"]), K)
    assert table.groupby("subject")["y_pred"].first().to_dict() == {"s1": "b", "s2": "a", "s3": "a"}
    assert metrics.score(table, K).accuracy == 0  # the majority of all clips would be right on 4 of 8


def test_the_majority_floor_of_skewed_labels_is_known() -> None:
    clips = clips_of({f"s{i}": "aaab" for i in range(5)})
    scores = metrics.score(majority(clips, leave_one_subject_out(clips["subject"]), K), K)
    assert scores.accuracy == 0.75
    assert scores.uf1 == pytest.approx((2 * 15 / (2 * 15 + 5) + 0) / 2)
    assert scores.uar == 0.5


def test_chance_draws_from_the_training_labels() -> None:
    """Expected: accuracy 0.75² + 0.25² = 0.625, recall of each class its frequency, UAR 0.5."""
    clips = clips_of({f"s{i}": "aaab" for i in range(10)})
    folds = leave_one_subject_out(clips["subject"])
    scores = metrics.score(chance(clips, folds), K)
    assert scores.accuracy == pytest.approx(0.625, abs=0.03)
    assert scores.uar == pytest.approx(0.5, abs=0.03)
    pd.testing.assert_frame_equal(chance(clips, folds, draws=2), chance(clips, folds, draws=2))


def test_all_baselines_are_prediction_tables_of_the_same_clips() -> None:
    clips = clips_of({"s1": "aab", "s2": "abb", "s3": "ba"})
    folds = leave_one_subject_out(clips["subject"])
    features = pd.DataFrame(np.random.default_rng(0).normal(size=(8, 3)), index=clips["clip_id"])
    tables = {**floors(clips, folds, K), "svm": linear_svm(clips, folds, features)}
    for table in tables.values():
        assert set(check_predictions(table, K)["clip_id"]) == set(clips["clip_id"])


def informative(clips: pd.DataFrame, noise: float = 0.3) -> pd.DataFrame:
    random = np.random.default_rng(0)
    sign = np.where(clips["y_true"] == "a", 1.0, -1.0)[:, None]
    values = np.concatenate([sign + random.normal(0, noise, (len(clips), 1)), random.normal(size=(len(clips), 5))], 1)
    return pd.DataFrame(values, index=clips["clip_id"])


def test_the_svm_learns_what_is_there_and_nothing_from_shuffled_features() -> None:
    clips = clips_of({f"s{i}": "abab" for i in range(6)})
    folds = leave_one_subject_out(clips["subject"])
    features = informative(clips)
    assert metrics.score(linear_svm(clips, folds, features), K).uf1 > 0.9
    shuffled = features.sample(frac=1, random_state=0).set_axis(features.index)
    assert metrics.score(linear_svm(clips, folds, shuffled), K).uf1 < 0.7


def test_features_are_joined_by_clip_and_never_by_position() -> None:
    clips = clips_of({f"s{i}": "abab" for i in range(3)})
    folds = leave_one_subject_out(clips["subject"])
    features = informative(clips)
    shuffled = linear_svm(clips, folds, features.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled, linear_svm(clips, folds, features))


def test_test_clips_do_not_touch_training_or_scaling() -> None:
    """One absurd test clip: its neighbours of the same subject are predicted as before."""
    clips = clips_of({f"s{i}": "abab" for i in range(6)})
    folds = leave_one_subject_out(clips["subject"])
    features = informative(clips, noise=1.5)
    absurd = features.copy()
    absurd.loc["s0/0"] = 1e6
    first, second = (linear_svm(clips, folds[:1], f) for f in (features, absurd))
    assert first["y_pred"].tolist()[1:] == second["y_pred"].tolist()[1:]


def test_features_that_are_missing_or_not_finite_are_refused() -> None:
    clips = clips_of({"s1": "ab", "s2": "ab"})
    folds = leave_one_subject_out(clips["subject"])
    features = informative(clips)
    with pytest.raises(ValueError, match="1 clips have no features, for example s1/0"):
        linear_svm(clips, folds, features.drop("s1/0"))
    features.loc["s2/1", 0] = np.nan
    with pytest.raises(ValueError, match="not finite, for example s2/1"):
        linear_svm(clips, folds, features)


def test_one_training_class_leaves_nothing_to_choose() -> None:
    clips = clips_of({"s1": "aa", "s2": "bb"})
    table = linear_svm(clips, leave_one_subject_out(clips["subject"]), informative(clips))
    assert table["y_pred"].tolist() == ["b", "b", "a", "a"]


def test_the_oracle_reads_combinations_of_action_units() -> None:
    """Class = exactly one of two units: a linear rule is at 0.5, the combination decides."""
    clips = clips_of({f"s{i}": "abab" for i in range(10)})
    random = np.random.default_rng(0)
    one = random.random(len(clips)) < 0.5
    other = np.where(clips["y_true"] == "a", ~one, one)
    peaks = pd.DataFrame({"AU4": one, "AU12": other}, index=clips["clip_id"]).astype(float)
    peaks += random.normal(0, 0.1, peaks.shape)
    table = oracle(clips, leave_one_subject_out(clips["subject"]), peaks)
    assert metrics.score(table, K).uf1 > 0.95


def test_statistics_of_a_known_flow() -> None:
    flow = np.zeros((4, 12, 12, 2))
    flow[1:, :6, 6:] = [3.0, -4.0]  # upper right quarter, from frame 1 on
    apex, over_time = flow_statistics(flow, apex=2, grid=2).reshape(2, 3, 2, 2)
    quarter = np.array([[0, 1], [0, 0]])
    np.testing.assert_allclose(apex, np.stack([3 * quarter, -4 * quarter, 5 * quarter]))
    np.testing.assert_allclose(over_time, 0.75 * apex)


def test_cells_cover_every_pixel_once_at_any_size() -> None:
    flow = np.random.default_rng(0).normal(size=(1, 13, 17, 2)).astype(np.float32)
    u = flow_statistics(flow, apex=0, grid=3)[:9].reshape(3, 3)
    rows, columns = (0, 4, 8, 13), (0, 5, 11, 17)
    for i in range(3):
        for j in range(3):
            cell = flow[0, rows[i] : rows[i + 1], columns[j] : columns[j + 1], 0]
            assert u[i, j] == pytest.approx(cell.mean(), abs=1e-5)


def test_without_an_apex_the_strongest_frame_counts() -> None:
    flow = np.zeros((5, 6, 6, 2))
    flow[3] = 1
    np.testing.assert_array_equal(flow_statistics(flow, None, 2), flow_statistics(flow, 3, 2))
    with pytest.raises(ValueError, match="apex 5 is outside a clip of 5 frames"):
        flow_statistics(flow, 5)


def test_features_of_a_cache(toy_cache: Path, toy_data: ClipTensors) -> None:
    """The first toy clip has no apex; flow grows with the class index in the upper left quarter."""
    features = flow_features(toy_cache, toy_data.clip_ids, grid=2)
    assert features.shape == (len(toy_data), 24) and list(features.index) == list(toy_data.clip_ids)
    np.testing.assert_allclose(features[0].to_numpy(), toy_data.labels.numpy(), atol=0.15)


class TestImageFeatures:
    def test_means_of_cells_by_channel(self) -> None:
        images = np.zeros((2, 3, 12, 12), np.float32)
        images[1, 0, :2, :2] = 5
        images[:, 1] = 7
        table = image_features(["a/b", "a/c"], {"x": images})
        assert table.shape == (2, 3 * 36)
        assert table.loc["a/c"].iloc[0] == 5 and table.loc["a/b"].iloc[0] == 0
        assert set(table.iloc[:, 36:72].to_numpy().ravel()) == {7.0}

    def test_a_channel_that_repeats_another_is_left_out(self) -> None:
        """One-channel streams are repeated for the network; an SVM would only weigh them three times."""
        one = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
        assert image_features(list("abcd"), {"x": np.repeat(one, 3, axis=1)}).shape == (4, 36)

    def test_small_images_keep_every_pixel(self) -> None:
        images = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
        table = image_features(list("abc"), {"x": images})
        np.testing.assert_allclose(table.to_numpy(), images.reshape(3, -1), rtol=1e-6)
