"""CAS(ME)³: part A, 860 clips of 94 people, and part C, 165 of 30, at 30 frames per second.

Li et al., IEEE TPAMI 2023, doi 10.1109/TPAMI.2022.3174895. Ids are ``casme_cubed/spNO.1/a_355`` (video and onset; a
video holds several expressions) and, for part C, ``casme_cubed/01/1``. Frames of part A lie in the whole recordings
(``spNO.1/a/color/355.jpg``) or in the clip release (``frame/spNO.10_a_116/116.jpg``), whose numbers the table uses;
those of part C count the images of the folder. Every cell of the table is text.
"""

from __future__ import annotations

import re
from dataclasses import replace

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.cells import subject_number
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Published,
    Row,
    clip_name,
    is_footnote,
    numbered_subject,
    rows_by_header,
)
from preprocessing.datasets.reading.tables import TableRow

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "emotion")
COLUMNS_C = ("subject", "clip", "onset", "offset", "emotion")
_COLOUR = {"color", "colour", "rgb"}
_LICENCE = "Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn)"


def _row(row: TableRow, where: str) -> Row | None:
    if is_footnote(row):
        return None
    number, subject = numbered_subject("spNO.{}", row.cells["subject"], where)
    video = clip_name(row.cells["clip"], where).lower()
    onset = row.text("onset")
    keys = (("clip", number, video, onset), ("recording", number, video))
    return Row(where, subject, clip_name(f"{video}_{onset or 'x'}", where), keys, row.cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    parts = [part.lower() for part in folder.parts]
    if not parts or "depth" in parts:
        return None
    clip = re.fullmatch(r"spno\.?(\d+)_([a-z])_(\d+)", parts[-1])
    if clip:
        return "clip", int(clip[1]), clip[2], clip[3]
    if parts[-1] in _COLOUR:
        parts.pop()
    if len(parts) < 2 or not re.fullmatch(r"[a-z]", parts[-1]) or not parts[-2].startswith("spno"):
        return None
    number = subject_number(parts[-2])
    return None if number is None else ("recording", number, parts[-1])


def _row_c(row: TableRow, where: str) -> Row | None:
    if is_footnote(row):
        return None
    number, subject = numbered_subject("{:02d}", row.cells["subject"], where)
    return Row(where, subject, clip_name(row.cells["clip"], where), ((number,),), row.cells)


def _folder_key_c(folder: ImageFolder) -> Key | None:
    parts = [part.lower() for part in folder.parts]
    if not parts or "depth" in parts:
        return None
    if parts[-1] in _COLOUR:
        parts.pop()
    if len(parts) > 1 and re.fullmatch(r"[a-z]", parts[-1]):
        parts.pop()
    return (int(parts[-1]),) if parts and re.fullmatch(r"\d{1,3}", parts[-1]) else None


LAYOUT = Layout(
    name="casme_cubed",
    title="CAS(ME)³ part A",
    fps=30,
    tables=r"cas\(?me\)?\^?3_part_?a_me_label.*\.(xlsx?|csv)",
    usual_table="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    example="spNO.1/a/color",
    rows=rows_by_header(COLUMNS, _row),
    folder_key=_folder_key,
    published=(
        Published(
            "version 2",
            94,
            {
                "disgust": 250,
                "surprise": 187,
                "others": 161,
                "fear": 86,
                "anger": 64,
                "sadness": 57,
                "happiness": 55,
            },
        ),
    ),
    licence=_LICENCE,
    schemes=SCHEMES["casme_cubed"],
    options={"part": ("a", "c")},
)

PART_C = replace(
    LAYOUT,
    title="CAS(ME)³ part C",
    tables=r"cas\(?me\)?\^?3_part_?c_me.*\.(xlsx?|csv)",
    usual_table="CAS(ME)3_part_C_ME.xlsx",
    example="part_C/01/a/color",
    rows=rows_by_header(COLUMNS_C, _row_c),
    folder_key=_folder_key_c,
    published=(Published("part C", 30, {"negative": 99, "surprise": 30, "others": 20, "positive": 16}),),
    schemes=SCHEMES["casme_cubed-c"],
    numbering="order",
)


def layout(part: str) -> Layout:
    """The layout of part ``a`` or ``c``."""
    return PART_C if part == "c" else LAYOUT
