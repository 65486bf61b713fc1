from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from experiments.scoring import metrics, statistics
from experiments.scoring.statistics import (
    bca,
    bootstrap,
    bootstraps,
    check_same_clips,
    mcnemar,
    mean_interval,
    paired_difference,
    paired_differences,
    subject_tallies,
)

Guesses = Callable[..., pd.DataFrame]
K = ("calm", "happy", "other")


def test_a_perfect_predictor_has_no_spread(guesses: Guesses) -> None:
    interval = bootstrap(guesses(right=1.0), K)
    assert (interval.value, interval.low, interval.high) == (1, 1, 1)


@pytest.mark.parametrize("metric", ["accuracy", "uf1", "uar"])
def test_intervals_of_guesses_contain_chance_and_that_of_a_good_predictor_excludes_it(
    guesses: Guesses, metric: str
) -> None:
    intervals = [bootstrap(guesses(subjects=20, right=0.0, rng=rng), K, metric) for rng in range(20)]
    assert sum(i.low < 1 / 3 < i.high for i in intervals) >= 16  # 19 expected; an interval of no width scores 0
    assert all(i.low < i.value < i.high < 0.5 for i in intervals)
    good = bootstrap(guesses(subjects=20, right=0.6), K, metric)
    assert good.low > 0.5
    assert (good.subjects, good.resamples, good.level) == (20, 2000, 0.95)


def test_resampling_matrices_is_resampling_clips(guesses: Guesses) -> None:
    predictions = guesses(subjects=5, right=0.5, seeds=2)
    people = subject_tallies(predictions, K)
    draw = [4, 0, 0, 3, 4]
    clips = pd.concat([predictions[predictions["subject"] == people.subjects[s]] for s in draw])
    slow = [metrics.uf1(metrics.tally(metrics.confusion(rows, K))) for _, rows in clips.groupby("seed")]
    weights = np.bincount(draw, minlength=5).astype(float)
    np.testing.assert_allclose(metrics.uf1(people.pooled(weights[None])[0]), slow)


def whole_matrices(table: pd.DataFrame, metric: str, resamples: int) -> list[NDArray[np.float64]]:
    """Scores of all resamples, and without one subject at a time, from S x K x K confusion matrices held at once."""
    subjects, seeds = (sorted(table[name].unique()) for name in ("subject", "seed"))
    grouped = dict(list(table.groupby(["seed", "subject"])))
    counts = np.array([[metrics.confusion(grouped[r, s], K) for s in subjects] for r in seeds], float)  # (R, S, K, K)
    people = len(subjects)
    draws = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), size=resamples).astype(float)
    pooled = [np.tensordot(weights, counts, axes=(1, 1)) for weights in (draws, 1 - np.eye(people))]
    return [metrics.METRICS[metric](metrics.tally(one)).mean(-1) for one in pooled]


@pytest.mark.parametrize("cells", [1, 200, 1 << 22])
def test_blocks_give_the_same_digits_as_everything_at_once(
    guesses: Guesses, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "CELLS", cells)
    for rng, right in enumerate((0.2, 0.6, 0.95)):
        tables = [guesses(subjects=7, right=right, seeds=seeds, rng=rng + 9 * seeds) for seeds in (3, 1)]
        singles, pairs = bootstraps(tables[0], K, resamples=60), paired_differences(*tables, K, resamples=60)
        for metric in metrics.METRICS:
            drawn, left = zip(*(whole_matrices(table, metric, 60) for table in tables), strict=True)
            one, pair = singles[metric], pairs[metric]
            assert (one.low, one.high) == bca(one.value, drawn[0], left[0])
            assert (pair.low, pair.high) == bca(pair.value, drawn[0] - drawn[1], left[0] - left[1])
            assert bootstrap(tables[0], K, metric, resamples=60) == one


def test_memory_grows_with_subjects_plus_classes_and_not_with_their_product() -> None:
    """4,000 people: a row for each without each other one would be 128 MB, a matrix of 100 classes for each 320 MB."""
    n = 4000
    rows = [(f"c{i}", f"s{i:04d}", str(i % 100), str(i % 99)) for i in range(n)]
    table = pd.DataFrame(rows, columns=["clip_id", "subject", "y_true", "y_pred"])
    tracemalloc.start()
    interval = bootstrap(table, [str(i) for i in range(100)], "accuracy", resamples=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval.low <= interval.value <= interval.high
    assert peak < 120e6  # 33 MB for a block, written down a few times; 900 MB before


def test_repeating_a_seed_does_not_narrow_the_interval(guesses: Guesses) -> None:
    once = guesses(right=0.5)
    often = pd.concat([once.assign(seed=seed) for seed in range(5)])
    a, b = bootstrap(often, K), bootstrap(once, K)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))  # 5 seeds as clips: 0.45 of the width


def test_subjects_are_the_unit_and_not_clips(guesses: Guesses) -> None:
    """Half of the people always right, half never: six people do not tell much, whatever the number of clips."""
    predictions = guesses(subjects=6, clips=30, right=1.0)
    never = predictions["subject"].isin(["toy/s0", "toy/s2", "toy/s4"])
    predictions.loc[never, "y_pred"] = predictions.loc[never, "y_true"].map(dict(zip(K, [*K[1:], K[0]], strict=True)))
    interval = bootstrap(predictions, K, "accuracy")
    as_if_clips = bootstrap(predictions.assign(subject=predictions["clip_id"]), K, "accuracy")
    assert interval.high - interval.low > 4 * (as_if_clips.high - as_if_clips.low)  # 0.67 against 0.14


def test_same_seed_same_interval_and_rows_may_be_shuffled(guesses: Guesses) -> None:
    predictions = guesses(right=0.5, seeds=2)
    assert bootstrap(predictions, K) == bootstrap(predictions.sample(frac=1, random_state=3), K)
    assert bootstrap(predictions, K, seed=1) != bootstrap(predictions, K, seed=2)


def test_a_class_that_only_one_subject_shows_is_missing_in_a_third_of_the_resamples() -> None:
    """(1 - 1/S)^S of the resamples lack any given subject: 0.33 for six."""
    rows = [(f"s{s}/{c}", f"s{s}", y, y) for s in range(6) for c, y in enumerate("ab")] + [("s0/z", "s0", "c", "c")]
    predictions = pd.DataFrame(rows, columns=["clip_id", "subject", "y_true", "y_pred"])
    interval = bootstrap(predictions, "abc", "uar")
    assert interval.incomplete == pytest.approx((5 / 6) ** 6, abs=0.03)
    assert interval.low == 1  # as 0.0 the absent class would pull the lower end to 0.667
    assert bootstrap(predictions, "abc", "accuracy").incomplete == 0


def test_bca_agrees_with_scipy() -> None:
    data = np.random.default_rng(0).exponential(size=25)
    scipy = stats.bootstrap((data,), np.mean, method="BCa", n_resamples=3000, rng=np.random.default_rng(1))
    left_out = np.array([np.delete(data, i).mean() for i in range(25)])
    ends = bca(data.mean(), scipy.bootstrap_distribution, left_out)
    np.testing.assert_allclose(ends, scipy.confidence_interval, rtol=1e-6)


def test_bca_of_an_undefined_value_is_undefined() -> None:
    assert all(np.isnan(bca(float("nan"), np.zeros(9), np.zeros(3))))


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "low", "high"), [(12, 0.86, 0.94), (25, 0.91, 0.98)])
def test_coverage(subjects: int, low: float, high: float) -> None:
    """Share of 400 made-up corpora whose interval holds the UF1 of 20,000 subjects: 0.90 and 0.95.

    People differ in how well they are read (sd 0.15); an error falls on any class. Standard error 0.015.
    """

    def corpus(people: int, rng: np.random.Generator) -> pd.DataFrame:
        skill = np.clip(rng.normal(0.5, 0.15, people), 0, 1)
        true = rng.choice(5, (people, 10), p=[0.25, 0.2, 0.25, 0.1, 0.2])
        predicted = np.where(rng.random((people, 10)) < skill[:, None], true, rng.choice(5, (people, 10)))
        subject = np.repeat(np.arange(people), 10)
        names = np.array(list("abcde"))
        return pd.DataFrame(
            {
                "clip_id": np.arange(people * 10),
                "subject": subject,
                "y_true": names[true.ravel()],
                "y_pred": names[predicted.ravel()],
            }
        )

    truth = metrics.score(corpus(20_000, np.random.default_rng(9)), "abcde").uf1
    rng = np.random.default_rng(0)
    intervals = [bootstrap(corpus(subjects, rng), "abcde", resamples=1000) for _ in range(400)]
    assert truth is not None
    assert low < np.mean([i.low <= truth <= i.high for i in intervals]) < high


def test_a_table_does_not_differ_from_itself(guesses: Guesses) -> None:
    table = guesses(right=0.5, seeds=2)
    same = paired_difference(table, table.sample(frac=1, random_state=0), K)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_pairing_sees_what_separate_intervals_cannot(guesses: Guesses) -> None:
    """One more clip right for each of people who differ much: a sure difference, although the intervals overlap."""
    worse = guesses(subjects=8, right=1.0)
    for s, wrong in enumerate([1, 8, 2, 7, 3, 6, 4, 5]):
        rows = worse.index[worse["subject"] == f"toy/s{s}"][:wrong]
        worse.loc[rows, "y_pred"] = worse.loc[rows, "y_true"].map(dict(zip(K, [*K[1:], K[0]], strict=True)))
    better = worse.copy()
    first = better[better["y_true"] != better["y_pred"]].groupby("subject").head(1).index
    better.loc[first, "y_pred"] = better.loc[first, "y_true"]
    assert bootstrap(worse, K, "accuracy").high > bootstrap(better, K, "accuracy").value
    difference = paired_difference(better, worse, K, "accuracy")
    assert difference.value == pytest.approx(1 / 9)
    assert difference.low > 0.1
    assert paired_difference(worse, better, K, "accuracy").high < -0.1


def test_tables_are_matched_by_clip_and_never_by_position(guesses: Guesses) -> None:
    a, b = guesses(right=0.5, rng=1), guesses(right=0.8, rng=2)
    assert paired_difference(a, b, K) == paired_difference(a, b.sample(frac=1, random_state=0), K)
    assert mcnemar(a, b) == mcnemar(a.sample(frac=1, random_state=0), b)
    with pytest.raises(ValueError, match="in one table only, for example toy/s0/c0"):
        paired_difference(a, b[b["clip_id"] != "toy/s0/c0"], K)
    with pytest.raises(ValueError, match="different subjects or true labels"):
        check_same_clips(a, b.assign(y_true="calm"))


def test_mcnemar_counts_discordant_clips(guesses: Guesses) -> None:
    a, b = guesses(right=0.9, rng=1), guesses(right=0.3, rng=2)
    right_a = (a["y_true"] == a["y_pred"]).to_numpy()
    right_b = (b["y_true"] == b["y_pred"]).to_numpy()
    result = mcnemar(a, b)
    assert (result.only_first, result.only_second) == ((right_a & ~right_b).sum(), (~right_a & right_b).sum())
    assert result.p_value == pytest.approx(
        2 * stats.binom.cdf(result.only_second, result.only_first + result.only_second, 0.5)
    )
    assert mcnemar(a, a).p_value == 1


def test_seeds_are_not_more_clips_for_mcnemar(guesses: Guesses) -> None:
    with pytest.raises(ValueError, match="one prediction per clip"):
        mcnemar(guesses(seeds=2), guesses(seeds=2))


def test_unknown_metrics_and_uneven_seeds_are_refused(guesses: Guesses) -> None:
    with pytest.raises(ValueError, match="'f2' is unknown"):
        bootstrap(guesses(), K, "f2")
    with pytest.raises(ValueError, match="toy/s1 has a different number of clips"):
        uneven = guesses(seeds=2)
        bootstrap(uneven.drop(uneven[(uneven["subject"] == "toy/s1") & (uneven["seed"] == 1)].index), K)


def test_the_mean_of_clips_has_an_interval_over_subjects() -> None:
    """Ten clips of a person that are all alike say as much as one."""
    rng = np.random.default_rng(0)
    person = rng.normal(size=20)
    many = pd.Series(np.repeat(person, 10))
    subjects = pd.Series(np.repeat(np.arange(20), 10))
    wide, one = mean_interval(many, subjects), mean_interval(pd.Series(person), pd.Series(np.arange(20)))
    assert (wide.value, wide.low, wide.high) == pytest.approx((one.value, one.low, one.high))
    assert wide.low < person.mean() < wide.high
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * person.std() / np.sqrt(20), rel=0.15)
    with pytest.raises(ValueError, match="undefined"):
        mean_interval(pd.Series([1.0, np.nan]), pd.Series(["a", "b"]))
