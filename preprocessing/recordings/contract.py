"""What a source of frames promises, and what it tells of the frames that it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError

Frame = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB. Grey sources are repeated over the channels."""


@dataclass
class FrameReport:
    """What a reader noticed, written while the frames are read and whole when they end. Counts are of frames, but gaps
    and damaged are of places.

    Attributes:
        declared: how many the container announces for the part that players show; None where it gives no count.
        bit_depth: bits that a sample of the recording has; frames have 8 of them.
        deinterlaced: recorded as two half pictures and put together.
        damaged: where data is lost or cannot be decoded; frames after it may be smeared.
        gaps: places inside at which frames are missing, by their times or by the numbers of the files.
        unnumbered: pictures beside the numbered ones that carry no number and were passed over.
        repeated: that show the frame before them again.
        blank_start, blank_end: of one colour at the beginning (with a fade that follows), and of one colour in whole or
            in part at the end; left out.
    """

    declared: int | None = None
    bit_depth: int | None = None
    deinterlaced: int = 0
    damaged: int = 0
    gaps: int = 0
    unnumbered: int = 0
    repeated: int = 0
    blank_start: int = 0
    blank_end: int = 0

    def quality(self) -> dict[str, int | None]:
        """The same as columns of the manifest."""
        values = asdict(self)
        first = {name: values.pop(name) for name in ("declared", "bit_depth", "gaps", "damaged")}
        rest = {f"{name}_frames": count for name, count in values.items()}
        return {"n_declared": first.pop("declared"), **first, **rest}


class FrameSource(Protocol):
    """What a clip reads its frames from."""

    @property
    def name(self) -> str:
        """What to call it in an error message."""
        ...

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        """Yield frames ``start <= t < stop`` in order, decoding each once, and write what is noticed into ``report``.

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
class Unreadable:
    """A source that an adapter could not even list; its clip is rejected with this reason instead of vanishing."""

    name: str
    error: ClipRejectedError

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        """Raise the reason."""
        raise self.error

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """Raise the reason."""
        raise self.error

    def declared(self) -> int | None:
        """Unknown."""
        return None
