"""CAS(ME)²: 57 micro- and 300 macro-expressions of 22 people at 30 frames per second.

Qu et al., IEEE TAFFC 2018, doi 10.1109/TAFFC.2017.2654440. Ids are ``casme_squared/s15/anger1_1``. The table has no
header; its subjects are an index from 1 that its second sheet translates, and its third sheet gives the code of each
video (``anger1`` is 0401). Frames are taken from the clip's own folder (``selectedpic/s15/anger1_1``, or
``cropped/15/anger1_1``) or cut from the recording (``rawpic/s15/15_0401...``), whose numbers the table uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.cells import Cell, subject_number, text_of, whole_number
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Published,
    Row,
    Source,
    StrayRowError,
    clip_name,
    sort_out,
)
from preprocessing.datasets.reading.tables import COLUMNS as NAMES
from preprocessing.datasets.reading.tables import Grid, TableRow, find_header, read_sheets, table_rows
from preprocessing.errors import DatasetError

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "emotion", "kind")
PLACES = {"subject": 0, "clip": 1, "onset": 2, "apex": 3, "offset": 4, "action_units": 5, "emotion": 6, "kind": 7}
SUBJECTS = (15, 16, *range(19, 28), *range(29, 39), 40)
"""Number of the subject whose index in the table is 1, 2, ..., if no sheet of the table lists them."""
VIDEOS = {
    "disgust1": "0101",
    "disgust2": "0102",
    "anger1": "0401",
    "anger2": "0402",
    "happy1": "0502",
    "happy2": "0503",
    "happy3": "0505",
    "happy4": "0507",
    "happy5": "0508",
}
"""Code of a video in the names of recordings."""


def _rows(source: Source) -> tuple[list[Row], list[str]]:
    if source.table is None:
        raise DatasetError(f"no table was found below {source.tree.root}")
    wanted = source.options["expression"]
    made, stray = read_rows(source.table)
    return [row for row in made if wanted == "both" or row.text("kind").lower().startswith(wanted)], stray


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """All micro- and macro-expressions of the table, and in words what is wrong with rows that are none.

    Raises:
        DatasetError: it is not the table of CAS(ME)².
    """
    sheets = read_sheets(path)
    header = find_header(sheets, COLUMNS)
    if header is not None:
        name, above, places = header
        rows = table_rows(sheets[name], above + 1, places)
    else:
        name = next((name for name, grid in sheets.items() if _is_data(grid)), "")
        if not name:
            raise DatasetError(
                f"{path.name} is not a table of CAS(ME)²: no sheet has "
                f"{', '.join(NAMES[c][0] for c in COLUMNS)} as its header, or rows like 1, anger1_1, 557, "
                "561, 568, 4, negative, micro-expression without one"
            )
        rows = table_rows(sheets[name], 0, PLACES)
    subjects = _subjects(sheets)
    return sort_out(rows, path.name, lambda row, where: _row(row, where, subjects))


def _is_data(grid: Grid) -> bool:
    """Whether the rows look like the table without its header."""
    first = next((row for row in grid if any(map(text_of, row))), [])
    return len(first) >= 8 and whole_number(first[0]) is not None and "expression" in text_of(first[7]).lower()


def _subjects(sheets: Mapping[str, Grid]) -> dict[int, int]:
    """Index → number of the subject, from the sheet whose rows are like 15, s15, 1."""
    found: dict[int, int] = {}
    for grid in sheets.values():
        for row in grid:
            cells: list[Cell] = [cell for cell in row if text_of(cell)]
            if len(cells) == 3 and re.fullmatch(r"s\d+", text_of(cells[1]).lower()):
                number, index = subject_number(cells[1]), whole_number(cells[2])
                if number is not None and index is not None:
                    found[index] = number
    return found or dict(enumerate(SUBJECTS, start=1))


def _row(row: TableRow, where: str, subjects: Mapping[int, int]) -> Row:
    cell = row.cells["subject"]
    index = whole_number(cell)
    number = subjects.get(index) if index is not None else subject_number(cell)  # a table with names has s15 itself
    if number is None:
        raise StrayRowError(f"{where}: subject {text_of(cell)!r} is not one of the {len(subjects)} of CAS(ME)²")
    name = clip_name(row.cells["clip"], where)
    keys: list[Key] = [("clip", number, name.lower())]
    video = re.fullmatch(r"([a-z]+\d)_.*", name.lower())
    if video and video[1] in VIDEOS:
        keys.append(("recording", number, VIDEOS[video[1]]))
    return Row(where, f"s{number}", name, tuple(keys), row.cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    name = folder.parts[-1].lower() if folder.parts else ""
    recording = re.match(r"(\d+)_(\d{4})", name)
    if recording:  # the number in the name counts: one recording lies in another subject's folder
        return "recording", int(recording[1]), recording[2]
    number = subject_number(folder.parts[-2]) if len(folder.parts) > 1 else None
    if number is None or not re.fullmatch(r"(anger|disgust|happy)\d_.*", name):
        return None
    return "clip", number, name


LAYOUT = Layout(
    name="casme_squared",
    title="CAS(ME)²",
    fps=30,
    tables=r"(cas\(me\)\^?2.*|code_final.*)\.(xlsx?|csv)",
    usual_table="CAS(ME)^2code_final.xlsx",
    example="selectedpic/s15/anger1_1",
    rows=_rows,
    folder_key=_folder_key,
    published=(
        Published("the 57 micro-expressions", 14, {"negative": 21, "others": 19, "surprise": 9, "positive": 8}),
        Published("all 357 expressions", 22, {"negative": 126, "positive": 124, "others": 82, "surprise": 25}),
        Published("the 300 macro-expressions", 22, {"negative": 105, "positive": 116, "others": 63, "surprise": 16}),
    ),
    licence="Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn)",
    schemes=SCHEMES["casme_squared"],
    offers=("variant", "apex", "table", "corrections"),
    options={"expression": ("micro", "macro", "both")},
    offset_from_apex=True,
)
