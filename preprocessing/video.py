"""Frames from an image sequence or a video file, one at a time and in the order that really decodes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError

Frame = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB. Grey sources are repeated over the channels."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".mpg", ".mpeg", ".webm", ".gif", ".wmv", ".m4v"})


class FrameSource(Protocol):
    """What a clip reads its frames from."""

    @property
    def name(self) -> str:
        """What to call it in an error message."""
        ...

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames ``start <= t < stop`` in order, decoding each once.

        Raises:
            ClipRejectedError: a frame is missing, does not decode, or changes its size.
        """
        ...

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """Hash of the bytes that `read` would decode: changed content, changed digest."""
        ...

    def declared(self) -> int | None:
        """Number of frames that the folder or container claims to have, or None."""
        ...


@dataclass(frozen=True)
class ImageSequence:
    """A folder of numbered images, in the order of ``paths``."""

    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.paths[0].parent) if self.paths else "an empty image sequence"

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """See `FrameSource.read`."""
        shape: tuple[int, ...] | None = None
        for path in self._span(start, stop):
            data = np.frombuffer(_bytes(path), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None  # cv2 raises on nothing
            if image is None:
                raise ClipRejectedError("broken_frame", f"{path.name} cannot be decoded as an image")
            if shape is not None and image.shape != shape:
                raise ClipRejectedError(
                    "size_change",
                    f"{path.name} is {image.shape[1]}x{image.shape[0]}, the frames before it {shape[1]}x{shape[0]}",
                )
            shape = image.shape
            yield np.asarray(image, np.uint8)

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """See `FrameSource.digest`."""
        state = hashlib.blake2b(digest_size=16)
        for path in self._span(start, stop):
            state.update(hashlib.blake2b(_bytes(path), digest_size=16).digest())
        return state.hexdigest()

    def declared(self) -> int | None:
        """Number of image files."""
        return len(self.paths)

    def _span(self, start: int, stop: int | None) -> tuple[Path, ...]:
        if stop is not None and stop > len(self.paths):
            raise ClipRejectedError(
                "missing_frames", f"frames up to {stop - 1} are wanted, the folder has {len(self.paths)}"
            )
        return self.paths[start:stop]


@dataclass(frozen=True)
class VideoFile:
    """A video file as FFmpeg decodes it, turned upright as its rotation says; its own frame count is not believed."""

    path: Path

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """See `FrameSource.read`."""
        capture = self._open()
        shape: tuple[int, ...] | None = None
        t = -1
        try:
            while t + 1 < start and capture.grab():  # decoded, since frames lean on each other, but not converted
                t += 1
            while t + 1 >= start and (stop is None or t + 1 < stop):
                ok, image = capture.read()
                if not ok:
                    break
                t += 1
                if shape is not None and image.shape != shape:
                    raise ClipRejectedError("size_change", f"frame {t} of {self.path.name} changes its size")
                shape = image.shape
                yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            capture.release()
        if t < 0:
            raise ClipRejectedError("broken_video", f"{self.path.name} holds no picture that decodes")
        if stop is not None and t + 1 < stop:
            raise ClipRejectedError(
                "missing_frames", f"frames up to {stop - 1} are wanted, {self.path.name} decodes to {t + 1}"
            )

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """See `FrameSource.digest`; a video is hashed whole."""
        state = hashlib.blake2b(digest_size=16)
        try:
            with self.path.open("rb") as file:
                while block := file.read(1 << 20):
                    state.update(block)
        except OSError as error:
            raise ClipRejectedError("broken_video", f"{self.path.name} cannot be read: {error.strerror}") from error
        return state.hexdigest()

    def declared(self) -> int | None:
        """Frame count of the container, often a little more than what decodes; None where it has none."""
        capture = self._open()
        try:
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.release()
        return count if count > 0 else None

    def fps(self) -> float | None:
        """Frames per second as the container gives them, or None.

        Where frames have no fixed rate it is their number divided by the length of the video: a frame's number times
        1 / fps is then an approximate time.
        """
        capture = self._open()
        try:
            fps = float(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        return fps if 0 < fps < 10_000 else None

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            capture.release()
            raise ClipRejectedError(
                "broken_video",
                f"{self.path.name} cannot be opened as a video: it holds no pictures (sound only?), is damaged, or was "
                "cut off before its index",
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # a phone held upright writes turned pictures and says so
        return capture


@dataclass(frozen=True)
class Unreadable:
    """A source that an adapter could not even list; its clip is rejected with this reason instead of vanishing."""

    name: str
    error: ClipRejectedError

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Raise the reason."""
        raise self.error

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """Raise the reason."""
        raise self.error

    def declared(self) -> int | None:
        """Unknown."""
        return None


def image_sequence(folder: Path) -> ImageSequence | Unreadable:
    """The images of ``folder`` in the order of their frame numbers."""
    try:
        return ImageSequence(tuple(list_images(folder).values()))
    except ClipRejectedError as error:
        return Unreadable(str(folder), error)


def frame_number(path: Path) -> int | None:
    """The last run of digits in a file's stem: ``reg_img46`` is 46, ``006_05562`` is 5562, no digits is None."""
    runs = re.findall(r"\d+", path.stem)
    return int(runs[-1]) if runs else None


def list_images(folder: Path) -> dict[int, Path]:
    """Images of ``folder`` by frame number, ascending; hidden files and other suffixes are passed over.

    Raises:
        ClipRejectedError: the folder cannot be listed, or two files carry the same number.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ClipRejectedError("missing_frames", f"{folder} cannot be listed: {error.strerror}") from error
    found: dict[int, Path] = {}
    for path in paths:
        number = frame_number(path)
        if number is None or path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if number in found:
            raise ClipRejectedError("duplicate_frame", f"{found[number].name} and {path.name} are both frame {number}")
        found[number] = path
    return dict(sorted(found.items()))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClipRejectedError("missing_frames", f"{path.name} cannot be read: {error.strerror}") from error
