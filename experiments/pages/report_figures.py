"""The figures of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from experiments.pages.figures import ACCENT, QUIET, figure


def forest(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str], measure: str = "UF1") -> Markup:
    """Each system's UF1 with its interval; ``measure`` is what it is called."""
    title = f"{measure} of each system with its interval over subjects"
    with figure(title, height=0.55 + 0.36 * len(rows)) as (ax, out):
        for y, row in enumerate(rows):
            uf1, color = row["uf1"], ACCENT if y == 0 else QUIET
            if uf1["value"] is not None:
                ax.plot([uf1["low"], uf1["high"]], [y, y], color=color, linewidth=2, solid_capstyle="butt")
                ax.plot(uf1["value"], y, "o", color=color, markersize=6)
        names = [labels.get(row["system"], row["system"]).split(":")[0] for row in rows]
        ax.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5), xlim=(-0.02, 1.02))
        ax.set_xlabel(f"{measure} (0 to 1), 95 % interval over subjects", loc="right")  # centred, it may be cut
    return out[0]


def learning_curves(histories: Mapping[str, pd.DataFrame]) -> dict[str, Markup]:
    """Training loss and accuracy of all folds, thin, with their median."""
    wanted = {"loss": "training loss (nats)", "accuracy": "accuracy on training clips"}
    figures = {}
    for column, label in wanted.items():
        curves = [h for h in histories.values() if column in h]
        if not curves:
            continue
        with figure(f"Learning curves of {len(curves)} folds: {label} by epoch") as (ax, out):
            for curve in curves:
                ax.plot(curve["epoch"], curve[column], color=QUIET, linewidth=0.6, alpha=0.6)
            median = pd.concat(curves).groupby("epoch")[column].median()
            ax.plot(median.index, median, color=ACCENT, linewidth=2, label="median")
            ax.set(xlabel="epoch", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.legend(frameon=False)
        figures[column] = out[0]
    return figures


def gate_histogram(weights: pd.Series, title: str, y_true: pd.Series, classes: Sequence[str]) -> Markup:
    """Gate weight of an input: a histogram of each class, scaled to its own peak, the mean marked."""
    with figure(f"Gate weight of {title} for every clip, by class", height=0.9 + 0.4 * len(classes)) as (ax, out):
        bins = np.linspace(0, 1, 41)
        for y, name in enumerate(classes):
            values = weights[y_true == name].to_numpy()
            heights, _ = np.histogram(values, bins)
            ax.stairs(-y + 0.8 * heights / max(1, heights.max()), bins, baseline=-y, fill=True, color=QUIET)
            if len(values):
                ax.plot([values.mean()] * 2, [-y, -y + 0.85], color=ACCENT, linewidth=2)
        ax.set(
            yticks=[-y for y in range(len(classes))], yticklabels=classes, xlim=(0, 1), ylim=(-len(classes) + 0.9, 1)
        )
        ax.set_xlabel(f"gate weight of {title} (0 to 1)")
    return out[0]


def reliability(calibration: Mapping[str, Any]) -> Markup:
    """Share that is right by confidence, one dot per bin, its area the number of predictions; the diagonal is ideal."""
    title = f"Reliability diagram: share of right predictions by confidence, {calibration['predictions']} predictions"
    with figure(title, width=3.6, height=3.3) as (ax, out):
        ax.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
        bins = [b for b in calibration["bins"] if b["predictions"]]
        most = max((b["predictions"] for b in bins), default=1)
        x, y = ([b[name] for b in bins] for name in ("confidence", "accuracy"))
        ax.vlines(x, x, y, color=ACCENT, linewidth=1.5)
        ax.scatter(x, y, s=[12 + 110 * b["predictions"] / most for b in bins], color=ACCENT, zorder=2, clip_on=False)
        ax.set(
            xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="probability of the predicted class", ylabel="share that is right"
        )
    return out[0]
