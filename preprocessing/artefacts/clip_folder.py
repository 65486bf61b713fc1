"""Artefacts on disk: one folder per clip that a person can open, written aside and renamed, the record last.

    cache/<dataset>/
      manifest.csv                 one row per clip, rejected ones with their reason
      members.json                 only where clips are of several data sets: data set -> its cache folder
      clips/<subject>/<clip>/      the rest of the clip id
        crops.mkv ...              the truth: the aligned face without loss, arrays
        temporal_ranked.png ...    for the eye
        record.json                what was done, with which settings, from which input; written last

A stage is fresh when the record holds its key, its files stand there with the recorded sizes, and the files that it was
made from have the digests that they had then. A key covers the stage's version and settings, the input's digest and the
keys of the stages before it, so a change makes exactly the affected stages stale. A file's bytes are compared with the
record whenever something is made from it (`ClipFolder.verified`) and when damage is looked for (`ClipFolder.damage`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from preprocessing.artefacts.arrays import read_array
from preprocessing.artefacts.files import digest, remove_leftovers, scratch_path, write_text
from preprocessing.artefacts.locks import CLIP_WAIT, LOCK, locked
from preprocessing.artefacts.members import read_members
from preprocessing.artefacts.record import RECORD, Entry, Mark, as_text, parsed, read_record, stored
from preprocessing.artefacts.stacks import PICTURES, Frames, open_stack, read_stack
from preprocessing.errors import DamagedArtefactError, ToolkitError

_digests: dict[str, tuple[int, int, str]] = {}
"""Path → time, size and digest of files that this process has hashed: each is hashed once while it stays the same."""


class Damage(NamedTuple):
    """A file that is not what a stage wrote."""

    stage: str
    file: str


class ClipFolder:
    """The artefacts of one clip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def load(self, name: str, mmap: bool = False, check: bool = True) -> NDArray[Any]:
        """Array ``name`` (``intensity.npy``), read-only and mapped when ``mmap``; `verified` first when ``check``.

        Of a video all frames at once; see `frames` for one at a time.
        """
        path = self.verified(name) if check else self.folder / name
        return read_stack(path) if path.suffix == PICTURES else read_array(path, mmap)

    def frames(self, name: str) -> Frames:
        """The frames of the stack ``name``, `verified` as a whole before the first is read."""
        return open_stack(self.verified(name))

    def verified(self, name: str) -> Path:
        """The path of a file whose bytes are those that its stage wrote, by the digest in the record.

        A file is hashed once per process while its size and time stay the same.

        Raises:
            DamagedArtefactError: it is missing, was changed, or no stage of the record wrote it.
        """
        path, (stage, mark) = self.folder / name, self._marks().get(name, ("", None))
        if mark is None:
            raise DamagedArtefactError(self.folder, name, "", "is not known, so nothing vouches for it")
        try:
            found = Mark(path.stat().st_size, _digest(path))
        except OSError as error:
            raise DamagedArtefactError(self.folder, name, stage, f"cannot be read ({error.strerror})") from error
        if found != mark:
            raise DamagedArtefactError(self.folder, name, stage, "is not what was written")
        return path

    def digests(self, *names: str) -> dict[str, str]:
        """Recorded digests of files, for the ``inputs`` of an entry that is made from them."""
        marks = self._marks()
        return {name: marks[name][1].digest for name in names}

    def recorded(self, name: str) -> str:
        """Recorded digest of a file; empty if no finished stage wrote one of that name."""
        found = self._marks().get(name)
        return "" if found is None else found[1].digest

    def record(self) -> dict[str, Any]:
        """The record, or an empty one where there is none that parses (then nothing counts as done)."""
        return read_record(self.folder)

    def entry(self, stage: str) -> Entry | None:
        """What ``stage`` recorded, or None if there is nothing whole."""
        return parsed(stage, self.record()["stages"].get(stage))

    def fresh(self, stage: str, key: str) -> bool:
        """Whether ``stage`` is done under ``key``: its files there at their sizes, its inputs still those of then."""
        entry = self.entry(stage)
        if entry is None or not key or entry.key != key:
            return False
        marks = self._marks() if entry.inputs else {}
        if any(name not in marks or marks[name][1].digest != old for name, old in entry.inputs.items()):
            return False
        return all(_size(self.folder / name) == mark.size for name, mark in entry.files.items())

    def state(self, stages: Collection[str]) -> str:
        """Digest of what these stages recorded: as long as it is the same, their artefacts are the same."""
        found = self.record()["stages"]
        return digest(as_text({"stages": {name: found[name] for name in stages if name in found}}).encode())

    def damage(self, everything: bool = False) -> list[Damage]:
        """Files that are not what their stage wrote.

        Sizes are always compared, digests of files that were touched after the record was written, which changes of any
        program are but not those of a failing disk; with ``everything`` all digests.
        """
        written = _time(self.folder / RECORD)
        return [
            Damage(stage, name)
            for name, (stage, mark) in self._marks().items()
            if _size(path := self.folder / name) != mark.size
            or ((everything or _time(path) >= written) and _digest(path, anew=everything) != mark.digest)
        ]

    def discard(self, *stages: str) -> None:
        """Make stages count as undone; their files stay known, so that making them again replaces them."""
        if not stages:
            return
        with self.locked():
            record = self.record()
            for stage in stages:
                old = self.entry(stage)
                record["stages"][stage] = stored(stage, Entry("", {}, {} if old is None else old.files))
            write_text(self.folder / RECORD, as_text(record))

    def clear(self) -> None:
        """Remove every file, the record first, so that nothing counts as done at any moment."""
        with self.locked():
            for path in [self.folder / RECORD, *self.folder.iterdir()]:
                if path.is_file() and path.name != LOCK:
                    path.unlink()

    def locked(self) -> AbstractContextManager[None]:
        """Hold the clip against other processes, waiting for whoever is at work on it."""
        return locked(self.folder, "offline stages of this clip", CLIP_WAIT)

    @contextmanager
    def writing(self, stage: str, entry: Entry, **about: Any) -> Iterator[Path]:
        """Yield an empty scratch folder; when the block succeeds, its files become the stage's artefacts.

        The stage's old entry loses its key before any file is replaced and the new one enters after all are, so that
        an interruption at any moment leaves the stage undone, never half new. The clip is `locked` meanwhile, and the
        scratch is this call's alone. Fill ``entry.result`` and ``entry.inputs`` inside the block. ``about`` (clip
        facts, library versions) is merged into the record's top level.
        """
        with self.locked():
            remove_leftovers(self.folder, alone=True)
            with scratch_path(self.folder) as scratch:
                scratch.mkdir()
                yield scratch
                entry.files = {path.name: Mark.of(path) for path in sorted(scratch.iterdir())}
                self._publish(stage, entry, scratch, about)

    def _publish(self, stage: str, entry: Entry, scratch: Path, about: dict[str, Any]) -> None:
        record, old = self.record(), self.entry(stage)
        gone = {} if old is None else old.files
        # under no key the stage is undone; its files stay known, so that whoever goes on can remove them
        record["stages"][stage] = stored(stage, Entry("", {}, gone | entry.files))
        write_text(self.folder / RECORD, as_text(record))
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        for name, mark in entry.files.items():
            path = (scratch / name).replace(self.folder / name)
            _digests[_name(path)] = (_time(path), mark.size, mark.digest)
        record["stages"][stage] = stored(stage, entry)
        write_text(self.folder / RECORD, as_text({**record, **about}))

    def _marks(self) -> dict[str, tuple[str, Mark]]:
        """File → the finished stage that wrote it, and its mark."""
        entries = {stage: parsed(stage, found) for stage, found in self.record()["stages"].items()}
        done = {stage: entry for stage, entry in entries.items() if entry is not None and entry.key}
        return {name: (stage, mark) for stage, entry in done.items() for name, mark in entry.files.items()}


def clip_folder(cache: Path, clip_id: str) -> ClipFolder:
    """Folder of a clip below ``cache`` (``cache/<dataset>``), or below the member of ``cache`` that it belongs to.

    Raises:
        ToolkitError: the id is none of a clip, or the list of members is damaged.
    """
    dataset, _, inside = clip_id.partition("/")
    if not inside or set(inside.split("/")) & {"", ".", ".."} or "\\" in inside:
        raise ToolkitError(f"{clip_id!r} is no clip id, wanted <dataset>/<subject>/<clip>: is {cache} damaged?")
    return ClipFolder(cache / read_members(cache).get(dataset, "") / "clips" / inside)


def _name(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  (resolving links would cost more than the hash)


def _digest(path: Path, anew: bool = False) -> str:
    now, name = path.stat(), _name(path)
    known = _digests.get(name)
    if anew or known is None or known[:2] != (now.st_mtime_ns, now.st_size):
        known = _digests[name] = (now.st_mtime_ns, now.st_size, digest(path))
    return known[2]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
