"""SMIC, high-speed clips: 164 clips of 16 people at 100 frames per second (Li et al., FG 2013, doi
10.1109/FG.2013.6553717).

Ids are ``smic/s01/s01_ne_01``, two digits each whatever the copy writes. There is no table: the name of a folder,
``s1/micro/negative/s1_ne_01``, is the label, and the whole folder is the clip. No apex is annotated.
"""

from __future__ import annotations

import re

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import Key, Layout, Published, Row, Source

_CLIP = re.compile(r"s0*(\d+)_(?:s0*\d+_)?(ne|po|sur)_0*(\d+)")
_OTHER_SETS = {"vis", "nir", "non_micro", "nonmicro", "non-micro", "hs_long", "smic-hs-e"}


def _folder_key(folder: ImageFolder) -> Key | None:
    match = _CLIP.fullmatch(folder.parts[-1].lower()) if folder.parts else None
    if match is None or _OTHER_SETS & {part.lower() for part in folder.parts}:
        return None
    return int(match[1]), match[2], int(match[3])


def _rows(source: Source) -> tuple[list[Row], list[str]]:
    found: dict[Key, ImageFolder] = {}
    for folder in (*source.tree.images, *source.tree.empty):
        key = _folder_key(folder)
        if key is not None:
            found.setdefault(key, folder)
    rows = []
    for key, folder in sorted(found.items(), key=lambda item: item[0]):
        number, word, sample = key
        name = f"s{number:02d}_{word}_{sample:02d}"
        rows.append(Row(f"folder {folder}", f"s{number:02d}", name, (key,), {"emotion": word}))
    return rows, []


LAYOUT = Layout(
    name="smic",
    title="SMIC (HS)",
    fps=100,
    tables="",
    usual_table="",
    example="HS/s1/micro/negative/s1_ne_01",
    rows=_rows,
    folder_key=_folder_key,
    published=(Published("all 164 clips", 16, {"negative": 70, "positive": 51, "surprise": 43}),),
    licence="University of Oulu, Center for Machine Vision and Signal Analysis",
    schemes=SCHEMES["smic"],
    offers=("variant", "apex"),
    needs_table=False,
)
