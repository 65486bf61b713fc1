"""List a copy of a data set: every folder with images in it and every table, at whatever depth they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.datasets.reading.tables import SUFFIXES
from preprocessing.errors import DatasetError, MissingPathError
from preprocessing.video import IMAGE_SUFFIXES

DEEPEST = 12
"""Folders below each other that are followed; real copies need seven."""


@dataclass(frozen=True)
class ImageFolder:
    """A folder that holds images: its path, the folder names from the root down to it, how many image files."""

    path: Path
    parts: tuple[str, ...]
    images: int

    def __str__(self) -> str:
        return "/".join(self.parts) or self.path.name


@dataclass(frozen=True)
class Tree:
    """What lies below a root: folders with images, empty folders, tables, and what could not be looked into."""

    root: Path
    images: tuple[ImageFolder, ...]
    empty: tuple[ImageFolder, ...]
    tables: tuple[Path, ...]
    unreadable: tuple[str, ...]


def look_through(root: Path) -> Tree:
    """Walk a root once, names only. Links to folders are followed, each real folder is looked into once.

    Raises:
        DatasetError: the root is not there or is not a folder.
    """
    if not root.exists():
        raise MissingPathError(f"{root} does not exist: give the folder that the data set was unpacked into")
    if not root.is_dir():
        raise DatasetError(f"{root} is a file: give the folder that the data set was unpacked into")
    images: list[ImageFolder] = []
    empty: list[ImageFolder] = []
    tables: list[Path] = []
    unreadable: list[str] = []

    def failed(error: OSError) -> None:
        unreadable.append(f"{error.filename} cannot be listed: {error.strerror}")

    state = root.stat()
    seen = {(state.st_dev, state.st_ino)}
    for name, folders, files in os.walk(root, followlinks=True, onerror=failed):
        folder = Path(name)
        parts = folder.relative_to(root).parts
        folders[:] = [child for child in sorted(folders) if not child.startswith(".") and child != "__MACOSX"]
        folders[:] = list(_new(folder, folders, seen, unreadable)) if len(parts) < DEEPEST else []
        pictures = [file for file in files if _suffix(file) in IMAGE_SUFFIXES and not file.startswith(".")]
        if pictures:
            images.append(ImageFolder(folder, parts, len(pictures)))
        elif not folders:
            empty.append(ImageFolder(folder, parts, 0))
        tables += [folder / file for file in sorted(files) if _suffix(file) in SUFFIXES and file[:1] not in "._~"]
    return Tree(root, tuple(images), tuple(empty), tuple(tables), tuple(unreadable))


def in_parents(root: Path, levels: int = 3) -> Iterator[Path]:
    """Tables that lie beside the root or up to ``levels`` folders above it: a hint that the root is too deep."""
    for parent in list(root.resolve().parents)[:levels]:
        try:
            entries = sorted(parent.iterdir())
        except OSError:
            return
        yield from (path for path in entries if path.suffix.lower() in SUFFIXES and path.name[:1] not in "._~")


def shown(items: Sequence[object], most: int = 3) -> str:
    """The first few of many, for a sentence."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def _new(folder: Path, children: list[str], seen: set[tuple[int, int]], unreadable: list[str]) -> Iterator[str]:
    """Children that were not walked before under another name, so that a loop of links ends."""
    for child in children:
        path = folder / child
        try:
            state = path.stat()
        except OSError as error:
            unreadable.append(f"{path} cannot be opened: {error.strerror}")
            continue
        if (state.st_dev, state.st_ino) in seen:
            unreadable.append(f"{path} links to a folder that is listed already: passed over")
            continue
        seen.add((state.st_dev, state.st_ino))
        yield child


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
