"""Survey a copy of a data set of long recordings: tables are opened and folders listed, no image is decoded."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.datasets.long.layout import Key, LongLayout, LongRow
from preprocessing.datasets.long.recording import Expression, Recording
from preprocessing.datasets.reading import action_units
from preprocessing.datasets.reading.cells import Cell, text_of
from preprocessing.datasets.reading.copies import Finding
from preprocessing.datasets.reading.folders import ImageFolder, Tree, look_through, shown
from preprocessing.datasets.settings import DataSettings
from preprocessing.errors import ClipRejectedError, DatasetError, MissingPathError
from preprocessing.video import FrameSource, ImageSequence, Unreadable, list_images


@dataclass(frozen=True)
class LongSurvey:
    """What a root holds.

    Attributes:
        layout: the data set.
        root: as given.
        table: the annotation table.
        recordings: by id; also those of which the table speaks and that have no folder.
        findings: what is worth telling.
    """

    layout: LongLayout
    root: Path
    table: Path
    recordings: tuple[Recording, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> int:
        """Recordings whose frames were found."""
        return sum(not isinstance(one.frames, Unreadable) for one in self.recordings)

    @property
    def subjects(self) -> int:
        """People."""
        return len({one.subject for one in self.recordings})

    @property
    def expressions(self) -> dict[str, int]:
        """Kind → number of annotated expressions."""
        return dict(Counter(e.kind for one in self.recordings for e in one.expressions).most_common())


class _Findings:
    """Collects what is worth telling by kind."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, bool], list[str]] = defaultdict(list)

    def add(self, what: str, items: Sequence[str], warning: bool = True) -> None:
        if items:
            self._items[what, warning] += items

    def all(self) -> tuple[Finding, ...]:
        return tuple(Finding(what, tuple(items), warning) for (what, warning), items in self._items.items())


def survey_long(layout: LongLayout, root: Path, settings: DataSettings | None = None) -> LongSurvey:
    """Look through a copy.

    Raises:
        DatasetError: the root or the table is not usable, in one sentence.
        UsageError: a setting that has no effect on this data set.
    """
    settings = (settings or DataSettings()).complete(layout.name, ("table",), {})
    tree = look_through(root)
    table = _table(layout, tree, settings)
    rows, stray = layout.rows(table)
    if not rows:
        raise DatasetError(f"{table.name} holds no expression of {layout.title}: is it the table of another data set?")
    found = _Findings()
    found.add("rows that are not expressions", stray)
    expressions: dict[Key, list[Expression]] = defaultdict(list)
    for row, emotion in zip(rows, layout.emotions(tree, rows), strict=True):
        expression = _expression(layout, row, emotion, found)
        if expression is not None:
            expressions[row.key].append(expression)
    folders = _folders(layout, tree, found)
    recordings = [
        _recording(layout, key, folders.get(key), expressions.get(key, []), found)
        for key in sorted({*expressions, *folders})
    ]
    if not any(isinstance(one.frames, ImageSequence) for one in recordings):
        raise DatasetError(
            f"none of the {len(recordings)} recordings of {layout.title} has its frames below {root}: wanted folders "
            f"such as {layout.example}"
        )
    _check_frames(recordings, found)
    found.add("what could not be listed", tree.unreadable)
    return LongSurvey(layout, root, table, tuple(recordings), found.all())


def _table(layout: LongLayout, tree: Tree, settings: DataSettings) -> Path:
    if settings.table is not None:
        path = Path(settings.table)
        if not path.is_file():
            kind = DatasetError if path.exists() else MissingPathError
            raise kind(f"table {path} is not a file")
        return path
    usual = [path for path in tree.tables if re.fullmatch(layout.tables, path.name.lower())]
    different = list({path.read_bytes(): path for path in reversed(usual)}.values())[::-1]
    if len(different) == 1:
        return different[0]
    if different:
        raise DatasetError(
            f"{len(different)} tables of {layout.title} lie below {tree.root} ({shown([p.name for p in different])}): "
            "choose one with --table PATH"
        )
    seen = f"the tables there are {shown([p.name for p in tree.tables])}" if tree.tables else "there is no table at all"
    raise DatasetError(
        f"{tree.root} holds no table of {layout.title} (usually {layout.usual_table}); {seen}. Give the folder that "
        "holds both the table and the recordings, or name the table with --table PATH"
    )


def _expression(layout: LongLayout, row: LongRow, emotion: str | None, found: _Findings) -> Expression | None:
    """The interval of a row; None, and a finding, if it is none."""
    onset, apex, offset = (_frame(row.cells.get(name)) for name in ("onset", "apex", "offset"))
    what = f"{row.name} ({row.where})"
    broken = [n for n in ("onset", "apex", "offset") if re.fullmatch(r"\d+\.0*[1-9]\d*", row.text(n))]
    found.add("frame numbers with a fraction, rounded", [what] if broken else [], warning=False)
    if layout.offset_from_apex and onset is not None and apex is not None and (offset or 0) < onset < apex:
        found.add("expressions without a usable offset, which end at their apex", [what])
        offset = apex
    if onset is None or offset is None or not 0 <= onset <= offset:
        cells = f"{row.text('onset')!r} .. {row.text('offset')!r}"
        found.add("expressions without a usable interval, left out", [f"{what}: {cells}"])
        return None
    if apex is None or apex < 0 or (apex == 0 and onset > 0):
        found.add("expressions without an annotated apex", [what], warning=False)
        apex = None
    elif not onset <= apex <= offset:
        found.add("apexes outside onset .. offset, not used", [f"{what}: {apex} in {onset} .. {offset}"])
        apex = None
    if onset == 0:
        found.add("expressions with onset 0, which may have begun before the recording", [what], warning=False)
    units, strange = action_units.parse(row.cells.get("action_units"))
    found.add("action-unit cells that are not understood", [f"{what}: {text!r}" for text in strange])
    return Expression(row.name, row.kind, onset, apex, offset, emotion, tuple(map(str, units)), row.where)


def _frame(cell: Cell) -> int | None:
    """A frame number, rounded if it has a fraction; None for a cell that is no number."""
    text = text_of(cell)
    return round(float(text)) if re.fullmatch(r"-?\d{1,12}(\.\d*)?", text) else None


def _folders(layout: LongLayout, tree: Tree, found: _Findings) -> dict[Key, ImageFolder]:
    folders: dict[Key, ImageFolder] = {}
    for folder in tree.images:
        key = layout.folder_key(folder)
        if key is None:
            continue
        first = folders.setdefault(key, folder)
        if first is not folder:
            found.add("recordings with two folders; the first is used", [f"{first} and {folder}"])
    return folders


def _recording(
    layout: LongLayout, key: Key, folder: ImageFolder | None, expressions: list[Expression], found: _Findings
) -> Recording:
    subject, name = (f"{layout.name}/{part}" for part in layout.names(key))
    recording_id = f"{subject}/{layout.names(key)[1]}"
    numbers: tuple[int, ...] = ()
    frames: FrameSource
    if folder is None:
        reason = f"no folder for {recording_id}"
        found.add("recordings of the table without a folder", [f"{recording_id} ({len(expressions)} expressions)"])
        frames = Unreadable(name, ClipRejectedError("missing_frames", reason))
    else:
        try:
            files = list_images(folder.path)
            frames, numbers = ImageSequence(tuple(files.values())), tuple(files)
        except ClipRejectedError as error:
            found.add("recordings that cannot be used", [f"{recording_id}: {error.reason}"])
            frames = Unreadable(str(folder.path), error)
    in_order = tuple(sorted(expressions, key=lambda one: (one.onset, one.offset)))
    return Recording(recording_id, subject, frames, numbers, layout.fps, in_order)


def _check_frames(recordings: Sequence[Recording], found: _Findings) -> None:
    """Tell thinned copies, gaps, expressions outside the files, and recordings in which nothing is annotated."""
    for one in recordings:
        if not one.numbers:
            continue
        step = one.step
        if step > 1:
            found.add(f"recordings of which one frame in {step} is there", [one.recording_id], warning=False)
        gaps = sum(b - a > step for a, b in zip(one.numbers, one.numbers[1:], strict=False))
        found.add("recordings with frames missing between", [f"{one.recording_id}: {gaps} gaps"] if gaps else [])
        if not one.expressions:
            found.add("recordings without an annotated expression", [one.recording_id], warning=False)
        outside = [e for e in one.expressions if e.onset < one.numbers[0] - step or e.offset > one.numbers[-1]]
        ends = f"files {one.numbers[0]} to {one.numbers[-1]}"
        found.add(
            "expressions that reach beyond the files of their recording",
            [f"{one.recording_id}, {e.name}: {e.onset} .. {e.offset}, {ends} ({e.where})" for e in outside],
        )
