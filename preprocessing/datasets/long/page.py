"""The text of `mer check` about long recordings, 80 columns wide. Pure."""

from __future__ import annotations

import textwrap

from preprocessing.datasets.long.survey import LongSurvey
from preprocessing.datasets.reading.check import FINE, WARNINGS, WIDTH, section


def page(found: LongSurvey, most: int = 3) -> tuple[str, int]:
    """The page and its exit code.

    Args:
        found: the copy.
        most: items of a finding that are shown; 0 shows all.
    """
    warnings = [finding for finding in found.findings if finding.warning]
    notes = [finding for finding in found.findings if not finding.warning]
    rows = _counts(found)
    matches = all(row[3] == "" for row in rows)
    code = FINE if matches and not warnings else WARNINGS
    lines = [f"{found.layout.title} in {found.root}", "", f"  table     {found.table}"]
    lines += [f"  frames    {found.usable} of {len(found.recordings)} recordings, {_frames(found)}", ""]
    lines += [f"    {'':<12}{'here':>6}  {'published':>12}"]
    lines += [f"    {name:<12}{here:>6}  {there:>12}  {remark}".rstrip() for name, here, there, remark in rows]
    lines += ["", *section(f"Warnings ({len(warnings)})", warnings, most)]
    lines += ["", *section(f"Worth knowing ({len(notes)})", notes, most)] if notes else []
    lines += ["", *textwrap.wrap(_verdict(found, code, bool(warnings), matches), WIDTH)]
    return "\n".join(lines) + "\n", code


def _counts(found: LongSurvey) -> list[tuple[str, str, str, str]]:
    """What is counted, here, published, and ``differs`` where it does."""
    known, here = found.layout.published, found.expressions
    wanted: dict[str, tuple[int, tuple[int, ...]]] = {"recordings": (len(found.recordings), known.recordings)}
    wanted["subjects"] = (found.subjects, () if known.subjects is None else (known.subjects,))
    wanted |= {kind: (here.get(kind, 0), (number,)) for kind, number in known.expressions.items()}
    return [
        (name, str(n), " or ".join(map(str, there)) or "unknown", "" if n in there or not there else "differs")
        for name, (n, there) in wanted.items()
    ]


def _frames(found: LongSurvey) -> str:
    frames = sum(len(one.numbers) for one in found.recordings)
    return f"{frames:,} files, numbers at {found.layout.fps:g} frames per second"


def _verdict(found: LongSurvey, code: int, warned: bool, matches: bool) -> str:
    if code == FINE:
        return f"Fine: this is {found.layout.title} as published."
    reasons = ["the warnings above"] if warned else []
    reasons += [] if matches else ["counts that differ from the published ones"]
    return f"Usable, with {' and '.join(reasons)}."
