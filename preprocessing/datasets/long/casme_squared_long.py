"""The recordings of CAS(ME)²: 97 with 300 macro- and 57 micro-expressions, 30 frames per second, about 148 s each.

Other publications count 98. Ids are ``casme_squared_long/s15/15_0101``. Folders are
``rawpic/s15/15_0101disgustingteeth/img001.jpg``; the number in the folder's own name tells the person, since one
recording lies in the folder of another. The table is that of the clips, whose frame numbers are those of the
recordings; a clip's name tells its video (``anger1_1`` is of 0401). An offset of 0 is no offset: the expression ends
at its apex.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from preprocessing.datasets import casme_squared
from preprocessing.datasets.long.layout import Key, LongLayout, LongPublished, LongRow
from preprocessing.datasets.reading.cells import emotion_word
from preprocessing.datasets.reading.folders import ImageFolder, Tree


def _rows(path: Path) -> tuple[list[LongRow], list[str]]:
    made, stray = casme_squared.read_rows(path)
    rows: list[LongRow] = []
    for row in made:
        video = next((key for key in row.keys if key[0] == "recording"), None)
        kind = row.text("kind").lower()
        if video is None:
            stray.append(f"{row.where}: the name {row.name!r} tells no video, wanted one like anger1_1")
        elif not kind.startswith(("micro", "macro")):
            stray.append(f"{row.where}: {row.name} is of type {kind!r}, wanted macro- or micro-expression")
        else:
            number, code = int(str(video[1])), str(video[2])
            name = f"s{number}/{row.name}"
            rows.append(LongRow(row.where, name, "micro" if kind[:2] == "mi" else "macro", (number, code), row.cells))
    return rows, stray


def _folder_key(folder: ImageFolder) -> Key | None:
    recording = re.match(r"(\d+)_(\d{4})", folder.parts[-1]) if folder.parts else None
    return (int(recording[1]), recording[2]) if recording else None


def _emotions(tree: Tree, rows: Sequence[LongRow]) -> list[str | None]:
    return [emotion_word(row.cells.get("emotion")) for row in rows]


LAYOUT = LongLayout(
    name="casme_squared_long",
    title="CAS(ME)², recordings",
    fps=30,
    tables=casme_squared.LAYOUT.tables,
    usual_table=casme_squared.LAYOUT.usual_table,
    example="rawpic/s15/15_0101disgustingteeth",
    rows=_rows,
    folder_key=_folder_key,
    names=lambda key: (f"s{key[0]}", f"{key[0]}_{key[1]}"),
    emotions=_emotions,
    published=LongPublished((97, 98), {"macro": 300, "micro": 57}, 22),
    offset_from_apex=True,
)
