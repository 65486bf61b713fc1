"""One answer of several seeds: the mean of their probabilities. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def seed_average(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame | None:
    """The predictions of networks that differ in their seed alone, asked together.

    Args:
        predictions: ``clip_id, subject, fold, seed, y_true, y_pred`` and ``p_<class>`` for all classes.
        classes: K names; of equally probable ones the first is answered.

    Returns:
        The same columns, one row per clip with seed 0; None with one seed or without probabilities, where there is
        nothing to average.
    """
    columns = [f"p_{name}" for name in classes]
    if predictions["seed"].nunique() < 2 or any(name not in predictions for name in columns):
        return None
    by_clip = predictions.groupby("clip_id", sort=True)
    means = by_clip[columns].mean()
    facts = by_clip[["subject", "fold", "y_true"]].first()
    answers = means.to_numpy().argmax(axis=1)
    table = facts.assign(seed=0, y_pred=[classes[k] for k in answers]).join(means).reset_index()
    return table[["clip_id", "subject", "fold", "seed", "y_true", "y_pred", *columns]]
