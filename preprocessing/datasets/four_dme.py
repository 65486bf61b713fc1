"""4DME, grey micro-expression clips: 267 clips at 60 frames per second (Li et al., IEEE TAFFC 2023).

doi 10.1109/TAFFC.2022.3182342. No real table was seen by those who wrote this: treat what it reads with care and tell
us. Ids are ``4dme/sub01/<folder name>``. Folders are ``gray_micro/<subject>/<name>`` with ``Frame_000001826.jpg``;
frame numbers are those of the files. Labels may be joint (``surprise+positive``); such clips are in no class of the
schemes.
"""

from __future__ import annotations

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.cells import subject_number
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Row,
    clip_name,
    is_footnote,
    numbered_subject,
    rows_by_header,
)
from preprocessing.datasets.reading.tables import TableRow

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "emotion")
_OTHER_KINDS = {"rgb", "depth", "di4d"}


def _row(row: TableRow, where: str) -> Row | None:
    if is_footnote(row):
        return None
    number, subject = numbered_subject("sub{:02d}", row.cells["subject"], where)
    name = clip_name(row.cells["clip"], where)
    return Row(where, subject, name, ((number, name.lower()),), row.cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    if len(folder.parts) < 2 or _OTHER_KINDS & {part.lower() for part in folder.parts}:
        return None
    number = subject_number(folder.parts[-2])
    return None if number is None else (number, clip_name(folder.parts[-1], str(folder)).lower())


LAYOUT = Layout(
    name="4dme",
    title="4DME",
    fps=60,
    tables=r"(4dme_labell?ing_micro.*|micro[ _]and[ _]macro[-_ ]expression[ _]labels.*)\.(xlsx?|csv)",
    usual_table="4DME_Labelling_Micro_release v1.xlsx",
    example="gray_micro/1/<clip>",
    rows=rows_by_header(COLUMNS, _row),
    folder_key=_folder_key,
    published=(),
    licence="University of Oulu, Center for Machine Vision and Signal Analysis",
    schemes=SCHEMES["4dme"],
    certain=False,
)
