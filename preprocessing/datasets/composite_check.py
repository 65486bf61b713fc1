"""Compare a composite with the organisers' own list of clips, which the user has and the toolkit does not ship.

The list of MEGC2019 is ``combined_3class_gt.csv``: no header, ``db, subject, clip, label``; subjects are ``sub01``,
``s01`` or ``6``, SMIC clips ``s01_ne_01``; 0 is negative, 1 positive, 2 surprise. Blank lines occur.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from preprocessing.csv_rows import read_csv_cells
from preprocessing.datasets.composites import CompositeRule
from preprocessing.errors import DatasetError

LABELS = {"0": "negative", "1": "positive", "2": "surprise"}

Key = tuple[str, int, str]
"""Data set, number of the subject, clip: what is left when spellings are."""


def differences(rule: CompositeRule, manifest: pd.DataFrame, path: Path) -> list[str]:
    """Row by row what the list has and the rule gives otherwise, in words; empty if they agree.

    Args:
        rule: of the composite.
        manifest: of the composite; rejected clips count, the list knows nothing of faces.
        path: the organisers' CSV.

    Raises:
        DatasetError: it is not such a list, or lists a clip twice.
    """
    listed = _listed(path, rule)
    ours: dict[Key, tuple[str, str]] = {}
    for clip_id, label in zip(manifest["clip_id"], rule.labels(manifest), strict=True):
        if label is not None:
            dataset, subject, clip = clip_id.split("/", 2)
            ours[_key(dataset, subject, clip)] = (clip_id, label)
    found = [f"missing here: {where}" for key, (where, _) in listed.items() if key not in ours]
    found += [f"not in the list: {clip_id} ({label})" for key, (clip_id, label) in ours.items() if key not in listed]
    for key in listed.keys() & ours.keys():
        (where, wanted), (clip_id, label) = listed[key], ours[key]
        if label != wanted:
            found.append(f"label differs: {clip_id} is {label} here and {wanted} in {where}")
    return sorted(found)


def _listed(path: Path, rule: CompositeRule) -> dict[Key, tuple[str, str]]:
    """Key → (line of the list in words, class)."""
    found: dict[Key, tuple[str, str]] = {}
    for row in read_csv_cells(path):
        cells = [row.cells.get(str(i), "") for i in range(4)]
        dataset, subject, clip, label = cells
        if len(row.cells) != 4 or dataset.lower() not in rule.members or label not in LABELS:
            raise DatasetError(
                f"{path}, line {row.line}: {', '.join(row.cells.values())!r}, wanted db, subject, clip, label with db "
                f"one of {', '.join(rule.members)} and label 0, 1 or 2"
            )
        if not re.search(r"\d", subject):
            raise DatasetError(f"{path}, line {row.line}: subject {subject!r} has no number")
        key = _key(dataset.lower(), subject, clip)
        if key in found:
            raise DatasetError(f"{path}, line {row.line}: {dataset} {subject} {clip} is listed twice")
        found[key] = (f"{dataset} {subject} {clip} ({LABELS[label]}, line {row.line})", LABELS[label])
    if not found:
        raise DatasetError(f"{path} lists no clips: wanted db, subject, clip, label in each line")
    return found


def _key(dataset: str, subject: str, clip: str) -> Key:
    """``sub01``, ``s01`` and ``1`` are one subject; ``s01_ne_01`` and ``s1_ne_01`` are one clip of SMIC."""
    number = int("".join(re.findall(r"\d", subject)))
    name = clip.lower()
    return dataset, number, re.sub(r"(?<!\d)0+(?=\d)", "", name) if dataset == "smic" else name
