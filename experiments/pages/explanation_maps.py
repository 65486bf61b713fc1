"""Report section on the explanations of a run: numbers, mean maps by class, maps of single clips.

It reads what `experiments.runs.explanations` has written. A map is drawn over a picture as a glow of one colour scale,
from nothing (no evidence for the class) to white (the map's own maximum): maps of two networks compare in shape, not
in strength.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.pages.gate import titled
from experiments.runs.explanations import NUMBERS, read_maps, read_numbers
from experiments.runs.run import Run
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.stacks import CROPS

SIDE = 160
TITLES = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM"}
GLOW = 0.75
"""Opacity of a map at its maximum."""

Picture = NDArray[np.uint8]


def explained(run: Run, cache: Path, clips: Sequence[str], changed: Collection[str] = ()) -> dict[str, Any] | None:
    """What the report's section is filled with; None if the run has no explanations.

    Those of other predictions, or of another version, are not shown: ``{"stale": True}``.

    Args:
        run: the run folder.
        cache: ``cache/<dataset>``: dynamic images and crops.
        clips: clips to show, of those that are there.
        changed: clips that were made again since they were read; their pictures are not what the maps are about.
    """
    numbers = read_numbers(run)
    if numbers is None:
        return {"stale": True} if (run.explanations / NUMBERS).is_file() else None
    maps = read_maps(run)
    place = {str(clip_id): i for i, clip_id in enumerate(maps["clip_id"])}
    inputs = numbers["inputs"]
    return {
        **numbers,
        "stale": False,
        "titles": TITLES,
        "short": {stream: titled(stream) for stream in inputs},
        "classes": [
            _mean_row(name, maps, np.flatnonzero(maps["y_true"] == name), inputs, cache, changed)
            for name in numbers["occlusion"][0]["by_class"]
            if (maps["y_true"] == name).any()
        ],
        "shown": [
            _clip_row(place[clip_id], maps, inputs, cache)
            for clip_id in clips
            if clip_id in place and clip_id not in changed
        ],
    }


def _mean_row(
    name: str,
    maps: Mapping[str, NDArray[Any]],
    rows: NDArray[np.intp],
    inputs: Iterable[str],
    cache: Path,
    changed: Collection[str],
) -> dict[str, Any]:
    """Mean map of a class's clips over their mean onset face: crops are aligned, so that places mean the same."""
    faces = [_onset(cache, clip) for i in rows if (clip := str(maps["clip_id"][i])) not in changed]
    there = [face for face in faces if face is not None]
    face = np.mean(there, axis=0).astype(np.uint8) if there else None
    cells = {
        (kind, method, stream): _glowing(
            face, _evidence(np.mean([_evidence(maps[f"{kind}/{method}/{stream}"][i]) for i in rows], axis=0))
        )
        for kind in ("map", "untrained")
        for method in TITLES
        for stream in inputs
    }
    return {"name": name, "n": len(rows), "cells": cells}


def _clip_row(i: int, maps: Mapping[str, NDArray[Any]], inputs: Iterable[str], cache: Path) -> dict[str, Any]:
    clip_id = str(maps["clip_id"][i])
    face = _onset(cache, clip_id)
    cells = {}
    for stream in inputs:
        grad_cam, hires_cam = (_evidence(maps[f"map/{method}/{stream}"][i]) for method in TITLES)
        cells[stream, "over the image"] = _glowing(_view(clip_folder(cache, clip_id) / f"{stream}.png"), grad_cam)
        cells[stream, "over the onset face"] = _glowing(face, grad_cam)
        cells[stream, "HiResCAM"] = _glowing(face, hires_cam)
        cells[stream, "untrained"] = _glowing(face, _evidence(maps[f"untrained/grad_cam/{stream}"][i]))
    facts = {name: str(maps[name][i]) for name in ("clip_id", "y_true", "y_pred")}
    return {**facts, "cells": cells}


def _evidence(signed: NDArray[np.floating]) -> NDArray[np.float64]:
    """The positive part of a map, its maximum being 1; zero where nothing speaks for the class."""
    positive = np.maximum(np.asarray(signed, np.float64), 0)
    peak = positive.max()
    return positive / peak if peak > 0 else positive


def _onset(cache: Path, clip_id: str) -> Picture | None:
    folder = clip_folder(cache, clip_id)
    if not (folder / CROPS).is_file():
        return None
    return np.asarray(cv2.resize(folder.frames(CROPS)[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _view(path: Path) -> Picture | None:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) if path.is_file() else None
    if image is None:
        return None
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _glowing(picture: Picture | None, map_: NDArray[np.float64]) -> str | None:
    """``picture`` (`SIDE`, `SIDE`, 3) in grey under ``map_`` (h, w) in 0 .. 1, as a data URL."""
    if picture is None:
        return None
    smooth = np.clip(cv2.resize(map_, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 1)
    color = cv2.applyColorMap(np.rint(255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO).astype(np.float64)
    grey = picture.mean(axis=-1, keepdims=True)
    opacity = GLOW * smooth[..., None]
    mixed = np.rint((1 - opacity) * grey + opacity * color).astype(np.uint8)
    done, code = cv2.imencode(".jpg", mixed, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode() if done else None
