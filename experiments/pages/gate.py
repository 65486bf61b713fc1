"""Report section on the gate of a fusion network: its weights over clips, and whether they vary at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dynamic_images.inputs import INPUTS
from experiments.pages import report_figures
from experiments.runs.run import Run
from experiments.scoring.label_sets import one_row_per_label

STILL_GATE = 0.02
"""Standard deviation of a gate weight over clips below which the gate is called a bias."""


def facts(
    run: Run, about: Mapping[str, Any], predictions: pd.DataFrame, manifest: pd.DataFrame
) -> dict[str, Any] | None:
    """Gate weights: their spread over clips *within* one trained network, and by class; None without a gate."""
    streams = [c.removeprefix("gate_") for c in predictions.columns if c.startswith("gate_")]
    if not streams:
        return None
    gates = predictions[[f"gate_{s}" for s in streams]].set_axis(streams, axis=1)
    network = [predictions["seed"], predictions["fold"]]
    within = {s: float(np.sqrt(gates[s].groupby(network).var(ddof=0).mean())) for s in streams}
    classes = about["classes"]
    labelled = one_row_per_label(predictions) if about.get("sets") else predictions
    weights = labelled[[f"gate_{s}" for s in streams]].set_axis(streams, axis=1)
    by_class = [
        {"name": name, **{s: (float(rows[s].mean()), float(rows[s].std(ddof=0))) for s in streams}}
        for name in classes
        if len(rows := weights[labelled["y_true"] == name])
    ]
    shown = streams if len(streams) > 2 else streams[-1:]  # two weights sum to one: the second says it all
    return {
        "streams": streams,
        "titles": {s: titled(s) for s in streams},
        "mean": {s: float(gates[s].mean()) for s in streams},
        "spread": {s: float(gates[s].std(ddof=0)) for s in streams},
        "within": within,
        "still": max(within.values()) < STILL_GATE,
        "limit": STILL_GATE,
        "by_class": by_class,
        "figures": [
            report_figures.gate_histogram(labelled[f"gate_{s}"], titled(s), labelled["y_true"], classes) for s in shown
        ],
    }


def titled(name: str) -> str:
    """Title of an input; its name if it is not known here."""
    return INPUTS[name].title if name in INPUTS else name.replace("_", " ")
