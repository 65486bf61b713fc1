"""`Clip`: one annotated recording of one subject, which all stages work on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from preprocessing.errors import DatasetError
from preprocessing.video import FrameSource

_ID = re.compile(r"[\w.()+^-]+(/[\w.()+^ -]+)+")
MIN_FRAMES = 3
LONGEST_NAME = 200
"""Bytes of one part of a clip id: file systems take 255, and folders are written under a longer name first."""


@dataclass(frozen=True)
class Clip:
    """One clip of one subject with its annotation.

    Frame numbers are 0-based, inclusive positions into ``frames`` (not file numbers): the clip is
    ``frames[onset] ... frames[offset]``.

    Attributes:
        clip_id: unique over all data sets, ``<dataset>/<subject>/<clip>``; also the folder below ``clips/``.
        subject: ``<dataset>/<subject>``, the group of leave-one-subject-out.
        frames: where the pixels come from; nothing is decoded before it is read.
        onset: first frame of the expression.
        apex: frame of strongest expression, or None if it was not annotated; an estimate is marked in ``apex_source``.
        offset: last frame, or None for "as far as the source decodes" (unannotated videos).
        fps: frames per second, or None if unknown.
        emotion: the data set's own word, lower case, or None if there is no label.
        action_units: the data set's own words, e.g. ``("L4", "12")``.
        objective_class: "1" to "7", class by action units alone (Davison et al., 2017, arXiv 1708.07549), or None.
        apex_source: ``annotated``, or the rule that put the apex there for want of one (``midpoint``).
        cropped: the frames show a face and little else, so that a detector need not find it.
        split: the part of the data set that its makers put the clip into (``train``, ``test_a``), or None.

    Raises:
        DatasetError: for a malformed id or frame numbers out of order.
    """

    clip_id: str
    subject: str
    frames: FrameSource
    onset: int = 0
    apex: int | None = None
    offset: int | None = None
    fps: float | None = None
    emotion: str | None = None
    action_units: tuple[str, ...] = ()
    objective_class: str | None = None
    apex_source: str = "annotated"
    cropped: bool = False
    split: str | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.clip_id) or ".." in self.clip_id.split("/"):
            raise DatasetError(f"clip id {self.clip_id!r} is not of the form dataset/subject/clip")
        check_lengths(self.clip_id, self.clip_id[:40])
        if not self.clip_id.startswith(self.subject + "/"):
            raise DatasetError(f"{self.clip_id}: subject {self.subject!r} is not the beginning of the clip id")
        if self.onset < 0:
            raise DatasetError(f"{self.clip_id}: onset {self.onset} is before the first frame (0)")
        if self.offset is not None and self.offset < self.onset:
            raise DatasetError(f"{self.clip_id}: offset {self.offset} is before onset {self.onset}")
        last = self.apex if self.offset is None else self.offset
        if self.apex is not None and last is not None and not self.onset <= self.apex <= last:
            raise DatasetError(
                f"{self.clip_id}: apex {self.apex} is outside onset {self.onset} .. offset {self.offset}"
            )

    @property
    def dataset(self) -> str:
        """First part of the id."""
        return self.clip_id.split("/", 1)[0]

    @property
    def n_frames(self) -> int | None:
        """Number of frames onset..offset inclusive, or None while the offset is open."""
        return None if self.offset is None else self.offset - self.onset + 1


def check_lengths(clip_id: str, where: str) -> None:
    """Raise `DatasetError`, which begins with ``where``, if a part of the id is too long for the name of a folder."""
    longest = max(len(part.encode()) for part in clip_id.split("/"))
    if longest > LONGEST_NAME:
        raise DatasetError(
            f"{where}: a name of {longest} bytes is too long for a folder, at most {LONGEST_NAME} fit: shorten it"
        )


def check_unique(clips: list[Clip]) -> list[Clip]:
    """Return ``clips`` unchanged, or raise `DatasetError` naming two that share an id (case-insensitively).

    Ids are folder names, and two that differ in case only are one folder on macOS and Windows.
    """
    seen: dict[str, Clip] = {}
    for clip in clips:
        key = clip.clip_id.lower()
        if key in seen:
            raise DatasetError(
                f"two clips would be called {clip.clip_id}: {seen[key].frames.name} and {clip.frames.name}. Letter "
                "case and characters that cannot stand in an id do not tell them apart; rename one"
            )
        seen[key] = clip
    return clips
