"""People whose real pixels an expression is painted into: a recording of a face at rest, or one photograph of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.csv_rows import Row, read_csv_rows
from preprocessing.datasets import videos
from preprocessing.errors import ClipRejectedError, DatasetError, MissingPathError
from preprocessing.faces import alignment
from preprocessing.faces.landmarks import Landmarker, Points
from preprocessing.faces.points68 import BROWS, CHIN, eye_distance, hull_mask
from preprocessing.faces.tracking import choose_face
from preprocessing.recordings.files import IMAGE_SUFFIXES
from preprocessing.recordings.pictures import ImageSequence
from preprocessing.synthetic.painting import LEAST, Picture, split_recording, split_still
from preprocessing.video import FrameSource

TABLE = "people.csv"
COLUMNS = ("person", "file", "first", "last")
MOST_FRAMES = 600
"""More rest of one person adds nothing, and its frames are held in memory."""
FOREHEAD = 0.35
WORKING_SIDE = 192  # px: crop in which the head is followed, as in the pipeline


@dataclass(frozen=True)
class Rest:
    """Where a person at rest is seen: frames ``first`` to ``last`` of a source, both included; None is the end."""

    person: str
    source: FrameSource
    fps: float | None
    first: int = 0
    last: int | None = None


@dataclass(frozen=True)
class Sitter:
    """A person at rest.

    Attributes:
        person: a name that can stand in a clip id.
        frames: T frames (H, W, 3) uint8 RGB; one of a photograph.
        fps: of the recording; None if nobody knows.
        neutral: (68, 2) landmarks in frame 0, px.
        poses: (T, 2, 3) where the head stands: px of frame 0 → px of frame t.
    """

    person: str
    frames: tuple[NDArray[np.uint8], ...]
    fps: float | None
    neutral: Points
    poses: NDArray[np.float64]

    @property
    def is_still(self) -> bool:
        """Whether there are too few frames to tell the noise from the picture, as of a photograph."""
        return len(self.frames) < LEAST

    @cached_property
    def parts(self) -> list[tuple[Picture, Picture]]:
        """Picture and residual of every frame, see `painting`."""
        if self.is_still:
            return [split_still(self.frames[0])]
        return list(split_recording(self.frames, self.poses))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames."""
        return self.frames[0].shape[1], self.frames[0].shape[0]

    @property
    def centre(self) -> tuple[float, float]:
        """Midpoint of the outer eye corners in frame 0, px."""
        x, y = (self.neutral[36] + self.neutral[45]) / 2
        return float(x), float(y)

    @property
    def scale(self) -> float:
        """Distance of the outer eye corners, px."""
        return eye_distance(self.neutral)

    @property
    def face(self) -> NDArray[np.bool_]:
        """(H, W) the hull of the landmarks and of the brows, raised over the forehead."""
        raised = self.neutral[BROWS] + FOREHEAD * (self.neutral[BROWS].mean(axis=0) - self.neutral[CHIN])
        return hull_mask(np.concatenate([self.neutral, raised]), self.frames[0].shape[:2])


def rests_below(folder: Path, table: Path | None = None) -> list[Rest]:
    """The people of a folder: by its table, or each recording, folder of numbered pictures and photograph as one.

    The table (``people.csv`` in the folder, or another one) has the columns person, file (below the folder), first and
    last: numbers of frames from 0, both included and both empty for the whole recording. Rows of one person are several
    pieces of rest.

    Raises:
        DatasetError: no such folder or file, nothing in it, or a row that cannot be used.
    """
    if not folder.is_dir():
        raise MissingPathError(f"{folder} is not a folder: give one with recordings or photographs of people at rest")
    listed = table or (folder / TABLE if (folder / TABLE).is_file() else None)
    if listed is not None:
        return [_listed(folder, listed, row) for row in read_csv_rows(listed, COLUMNS, may_be_empty=COLUMNS[2:])]
    photographs = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    ]
    found = [Rest(videos.word(path.stem), ImageSequence((path,)), None) for path in photographs]
    clips = [clip for clip in videos.clips_below(folder) if Path(clip.frames.name) != folder]
    found += [_of_clip(clip) for clip in clips]
    if not found:
        raise DatasetError(f"{folder} holds neither recordings nor photographs of people at rest")
    return found


def load_sitter(rest: Rest, landmarker: Landmarker) -> Sitter:
    """Find the face and follow the head.

    Raises:
        ClipRejectedError: no face, frames that cannot be read, or a head that cannot be followed.
    """
    stop = None if rest.last is None else rest.last + 1
    frames = tuple(islice(rest.source.read(rest.first, stop), MOST_FRAMES))
    if not frames:
        raise ClipRejectedError("too_short", f"{rest.source.name} has no frame {rest.first}")
    box = choose_face([landmarker.detect(frame) for frame in (frames[0], frames[-1])])
    if box is None:
        raise ClipRejectedError("no_face", f"no face in {rest.source.name}, frames {rest.first} to {rest.last}")
    points = np.median([landmarker.landmarks(frame, box) for frame in frames[:8]], axis=0)
    base = alignment.clip_transform(points[None], WORKING_SIDE)
    trusted = alignment.rigid_weights(alignment.apply(base, points), WORKING_SIDE)
    follow = alignment.RigidRegistration(frames[0], trusted, base)
    poses, view = [np.eye(2, 3)], base
    for t, frame in enumerate(frames[1:], start=rest.first + 1):
        seen = follow(frame, view)
        if seen is None:
            raise ClipRejectedError("not_followed", f"{rest.source.name}: the head cannot be followed to frame {t}")
        view = seen
        poses.append(alignment.compose(alignment.invert(view), base))
    return Sitter(rest.person, frames, rest.fps, np.asarray(points, np.float64), np.stack(poses))


def joined(sitters: Sequence[Sitter]) -> dict[str, list[Sitter]]:
    """Person → pieces of rest, in the order given."""
    found: dict[str, list[Sitter]] = {}
    for sitter in sitters:
        found.setdefault(sitter.person, []).append(sitter)
    return found


def _listed(folder: Path, table: Path, row: Row) -> Rest:
    where = f"{table.name}, line {row.line}"
    path = folder / row["file"]
    if not path.exists():
        raise MissingPathError(f"{where}: {path} does not exist")
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        return Rest(videos.word(row["person"]), ImageSequence((path,)), None)
    clips = videos.clips_below(path)
    if len(clips) != 1:
        raise DatasetError(f"{where}: {path} holds {len(clips)} recordings, wanted one: name it")
    first, last = (_whole(row, name, where) for name in COLUMNS[2:])
    if first is not None and last is not None and last < first:
        raise DatasetError(f"{where}: last {last} is before first {first}")
    return Rest(videos.word(row["person"]), clips[0].frames, clips[0].fps, first or 0, last)


def _of_clip(clip: Clip) -> Rest:
    return Rest(videos.word(Path(clip.frames.name).stem), clip.frames, clip.fps)


def _whole(row: Row, name: str, where: str) -> int | None:
    text = row[name]
    if not text:
        return None
    if not text.isdigit():
        raise DatasetError(f"{where}: {name} {text!r} is no number of a frame, wanted 0 or more")
    return int(text)
