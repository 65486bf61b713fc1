"""The one door to the frames of a clip on disk: which format each stack has is known here alone.

| stack | file | format |
|---|---|---|
| aligned face | `CROPS` | video without loss, see `preprocessing.artefacts.picture_stack` |
| flow, and what packages add | `*.npy` | array, see `preprocessing.artefacts.frame_stack` |

To store a stack otherwise, change its name and format here, and raise the version of the stage that writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing.artefacts.frame_stack import FrameReader, FrameWriter

PICTURES = ".mkv"
CROPS, FLOW = f"crops{PICTURES}", "flow.npy"


class Frames(Protocol):
    """Equal frames of a clip, read one at a time."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int: ...

    def __getitem__(self, t: int) -> NDArray[Any]: ...

    def __iter__(self) -> Iterator[NDArray[Any]]: ...


class Sink(Protocol):
    """Takes equal frames one at a time."""

    count: int

    def append(self, frame: NDArray[Any]) -> None:
        """Write one frame of the agreed shape."""
        ...


def open_stack(path: Path) -> Frames:
    """The frames of a file.

    Raises:
        ToolkitError: it is no whole stack of frames.
        OSError: it cannot be read.
    """
    if path.suffix != PICTURES:
        return FrameReader(path)
    from preprocessing.artefacts.picture_stack import PictureReader  # loads FFmpeg

    return PictureReader(path)


def writing_stack(path: Path, frame_shape: tuple[int, ...], dtype: Any) -> AbstractContextManager[Sink]:
    """A file that takes frames of this shape in a `with` block; it is whole when the block has succeeded.

    Args:
        path: the file; its ending says in which format.
        frame_shape: of each frame; (H, W, 3) where the file is a video.
        dtype: of the values; uint8 where the file is a video.
    """
    if path.suffix != PICTURES:
        return FrameWriter(path, frame_shape, dtype)
    if len(frame_shape) != 3 or frame_shape[2] != 3 or np.dtype(dtype) != np.uint8:
        raise ValueError(f"{path.name} takes pictures (H, W, 3) of uint8, got {frame_shape} of {np.dtype(dtype)}")
    from preprocessing.artefacts.picture_stack import PictureWriter

    return PictureWriter(path, *frame_shape[:2])


def write_stack(path: Path, frames: NDArray[Any]) -> None:
    """A whole stack (T, …) at once."""
    with writing_stack(path, frames.shape[1:], frames.dtype) as file:
        for frame in frames:
            file.append(frame)


def read_stack(path: Path) -> NDArray[Any]:
    """A whole stack (T, …) at once."""
    return np.stack(list(open_stack(path)))
