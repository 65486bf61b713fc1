"""Descriptors that classical systems of this field use: HOOF, MDMO and LBP-TOP of one clip. Pure.

Flow is ``(..., h, w, 2)`` px of the crop, ``[..., 0]`` = +x right, ``[..., 1]`` = +y down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamic_images.motion_intensity import on_grid
from preprocessing.faces.points68 import eye_distance

FloatArray = NDArray[np.floating]
Features = NDArray[np.float64]

DIRECTIONS = 8
BROWS, NOSE_BASE, LIPS = range(17, 27), range(31, 36), range(48, 60)
CHEEKS = ((1, 31), (2, 31), (3, 48), (15, 35), (14, 35), (13, 54))
CHIN = ((58, 7), (57, 8), (56, 9))
REGIONS = len(BROWS) + len(NOSE_BASE) + len(LIPS) + len(CHEEKS) + len(CHIN)  # 36
REACH = 0.08
"""Half the side of a region of MDMO, as a share of the distance of the outer eye corners."""
PATTERNS, PLANES = 16, 3


def orientation_histograms(flow: FloatArray, grid: int = 5, bins: int = DIRECTIONS) -> Features:
    """HOOF, histograms of oriented optical flow (Chaudhry et al., CVPR 2009, doi 10.1109/CVPR.2009.5206821).

    Each vector adds its length to the bin of its direction, in each cell of a grid. *Ours:* bins are not folded left
    onto right, since a smile of one side is not one of the other, and the sum over the *whole face* is 1, not that of
    each cell, whose noise would otherwise count as much as motion.

    Args:
        flow: (h, w, 2).
        grid: cells per side.
        bins: directions; the first is centred on +x, they go towards +y (down).

    Returns:
        (grid² · bins,), cells row by row; all 0 where nothing moves.
    """
    flow = np.asarray(flow, np.float64)
    height, width = flow.shape[:2]
    cells = _cells(height, grid)[:, None] * grid + _cells(width, grid)
    sums = np.bincount(
        (cells * bins + directions(flow, bins)).ravel(),
        weights=np.linalg.norm(flow, axis=-1).ravel(),
        minlength=grid**2 * bins,
    )
    total = sums.sum()
    return np.asarray(sums / total if total > 0 else sums, np.float64)


def directions(flow: FloatArray, bins: int = DIRECTIONS) -> NDArray[np.intp]:
    """(...) bin of the direction of each vector (..., 2)."""
    angle = np.arctan2(flow[..., 1], flow[..., 0])
    return np.asarray(np.rint(angle / (2 * np.pi / bins)), np.intp) % bins


def main_directions(flow: FloatArray, landmarks: FloatArray, crop_size: tuple[int, ...]) -> Features:
    """MDMO, main directional mean optical flow (Liu et al., IEEE TAC 2016, doi 10.1109/TAFFC.2015.2485205).

    In each of 36 regions of a frame, the vectors of the commonest direction are averaged; the averages of all frames
    are averaged again. *Ours:* the regions, squares around landmarks and points between them (`region_centres`; the
    paper's follow a mark-up of 66 points), and the mean as (u, v) where the paper has length and angle, which jumps
    from π to −π.

    Args:
        flow: (T, h, w, 2), onset → t.
        landmarks: (68, 2) px of the crop.
        crop_size: (H, W) of the crop.

    Returns:
        (72,): u and v in px of the first region, then of the next.
    """
    flow = np.asarray(flow)
    height, width = flow.shape[1:3]
    points = on_grid(landmarks, (height, width), crop_size)
    reach = max(1, round(REACH * eye_distance(points)))
    means = []
    for x, y in np.rint(region_centres(points)).astype(int):
        x, y = int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))
        part = flow[:, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        means.append(_commonest(part.reshape(len(flow), -1, 2).astype(np.float64)).mean(axis=0))
    return np.concatenate(means)


def region_centres(points: FloatArray) -> NDArray[np.float64]:
    """(36, 2): brows, base of the nose, lips, and points half-way from jaw to nose, mouth corner and lower lip."""
    points = np.asarray(points, np.float64)
    between = [(points[a] + points[b]) / 2 for a, b in (*CHEEKS, *CHIN)]
    return np.concatenate([points[[*BROWS, *NOSE_BASE, *LIPS]], between])


def _commonest(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, n, 2) to (T, 2): the mean of those vectors of a frame that share its commonest direction."""
    chosen = directions(vectors)[..., None] == np.arange(DIRECTIONS)  # (T, n, bins)
    counts = chosen.sum(axis=1)  # (T, bins)
    own = np.take_along_axis(chosen, counts.argmax(axis=1)[:, None, None], axis=2)  # (T, n, 1)
    return np.asarray((vectors * own).sum(axis=1) / own.sum(axis=1), np.float64)


def local_patterns(frames: NDArray[Any], grid: int = 5, radius: int = 1, radius_t: int = 4) -> Features:
    """LBP-TOP, local binary patterns on three orthogonal planes (Zhao & Pietikäinen, TPAMI 2007,
    doi 10.1109/TPAMI.2007.1110), with four neighbours, the form that the authors of CASME II chose.

    Each pixel is compared with its neighbours along two axes at a time (x y, x t, y t): four bits, of which each cell
    of a grid has a histogram per plane. The neighbours lie on the axes, so nothing is interpolated; scikit-image's
    ``local_binary_pattern`` has one radius for both axes of a plane, here time has its own.

    Args:
        frames: (T, H, W) grey levels.
        grid: cells per side.
        radius: px to the neighbours in a frame.
        radius_t: frames to the neighbours in time; a shorter clip gets the longest that it can carry.

    Returns:
        (grid² · 3 · 16,): the histograms of a cell's planes, each of sum 1, then those of the next cell.

    Raises:
        ValueError: fewer than three frames.
    """
    if len(frames) < 3:
        raise ValueError(f"LBP-TOP of {len(frames)} frames: wanted at least 3")
    reach = (min(radius_t, (len(frames) - 1) // 2), radius, radius)
    inner = tuple(slice(r, size - r) for r, size in zip(reach, frames.shape, strict=True))
    centre = frames[inner]
    above = []  # of each axis, whether the neighbour before and the one behind are at least as bright
    for axis, r in enumerate(reach):
        for step in (-r, r):
            moved = list(inner)
            moved[axis] = slice(inner[axis].start + step, inner[axis].stop + step)
            above.append(frames[tuple(moved)] >= centre)
    cells = _cells(centre.shape[1], grid)[:, None] * grid + _cells(centre.shape[2], grid)  # (h, w)
    planes = []
    for first, second in ((2, 1), (2, 0), (1, 0)):
        bits = (*above[2 * first : 2 * first + 2], *above[2 * second : 2 * second + 2])
        codes = sum(bit.astype(np.intp) << i for i, bit in enumerate(bits))
        counts = np.bincount((cells * PATTERNS + codes).ravel(), minlength=grid**2 * PATTERNS)
        planes.append(counts.reshape(grid**2, 1, PATTERNS))
    histograms = np.concatenate(planes, axis=1).astype(np.float64)  # (cells, planes, patterns)
    return (histograms / histograms.sum(axis=2, keepdims=True)).ravel()


def _cells(size: int, grid: int) -> NDArray[np.intp]:
    """(size,) number of the cell that each place lies in; cells differ by at most one place."""
    if not 1 <= grid <= size:
        raise ValueError(f"a grid of {grid} cells over {size} px: wanted at most one per px")
    return np.arange(size) * grid // size
