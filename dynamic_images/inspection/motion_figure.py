"""Draw what moved: the face with an arrow per region, and the time course of every region beside its noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynamic_images.inspection.motion_table import action_units, curves_of, regions_of, told
from dynamic_images.region_motion import RegionMotion, smooth
from dynamic_images.regions import PARTS, centres
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import atomic, key_of
from preprocessing.artefacts.manifest import number, words
from preprocessing.artefacts.stacks import CROPS
from preprocessing.faces.points68 import eye_distance

FIGURE_VERSION = 1
SIZE, DPI = (12.0, 6.4), 100
LEFT, RIGHT, QUIET, INK = "#c2410c", "#1d4ed8", "#6b7280", "#1c1f24"
"""Colours of the subject's left and right side."""
KEYS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""% of the eye distance that the key arrow may stand for."""
ARROW = 0.14
"""Length of the key arrow as a share of the crop."""


def motion_figure(folder: ClipFolder, row: Mapping[str, Any], path: Path) -> None:
    """Draw one clip as a PNG 1200 px wide.

    Left, the onset with an arrow per region from where it was, coloured where it stands above its noise, else grey.
    Right, displacement over time of each part of the face, the subject's left in one colour and right in another, with
    the noise floor as a band.
    """
    found, fps = regions_of(folder, row), number(row.get("fps"))
    landmarks, onset = folder.load("landmarks.npy"), folder.frames(CROPS)[0]
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    face = figure.add_axes((0.01, 0.03, 0.46, 0.86))
    _face(face, onset, landmarks, found)
    grid = figure.add_gridspec(5, 2, left=0.53, right=0.99, top=0.86, bottom=0.09, hspace=0.55, wspace=0.16)
    sizes = np.linalg.norm(smooth(curves_of(folder), fps), axis=-1) * 100 / eye_distance(landmarks)
    top = max(float(sizes.max()), *(100 * (one.floor or 0) / eye_distance(landmarks) for one in found), 0.1)
    for k, part in enumerate(PARTS):
        axes = figure.add_subplot(grid[k // 2, k % 2])
        _course(axes, part, sizes[:, 2 * k : 2 * k + 2], found[2 * k : 2 * k + 2], landmarks, fps, top)
        axes.tick_params(labelbottom=k >= 8, labelleft=k % 2 == 0)
    figure.text(0.012, 0.955, words(row.get("clip_id")), fontsize=14, weight="bold", color=INK, parse_math=False)
    units = told(action_units(folder, row))
    moved = sum(one.above for one in found)
    about = f"{moved} of {len(found)} regions stand above their own noise"
    figure.text(
        0.012, 0.915, about + (f" · candidate action units: {units}" if units else ""), fontsize=10, color=QUIET
    )
    figure.text(0.53, 0.915, "displacement, % of the eye distance · bands: noise floor", fontsize=9.5, color=QUIET)
    figure.text(0.53, 0.955, "subject's left", fontsize=10, color=LEFT, weight="bold")
    figure.text(0.63, 0.955, "subject's right", fontsize=10, color=RIGHT, weight="bold")
    figure.text(0.76, 0.025, "ms" if fps else "frame", fontsize=9, color=QUIET, ha="center")
    with atomic(path) as scratch:
        FigureCanvasAgg(figure).print_png(scratch, metadata={"Key": figure_key(folder, row), "Software": None})


def figure_key(folder: ClipFolder, row: Mapping[str, Any]) -> str:
    """What a figure depends on."""
    return key_of("motion figure", FIGURE_VERSION, folder.digests("region_curves.npy"), str(row.get("fps")))


def _face(axes: Axes, onset: NDArray[np.uint8], landmarks: NDArray[np.floating], found: list[RegionMotion]) -> None:
    side, share = onset.shape[0], 100 / eye_distance(landmarks)
    largest = max((one.size * share for one in found), default=0.0)
    key = next((k for k in KEYS if k >= largest), KEYS[-1])
    gain = ARROW * side / key * share
    axes.imshow((onset.mean(axis=-1) * 0.35 + 150).astype(np.uint8), cmap="gray", vmin=0, vmax=255)
    places = centres(landmarks)
    for (x, y), one in zip(places, found, strict=True):
        colour = QUIET if not one.above else LEFT if one.region.startswith("left") else RIGHT
        axes.plot(x, y, "o", color=colour, markersize=3.5 if one.above else 2)
        if one.size * gain > 1.5:
            axes.annotate(
                "",
                (x + one.dx * gain, y + one.dy * gain),
                (x, y),
                arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.2 if one.above else 0.8, "shrinkA": 0},
            )
    axes.annotate(
        "",
        (0.05 * side + ARROW * side, 0.96 * side),
        (0.05 * side, 0.96 * side),
        arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 2},
    )
    axes.text(0.05 * side + ARROW * side + 3, 0.96 * side, f"{key:g} % of the eye distance", fontsize=9, va="center")
    axes.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5), xticks=[], yticks=[])


def _course(
    axes: Axes,
    part: str,
    sizes: NDArray[np.floating],
    found: list[RegionMotion],
    landmarks: NDArray[np.floating],
    fps: float | None,
    top: float,
) -> None:
    times = np.arange(len(sizes)) * (1000 / fps if fps else 1)
    for k, (one, colour) in enumerate(zip(found, (LEFT, RIGHT), strict=True)):
        axes.plot(times, sizes[:, k], color=colour, linewidth=1.6 if one.above else 0.8)
        if one.floor is not None:
            axes.axhspan(0, 100 * one.floor / eye_distance(landmarks), color=colour, alpha=0.08, linewidth=0)
        if one.above:
            axes.plot(times[one.peak], sizes[one.peak, k], "o", color=colour, markersize=3.5)
    axes.set(xlim=(0, max(float(times[-1]), 1)), ylim=(0, 1.1 * top))
    axes.set_title(part, fontsize=9, color=INK, loc="left", pad=2)
    axes.tick_params(labelsize=7.5, colors=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
