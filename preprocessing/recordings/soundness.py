"""Frames that show nothing or only half: left out at the ends of a recording, refused inside; and frames that repeat.

A black frame, a frame that fades, or one whose lower part is grey because its file was cut off is a change of every
pixel. As the first frame it takes all motion out of the images, as any other it is the strongest motion of the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.contract import Frame, FrameReport

BLANK = 4.0  # grey levels of spread over the picture; a face recorded ever so dimly has more
DROP = 0.2  # of the spread before: what is left of a picture under a nearly black one
FADE = 0.02  # share by which the spread grows from frame to frame while a picture fades in
FLAT = 3.0  # grey levels within which rows are of one colour, as a decoder leaves them
PART = 0.125  # share of the height that loses its picture from one frame to the next
REPEAT = 0.1  # of the change between frames that is seldom exceeded (in a tenth of them)
MOST_BLANK = 0.5  # share of the frames
BLANK_FRAME, HALF = "is of one colour", "lacks its lower part, which is of one colour"
GRID = 64  # lines looked at along the shorter side


@dataclass(frozen=True)
class Look:
    """What little is looked at of a frame.

    Attributes:
        pixels: (h, w, 3) uint8, every so many-th pixel.
        spread: standard deviation of their grey, levels.
        tail: share of the height, from the bottom, that is of one colour.
    """

    pixels: Frame
    spread: float
    tail: float

    @classmethod
    def at(cls, frame: Frame) -> Look:
        """Look at a frame."""
        step = max(1, min(frame.shape[:2]) // GRID)
        pixels = np.ascontiguousarray(frame[::step, ::step])
        low, high = (cv2.reduce(pixels, 1, how)[::-1, 0] for how in (cv2.REDUCE_MIN, cv2.REDUCE_MAX))  # from the bottom
        within = (np.maximum.accumulate(high) - np.minimum.accumulate(low)).max(axis=1) <= FLAT
        tail = len(within) if within.all() else int(within.argmin())
        _, spread = cv2.meanStdDev(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        return cls(pixels, float(spread[0, 0]), tail / len(within))

    def is_blank(self, before: Look | None) -> bool:
        """Whether the frame shows no picture, on its own or beside the last one that was whole."""
        return self.spread < BLANK or (before is not None and self.spread < DROP * before.spread)

    def lacks_part(self, before: Look) -> bool:
        """Whether the lower part, which was there before, is of one colour."""
        return self.tail >= before.tail + PART

    def is_broken(self, before: Look | None) -> bool:
        """Whether either is so."""
        return self.is_blank(before) or (before is not None and self.lacks_part(before))


Item = tuple[int, Frame, Look]


def sound_frames(frames: Iterator[Frame], report: FrameReport, first: int = 0, trim: bool = True) -> Iterator[Frame]:
    """The frames that show a picture; what was left out and what repeats is counted in ``report``.

    Args:
        frames: of one recording, in order.
        report: see `FrameReport`.
        first: number of the first frame, for messages.
        trim: leave out blank frames at the start, with the fade that follows, and blank or half ones at the end, where
            a file was cut off. Without it, which is for clips whose first and last frame somebody annotated, they are
            refused too.

    Raises:
        ClipRejectedError: ``broken_frame``, with the number of the frame.
    """
    looked = ((t, frame, Look.at(frame)) for t, frame in enumerate(frames, start=first))
    return _whole(_without_fade(_without_blank(looked, report, trim), report), report)


def _without_blank(items: Iterator[Item], report: FrameReport, trim: bool) -> Iterator[Item]:
    before: Look | None = None
    broken: list[tuple[int, str]] = []
    total = 0
    for t, frame, look in items:
        total += 1
        if look.is_broken(before):
            broken.append((t, HALF if look.spread >= BLANK and before and look.lacks_part(before) else BLANK_FRAME))
            if not trim:
                raise _broken(*broken[0])
            continue
        if before is None:
            report.blank_start = len(broken)
        elif broken:
            raise _broken(*broken[0])
        before, broken = look, []
        yield t, frame, look
    report.blank_end = len(broken)
    left_out = report.blank_start + len(broken)
    if total and left_out >= MOST_BLANK * total:
        raise ClipRejectedError("broken_frame", f"{left_out} of {total} frames show no picture: cut the recording")


def _without_fade(items: Iterator[Item], report: FrameReport) -> Iterator[Item]:
    """After blank frames, the picture begins where its contrast stops to grow."""
    held = next(items, None)
    if held is None:
        return
    if report.blank_start:
        for item in items:
            settled = item[2].spread <= (1 + FADE) * held[2].spread
            if settled:
                yield held
            else:
                report.blank_start += 1
            held = item
            if settled:
                break
    yield held
    yield from items


def _whole(items: Iterator[Item], report: FrameReport) -> Iterator[Frame]:
    looks: list[tuple[int, float]] = []
    changes: list[float] = []
    before: Look | None = None
    for t, frame, look in items:
        if before is not None:
            if len(looks) == 1 and before.lacks_part(look):
                raise _broken(looks[0][0], HALF)
            if before.pixels.shape == look.pixels.shape:
                changes.append(sum(cv2.mean(cv2.absdiff(look.pixels, before.pixels))) / 3)
        looks.append((t, look.spread))
        before = look
        yield frame
    if report.blank_end:
        _refuse_fade(looks)
    report.repeated = _repeated(changes)


def _refuse_fade(looks: list[tuple[int, float]]) -> None:
    """Before a blank end the contrast may not have been falling: those frames are in the clip already."""
    start = len(looks) - 1
    while start and looks[start - 1][1] > (1 + FADE) * looks[start][1]:
        start -= 1
    if len(looks) - start > 2:
        raise _broken(looks[start][0], "and those after it fade out")


def _repeated(changes: list[float]) -> int:
    """How many frames hardly differ from the one before, against the change that one in ten exceeds."""
    usual = float(np.quantile(changes, 0.9)) if changes else 0.0
    return sum(change <= REPEAT * usual for change in changes)


def _broken(t: int, what: str) -> ClipRejectedError:
    return ClipRejectedError("broken_frame", f"frame {t} {what}: cut the recording, or decode it again")
