"""Colour pictures of one clip as a video without loss (FFV1 in Matroska, RFC 9043), written and read one at a time.

Every picture is coded by itself, so any can be had without those before it, and a third of the bytes of the pixels is
left. Video players and FFmpeg open the file. It plays at 25 pictures per second, whatever the camera's rate was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from preprocessing.errors import ToolkitError

RATE = 25
CODER = {"coder": "0", "context": "0", "g": "1", "level": "3", "slices": "4", "slicecrc": "1"}
"""Golomb-Rice codes with the small context, each picture by itself: the fastest of those that were measured, and within
4 % of the smallest."""


class PictureWriter:
    """Append equal pictures to a video without holding them. A file is whole only after the block has succeeded."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        self._shape, self.count = (height, width, 3), 0
        self._file = path.open("wb")
        # no random identifiers and no names of library versions: equal pictures, equal bytes
        self._container = av.open(self._file, "w", format="matroska", options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream("ffv1", rate=RATE, options=CODER)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "bgr0"
        self._stream.thread_count = 1
        self._stream.codec_context.flags |= av.codec.context.Flags.bitexact

    def append(self, picture: NDArray[np.uint8]) -> None:
        """Write one picture (H, W, 3) RGB."""
        if picture.shape != self._shape or picture.dtype != np.uint8:
            raise ValueError(f"picture of shape {picture.shape} {picture.dtype}, wanted {self._shape} uint8")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="bgr0")
        frame.pts = self.count
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._container.mux(self._stream.encode())
                self._container.close()


class PictureReader:
    """Pictures of a `PictureWriter` one at a time, so that memory does not grow with the clip. Supports len and [].

    One after the other costs least; the reader then goes on where it was.

    Raises:
        ToolkitError: the file is no whole stack of pictures.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.dtype = path, np.dtype(np.uint8)
        self.shape: tuple[int, ...] = ()
        with self._opened() as container:
            stream = container.streams.video[0]
            self._times = [packet.pts for packet in container.demux(stream) if packet.size]
            self.shape = (len(self._times), stream.height, stream.width, 3)
            promised = round((container.duration or 0) * RATE / av.time_base)
        if len(self) != promised or not promised or None in self._times:
            raise ToolkitError(f"{path} is no whole stack of pictures: it promises {promised} and has {len(self)}")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> NDArray[np.uint8]:
        if not -len(self) <= t < len(self):
            raise IndexError(f"frame {t} of {len(self)}")
        return next(self._read(t % len(self)))

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        yield from self._read(0)

    def _read(self, start: int) -> Iterator[NDArray[np.uint8]]:
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            if start:
                container.seek(int(self._times[start] or 0), stream=stream)
            at = start
            for frame in container.decode(stream):
                if frame.pts != self._times[at] or frame.is_corrupt:
                    raise ToolkitError(f"{self.path}: its frame {at} cannot be read")
                yield np.asarray(frame.to_ndarray(format="rgb24"))
                at += 1
        if at != len(self):
            raise ToolkitError(f"{self.path} ends before frame {at}: was it changed while it was read?")

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        try:
            with self.path.open("rb") as file, av.open(file, "r", format="matroska") as container:
                if not container.streams.video:
                    raise ToolkitError(f"{self.path} is no stack of pictures: it holds no video")
                yield container
        except FFmpegError as error:
            raise ToolkitError(f"{self.path} is no whole stack of pictures: {error.strerror}") from error
