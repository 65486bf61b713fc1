"""Calibration of probabilities: reliability diagram and expected calibration error.

Reliability diagram and expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017, arXiv:1706.04599)
from pooled predictions. With a hundred clips the error of a *perfectly* calibrated network is not zero, since the
share of right predictions in a bin scatters; ours is to state, beside the error, what such a network would score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
DRAWS = 1000


def calibration(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any] | None:
    """Calibration of a pooled prediction table, as ``metrics.json`` holds it.

    Args:
        predictions: with ``seed``, ``y_true``, ``y_pred`` and ``p_<class>`` for all classes.
        classes: the fixed class list.

    Returns:
        None without probabilities. Else ``bins`` (`BINS` of equal width: ``low, high, predictions, confidence,
        accuracy``, the last two None where empty; over all seeds), ``predictions``, ``clips``, ``confidence`` and
        ``accuracy`` (means), ``ece`` (mean of the seeds' own errors), and ``perfect``: mean and 95th percentile of
        that same number over `DRAWS` draws in which each prediction is right with the probability that it states.
    """
    columns = [f"p_{name}" for name in classes]
    if any(name not in predictions for name in columns):
        return None
    table = predictions.sort_values(["seed", "clip_id"], kind="stable")
    given = dict(zip(classes, table[columns].to_numpy().T, strict=True))
    stated = np.array([given[name][i] for i, name in enumerate(table["y_pred"])])  # (N,) of the predicted class
    right = (table["y_pred"] == table["y_true"]).to_numpy(np.float64)
    place = np.clip(np.ceil(stated * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high]
    seeds, _ = pd.factorize(table["seed"])
    cell = seeds * BINS + place  # one bin of one seed
    random = np.random.default_rng(0)
    draws = [_error(cell, stated, random.random(len(stated)) < stated) for _ in range(DRAWS)]
    return {
        "bins": [_bin(k, stated[place == k], right[place == k]) for k in range(BINS)],
        "predictions": len(table),
        "clips": int(table["clip_id"].nunique()),
        "confidence": float(stated.mean()),
        "accuracy": float(right.mean()),
        "ece": _error(cell, stated, right),
        "perfect": {"mean": float(np.mean(draws)), "high": float(np.percentile(draws, 95)), "draws": DRAWS},
    }


def _error(cell: NDArray[np.intp], stated: NDArray[np.float64], right: NDArray[Any]) -> float:
    """Sum over bins of |share right - mean confidence| times the bin's share; seeds of equal size weigh the same."""
    return float(np.abs(np.bincount(cell, 1.0 * right - stated)).sum() / len(stated))


def _bin(k: int, stated: NDArray[np.float64], right: NDArray[Any]) -> dict[str, Any]:
    means = {"confidence": float(stated.mean()), "accuracy": float(right.mean())} if len(stated) else {}
    empty = {"confidence": None, "accuracy": None}
    return {"low": k / BINS, "high": (k + 1) / BINS, "predictions": len(stated), **empty, **means}
