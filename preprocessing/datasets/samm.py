"""SAMM: 159 clips of 29 people, grey, 200 frames per second (Davison et al., IEEE TAFFC 2018, doi
10.1109/TAFFC.2016.2573832).

Ids are ``samm/006/006_1_2``. Folders are ``006/006_1_2/006_05562.jpg``, with four or five digits; frame numbers are
those of the files. The table begins with thirteen rows of text in one release and with the header in the other.
"""

from __future__ import annotations

import re

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.cells import whole_number
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Published,
    Row,
    StrayRowError,
    clip_name,
    is_footnote,
    rows_by_header,
)
from preprocessing.datasets.reading.tables import TableRow

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "emotion")


def _row(row: TableRow, where: str) -> Row | None:
    if is_footnote(row) or row.text("kind").lower().startswith("macro"):
        return None
    name = clip_name(row.cells["clip"], where)
    match = re.fullmatch(r"(\d{1,3})_\d+_\d+", name)
    if match is None:
        raise StrayRowError(
            f"{where}: clip {name!r} is not one of SAMM, wanted a name like 006_1_2: is it another table?"
        )
    subject = f"{int(match[1]):03d}"
    return Row(where, subject, name, ((name.lower(),),), row.cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    name = folder.parts[-1].lower() if folder.parts else ""
    return (name,) if re.fullmatch(r"\d{3}_\d+_\d+", name) else None


def wrong_duration(row: Row) -> str | None:
    """The ``Duration`` of the table against offset - onset + 1, a check that holds in all 159 rows."""
    onset, offset, duration = (whole_number(row.cells.get(name)) for name in ("onset", "offset", "duration"))
    if onset is None or offset is None or duration is None or duration == offset - onset + 1:
        return None
    return f"{row.name}: {duration} for {onset} .. {offset} ({row.where})"


LAYOUT = Layout(
    name="samm",
    title="SAMM",
    fps=200,
    tables=r"samm.*micro.*(facs|code).*\.(xlsx?|csv)",
    usual_table="SAMM_Micro_FACS_Codes_v2.xlsx",
    example="006/006_1_2",
    rows=rows_by_header(COLUMNS, _row),
    folder_key=_folder_key,
    check=("durations that are not offset - onset + 1", wrong_duration),
    published=(
        Published(
            "version 2",
            29,
            {
                "anger": 57,
                "others": 26,
                "happiness": 26,
                "surprise": 15,
                "contempt": 12,
                "disgust": 9,
                "fear": 8,
                "sadness": 6,
            },
        ),
    ),
    licence="Manchester Metropolitan University",
    schemes=SCHEMES["samm"],
    offers=("variant", "apex", "table", "corrections"),
)
