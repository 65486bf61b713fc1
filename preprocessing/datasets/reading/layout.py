"""Description of one data set: its table, the key that joins a table row to its frame folder, published counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from preprocessing.datasets.labels import Schemes
from preprocessing.datasets.reading.cells import Cell, subject_number, text_of
from preprocessing.datasets.reading.folders import ImageFolder, Tree
from preprocessing.datasets.reading.tables import TableRow, read_table
from preprocessing.datasets.settings import Options
from preprocessing.errors import DatasetError

Key = tuple[object, ...]
"""What a row and its folder have in common, e.g. ``(1, "ep02_01f")``: subject number and clip name in lower case."""


@dataclass(frozen=True)
class Row:
    """One annotated expression, its cells as the table has them.

    Attributes:
        where: file and row, for messages.
        subject, name: as they stand in the clip id.
        keys: of the folder that holds its frames, the most wanted first.
        cells: by our column names.
    """

    where: str
    subject: str
    name: str
    keys: tuple[Key, ...]
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell as a person would type it; ``""`` if there is none."""
        return text_of(self.cells.get(column))


class StrayRowError(DatasetError):
    """A row below the header that is not an expression: a mean, a remark, another data set's row."""


@dataclass(frozen=True)
class Published:
    """A version of the data set that is known: its classes and how many clips each has.

    ``splits``: part of a fixed split → its clips and subjects.
    """

    name: str
    subjects: int
    classes: Mapping[str, int]
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        """Rows of the table."""
        return sum(self.classes.values())


@dataclass(frozen=True)
class Source:
    """What an adapter's rows come from: the folders, the tables, the options by name."""

    tree: Tree
    tables: tuple[Path, ...]
    options: Mapping[str, str]

    @property
    def table(self) -> Path | None:
        """The first table; None if there is none."""
        return self.tables[0] if self.tables else None


@dataclass(frozen=True)
class Layout:
    """One data set.

    Attributes:
        name: on the command line and at the beginning of clip ids.
        title: as its authors write it.
        fps: frames per second, where a row does not say; None if only rows do.
        tables: the usual names of its table, a regular expression on the lower-case file name; empty if it has none.
        usual_table: the same for people.
        example: what a folder of frames is called, for people.
        rows: source → expressions, and in words what is wrong with rows that are not expressions.
        folder_key: folder with images → its key, or None if it is not a clip of this data set.
        published: versions that are known.
        licence: where to ask for a copy.
        offers: which of ``variant``, ``apex``, ``table`` and ``corrections`` have an effect.
        options: choices that only this data set has: name → values, the first of them the default.
        schemes: its label schemes by name, the first of them the default.
        check: what else a row must fulfil: the name of the finding, and row → what is wrong, or None.
        faces: the images are crops of faces, in which a detector need not find one.
        numbering: frame numbers of the table are those of the files, or places in the ``order`` of the folder, from 1.
        offset_from_apex: a row without an offset ends at its apex.
        needs_table: without its table the data set cannot be read.
        several_tables: it comes in parts with a table each, and all of them are read.
        divided: regular expression on lower-case folder names that tell such a part, and not another copy.
        certain: False if those who wrote this saw no real table.
    """

    name: str
    title: str
    fps: float | None
    tables: str
    usual_table: str
    example: str
    rows: Callable[[Source], tuple[list[Row], list[str]]]
    folder_key: Callable[[ImageFolder], Key | None]
    published: tuple[Published, ...]
    licence: str
    schemes: Schemes
    offers: tuple[str, ...] = ("apex", "table", "corrections")
    options: Options = field(default_factory=dict)
    check: tuple[str, Callable[[Row], str | None]] | None = None
    faces: bool = False
    numbering: Literal["file", "order"] = "file"
    offset_from_apex: bool = False
    needs_table: bool = True
    several_tables: bool = False
    divided: str = ""
    certain: bool = True

    def nearest(self, counts: Mapping[str, int]) -> Published | None:
        """The published version whose classes differ from ``counts`` by the fewest clips; None if none is known."""

        def distance(known: Published) -> int:
            words = {*counts, *known.classes}
            return sum(abs(counts.get(word, 0) - known.classes.get(word, 0)) for word in words)

        return min(self.published, key=distance) if self.published else None


def rows_by_header(
    columns: tuple[str, ...], row_of: Callable[[TableRow, str], Row | None]
) -> Callable[[Source], tuple[list[Row], list[str]]]:
    """Rows of a table with a header: ``row_of(row, where)`` makes one, or None for a row that is not an expression."""

    def rows(source: Source) -> tuple[list[Row], list[str]]:
        if source.table is None:
            raise DatasetError(f"no table was found below {source.tree.root}")
        table = read_table(source.table, columns)
        return sort_out(table.rows, table.path.name, row_of)

    return rows


def sort_out(
    rows: Sequence[TableRow], table: str, row_of: Callable[[TableRow, str], Row | None]
) -> tuple[list[Row], list[str]]:
    """The rows that are expressions, and what is wrong with the others in words.

    Raises:
        DatasetError: most of them are not.
    """
    good: list[Row] = []
    stray: list[StrayRowError] = []
    for row in rows:
        try:
            made = row_of(row, f"{table}, row {row.number}")
        except StrayRowError as error:
            stray.append(error)
        else:
            good += [made] if made is not None else []
    if len(stray) > len(good):
        raise stray[0]
    return good, [str(error) for error in stray]


def numbered_subject(form: str, cell: Cell, where: str) -> tuple[int, str]:
    """Number and id of a subject, ``form`` being e.g. ``sub{:02d}``.

    Raises:
        StrayRowError: the cell holds no subject.
    """
    number = subject_number(cell)
    if number is None:
        raise StrayRowError(f"{where}: subject {text_of(cell)!r} holds no number, wanted one like {form.format(1)}")
    return number, form.format(number)


def clip_name(cell: Cell, where: str) -> str:
    """A clip's name as it can stand in an id.

    Raises:
        StrayRowError: it is empty.
        DatasetError: it is a path.
    """
    name = text_of(cell)
    if not name:
        raise StrayRowError(f"{where}: the name of the clip is empty")
    if ".." in name or "/" in name or "\\" in name:
        raise DatasetError(f"{where}: clip name {name!r} is a path, wanted the name of one folder below the root")
    return re.sub(r"[^\w.()+^-]+", "_", name)


def is_footnote(row: TableRow) -> bool:
    """True if fewer than two cells are filled: a remark below the table."""
    return sum(bool(row.text(column)) for column in row.cells) < 2
