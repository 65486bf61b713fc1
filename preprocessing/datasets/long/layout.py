"""Description of a data set of long recordings: its table, and the key that joins a row to its recording's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.datasets.long.recording import Kind
from preprocessing.datasets.reading.cells import Cell, text_of
from preprocessing.datasets.reading.folders import ImageFolder, Tree

Key = tuple[int, str]
"""Number of the subject and name of the recording in lower case, e.g. ``(6, "006_1")``."""


@dataclass(frozen=True)
class LongRow:
    """One annotated expression, its cells as the table has them, and the recording that it lies in.

    Attributes:
        where: file and row, for messages.
        name: of the expression.
        kind: micro or macro.
        key: of the recording.
        cells: by our column names.
    """

    where: str
    name: str
    kind: Kind
    key: Key
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell as a person would type it; ``""`` if there is none."""
        return text_of(self.cells.get(column))


@dataclass(frozen=True)
class LongPublished:
    """What is published of a data set.

    Attributes:
        recordings: their number; several where publications differ.
        expressions: kind → their number.
        subjects: their number, or None if we do not know it.
    """

    recordings: tuple[int, ...]
    expressions: Mapping[Kind, int]
    subjects: int | None


@dataclass(frozen=True)
class LongLayout:
    """One data set of long recordings.

    Attributes:
        name: on the command line and at the beginning of recording ids.
        title: as its authors write it.
        fps: frames per second that the table counts.
        tables: the usual names of its table, a regular expression on the lower-case file name.
        usual_table: the same for people.
        example: what a folder of a recording is called, for people.
        rows: table → expressions, and in words what is wrong with rows that are not expressions.
        folder_key: folder with images → key of the recording, or None if it is none of this data set.
        names: key → subject and recording as they stand in the id.
        emotions: (all that lies below the root, rows) → emotion word of each row from elsewhere, or None.
        published: what is known of it.
        offset_from_apex: an expression without a usable offset ends at its apex.
    """

    name: str
    title: str
    fps: float
    tables: str
    usual_table: str
    example: str
    rows: Callable[[Path], tuple[list[LongRow], list[str]]]
    folder_key: Callable[[ImageFolder], Key | None]
    names: Callable[[Key], tuple[str, str]]
    emotions: Callable[[Tree, Sequence[LongRow]], list[str | None]]
    published: LongPublished
    offset_from_apex: bool = False
