"""Read a table of precomputed images, two per clip, for groups that can share only derived images.

    clip_id, subject, label, stream_a, stream_b[, dataset][, split]

Paths are relative to the CSV. A channel list picks channels, counted from 0 as they are written in the file (red,
green, blue, alpha): ``img.png#0`` and ``"img.png#1,2"`` (in quotes, for the comma) make two streams of one file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from preprocessing.clips import check_lengths
from preprocessing.csv_rows import Row, read_csv_rows
from preprocessing.errors import DatasetError, MissingPathError

COLUMNS = ("clip_id", "subject", "label", "stream_a", "stream_b")
TABLE = "streams.csv"
DATASET = "streams"
"""What clip ids begin with if the table has no column for it."""

_CHANNELS = re.compile(r"(?P<path>.*?)(?:#(?P<channels>\d+(?:\s*,\s*\d+)*))?", re.DOTALL)
_WORD = r"[\w.()+^-]+(?: +[\w.()+^-]+)*"
_ID = re.compile(rf"{_WORD}(?:/{_WORD})*")
_NO_FOLDER = {".", ".."}


@dataclass(frozen=True)
class Source:
    """Where one stream of a clip comes from.

    Attributes:
        text: as the table has it.
        path: the file.
        channels: which of its channels, in this order, or None for all of them.
    """

    text: str
    path: Path
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class StreamClip:
    """One row of the table: ``clip_id`` is ``<dataset>/<subject>/<clip>``, ``subject`` its beginning, as in `Clip`."""

    clip_id: str
    subject: str
    label: str
    stream_a: Source
    stream_b: Source
    where: str
    split: str | None = None


def load(root: Path) -> list[StreamClip]:
    """Clips in the order of the table.

    Args:
        root: the CSV, or a folder with ``streams.csv`` or one single CSV in it.

    Ids are ``<dataset>/<subject>/<clip_id>``; without a column ``dataset`` they begin with ``streams``, or with the
    data set that a subject like ``casme2/sub01`` names. A ``clip_id`` that is written out with its subject stays as it
    is. The same ``clip_id`` may occur under two subjects, not twice under one.

    Raises:
        DatasetError: there is no such table or two candidates, a column is absent, a cell is empty, an id has other
            characters than letters, digits, blanks and ``_ . ( ) + ^ -``, a clip is listed twice, two subjects differ
            in letter case only, a path is absolute, leaves the folder of the table (also by a symbolic link), or is
            not a file.
    """
    table = find_table(root)
    rows = read_csv_rows(table, COLUMNS, optional=("dataset",))
    clips = [_clip(table, row) for row in rows]
    _check(table, clips)
    missing = [source for clip in clips for source in (clip.stream_a, clip.stream_b) if not _is_file(source.path)]
    if missing:
        one = next(clip for clip in clips if missing[0] in (clip.stream_a, clip.stream_b))
        hint = "; a channel list looks like img.png#0,1" if "#" in missing[0].path.name else ""
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DatasetError(
            f"{one.where}: there is no file {missing[0].path}{more}; paths are relative to {table.name}{hint}"
        )
    folder = table.parent.resolve()
    for clip in clips:
        for source in (clip.stream_a, clip.stream_b):
            if not source.path.resolve().is_relative_to(folder):
                raise DatasetError(
                    f"{clip.where}: {source.text} is a link that leads out of the folder of {table.name}, to "
                    f"{source.path.resolve()}: put the file there, or the table beside the files"
                )
    return clips


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no system could have, such as one of 300 letters
        return False


def find_table(root: Path) -> Path:
    """The CSV that ``root`` is or holds."""
    if not root.is_dir():
        if not root.is_file():
            raise MissingPathError(f"{root} does not exist: give the CSV of the streams, with {', '.join(COLUMNS)}")
        return root
    if (root / TABLE).is_file():
        return root / TABLE
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv" and not path.name.startswith("."))
    if len(tables) != 1:
        found = f"holds {', '.join(path.name for path in tables[:3])}" if tables else "holds no CSV"
        raise DatasetError(f"{root} {found}: give the CSV of the streams itself, with {', '.join(COLUMNS)}")
    return tables[0]


def _clip(table: Path, row: Row) -> StreamClip:
    where = f"{table.name}, line {row.line}"
    subject, clip = _name(row, "subject", where), _name(row, "clip_id", where)
    dataset = row.cells.get("dataset", "").lower()
    if dataset and (not _ID.fullmatch(dataset) or "/" in dataset or dataset in _NO_FOLDER):
        raise DatasetError(f"{where}: dataset {dataset!r} is not one word of letters, digits and _ . ( ) + ^ -")
    first, slash, rest = subject.partition("/")
    if slash and (not dataset or first.lower() == dataset):
        dataset, subject = first.lower(), rest
    dataset = dataset or DATASET
    for written_out in (f"{dataset}/{subject}/", f"{subject}/"):
        if clip.lower().startswith(written_out.lower()) and len(clip) > len(written_out):
            clip = clip[len(written_out) :]
            break
    a, b = (_source(table, row[name], f"{where}: {name}") for name in ("stream_a", "stream_b"))
    own = f"{dataset}/{subject}"
    return StreamClip(f"{own}/{clip}", own, row["label"], a, b, where, row.cells.get("split", "").lower() or None)


def _name(row: Row, column: str, where: str) -> str:
    """A subject or clip id, which become folders of the cache."""
    text = row[column]
    if not _ID.fullmatch(text) or _NO_FOLDER & set(text.split("/")):
        raise DatasetError(
            f"{where}: {column} {text!r} cannot be a folder name: wanted letters, digits, blanks and _ . ( ) + ^ -"
        )
    check_lengths(text, f"{where}: {column}")
    return text


def _source(table: Path, text: str, where: str) -> Source:
    match = _CHANNELS.fullmatch(text)
    path, listed = (match["path"], match["channels"]) if match else (text, None)
    name = path.strip().replace("\\", "/")  # written on Windows
    inside = os.path.normpath(name)  # a/../b is b, and what is left of .. leads out
    if (
        not name
        or "\0" in name
        or inside.startswith("/")
        or re.match(r"[A-Za-z]:", inside)
        or inside.split("/", 1)[0] in _NO_FOLDER
    ):
        raise DatasetError(
            f"{where} is {text!r}: wanted a file in or below the folder of {table.name}, as a path relative to it"
        )
    channels = None if listed is None else tuple(int(number) for number in listed.split(","))
    return Source(text, table.parent / inside, channels)


def _check(table: Path, clips: list[StreamClip]) -> None:
    seen: dict[str, StreamClip] = {}
    subjects: dict[str, StreamClip] = {}
    for clip in clips:
        other = seen.setdefault(clip.clip_id.lower(), clip)
        if other is not clip:
            raise DatasetError(
                f"{clip.where}: clip {clip.clip_id} stands already in {other.where} (letter case does not tell clips "
                "apart); give each clip of a subject its own clip_id"
            )
        other = subjects.setdefault(clip.subject.lower(), clip)
        if other.subject != clip.subject:
            raise DatasetError(
                f"{clip.where}: subject {clip.subject!r} is written {other.subject!r} in {other.where}: one person "
                "under two names would be trained and tested on; write them alike"
            )
