"""Artefacts on disk: one folder per clip that a person can open, written aside and renamed, the record last.

    cache/<dataset>/
      manifest.csv                 one row per clip, rejected ones with their reason
      members.json                 only where clips are of several data sets: data set -> its cache folder
      clips/<subject>/<clip>/      the rest of the clip id
        crops.npy ...              the truth: arrays
        temporal_ranked.png ...    for the eye
        record.json                what was done, with which settings, from which input; written last

A stage is fresh when the record holds its key and its files stand there with the recorded sizes. A key covers the
stage's version and settings, the input's digest and the keys of the stages before it, so a change makes exactly the
affected stages stale.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError

RECORD = "record.json"
MEMBERS = "members.json"
SCRATCH = ".partial"


@dataclass
class Entry:
    """What one stage left behind: its key, settings, files with sizes, and numbers for the manifest."""

    key: str
    settings: dict[str, Any]
    files: dict[str, int] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


class ClipFolder:
    """The artefacts of one clip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def load(self, name: str, mmap: bool = False) -> NDArray[Any]:
        """Array ``name`` (``crops.npy``), read-only and mapped when ``mmap``."""
        array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r" if mmap else None, allow_pickle=False)
        return array

    def record(self) -> dict[str, Any]:
        """The record, or an empty one where there is none that parses (then nothing counts as done)."""
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"stages": {}}
        return record if isinstance(record, dict) and isinstance(record.get("stages"), dict) else {"stages": {}}

    def entry(self, stage: str) -> Entry | None:
        """What ``stage`` recorded, or None."""
        try:
            entry = Entry(**self.record()["stages"].get(stage))
        except TypeError:  # none, or not of this form
            return None
        return entry if isinstance(entry.files, dict) and isinstance(entry.result, dict) else None

    def fresh(self, stage: str, key: str) -> bool:
        """Whether ``stage`` is done under ``key`` and its files are all there at their recorded sizes."""
        entry = self.entry(stage)
        if entry is None or entry.key != key:
            return False
        return all(_size(self.folder / name) == size for name, size in entry.files.items())

    def clear(self) -> None:
        """Remove every file, the record first, so that nothing counts as done at any moment."""
        for path in [self.folder / RECORD, *self.folder.iterdir()]:
            if path.is_file():
                path.unlink()

    @contextmanager
    def writing(self, stage: str, entry: Entry, **about: Any) -> Iterator[Path]:
        """Yield an empty scratch folder; when the block succeeds, its files become the stage's artefacts.

        The stage's old entry loses its key before any file is replaced and the new one enters after all are, so that
        an interruption at any moment leaves the stage undone, never half new. Fill ``entry.result`` inside the
        block. ``about`` (clip facts, library versions) is merged into the record's top level.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch
            entry.files.update((path.name, path.stat().st_size) for path in sorted(scratch.iterdir()))
            record, old = self.record(), self.entry(stage)
            gone = {} if old is None else old.files
            # under no key the stage is undone; its files stay known, so that whoever goes on can remove them
            record["stages"][stage] = dataclasses.asdict(Entry("", {}, gone | entry.files))
            self._write_record(record, scratch)
            for name in gone:
                (self.folder / name).unlink(missing_ok=True)
            for name in entry.files:
                (scratch / name).replace(self.folder / name)
            record["stages"][stage] = dataclasses.asdict(entry)
            self._write_record({**record, **about}, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _write_record(self, record: Mapping[str, Any], scratch: Path) -> None:
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        (scratch / RECORD).write_text(text, encoding="utf-8", newline="")
        (scratch / RECORD).replace(self.folder / RECORD)


def clip_folder(cache: Path, clip_id: str) -> ClipFolder:
    """Folder of a clip below ``cache`` (``cache/<dataset>``), or below the member of ``cache`` that it belongs to."""
    dataset, inside = clip_id.split("/", 1)
    return ClipFolder(cache / read_members(cache).get(dataset, "") / "clips" / inside)


def read_members(cache: Path) -> dict[str, str]:
    """Data set → the cache folder of its clips, relative to ``cache``; empty where ``cache`` holds its own clips.

    Clips of several data sets need folders of their own, since two may call a subject alike.

    Raises:
        ToolkitError: the list of members is damaged.
    """
    path = cache / MEMBERS
    try:
        members = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(folder) for name, folder in members.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise ToolkitError(f"{path} is no list of folders ({error}): run `mer dataset {cache.name}` again") from error


def write_members(cache: Path, members: Mapping[str, str]) -> None:
    """Say that ``cache`` is made of other folders, or with an empty mapping that it is not."""
    if members:
        write_text(cache / MEMBERS, json.dumps(dict(members), indent=1) + "\n")
    else:
        (cache / MEMBERS).unlink(missing_ok=True)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
