"""Small trees that look like copies of long recordings, with as many rows and folders as published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.preprocessing.lookalikes import touch, write_xlsx

LV_HEADER = [
    *("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"),
    *("Action Units", "Notes"),
]
LV_TABLE = "SAMM_LongVideos_V3_Release.xlsx"
SQUARED_SUBJECTS = (15, 16, *range(19, 28), *range(29, 39), 40)
SQUARED_VIDEOS = {
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


def samm_lv(root: Path, rows: Iterable[list[Any]], folders: Iterable[str], numbers: range = range(0, 701, 100)) -> Path:
    """The table with nine rows of text above its header, and a folder for each recording."""
    text = [["SAMM Long Videos"], *([[None]] * 3), *([["text"]] * 5)]
    write_xlsx(root / LV_TABLE, {"V3": [*text, LV_HEADER, *rows]})
    for name in folders:
        touch(root / "SAMM_longvideos" / name, numbers, f"{name}_{{:04d}}.jpg")
    return root


def full_samm_lv(root: Path) -> Path:
    """147 recordings, 343 macro- and 159 micro-expressions."""
    names = [f"{6 + i // 5:03d}_{1 + i % 5}" for i in range(147)]
    rows = []
    for i in range(502):
        video, micro = names[i % 147], i < 159
        kind, onset = ("Micro - 1/2", 100) if micro else ("Macro", 166.4)
        rows.append([video[:3], f"{video}_{1 + i // 147}", None, onset, 200, 300, 201, kind, "4+12B", None])
    return samm_lv(root, rows, names)


def squared(root: Path, rows: Iterable[list[Any]], folders: Iterable[tuple[int, str]]) -> Path:
    """The table without a header, its two naming sheets, and ``rawpic`` with these (subject, folder name)."""
    rule1 = [[n, f"s{n}", i] for i, n in enumerate(SQUARED_SUBJECTS, start=1)]
    rule2 = [[code, name] for name, code in SQUARED_VIDEOS.items()]
    sheets = {"CASFEcode_final": rows, "naming rule1": rule1, "naming rule2": rule2}
    write_xlsx(root / "CAS(ME)^2code_final.xlsx", sheets)
    for number, name in folders:
        touch(root / "rawpic" / f"s{number}" / name, range(1, 1001, 100), "img{:03d}.jpg")
    return root


def full_squared_long(root: Path) -> Path:
    """97 recordings of 22 people, 300 macro- and 57 micro-expressions."""
    videos = [(number, name) for name in SQUARED_VIDEOS for number in SQUARED_SUBJECTS][:97]
    rows = []
    for i in range(357):
        number, name = videos[i % 97]
        kind = "micro" if i < 57 else "macro"
        clip = f"{name}_{1 + i // 97}"
        index = SQUARED_SUBJECTS.index(number) + 1
        rows.append([index, clip, 557, 561, 568, "4", "negative", f"{kind}-expression", "anger"])
    return squared(root, rows, [(number, f"{number}_{SQUARED_VIDEOS[name]}video") for number, name in videos])
