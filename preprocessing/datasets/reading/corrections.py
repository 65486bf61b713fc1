"""Correct known errors of published tables, cell by cell, with a reason for each.

A correction names the clip, our name of the column, what stands there and what should. It is applied only if ``old``
is what really stands there, so that a table of another version is never changed by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from preprocessing.csv_rows import read_csv_rows
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
    """Name of the file and its corrections.

    Args:
        dataset: name of the data set.
        choice: ``shipped`` with the toolkit, ``none``, or the path of a CSV file.

    Raises:
        DatasetError: the file cannot be read or is not a table of corrections.
    """
    if choice == "none":
        return choice, []
    if choice != SHIPPED:
        return choice, _read(Path(choice), choice)
    name = f"corrections/{dataset}.csv"
    with as_file(files("preprocessing.datasets").joinpath(name)) as shipped:
        return name, _read(shipped, name) if shipped.is_file() else []


def _read(path: Path, name: str) -> list[Correction]:
    found = []
    for row in read_csv_rows(path, COLUMNS, may_be_empty=("old", "new")):
        correction = Correction(*(row[column] for column in COLUMNS))
        if correction.field not in FIELDS:
            raise DatasetError(f"{name}, line {row.line}: field {correction.field!r} is none of {', '.join(FIELDS)}")
        found.append(correction)
    return found


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
