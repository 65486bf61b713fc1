"""The folder of a run: where each file is, and how it is written and read.

    runs/<name>/
      config.toml                  every resolved setting
      data.json                    which data: data set, copy, label scheme, clips per class
      run.json                     what ran: system, settings, inputs, classes, seeds, protocol, digests, cache
      inputs.json                  digests of the files that were read, by file and clip
      folds/<seed>-<fold>/         predictions.csv, history.csv, done.json (key and digests; written last), and the
                                   further arrays of a system that leaves any
      predictions.csv              all folds and seeds, sorted by seed and clip id
      baselines/<name>.csv         the same columns without probabilities
      metrics.json                 a function of the tables above
      report.html                  the page

Numbers are written with nine significant digits, which is what float32 needs, so that equal results are equal bytes.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.scoring.summary import COLUMNS
from preprocessing.artefacts.cells import guarded_table, unguarded_table
from preprocessing.artefacts.files import digest, key_of, remove_leftovers, write_bytes, write_text
from preprocessing.artefacts.locks import locked
from preprocessing.errors import ToolkitError, UsageError

PREDICTIONS, HISTORY, DONE = "predictions.csv", "history.csv", "done.json"
WAIT = 10.0
"""Seconds that a run, a model or predictions are waited for: a page is written by then, a network is not trained."""
DIGEST = "digest"
"""Key of the digest over the rest of a JSON file of a run or of a cache."""
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "torch")


@dataclass(frozen=True)
class FoldResult:
    """What one fold and seed left behind: its test clips' predictions, its learning curve, what was warned of.

    ``files``: file name → array with one row per clip, in the order of the predictions.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    warnings: tuple[str, ...] = ()
    files: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run folder. It may not exist yet; reading what is not there is a `ToolkitError`."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def config_file(self) -> Path:
        """Every resolved setting, as ``--config`` takes it."""
        return self.folder / "config.toml"

    @property
    def data_file(self) -> Path:
        """Which data the run was made of, in words."""
        return self.folder / "data.json"

    @property
    def about_file(self) -> Path:
        """What ran."""
        return self.folder / "run.json"

    @property
    def inputs_file(self) -> Path:
        """Digests of the files that were read, by file and clip."""
        return self.folder / "inputs.json"

    @property
    def predictions_file(self) -> Path:
        """Predictions of all folds and seeds."""
        return self.folder / PREDICTIONS

    @property
    def metrics_file(self) -> Path:
        """Scores with intervals."""
        return self.folder / "metrics.json"

    @property
    def accuracy_file(self) -> Path:
        """The offline chain against the truth, for the drawn corpus alone."""
        return self.folder / "truth.json"

    @property
    def report_file(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def explanations(self) -> Path:
        """Folder of what `mer explain` found."""
        return self.folder / "explanations"

    @property
    def model(self) -> Path:
        """Folder of the model that was trained on all subjects."""
        return self.folder / "model"

    def baseline_file(self, name: str) -> Path:
        """Predictions of a baseline."""
        return self.folder / "baselines" / f"{name}.csv"

    def fold(self, seed: int, fold: str) -> Path:
        """Folder of one fold of one seed."""
        return self.folder / "folds" / f"{seed}-{fold}"

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the run against other processes, and remove the scratch that killed ones left in it.

        Args:
            what: is being done, for the message to others.

        Raises:
            FolderInUseError: another process has been at work in it for `WAIT` seconds; the message says which.
        """
        with locked(self.folder, what, WAIT):
            for name in ("", "baselines", "explanations", "model"):
                remove_leftovers(self.folder / name, alone=True)
            yield

    def begin(self, about: Mapping[str, Any], origins: Mapping[str, Mapping[str, str]]) -> None:
        """Write ``run.json`` and ``inputs.json``; tables and scores of another run go first, so that they never mix.

        Args:
            about: what runs.
            origins: see `fusion_net.inputs.ClipTensors`.
        """
        text = _as_text(about)
        if not self.about_file.is_file() or self.about_file.read_bytes() != text.encode():
            self.metrics_file.unlink(missing_ok=True)
            self.predictions_file.unlink(missing_ok=True)
        write_text(self.about_file, text)
        write_json(self.inputs_file, {"files": origins})

    def about(self) -> dict[str, Any]:
        """What ran, from ``run.json``.

        Raises:
            UsageError: there is no such folder.
            ToolkitError: it holds no run.
        """
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} does not exist: give the folder of a run")
        return read_json(self.about_file)

    def origins(self) -> dict[str, dict[str, str]]:
        """File → clip id → digest of what was read, from ``inputs.json``; empty for a run of an earlier version."""
        return dict(read_json(self.inputs_file)["files"]) if self.inputs_file.exists() else {}

    def metrics(self) -> dict[str, Any]:
        """Scores, from ``metrics.json``."""
        return read_json(self.metrics_file)

    def predictions(self) -> pd.DataFrame:
        """Predictions of all folds and seeds."""
        return read_predictions(self.predictions_file)

    def config_text(self) -> str | None:
        """``config.toml`` as it stands; None where there is none.

        Raises:
            ToolkitError: it cannot be read as text.
        """
        try:
            return self.config_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ToolkitError(f"{self.config_file} cannot be read ({error}): run `mer train` again") from error

    def cache(self) -> Path:
        """The cache folder that the run's clips came from.

        Raises:
            UsageError: the run does not say, or the folder is gone.
        """
        kept = str(self.about().get("cache", ""))
        found = Path(os.path.normpath(self.folder / kept))
        if not kept or not found.is_dir():
            where = f"were in {found}, which is gone" if kept else "are not known"
            raise UsageError(f"the clips of {self.folder} {where}: name their folder with --cache")
        return found

    def link_to(self, cache: Path) -> str:
        """How ``run.json`` names a cache: relative to the run if both lie below one working folder, else absolute."""
        here = Path.cwd().resolve()
        both = (cache.resolve(), self.folder.resolve())
        if all(path.is_relative_to(here) for path in both):
            return Path(os.path.relpath(*both)).as_posix()
        return str(both[0])

    def histories(self) -> dict[str, pd.DataFrame]:
        """Learning curves of the finished folds by ``<seed>-<fold>``, only those that the predictions came from."""
        pooled = self.predictions()
        names = sorted({(int(seed), str(fold)) for seed, fold in zip(pooled["seed"], pooled["fold"], strict=True)})
        paths = {f"{seed}-{fold}": self.fold(seed, fold) / HISTORY for seed, fold in names}
        return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file() and path.stat().st_size > 1}

    def arrays(self, name: str, seed: int) -> dict[str, NDArray[Any]]:
        """Row of the array ``name`` that each clip has under one seed, by ``clip_id``; empty if no fold left any.

        Raises:
            ToolkitError: a fold's array does not belong to its predictions.
        """
        found: dict[str, NDArray[Any]] = {}
        for path in sorted(self.folder.glob(f"folds/{seed}-*/{name}")):
            clips, rows = read_predictions(path.with_name(PREDICTIONS))["clip_id"], np.load(path, allow_pickle=False)
            if len(clips) != len(rows):
                raise ToolkitError(f"{path} holds {len(rows)} rows for {len(clips)} clips: run `mer train` again")
            found |= dict(zip(clips, rows, strict=True))
        return found


def read_predictions(path: Path) -> pd.DataFrame:
    """A prediction table. Names stay text, also a class called ``none`` or ``NA`` and a subject called ``01``.

    Raises:
        ToolkitError: the file is not there or is no prediction table.
    """
    try:
        text = dict.fromkeys(("clip_id", "subject", "fold", "split", "y_true", "y_pred"), str)
        table = pd.read_csv(path, dtype={**text, "seed": int}, keep_default_na=False)
    except FileNotFoundError as error:
        raise ToolkitError(f"{path} does not exist: has `mer train` finished for this run?") from error
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{path} is no prediction table ({error}): run `mer train` again") from error
    if any(name not in table for name in COLUMNS):
        wanted = ", ".join(COLUMNS)
        raise ToolkitError(f"{path} is no prediction table: wanted the columns {wanted}; run `mer train` again")
    return unguarded_table(table)


def to_csv(table: pd.DataFrame) -> str:
    """A table as the text that goes to disk; no text in it is a formula, see `preprocessing.artefacts.cells`."""
    return guarded_table(table).to_csv(index=False, lineterminator="\n", float_format="%.9g")


def write_fold(folder: Path, key: str, result: FoldResult) -> None:
    """Keep a finished fold. ``done.json`` is deleted first and written last; a fold without it is incomplete."""
    (folder / DONE).unlink(missing_ok=True)
    remove_leftovers(folder)
    for left in folder.glob("*.npy"):  # of an older fold
        left.unlink()
    texts = {PREDICTIONS: to_csv(result.predictions), HISTORY: to_csv(result.history)}
    files = {name: text.encode() for name, text in texts.items()}
    files |= {name: _npy(array) for name, array in result.files.items()}
    for name, data in files.items():
        write_bytes(folder / name, data)
    digests = {name: digest(data) for name, data in files.items()}
    write_json(folder / DONE, {"key": key, "files": digests, "warnings": list(result.warnings)})


def read_fold(folder: Path, key: str) -> FoldResult | None:
    """A finished fold, or None if it is missing, was made under another key, or is damaged."""
    try:
        done = read_json(folder / DONE)
        if done["key"] != key or any(digest(folder / name) != written for name, written in done["files"].items()):
            return None
        text = (folder / HISTORY).read_text(encoding="utf-8")
        history = pd.read_csv(io.StringIO(text)) if text.strip() else pd.DataFrame()
        further = [name for name in done["files"] if name not in (PREDICTIONS, HISTORY)]
        files = {name: np.load(folder / name, allow_pickle=False) for name in further}
        return FoldResult(read_predictions(folder / PREDICTIONS), history, tuple(done["warnings"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ToolkitError):
        return None


def write_json(path: Path, content: Mapping[str, Any], sealed: bool = True) -> None:
    """Write JSON whole or not at all; NaN becomes null (n/a).

    Args:
        path: the file.
        content: what it holds.
        sealed: with a digest over the content, without which `read_json` does not believe it.
    """
    write_text(path, _as_text(content, sealed))


def read_json(path: Path, again: str = "run `mer train` again, finished folds are reused") -> dict[str, Any]:
    """Read what `write_json` wrote; ``again`` says how it is written anew.

    Raises:
        ToolkitError: the file is not there, cannot be read, or is not as it was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(content, dict) and content.pop(DIGEST, None) == key_of(content)
    except FileNotFoundError as error:
        raise ToolkitError(f"{path} does not exist: has `mer train` finished for this run?") from error
    except OSError as error:
        raise ToolkitError(f"{path} cannot be read ({error.strerror}): {again}") from error
    except (ValueError, RecursionError) as error:
        raise ToolkitError(f"{path} is not JSON ({error}): {again}") from error
    if not whole:
        raise ToolkitError(f"{path} is not as it was written, or was written by another version: {again}")
    return dict(content)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on."""
    return {name: version(name) for name in LIBRARIES}


def _as_text(content: Mapping[str, Any], sealed: bool = True) -> str:
    plain = json.loads(json.dumps(_without_nan(content), allow_nan=False))
    seal = {DIGEST: key_of(plain)} if sealed else {}
    return json.dumps({**plain, **seal}, indent=1, allow_nan=False) + "\n"


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return value
