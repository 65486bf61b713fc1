"""The page of ``mer predict``: every video with its candidates, every clip with its sheet, its answer and its notes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from dynamic_images.inspection.gallery import PAGE as GALLERY
from dynamic_images.inspection.gallery import motion_path, sheet_path
from dynamic_images.inspection.motion_table import TABLE as MOTION
from dynamic_images.inspection.motion_table import has_motion, page_motion
from dynamic_images.inspection.pages import page_environment
from dynamic_images.spotting.candidates import Proposal
from experiments.pages.gate import titled
from fusion_net.checkpoint import Checkpoint
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import number, words

WIDTH, HEIGHT = 1000, 150  # of a curve, in its own units


TABLE, JSON, PAGE = "predictions.csv", "predictions.json", "predictions.html"
EXPERIMENTAL = (
    "Experimental: spotting in long videos is unsolved. Candidates are where a face moves and moves back within half a "
    "second; most are speech, blinks of the brows, swallowing or noise, and real micro-expressions are missed."
)


@dataclass(frozen=True)
class Predictions:
    """All that the page shows.

    Attributes:
        table: see `predict_videos`.
        checkpoint: the model.
        proposals: what was found in each searched video.
        remarks: about the model on this machine.
    """

    table: pd.DataFrame
    checkpoint: Checkpoint
    proposals: tuple[Proposal, ...] = ()
    remarks: tuple[str, ...] = ()


def render(found: Predictions, out: Path) -> str:
    """The page as HTML; its pictures are links into ``out``, so the folder can be moved as a whole."""
    rows = [{str(k): v for k, v in row.items()} for row in found.table.to_dict("records")]
    classes = found.checkpoint.model.classes
    good = [_clip(row, classes, out) for row in rows if row["status"] == "ok"]
    about = found.checkpoint.about
    environment = page_environment(Path(__file__).parent / "templates")
    return environment.get_template("predictions.html").render(
        network=found.checkpoint.model.TITLE or type(found.checkpoint.model).__name__,
        classes=classes,
        training=about.get("training"),
        evaluation=about.get("evaluation"),
        remarks=found.remarks,
        experimental=EXPERIMENTAL,
        searched=[_searched(proposal, good) for proposal in found.proposals],
        clips=[clip for clip in good if not clip["spotted"]],
        rejected=[row for row in rows if row["status"] != "ok"],
        counts=dict(found.table.loc[found.table["status"] == "ok", "y_pred"].value_counts()) if good else {},
        files={"table": TABLE, "json": JSON, "gallery": GALLERY if good else None, "motion": MOTION if good else None},
    )


def _clip(row: dict[str, Any], classes: tuple[str, ...], out: Path) -> dict[str, Any]:
    shares = {name: float(row[f"p_{name}"]) for name in classes}
    gates = {
        k.removeprefix("gate_"): float(v) for k, v in row.items() if k.startswith("gate_") and number(v) is not None
    }
    return {
        "clip_id": row["clip_id"],
        "name": Path(words(row["video"])).name,
        "spotted": bool(row["spotted"]),
        "answer": row["y_pred"],
        "shares": dict(sorted(shares.items(), key=lambda item: -item[1])),
        "gates": {titled(name): value for name, value in gates.items()},
        "notes": [note for note in words(row["notes"]).split("; ") if note],
        "frames": int(row["n_frames"]),
        "span": (int(row["onset"]), int(row["offset"])),
        "seconds": _seconds(row),
        "sheet": _link(sheet_path(out, row["clip_id"]), out),
        "moved": _moved(row, out),
        "coding": words(row.get("coding")),
    }


def _moved(row: dict[str, Any], out: Path) -> dict[str, Any] | None:
    """What moved, as `page_motion` says it, with a link to the picture; None where it was not measured."""
    if not has_motion(out, row):
        return None
    picture = _link(motion_path(out, row["clip_id"]), out)
    return page_motion(clip_folder(out, row["clip_id"]), row) | {"picture": picture}


def _link(path: Path, out: Path) -> str:
    return quote(os.path.relpath(path, out).replace(os.sep, "/"))


def _seconds(row: dict[str, Any]) -> tuple[float, float] | None:
    start, end = number(row.get("start_s")), number(row.get("end_s"))
    return None if start is None or end is None else (start, end)


def _searched(proposal: Proposal, good: list[dict[str, Any]]) -> dict[str, Any]:
    """A video with its curve as points of an SVG and its candidates with their answers."""
    clips = {clip["clip_id"]: clip for clip in good}
    n_frames, fps = len(proposal.curve), proposal.video.fps or 1.0
    pairs = zip(proposal.clips, proposal.found, strict=True)
    return {
        "name": Path(proposal.video.frames.name).name,
        "clip_id": proposal.video.clip_id,
        "seconds": n_frames / fps,
        "measured": float(np.isfinite(proposal.curve).mean()) if n_frames else 0.0,
        "lines": _lines(proposal.curve),
        "top": float(np.nanmax(proposal.curve)) if np.isfinite(proposal.curve).any() else 0.0,
        "bands": [
            (WIDTH * one.onset / n_frames, WIDTH * (one.offset + 1 - one.onset) / n_frames) for one in proposal.found
        ],
        "ticks": _ticks(n_frames / fps),
        "clips": [clips[clip.clip_id] for clip, _ in pairs if clip.clip_id in clips],
        "candidates": len(proposal.found),
        "left_out": proposal.left_out,
    }


def _lines(curve: np.ndarray[Any, Any]) -> list[str]:
    """Unbroken pieces of the curve as points; of many frames the strongest of each bin is drawn."""
    if not np.isfinite(curve).any():
        return []
    bins = np.array_split(curve, min(len(curve), WIDTH))
    values = np.array([np.nanmax(b) if np.isfinite(b).any() else np.nan for b in bins])
    x = (np.arange(len(values)) + 0.5) * WIDTH / len(values)
    y = HEIGHT * (1 - 0.95 * values / np.nanmax(values))
    there = np.isfinite(values)
    pieces = np.split(np.arange(len(values)), np.flatnonzero(np.diff(there.astype(int))) + 1)
    return [" ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in piece) for piece in pieces if there[piece[0]]]


def _ticks(seconds: float) -> list[tuple[float, str]]:
    """At most ten round times along the curve."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
    step = next((step for step in steps if seconds / step <= 10), steps[-1])
    times = np.arange(0, seconds, step)
    return [(WIDTH * t / seconds, f"{int(t // 60)}:{t % 60:02.0f}" if step >= 1 else f"{t:g} s") for t in times]
