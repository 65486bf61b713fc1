"""Check prediction tables and summarise them: scores with intervals, paired differences, classes, subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from experiments.scoring.calibration import calibration
from experiments.scoring.label_sets import SetLabels
from experiments.scoring.metrics import SET_MEASURES, score
from experiments.scoring.seed_average import seed_average
from experiments.scoring.statistics import bootstraps, f1_intervals, mcnemar, paired_differences

COLUMNS = ("clip_id", "subject", "fold", "seed", "y_true", "y_pred")


def check_predictions(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return ``table`` sorted by seed and clip id, or refuse it.

    Each clip stands there exactly once per seed; every seed has the same clips with the same labels; a subject's
    clips are all tested in one fold (so the fold that tests a person never trained on that person); labels are
    classes; probabilities are there for all classes or for none, and sum to 1 (of `SetLabels`, each lies in 0 .. 1).

    Raises:
        ValueError: naming the clip, subject or column.
    """
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"predictions lack the column {missing[0]!r}; they have {', '.join(table.columns)}")
    twice = table.loc[table.duplicated(["seed", "clip_id"]), ["seed", "clip_id"]]
    if len(twice):
        raise ValueError(f"{twice['clip_id'].iloc[0]} has two predictions under seed {twice['seed'].iloc[0]}")
    for column in ("y_true", "y_pred"):
        if isinstance(classes, SetLabels):
            classes.members(table[column])
            continue
        unknown = sorted(set(table[column]) - set(classes))
        if unknown:
            raise ValueError(f"{column} holds {unknown[0]!r}, wanted one of {', '.join(classes)}")
    for column, what in (("y_true", "label"), ("subject", "subject"), ("fold", "fold")):
        values = table.groupby("clip_id")[column].nunique()
        if (values > 1).any():
            raise ValueError(f"{values.idxmax()} has more than one {what} over the seeds")
    seeds = table["seed"].nunique()
    times = table.groupby("clip_id")["seed"].nunique()
    if (times != seeds).any():
        raise ValueError(f"{times.idxmin()} is predicted under {times.min()} of {seeds} seeds")
    folds = table.groupby("subject")["fold"].nunique()
    if (folds > 1).any():
        raise ValueError(f"subject {folds.idxmax()} is tested in {folds.max()} folds, so one of them trained on it")
    _check_probabilities(table, classes)
    return table.sort_values(["seed", "clip_id"], kind="stable", ignore_index=True)


def _check_probabilities(table: pd.DataFrame, classes: Sequence[str]) -> None:
    wanted = [f"p_{name}" for name in classes]
    found = [name for name in table.columns if str(name).startswith("p_")]
    if not found:
        return
    if sorted(found) != sorted(wanted):
        raise ValueError(f"probability columns are {', '.join(found)}, wanted {', '.join(wanted)}")
    if isinstance(classes, SetLabels):
        values = table[wanted].to_numpy()
        outside = np.flatnonzero(~((values >= 0) & (values <= 1)).all(axis=1))
        if len(outside):
            raise ValueError(f"{table['clip_id'].iloc[outside[0]]} has a probability that is not in 0 .. 1")
        return
    sums = table[wanted].sum(axis=1, skipna=False).to_numpy()
    wrong = ~(np.abs(sums - 1) < 1e-3)  # also where it is NaN
    if wrong.any():
        raise ValueError(f"the probabilities of {table['clip_id'][wrong].iloc[0]} sum to {sums[wrong][0]:.4g}")


def summarise(
    predictions: pd.DataFrame,
    baselines: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
    name: str,
) -> dict[str, Any]:
    """Everything that ``metrics.json`` holds, from prediction tables alone.

    Args:
        predictions: the network's, over all seeds.
        baselines: other systems on the same clips.
        classes: the fixed class list.
        name: what to call the network in the rows.

    Returns:
        ``rows`` (a system each, scores with intervals), ``differences`` (network minus each other system),
        ``confusion``, ``classes``, ``subjects``, ``by_seed``, ``calibration`` (of the network), ``seed_average`` (its
            seeds asked together: ``row``, and ``difference`` to the mean of their scores; None if there is none),
            ``undefined`` (what is n/a and why), ``datasets`` (rows of each data set where the clips are of several,
            from the same predictions); with a column ``split`` also ``splits``, the same of each test set. Of
            `SetLabels` the rows of ``classes`` have ``f1_interval``, and ``measures`` says what the scores are called.
    """
    predictions = check_predictions(predictions, classes)
    systems = {name: predictions, **{n: check_predictions(t, classes) for n, t in baselines.items()}}
    scores = score(predictions, classes)
    splits = {} if "split" not in predictions else {"splits": _parts(systems, classes, "split", _splits(predictions))}
    several = isinstance(classes, SetLabels)
    rows = [asdict(c) for c in scores.classes]
    if several:
        intervals = f1_intervals(predictions, classes)
        rows = [{**row, "f1_interval": asdict(one)} for row, one in zip(rows, intervals, strict=True)]
    return {
        **splits,
        **({"measures": SET_MEASURES} if several else {}),
        "classes": rows,
        "rows": [score_row(system, table, classes) for system, table in systems.items()],
        "differences": [_difference(predictions, table, classes, other) for other, table in baselines.items()],
        "confusion": scores.confusion,
        "by_seed": scores.by_seed,
        "undefined": scores.undefined,
        "subjects": _subjects(predictions),
        "datasets": _parts(systems, classes, "dataset", lambda clips: clips.str.partition("/")[0]),
        "calibration": None if several else calibration(predictions, classes),
        "seed_average": _seed_average(predictions, classes, name),
    }


def _seed_average(predictions: pd.DataFrame, classes: Sequence[str], name: str) -> dict[str, Any] | None:
    together = seed_average(predictions, classes)
    if together is None:
        return None
    differences = paired_differences(together, predictions, classes)
    return {
        "row": score_row(name, together, classes),
        "difference": {metric: asdict(interval) for metric, interval in differences.items()},
    }


def _splits(predictions: pd.DataFrame) -> Callable[[pd.Series], pd.Series]:
    """Clip ids to the test set that each belongs to."""
    places = predictions.drop_duplicates("clip_id").set_index("clip_id")["split"]
    return lambda clips: clips.map(places)


def _parts(
    systems: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
    kind: str,
    part_of: Callable[[pd.Series], pd.Series],
) -> list[dict[str, Any]]:
    """Scores of every system on each part of the clips, such as a data set; none where there is only one.

    They are a part of the pooled predictions and of the fixed class list: nothing is trained or averaged for them.
    """
    parts = {system: dict(list(table.groupby(part_of(table["clip_id"])))) for system, table in systems.items()}
    network = next(iter(parts.values()))
    if len(network) < 2:
        return []
    return [
        {
            kind: str(name),
            "rows": [score_row(system, part[name], classes) for system, part in parts.items()],
            "undefined": score(rows, classes).undefined,
        }
        for name, rows in network.items()
    ]


def score_row(system: str, table: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of one system with their intervals and what they stand on."""
    return {
        "system": system,
        "clips": table["clip_id"].nunique(),
        "subjects": table["subject"].nunique(),
        "seeds": table["seed"].nunique(),
        **{metric: asdict(interval) for metric, interval in bootstraps(table, classes).items()},
    }


def _difference(first: pd.DataFrame, second: pd.DataFrame, classes: Sequence[str], other: str) -> dict[str, Any]:
    """Network minus ``other``; McNemar's test for each of the network's seeds where ``other`` has only one."""
    one = len(set(second["seed"])) == 1
    tests = [{"seed": int(str(seed)), **asdict(mcnemar(rows, second))} for seed, rows in first.groupby("seed") if one]
    return {
        "system": other,
        **{metric: asdict(interval) for metric, interval in paired_differences(first, second, classes).items()},
        "mcnemar": tests,
    }


def _subjects(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Clips and accuracy of each subject, mean over seeds. F1 per subject is not given: most lack some class."""
    right = table.assign(right=table["y_true"] == table["y_pred"])
    return [
        {"subject": str(s), "clips": int(r["clip_id"].nunique()), "accuracy": float(r["right"].mean())}
        for s, r in right.groupby("subject", sort=True)
    ]
