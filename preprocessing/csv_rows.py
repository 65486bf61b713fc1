"""Read a CSV file as rows of text, each with its line number; no cell is converted."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.errors import DatasetError, MissingPathError

SEPARATORS = (",", ";", "\t")
SHOWN = 20
"""Columns that a message names."""


@dataclass(frozen=True)
class Row:
    """One row: its line in the file (1 is the header) and its cells by column name, stripped."""

    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_csv_rows(
    path: Path, wanted: Sequence[str], optional: Sequence[str] = (), may_be_empty: Sequence[str] = ()
) -> list[Row]:
    """All rows of a CSV file with a header; commas, semicolons or tabs separate, as in its first line.

    Column names are compared without case and surrounding blanks; further columns are kept under their own name in
    lower case. Empty lines are passed over. A number stays text, so that subject ``01`` is not subject ``1``.

    Args:
        path: the file, UTF-8.
        wanted: columns that must be there and be filled in every row.
        optional: columns that must be filled in every row if they are there at all.
        may_be_empty: those of ``wanted`` that need not be filled.

    Raises:
        DatasetError: the file is not there or not such a table, a column is absent or there twice, a row has another
            number of cells than the header, or a cell that must be filled is empty. It names the line.
    """
    lines = _fields(path)
    if not lines:
        raise DatasetError(f"{path} is empty, wanted a table with the columns {', '.join(wanted)}")
    header = [name.strip().lower() for name in lines[0][1]]
    for name in wanted:
        if name not in header:
            has = ", ".join(header[:SHOWN]) + (f" and {len(header) - SHOWN:,} more" if len(header) > SHOWN else "")
            raise DatasetError(f"{path} has no column {name!r}: it has {has}; wanted {', '.join(wanted)}")
    twice = next((name for name, count in Counter(header).items() if name and count > 1), None)
    if twice is not None:
        raise DatasetError(f"{path} has two columns {twice!r}: rename or remove one")
    filled = [name for name in (*wanted, *optional) if name not in may_be_empty]
    rows = []
    for line, fields in lines[1:]:
        if len(fields) != len(header):
            raise DatasetError(
                f"{path}, line {line}: {len(fields)} cells, the header has {len(header)}; a cell that holds the "
                'separator needs quotes, for example "img.png#1,2"'
            )
        cells = {name: cell.strip() for name, cell in zip(header, fields, strict=True)}
        empty = [name for name in filled if name in cells and not cells[name]]
        if empty:
            raise DatasetError(f"{path}, line {line}: {empty[0]} is empty")
        rows.append(Row(line, cells))
    if not rows:
        raise DatasetError(f"{path} has a header and no rows")
    return rows


def read_csv_cells(path: Path) -> list[Row]:
    """Rows of a CSV file *without* a header, cells under ``0``, ``1``, ...; empty lines are passed over."""
    return [Row(line, {str(i): cell.strip() for i, cell in enumerate(fields)}) for line, fields in _fields(path)]


def _fields(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every line that is not blank."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # spreadsheets put a mark before the first letter
    except FileNotFoundError:
        raise MissingPathError(f"{path} does not exist: wanted a CSV file") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): wanted a CSV file") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error.reason}): save the table as CSV, UTF-8") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, fields) for fields in reader if any(field.strip() for field in fields)]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: not CSV ({words_of(error)})") from error


def words_of(error: csv.Error) -> str:
    """What is wrong with a CSV file, in words."""
    if "field larger" in str(error):
        return f"a cell has more than {csv.field_size_limit():,} characters, or a quote is not closed"
    return str(error)
