"""What moved in every clip of a data set, as a table (``motion.csv``) and as lines for its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dynamic_images.action_unit_fit import Candidate, candidates, told
from dynamic_images.clip_input import InputUse
from dynamic_images.input_cache import build_inputs, input_path
from dynamic_images.region_inputs import CURVES
from dynamic_images.region_motion import Curves, RegionMotion, as_row, measure
from dynamic_images.regions import REGIONS
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import number
from preprocessing.faces.points68 import eye_distance

TABLE = "motion.csv"
USE = InputUse(CURVES)

Row = Mapping[str, Any]


def write_motion_table(cache: Path, rows: Sequence[Row], jobs: int = 1) -> Path:
    """Write ``motion.csv``: a row per usable clip and region. Curves that are missing are made.

    Args:
        cache: ``cache/<dataset>``.
        rows: of the manifest.
        jobs: processes.
    """
    usable = [row for row in rows if has_motion(cache, row)]
    build_inputs(cache, [row["clip_id"] for row in usable], [USE], jobs)
    lines: list[dict[str, Any]] = []
    for row in usable:
        folder = clip_folder(cache, row["clip_id"])
        found = told(action_units(folder, row))
        lines += [{"clip_id": row["clip_id"], **one, "candidates": found} for one in table_rows(folder, row)]
    columns = list(lines[0]) if lines else ["clip_id"]
    write_text(cache / TABLE, pd.DataFrame(lines, columns=columns).to_csv(index=False, lineterminator="\n"))
    return cache / TABLE


def has_motion(cache: Path, row: Row) -> bool:
    """Whether a clip has flow to read motion from; precomputed images have none."""
    return row["status"] == "ok" and (clip_folder(cache, row["clip_id"]) / "flow.npy").is_file()


def curves_of(folder: ClipFolder) -> Curves:
    """(T, R, 2) px of the crop, as the input `region_curves` keeps them."""
    held = folder.load(input_path(folder, USE).name)
    return np.asarray(held.reshape(len(held), len(REGIONS), 2))


def regions_of(folder: ClipFolder, row: Row) -> list[RegionMotion]:
    """What every region of a clip did."""
    return measure(curves_of(folder), number(row.get("fps")))


def action_units(folder: ClipFolder, row: Row) -> list[Candidate]:
    """Candidate action units; none where no region stands above its noise."""
    return candidates(curves_of(folder), folder.load("landmarks.npy"), number(row.get("fps")))


def table_rows(folder: ClipFolder, row: Row) -> list[dict[str, Any]]:
    """The rows of a clip, in px of the recording and in % of the eye distance."""
    scale, fps = number(row.get("enlarged")) or 1.0, number(row.get("fps"))
    eyes = eye_distance(folder.load("landmarks.npy"))
    return [as_row(one, fps, eyes, scale) for one in regions_of(folder, row)]


def page_motion(folder: ClipFolder, row: Row) -> dict[str, Any]:
    """What a page says of a clip: the regions that stand above their noise, largest first, and the candidates.

    Each line has the texts region, moved, direction, times and noise.
    """
    lines = sorted(
        (one for one in table_rows(folder, row) if one["above_floor"]), key=lambda one: -one["displacement_percent"]
    )
    shown = [
        {
            "region": f"{one['side']} {one['region']}",
            "moved": f"{one['displacement_px']:.2f} px, {one['displacement_percent']:.2f} %",
            "direction": one["direction"],
            "times": _times(one),
            "more": f"{one['more_than_other_side_px']:+.2f} px".replace("-", "−"),
            "noise": f"{one['floor_px']:.2f} px",
        }
        for one in lines
    ]
    return {"lines": shown, "still": len(REGIONS) - len(shown), "candidates": told(action_units(folder, row))}


def _times(one: Mapping[str, Any]) -> str:
    if one["peak_ms"] is None:
        return "rate unknown"
    back = "does not return" if one["return_ms"] is None else f"{one['return_ms']:.0f}"
    return f"{one['onset_ms']:.0f} · {one['peak_ms']:.0f} · {back}"
