"""Picture files as frames: numbered pictures of a folder, and the pages of a TIFF file, of 8 or more bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocessing.errors import OUT_OF_MEMORY, ClipRejectedError
from preprocessing.recordings.contract import Frame, FrameReport, Unreadable
from preprocessing.recordings.files import FOREIGN_SUFFIXES, STACK_SUFFIXES, frame_number, gaps, in_order, pictures

COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # as RGB, OpenCV 5.0 hands out old memory for TIFF of 16 bits
PAGES_AT_ONCE = 16


@dataclass(frozen=True)
class ImageSequence:
    """A folder of numbered images, in the order of ``paths``.

    Attributes:
        paths: the pictures.
        bit_depth: how many bits of a sample of 16 the camera filled; None finds it out (`deepest`).
        unnumbered: pictures beside them that carry no number.
    """

    paths: tuple[Path, ...]
    bit_depth: int | None = None
    unnumbered: int = 0

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.paths[0].parent) if self.paths else "an empty image sequence"

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        """See `FrameSource.read`. Pictures of more than 8 bits are looked through once before, for their depth."""
        span = self._span(start, stop)
        if report is not None:
            numbers = [number for path in span if (number := frame_number(path)) is not None]
            report.declared, report.gaps = len(span), gaps(numbers) if numbers == sorted(numbers) else 0
            report.unnumbered = self.unnumbered
        yield from as_frames(map(_decoded, span), lambda: map(_decoded, self.paths), self.bit_depth, report)

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """See `FrameSource.digest`; of deep pictures every file counts, since the depth is that of them all."""
        state = hashlib.blake2b(digest_size=16)
        span = self._span(start, stop)
        if self.bit_depth is not None:
            state.update(b"bits" + bytes([self.bit_depth]))
        elif span and span != self.paths and _is_deep(span[0]):
            span = (*span, *self.paths)
        for path in span:
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
class PageStack:
    """A file of several pictures, each one frame: TIFF, as high-speed cameras write them, or an animated WebP."""

    path: Path
    bit_depth: int | None = None

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        """See `FrameSource.read`."""
        count = cv2.imcount(str(self.path), COLOUR)
        if stop is not None and stop > count:
            raise ClipRejectedError(
                "missing_frames", f"frames up to {stop - 1} are wanted, {self.path.name} has {count} pages"
            )
        if report is not None:
            report.declared = count - start if stop is None else stop - start
        pages = self._pages(start, count if stop is None else stop)
        yield from as_frames(pages, lambda: self._pages(0, count), self.bit_depth, report)

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """See `FrameSource.digest`; the file is hashed whole."""
        return hashlib.blake2b(_bytes(self.path) + bytes([self.bit_depth or 0]), digest_size=16).hexdigest()

    def declared(self) -> int | None:
        """Number of pages."""
        return cv2.imcount(str(self.path), COLOUR)

    def _pages(self, start: int, stop: int) -> Iterator[tuple[str, NDArray[Any]]]:
        read = _webp_pages if self.path.suffix.lower() == ".webp" else _tiff_pages
        page = start
        for page, image in enumerate(read(self.path, start, stop), start=start + 1):
            yield f"page {page} of {self.path.name}", image
        if page < stop:
            raise ClipRejectedError(
                "broken_frame", f"page {page + 1} of {self.path.name} cannot be decoded as an image"
            )


def _tiff_pages(path: Path, start: int, stop: int) -> Iterator[NDArray[Any]]:
    for first in range(start, stop, PAGES_AT_ONCE):
        count = min(PAGES_AT_ONCE, stop - first)
        _, pages = cv2.imreadmulti(str(path), first, count, flags=COLOUR)
        yield from map(np.asarray, pages)
        if len(pages) < count:
            return


def _webp_pages(path: Path, start: int, stop: int) -> Iterator[NDArray[Any]]:
    """With Pillow: of an animation, OpenCV 5.0 hands out the first pictures whichever are asked for."""
    with suppress(OSError, EOFError), Image.open(path) as file:
        for page in range(start, stop):
            file.seek(page)
            yield np.ascontiguousarray(np.asarray(file.convert("RGB"))[..., ::-1])


def as_frames(
    images: Iterator[tuple[str, NDArray[Any]]],
    again: Any,
    bit_depth: int | None,
    report: FrameReport | None,
) -> Iterator[Frame]:
    """Named pictures (H, W, 3) BGR of one size and depth as frames.

    Args:
        images: what is read.
        again: opens all pictures of the recording, by which its depth is found out.
        bit_depth: of the recording, if it is known.
        report: gets the depth.

    Raises:
        ClipRejectedError: ``size_change`` or ``depth_change``.
    """
    first: NDArray[Any] | None = None
    shift = 0
    for name, image in images:
        if first is None:
            depth = 8 if image.dtype == np.uint8 else bit_depth or deepest(again())
            shift, first = depth - 8, image
            if report is not None:
                report.bit_depth = depth
        if image.dtype not in (np.uint8, np.uint16):
            raise ClipRejectedError("broken_frame", f"{name} has samples of type {image.dtype}, wanted 8 or 16 bits")
        if image.shape != first.shape:
            raise ClipRejectedError(
                "size_change",
                f"{name} is {image.shape[1]}x{image.shape[0]}, the frames before it {first.shape[1]}x{first.shape[0]}",
            )
        if image.dtype != first.dtype:
            raise ClipRejectedError(
                "depth_change", f"{name} has {image.dtype.itemsize * 8} bits a sample, the first {first.itemsize * 8}"
            )
        if image.dtype == np.uint16:
            image = np.minimum(image >> shift, 255).astype(np.uint8)
        yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def deepest(images: Iterator[tuple[str, NDArray[Any]]]) -> int:
    """Bits that a camera filled of samples of 16: those of the brightest of the whole recording, 8 to 14, else 16.

    A camera of 12 bits leaves the upper four empty, and a division by 256 then leaves sixteen grey levels of a face.
    """
    brightest = max((int(image.max()) for _, image in images), default=0)
    bits = max(8, brightest.bit_length())
    return bits if bits <= 14 else 16


def image_sequence(folder: Path, bit_depth: int | None = None) -> ImageSequence | Unreadable:
    """The images of ``folder`` in the order in which they were taken (`files.in_order`).

    Files of several pictures are no part of it. Pictures none of which carries a number are no sequence, nor are
    pictures of a format that is not read: the source that comes back says so when it is read.
    """
    try:
        found = [path for path in pictures(folder) if not is_stack(path)]
        foreign = [] if found else pictures(folder, FOREIGN_SUFFIXES)
        if foreign:
            raise ClipRejectedError(
                "unknown_format", f"{len(foreign)} pictures of a format that is not read, such as {foreign[0].name}"
            )
        numbered = [path for path in found if frame_number(path) is not None]
        if found and not numbered:
            raise ClipRejectedError(
                "unnumbered", f"{len(found)} pictures without a frame number, such as {found[0].name}: number them"
            )
        return ImageSequence(tuple(in_order(numbered)), bit_depth, len(found) - len(numbered))
    except ClipRejectedError as error:
        return Unreadable(str(folder), error)


def is_stack(path: Path) -> bool:
    """Whether a file holds several pictures."""
    return path.is_file() and path.suffix.lower() in STACK_SUFFIXES and cv2.imcount(str(path), cv2.IMREAD_UNCHANGED) > 1


def _decoded(path: Path) -> tuple[str, NDArray[Any]]:
    data = np.frombuffer(_bytes(path), np.uint8)
    try:
        image = cv2.imdecode(data, COLOUR) if len(data) else None  # cv2 raises on nothing
    except cv2.error as error:
        if error.code == OUT_OF_MEMORY:
            raise
        image = None  # its header claims to be larger than any picture
    if image is None:
        raise ClipRejectedError("broken_frame", f"{path.name} cannot be decoded as an image")
    if is_stack(path):
        raise ClipRejectedError("several_pages", f"{path.name} holds several pages: write one file per frame")
    return path.name, np.asarray(image)


def _is_deep(path: Path) -> bool:
    return _decoded(path)[1].dtype == np.uint16


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClipRejectedError("missing_frames", f"{path.name} cannot be read: {error.strerror}") from error
