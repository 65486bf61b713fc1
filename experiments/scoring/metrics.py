"""Scores of pooled predictions: accuracy, UF1, UAR, confusion matrix, per-class rows.

Scores are computed once from all clips of a protocol, never averaged over folds: the F1 of a fold in which a class
does not occur is undefined, and every way to fill that hole changes the result. Several seeds are several
measurements on the *same* clips: each gives its own scores, and these are averaged.

An undefined value is n/a (NaN in arrays, None in records), is left out of the mean over classes, and is reported by
`Scores.undefined`; it is never 0 and never dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""(..., K, K) number of clips, [true class, predicted class]."""
Tally = NDArray[np.float64]
"""(..., 3, K) number of clips of each class: right, of it, predicted as it. All that scores need of a matrix: with K
classes it is 3 K numbers and not K x K, so that many subjects with many classes fit into memory."""
Metric = Callable[[Tally], NDArray[np.float64]]
"""Tallies (..., 3, K) to scores (...)."""


@dataclass(frozen=True)
class ClassScore:
    """One class: number of clips that are of it, and its scores; None is n/a."""

    name: str
    clips: float
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """Scores of one prediction table, averaged over its seeds.

    Attributes:
        accuracy, uf1, uar: means over seeds; None is n/a.
        confusion: ``K x K`` counts per seed (mean over seeds), ``[true][predicted]``.
        classes: one row per class; ``clips`` counts clips, not predictions.
        undefined: which values are n/a and what was left out of a mean, in words; empty when nothing was.
        by_seed: ``{"seed", "accuracy", "uf1", "uar"}`` for each seed.
    """

    accuracy: float | None
    uf1: float | None
    uar: float | None
    confusion: tuple[tuple[float, ...], ...]
    classes: tuple[ClassScore, ...]
    undefined: tuple[str, ...]
    by_seed: tuple[dict[str, float | None], ...]


def tally(counts: Counts) -> Tally:
    """Confusion matrices (..., K, K) to tallies (..., 3, K)."""
    counts = np.asarray(counts, np.float64)
    return np.stack([np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)], axis=-2)


def accuracy(tallies: Tally) -> NDArray[np.float64]:
    """Share of clips that are right, ``(...)``; NaN without clips."""
    return _ratio(tallies[..., 0, :].sum(-1), tallies[..., 1, :].sum(-1))


def precision(tallies: Tally) -> NDArray[np.float64]:
    """TP / (TP + FP) per class, ``(..., K)``; NaN for a class that is never predicted."""
    return _ratio(tallies[..., 0, :], tallies[..., 2, :])


def recall(tallies: Tally) -> NDArray[np.float64]:
    """TP / (TP + FN) per class, ``(..., K)``; NaN for a class without clips."""
    return _ratio(tallies[..., 0, :], tallies[..., 1, :])


def f1(tallies: Tally) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) per class, ``(..., K)``; NaN only for a class neither there nor predicted."""
    return _ratio(2 * tallies[..., 0, :], tallies[..., 1, :] + tallies[..., 2, :])


def uf1(tallies: Tally) -> NDArray[np.float64]:
    """Unweighted F1 (macro F1): mean of `f1` over the fixed class list, undefined classes left out."""
    return _mean_defined(f1(tallies))


def uar(tallies: Tally) -> NDArray[np.float64]:
    """Unweighted average recall: mean of `recall` over the fixed class list, undefined classes left out.

    This is recall. Macro *precision* has been printed under this name (see the project's method notes).
    """
    return _mean_defined(recall(tallies))


METRICS: dict[str, Metric] = {"accuracy": accuracy, "uf1": uf1, "uar": uar}
MEASURES = {"accuracy": "Accuracy", "uf1": "UF1", "uar": "UAR"}
"""What each of `METRICS` is called in tables."""


def confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """Confusion matrix ``(K, K)`` of a table with columns ``y_true`` and ``y_pred``, ``[true, predicted]``.

    Raises:
        ValueError: a label is not in ``classes``, or the table is empty.
    """
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, class_codes(predictions, classes), 1)
    return counts


def tallies_by_seed(predictions: pd.DataFrame, classes: Sequence[str]) -> tuple[list[int], Tally]:
    """The R seeds, ascending, and their tallies ``(R, 3, K)``; without a ``seed`` column one seed, 0.

    Raises:
        ValueError: as `confusion`, or a clip has two predictions under one seed.
    """
    table = with_seed(predictions)
    true, predicted = class_codes(table, classes)
    rows, seeds = pd.factorize(table["seed"], sort=True)
    found = np.zeros((len(seeds), 3, len(classes)))
    for place, code in enumerate((true, true, predicted)):
        np.add.at(found[:, place], (rows, code), true == predicted if place == 0 else 1)
    return [int(seed) for seed in seeds], found


def class_codes(predictions: pd.DataFrame, classes: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Place of every row's true and predicted class in ``classes``, each (N,).

    Raises:
        ValueError: as `confusion`.
    """
    if predictions.empty:
        raise ValueError("there are no predictions to score")
    codes = []
    for column in ("y_true", "y_pred"):
        code = pd.Index(list(classes)).get_indexer(pd.Index(predictions[column]))
        if (code < 0).any():
            raise ValueError(f"{column} holds {predictions[column][code < 0].iloc[0]!r}, not in {', '.join(classes)}")
        codes.append(code)
    return codes[0], codes[1]


def with_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table with a ``seed`` column (0 where there was none), each clip once under each seed or refused."""
    table = predictions if "seed" in predictions else predictions.assign(seed=0)
    if "clip_id" in table:
        twice = table.loc[table.duplicated(["seed", "clip_id"]), "clip_id"]
        if len(twice):
            raise ValueError(f"{twice.iloc[0]} has more than one prediction under one seed")
    return table


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Scores:
    """All scores of a pooled prediction table (`tallies_by_seed` says what it must look like)."""
    seeds, counts = tallies_by_seed(predictions, classes)  # (R, 3, K)
    matrix = confusion(predictions, classes) / len(seeds)
    per_seed = {name: metric(counts) for name, metric in METRICS.items()}
    columns = {"precision": precision(counts), "recall": recall(counts), "f1": f1(counts)}  # each (R, K)
    means = {name: _mean_defined(values.T) for name, values in columns.items()}
    rows = tuple(
        ClassScore(name, float(counts[:, 1, k].mean()), *(_or_none(means[m][k]) for m in ("precision", "recall", "f1")))
        for k, name in enumerate(classes)
    )
    overall = {name: _or_none(values.mean()) for name, values in per_seed.items()}
    return Scores(
        accuracy=overall["accuracy"],
        uf1=overall["uf1"],
        uar=overall["uar"],
        confusion=tuple(tuple(float(v) for v in row) for row in matrix),
        classes=rows,
        undefined=_undefined(counts, classes),
        by_seed=tuple(
            {"seed": seed, **{name: _or_none(values[r]) for name, values in per_seed.items()}}
            for r, seed in enumerate(seeds)
        ),
    )


def _undefined(counts: Tally, classes: Sequence[str]) -> tuple[str, ...]:
    found = []
    for k, name in enumerate(classes):
        unseen = int((counts[:, 2, k] == 0).sum())
        seeds = f"in {unseen} of {len(counts)} seeds" if unseen < len(counts) else "in any seed"
        if not counts[:, 1, k].any():
            what = "recall is n/a" + (f", F1 also where it is not predicted ({seeds})" if unseen else "")
            found.append(f"no clip is of class {name!r}: its {what}; left out of the mean over classes")
        elif unseen:
            found.append(f"class {name!r} is not predicted {seeds}: its precision there is n/a")
    return tuple(found)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis without NaN entries; NaN where all are."""
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0.0).sum(-1), there.sum(-1))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
