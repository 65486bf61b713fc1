from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score
from sklearn.metrics import f1_score as sklearn_f1

from experiments.scoring import metrics

K = ("a", "b", "c", "d")
labels = st.sampled_from(K)
tables = st.lists(st.tuples(labels, labels), min_size=1, max_size=60).map(
    lambda pairs: pd.DataFrame(pairs, columns=["y_true", "y_pred"])
)


def table(true: str, predicted: str, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"y_true": list(true), "y_pred": list(predicted), **more})


@settings(max_examples=30, deadline=None)
@given(tables)
def test_agrees_with_scikit_learn(predictions: pd.DataFrame) -> None:
    y, p = predictions["y_true"], predictions["y_pred"]
    counts = metrics.confusion(predictions, K).astype(float)
    np.testing.assert_array_equal(counts, confusion_matrix(y, p, labels=list(K)))
    tallies = metrics.tally(counts)
    assert metrics.accuracy(tallies) == pytest.approx(accuracy_score(y, p))
    options = {"labels": list(K), "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(metrics.precision(tallies), precision_score(y, p, **options))
    np.testing.assert_allclose(metrics.recall(tallies), recall_score(y, p, **options))
    np.testing.assert_allclose(metrics.f1(tallies), sklearn_f1(y, p, **options))
    np.testing.assert_allclose(metrics.uf1(tallies), np.nanmean(sklearn_f1(y, p, **options)))
    np.testing.assert_allclose(metrics.uar(tallies), np.nanmean(recall_score(y, p, **options)))
    np.testing.assert_array_equal(metrics.tallies_by_seed(predictions, K)[1][0], tallies)


@settings(max_examples=40)
@given(tables, st.permutations(K))
def test_the_order_of_rows_and_classes_changes_nothing(predictions: pd.DataFrame, order: list[str]) -> None:
    shuffled = predictions.sample(frac=1, random_state=0)
    assert metrics.score(shuffled, order).uf1 == pytest.approx(metrics.score(predictions, K).uf1)


@settings(max_examples=40)
@given(tables, st.permutations(K))
def test_a_perfect_predictor_scores_one_and_renaming_keeps_scores(table: pd.DataFrame, names: list[str]) -> None:
    perfect = metrics.score(table.assign(y_pred=table["y_true"]), K)
    assert perfect.accuracy == perfect.uf1 == perfect.uar == 1
    renamed = table.replace(dict(zip(K, names, strict=True)))
    assert metrics.score(renamed, K).uf1 == pytest.approx(metrics.score(table, K).uf1)


def test_an_absent_class_is_named_and_left_out_but_a_false_alarm_counts() -> None:
    absent = metrics.score(table("aabb", "aabb"), "abc")
    assert absent.uf1 == 1  # as 0.0 it would pull UF1 to 0.667
    assert absent.classes[2].f1 is None
    assert len(absent.undefined) == 1 and "'c'" in absent.undefined[0]

    alarm = metrics.score(table("aabb", "aabc"), "abc")
    assert alarm.classes[2].f1 == 0 and alarm.classes[2].recall is None
    assert alarm.uf1 == pytest.approx((1 + 2 / 3 + 0) / 3)  # leaving c out would flatter: 0.833
    assert alarm.uar == pytest.approx((1 + 1 / 2) / 2)
    assert "recall is n/a" in alarm.undefined[0]


def test_a_class_that_is_never_predicted_has_no_precision_and_says_so() -> None:
    scores = metrics.score(table("aab", "aaa"), "ab")
    assert scores.classes[1].precision is None and scores.classes[1].f1 == 0
    assert "its precision there is n/a" in scores.undefined[0]


def test_f1_averaged_over_folds_is_another_number() -> None:
    """Two of three subjects lack a class: averaging fold F1 over present classes rewards that."""
    folds = [table("aaaab", "aaaaa"), table("aaaaa", "aaaab"), table("bbbba", "bbbbb")]
    pooled = metrics.score(pd.concat(folds), "ab")
    averaged = np.mean([metrics.score(fold, "ab").uf1 for fold in folds])
    assert pooled.uf1 == pytest.approx(0.7847, abs=1e-4)
    assert averaged == pytest.approx(0.4444, abs=1e-4)


def test_uar_is_recall_and_not_precision() -> None:
    scores = metrics.score(table("aaaabb", "aaabab"), "ab")
    assert scores.uar == pytest.approx((3 / 4 + 1 / 2) / 2)
    skewed = metrics.score(table("aaaaaaaabb", "aaaaaabbbb"), "ab")
    assert skewed.uar == pytest.approx(0.875)  # macro precision is 0.75


def test_seeds_are_averaged_and_never_pooled() -> None:
    """Pooling two seeds into twice the clips would give UF1 0.733, and call 8 predictions 8 clips."""
    ids = ["c1", "c2", "c3", "c4"]
    first = table("aabb", "aaaa", clip_id=ids, seed=0)
    second = table("aabb", "aabb", clip_id=ids, seed=1)
    both = metrics.score(pd.concat([first, second]), "ab")
    assert both.uf1 == pytest.approx((1 / 3 + 1) / 2)
    assert metrics.score(pd.concat([first, second]).drop(columns=["clip_id", "seed"]), "ab").uf1 != both.uf1
    assert [row["uf1"] for row in both.by_seed] == pytest.approx([1 / 3, 1])
    assert both.classes[0].clips == 2
    assert both.confusion == ((2.0, 0.0), (1.0, 1.0))


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="y_pred holds 'z'"):
        metrics.score(table("ab", "az"), "ab")
    with pytest.raises(ValueError, match="no predictions"):
        metrics.score(table("", ""), "ab")
    with pytest.raises(ValueError, match="more than one prediction"):
        metrics.score(table("aa", "ab", clip_id=["x", "x"], seed=0), "ab")


def test_no_clips_have_no_accuracy() -> None:
    assert np.isnan(metrics.accuracy(np.zeros((3, 2))))
