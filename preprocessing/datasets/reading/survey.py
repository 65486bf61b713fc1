"""Survey a copy of a data set: which clips there are, and everything about the copy that is worth telling.

Every row of the table becomes a clip. One whose frames cannot be had becomes a clip too, which the pipeline then
rejects with the reason; nothing is left out in silence.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preprocessing.clips import Clip, check_unique
from preprocessing.datasets.reading import action_units
from preprocessing.datasets.reading.cells import emotion_word, objective_class
from preprocessing.datasets.reading.copies import Finding, match
from preprocessing.datasets.reading.corrections import correct, read_corrections
from preprocessing.datasets.reading.folders import ImageFolder, Tree, in_parents, look_through, shown
from preprocessing.datasets.reading.frame_spans import Annotation, Span, find_span
from preprocessing.datasets.reading.layout import Layout, Row, Source, clip_name
from preprocessing.datasets.settings import DataSettings
from preprocessing.errors import ClipRejectedError, DatasetError, MissingPathError
from preprocessing.video import ImageSequence, Unreadable, list_images


@dataclass(frozen=True)
class Survey:
    """What a root holds.

    Attributes:
        layout: the data set.
        root: as given.
        clips: one per row, in the order of the table.
        counts: clips by emotion word, whether their frames are there or not.
        findings: what is worth telling.
        tables: the annotation tables, mostly one; none if the labels come from folder names.
        version: which published version its counts are, in words.
        copy: folder of the tree that the frames were taken from, and its variant.
        folders: how many folders with images that tree has.
    """

    layout: Layout
    root: Path
    clips: tuple[Clip, ...]
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    tables: tuple[Path, ...]
    version: str
    copy: str
    variant: str
    folders: int

    @property
    def usable(self) -> int:
        """Clips whose frames were found."""
        return sum(not isinstance(clip.frames, Unreadable) for clip in self.clips)

    @property
    def subjects(self) -> int:
        """People in the table."""
        return len({clip.subject for clip in self.clips})

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """Clips and subjects of each part of a fixed split, in the order of the tables."""
        parts: dict[str, list[str]] = defaultdict(list)
        for clip in self.clips:
            if clip.split is not None:
                parts[clip.split].append(clip.subject)
        return {name: (len(subjects), len(set(subjects))) for name, subjects in parts.items()}

    @property
    def summary(self) -> str:
        """Table, version, clips and classes in one line: what every run prints and keeps."""
        table = ", ".join(path.name for path in self.tables) or "no table, labels from folder names"
        counts = ", ".join(f"{word} {n}" for word, n in self.counts.items())
        return (
            f"{self.layout.title}: {table} ({self.version}); {len(self.clips)} clips, {self.usable} with frames, "
            f"{self.subjects} subjects; {counts}"
        )


def survey(layout: Layout, root: Path, settings: DataSettings | None = None) -> Survey:
    """Look through a copy of a data set. Tables are opened and folders listed; no image is decoded.

    Raises:
        DatasetError: the root or the table is not usable, in one sentence.
        UsageError: a setting that has no effect on this data set.
    """
    settings = (settings or DataSettings()).complete(layout.name, layout.offers, layout.options)
    tree = look_through(root)
    tables = _choose_tables(layout, tree, settings)
    rows, stray = layout.rows(Source(tree, tables, settings.options))
    notes = _Notes()
    notes.add("rows that are not expressions", stray)
    rows, ids = _without_twins(layout, rows, notes)
    name, corrections = read_corrections(layout.name, settings.corrections)
    rows, corrected, unknown = correct(ids, rows, corrections, name)
    notes.add(f"cells put right by {name}", corrected, warning=False)
    notes.add(f"corrections in {name} for clips that the table does not have", unknown, warning=False)
    if layout.check is not None:
        what, wrong = layout.check
        notes.add(what, [text for row in rows if (text := wrong(row)) is not None])
    copies = match(layout, tree, rows, settings.variant)
    for remark in copies.remarks:
        notes.add(remark.what, remark.items, remark.warning)
    cropped = layout.faces or copies.variant == "cropped"
    clips = [
        _clip(layout, clip_id, row, folder, cropped, settings.apex, notes)
        for clip_id, row, folder in zip(ids, rows, copies.folders, strict=True)
    ]
    notes.add("what could not be listed", tree.unreadable)
    counts = Counter(clip.emotion or "no label" for clip in clips)
    if not any(isinstance(clip.frames, ImageSequence) for clip in clips):
        reasons = Counter(clip.frames.error.reason for clip in clips if isinstance(clip.frames, Unreadable))
        raise DatasetError(f"none of the {len(clips)} clips below {root} is usable; {reasons.most_common(1)[0][0]}")
    return Survey(
        layout=layout,
        root=root,
        clips=tuple(check_unique(clips)),
        counts=dict(counts.most_common()),
        findings=notes.findings(),
        tables=tables,
        version=_version(layout, counts),
        copy=copies.name,
        variant=copies.variant,
        folders=copies.size,
    )


@dataclass
class _Notes:
    """Collects findings by kind, in the order in which the kinds first occur."""

    kinds: dict[tuple[str, bool], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: str, items: Sequence[str], warning: bool = True) -> None:
        if items:
            self.kinds[what, warning] += items

    def findings(self) -> tuple[Finding, ...]:
        return tuple(Finding(what, tuple(items), warning) for (what, warning), items in self.kinds.items())


def _choose_tables(layout: Layout, tree: Tree, settings: DataSettings) -> tuple[Path, ...]:
    if settings.table is not None:
        path = Path(settings.table)
        if not path.is_file():
            kind = DatasetError if path.exists() else MissingPathError
            raise kind(f"table {path} is not a file")
        return (path,)
    if not layout.tables:
        return ()
    usual = [path for path in tree.tables if re.fullmatch(layout.tables, path.name.lower())]
    different = list({path.read_bytes(): path for path in reversed(usual)}.values())[::-1]
    if len(different) > 1 and not layout.several_tables:
        raise DatasetError(
            f"{len(different)} tables of {layout.title} lie below {tree.root} ({shown([p.name for p in different])}): "
            "choose one with --table PATH"
        )
    if different:
        return tuple(different)
    if not layout.needs_table:
        return ()
    if len(tree.tables) == 1:  # renamed
        return tree.tables
    above = [path for path in in_parents(tree.root) if re.fullmatch(layout.tables, path.name.lower())]
    if above:
        raise DatasetError(
            f"{tree.root} holds no table of {layout.title}, but {above[0].parent} does ({above[0].name}): give that "
            "folder as the root"
        )
    seen = f"the tables there are {shown([p.name for p in tree.tables])}" if tree.tables else "there is no table at all"
    raise DatasetError(
        f"{tree.root} holds no table of {layout.title} (.xlsx, .xls or .csv, usually {layout.usual_table}); {seen}. "
        "Give the folder that holds both the table and the frames, or name the table with --table PATH"
    )


def _without_twins(layout: Layout, rows: list[Row], notes: _Notes) -> tuple[list[Row], list[str]]:
    """Rows and their clip ids. Expressions that share a name get their onset into it; a row that repeats one goes."""
    names = Counter((row.subject, row.name.lower()) for row in rows)
    kept: dict[str, Row] = {}
    repeated: list[str] = []
    for row in rows:
        name = row.name
        if names[row.subject, row.name.lower()] > 1:
            name = clip_name(f"{row.name}_{row.text('onset') or 'x'}", row.where)
        clip_id = f"{layout.name}/{row.subject}/{name}"
        first = kept.setdefault(clip_id, row)
        if first is not row:
            same = all(first.text(column) == row.text(column) for column in first.cells)
            repeated.append(f"{clip_id} ({row.where}; first in {first.where}{'' if same else ', with other cells'})")
    notes.add("rows that repeat another one; the first counts", repeated)
    twice = [f"{subject}/{name}" for (subject, name), times in names.items() if times > 1]
    notes.add("names shared by several expressions; their onset was added", twice, warning=False)
    return list(kept.values()), list(kept)


def _clip(
    layout: Layout, clip_id: str, row: Row, folder: ImageFolder | None, cropped: bool, apex: str | None, notes: _Notes
) -> Clip:
    """A row and its folder as a clip; with a source that raises the reason if its frames cannot be had."""
    units, strange = action_units.parse(row.cells.get("action_units"))
    notes.add("action-unit cells that are not understood", [f"{clip_id}: {s!r} ({row.where})" for s in strange])
    emotion = emotion_word(row.cells.get("emotion"))
    if emotion is None:
        notes.add("rows without an emotion", [f"{clip_id} ({row.where})"])
    clip = Clip(
        clip_id=clip_id,
        subject=f"{layout.name}/{row.subject}",
        frames=Unreadable(clip_id, ClipRejectedError("missing_frames", f"no folder for {clip_id} ({row.where})")),
        fps=_rate(row) or layout.fps,
        emotion=emotion,
        action_units=tuple(map(str, units)),
        objective_class=objective_class(row.cells.get("objective_class")),
        cropped=cropped,
        split=row.text("split").lower() or None,
    )
    if folder is None:
        notes.add("rows without a folder", [f"{clip_id} ({row.where})"])
        return clip
    try:
        span = find_span(list_images(folder.path), Annotation.of(row, layout))
    except ClipRejectedError as error:
        notes.add("clips that cannot be used", [f"{clip_id}: {error.reason} ({row.where})"])
        return replace(clip, frames=Unreadable(str(folder.path), error))
    for remark in span.remarks:
        notes.add(remark.what, [f"{clip_id}{remark.detail}"], remark.warning)
    return _with_apex(replace(clip, frames=ImageSequence(span.paths), offset=len(span.paths) - 1), span, apex)


def _rate(row: Row) -> float | None:
    """Frames per second of a row's own column, if it has one that is a number above 0."""
    match = re.fullmatch(r"\d{1,5}(\.\d{1,6})?", row.text("fps"))
    return (float(match[0]) or None) if match else None


def _with_apex(clip: Clip, span: Span, policy: str | None) -> Clip:
    if span.apex is not None:
        return replace(clip, apex=span.apex)
    if policy == "drop":
        reason = f"its apex is not usable ({span.why_no_apex}) and such clips are dropped"
        return replace(clip, frames=Unreadable(clip.frames.name, ClipRejectedError("no_apex", reason)), offset=None)
    if policy == "midpoint":
        return replace(clip, apex=(len(span.paths) - 1) // 2, apex_source="midpoint")
    return clip


def _version(layout: Layout, counts: Mapping[str, int]) -> str:
    """The published version whose classes have exactly these counts, or how far the nearest one is."""
    nearest = layout.nearest(counts)
    if nearest is None:
        return "no published counts to compare with"
    words = {**nearest.classes, **counts}
    pairs = {word: (counts.get(word, 0), nearest.classes.get(word, 0)) for word in words}
    changed = [f"{word} {here} for {there}" for word, (here, there) in pairs.items() if here != there]
    return f"no known version; nearest is {nearest.name}, but with {shown(changed)}" if changed else nearest.name
