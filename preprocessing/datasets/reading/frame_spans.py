"""Match the frame numbers of a table with the frame files that exist. Pure.

Numbers go by value, never by place or padding. Copies lack frames, are renumbered from 1, or have tables with slips;
each has one rule here, and each use of a rule leaves a remark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preprocessing.datasets.reading.cells import whole_number
from preprocessing.datasets.reading.layout import Layout, Row
from preprocessing.errors import ClipRejectedError


@dataclass(frozen=True)
class Annotation:
    """Onset, apex and offset as a table has them: numbers, or None for a cell that is not a number.

    Attributes:
        cells: the three cells as text, for messages.
        order: numbers are places in the order of the files, from 1.
        offset_from_apex: without an offset the clip ends at its apex.
        whole: there are no annotations at all; the clip is the whole folder.
    """

    onset: int | None
    apex: int | None
    offset: int | None
    cells: tuple[str, str, str] = ("", "", "")
    order: bool = False
    offset_from_apex: bool = False
    whole: bool = False

    @classmethod
    def of(cls, row: Row, layout: Layout) -> Annotation:
        """The annotation of a row."""
        onset, apex, offset = (whole_number(row.cells.get(name)) for name in ("onset", "apex", "offset"))
        cells = (row.text("onset"), row.text("apex"), row.text("offset"))
        whole = not {"onset", "offset"} & set(row.cells)
        return cls(onset, apex, offset, cells, layout.numbering == "order", layout.offset_from_apex, whole)


@dataclass(frozen=True)
class Remark:
    """Something about one clip: the kind, what is special here (``": frame 47 for 46"``), and whether it matters."""

    what: str
    detail: str = ""
    warning: bool = True


@dataclass(frozen=True)
class Span:
    """The files of a clip.

    Attributes:
        paths: onset to offset.
        apex: place of the apex in ``paths``, or None if it is not usable.
        why_no_apex: then the reason.
        remarks: rules that were needed.
    """

    paths: tuple[Path, ...]
    apex: int | None
    why_no_apex: str
    remarks: tuple[Remark, ...]


def find_span(files: Mapping[int, Path], note: Annotation) -> Span:
    """The files from onset to offset and the apex among them.

    Args:
        files: by frame number, ascending (`preprocessing.video.list_images`).
        note: the annotation.

    Raises:
        ClipRejectedError: ``bad_annotation`` if onset or offset cannot be used, ``missing_frames`` if no file
            lies between them.
    """
    if not files:
        raise ClipRejectedError("missing_frames", "its folder holds no images with a number in their name")
    if note.whole:
        return Span(tuple(files.values()), None, "not annotated", ())
    remarks: list[Remark] = []
    onset, offset = _ends(note, remarks)
    if note.order:
        files = dict(enumerate(files.values(), start=1))
    elif _renumbered(files, onset, offset):
        files = dict(enumerate(files.values(), start=onset))
        remarks.append(Remark("clips whose files are numbered anew, taken in order"))
    numbers = [number for number in files if onset <= number <= offset]
    if not numbers:
        raise ClipRejectedError(
            "missing_frames", f"no file from {onset} to {offset}, its files are {min(files)} to {max(files)}"
        )
    for name, number, nearest in (("onset", onset, numbers[0]), ("offset", offset, numbers[-1])):
        if nearest != number:
            remarks.append(Remark(f"{name} frames without a file; the nearest is taken", f": {nearest} for {number}"))
    gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
    if gaps:
        remarks.append(Remark("clips with frames missing between", f": {gaps} of {numbers[-1] - numbers[0] + 1}"))
    apex, why = _apex(note, onset, offset, numbers, remarks)
    return Span(tuple(files[number] for number in numbers), apex, why, tuple(remarks))


def _ends(note: Annotation, remarks: list[Remark]) -> tuple[int, int]:
    onset, offset = note.onset, note.offset
    if onset is None or onset < 0:
        raise ClipRejectedError("bad_annotation", f"onset {note.cells[0]!r} is not a frame number")
    if offset is None or offset < onset:
        if note.offset_from_apex and note.apex is not None and note.apex > onset:
            remarks.append(Remark("offsets that are not usable; the clip ends at its apex", f": {note.cells[2]!r}"))
            return onset, note.apex
        what = "is not a frame number" if offset is None else f"is before onset {onset}"
        raise ClipRejectedError("bad_annotation", f"offset {note.cells[2]!r} {what}")
    return onset, offset


def _renumbered(files: Mapping[int, Path], onset: int, offset: int) -> bool:
    """As many files as the table has frames, without a gap, beginning at 0 or 1, and not with the table's numbers."""
    first, last = min(files), max(files)
    whole = len(files) == offset - onset + 1 == last - first + 1
    return whole and first in (0, 1) and (first, last) != (onset, offset)


def _apex(
    note: Annotation, onset: int, offset: int, numbers: list[int], remarks: list[Remark]
) -> tuple[int | None, str]:
    """Place of the apex in ``numbers``, or None and why."""
    apex, cell = note.apex, note.cells[1]
    if apex is None or (apex == 0 and onset > 0):
        why = f"{cell!r} is not a frame number" if cell else "not annotated"
        remarks.append(Remark("apexes that are not annotated", f": {cell!r}" if cell else "", bool(cell)))
        return None, why
    if not onset <= apex <= offset:
        remarks.append(Remark("apexes outside onset .. offset", f": {apex} in {onset} .. {offset}"))
        return None, f"{apex} is outside {onset} .. {offset}"
    if apex in (onset, offset):
        end = "onset" if apex == onset else "offset"
        remarks.append(Remark(f"apexes at the {end}", f": {apex}", warning=False))
    nearest = min(numbers, key=lambda number: (abs(number - apex), number))
    if nearest != apex:
        remarks.append(Remark("apex frames without a file; the nearest is taken", f": {nearest} for {apex}"))
    return numbers.index(nearest), ""
