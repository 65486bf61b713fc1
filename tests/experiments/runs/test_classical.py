"""Baselines know the labels of their training clips and nothing else; estimators know the features of those clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dynamic_images.clip_input import InputUse, NoSettings
from dynamic_images.inputs import use
from experiments.runs.classical import (
    CHANCE_DRAWS,
    Estimator,
    SVMSettings,
    choose,
    distinct_columns,
    feature_table,
)
from experiments.runs.folds import baseline_seeds, pooled_answers, train_fold
from experiments.runs.system_registry import BASELINES, find_system, make_system
from experiments.runs.systems import System
from experiments.scoring import metrics
from experiments.scoring.protocols import leave_one_subject_out
from experiments.scoring.summary import check_predictions
from fusion_net import ClipTensors
from preprocessing.errors import UsageError

K = ("a", "b")
MAJORITY, CHANCE = (make_system(name, NoSettings()) for name in ("majority", "chance"))
SVM, ORACLE = make_system("svm", SVMSettings()), make_system("oracle", NoSettings())

Features = NDArray[np.float64]


def clips_of(labels: dict[str, str], features: Features | None = None, name: str = "flow_grid") -> ClipTensors:
    """``{"s1": "aab"}``: three clips of subject s1."""
    rows = [(f"{s}/{i}", s, y) for s, letters in labels.items() for i, y in enumerate(letters)]
    ids, subjects, classes = zip(*rows, strict=True)
    values = np.zeros((len(rows), 1)) if features is None else features
    indices = torch.tensor([K.index(y) for y in classes])
    return ClipTensors(ids, subjects, indices, K, {name: torch.from_numpy(values)}, {name: "features"})


def answers(data: ClipTensors, system: System, seeds: Sequence[int] = (0,)) -> pd.DataFrame:
    return pooled_answers(data, leave_one_subject_out(data.subjects), system, seeds)[0]


def informative(labels: dict[str, str], noise: float = 0.3) -> Features:
    """(N, 6): the first column is the class, the others are noise."""
    random = np.random.default_rng(0)
    sign = np.array([1.0 if y == "a" else -1.0 for letters in labels.values() for y in letters])[:, None]
    return np.concatenate([sign + random.normal(0, noise, sign.shape), random.normal(size=(len(sign), 5))], axis=1)


class TestMajority:
    def test_it_is_that_of_the_training_clips(self) -> None:
        table = answers(clips_of({"s1": "aaaa", "s2": "bbb", "s3": "b"}), MAJORITY)
        assert table.groupby("subject")["y_pred"].first().to_dict() == {"s1": "b", "s2": "a", "s3": "a"}
        assert metrics.score(table, K).accuracy == 0  # the majority of all clips would be right on 4 of 8

    def test_of_equally_common_classes_it_is_the_first(self) -> None:
        table = answers(clips_of({"s1": "ab", "s2": "ba"}), MAJORITY)
        assert set(table["y_pred"]) == {"a"}

    def test_the_score_of_skewed_labels_is_known(self) -> None:
        scores = metrics.score(answers(clips_of({f"s{i}": "aaab" for i in range(5)}), MAJORITY), K)
        assert scores.accuracy == 0.75
        assert scores.uf1 == pytest.approx((2 * 15 / (2 * 15 + 5) + 0) / 2)
        assert scores.uar == 0.5


class TestChance:
    skewed = clips_of({f"s{i}": "aaab" for i in range(10)})

    def test_it_draws_from_the_training_labels(self) -> None:
        """Expected: accuracy 0.75² + 0.25² = 0.625, recall of each class its frequency, UAR 0.5."""
        scores = metrics.score(answers(self.skewed, CHANCE, range(CHANCE_DRAWS)), K)
        assert scores.accuracy == pytest.approx(0.625, abs=0.03)
        assert scores.uar == pytest.approx(0.5, abs=0.03)

    def test_the_same_seed_gives_the_same_draw_and_another_seed_another(self) -> None:
        first, again, other = (answers(self.skewed, CHANCE, [seed]) for seed in (0, 0, 1))
        pd.testing.assert_frame_equal(first, again)
        assert first["y_pred"].tolist() != other["y_pred"].tolist()

    def test_the_order_of_the_folds_changes_nothing(self) -> None:
        folds = leave_one_subject_out(self.skewed.subjects)
        tables = [pooled_answers(self.skewed, order, CHANCE, (0, 1))[0] for order in (folds, folds[::-1], folds[3:4])]
        forth, back, alone = (table.sort_values(["seed", "clip_id"], ignore_index=True) for table in tables)
        pd.testing.assert_frame_equal(forth, back)
        same = forth[forth["fold"] == folds[3].name].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same)

    def test_subjects_do_not_share_a_draw(self) -> None:
        """One generator seeded by the seed alone would give every fold the same answers."""
        table = answers(self.skewed, CHANCE)
        assert len({tuple(rows["y_pred"]) for _, rows in table.groupby("fold")}) > 1


def test_baselines_never_look_at_a_clip() -> None:
    labels = {"s1": "aab", "s2": "abb", "s3": "ba"}
    plain, changed = clips_of(labels), clips_of(labels, informative(labels))
    for system in (MAJORITY, CHANCE):
        assert system.inputs == ()
        pd.testing.assert_frame_equal(answers(plain, system), answers(changed, system))


def test_all_baselines_are_prediction_tables_of_the_same_clips() -> None:
    labels = {"s1": "aab", "s2": "abb", "s3": "ba"}
    features = np.random.default_rng(0).normal(size=(8, 3))
    for name in BASELINES:
        system = make_system(name, find_system(name).Settings())
        data = clips_of(labels, features)
        names = [one.name for one in system.inputs]
        data = dataclasses.replace(
            data, inputs=dict.fromkeys(names, data.inputs["flow_grid"]), kinds=dict.fromkeys(names, "features")
        )
        table = check_predictions(answers(data, system, range(baseline_seeds(system))), K)
        assert set(table["clip_id"]) == set(data.clip_ids)
        assert len(table) == 8 * (CHANCE_DRAWS if name == "chance" else 1)


class TestSVM:
    labels: ClassVar[dict[str, str]] = {f"s{i}": "abab" for i in range(6)}

    def test_it_learns_what_is_there_and_nothing_from_shuffled_features(self) -> None:
        features = informative(self.labels)
        assert metrics.score(answers(clips_of(self.labels, features), SVM), K).uf1 > 0.9
        shuffled = np.random.default_rng(0).permutation(features)
        assert metrics.score(answers(clips_of(self.labels, shuffled), SVM), K).uf1 < 0.7

    def test_a_curved_kernel_separates_what_no_plane_does(self) -> None:
        """The class is whether a number is near zero: the best threshold is wrong on a quarter of the clips."""
        random = np.random.default_rng(0)
        near = np.array([y == "a" for letters in self.labels.values() for y in letters])
        side = random.choice([-1.0, 1.0], len(near))
        features = np.where(near, 0, 2 * side)[:, None] + random.normal(0, 0.2, (len(near), 1))
        curved = make_system("svm", SVMSettings(kernel="rbf", costs=(1.0,)))
        assert metrics.score(answers(clips_of(self.labels, features), curved), K).uf1 > 0.9
        assert metrics.score(answers(clips_of(self.labels, features), SVM), K).uf1 < 0.85

    def test_test_clips_do_not_touch_training_or_scaling(self) -> None:
        """One absurd test clip: its neighbours of the same subject are predicted as before."""
        features = informative(self.labels, noise=1.5)
        absurd = features.copy()
        absurd[0] = 1e6
        first, second = (
            train_fold(data, leave_one_subject_out(data.subjects)[0], 0, SVM).predictions
            for data in (clips_of(self.labels, features), clips_of(self.labels, absurd))
        )
        assert first["y_pred"].tolist()[1:] == second["y_pred"].tolist()[1:]

    def test_features_that_are_not_finite_are_refused(self) -> None:
        features = informative(self.labels)
        features[5, 0] = np.nan
        with pytest.raises(ValueError, match="1 clips have features that are not finite, for example s1/1"):
            answers(clips_of(self.labels, features), SVM)

    def test_features_that_are_missing_are_refused(self) -> None:
        with pytest.raises(ValueError, match="input 'flow_grid' is missing: the clips have other"):
            answers(clips_of(self.labels, name="other"), SVM)

    def test_one_training_class_leaves_nothing_to_choose(self) -> None:
        labels = {"s1": "aa", "s2": "bb"}
        assert answers(clips_of(labels, informative(labels)), SVM)["y_pred"].tolist() == ["b", "b", "a", "a"]

    def test_settings_that_cannot_work_are_refused(self) -> None:
        with pytest.raises(ValueError, match="kernel 'cubic' is unknown: choose linear or rbf"):
            SVMSettings(kernel="cubic")  # type: ignore[arg-type]
        for costs in ((), (1.0, 0.0)):
            with pytest.raises(ValueError, match="wanted one or more positive numbers"):
                SVMSettings(costs=costs)
        with pytest.raises(UsageError, match="input 'flow_gird' is unknown: did you mean flow_grid"):
            make_system("svm", SVMSettings(features="flow_gird"))

    def test_its_title_says_what_it_looks_at(self) -> None:
        assert SVM.title == "Linear SVM on flow statistics"
        assert make_system("svm", SVMSettings("stream_grid", "rbf")).title == "RBF SVM on coarse images"


def test_the_oracle_reads_combinations_of_action_units() -> None:
    """Class = exactly one of two units: a linear rule is at 0.5, the combination decides."""
    labels = {f"s{i}": "abab" for i in range(10)}
    random = np.random.default_rng(0)
    is_a = np.array([y == "a" for letters in labels.values() for y in letters])
    one = random.random(len(is_a)) < 0.5
    peaks = np.stack([one, np.where(is_a, ~one, one)], axis=1) + random.normal(0, 0.1, (len(is_a), 2))
    table = answers(clips_of(labels, peaks, name="true_peaks"), ORACLE)
    assert metrics.score(table, K).uf1 > 0.95
    linear = dataclasses.replace(SVM, inputs=ORACLE.inputs)
    assert metrics.score(answers(clips_of(labels, peaks, name="true_peaks"), linear), K).uf1 < 0.8


class TestRepeatedFeatures:
    def test_a_column_that_repeats_an_earlier_one_is_left_out(self) -> None:
        """An image of one channel is repeated for networks; an SVM would only weigh it three times."""
        one = np.random.default_rng(0).normal(size=(5, 4))
        assert distinct_columns(np.tile(one, 3)).tolist() == [0, 1, 2, 3]
        assert distinct_columns(one[:, [2, 0, 0, 1, 2]]).tolist() == [0, 1, 3]

    def test_repeating_all_features_changes_no_answer(self) -> None:
        labels = {f"s{i}": "abab" for i in range(6)}
        features = informative(labels, noise=1.5)
        first, second = (answers(clips_of(labels, x), SVM) for x in (features, np.tile(features, 3)))
        pd.testing.assert_frame_equal(first, second)

    def test_which_columns_repeat_is_judged_by_the_training_clips_alone(self) -> None:
        """Two columns are equal in training and not in one test clip: the later one must have no effect."""
        labels = {f"s{i}": "abab" for i in range(6)}
        features = np.tile(informative(labels, noise=1.5), 2)
        other = features.copy()
        other[0, 6:] += 1e3
        first, second = (
            train_fold(data, leave_one_subject_out(data.subjects)[0], 0, SVM).predictions
            for data in (clips_of(labels, features), clips_of(labels, other))
        )
        pd.testing.assert_frame_equal(first, second)


class _Neighbours(Estimator):
    """For the tests below: an estimator that gives probabilities."""

    @classmethod
    def uses(cls, settings: NoSettings) -> tuple[InputUse, ...]:
        return (use("flow_grid"),)

    @property
    def title(self) -> str:
        return "Neighbours"

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        return [KNeighborsClassifier(3)]


class TestProbabilities:
    labels: ClassVar[dict[str, str]] = {f"s{i}": "abab" for i in range(6)}
    system = _Neighbours("neighbours", NoSettings(), _Neighbours.uses(NoSettings()))

    def predicted(self, data: ClipTensors) -> pd.DataFrame:
        folds = leave_one_subject_out(data.subjects)
        return pd.concat([train_fold(data, fold, 0, self.system).predictions for fold in folds], ignore_index=True)

    def test_they_become_columns_of_the_predictions(self) -> None:
        table = check_predictions(self.predicted(clips_of(self.labels, informative(self.labels))), K)
        assert [name for name in table if name.startswith("p_")] == ["p_a", "p_b"]
        assert (np.where(table["p_a"] > 0.5, "a", "b") == table["y_pred"]).all()

    def test_a_class_that_training_never_saw_has_none(self) -> None:
        data = dataclasses.replace(clips_of(self.labels, informative(self.labels)), classes=(*K, "never"))
        table = check_predictions(self.predicted(data), (*K, "never"))
        assert (table["p_never"] == 0).all()

    def test_a_system_without_them_has_no_such_columns(self) -> None:
        data = clips_of(self.labels, informative(self.labels))
        table = train_fold(data, leave_one_subject_out(data.subjects)[0], 0, SVM).predictions
        assert [*table] == ["clip_id", "subject", "fold", "seed", "y_true", "y_pred"]


class TestChoose:
    def test_the_better_one_on_new_subjects_wins(self) -> None:
        """Of two settings one is far too stiff to learn anything."""
        labels = {f"s{i}": "aabb" for i in range(6)}
        data = clips_of(labels, informative(labels))
        stiff, free = (LogisticRegression(C=c) for c in (1e-9, 1.0))
        y, subjects = np.array([*"".join(labels.values())]), np.array(data.subjects)
        for order in ([stiff, free], [free, stiff]):
            assert choose(order, feature_table(data), y, subjects) is free

    def test_of_equally_good_ones_the_first_wins(self) -> None:
        labels = {f"s{i}": "aabb" for i in range(6)}
        data = clips_of(labels, informative(labels, noise=0.0))
        twins = [LogisticRegression(), LogisticRegression()]
        found = choose(twins, feature_table(data), np.array([*"".join(labels.values())]), np.array(data.subjects))
        assert found is twins[0]

    @pytest.mark.parametrize("labels", [{"s1": "ab"}, {"s1": "aa", "s2": "bb"}])
    def test_if_there_is_no_way_to_choose_the_first_is_taken(self, labels: dict[str, str]) -> None:
        """One subject, or inner training folds of one class."""
        data = clips_of(labels, informative(labels))
        candidates = [LogisticRegression(C=c) for c in (0.1, 1.0)]
        y = np.array([*"".join(labels.values())])
        assert choose(candidates, feature_table(data), y, np.array(data.subjects)) is candidates[0]


def test_all_inputs_stand_side_by_side_in_one_table() -> None:
    images = torch.arange(24.0).reshape(2, 3, 2, 2)
    data = ClipTensors(("x", "y"), ("x", "y"), torch.tensor([0, 1]), K, {"i": images, "f": torch.ones(2, 1)})
    table = feature_table(data)
    assert table.dtype == np.float64
    assert table.tolist() == [[*range(12), 1], [*range(12, 24), 1]]
