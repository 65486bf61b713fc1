"""Small trees and tables that look like copies of licensed data sets, written by the tests."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import xlwt

Cells = Sequence[Any]

CASME2_HEADER = [
    *("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None),
    *("Action Units", "Estimated Emotion"),
]
SAMM_HEADER = [
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
    *("Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
]
MMEW_HEADER = [
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks"),
]
CUBED_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
CUBED_C_HEADER = ["sub", "count", "onset", "offset", "au", "emotion"]
CASME_HEADER = [
    *("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "Onset", "Total", "AU", "Emotion"),
]
FOUR_DME_HEADER = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU1"]


def write_xlsx(path: Path, sheets: Mapping[str, Iterable[Cells]]) -> Path:
    """A real ``.xlsx``."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def write_xls(path: Path, sheets: Mapping[str, Iterable[Cells]]) -> Path:
    """A real ``.xls``."""
    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                if cell is not None:
                    sheet.write(r, c, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(str(path))
    return path


def write_csv(path: Path, rows: Iterable[Cells], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    """A text table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def touch(folder: Path, numbers: Iterable[int], pattern: str = "img{}.jpg") -> Path:
    """Empty files with the names of frames: enough for everything that decodes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / pattern.format(number)).touch()
    return folder


def casme2(root: Path, rows: Iterable[Cells], frames: Callable[[Path, range], Any] | None = touch) -> Path:
    """CASME II: its table and, for rows ``subject, clip, onset, apex, offset, units, emotion``, the raw folders."""
    rows = list(rows)
    table = [(s, c, None, on, ap, off, None, au, emotion) for s, c, on, ap, off, au, emotion in rows]
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"Sheet1": [CASME2_HEADER, *table], "Sheet2": [], "Sheet3": []})
    for subject, clip, onset, _, offset, *_ in rows:
        if frames is not None:
            inner = root / "CASME2_RAW_selected" / "CASME2_RAW_selected"
            frames(inner / f"sub{int(subject):02d}" / clip, range(onset, offset + 1))
    return root


def spread(classes: Mapping[str, int], subjects: int) -> list[tuple[int, str]]:
    """(subject index from 0, emotion) for as many clips as the classes have, every subject at least once."""
    emotions = [word for word, n in classes.items() for _ in range(n)]
    return [(i % subjects, emotion) for i, emotion in enumerate(emotions)]
