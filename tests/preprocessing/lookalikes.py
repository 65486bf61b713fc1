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
DFME_HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
DFME_PARTS = {  # table, folder of the clips, subjects, clips by class
    "train": (
        *("full_release_annotation/training_full_with_AU.xlsx", "train_data/train_data", 176),
        {"disgust": 548, "surprise": 298, "sadness": 278, "fear": 265, "happiness": 206, "anger": 161, "contempt": 100},
    ),
    "test_a": (
        *("full_release_annotation/test_A_with_AU.xlsx", "test_data_A", 42),
        {"disgust": 129, "surprise": 101, "sadness": 46, "fear": 62, "happiness": 63, "anger": 39, "contempt": 34},
    ),
    "test_b": (
        *("full_release_annotation/test_B_with_AU.xlsx", "test_data_B", 41),
        {"disgust": 58, "surprise": 48, "sadness": 35, "fear": 38, "happiness": 42, "anger": 41, "contempt": 37},
    ),
}
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


def full_casme2(root: Path, classes: Mapping[str, int]) -> Path:
    """As many clips as published, three frames each."""
    rows = [
        (f"{s + 1:02d}", f"EP{i // 26:02d}_{i:03d}f", 10, 11, 12, "4", word)
        for i, (s, word) in enumerate(spread(classes, 26))
    ]
    return casme2(root, rows)


def full_samm(root: Path, classes: Mapping[str, int]) -> Path:
    people = [n for n in range(6, 38) if n not in (8, 27, 29)]
    rows, folder = [], root / "SAMM" / "SAMM"
    for i, (s, word) in enumerate(spread(classes, 29)):
        subject, clip = f"{people[s]:03d}", f"{people[s]:03d}_1_{i}"
        rows.append([subject, clip, None, 5, 6, 7, 3, "Micro - 1/2", "4", word.capitalize(), 1, None])
        touch(folder / subject / clip, (5, 6, 7), f"{subject}_{{:04d}}.jpg")
    write_xlsx(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*([["text"]] * 13), SAMM_HEADER, *rows]})
    return root


def full_smic(root: Path) -> Path:
    """ne/po/sur per subject as published."""
    counts = (
        "1:3/2/1 2:0/1/5 3:22/11/6 4:10/4/5 5:1/0/1 6:2/0/2 8:9/4/0 9:0/1/3 11:3/3/1 12:0/8/1 13:0/10/0 14:3/2/5 "
        "15:1/1/2 18:2/0/5 19:0/1/1 20:14/3/5"
    )
    long = {"ne": "negative", "po": "positive", "sur": "surprise"}
    for entry in counts.split():
        subject, numbers = entry.split(":")
        for word, n in zip(long, numbers.split("/"), strict=True):
            for i in range(1, int(n) + 1):
                at = root / "SMIC_all_raw" / "HS" / f"s{subject}" / "micro" / long[word] / f"s{subject}_{word}_{i:02d}"
                touch(at, range(90823, 90826), "image{:06d}.bmp")
    return root


def full_mmew(root: Path, classes: Mapping[str, int]) -> Path:
    codes = {"happiness": 1, "surprise": 2, "disgust": 3, "others": 4, "fear": 5, "sadness": 6, "anger": 7}
    rows = []
    for i, (s, word) in enumerate(spread(classes, 30)):
        name = f"S{s + 1:02d}-{codes[word]:02d}-{i:03d}"
        rows.append([s + 1, name, 1, 2, 3, "4+R10", word, None])
        folder = "repression" if word == "others" else word
        touch(root / "MMEW_Final" / "Micro_Expression" / folder / name, (1, 2, 3), "{}.jpg")
    write_xlsx(root / "MMEW_Micro_Exp (20).xlsx", {"Sheet1": [MMEW_HEADER, *rows]})
    return root


def full_squared(root: Path, micro: Mapping[str, int], macro: Mapping[str, int]) -> Path:
    """The table without a header and its two naming sheets."""
    numbers = [15, 16, *range(19, 28), *range(29, 39), 40]
    some = [1, 2, 3, 7, 8, 9, 11, 12, 13, 14, 15, 18, 20, 21]
    rows = []
    for kind, classes, people in (("micro", micro, some), ("macro", macro, list(range(1, 23)))):
        for i, (s, word) in enumerate(spread(classes, len(people))):
            name = f"anger1_{kind[1]}{i}"
            rows.append([people[s], name, 557, 558, 559, "4", word, f"{kind}-expression", "happyiness"])
            touch(root / "selectedpic" / f"s{numbers[people[s] - 1]}" / name, (557, 558, 559))
    rule1 = [[n, f"s{n}", i] for i, n in enumerate(numbers, start=1)]
    rule2 = [["0101", "disgust1"], ["0401", "anger1"]]
    write_xlsx(
        root / "CAS(ME)^2code_final.xlsx", {"CASFEcode_final": rows, "naming rule1": rule1, "naming rule2": rule2}
    )
    return root


def full_cubed(root: Path, classes: Mapping[str, int]) -> Path:
    """Whole recordings; every cell of the table is text."""
    rows = []
    spell = {"sadness": "sad", "happiness": "happy"}
    for i, (s, word) in enumerate(spread(classes, 94)):
        onset = 300 + 10 * i
        rows.append([f"spNO.{s + 1}", "a", *map(str, (onset, onset + 1, onset + 2)), "4", "III", spell.get(word, word)])
        video = root / "part_A" / "data" / "part_A" / f"spNO.{s + 1}" / "a"
        touch(video / "color", range(onset, onset + 3), "{}.jpg")
        touch(video / "depth", range(onset, onset + 3), "{}.png")
    write_xlsx(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [CUBED_HEADER, *rows]})
    return root


def full_cubed_c(root: Path, classes: Mapping[str, int]) -> Path:
    """Part C: numbers count the images of the folder."""
    rows = []
    people = [n for n in range(1, 32) if n != 22]
    for i, (s, word) in enumerate(spread(classes, 30)):
        rows.append([people[s], i, 2, 4, "R4,5", word])
        touch(root / "part_C" / f"{people[s]:02d}" / "a" / "color", (11, 25, 26, 30, 31), "{}.jpg")
    write_xlsx(root / "CAS(ME)3_part_C_ME.xlsx", {"Sheet1": [CUBED_C_HEADER, *rows]})
    return root


def full_casme(root: Path, classes: Mapping[str, int]) -> Path:
    rows = []
    for i, (s, word) in enumerate(spread(classes, 19)):
        rows.append([s + 1, f"EP01_{i}", None, 73, 74, "\\", 75, None, 3, 3, "4", word])
        folder = root / "CASME_A" / "Section A" / f"sub{s + 1:02d}" / f"EP01_{i}"
        touch(folder, (73, 74, 75), f"EP01_{i}-{{}}.jpg")
    write_xls(root / "CASME-coded-20190721.xls", {"Sheet1": [CASME_HEADER, *rows]})
    return root


def full_four_dme(root: Path, classes: Mapping[str, int]) -> Path:
    rows = []
    for i, (s, word) in enumerate(spread(classes, 41)):
        rows.append([s + 1, f"clip_{i}", word, 1825, 1826, 1827, "AU4(k)+L7", 0])
        touch(root / "gray_micro" / str(s + 1) / f"clip_{i}", (1825, 1826, 1827), "Frame_{:09d}.jpg")
    write_xlsx(root / "4DME_Labelling_Micro_release v1.xlsx", {"a": [FOUR_DME_HEADER, *rows]})
    return root


def dfme(root: Path, parts: Mapping[str, tuple[str, str, int, Mapping[str, int]]] = DFME_PARTS) -> Path:
    """A table and a folder of clips for each part, no folder for the subject; people differ between parts."""
    before = 0
    for table, clips, subjects, classes in parts.values():
        rows = []
        for i, (s, word) in enumerate(spread(classes, subjects)):
            subject, clip = f"sub{before + s + 1:04d}", f"sub{before + s + 1:04d}_{i // subjects + 1:02d}"
            rows.append([subject, clip, 0, 1, 2, f"{word.capitalize()} ", 1, 200 + 100 * (i % 4), "4+12"])
            touch(root / clips / clip, (0, 1, 2), "{:05d}.png")
        write_xlsx(root / table, {"Sheet1": [DFME_HEADER, *rows]})
        before += subjects
    return root
