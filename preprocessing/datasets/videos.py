"""Read any folder of video files or image sequences as clips without labels, each over its whole length."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from preprocessing.clips import Clip, check_unique
from preprocessing.errors import ClipRejectedError, DatasetError
from preprocessing.video import VIDEO_SUFFIXES, FrameSource, Unreadable, VideoFile, image_sequence


def load(root: Path) -> list[Clip]:
    """Every video file, and every folder with images in it, below ``root`` (or ``root`` itself) as one clip each.

    The subject is the folder that holds it (there is nothing else to go by). Hidden files and links to folders are
    passed over.

    Raises:
        DatasetError: the root is missing, or holds neither.
    """
    if not root.exists():
        raise DatasetError(f"{root} does not exist: give the folder that holds the videos")
    if root.is_file():
        clips = [_clip(root.parent, root, VideoFile(root))] if _is_video(root) else []
    else:
        clips = []

        def reject(error: OSError) -> None:
            problem = ClipRejectedError("missing_frames", f"{error.filename} cannot be listed: {error.strerror}")
            clips.append(_clip(root, Path(error.filename), Unreadable(error.filename, problem)))

        for name, folders, files in os.walk(root, onerror=reject):
            folder = Path(name)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            clips += [_clip(root, folder / f, VideoFile(folder / f)) for f in sorted(files) if _is_video(Path(f))]
            images = image_sequence(folder)
            if images.declared() != 0:
                clips.append(_clip(root, folder, images))
    if not clips:
        raise DatasetError(
            f"{root} holds no video files ({', '.join(sorted(VIDEO_SUFFIXES))}) and no folders of numbered images"
        )
    return check_unique(clips)


def _clip(root: Path, path: Path, frames: FrameSource) -> Clip:
    inside = path.relative_to(root).parts or (path.resolve().name,)
    subject = "-".join(_word(part) for part in inside[:-1]) or _word(root.resolve().name)
    fps = None
    if isinstance(frames, VideoFile):
        with suppress(ClipRejectedError):  # it is rejected with the same reason when its frames are read
            fps = frames.fps()
    return Clip(f"videos/{subject}/{_word(inside[-1])}", f"videos/{subject}", frames, fps=fps)


def _word(text: str) -> str:
    return re.sub(r"[^\w.()+^-]+", "_", text) or "_"


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
