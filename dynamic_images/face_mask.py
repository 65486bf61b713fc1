"""How far each pixel of a crop lies inside the face: to weigh an image with, or to cut its background off. Pure.

A crop also shows hair, collar, ears and what is behind the head. All of it moves, and contrast along the outline of a
face turns a head that moves by a tenth of a pixel into edges stronger than an expression.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.motion_intensity import on_grid
from preprocessing.faces.points68 import BROWS, CHIN, LEFT_EYE, RIGHT_EYE

FOREHEAD = 0.25
"""How far above the brows the face goes on, as a share of the distance brows to chin: short of a fringe too."""
EDGE = 0.15
"""Width of the soft edge, as a share of the distance between the eyes. It lies inside the outline, which is where the
face meets the background: there the weight is 0."""


def face_weight(
    landmarks: NDArray[np.floating], grid: tuple[int, ...], crop_size: tuple[int, ...]
) -> NDArray[np.float32]:
    """How far each cell of a grid lies inside the face, from 0 on its outline and beyond to 1.

    Ours. The outline is the convex hull of the landmarks and of the brows, raised by `FOREHEAD`; the weight rises over
    the width `EDGE` inwards (a smooth step of the distance).

    Args:
        landmarks: (68, 2) in crop pixels; a chin may lie below the crop.
        grid: (h, w) of the weights.
        crop_size: (H, W) of the crop that the grid covers.

    Returns:
        (h, w) float32 in 0 .. 1.

    Raises:
        ValueError: landmarks that are not (68, 2).
    """
    points = on_grid(landmarks, grid, crop_size)
    corners = face_outline(points)
    y, x = np.mgrid[: grid[0], : grid[1]]
    inside = np.full(grid, np.inf)
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = (there - here) / max(float(np.linalg.norm(there - here)), 1e-9)
        # the distance from this edge, positive on the inner side: corners go round clockwise as seen (y down)
        np.minimum(inside, along[0] * (y - here[1]) - along[1] * (x - here[0]), out=inside)
    between = float(np.linalg.norm(points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)))
    share = np.clip(inside / max(EDGE * between, 1e-9), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def face_outline(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Corners (N, 2) of the outline of a face, clockwise as seen, in the unit of its landmarks (68, 2)."""
    points = np.asarray(landmarks, np.float64)
    brows = points[BROWS]
    forehead = brows + FOREHEAD * (brows.mean(axis=0) - points[CHIN])
    hull = cv2.convexHull(np.concatenate([points, forehead]).astype(np.float32))
    corners = np.asarray(hull[:, 0], np.float64)
    area = np.sum(corners[:, 0] * np.roll(corners[:, 1], -1) - corners[:, 1] * np.roll(corners[:, 0], -1))
    return corners if area > 0 else corners[::-1]


def weighted_rms(image: NDArray[Any], weight: NDArray[np.floating]) -> float:
    """Root mean square of an image (H, W[, C]) under weights (H, W), in the unit of the image; 0 where all are 0."""
    squares = _squares(image)
    return float(np.sqrt((squares * weight).sum() / max(float(weight.sum()), 1e-12)))


def share_outside(image: NDArray[Any], weight: NDArray[np.floating]) -> float:
    """Share of the energy Σx² of an image (H, W[, C]) that lies outside weights (H, W); 0 of an image that is 0."""
    squares = _squares(image)
    return float(1 - (squares * weight).sum() / total) if (total := squares.sum()) > 0 else 0.0


def _squares(image: NDArray[Any]) -> NDArray[np.float64]:
    """Mean square over the channels: (H, W)."""
    squares = np.square(np.asarray(image, np.float64))
    return squares.mean(axis=-1) if squares.ndim == 3 else squares
