"""The page of ``mer limits``: what is found of painted movements, as curves and tables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from dynamic_images.inspection.pages import page_environment
from experiments.limits import smallest, summary, units_right

PAGE, TABLE, TRIALS = "limits.html", "limits.csv", "trials.csv"
COLOURS = ("#111827", "#1d4ed8", "#0d9488", "#c2410c", "#b91c1c", "#7c3aed", "#6b7280")


def render(found: pd.DataFrame, seconds: str) -> str:
    """The page as HTML, self-contained.

    Args:
        found: of `experiments.limits.trials`.
        seconds: what was painted, in words.
    """
    table = summary(found)
    return (
        page_environment(Path(__file__).parent / "templates")
        .get_template("limits.html")
        .render(
            about=seconds,
            people=[
                {
                    "name": str(person),
                    "curves": Markup(_curves(part)),
                    "rows": _records(part),
                    "smallest": _records(smallest(part)),
                }
                for person, part in table.groupby("person", sort=False)
            ],
            units=_records(units_right(found)),
            trials=len(found.drop_duplicates(["person", "condition", "amplitude", "clip"])),
        )
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _curves(part: pd.DataFrame) -> str:
    """Share found, error, direction and apex over true displacement, a line per condition, as SVG."""
    figure = Figure(figsize=(10, 5.6), facecolor="white")
    axes = figure.subplots(2, 2)
    for colour, (condition, one) in zip(COLOURS, part.groupby("condition", sort=False), strict=False):
        x = one["true_px"]
        axes[0, 0].plot(x, one["found"], "o-", color=colour, label=condition, markersize=3.5)
        axes[0, 0].fill_between(x, one["found_low"], one["found_high"], color=colour, alpha=0.08, linewidth=0)
        axes[0, 1].errorbar(x, one["error_px"], 2 * one["error_se"].fillna(0), color=colour, marker="o", markersize=3.5)
        axes[1, 0].plot(x, one["direction_degrees"], "o-", color=colour, markersize=3.5)
        axes[1, 1].plot(x, one["apex_ms"], "o-", color=colour, markersize=3.5)
    top = float(part["true_px"].max())
    axes[0, 1].plot([0, top], [0, top], ":", color="#6b7280")
    titles = (
        "share found at 5 % false alarms",
        "error of the displacement, px (dotted: answer 0)",
        "error of the direction, degrees (median)",
        "error of the peak, ms (median)",
    )
    for one, title in zip(axes.ravel(), titles, strict=True):
        one.set_title(title, fontsize=9, loc="left")
        one.tick_params(labelsize=8)
        one.spines[["top", "right"]].set_visible(False)
        one.set(xlim=(0, None), ylim=(0, None))
    axes[0, 0].set_ylim(0, 1.02)
    for one in axes[1]:
        one.set_xlabel("true displacement of the region, px of the recording", fontsize=8.5)
    figure.legend(loc="lower center", ncol=4, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
