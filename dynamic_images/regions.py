"""Regions of the face, and how far each moves over a clip: twenty curves in place of nine thousand arrows. Pure.

A region is a Gaussian window on the skin beside its landmarks, as wide as flow is smooth. Left and right are the
subject's, as in action-unit coding. All of it is ours; the idea of a few regions that stand for muscles is that of
MDMO (Liu et al., IEEE TAC 7(4), 2016, doi 10.1109/TAFFC.2015.2485205), whose main direction we do not take, since a
mean in a small window says the same and is linear in the flow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamic_images.motion_intensity import on_grid, region_mask
from dynamic_images.noise_floor import fitted_similarity
from preprocessing.faces.points68 import eye_distance
from preprocessing.synthetic.action_units import at_points, bumps
from preprocessing.synthetic.geometry import MIRROR

FloatArray = NDArray[np.floating]

WINDOW = 0.07
"""Sd of a region's window, as a share of the distance of the outer eye corners."""


@dataclass(frozen=True)
class Region:
    """A window on the subject's left half: mean of ``landmarks``, moved by ``shift`` (outward, down; eye distances)."""

    landmarks: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)


PARTS: dict[str, Region] = {
    "inner brow": Region((22, 23), (0.0, -0.04)),
    "outer brow": Region((25, 26), (0.0, -0.04)),
    "upper lid": Region((43, 44), (0.0, -0.02)),
    "lower lid": Region((46, 47), (0.0, 0.04)),
    "cheek": Region((46,), (0.05, 0.24)),
    "nose": Region((35,), (0.0, -0.05)),
    "mouth corner": Region((54,)),
    "upper lip": Region((51, 52), (0.02, -0.01)),
    "lower lip": Region((56, 57), (0.02, 0.01)),
    "chin": Region((57,), (0.09, 0.2)),
}
SIDES = ("left", "right")
REGIONS = tuple(f"{side} {part}" for part in PARTS for side in SIDES)
"""Every region in fixed order: ``left inner brow``, ``right inner brow``, …; the subject's sides."""


def centres(landmarks: FloatArray) -> NDArray[np.float64]:
    """Where the regions lie: (R, 2) in the unit of the landmarks (68, 2)."""
    points, scale = np.asarray(landmarks, np.float64), eye_distance(landmarks)
    found = []
    for part in PARTS.values():
        for side in SIDES:
            anchor = np.array(part.landmarks) if side == "left" else MIRROR[list(part.landmarks)]
            outward = 1 if side == "left" else -1
            found.append(points[anchor].mean(axis=0) + scale * np.array(part.shift) * (outward, 1))
    return np.stack(found)


def region_weights(
    landmarks: FloatArray, grid: tuple[int, ...], crop_size: tuple[int, ...], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What each cell counts in each region: (R, N) over the N cells ``inside`` (h, w), each row with sum 1."""
    points = on_grid(landmarks, grid, crop_size)
    y, x = np.nonzero(inside)
    away = centres(points)[:, None] - np.stack([x, y], axis=1)[None]  # (R, N, 2)
    weights = np.exp(-0.5 * (away**2).sum(axis=-1) / (WINDOW * eye_distance(points)) ** 2) + 1e-12
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def region_curves(
    flows: Iterable[FloatArray], landmarks: FloatArray, crop_size: tuple[int, ...]
) -> NDArray[np.float32]:
    """How far each region has moved since the onset, without what the whole face does together.

    The motion of the whole face is the robust similarity of `noise_floor.fitted_similarity` on the face without its
    eyes: head motion that alignment left over.

    Args:
        flows: T fields (h, w, 2) px of the crop, onset → t, read once.
        landmarks: (68, 2) crop px.
        crop_size: (H, W) of the crop.

    Returns:
        (T, R, 2) float32 px of the crop, in the order of `REGIONS`.
    """
    found: list[NDArray[np.float64]] = []
    weights, inside, fit = None, None, None
    for field in flows:
        if weights is None or inside is None or fit is None:
            grid = field.shape[:2]
            inside = region_mask("face", landmarks, grid, crop_size)
            weights = region_weights(landmarks, grid, crop_size, inside)
            fit = fitted_similarity(region_mask("face_without_eyes", landmarks, grid, crop_size), inside)
        moves = np.asarray(field, np.float64)
        found.append(weights @ (moves[inside] - fit(moves)))
    return np.asarray(found, np.float32).reshape(len(found), len(REGIONS), 2)


def unit_motion(codes: tuple[str, ...], landmarks: FloatArray) -> NDArray[np.float64]:
    """What each region does when an action unit moves its strongest point by 1: (A, R, 2).

    Args:
        codes: action unit and side, e.g. ``12L``.
        landmarks: (68, 2) in any unit.
    """
    points, scale = np.asarray(landmarks, np.float64), eye_distance(landmarks)
    reach = np.linspace(-2, 2, 9) * WINDOW * scale
    x, y = np.meshgrid(reach, reach)
    weight = np.exp(-0.5 * (x**2 + y**2) / (WINDOW * scale) ** 2).ravel()
    places = centres(points)[:, None] + np.stack([x.ravel(), y.ravel()], axis=1)[None]  # (R, K, 2)
    found = []
    for code in codes:
        field = at_points(bumps(code, points, scale), places.reshape(-1, 2)).reshape(*places.shape)
        found.append(np.einsum("k,rkc->rc", weight / weight.sum(), field))
    return np.stack(found)
