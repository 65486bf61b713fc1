"""One answer of several seeds: the mean of their probabilities. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.scoring.label_sets import SetLabels
from preprocessing.datasets.label_sets import PRESENT, set_text


def seed_average(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame | None:
    """The predictions of networks that differ in their seed alone, asked together.

    Args:
        predictions: ``clip_id, subject, fold, seed, y_true, y_pred`` and ``p_<class>`` for all classes.
        classes: K names; of equally probable ones the first is answered. Of `SetLabels` all are that are as probable
            as not.

    Returns:
        The same columns, one row per clip with seed 0; None with one seed or without probabilities, where there is
        nothing to average.
    """
    columns = [f"p_{name}" for name in classes]
    if predictions["seed"].nunique() < 2 or any(name not in predictions for name in columns):
        return None
    by_clip = predictions.groupby("clip_id", sort=True)
    means = by_clip[columns].mean()
    kept = ["subject", "fold", *(["split"] if "split" in predictions else []), "y_true"]
    facts = by_clip[kept].first()
    if isinstance(classes, SetLabels):
        answers = [set_text(n for n, p in zip(classes, row, strict=True) if p >= PRESENT) for row in means.to_numpy()]
    else:
        answers = [classes[k] for k in means.to_numpy().argmax(axis=1)]
    table = facts.assign(seed=0, y_pred=answers).join(means).reset_index()
    return table[["clip_id", "subject", "fold", "seed", *kept[2:], "y_pred", *columns]]
