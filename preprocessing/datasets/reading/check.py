"""The text of `mer check`, 80 columns wide: what a copy of a data set holds and what is wrong with it. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from preprocessing.clips import Clip
from preprocessing.datasets.labels import Scheme, class_of
from preprocessing.datasets.reading.copies import Finding
from preprocessing.datasets.reading.layout import Published
from preprocessing.datasets.reading.survey import Survey
from preprocessing.errors import ClipRejectedError
from preprocessing.video import ImageSequence

WIDTH = 80
FINE, WARNINGS, UNUSABLE = 0, 1, 2
"""Exit codes: as published, usable with warnings, not usable."""


def page(found: Survey, broken: Sequence[Finding] = (), most: int = 3) -> tuple[str, int]:
    """The page and its exit code.

    Args:
        found: the copy.
        broken: what decoding found, if it was asked for.
        most: items of a finding that are shown; 0 shows all.
    """
    findings = [*found.findings, *broken]
    warnings = [finding for finding in findings if finding.warning]
    notes = [finding for finding in findings if not finding.warning]
    known = found.layout.nearest(found.counts)
    matches = known is None or (
        dict(known.classes) == dict(found.counts)
        and known.subjects == found.subjects
        and (not known.splits or dict(known.splits) == found.splits)
    )
    code = FINE if matches and not warnings else WARNINGS
    lines = [f"{found.layout.title} in {found.root}", "", *_facts(found)]
    lines += ["", *_counts(found, known), "", *_schemes(found)]
    lines += ["", *section(f"Warnings ({len(warnings)})", warnings, most)]
    lines += ["", *section(f"Worth knowing ({len(notes)})", notes, most)] if notes else []
    lines += ["", *textwrap.wrap(_verdict(found, code, bool(warnings), matches), WIDTH)]
    return "\n".join(lines) + "\n", code


def refusal(title: str, reason: str) -> tuple[str, int]:
    """The page for a root that cannot be used at all, and its exit code."""
    return "\n".join(
        textwrap.wrap(f"{title} cannot be used: {reason}.", WIDTH, break_long_words=False)
    ) + "\n", UNUSABLE


def decode(clips: Sequence[Clip]) -> Iterator[tuple[Clip, str | None]]:
    """Decode every frame of every clip; yield each clip with what is wrong with its frames, or None."""
    for clip in clips:
        if not isinstance(clip.frames, ImageSequence):
            continue
        try:
            for _ in clip.frames.read():
                pass
        except ClipRejectedError as error:
            yield clip, error.reason
        else:
            yield clip, None


def _facts(found: Survey) -> list[str]:
    kind = "face crops" if found.layout.faces else found.variant
    table = ", ".join(map(str, found.tables)) or "none needed, labels come from folder names"
    facts = {
        "table": table,
        "version": found.version,
        "frames": f"{found.copy or 'the root itself'} ({kind}), {found.folders} folders of clips",
        "clips": f"{len(found.clips)}, of which {found.usable} with their frames",
        "subjects": str(found.subjects),
    }
    if not found.layout.certain:
        facts["care"] = "no real table of this data set was seen by the authors of this adapter"
    lines: list[str] = []
    for name, text in facts.items():
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
    return lines


def _counts(found: Survey, known: Published | None) -> list[str]:
    if known is None:
        rows = [("emotion", "here"), *((word, str(n)) for word, n in found.counts.items())]
        return _aligned(rows)
    words = list(dict.fromkeys([*known.classes, *found.counts]))
    rows3 = [("emotion", "here", "published", "")]
    for word in words:
        here, there = found.counts.get(word, 0), known.classes.get(word, 0)
        rows3.append((word, str(here), str(there), "" if here == there else "differs"))
    for name, here, there in (
        ("clips", len(found.clips), known.clips),
        ("subjects", found.subjects, known.subjects),
    ):
        rows3.append((name, str(here), str(there), "" if here == there else "differs"))
    for split in dict.fromkeys([*known.splits, *found.splits]):
        parts = zip(
            ("clips", "subjects"), found.splits.get(split, (0, 0)), known.splits.get(split, (0, 0)), strict=True
        )
        for name, here, there in parts:
            rows3.append((f"{split}: {name}", str(here), str(there), "" if here == there else "differs"))
    return [f"  compared with {known.name}:", *_aligned(rows3)]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(("    " + "  ".join(cells)).rstrip())
    return lines


def _schemes(found: Survey) -> list[str]:
    """Clips with frames under each label scheme."""
    usable = [clip for clip in found.clips if isinstance(clip.frames, ImageSequence)]
    lines = ["  clips with frames under each label scheme (the first is the default):"]
    for scheme, classes in found.layout.schemes.items():
        lines += textwrap.wrap(
            _scheme(classes, usable), WIDTH, initial_indent=f"    {scheme:<6}", subsequent_indent=" " * 10
        )
    return lines


def _scheme(scheme: Scheme, clips: Sequence[Clip]) -> str:
    labels = [class_of(clip.emotion, scheme, clip.objective_class) for clip in clips]
    of = {name: [clip for clip, label in zip(clips, labels, strict=True) if label == name] for name in scheme}
    people = {clip.subject for members in of.values() for clip in members}
    each = ", ".join(f"{name} {len(members)}" for name, members in of.items())
    return f"{sum(map(len, of.values()))} clips of {len(people)} subjects: {each}"


def section(title: str, findings: Sequence[Finding], most: int) -> list[str]:
    """Lines of some findings under a title; ``most`` items of each, 0 for all."""
    lines = [f"  {title}"]
    for finding in findings:
        lines += textwrap.wrap(
            f"{len(finding.items)} × {finding.what}", WIDTH, initial_indent="    ", subsequent_indent=" " * 8
        )
        some = finding.items[:most] if most else finding.items
        for item in some:
            lines += textwrap.wrap(item, WIDTH, initial_indent=" " * 6 + "- ", subsequent_indent=" " * 8)
        if len(finding.items) > len(some):
            lines.append(f"        and {len(finding.items) - len(some)} more (--all lists them)")
    return lines if findings else [f"  {title}: nothing"]


def _verdict(found: Survey, code: int, warned: bool, matches: bool) -> str:
    if code == FINE:
        return f"Fine: this is {found.layout.title} as published."
    reasons = ["the warnings above"] if warned else []
    reasons += [] if matches else ["counts that differ from the published ones"]
    return f"Usable, with {' and '.join(reasons)}. Clips that cannot be used become rejected rows with their reason."
