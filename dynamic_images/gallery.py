"""The page of a data set: every clip's dynamic images side by side, every rejected clip with its reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dynamic_images.build import STAGE
from dynamic_images.contact_sheet import contact_sheet, is_fresh, number, quality_numbers, sheet_key, words
from dynamic_images.encoding import VIEW_RANGE
from dynamic_images.pages import page_environment
from preprocessing.cache import clip_folder, read_manifest, write_text
from preprocessing.workers import unordered

PAGE = "index.html"


def write_gallery(
    cache: Path, out: Path | None = None, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw the contact sheets that are missing or stale and write the HTML index.

    Args:
        cache: ``cache/<dataset>``, with its manifest; sheets go to ``sheets/`` below it.
        out: the page, by default ``index.html`` in ``cache``. It refers to pictures by relative links.
        jobs: processes that draw sheets.
        progress: called with (sheets done, sheets to draw) after each one.

    Returns:
        The page's path.

    Raises:
        ToolkitError: no manifest, or a clip that counts as ok has no dynamic images.
    """
    rows = [{str(name): value for name, value in row.items()} for row in read_manifest(cache).to_dict("records")]
    good = [row for row in rows if row["status"] == "ok"]
    _draw(cache, good, jobs, progress)
    page = out or cache / PAGE
    template = page_environment().get_template("gallery.html")
    write_text(
        page,
        template.render(
            dataset=cache.name,
            cards=[_card(cache, row, page.parent) for row in good],
            rejected=[_rejected(row) for row in rows if row["status"] != "ok"],
            emotions=_counts(words(row.get("emotion")) or "no label" for row in good),
            subjects=len({row["subject"] for row in good}),
            settings=_settings(cache, good),
            view_range=VIEW_RANGE,
        ),
    )
    return page


def sheet_path(cache: Path, clip_id: str) -> Path:
    """Where a clip's contact sheet is."""
    return cache / "sheets" / f"{clip_id.split('/', 1)[1]}.png"


def _draw(cache: Path, rows: list[dict[str, Any]], jobs: int, progress: Callable[[int, int], None] | None) -> None:
    todo = []
    for row in rows:
        folder, path = clip_folder(cache, row["clip_id"]), sheet_path(cache, row["clip_id"])
        if not is_fresh(path, sheet_key(folder, row)):
            todo.append((folder, row, path))
    for done, _ in enumerate(unordered(contact_sheet, todo, jobs), start=1):
        if progress is not None:
            progress(done, len(todo))


def _card(cache: Path, row: Mapping[str, Any], base: Path) -> dict[str, Any]:
    folder = clip_folder(cache, row["clip_id"])
    return {
        "clip_id": row["clip_id"],
        "emotion": words(row.get("emotion")) or "no label",
        "status": row["status"],
        "apex_source": words(row.get("apex_source")),
        "frames": number(row.get("n_frames")),
        "fps": number(row.get("fps")),
        "sheet": _link(sheet_path(cache, row["clip_id"]), base),
        "trdi": _link(folder / "temporal_ranked.png", base),
        "midi": _link(folder / "motion_intensity.png", base),
        "numbers": quality_numbers(row),
    }


def _rejected(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: words(row.get(name)) for name in ("clip_id", "emotion", "code", "reason")}


def _counts(labels: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _settings(cache: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings of the images stage, as the first clip recorded them."""
    entry = clip_folder(cache, rows[0]["clip_id"]).entry(STAGE) if rows else None
    return {} if entry is None else entry.settings


def _link(path: Path, base: Path) -> str:
    """Relative link that survives spaces, ``#`` and ``%`` in clip names."""
    return quote(os.path.relpath(path, base).replace(os.sep, "/"))
