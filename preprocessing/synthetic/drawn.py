"""What was drawn of each clip of the corpus: names, sizes and digests of its files, in ``drawn/s01/c03.json``.

The record is written last. A clip without one, or with a file that is missing, cut or changed, is drawn again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.artefacts.files import digest, write_text
from preprocessing.artefacts.record import Mark


class ClipFiles(NamedTuple):
    """Where the files of one drawn clip are."""

    frames: Path
    truth: Path
    record: Path

    @classmethod
    def of(cls, root: Path, person: str, name: str) -> ClipFiles:
        """Those of clip ``name`` of ``person`` below ``root``."""
        truth = root / "truth" / person / f"{name}.npz"
        return cls(root / "frames" / person / name, truth, root / "drawn" / person / f"{name}.json")

    def paths(self) -> Iterator[Path]:
        """Every file but the record; none if the folder of frames is not there."""
        if self.frames.is_dir():
            yield from sorted(path for path in self.frames.iterdir() if not path.name.startswith("."))
            yield self.truth


def write_record(files: ClipFiles, key: str) -> None:
    """Keep what lies there now, as drawn under ``key``."""
    marks = {path.name: dataclasses.asdict(Mark.of(path)) for path in files.paths()}
    content = {"key": key, "files": marks}
    write_text(files.record, json.dumps({**content, "digest": _check(content)}, indent=1, sort_keys=True) + "\n")


def recorded_key(files: ClipFiles) -> str:
    """The key under which a clip was drawn; empty if there is no whole record."""
    return str(_read(files.record).get("key", ""))


def recorded_frames(files: ClipFiles) -> list[str]:
    """Names of the frames that were drawn, in no order; empty if there is no whole record."""
    return [name for name in _read(files.record).get("files", {}) if name != files.truth.name]


def is_intact(files: ClipFiles, everything: bool = False) -> bool:
    """Whether all files that were drawn are there as they were, and no others beside the frames.

    Sizes are always compared, digests of files that were touched after the record was written; all digests with
    ``everything``.
    """
    marks = _read(files.record).get("files")
    if not marks:
        return False
    try:
        written = files.record.stat().st_mtime_ns
        paths = {path.name: path for path in files.paths()}
        return set(paths) == set(marks) and all(_is(paths[name], marks[name], written, everything) for name in marks)
    except (OSError, TypeError, KeyError):
        return False


def _is(path: Path, mark: dict[str, Any], written: int, everything: bool) -> bool:
    now = path.stat()
    if now.st_size != mark["size"]:
        return False
    return not (everything or now.st_mtime_ns >= written) or digest(path) == mark["digest"]


def _read(path: Path) -> dict[str, Any]:
    """The record, or an empty one if it is not there or was changed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        content = {name: found[name] for name in ("key", "files")}
        return content if found["digest"] == _check(content) and isinstance(content["files"], dict) else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _check(content: dict[str, Any]) -> str:
    return digest(json.dumps(content, sort_keys=True).encode())
