"""Intervals and tests of scores: bootstrap over subjects, paired differences, McNemar's test.

Clips of one person resemble each other, so the unit that is resampled is the subject. Scores are recomputed from the
pooled clips of each resample through per-subject confusion matrices, which add up: 2000 resamples are one matrix
product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from experiments.scoring.metrics import METRICS, Counts, Metric, confusions, f1, recall, with_seed

RESAMPLES = 2000
LEVEL = 0.95


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


def subject_confusions(predictions: pd.DataFrame, classes: Sequence[str]) -> tuple[list[str], Counts]:
    """Confusion matrix of each seed and subject.

    Args:
        predictions: columns ``clip_id, subject, y_true, y_pred`` and, for several seeds, ``seed``.
        classes: the fixed class list, K names.

    Returns:
        The S subjects, sorted, and counts ``(R, S, K, K)`` for R seeds.

    Raises:
        ValueError: a seed lacks a clip, or what `confusion_by_seed` refuses.
    """
    (_, subjects), counts = confusions(with_seed(predictions), classes, ["seed", "subject"])
    clips = counts.sum((2, 3))  # (R, S)
    if (clips != clips[0]).any():
        subject = subjects[int(np.argmax((clips != clips[0]).any(0)))]
        raise ValueError(f"{subject} has a different number of clips under different seeds, wanted the same clips")
    return [str(subject) for subject in subjects], counts.astype(np.float64)


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
        ValueError: an unknown metric, or a table that `subject_confusions` refuses.
    """
    _, counts = subject_confusions(predictions, classes)
    score = _metric(metric)
    pooled = _resample(_weights(counts.shape[1], resamples, seed), counts)
    left_out = _resample(1 - np.eye(counts.shape[1]), counts)
    value = float(score(counts.sum(1)).mean())
    low, high = bca(value, score(pooled).mean(-1), score(left_out).mean(-1), level)
    return Interval(value, low, high, level, counts.shape[1], resamples, _incomplete(pooled, metric))


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
    check_same_clips(first, second)
    score = _metric(metric)
    (_, a), (_, b) = subject_confusions(first, classes), subject_confusions(second, classes)
    weights, without_one = _weights(a.shape[1], resamples, seed), 1 - np.eye(a.shape[1])
    pooled_a, pooled_b = _resample(weights, a), _resample(weights, b)
    value = float(score(a.sum(1)).mean() - score(b.sum(1)).mean())
    left_out = score(_resample(without_one, a)).mean(-1) - score(_resample(without_one, b)).mean(-1)
    low, high = bca(value, score(pooled_a).mean(-1) - score(pooled_b).mean(-1), left_out, level)
    incomplete = max(_incomplete(pooled_a, metric), _incomplete(pooled_b, metric))
    return Interval(value, low, high, level, a.shape[1], resamples, incomplete)


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
    weights, without_one = _weights(len(sums), resamples, seed=0), 1 - np.eye(len(sums))
    if len(sums) < 2:
        return Interval(value, float("nan"), float("nan"), level, len(sums), resamples, 0.0)
    left_out = (without_one @ sums) / (without_one @ counts)
    low, high = bca(value, (weights @ sums) / (weights @ counts), left_out, level)
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


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise ValueError(f"metric {name!r} is unknown, wanted one of {', '.join(METRICS)}")
    return METRICS[name]


def _weights(subjects: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each subject is drawn in each resample, (B, S)."""
    draws = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)
    return draws.astype(np.float64)


def _resample(weights: NDArray[np.float64], counts: Counts) -> Counts:
    """(B, S) and (R, S, K, K) to pooled counts (B, R, K, K)."""
    return np.tensordot(weights, counts, axes=(1, 1))


def _incomplete(pooled: Counts, metric: str) -> float:
    """Share of resamples in which a class was left out, for any seed."""
    if metric == "accuracy":
        return 0.0
    per_class = f1(pooled) if metric == "uf1" else recall(pooled)
    return float(np.isnan(per_class).any((-2, -1)).mean())
