"""Scores of clips that may have several labels, against scikit-learn and by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from experiments.scoring.label_sets import SetLabels, every_label, one_row_per_label
from experiments.scoring.metrics import score
from experiments.scoring.prediction_log import assess_sets, read_log
from experiments.scoring.seed_average import seed_average
from experiments.scoring.statistics import bootstraps, f1_intervals, paired_differences
from experiments.scoring.summary import check_predictions, summarise
from preprocessing.datasets.label_sets import names_in, set_text
from preprocessing.errors import UsageError

UNITS = SetLabels(("AU1", "AU4", "AU12", "AU14"))


def log_of(true: np.ndarray, predicted: np.ndarray, subjects: int = 3, seed: int = 0) -> pd.DataFrame:
    """A prediction table of two indicator matrices (N, 4)."""
    columns = {
        name: [set_text(u for u, has in zip(UNITS, row, strict=True) if has) for row in matrix]
        for name, matrix in (("y_true", true), ("y_pred", predicted))
    }
    people = [f"x/s{i % subjects}" for i in range(len(true))]
    clips = [f"{person}/c{i}" for i, person in enumerate(people)]
    return pd.DataFrame({"clip_id": clips, "subject": people, "fold": people, "seed": seed, **columns})


indicator = st.lists(st.tuples(*[st.booleans()] * 4), min_size=1, max_size=30)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_scores_are_those_of_scikit_learn_also_of_absent_units(data: st.DataObject) -> None:
    true = np.array(data.draw(indicator))
    shape = st.lists(st.tuples(*[st.booleans()] * 4), min_size=len(true), max_size=len(true))
    predicted = np.array(data.draw(shape))
    absent = data.draw(st.sets(st.integers(0, 3)))  # no clip has these, and perhaps none is said to have them
    true[:, list(absent)] = False
    predicted[:, list(data.draw(st.sets(st.sampled_from(sorted(absent)))) if absent else ())] = False
    found = score(log_of(true, predicted), UNITS)
    each = f1_score(true, predicted, average=None, zero_division=np.nan)
    assert [one.f1 for one in found.classes] == [None if np.isnan(x) else pytest.approx(x) for x in each]
    macro = np.nanmean(each) if np.isfinite(each).any() else None
    assert found.uf1 == (None if macro is None else pytest.approx(macro))
    if macro is not None:
        assert found.uf1 == pytest.approx(f1_score(true, predicted, average="macro", zero_division=np.nan))
    recalls = recall_score(true, predicted, average=None, zero_division=np.nan)
    assert [one.recall for one in found.classes] == [None if np.isnan(x) else pytest.approx(x) for x in recalls]
    assert found.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert [one.clips for one in found.classes] == list(true.sum(0))


def random_log(rng: int, right: float, seeds: int = 1) -> pd.DataFrame:
    """Predictions of 12 people with 10 clips each, each answer right with that probability."""
    random = np.random.default_rng(rng)
    true = np.random.default_rng(99).random((120, 4)) < (0.5, 0.3, 0.2, 0.1)
    logs = []
    for seed in range(seeds):
        wrong = random.random(true.shape) > right
        logs.append(log_of(true, true ^ wrong, 12, seed))
    return pd.concat(logs, ignore_index=True)


def test_seeds_are_averaged_and_intervals_hold_the_score() -> None:
    log = random_log(0, 0.9, seeds=2)
    matrices = [[UNITS.members(one[c]) for c in ("y_true", "y_pred")] for _, one in log.groupby("seed")]
    wanted = np.mean([f1_score(a, b, average="macro") for a, b in matrices])
    interval = bootstraps(log, UNITS)["uf1"]
    assert interval.value == pytest.approx(wanted)
    assert interval.low < wanted < interval.high
    each = f1_intervals(log, UNITS)
    per_label = np.mean([f1_score(a, b, average=None) for a, b in matrices], axis=0)
    assert [one.value for one in each] == pytest.approx(per_label)
    assert all(one.low < one.value < one.high for one in each)


def test_the_interval_of_a_rare_label_says_what_was_left_out() -> None:
    """One person has the label, and it is never predicted elsewhere: many resamples know nothing of it."""
    true = np.zeros((24, 4), bool)
    true[:, 0] = True
    true[0, 3] = True
    rare = f1_intervals(log_of(true, true, 12), UNITS)[3]
    assert (rare.value, rare.incomplete > 0.2, np.isnan(rare.low)) == (1, True, True)


def test_a_difference_is_paired() -> None:
    better, worse = random_log(1, 0.95), random_log(2, 0.7)
    assert paired_differences(better, worse, UNITS)["uf1"].low > 0
    assert paired_differences(better, better, UNITS)["uf1"].high == 0


def test_saying_every_label_always_has_the_f1_that_follows_from_its_share() -> None:
    log = random_log(0, 0.5).assign(y_pred=every_label(UNITS))
    share = UNITS.members(log["y_true"]).mean(0)
    assert [one.f1 for one in score(log, UNITS).classes] == pytest.approx(2 * share / (1 + share))


def test_a_summary_has_labels_with_intervals_and_no_confusion() -> None:
    log = random_log(0, 0.9)
    found = summarise(log, {"always": log.assign(y_pred=every_label(UNITS))}, UNITS, "mine")
    assert found["measures"]["uf1"] == "Macro F1" and found["confusion"] == () and found["calibration"] is None
    assert [row["name"] for row in found["classes"]] == list(UNITS)
    assert all(row["f1_interval"]["low"] < row["f1"] for row in found["classes"])
    assert found["differences"][0]["uf1"]["low"] > 0


def test_seeds_that_are_asked_together_answer_by_their_mean_probability() -> None:
    logs = [random_log(rng, 0.9).assign(seed=rng, **{f"p_{n}": p for n in UNITS}) for rng, p in ((0, 0.9), (1, 0.2))]
    together = seed_average(pd.concat(logs, ignore_index=True), UNITS)
    assert together is not None and set(together["y_pred"]) == {every_label(UNITS)}
    logs[0]["p_AU4"] = 0.7
    together = seed_average(pd.concat(logs, ignore_index=True), UNITS)
    assert together is not None and set(together["y_pred"]) == {"AU1+AU12+AU14"}


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [("y_pred", "AU1+AU9", "'AU9', not one of AU1"), ("y_true", "AU4+AU4", "'AU4' twice"), ("y_pred", "", "''")],
)
def test_sets_that_are_none_are_refused(column: str, text: str, message: str) -> None:
    log = random_log(0, 0.9)
    log.loc[3, column] = text
    with pytest.raises(ValueError, match=message):
        check_predictions(log, UNITS)


def test_probabilities_need_not_sum_to_one_but_lie_between() -> None:
    log = random_log(0, 0.9).assign(**{f"p_{name}": 0.9 for name in UNITS})
    check_predictions(log, UNITS)
    with pytest.raises(ValueError, match=r"not in 0 \.\. 1"):
        check_predictions(log.assign(p_AU4=1.5), UNITS)


def test_rows_per_label() -> None:
    table = pd.DataFrame({"clip_id": ["a", "b", "c"], "y_true": ["AU1+AU4", "none", "AU4"]})
    assert one_row_per_label(table).to_numpy().tolist() == [["a", "AU1"], ["a", "AU4"], ["c", "AU4"]]
    assert names_in("none") == [] and set_text(names_in("AU1+AU4")) == "AU1+AU4"


# somebody's log


def test_a_log_of_sets_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    random_log(0, 0.9).assign(dataset=["p", "q"] * 60).to_csv(path, index=False)
    log = read_log(path)
    found = assess_sets(log)
    assert found.classes == ("AU1", "AU12", "AU14", "AU4")
    assert [row["system"] for row in found.rows] == ["all clips", "p", "q", "every label always"]
    assert found.rows[0]["uf1"]["value"] == pytest.approx(score(random_log(0, 0.9), UNITS).uf1)
    counts = {row["name"]: row["clips"] for row in found.labels}
    rare = min(counts, key=lambda name: counts[name])
    fewer = assess_sets(log, least=int(counts[rare]) + 1)
    assert rare not in fewer.classes and f"are not scored: {rare}" in fewer.notes[-1]
    with pytest.raises(UsageError, match="not one of AU1, AU4"):
        assess_sets(log, ("AU1", "AU4"))
    with pytest.raises(UsageError, match="no label occurs in 999"):
        assess_sets(log, least=999)
