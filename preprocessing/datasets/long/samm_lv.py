"""SAMM Long Videos: 147 recordings with 343 macro- and 159 micro-expressions, 200 frames per second, about 35 s each.

Ids are ``samm_lv/006/006_1``. Folders are ``SAMM_longvideos/006_1/*.jpg``. The table (releases V1 to V3) begins with
nine rows of text. Its frame numbers are those of the recordings: for micro-expressions they differ from the numbers of
the micro table, so the two tables are never joined on frames. Numbers of macro-expressions may have a fraction, an
apex of -1 is not annotated, and an onset of 0 occurs. It has no emotions: those of the micro table, if one lies below
the same root, are joined by name and type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from preprocessing.datasets import samm
from preprocessing.datasets.long.layout import Key, LongLayout, LongPublished, LongRow
from preprocessing.datasets.long.recording import Kind
from preprocessing.datasets.reading.cells import emotion_word
from preprocessing.datasets.reading.folders import ImageFolder, Tree
from preprocessing.datasets.reading.layout import StrayRowError, clip_name, is_footnote
from preprocessing.datasets.reading.tables import TableRow, read_table
from preprocessing.errors import DatasetError

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "kind")


def _rows(path: Path) -> tuple[list[LongRow], list[str]]:
    table = read_table(path, COLUMNS)
    good: list[LongRow] = []
    stray: list[str] = []
    for row in table.rows:
        if is_footnote(row):
            continue
        try:
            good.append(_row(row, f"{path.name}, row {row.number}"))
        except StrayRowError as error:
            stray.append(str(error))
    return good, stray


def _row(row: TableRow, where: str) -> LongRow:
    name = clip_name(row.cells["clip"], where)
    match = re.fullmatch(r"(\d{1,3})_(\d+)_\d+", name)
    if match is None:
        raise StrayRowError(f"{where}: {name!r} is not an expression of SAMM, wanted a name like 006_1_2")
    kind = _kind(row.text("kind"))
    if kind is None:
        raise StrayRowError(f"{where}: {name} is of type {row.text('kind')!r}, wanted Macro or Micro - 1/2")
    number = int(match[1])
    return LongRow(where, name, kind, (number, f"{number:03d}_{match[2]}"), row.cells)


def _kind(text: str) -> Kind | None:
    word = text.lower()
    return "micro" if word.startswith("micro") else "macro" if word.startswith("macro") else None


def _folder_key(folder: ImageFolder) -> Key | None:
    match = re.fullmatch(r"(\d{3})_(\d+)", folder.parts[-1]) if folder.parts else None
    return (int(match[1]), folder.parts[-1]) if match else None


def _emotions(tree: Tree, rows: Sequence[LongRow]) -> list[str | None]:
    """Emotion of each row from the micro table, if exactly one lies below the root; macro-expressions have none."""
    paths = [path for path in tree.tables if re.fullmatch(samm.LAYOUT.tables, path.name.lower())]
    known: dict[str, str | None] = {}
    if len(paths) == 1:
        try:
            table = read_table(paths[0], ("clip", "emotion"))
        except DatasetError:
            return [None] * len(rows)
        known = {row.text("clip").lower(): emotion_word(row.cells["emotion"]) for row in table.rows}
    return [known.get(row.name.lower()) if row.kind == "micro" else None for row in rows]


LAYOUT = LongLayout(
    name="samm_lv",
    title="SAMM Long Videos",
    fps=200,
    tables=r"samm[-_ ]?long[-_ ]?videos.*\.(xlsx?|csv)",
    usual_table="SAMM_LongVideos_V3_Release.xlsx",
    example="SAMM_longvideos/006_1",
    rows=_rows,
    folder_key=_folder_key,
    names=lambda key: (f"{key[0]:03d}", key[1]),
    emotions=_emotions,
    published=LongPublished((147,), {"macro": 343, "micro": 159}, None),
)
