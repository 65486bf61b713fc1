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
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preprocessing.errors import ToolkitError

RECORD = "record.json"
MANIFEST = "manifest.csv"
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


class FrameWriter:
    """Append equal frames to a ``.npy`` file without holding them; the header is completed on close."""

    def __init__(self, path: Path, frame_shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype, self.count = frame_shape, np.dtype(dtype), 0
        self._file = path.open("wb")
        self._header()

    def _header(self) -> None:
        # NumPy pads the header so that the first axis can grow to any length in place
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self.count, *self._shape),
            },
        )

    def append(self, frame: NDArray[Any]) -> None:
        """Write one frame of the agreed shape."""
        if frame.shape != self._shape:
            raise ValueError(f"frame of shape {frame.shape}, wanted {self._shape}")
        self._file.write(np.ascontiguousarray(frame, self._dtype).tobytes())
        self.count += 1

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._header()


class FrameReader:
    """Frames of a ``.npy`` stack one at a time, so that memory does not grow with the clip. Supports len and []."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, by_columns, self.dtype = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()
        if by_columns or not shape:
            raise ValueError(f"{path} is no stack of frames one after the other (shape {shape})")
        self.shape: tuple[int, ...] = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> NDArray[Any]:
        if not -len(self) <= t < len(self):
            raise IndexError(f"frame {t} of {len(self)}")
        size = int(np.prod(self.shape[1:]))
        offset = self._start + (t % len(self)) * size * self.dtype.itemsize
        frame = np.fromfile(self.path, self.dtype, count=size, offset=offset)
        return frame.reshape(self.shape[1:])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for t in range(len(self)):
            yield self[t]


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


def key_of(*parts: Any) -> str:
    """Stable hash of settings, versions, digests and other keys (dataclasses, dicts, plain values)."""
    text = json.dumps([plain(part) for part in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def plain(value: Any) -> Any:
    """``value`` as JSON would hold it: dataclasses become dicts, tuples lists, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_manifest(cache: Path, rows: list[dict[str, Any]]) -> Path:
    """Write ``manifest.csv`` below ``cache``, rows in the given order."""
    return write_manifest_table(cache, pd.DataFrame(rows))


def write_manifest_table(cache: Path, table: pd.DataFrame) -> Path:
    """The same from a table."""
    path = cache / MANIFEST
    whole = table.convert_dtypes()  # counts stay whole numbers beside the gaps of rejected clips
    write_text(path, whole.to_csv(index=False, lineterminator="\n"))
    return path


def read_manifest(cache: Path) -> pd.DataFrame:
    """The manifest of ``cache``.

    Raises:
        ToolkitError: there is none yet, or it is no table.
    """
    path = cache / MANIFEST
    if not path.is_file():
        raise ToolkitError(f"{path} does not exist: build it with `mer dataset {cache.name}` first")
    try:
        text = dict.fromkeys(("clip_id", "subject", "emotion", "objective_class", "reason"), str)
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])  # a class may be called "none"
    except ValueError as error:
        raise ToolkitError(f"{path} is no manifest ({error}): run `mer dataset` again") from error


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
