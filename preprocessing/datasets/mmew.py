"""MMEW, micro-expressions: 300 clips of 30 people, 90 frames per second, distributed as 231 x 231 px face crops.

Ben et al., IEEE TPAMI 2022, doi 10.1109/TPAMI.2021.3067464. Ids are ``mmew/S01/S01-01-001``. The folder of a clip is
found by its name, whatever lies between (emotion, subject, nothing). Frames count inside the clip, from 1. Without
the table the label comes from the code in the name or, for ``others``, from the folder; the whole folder is then the
clip.
"""

from __future__ import annotations

import re

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.cells import emotion_word
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Published,
    Row,
    Source,
    StrayRowError,
    clip_name,
    is_footnote,
    rows_by_header,
)
from preprocessing.datasets.reading.tables import TableRow

COLUMNS = ("clip", "onset", "apex", "offset", "emotion")
CODES = {"01": "happiness", "02": "surprise", "03": "disgust", "05": "fear", "06": "sadness", "07": "anger"}
"""The middle part of a clip's name."""
_CLIP = re.compile(r"s(\d+)-(\d+)-(\d+)")


def _row(row: TableRow, where: str) -> Row | None:
    if is_footnote(row):
        return None
    name = clip_name(row.cells["clip"], where)
    match = _CLIP.fullmatch(name.lower())
    if match is None:
        raise StrayRowError(
            f"{where}: clip {name!r} is not one of MMEW, wanted a name like S01-01-001: is it another table?"
        )
    return Row(where, f"S{int(match[1]):02d}", name, ((name.lower(),),), row.cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    name = folder.parts[-1].lower() if folder.parts else ""
    macro = any("macro" in part.lower() for part in folder.parts)
    return (name,) if _CLIP.fullmatch(name) and not macro else None


def _rows(source: Source) -> tuple[list[Row], list[str]]:
    if source.table is not None:
        return rows_by_header(COLUMNS, _row)(source)
    rows = {}
    for folder in source.tree.images:
        key = _folder_key(folder)
        match = _CLIP.fullmatch(folder.parts[-1].lower()) if key else None
        if key is None or match is None:
            continue
        above = emotion_word(folder.parts[-2]) if len(folder.parts) > 1 else None
        emotion = CODES.get(match[2]) or ("others" if above in ("others", "repression") else None)
        subject = f"S{int(match[1]):02d}"
        rows[key] = Row(f"folder {folder}", subject, folder.parts[-1], (key,), {"emotion": emotion})
    return list(rows.values()), []


LAYOUT = Layout(
    name="mmew",
    title="MMEW",
    fps=90,
    tables=r"mmew[-_ ]?micro.*\.(xlsx?|csv)",
    usual_table="MMEW_Micro_Exp.xlsx",
    example="S01-01-001",
    rows=_rows,
    folder_key=_folder_key,
    published=(
        Published(
            "all 300 clips",
            30,
            {
                "surprise": 89,
                "disgust": 72,
                "others": 66,
                "happiness": 36,
                "fear": 16,
                "sadness": 13,
                "anger": 8,
            },
        ),
        Published(
            "the 234 clips without others",
            30,
            {"surprise": 89, "disgust": 72, "happiness": 36, "fear": 16, "sadness": 13, "anger": 8},
        ),
    ),
    licence="Shandong University (X. Ben; dpailab.com)",
    schemes=SCHEMES["mmew"],
    faces=True,
    needs_table=False,
)
