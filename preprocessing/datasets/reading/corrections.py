"""Errors of published tables that are known, put right cell by cell, with a reason for each.

A correction names the clip, our name of the column, what stands there and what should. It is applied only where ``old``
is what really stands there, so that a table of another version is never changed by accident.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from preprocessing.datasets.reading.layout import Row
from preprocessing.datasets.settings import SHIPPED
from preprocessing.errors import DatasetError

COLUMNS = ("clip_id", "field", "old", "new", "reason")
FIELDS = ("onset", "apex", "offset", "emotion", "action_units")


@dataclass(frozen=True)
class Correction:
    """One cell put right."""

    clip_id: str
    field: str
    old: str
    new: str
    reason: str

    def __str__(self) -> str:
        return f"{self.clip_id}: {self.field} {self.old or 'empty'} → {self.new or 'empty'} ({self.reason})"


def read_corrections(dataset: str, choice: str) -> tuple[str, list[Correction]]:
    """Name of the file and its corrections: those that come with the toolkit, a file, or none.

    Raises:
        DatasetError: the file cannot be read or is no table of corrections.
    """
    if choice == "none":
        return "none", []
    if choice == SHIPPED:
        shipped = files("preprocessing.datasets").joinpath(f"corrections/{dataset}.csv")
        name = f"corrections/{dataset}.csv"
        if not shipped.is_file():
            return name, []
        text = shipped.read_text("utf-8")
    else:
        name = choice
        try:
            text = Path(choice).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"corrections {choice} cannot be read as text ({error}): give a CSV file") from error
    rows = list(csv.DictReader(text.splitlines()))
    found = []
    for line, row in enumerate(rows, start=2):
        if any(not isinstance(row.get(column), str) for column in COLUMNS):
            raise DatasetError(f"{name}, line {line}: wanted the columns {', '.join(COLUMNS)}")
        correction = Correction(*(str(row[column]).strip() for column in COLUMNS))
        if correction.field not in FIELDS:
            raise DatasetError(f"{name}, line {line}: field {correction.field!r} is none of {', '.join(FIELDS)}")
        found.append(correction)
    return name, found


def correct(
    ids: Sequence[str], rows: Sequence[Row], corrections: Sequence[Correction], name: str
) -> tuple[list[Row], list[str], list[str]]:
    """Rows with the corrections in them.

    Returns:
        The rows, what was corrected in words by clip, and the corrections whose clip is not in the table.

    Raises:
        DatasetError: what stands in a cell is neither ``old`` nor ``new``.
    """
    place = {clip_id: index for index, clip_id in enumerate(ids)}
    out, done, unknown = list(rows), [], []
    for correction in corrections:
        if correction.clip_id not in place:
            unknown.append(str(correction))
            continue
        index = place[correction.clip_id]
        row = out[index]
        stands = row.text(correction.field)
        if stands == correction.new:
            continue
        if stands != correction.old:
            raise DatasetError(
                f"{name}: {correction.clip_id} has {correction.field} {correction.old!r} to correct, but {row.where} "
                f"holds {stands!r}: use --corrections none, or a file of your own for this version of the table"
            )
        out[index] = replace(row, cells={**row.cells, correction.field: correction.new})
        done.append(str(correction))
    return out, done, unknown
