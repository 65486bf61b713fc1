"""The run folder: predictions and learning curves of folds, the pooled table, the scores.

    runs/<name>/
      run.json                     what ran: model, settings, classes, seeds, protocol, data digest, versions
      folds/<seed>-<fold>/         predictions.csv, history.csv, done.json (key and digests; written last); of a model
                                   that constructs images also construction.npy
      predictions.csv              all folds and seeds, sorted by seed and clip id
      baselines/<name>.csv         the same columns without probabilities
      metrics.json                 a function of the tables above

Numbers are written with nine significant digits, which is what float32 needs, so that equal results are equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.calibration import calibration
from experiments.metrics import METRICS, score
from experiments.protocols import Fold
from experiments.statistics import bootstrap, mcnemar, paired_difference
from preprocessing.cache import write_text
from preprocessing.errors import ToolkitError

COLUMNS = ("clip_id", "subject", "fold", "seed", "y_true", "y_pred")
PREDICTIONS, HISTORY, DONE = "predictions.csv", "history.csv", "done.json"
IMAGES = "construction.npy"
RUN, METRICS_FILE, BASELINES = "run.json", "metrics.json", "baselines"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "torch")


@dataclass(frozen=True)
class FoldResult:
    """What one fold and seed left behind: its test clips' predictions, its learning curve, what was warned of.

    ``images`` (N, 2, H, W) float16 are the constructed images of the test clips beside their targets, in the order of
    the predictions, where the model constructs any.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    warnings: tuple[str, ...] = ()
    images: NDArray[np.float16] | None = None


def check_predictions(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return ``table`` sorted by seed and clip id, or refuse it.

    Each clip stands there exactly once per seed; every seed has the same clips with the same labels; a subject's
    clips are all tested in one fold (so the fold that tests a person never trained on that person); labels are
    classes; probabilities are there for all classes or for none, and sum to 1.

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
    sums = table[wanted].sum(axis=1, skipna=False).to_numpy()
    wrong = ~(np.abs(sums - 1) < 1e-3)  # also where it is NaN
    if wrong.any():
        raise ValueError(f"the probabilities of {table['clip_id'][wrong].iloc[0]} sum to {sums[wrong][0]:.4g}")


def to_csv(table: pd.DataFrame) -> str:
    """A table as the text that goes to disk."""
    return table.to_csv(index=False, lineterminator="\n", float_format="%.9g")


def read_predictions(path: Path) -> pd.DataFrame:
    """A prediction table. Names stay text, also a class called ``none`` or ``NA`` and a subject called ``01``.

    Raises:
        ToolkitError: the file is not there or is no prediction table.
    """
    try:
        text = dict.fromkeys(("clip_id", "subject", "fold", "y_true", "y_pred"), str)
        table = pd.read_csv(path, dtype={**text, "seed": int}, keep_default_na=False)
    except FileNotFoundError as error:
        raise ToolkitError(f"{path} does not exist: has `mer train` finished for this run?") from error
    except ValueError as error:
        raise ToolkitError(f"{path} cannot be read as a prediction table: {error}") from error
    if any(name not in table for name in COLUMNS):
        raise ToolkitError(f"{path} is no prediction table: wanted the columns {', '.join(COLUMNS)}")
    return table


def fold_folder(run: Path, seed: int, fold: Fold) -> Path:
    """Where one fold of one seed is kept."""
    return run / "folds" / f"{seed}-{fold.name}"


def write_fold(folder: Path, key: str, result: FoldResult) -> None:
    """Keep a finished fold. ``done.json`` goes first and comes back last: anything in between is not done."""
    (folder / DONE).unlink(missing_ok=True)
    for left in folder.glob(".*"):  # written aside by a process that was killed
        left.unlink()
    files = {PREDICTIONS: to_csv(result.predictions), HISTORY: to_csv(result.history)}
    for name, text in files.items():
        write_text(folder / name, text)
    digests = {name: _digest(text.encode()) for name, text in files.items()}
    (folder / IMAGES).unlink(missing_ok=True)
    if result.images is not None:
        np.save(folder / IMAGES, result.images)
        digests[IMAGES] = _digest((folder / IMAGES).read_bytes())
    write_json(folder / DONE, {"key": key, "files": digests, "warnings": list(result.warnings)})


def read_fold(folder: Path, key: str) -> FoldResult | None:
    """A finished fold, or None where it is missing, was made under another key, or is damaged."""
    try:
        done = json.loads((folder / DONE).read_text(encoding="utf-8"))
        if done["key"] != key or any(
            _digest((folder / name).read_bytes()) != digest for name, digest in done["files"].items()
        ):
            return None
        history = pd.read_csv(folder / HISTORY)
        images = np.load(folder / IMAGES) if IMAGES in done["files"] else None
        return FoldResult(read_predictions(folder / PREDICTIONS), history, tuple(done["warnings"]), images)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_histories(run: Path) -> dict[str, pd.DataFrame]:
    """Learning curves of a run's finished folds by ``<seed>-<fold>``, only those that the predictions came from."""
    pooled = read_predictions(run / PREDICTIONS)
    names = sorted({f"{seed}-{fold}" for seed, fold in zip(pooled["seed"], pooled["fold"], strict=True)})
    paths = {name: run / "folds" / name / HISTORY for name in names}
    return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file()}


def read_images(run: Path, seed: int) -> dict[str, NDArray[np.float16]]:
    """Constructed image and target (2, H, W) by ``clip_id`` of one seed of a run; empty where nothing was constructed.

    Raises:
        ToolkitError: a fold's images are missing or do not belong to its predictions.
    """
    found: dict[str, NDArray[np.float16]] = {}
    for path in sorted(run.glob(f"folds/{seed}-*/{IMAGES}")):
        clips, images = read_predictions(path.with_name(PREDICTIONS))["clip_id"], np.load(path)
        if len(clips) != len(images):
            raise ToolkitError(f"{path} holds {len(images)} images for {len(clips)} clips: run `mer train` again")
        found |= dict(zip(clips, images, strict=True))
    return found


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
        ``confusion``, ``classes``, ``subjects``, ``by_seed``, ``calibration`` (of the network), ``undefined`` (what
            is n/a and why), ``datasets`` (rows of each data set where the clips are of several, from the same
            predictions).
    """
    predictions = check_predictions(predictions, classes)
    systems = {name: predictions, **{n: check_predictions(t, classes) for n, t in baselines.items()}}
    scores = score(predictions, classes)
    return {
        "classes": [asdict(c) for c in scores.classes],
        "rows": [score_row(system, table, classes) for system, table in systems.items()],
        "differences": [_difference(predictions, table, classes, other) for other, table in baselines.items()],
        "confusion": scores.confusion,
        "by_seed": scores.by_seed,
        "undefined": scores.undefined,
        "subjects": _subjects(predictions),
        "datasets": _datasets(systems, classes),
        "calibration": calibration(predictions, classes),
    }


def _datasets(systems: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Scores of every system on the clips of each data set (a clip id begins with it); none where there is only one.

    They are a part of the pooled predictions and of the fixed class list: nothing is trained or averaged for them.
    """
    parts = {
        system: dict(list(table.groupby(table["clip_id"].str.partition("/")[0]))) for system, table in systems.items()
    }
    network = next(iter(parts.values()))
    if len(network) < 2:
        return []
    return [
        {
            "dataset": str(dataset),
            "rows": [score_row(system, part[dataset], classes) for system, part in parts.items()],
            "undefined": score(rows, classes).undefined,
        }
        for dataset, rows in network.items()
    ]


def score_row(system: str, table: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of one system with their intervals and what they stand on."""
    return {
        "system": system,
        "clips": table["clip_id"].nunique(),
        "subjects": table["subject"].nunique(),
        "seeds": table["seed"].nunique(),
        **{metric: asdict(bootstrap(table, classes, metric)) for metric in METRICS},
    }


def _difference(first: pd.DataFrame, second: pd.DataFrame, classes: Sequence[str], other: str) -> dict[str, Any]:
    """Network minus ``other``; McNemar's test for each of the network's seeds where ``other`` has only one."""
    one = len(set(second["seed"])) == 1
    tests = [{"seed": int(str(seed)), **asdict(mcnemar(rows, second))} for seed, rows in first.groupby("seed") if one]
    return {
        "system": other,
        **{metric: asdict(paired_difference(first, second, classes, metric)) for metric in METRICS},
        "mcnemar": tests,
    }


def _subjects(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Clips and accuracy of each subject, mean over seeds. F1 per subject is not given: most lack some class."""
    right = table.assign(right=table["y_true"] == table["y_pred"])
    return [
        {"subject": str(s), "clips": int(r["clip_id"].nunique()), "accuracy": float(r["right"].mean())}
        for s, r in right.groupby("subject", sort=True)
    ]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all; NaN becomes null (n/a)."""
    write_text(path, json.dumps(_without_nan(content), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises:
        ToolkitError: the file is not there or does not parse.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ToolkitError(f"{path} does not exist: has `mer train` finished for this run?") from error
    except ValueError as error:
        raise ToolkitError(f"{path} is not JSON ({error}): run `mer train` again, finished folds are reused") from error
    if not isinstance(content, dict):
        raise ToolkitError(f"{path} holds a {type(content).__name__}, wanted an object")
    return content


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on."""
    return {name: version(name) for name in LIBRARIES}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return value
