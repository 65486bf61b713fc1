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

from experiments.scoring.label_sets import SetLabels

Counts = NDArray[np.float64]
"""(..., K, K) number of clips, [true class, predicted class]."""
Tally = NDArray[np.float64]
"""(..., 3, K) number of clips of each class: right, of it, predicted as it. All that scores need of a matrix: with K
classes it is 3 K numbers and not K x K, so that many subjects with many classes fit into memory. Of `SetLabels` (L
names) K is L + 1: the last column counts clips whose whole set is right, and twice all clips."""
Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of a table and columns of a tally: what is counted, one by one."""
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
SET_METRICS: dict[str, Metric] = {
    "accuracy": lambda tallies: accuracy(tallies[..., -1:]),
    "uf1": lambda tallies: uf1(tallies[..., :-1]),
    "uar": lambda tallies: uar(tallies[..., :-1]),
}
"""The same of tallies of `SetLabels`."""
SET_MEASURES = {"accuracy": "Exact sets", "uf1": "Macro F1", "uar": "Mean recall"}


def metrics_of(classes: Sequence[str]) -> dict[str, Metric]:
    """`METRICS`, or `SET_METRICS` where a clip may have several labels."""
    return SET_METRICS if isinstance(classes, SetLabels) else METRICS


def by_class(tallies: Tally, classes: Sequence[str]) -> Tally:
    """The columns of a tally that belong to classes, (..., 3, K)."""
    return tallies[..., : len(classes)]


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
    places, width = tally_places(table, classes)
    seed, seeds = pd.factorize(table["seed"], sort=True)
    found = np.zeros((len(seeds), 3, width))
    for which, (rows, columns) in enumerate(places):
        np.add.at(found[:, which], (seed[rows], columns), 1)
    return [int(seed) for seed in seeds], found


def tally_places(predictions: pd.DataFrame, classes: Sequence[str]) -> tuple[tuple[Places, Places, Places], int]:
    """What a tally counts (right, of a class, predicted as it), and its number of columns.

    Raises:
        ValueError: as `confusion`, or what `SetLabels.members` refuses.
    """
    if not isinstance(classes, SetLabels):
        true, predicted = class_codes(predictions, classes)
        rows, right = np.arange(len(true)), true == predicted
        return ((rows[right], true[right]), (rows, true), (rows, predicted)), len(classes)
    if predictions.empty:
        raise ValueError("there are no predictions to score")
    has, said = (classes.members(predictions[column]) for column in ("y_true", "y_pred"))  # (N, L) each
    exact, every = (has == said).all(axis=1), np.ones(len(has), bool)
    parts = ((has & said, exact), (has, every), (said, every))
    a, b, c = (np.nonzero(np.column_stack(part)) for part in parts)
    return ((a[0], a[1]), (b[0], b[1]), (c[0], c[1])), len(classes) + 1


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
    """All scores of a pooled prediction table (`tallies_by_seed` says what it must look like).

    Of `SetLabels` there is no confusion matrix.
    """
    seeds, counts = tallies_by_seed(predictions, classes)  # (R, 3, K)
    matrix = () if isinstance(classes, SetLabels) else confusion(predictions, classes) / len(seeds)
    per_seed = {name: metric(counts) for name, metric in metrics_of(classes).items()}
    counts = by_class(counts, classes)
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
