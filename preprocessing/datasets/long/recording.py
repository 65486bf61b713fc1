"""`Recording`: a long recording of one person with the expressions that are annotated in it, for spotting."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from preprocessing.recordings.contract import FrameSource

Kind = Literal["micro", "macro"]


@dataclass(frozen=True)
class Expression:
    """One annotated interval, in the numbers of the recording's files; onset and offset belong to it.

    Attributes:
        name: as the table has it.
        kind: micro- or macro-expression, as its coders decided.
        onset, offset: first and last frame.
        apex: frame of strongest expression, or None if it is not annotated or lies outside the interval.
        emotion: the data set's word in lower case, or None where it gives none.
        action_units: the data set's own words, e.g. ``("L4", "12")``.
        where: file and row of the table.
    """

    name: str
    kind: Kind
    onset: int
    apex: int | None
    offset: int
    emotion: str | None
    action_units: tuple[str, ...]
    where: str

    def __post_init__(self) -> None:
        if not 0 <= self.onset <= self.offset:
            raise ValueError(f"{self.name}: onset {self.onset} and offset {self.offset} are no interval")
        if self.apex is not None and not self.onset <= self.apex <= self.offset:
            raise ValueError(f"{self.name}: apex {self.apex} is outside {self.onset} .. {self.offset}")


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        recording_id: ``<data set>/<subject>/<recording>``.
        subject: ``<data set>/<subject>``.
        frames: where the pixels come from; a source that raises the reason if they cannot be had.
        numbers: of its files, ascending; ``numbers[i]`` is the number of frame i of ``frames``.
        fps: frames per second at which numbers count.
        expressions: by onset; none in a recording in which nothing was seen.
    """

    recording_id: str
    subject: str
    frames: FrameSource
    numbers: tuple[int, ...]
    fps: float
    expressions: tuple[Expression, ...]

    @property
    def step(self) -> int:
        """Every which frame has a file: 1 for a whole copy, 7 for one that was thinned; 1 without files.

        It is the commonest distance between neighbours, so that a gap does not change it.
        """
        distances = Counter(b - a for a, b in zip(self.numbers, self.numbers[1:], strict=False))
        return max(distances, key=lambda one: (distances[one], -one)) if distances else 1

    def positions(self, expression: Expression) -> tuple[int, int] | None:
        """First and last position in ``frames`` that lies in an expression, or None if no file does."""
        first, after = bisect_left(self.numbers, expression.onset), bisect_right(self.numbers, expression.offset)
        return (first, after - 1) if first < after else None
