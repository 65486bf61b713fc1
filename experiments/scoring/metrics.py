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
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""(..., K, K) number of clips, [true class, predicted class]."""
Metric = Callable[[Counts], NDArray[np.float64]]
"""Confusion matrices (..., K, K) to scores (...)."""


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


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Share of clips that are right, ``(...)``; NaN without clips."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1)))


def precision(counts: Counts) -> NDArray[np.float64]:
    """TP / (TP + FP) per class, ``(..., K)``; NaN for a class that is never predicted."""
    return _ratio(_hits(counts), counts.sum(-2))


def recall(counts: Counts) -> NDArray[np.float64]:
    """TP / (TP + FN) per class, ``(..., K)``; NaN for a class without clips."""
    return _ratio(_hits(counts), counts.sum(-1))


def f1(counts: Counts) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) per class, ``(..., K)``; NaN only for a class neither there nor predicted."""
    return _ratio(2 * _hits(counts), counts.sum(-1) + counts.sum(-2))


def uf1(counts: Counts) -> NDArray[np.float64]:
    """Unweighted F1 (macro F1): mean of `f1` over the fixed class list, undefined classes left out."""
    return _mean_defined(f1(counts))


def uar(counts: Counts) -> NDArray[np.float64]:
    """Unweighted average recall: mean of `recall` over the fixed class list, undefined classes left out.

    This is recall. Macro *precision* has been printed under this name (see the project's method notes).
    """
    return _mean_defined(recall(counts))


METRICS: dict[str, Metric] = {"accuracy": accuracy, "uf1": uf1, "uar": uar}
MEASURES = {"accuracy": "Accuracy", "uf1": "UF1", "uar": "UAR"}
"""What each of `METRICS` is called in tables."""


def confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """Confusion matrix ``(K, K)`` of a table with columns ``y_true`` and ``y_pred``, ``[true, predicted]``.

    Raises:
        ValueError: a label is not in ``classes``, or the table is empty.
    """
    return confusions(predictions, classes, [])[1]


def confusion_by_seed(predictions: pd.DataFrame, classes: Sequence[str]) -> tuple[list[int], NDArray[np.int64]]:
    """The R seeds, ascending, and their confusion matrices ``(R, K, K)``; without a ``seed`` column one seed, 0.

    Raises:
        ValueError: as `confusion`, or a clip has two predictions under one seed.
    """
    (seeds,), counts = confusions(with_seed(predictions), classes, ["seed"])
    return [int(seed) for seed in seeds], counts


def confusions(
    predictions: pd.DataFrame, classes: Sequence[str], by: Sequence[str]
) -> tuple[list[list[Any]], NDArray[np.int64]]:
    """Confusion matrices of all groups: the sorted values of each column of ``by`` and counts ``(..., K, K)``."""
    if predictions.empty:
        raise ValueError("there are no predictions to score")
    names, codes = [], []
    for column in by:
        code, values = pd.factorize(predictions[column], sort=True)
        names.append(list(values))
        codes.append(code)
    for column in ("y_true", "y_pred"):
        code = pd.Index(list(classes)).get_indexer(pd.Index(predictions[column]))
        if (code < 0).any():
            raise ValueError(f"{column} holds {predictions[column][code < 0].iloc[0]!r}, not in {', '.join(classes)}")
        codes.append(code)
    counts = np.zeros((*map(len, names), len(classes), len(classes)), np.int64)
    np.add.at(counts, tuple(codes), 1)
    return names, counts


def with_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table with a ``seed`` column (0 where there was none), each clip once under each seed or refused."""
    table = predictions if "seed" in predictions else predictions.assign(seed=0)
    if "clip_id" in table:
        twice = table.loc[table.duplicated(["seed", "clip_id"]), "clip_id"]
        if len(twice):
            raise ValueError(f"{twice.iloc[0]} has more than one prediction under one seed")
    return table


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Scores:
    """All scores of a pooled prediction table (`confusion_by_seed` says what it must look like)."""
    seeds, by_seed = confusion_by_seed(predictions, classes)
    counts = by_seed.astype(np.float64)  # (R, K, K)
    per_seed = {name: metric(counts) for name, metric in METRICS.items()}
    columns = {"precision": precision(counts), "recall": recall(counts), "f1": f1(counts)}  # each (R, K)
    means = {name: _mean_defined(values.T) for name, values in columns.items()}
    rows = tuple(
        ClassScore(
            name, float(counts[:, k].sum(-1).mean()), *(_or_none(means[m][k]) for m in ("precision", "recall", "f1"))
        )
        for k, name in enumerate(classes)
    )
    overall = {name: _or_none(values.mean()) for name, values in per_seed.items()}
    return Scores(
        accuracy=overall["accuracy"],
        uf1=overall["uf1"],
        uar=overall["uar"],
        confusion=tuple(tuple(float(v) for v in row) for row in counts.mean(0)),
        classes=rows,
        undefined=_undefined(counts, classes),
        by_seed=tuple(
            {"seed": seed, **{name: _or_none(values[r]) for name, values in per_seed.items()}}
            for r, seed in enumerate(seeds)
        ),
    )


def _undefined(counts: Counts, classes: Sequence[str]) -> tuple[str, ...]:
    found = []
    for k, name in enumerate(classes):
        unseen = int((counts[:, :, k].sum(-1) == 0).sum())
        seeds = f"in {unseen} of {len(counts)} seeds" if unseen < len(counts) else "in any seed"
        if not counts[:, k].sum():
            what = "recall is n/a" + (f", F1 also where it is not predicted ({seeds})" if unseen else "")
            found.append(f"no clip is of class {name!r}: its {what}; left out of the mean over classes")
        elif unseen:
            found.append(f"class {name!r} is not predicted {seeds}: its precision there is n/a")
    return tuple(found)


def _hits(counts: Counts) -> Counts:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis without NaN entries; NaN where all are."""
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0.0).sum(-1), there.sum(-1))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
