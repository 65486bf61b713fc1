"""Scores as tables for a terminal."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.scoring.metrics import MEASURES, METRICS, SET_MEASURES
from experiments.scoring.prediction_log import Assessment

MATRIX = 30
"""Classes of a confusion matrix that is still printed."""


def score_table(
    rows: Sequence[Mapping[str, Any]],
    caption: str,
    first: str = "system",
    counts: bool = False,
    measures: Mapping[str, str] = MEASURES,
) -> Table:
    """One line per row of `results.score_row`: score (low–high), and with ``counts`` what it stands on.

    ``measures``: what the scores are called.
    """
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False, caption=caption)
    for name in METRICS:
        table.add_column(measures[name], min_width=13)  # a score, and its interval beside or below it, whole
    for name in ("clips", "subjects") if counts else ():
        table.add_column(name, justify="right")
    for row in rows:
        stands_on = [str(row["clips"]), str(row["subjects"])] if counts else []
        table.add_row(escape(row["system"]), *(_interval(row[name]) for name in METRICS), *stands_on)
    return table


def print_scores(metrics: Mapping[str, Any], out: Console) -> None:
    """What `mer train` prints of ``metrics.json``: scores, those of each data set of several, and what is undefined."""
    measures = metrics.get("measures", MEASURES)
    out.print(score_table(metrics["rows"], "mean over seeds, 95 % interval over subjects", measures=measures))
    if "measures" in metrics:
        out.print(label_table(metrics["classes"]))
    for key, kind, words in (("datasets", "dataset", "data set"), ("splits", "split", "test set")):
        parts = [{**part["rows"][0], "system": part[kind]} for part in metrics.get(key, [])]
        if parts:
            caption = f"{metrics['rows'][0]['system']}, the same predictions by {words}"
            out.print(score_table(parts, caption, counts=True, measures=measures))
    for note in metrics["undefined"]:
        out.print(f"note: {note}", markup=False)


def label_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """F1 of each label on its own with its interval, where a clip may have several."""
    table = Table("label", "clips", "precision", "recall", "F1", box=SIMPLE_HEAD, pad_edge=False)
    table.caption = "F1 of “has it” for each label, 95 % interval over subjects"
    for row in rows:
        cells = (f"{row['clips']:g}", _number(row["precision"]), _number(row["recall"]), _interval(row["f1_interval"]))
        table.add_row(escape(row["name"]), *cells)
    return table


def tables(found: Assessment) -> Iterator[Table]:
    """What `mer score` prints: scores, classes, confusion matrix."""
    seeds = len(found.scores.by_seed)
    over = f"mean over {seeds} seeds, " if seeds > 1 else ""
    caption = f"{over}95 % BCa interval over subjects"
    if found.labels:
        yield score_table(found.rows, caption, "clips of", counts=True, measures=SET_MEASURES)
        yield label_table(found.labels)
        return
    yield score_table(found.rows, caption, "clips of", counts=True)
    classes = Table("class", "clips", "precision", "recall", "F1", box=SIMPLE_HEAD, pad_edge=False)
    classes.caption = f"mean precision {_number(found.macro_precision)}: it is no UAR, though printed as one before"
    for c in found.scores.classes:
        classes.add_row(escape(c.name), f"{c.clips:g}", *(_number(v) for v in (c.precision, c.recall, c.f1)))
    yield classes
    if len(found.classes) > MATRIX:
        yield _frequent(found)
        return
    matrix = Table("true \\ predicted", *(escape(name) for name in found.classes), box=SIMPLE_HEAD, pad_edge=False)
    matrix.caption = f"number of clips{', mean over seeds' if seeds > 1 else ''}"
    for name, counts in zip(found.classes, found.scores.confusion, strict=True):
        matrix.add_row(escape(name), *(f"{count:.4g}" for count in counts))
    yield matrix


def _frequent(found: Assessment) -> Table:
    """In the place of a matrix that no terminal could show."""
    table = Table("true", "predicted", "clips", box=SIMPLE_HEAD, pad_edge=False)
    table.caption = f"the {MATRIX} most frequent mistakes: a matrix is printed of at most {MATRIX} classes"
    pairs = (
        (-count, found.classes[i], found.classes[j])
        for i, counts in enumerate(found.scores.confusion)
        for j, count in enumerate(counts)
        if i != j and count
    )
    for count, true, predicted in heapq.nsmallest(MATRIX, pairs):
        table.add_row(escape(true), escape(predicted), f"{-count:.4g}")
    return table


def _interval(score: Mapping[str, float | None]) -> str:
    value, low, high = (score[key] for key in ("value", "low", "high"))
    if value is None or pd.isna(value):
        return "n/a"
    ends = "no interval" if low is None or high is None or pd.isna(low) or pd.isna(high) else f"{low:.3f}–{high:.3f}"
    return f"{value:.3f} ({ends})"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
