"""Read and score a prediction log of anybody, with the same metrics and intervals as our own runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.scoring.label_sets import SetLabels, every_label
from experiments.scoring.metrics import Scores, precision, score, tallies_by_seed
from experiments.scoring.statistics import f1_intervals
from experiments.scoring.summary import score_row
from preprocessing.artefacts.cells import unguarded
from preprocessing.csv_rows import Row, read_csv_rows
from preprocessing.datasets.label_sets import JOIN, names_in, set_text
from preprocessing.datasets.labels import MOST_CLASSES, class_order
from preprocessing.errors import DatasetError, UsageError

WANTED = ("subject", "y_true", "y_pred")
OPTIONAL = ("dataset", "clip_id", "seed", "split")
MOST_SEEDS, MOST_DATASETS = 1000, 50
"""Beyond the first a column is no column of seeds; data sets beyond the second have no rows of their own. Time and
memory grow with the rows of a log, and with its subjects and seeds times its classes."""


@dataclass(frozen=True)
class Assessment:
    """What `assess` found.

    Attributes:
        classes: the fixed class list.
        rows: all clips, then each data set where there are several, then the majority baseline; as `results.score_row`.
        scores: of all clips.
        macro_precision: mean precision over classes, None is n/a. It has been printed under the name UAR.
        notes: what is n/a and why, and what else to know, in words.
        labels: of a log of sets a row per label, ``name, clips, precision, recall, f1_interval``.
    """

    classes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    scores: Scores
    macro_precision: float | None
    notes: tuple[str, ...]
    labels: tuple[dict[str, Any], ...] = ()


def read_log(path: Path) -> pd.DataFrame:
    """A CSV log with columns ``subject, y_true, y_pred`` and, where there are any, ``dataset, clip_id, seed, split``.

    Labels, subjects and ids are text: ``01`` and ``1`` are two. Only if every label of the log is a whole number, ``1``
    and ``1.0`` are one, since programs write the same column both ways as soon as a cell of it is empty. Without
    ``seed`` there is one; without ``clip_id`` every row is a clip. Without ``dataset`` it is what our own clip ids
    (``casme2/sub01/EP02_01f``, beside a ``fold``) begin with, and else empty.

    Returns:
        ``clip_id, subject, dataset, seed, split, y_true, y_pred``, ids and subjects unique over data sets.

    Raises:
        DatasetError: no such file, a column or cell is missing, a seed is no number, a clip has two predictions under
            one seed, two true labels, or not the same seeds as the others.
    """
    rows = [
        Row(row.line, {name: unguarded(cell) for name, cell in row.cells.items()})
        for row in read_csv_rows(path, WANTED, OPTIONAL)
    ]
    ours = {"clip_id", "fold"} <= set(rows[0].cells) and all("/" in row["clip_id"] for row in rows)
    records: list[dict[str, Any]] = []
    counted: dict[int, int] = {}
    for row in rows:
        seed = _seed(path, row)
        counted[seed] = counted.get(seed, 0) + 1
        clip = row.cells.get("clip_id", f"clip {counted[seed]}")
        dataset = row.cells.get("dataset", clip.split("/", 1)[0] if ours else "")
        subject = row["subject"] if row["subject"].startswith(f"{dataset}/") else f"{dataset}/{row['subject']}"
        own = clip if clip.startswith(f"{subject}/") else f"{subject}/{clip}"
        facts = {"clip_id": own.lstrip("/"), "subject": subject.lstrip("/"), "dataset": dataset, "seed": seed}
        facts["split"] = row.cells.get("split", "")
        records.append({**facts, "y_true": row["y_true"], "y_pred": row["y_pred"], "line": row.line})
    table = pd.DataFrame(records)
    plain = _plain({*table["y_true"], *table["y_pred"]})
    table = table.assign(y_true=table["y_true"].map(plain), y_pred=table["y_pred"].map(plain))
    return _checked(path, table).drop(columns="line")


def assess_sets(log: pd.DataFrame, labels: Sequence[str] | None = None, least: int = 1) -> Assessment:
    """The same of a log in which a label is a set of names with ``+`` between them, ``none`` if it is empty.

    Args:
        log: as `read_log` returns it.
        labels: their list; None takes all that truly occur in ``least`` clips or more. Others are then not scored.
        least: see there.

    Raises:
        UsageError: a set holds a label that is not in ``labels`` or holds one twice, or no label is left.
    """
    columns = {column: log[column].map(names_in) for column in ("y_true", "y_pred")}
    clips = log["clip_id"].nunique() / max(1, len(log))  # several seeds are not more clips
    counts = columns["y_true"].explode().value_counts() * clips
    frequent = class_order(str(name) for name, n in counts.items() if round(n) >= least)
    if labels is None:
        if not frequent:
            raise UsageError(f"no label occurs in {least} clips or more: lower --least")
        for column, lists in columns.items():
            log = log.assign(**{column: [set_text(n for n in some if n in frequent) for some in lists]})
    names = SetLabels(labels or frequent)
    try:
        scores = score(log, names)
    except ValueError as error:
        raise UsageError(str(error)) from error
    first = log[log["seed"] == log["seed"].min()]
    parts, notes = _parts(log)
    systems = {"all clips": log, **parts, "every label always": first.assign(y_pred=every_label(names))}
    rows = tuple(score_row(name, table, names) for name, table in systems.items())
    each = [
        {**asdict(one), "f1_interval": asdict(interval)}
        for one, interval in zip(scores.classes, f1_intervals(log, names), strict=True)
    ]
    left_out = [] if labels else [name for name in class_order(counts.index) if name not in frequent]
    if left_out:
        notes.append(f"labels of fewer than {least} clips are not scored: {', '.join(left_out)}")
    return Assessment(tuple(names), rows, scores, None, (*scores.undefined, *notes), tuple(each))


def assess(log: pd.DataFrame, classes: Sequence[str] | None = None) -> Assessment:
    """Pooled scores of a log over a fixed class list, with BCa intervals over subjects.

    A class without clips has no recall, and no F1 either unless it is predicted (then its F1 is 0); what is undefined
    is left out of the mean over classes and named in ``notes``. This is scikit-learn's ``zero_division=nan``.

    Args:
        log: as `read_log` returns it.
        classes: the class list; None takes the labels that occur as true or predicted, numbers by value and words by
            alphabet. A class that does not occur at all is then not known of.

    Raises:
        UsageError: a label is not in ``classes``, or there are more than `MOST_CLASSES`.
    """
    found = class_order({*log["y_true"], *log["y_pred"]})
    if (count := max(len(found), len(classes or ()))) > MOST_CLASSES:
        raise UsageError(
            f"there are {count:,} different labels, at most {MOST_CLASSES:,} classes are scored: are y_true and y_pred "
            "the columns of the classes?"
        )
    plain = _plain({*found, *(classes or ())})
    names = tuple(plain[name] for name in classes) if classes else tuple(found)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise UsageError(f"the log holds the label {unknown[0]!r}, not in --classes {','.join(names)}")
    scores = score(log, names)
    systems = {"all clips": log}
    notes = list(scores.undefined)
    parts, more = _parts(log)
    systems |= parts
    notes += more
    for name in parts:
        notes += [f"{name}: {text}" for text in score(systems[name], names).undefined]
    if any(JOIN in name for name in names):
        notes.append(f"labels hold a {JOIN}: if they are sets of labels, add --sets")
    commonest = log["y_true"].value_counts().reindex(list(names), fill_value=0).idxmax()
    systems[f"always {commonest!r}"] = log[log["seed"] == log["seed"].min()].assign(y_pred=commonest)
    if len(set(log["subject"])) == 1:
        notes.append("there is one subject, so there is no interval over subjects")
    if classes is None and len(names) < 2:
        notes.append(f"only the label {names[0]!r} occurs: name the class list with --classes")
    per_class = precision(tallies_by_seed(log, names)[1].sum(0))
    mean = np.nanmean(per_class) if np.isfinite(per_class).any() else None
    rows = tuple(score_row(name, table, names) for name, table in systems.items())
    return Assessment(names, rows, scores, None if mean is None else float(mean), tuple(notes))


def _parts(log: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The clips of each data set and of each test set, where there are several, and what is not shown."""
    datasets = sorted(set(log["dataset"]))
    notes = []
    if len(datasets) > MOST_DATASETS:
        notes.append(f"{len(datasets):,} data sets are not scored one by one, at most {MOST_DATASETS} are")
    parts = {name: log[log["dataset"] == name] for name in datasets if 1 < len(datasets) <= MOST_DATASETS}
    splits = sorted(set(log["split"])) if "split" in log else []
    parts |= {f"test set {name}": log[log["split"] == name] for name in splits if 1 < len(splits) <= MOST_DATASETS}
    return parts, notes


def class_list(text: str) -> tuple[str, ...]:
    """``--classes a,b,c``.

    Raises:
        UsageError: an empty name, one twice, or fewer than two.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < max(2, len(names)):
        raise UsageError(f"--classes {text!r}: wanted two or more different names, for example negative,positive")
    return names


def _plain(labels: set[str]) -> dict[str, str]:
    """Each label as it is compared: where all are whole numbers, without a fraction of zeros."""
    numbers = {label: re.fullmatch(r"-?\d+(\.0*)?", label) for label in labels}
    if not all(numbers.values()):
        return {label: label for label in labels}
    return {label: label.split(".")[0] for label in labels}


def _seed(path: Path, row: Row) -> int:
    text = row.cells.get("seed", "0")
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        raise DatasetError(f"{path}, line {row.line}: seed {shown!r} is no whole number of at most 18 digits")
    return int(text)


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    twice = table[table.duplicated(["seed", "clip_id"])]
    if len(twice):
        one = twice.iloc[0]
        raise DatasetError(f"{path}, line {one['line']}: {one['clip_id']} has a second prediction under one seed")
    labels = table.groupby("clip_id")["y_true"].nunique()
    if (labels > 1).any():
        raise DatasetError(f"{path}: {labels.idxmax()} has {labels.max()} true labels over the seeds")
    if (seeds := table["seed"].nunique()) > MOST_SEEDS:
        raise DatasetError(
            f"{path} has {seeds:,} different seeds, at most {MOST_SEEDS:,} are scored: is it the column?"
        )
    times = table.groupby("clip_id")["seed"].nunique()
    if (times != seeds).any():
        raise DatasetError(f"{path}: {times.idxmin()} is predicted under {times.min()} of {seeds} seeds")
    return table
