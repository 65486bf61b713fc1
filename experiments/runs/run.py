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
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.scoring.protocols import Fold
from experiments.scoring.summary import COLUMNS
from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError

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
