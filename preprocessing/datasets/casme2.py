"""CASME II: 255 clips of 26 people at 200 frames per second (Yan et al., PLoS ONE 2014, doi
10.1371/journal.pone.0086041).

Ids are ``casme2/sub01/EP02_01f``. Folders are ``sub01/EP02_01f`` with ``img46.jpg`` (raw) or ``reg_img46.jpg``
(cropped), or re-sorted by others into ``01_EP02_01f``; frame numbers are those of the files.
"""

from __future__ import annotations

import re

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
_REST = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27}


def row_of(row: TableRow, where: str) -> Row | None:
    """A row of the table, CASME's too."""
    if is_footnote(row):
        return None
    number, subject = numbered_subject("sub{:02d}", row.cells["subject"], where)
    name = clip_name(row.cells["clip"], where)
    return Row(where, subject, name, ((number, name.lower()),), row.cells)


def folder_key(folder: ImageFolder) -> Key | None:
    """Subject number and clip name in lower case."""
    name = folder.parts[-1].lower() if folder.parts else ""
    sorted_by_class = re.fullmatch(r"(\d+)_(ep\d.*)", name)
    if sorted_by_class:
        return int(sorted_by_class[1]), sorted_by_class[2]
    if not name.startswith("ep") or len(folder.parts) < 2:
        return None
    number = subject_number(folder.parts[-2])
    return None if number is None else (number, name)


LAYOUT = Layout(
    name="casme2",
    title="CASME II",
    fps=200,
    tables=r"casme2[-_ ]?(coding|label).*\.(xlsx?|csv)",
    usual_table="CASME2-coding-20140508.xlsx",
    example="sub01/EP02_01f",
    rows=rows_by_header(COLUMNS, row_of),
    folder_key=folder_key,
    published=(
        Published("the 2014 table", 26, {**_REST, "surprise": 25, "sadness": 7, "fear": 2}),
        Published("the 2019 table", 26, {**_REST, "surprise": 28, "sadness": 4, "fear": 2}),
        Published(
            "the updated table of 256 rows", 26, {**_REST, "disgust": 64, "surprise": 25, "sadness": 7, "fear": 2}
        ),
    ),
    licence="Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn)",
    schemes=SCHEMES["casme2"],
    offers=("variant", "apex", "table", "corrections"),
)
