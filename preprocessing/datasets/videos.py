"""Read any folder of video files or image sequences as clips without labels, each over its whole length."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from preprocessing.clips import Clip, check_unique
from preprocessing.errors import ClipRejectedError, DatasetError, MissingPathError
from preprocessing.video import (
    VIDEO_SUFFIXES,
    FrameSource,
    PageStack,
    Unreadable,
    VideoFile,
    image_sequence,
    is_stack,
)

NOTHING = "holds no video files (.mp4, .mov, .avi, .mkv, .mts and many more) and no folders of numbered images"


def load(root: Path) -> list[Clip]:
    """Every video file, and every folder with images in it, below ``root`` (or ``root`` itself) as one clip each.

    The subject is the folder that holds it (there is nothing else to go by). Hidden files and links to folders are
    passed over. What looks like a recording and cannot be read is a clip that is rejected with the reason.

    Raises:
        DatasetError: the root is missing, or holds neither.
    """
    if not root.exists():
        raise MissingPathError(f"{root} does not exist: give the folder that holds the videos")
    clips = clips_below(root)
    if not clips:
        raise DatasetError(f"{root} {NOTHING}")
    return check_unique(clips)


def clips_below(root: Path) -> list[Clip]:
    """The same, and an empty list where there is nothing of the kind."""
    if root.is_file():
        return [_clip(root.parent, root, source) for source in _sources(root.parent, [root.name])]
    clips = []

    def reject(error: OSError) -> None:
        problem = ClipRejectedError("missing_frames", f"{error.filename} cannot be listed: {error.strerror}")
        clips.append(_clip(root, Path(error.filename), Unreadable(error.filename, problem)))

    for name, folders, files in os.walk(root, onerror=reject):
        folder = Path(name)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        clips += [_clip(root, Path(source.name), source) for source in _sources(folder, sorted(files))]
        images = image_sequence(folder)
        if images.declared() != 0:
            clips.append(_clip(root, folder, images))
    return clips


def no_clip(path: Path) -> Clip:
    """A rejected clip in place of a file or folder that holds none."""
    root = path.parent if path.is_file() else path
    return _clip(root, path, Unreadable(str(path), ClipRejectedError("no_video", f"{path.name} {NOTHING}")))


def _sources(folder: Path, files: list[str]) -> list[VideoFile | PageStack]:
    """The files that are recordings on their own."""
    paths = [folder / file for file in files if not file.startswith(".")]
    found: list[VideoFile | PageStack] = [VideoFile(path) for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    return found + [PageStack(path) for path in paths if is_stack(path)]


def _clip(root: Path, path: Path, frames: FrameSource) -> Clip:
    inside = path.relative_to(root).parts or (path.resolve().name,)
    subject = "-".join(word(part) for part in inside[:-1]) or word(root.resolve().name)
    fps = None
    if isinstance(frames, VideoFile):
        with suppress(ClipRejectedError):  # it is rejected with the same reason when its frames are read
            fps = frames.fps()
    return Clip(f"videos/{subject}/{word(inside[-1])}", f"videos/{subject}", frames, fps=fps)


def word(text: str) -> str:
    """``text`` as it can stand in a clip id."""
    return re.sub(r"[^\w.()+^-]+", "_", text) or "_"
