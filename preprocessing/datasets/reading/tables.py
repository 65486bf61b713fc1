"""Read annotation tables: ``.xls``, ``.xlsx`` or ``.csv``, with the header in whichever row and sheet it stands.

A table is read as a grid of cells, wholly empty rows and columns do not count, and the header is the first of the
first 20 rows that has the wanted names. Columns go by name, never by place.
"""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preprocessing.csv_rows import words_of
from preprocessing.datasets.reading.cells import Cell, header_word, text_of
from preprocessing.errors import DatasetError

SUFFIXES = frozenset({".xls", ".xlsx", ".csv"})
HEADER_ROWS = 20
MOST_ROWS, MOST_COLUMNS = 100_000, 200
MOST_BYTES = 50_000_000
"""Of the text in an unpacked ``.xlsx``: published tables have below 2 MB; 300 MB in a cell take a gigabyte to read."""
OLE = b"\xd0\xcf\x11\xe0"
"""First bytes of an ``.xls`` file."""
Grid = list[list[Cell]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "sub", "subid", "subjectid", "subno"),
    "clip": ("filename", "foldname", "foldername", "clip", "clipname", "video", "videoname", "seq", "count"),
    "onset": ("onsetframe", "onsetf", "onset"),
    "apex": ("apexframe", "apexf", "apexf1", "apex"),
    "offset": ("offsetframe", "offsetf", "offset"),
    "action_units": ("actionunits", "actionunit", "aus", "au"),
    "emotion": ("estimatedemotion", "emotion", "emotions"),
    "objective_class": ("objectiveclasses", "objectiveclass"),
    "kind": ("expressiontype", "micro", "type"),
    "duration": ("duration",),
    "fps": ("fps", "framerate"),
    "split": ("split", "officialsplit"),
}
"""Our name of a column → its names in real tables as `cells.header_word` gives them; the first found counts."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its number as a spreadsheet shows it (1 is the topmost) and its cells by our column names."""

    number: int
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell as a person would type it; ``""`` if the table has no such column."""
        return text_of(self.cells.get(column))


@dataclass(frozen=True)
class Table:
    """The rows below a header."""

    path: Path
    rows: tuple[TableRow, ...]
    columns: tuple[str, ...]


def read_sheets(path: Path) -> dict[str, Grid]:
    """Every sheet of a table file by name, as rows of cells; a ``.csv`` is one sheet.

    Raises:
        DatasetError: the file cannot be read, is protected by a password, or is not a table.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix.lower() == ".csv":
        return {path.stem: _csv_rows(path, data)}
    if path.suffix.lower() != ".csv" and _encrypted(data):
        raise DatasetError(_protected(path))
    unpacked = _unpacked(data)
    if unpacked > MOST_BYTES:
        raise DatasetError(
            f"{path} unpacks to {unpacked / 1e6:,.0f} MB of text, a table of annotations to at most "
            f"{MOST_BYTES / 1e6:.0f}: is it one? Save the sheet that is wanted as .csv"
        )
    try:
        # their warnings about fonts and extensions do not matter here
        with warnings.catch_warnings(action="ignore"):
            return _xls_sheets(data) if data[:4] == OLE else _xlsx_sheets(data)
    except Exception as error:  # a damaged file makes both libraries raise whatever their insides stumble over
        if "encrypt" in str(error).lower():
            raise DatasetError(_protected(path)) from error
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DatasetError(
            f"{path} cannot be read as a spreadsheet ({reason}): is it damaged? Copy it again, or save it as .csv"
        ) from error


def find_header(sheets: Mapping[str, Grid], wanted: Sequence[str]) -> tuple[str, int, dict[str, int]] | None:
    """Sheet, row (0-based) and columns by our names of the first header that has all of ``wanted``, or None."""
    for name, grid in sheets.items():
        for row, cells in enumerate(grid[:HEADER_ROWS]):
            words = [header_word(cell) for cell in cells]
            places = {column: _place(words, names) for column, names in COLUMNS.items()}
            found = {column: place for column, place in places.items() if place is not None}
            if all(column in found for column in wanted):
                return name, row, found
    return None


def read_table(path: Path, wanted: Sequence[str]) -> Table:
    """The rows of the table in ``path`` that has the columns ``wanted`` (our names, see `COLUMNS`).

    Raises:
        DatasetError: what `read_sheets` raises, or no sheet has such a header, or there is nothing below it.
    """
    sheets = read_sheets(path)
    header = find_header(sheets, wanted)
    if header is None:
        seen = next((row for grid in sheets.values() for row in grid[:HEADER_ROWS] if any(map(text_of, row))), [])
        shown = ", ".join(filter(None, map(text_of, seen)))[:150] or "nothing"
        names = ", ".join("/".join(COLUMNS[column][:2]) for column in wanted)
        raise DatasetError(
            f"{path.name} has no header with the columns {names} in its first {HEADER_ROWS} rows (its first row holds "
            f"{shown}): is it the table of another data set?"
        )
    name, row, places = header
    rows = table_rows(sheets[name], row + 1, places)
    if not rows:
        raise DatasetError(f"{path.name} has a header in row {row + 1} and no rows below it")
    return Table(path, rows, tuple(places))


def table_rows(grid: Grid, first: int, places: Mapping[str, int]) -> tuple[TableRow, ...]:
    """Rows of ``grid`` from index ``first`` on that hold anything in the named columns."""
    rows = []
    for index, cells in enumerate(grid[first:], start=first):
        named = {column: cells[place] if place < len(cells) else None for column, place in places.items()}
        if any(text_of(cell) for cell in named.values()):
            rows.append(TableRow(index + 1, named))
    return tuple(rows)


def _place(words: list[str], names: tuple[str, ...]) -> int | None:
    return next((words.index(name) for name in names if name in words), None)


def _xlsx_sheets(data: bytes) -> dict[str, Grid]:
    import openpyxl  # takes a third of a second to load, which every other command does without

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    return {
        sheet.title: [list(row) for row in sheet.iter_rows(max_row=MOST_ROWS, max_col=MOST_COLUMNS, values_only=True)]
        for sheet in book.worksheets
    }


def _xls_sheets(data: bytes) -> dict[str, Grid]:
    import xlrd

    log = io.StringIO()  # xlrd writes about odd files to the terminal
    book = xlrd.open_workbook(file_contents=data, logfile=log, on_demand=True)
    sheets = (book.sheet_by_index(index) for index in range(book.nsheets))
    return {
        sheet.name: [sheet.row_values(row)[:MOST_COLUMNS] for row in range(min(sheet.nrows, MOST_ROWS))]
        for sheet in sheets
    }


def _unpacked(data: bytes) -> int:
    """Bytes of text that a file unpacks to, by its own list, beyond which nothing is read of it; 0 for no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(one.file_size for one in archive.infolist() if one.filename.endswith((".xml", ".rels")))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return 0  # what reads it next says what is wrong


def _encrypted(data: bytes) -> bool:
    """An ``.xlsx`` with a password is an OLE file that holds the encrypted package."""
    return data[:4] == OLE and "EncryptedPackage".encode("utf-16-le") in data


def _csv_rows(path: Path, data: bytes) -> Grid:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = data.decode("latin-1")
    if "\0" in text:
        raise DatasetError(f"{path} is not a text table: it holds bytes that are not text")
    head = text[:10_000]
    separator = max(",;\t", key=head.count)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        return [[*row] for row in islice(lines, MOST_ROWS)]
    except csv.Error as error:
        raise DatasetError(f"{path} is not a text table ({words_of(error)})") from error


def _protected(path: Path) -> str:
    return f"{path} is protected by a password: open it, save a copy without one, and put that in its place"
