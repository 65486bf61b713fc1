"""The manifest of a data set's cache: one row per clip, rejected clips with their reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError

MANIFEST = "manifest.csv"

FACTS = frozenset(
    {"clip_id", "subject", "emotion", "action_units", "status", "code", "reason", "fps", "n_frames"}
    | {"onset", "apex", "offset", "apex_source", "apex_index"}
)
"""Manifest columns that say what a clip is; the other numbers are quality numbers."""


def write_manifest(cache: Path, rows: list[dict[str, Any]]) -> Path:
    """Write ``manifest.csv`` below ``cache``, rows in the given order."""
    return write_manifest_table(cache, pd.DataFrame(rows))


def write_manifest_table(cache: Path, table: pd.DataFrame) -> Path:
    """The same from a table."""
    path = cache / MANIFEST
    whole = table.convert_dtypes()  # counts stay whole numbers beside the gaps of rejected clips
    write_text(path, whole.to_csv(index=False, lineterminator="\n"))
    return path


def read_manifest(cache: Path) -> pd.DataFrame:
    """The manifest of ``cache``.

    Raises:
        ToolkitError: there is none yet, or it is no table.
    """
    path = cache / MANIFEST
    if not path.is_file():
        raise ToolkitError(f"{path} does not exist: build it with `mer dataset {cache.name}` first")
    try:
        text = dict.fromkeys(("clip_id", "subject", "emotion", "objective_class", "reason"), str)
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])  # a class may be called "none"
    except ValueError as error:
        raise ToolkitError(f"{path} is no manifest ({error}): run `mer dataset` again") from error


def words(value: Any) -> str:
    """A manifest cell as text; empty where there is nothing (None, NaN)."""
    return "" if value is None or value != value else str(value)


def number(value: Any) -> float | None:
    """A manifest cell as a finite number, or None where it is none."""
    if isinstance(value, bool | np.bool_ | str) or value is None:
        return None
    return float(value) if np.isfinite(value) else None
