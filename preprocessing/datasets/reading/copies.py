"""Find the frame folder of each table row below a root that may hold several copies of the same clips. Pure.

Raw recordings, cropped faces, an older zip beside a newer one: each is a *copy*, the folders whose path is the same but
for what belongs to the clip. One copy is used, the one of the wanted variant in which most rows find their folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from preprocessing.datasets.reading.cells import SPELLINGS
from preprocessing.datasets.reading.folders import ImageFolder, Tree, shown
from preprocessing.datasets.reading.layout import Key, Layout, Row
from preprocessing.errors import DatasetError

_OF_A_CLIP = r"(?:sub|s|spno\.?)?\d+(?:_\d+)*|[a-z]|colou?r|rgb|micro"
"""Folder names that tell a clip, a subject or a kind of frames; emotion words do so too, see `_words`."""


@dataclass(frozen=True)
class Finding:
    """Something about a copy that is worth telling; ``warning`` if a result may depend on it."""

    what: str
    items: tuple[str, ...] = ()
    warning: bool = True


@dataclass(frozen=True)
class Match:
    """The copy that is used.

    Attributes:
        folders: of each row, or None.
        name: where the copy lies below the root.
        variant: ``raw`` or ``cropped``.
        size: folders of clips in it.
        remarks: what is left over, double, or lies elsewhere.
    """

    folders: tuple[ImageFolder | None, ...]
    name: str
    variant: str
    size: int
    remarks: tuple[Finding, ...]


def match(layout: Layout, tree: Tree, rows: Sequence[Row], variant: str | None) -> Match:
    """Find the folder of every row.

    Raises:
        DatasetError: no row has a folder, or none in the wanted variant.
    """
    copies: dict[str, dict[Key, list[ImageFolder]]] = defaultdict(lambda: defaultdict(list))
    words, divided = _words(layout), layout.divided
    for folder in tree.images:
        key = layout.folder_key(folder)
        if key is not None:
            copies[_copy_of(folder, words, divided)][key].append(folder)
    found = {name: sum(_find(row, index) is not None for row in rows) for name, index in copies.items()}
    found = {name: n for name, n in found.items() if n}
    if not found:
        raise DatasetError(_nothing(layout, tree, rows))
    variants = {name: "cropped" if _is_cropped(name, tree) else "raw" for name in found}
    wanted = variant or ("raw" if "raw" in variants.values() else "cropped")
    fitting = [name for name in found if variants[name] == wanted]
    if not fitting:
        raise DatasetError(
            f"{tree.root} holds no {wanted} copy of {layout.title}, only {shown(sorted(found))} "
            f"({next(iter(variants.values()))}): leave --variant out, or give the folder of that copy"
        )
    name = max(fitting, key=lambda copy: (found[copy], -len(copy)))
    index = copies[name]
    folders = tuple(_find(row, index) for row in rows)
    remarks = list(_left_over(layout, rows, index, tree))
    others = [f"{copy or '.'} ({variants[copy]}, {found[copy]} clips)" for copy in found if copy != name]
    if others:
        remarks.append(Finding(f"other copies, not used (used: {name or '.'})", tuple(others), warning=False))
    return Match(folders, name, wanted, sum(map(len, index.values())), tuple(remarks))


def _find(row: Row, index: dict[Key, list[ImageFolder]]) -> ImageFolder | None:
    return next((index[key][0] for key in row.keys if key in index), None)


def _left_over(layout: Layout, rows: Sequence[Row], index: dict[Key, list[ImageFolder]], tree: Tree) -> list[Finding]:
    wanted = {key for row in rows for key in row.keys}
    unused = tuple(str(folder) for key, folders in index.items() if key not in wanted for folder in folders)
    double = tuple(f"{folders[0]} and {shown(folders[1:])}" for folders in index.values() if len(folders) > 1)
    empty = tuple(str(f) for f in tree.empty if (key := layout.folder_key(f)) and key in wanted and key not in index)
    return [
        finding
        for finding in (
            Finding("folders without a row", unused, warning=False),
            Finding("clips with two folders; the first is used", double),
            Finding("folders of clips that are empty", empty),
        )
        if finding.items
    ]


def _words(layout: Layout) -> frozenset[str]:
    """Emotion words in every spelling: a folder of that name tells the kind of clip and not which copy it is."""
    published = (word for version in layout.published for word in version.classes)
    of_schemes = (word for scheme in layout.schemes.values() for words in scheme.values() for word in words)
    spelt = (spelling for spellings in SPELLINGS.values() for spelling in spellings)
    return frozenset((*SPELLINGS, *spelt, *published, *of_schemes))


def _copy_of(folder: ImageFolder, words: frozenset[str], divided: str = "") -> str:
    """The path without what belongs to the clip: what the folders of one copy have in common."""
    parts = ((part, part.lower()) for part in folder.parts[:-1])
    own = f"(?:{_OF_A_CLIP})" + (f"|(?:{divided})" if divided else "")
    return "/".join(part for part, low in parts if low not in words and not re.fullmatch(own, low))


def _is_cropped(copy: str, tree: Tree) -> bool:
    return "crop" in copy.lower() or "crop" in tree.root.resolve().name.lower()


def _nothing(layout: Layout, tree: Tree, rows: Sequence[Row]) -> str:
    wanted = shown([f"{row.subject}/{row.name}" for row in rows], 2)
    which = (
        f"none of the {len(rows)} clips of {layout.title} ({wanted}), from {rows[0].where}, has"
        if rows
        else "no clip has"
    )
    start = f"{which} a folder below {tree.root}: wanted folders such as {layout.example}"
    if not tree.images:
        return f"{start}, there are no images at all. Give the folder that holds both the table and the frames"
    return (
        f"{start}, found {len(tree.images)} others ({shown(tree.images, 2)}). Is it another data set, or is it one "
        "clip's or one subject's folder and the root is further up?"
    )
