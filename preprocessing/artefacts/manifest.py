"""The manifest of a data set's cache: one row per clip, rejected clips with their reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from preprocessing.artefacts.cells import guarded_table, unguarded_table
from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError

MANIFEST = "manifest.csv"

NEEDED = ("clip_id", "subject", "status")
"""Columns that every row of every manifest fills."""

FACTS = frozenset(
    {"clip_id", "subject", "emotion", "action_units", "split", "status", "code", "reason", "fps", "n_frames"}
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
    write_text(path, guarded_table(whole).to_csv(index=False, lineterminator="\n"))
    return path


def read_manifest(cache: Path) -> pd.DataFrame:
    """The manifest of ``cache``.

    Raises:
        ToolkitError: there is none yet, it is no table, or not one of clips: a column of `NEEDED` is missing, a clip is
            there twice or has no id, or a status is neither ``ok`` nor ``rejected``.
    """
    path = cache / MANIFEST
    if not path.is_file():
        raise ToolkitError(f"{path} does not exist: build it with `mer dataset {cache.name}` first")
    text = dict.fromkeys(("clip_id", "subject", "emotion", "objective_class", "split", "reason"), str)
    try:  # a class may be called "none"
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise ToolkitError(f"{path} is not a manifest ({error}): run `mer dataset {cache.name}` again") from error
    table = unguarded_table(table)
    fault = _fault(table)
    if fault:
        raise ToolkitError(f"{path} is damaged, {fault}: run `mer dataset {cache.name}` again, which writes it anew")
    return table


def _fault(table: pd.DataFrame) -> str:
    """What makes a table no manifest, in words; empty if nothing does."""
    missing = [name for name in NEEDED if name not in table]
    if missing:
        return f"it has no column {missing[0]}"
    for name in NEEDED:
        if table[name].isna().any():
            return f"line {int(table[name].isna().argmax()) + 2} has no {name}"
    if table["clip_id"].duplicated().any():
        return f"it has {table.loc[table['clip_id'].duplicated(), 'clip_id'].iloc[0]} twice"
    strange = set(table["status"]) - {"ok", "rejected"}
    return f"a status is {min(map(str, strange))!r}" if strange else ""


def words(value: Any) -> str:
    """A manifest cell as text; empty where there is nothing (None, NaN)."""
    return "" if value is None or value != value else str(value)


def number(value: Any) -> float | None:
    """A manifest cell as a finite number, or None where it is none."""
    if isinstance(value, bool | np.bool_ | str) or value is None:
        return None
    return float(value) if np.isfinite(value) else None
