"""Intervals and tests of scores: bootstrap over subjects, paired differences, McNemar's test.

Clips of one person resemble each other, so the unit that is resampled is the subject. Scores are recomputed from the
pooled clips of each resample through per-subject tallies, which add up: many resamples are one matrix product. They are
taken block by block, so that memory does not grow with the number of resamples times that of subjects or classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binomtest, norm

from experiments.scoring.metrics import (
    METRICS,
    Metric,
    Tally,
    by_class,
    f1,
    metrics_of,
    recall,
    tally_places,
    with_seed,
)

RESAMPLES = 2000
LEVEL = 0.95
MOST_UNDEFINED = 0.05
"""Share of resamples in which the F1 of a class may be undefined, so that the others still make an interval."""
CELLS = 1 << 22
"""Numbers of a block of resamples: 32 MB each time they are written down."""


@dataclass(frozen=True)
class Interval:
    """A score with its bootstrap interval.

    Attributes:
        value: the score on the clips as they are.
        low, high: the BCa interval, see `bootstrap`.
        level: coverage that is aimed at, 0.95 for 95 %. With a dozen subjects it covers about 90 %, with 25 about
            94 % (measured: ``tests/experiments/test_statistics.py``).
        subjects, resamples: what it stands on.
        incomplete: share of resamples in which a class did not occur at all and was left out of the mean.
    """

    value: float
    low: float
    high: float
    level: float
    subjects: int
    resamples: int
    incomplete: float


@dataclass(frozen=True)
class McNemar:
    """Clips that only the first, only the second system has right, and the exact two-sided p value."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class SubjectTallies:
    """What each subject's clips add to the score.

    Attributes:
        subjects: S names, sorted.
        rows: (S, R * 3 * K) counts of R seeds and K classes.
        shape: (R, 3, K), see `experiments.scoring.metrics.Tally`.
        classes: the fixed class list.
    """

    subjects: tuple[str, ...]
    rows: csr_array
    shape: tuple[int, int, int]
    classes: Sequence[str]

    def total(self) -> Tally:
        """(R, 3, K) over all subjects."""
        return np.asarray(self.rows.sum(axis=0), np.float64).reshape(self.shape)

    def pooled(self, weights: NDArray[np.float64]) -> Tally:
        """(B, R, 3, K) of resamples that draw each subject as often as ``weights`` (B, S) say."""
        return np.asarray(weights @ self.rows).reshape(len(weights), *self.shape)

    def left_out(self, size: int) -> Iterator[Tally]:
        """(b, R, 3, K) without one subject at a time, in order, ``size`` of them in a block."""
        total = self.total()
        for first in range(0, len(self.subjects), size):
            own = self.rows[first : first + size].toarray()
            yield total - own.reshape(len(own), *self.shape)


def subject_tallies(predictions: pd.DataFrame, classes: Sequence[str]) -> SubjectTallies:
    """Tallies of each seed and subject.

    Args:
        predictions: columns ``clip_id, subject, y_true, y_pred`` and, for several seeds, ``seed``.
        classes: the fixed class list, K names.

    Raises:
        ValueError: a seed lacks a clip, or what `metrics.tallies_by_seed` refuses.
    """
    table = with_seed(predictions)
    counted, width = tally_places(table, classes)
    subject, names = pd.factorize(table["subject"], sort=True)
    seed, seeds = pd.factorize(table["seed"], sort=True)
    clips = csr_array((np.ones(len(table)), (subject, seed)), shape=(len(names), len(seeds)))
    most, least = clips.max(axis=1).toarray(), clips.min(axis=1).toarray()
    if (most != least).any():
        uneven = names[int(np.argmax(most != least))]
        raise ValueError(f"{uneven} has a different number of clips under different seeds, wanted the same clips")
    shape = (len(seeds), 3, width)
    places = [
        np.ravel_multi_index((seed[at], np.full(len(at), which), column), shape)
        for which, (at, column) in enumerate(counted)
    ]
    clip = np.concatenate([at for at, _ in counted])
    at = (subject[clip], np.concatenate(places))
    rows = csr_array((np.ones(len(clip)), at), shape=(len(names), int(np.prod(shape))))
    return SubjectTallies(tuple(map(str, names)), rows, shape, classes)


def bootstrap(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    metric: str = "uf1",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """BCa interval of a score over resampled subjects (Efron, JASA 1987, doi:10.1080/01621459.1987.10478410).

    In each resample S subjects are drawn with replacement, their clips pooled, and the score taken for each seed and
    averaged over seeds: seeds are repeated measurements of the same people and do not narrow the interval as more
    people would. A class that does not occur in a resample is left out of that resample's mean, as in
    `experiments.scoring.metrics`; ``Interval.incomplete`` says how often that was.

    Macro F1 of a resample is biased downwards, since fewer different people make class frequencies more uneven; BCa
    corrects for that and for skew, where plain percentiles can leave the score itself near the edge.

    Raises:
        ValueError: an unknown metric, or a table that `subject_tallies` refuses.
    """
    return bootstraps(predictions, classes, (metric,), resamples, level, seed)[metric]


def bootstraps(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """`bootstrap` of several metrics by name, on the same resamples."""
    return _intervals([subject_tallies(predictions, classes)], metrics, resamples, level, seed)


def paired_difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    classes: Sequence[str],
    metric: str = "uf1",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of score(first) - score(second) on the same clips, the same subjects drawn for both.

    The tables may have different seeds and any row order; they are matched by ``clip_id``.

    Raises:
        ValueError: the tables do not hold the same clips with the same true labels.
    """
    return paired_differences(first, second, classes, (metric,), resamples, level, seed)[metric]


def paired_differences(
    first: pd.DataFrame,
    second: pd.DataFrame,
    classes: Sequence[str],
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """`paired_difference` of several metrics by name, on the same resamples."""
    check_same_clips(first, second)
    both = [subject_tallies(table, classes) for table in (first, second)]
    return _intervals(both, metrics, resamples, level, seed)


def _intervals(
    people: Sequence[SubjectTallies], metrics: Sequence[str], resamples: int, level: float, seed: int
) -> dict[str, Interval]:
    """Of the score of one table, or of that of the first minus that of the second."""
    known = metrics_of(people[0].classes)
    for name in metrics:
        if name not in known:
            raise ValueError(f"metric {name!r} is unknown, wanted one of {', '.join(known)}")
    count, width = len(people[0].subjects), sum(one.rows.shape[1] for one in people)
    resampled: list[list[NDArray[np.float64]]] = [[] for _ in metrics]
    incomplete = np.zeros((len(metrics), len(people)))
    for weights in _weights(count, resamples, seed, width):
        pooled = [one.pooled(weights) for one in people]
        for i, name in enumerate(metrics):
            resampled[i].append(_score(known[name], pooled))
            incomplete[i] += [_incomplete(by_class(one, people[0].classes), name) for one in pooled]
    left_out: list[list[NDArray[np.float64]]] = [[] for _ in metrics]
    for parts in zip(*(one.left_out(max(1, CELLS // width)) for one in people), strict=True):
        for i, name in enumerate(metrics):
            left_out[i].append(_score(known[name], parts))
    found = {}
    for i, name in enumerate(metrics):
        value = float(_score(known[name], [one.total() for one in people]))
        low, high = bca(value, np.concatenate(resampled[i]), np.concatenate(left_out[i]), level)
        found[name] = Interval(value, low, high, level, count, resamples, float(incomplete[i].max() / resamples))
    return found


def f1_intervals(
    predictions: pd.DataFrame, classes: Sequence[str], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> list[Interval]:
    """F1 of each class on its own with its BCa interval over subjects, in the order of ``classes``.

    Resamples in which the F1 of a class is undefined (nobody in them has it, nor is it predicted) are left out;
    ``Interval.incomplete`` is their share. Above `MOST_UNDEFINED` there is no interval.
    """
    people = subject_tallies(predictions, classes)

    def scores(tallies: Tally) -> NDArray[np.float64]:
        return f1(by_class(tallies, classes)).mean(axis=-2)  # (..., R, K) to (..., K)

    drawn = [scores(people.pooled(w)) for w in _weights(len(people.subjects), resamples, seed, people.rows.shape[1])]
    resampled = np.concatenate(drawn)  # (B, K)
    blocks = people.left_out(max(1, CELLS // people.rows.shape[1]))
    left_out = np.concatenate([scores(one) for one in blocks])  # (S, K)
    found = []
    for value, some, without in zip(scores(people.total()), resampled.T, left_out.T, strict=True):
        undefined = float(np.isnan(some).mean())
        kept = some[~np.isnan(some)] if undefined <= MOST_UNDEFINED else some
        low, high = bca(float(value), kept, without, level)
        found.append(Interval(float(value), low, high, level, len(people.subjects), resamples, undefined))
    return found


def _score(metric: Metric, tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """(..., R, 3, K) to (...): mean over seeds, of the first table minus the others'."""
    first, *others = (metric(one).mean(-1) for one in tallies)
    return np.asarray(first - others[0] if others else first)


def mean_interval(values: pd.Series, subjects: pd.Series, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """Mean of a number per clip (and seed) with its BCa interval over resampled subjects.

    Args:
        values: one per row, none missing.
        subjects: the subject of each row, the same index.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"the mean of {len(values)} values, of which some may not be finite, is undefined")
    groups = values.groupby(subjects)
    sums, counts = groups.sum().to_numpy(np.float64), groups.size().to_numpy(np.float64)
    value = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Interval(value, float("nan"), float("nan"), level, len(sums), resamples, 0.0)
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    drawn = [(weights @ sums) / (weights @ counts) for weights in _weights(len(sums), resamples, seed=0)]
    low, high = bca(value, np.concatenate(drawn), left_out, level)
    return Interval(value, low, high, level, len(sums), resamples, 0.0)


def bca(
    value: float, resampled: NDArray[np.float64], left_out: NDArray[np.float64], level: float = LEVEL
) -> tuple[float, float]:
    """Bias-corrected and accelerated interval: percentiles of the resampled values, shifted for bias and skew.

    Args:
        value: the statistic on the data as they are.
        resampled: ``(B,)``, on each bootstrap resample.
        left_out: ``(S,)``, on the data without one unit at a time (jackknife).
        level: coverage.

    Returns:
        The ends; ``(value, value)`` where nothing varies, NaN where the statistic is undefined somewhere.
    """
    if np.isnan(value) or np.isnan(resampled).any() or np.isnan(left_out).any():
        return float("nan"), float("nan")
    below = np.mean(resampled < value) + np.mean(resampled == value) / 2
    bias = norm.ppf(np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled)))
    steps = left_out.mean() - left_out
    squares = np.sum(steps**2)
    acceleration = np.sum(steps**3) / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    ends = norm.cdf(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-3))
    low, high = np.quantile(resampled, ends)
    return float(low), float(high)


def mcnemar(first: pd.DataFrame, second: pd.DataFrame) -> McNemar:
    """Exact McNemar test: do two systems differ in how many of the same clips they have right?

    It treats clips as independent, which clips of one subject are not: read it beside `paired_difference`.

    Raises:
        ValueError: the tables hold different clips, or a clip more than once (choose one seed first: several seeds
            are not more clips).
    """
    check_same_clips(first, second)
    for table in (first, second):
        if table["clip_id"].duplicated().any():
            raise ValueError("McNemar's test wants one prediction per clip; choose one seed of the table")
    joined = first.merge(second, on="clip_id", suffixes=("_first", "_second"), validate="one_to_one")
    right_first = (joined["y_pred_first"] == joined["y_true_first"]).to_numpy()
    right_second = (joined["y_pred_second"] == joined["y_true_second"]).to_numpy()
    only_first, only_second = int((right_first & ~right_second).sum()), int((~right_first & right_second).sum())
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p_value)


def check_same_clips(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Raise ValueError unless both tables hold the same clips, of the same subjects, with the same true labels."""
    truths = []
    for table in (first, second):
        truth = table[["clip_id", "subject", "y_true"]].drop_duplicates().sort_values("clip_id")
        truths.append(truth.set_index("clip_id"))
    a, b = truths
    only = sorted(set(a.index) ^ set(b.index))
    if only:
        raise ValueError(f"{len(only)} clips are in one table only, for example {only[0]}")
    if not a.equals(b):
        raise ValueError("the tables give different subjects or true labels to the same clips")


def _weights(subjects: int, resamples: int, seed: int, width: int = 1) -> Iterator[NDArray[np.float64]]:
    """How often each subject is drawn in each resample, (b, S) in blocks; a resample has ``width`` further numbers."""
    rng, size = np.random.default_rng(seed), max(1, CELLS // (subjects + width))
    for first in range(0, resamples, size):
        draws = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=min(size, resamples - first))
        yield draws.astype(np.float64)


def _incomplete(pooled: Tally, metric: str) -> int:
    """In how many resamples a class was left out, for any seed."""
    if metric == "accuracy":
        return 0
    per_class = f1(pooled) if metric == "uf1" else recall(pooled)
    return int(np.isnan(per_class).any((-2, -1)).sum())
