"""Write the aligned frames of a clip as a few JPEGs, `FRAMES` a file, that a page can scrub through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dynamic_images.build import STAGE
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import atomic, key_of, remove_leftovers
from preprocessing.artefacts.stacks import CROPS
from preprocessing.errors import ToolkitError

VERSION = 1
COLUMNS, FRAMES = 8, 64
QUALITY = 88
"""A film strip is for the eye: at this quality a frame of 224 px takes some 10 kB and shows no blocks."""


def write_film_strips(folder: ClipFolder, into: Path) -> None:
    """Write ``0.jpg``, ``1.jpg``, … into ``into``; frame t is in file t // `FRAMES`, row by row, left to right.

    Frames are read one at a time, so that memory does not grow with the clip. Cells after the last frame are black.

    Args:
        folder: the clip's artefacts, stage ``images`` included.
        into: a folder of this clip alone; created. Its older strips are replaced.

    Raises:
        ToolkitError: the images stage is not there, or the crops are not what their stage wrote.
    """
    key, crops = film_strip_key(folder), folder.frames(CROPS)
    into.mkdir(parents=True, exist_ok=True)
    remove_leftovers(into)
    height, width = crops.shape[1:3]
    for strip, first in enumerate(range(0, len(crops), FRAMES)):
        count = min(FRAMES, len(crops) - first)
        sheet = np.zeros((-(-count // COLUMNS) * height, COLUMNS * width, 3), np.uint8)
        for k in range(count):
            y, x = k // COLUMNS * height, k % COLUMNS * width
            sheet[y : y + height, x : x + width] = crops[first + k]
        _save(sheet, into / f"{strip}.jpg", key)


def film_strip_key(folder: ClipFolder) -> str:
    """What film strips depend on; the key of the images stage covers the crops.

    Raises:
        ToolkitError: the images stage is not there.
    """
    entry = folder.entry(STAGE)
    if entry is None:
        raise ToolkitError(f"{folder.folder} has no dynamic images yet: run `mer dataset` first")
    return key_of("film strip", VERSION, entry.key)


def are_fresh(into: Path, n_frames: int, key: str) -> bool:
    """Whether all strips of ``n_frames`` frames are in ``into`` and were written under ``key``, which each carries."""
    return all(_key_of_file(into / f"{strip}.jpg") == key for strip in range(-(-n_frames // FRAMES)))


def _key_of_file(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            comment = image.info.get("comment", b"")
    except (FileNotFoundError, UnidentifiedImageError):
        return None
    return bytes(comment).decode("ascii", "replace")


def _save(sheet: np.ndarray, path: Path, key: str) -> None:
    with atomic(path) as scratch:
        Image.fromarray(sheet).save(scratch, "JPEG", quality=QUALITY, subsampling=0, comment=key.encode("ascii"))
