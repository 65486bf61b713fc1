"""Write the page of a data set: dynamic images of every clip, frames to scrub through, and rejected clips.

    cache/<dataset>/
      index.html, index.data.js        the page, and what it knows of each clip; opened as a file, it needs no server
      sheets/<subject>/<clip>.png      contact sheets
      motion/<subject>/<clip>.png      what moved, see `motion_figure`
      motion.csv                       the same as numbers
      frames/<subject>/<clip>/0.jpg    film strips

The page's pictures are those of the clip folders, by relative links: the folder can be moved as a whole. Thumbnails
are loaded when they are scrolled to, sheets and film strips when a clip is opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from dynamic_images.build import STAGE
from dynamic_images.inputs import INPUTS
from dynamic_images.inspection import film_strip
from dynamic_images.inspection.contact_sheet import contact_sheet, is_fresh, sheet_key
from dynamic_images.inspection.motion_figure import figure_key, motion_figure
from dynamic_images.inspection.motion_table import page_motion, write_motion_table
from dynamic_images.inspection.pages import page_environment
from dynamic_images.inspection.pictures import caption, pictures
from dynamic_images.noise_floor import noise_notes
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import FACTS, number, read_manifest, words
from preprocessing.artefacts.members import read_members
from preprocessing.workers import unordered

PAGE = "index.html"
NO_LABEL = "no label"

Row = Mapping[str, Any]


def write_gallery(
    cache: Path, out: Path | None = None, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw the contact sheets and film strips that are missing or stale and write the page.

    Args:
        cache: ``cache/<dataset>``, with its manifest; sheets go to ``sheets/`` and strips to ``frames/`` below it.
        out: the page, by default ``index.html`` in ``cache``. It refers to pictures by relative links.
        jobs: processes that draw.
        progress: called with (clips done, clips to draw) after each one.

    Returns:
        The page's path.

    Raises:
        ToolkitError: no manifest, or a clip that counts as ok has no dynamic images.
    """
    manifest = read_manifest(cache)
    rows = [{str(name): value for name, value in row.items()} for row in manifest.to_dict("records")]
    write_motion_table(cache, rows, jobs)
    todo = [task for row in rows if _has_frames(row) and (task := _task(cache, row))]
    for done, _ in enumerate(unordered(_draw, todo, jobs), start=1):
        if progress is not None:
            progress(done, len(todo))
    return write_page(cache, rows, out or cache / PAGE, pictures(manifest), caption(manifest))


def write_page(cache: Path, rows: Sequence[Row], page: Path, titles: Mapping[str, str], about: str = "") -> Path:
    """Write the page over pictures that are there already, and ``<page>.data.js`` beside it.

    Args:
        cache: see `write_gallery`.
        rows: of the manifest.
        page: where to write.
        titles: file stem of each picture of a clip → title.
        about: what the pictures show, in words.
    """
    data = page.with_suffix(".data.js")
    good = [row for row in rows if row["status"] == "ok"]
    columns = [name for name in (rows[0] if rows else ()) if name not in FACTS]
    columns = [name for name in columns if any(number(row.get(name)) is not None for row in good)]
    content = {
        "pictures": dict(titles),
        "columns": columns,
        "strip": {"columns": film_strip.COLUMNS, "frames": film_strip.FRAMES},
        "clips": [_clip(cache, row, columns, page.parent) for row in rows],
    }
    write_text(data, f"window.GALLERY = {json.dumps(content, separators=(',', ':'), allow_nan=False)};\n")
    text = (
        page_environment()
        .get_template("gallery.html")
        .render(
            dataset=cache.name,
            data=quote(data.name),
            clips=len(good),
            rejected=len(rows) - len(good),
            codes=_counts(words(row.get("code")) or "unknown" for row in rows if row["status"] != "ok"),
            subjects=_counts(row["subject"] for row in rows),
            emotions=_counts(words(row.get("emotion")) or NO_LABEL for row in rows),
            columns=columns,
            pictures=titles,
            caption=about,
            frames=any(map(_has_frames, good)),
            settings=_settings(cache, good, titles),
        )
    )
    write_text(page, text)
    return page


def sheet_path(cache: Path, clip_id: str) -> Path:
    """Where a clip's contact sheet is."""
    return cache / "sheets" / f"{_inside(cache, clip_id)}.png"


def frames_path(cache: Path, clip_id: str) -> Path:
    """Folder of a clip's film strips."""
    return cache / "frames" / _inside(cache, clip_id)


def motion_path(cache: Path, clip_id: str) -> Path:
    """Where the picture of what moved in a clip is."""
    return cache / "motion" / f"{_inside(cache, clip_id)}.png"


def _inside(cache: Path, clip_id: str) -> str:
    """Where a clip's pictures lie; where clips are of several data sets each has its own folder."""
    return clip_id if read_members(cache) else clip_id.split("/", 1)[1]


def _task(cache: Path, row: Row) -> tuple[ClipFolder, Row, Path | None, Path | None, Path | None] | None:
    """What `_draw` has to do for a clip; None where all pictures are fresh."""
    folder = clip_folder(cache, row["clip_id"])
    sheet, strips = sheet_path(cache, row["clip_id"]), frames_path(cache, row["clip_id"])
    sheet_done = is_fresh(sheet, sheet_key(folder, row))
    strips_done = film_strip.are_fresh(strips, int(row["n_frames"]), film_strip.film_strip_key(folder))
    moved = motion_path(cache, row["clip_id"])
    moved_done = is_fresh(moved, figure_key(folder, row))
    if sheet_done and strips_done and moved_done:
        return None
    return (
        folder,
        row,
        None if sheet_done else sheet,
        None if strips_done else strips,
        None if moved_done else moved,
    )


def _draw(folder: ClipFolder, row: Row, sheet: Path | None, strips: Path | None, moved: Path | None) -> None:
    if sheet is not None:
        contact_sheet(folder, row, sheet)
    if strips is not None:
        film_strip.write_film_strips(folder, strips)
    if moved is not None:
        motion_figure(folder, row, moved)


def _clip(cache: Path, row: Row, columns: Sequence[str], base: Path) -> dict[str, Any]:
    """What the page knows of a clip; numbers have the precision that is shown, links start at the page.

    A clip whose images came without frames has neither sheet nor strips nor curve.
    """
    about = {
        "id": row["clip_id"],
        "subject": row["subject"],
        "emotion": words(row.get("emotion")) or NO_LABEL,
        "status": row["status"],
    }
    if row["status"] != "ok":
        return about | {"code": words(row.get("code")), "reason": words(row.get("reason"))}
    folder = clip_folder(cache, row["clip_id"])
    numbers = [_short(number(row.get(name))) for name in columns]
    about |= {"folder": _link(folder.folder, base), "numbers": numbers, "frames": None}
    if not (folder / "intensity.npy").is_file():
        return about
    intensity = folder.load("intensity.npy")
    return about | {
        "sheet": _link(sheet_path(cache, row["clip_id"]), base),
        "strips": _link(frames_path(cache, row["clip_id"]), base),
        "frames": len(intensity),
        "fps": number(row.get("fps")),
        "units": words(row.get("action_units")),
        "apex": int(row["apex"]) - int(row["onset"]),
        "apex_source": words(row.get("apex_source")),
        "curve": [_short(float(value)) for value in np.nan_to_num(intensity)],
        "floor": _floor(folder, row),
        "notes": noise_notes(row),
        "moved": _moved(cache, folder, row, base),
    }


def _moved(cache: Path, folder: ClipFolder, row: Row, base: Path) -> dict[str, Any] | None:
    """What moved in a clip: lines, and a link to the picture; None where it was not measured."""
    if not (folder / "region_curves.npy").is_file():
        return None
    return page_motion(folder, row) | {"picture": _link(motion_path(cache, row["clip_id"]), base)}


def _floor(folder: ClipFolder, row: Row) -> float | None:
    """The noise floor of a clip's curve; None where the curve is of another kind than what the floor is of."""
    entry = folder.entry(STAGE)
    measured = entry is not None and entry.settings.get("reference") == "onset"
    return _short(number(row.get("noise_floor"))) if measured else None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _counts(labels: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items()))


def _settings(cache: Path, rows: Sequence[Row], titles: Mapping[str, str]) -> dict[str, Any]:
    """Settings of the stage that wrote the pictures, as the first clip recorded them."""
    stages = [INPUTS[name].stage for name in titles if name in INPUTS]
    entry = clip_folder(cache, rows[0]["clip_id"]).entry(stages[0]) if rows and stages else None
    return {} if entry is None else entry.settings


def _has_frames(row: Row) -> bool:
    """Whether a usable clip has frames of its face, and not images that were made elsewhere."""
    return row["status"] == "ok" and number(row.get("n_frames")) is not None


def _link(path: Path, base: Path) -> str:
    """Relative link that survives spaces, ``#`` and ``%`` in names."""
    return quote(os.path.relpath(path, base).replace(os.sep, "/"))
