"""Stacks of equal frames as `.npy` files, written and read one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.artefacts.arrays import read_header
from preprocessing.errors import ToolkitError


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
    """Frames of a ``.npy`` stack one at a time, so that memory does not grow with the clip. Supports len and [].

    Raises:
        ToolkitError: the file is no whole stack of frames, one after the other.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                header = read_header(file)
        except ValueError as error:
            raise ToolkitError(f"{path} is no stack of frames: {error}") from error
        if header.by_columns or not header.shape:
            raise ToolkitError(f"{path} is no stack of frames one after the other (shape {header.shape})")
        self.shape, self.dtype, self._start = header.shape, header.dtype, header.start

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> NDArray[Any]:
        if not -len(self) <= t < len(self):
            raise IndexError(f"frame {t} of {len(self)}")
        size = int(np.prod(self.shape[1:]))
        offset = self._start + (t % len(self)) * size * self.dtype.itemsize
        frame = np.fromfile(self.path, self.dtype, count=size, offset=offset)
        if frame.size != size:  # replaced by a shorter file since it was opened
            raise ToolkitError(f"{self.path} ends within frame {t}: it was changed while it was read")
        return frame.reshape(self.shape[1:])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for t in range(len(self)):
            yield self[t]
