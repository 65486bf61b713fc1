"""Measure how strongly each frame moves, and order the frames of a clip by it.

The motion-intensity dynamic image of arXiv 2510.09730 pools the frames "in order of motion"; the paper says only "a
frame reordering mechanism incorporating motion intensity". Everything named below is ours: the intensity of a frame
is a robust mean of the flow magnitude inside the face, in px of the aligned crop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dynamic_images.rank_pooling import apex_centred_order
from preprocessing.faces.points68 import BROWS, CHIN, LEFT_EYE, MOUTH, NOSE, RIGHT_EYE, hull_mask

__all__ = [
    "ORDERS",
    "REGIONS",
    "STATISTICS",
    "apex_centred_order",
    "apex_of",
    "face_parts",
    "frame_intensity",
    "intensity_curve",
    "intensity_order",
    "on_grid",
    "region_mask",
]

FloatArray = NDArray[np.floating]
Mask = NDArray[np.bool_]

REGIONS = ("face", "face_without_eyes")
ORDERS = ("ascending", "descending")

PARTS = {"eyes": (RIGHT_EYE, LEFT_EYE), "brows": (BROWS,), "nose": (NOSE,), "mouth": (MOUTH,)}
PART_MARGIN = 0.12
"""How far around its landmarks a part of the face goes, as a share of the distance between the eyes."""

FOREHEAD = 0.35
"""How far above the brows the face goes on, as a share of the distance brows to chin: short of most hairlines."""
EYE_MARGIN = 0.75
"""How far around an eye counts as eye, as a share of its width: a blink drags the lid's skin along, and flow spreads
it over its window. On synthetic clips that all blink, the intensity follows the true displacement with a median
correlation of 0.65 at 0.3, 0.96 at 0.6 and 0.99 at 0.75; on clips without a blink it is 0.99 at any of them."""


def top_decile(magnitude: FloatArray) -> float:
    """Mean of the largest tenth: small moving regions count fully, single wrong vectors hardly."""
    count = -(-magnitude.size // 10)
    return float(np.partition(magnitude, magnitude.size - count)[-count:].mean())


def percentile_99(magnitude: FloatArray) -> float:
    """The 99th percentile: nearly the maximum, without its outliers."""
    return float(np.percentile(magnitude, 99))


STATISTICS: dict[str, Callable[[FloatArray], float]] = {
    "top_decile": top_decile,
    "mean": lambda magnitude: float(magnitude.mean()),
    "median": lambda magnitude: float(np.median(magnitude)),
    "percentile_99": percentile_99,
}


def frame_intensity(flow: FloatArray, mask: Mask, statistic: str = "top_decile") -> float:
    """Motion intensity of one frame.

    Args:
        flow: (h, w, 2) px.
        mask: (h, w) bool, the cells that count; see `region_mask`.
        statistic: how the magnitudes become one number, a name of `STATISTICS`.

    Returns:
        px, >= 0.

    Raises:
        ValueError: unknown statistic, shapes that disagree, an empty mask, or flow that is not finite.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"intensity statistic {statistic!r} is unknown: choose one of {', '.join(STATISTICS)}")
    if flow.shape != (*mask.shape, 2):
        raise ValueError(f"flow of shape {flow.shape} under a mask of shape {mask.shape}: wanted (h, w, 2) and (h, w)")
    inside = flow[mask].astype(np.float64)
    if not inside.size:
        raise ValueError("the region mask is empty: do the landmarks lie inside the crop?")
    magnitude = np.hypot(inside[:, 0], inside[:, 1])
    if not np.isfinite(magnitude).all():
        raise ValueError("the flow holds values that are not finite")
    return STATISTICS[statistic](magnitude)


def intensity_curve(flows: Iterable[FloatArray], mask: Mask, statistic: str = "top_decile") -> NDArray[np.float32]:
    """`frame_intensity` of every frame: T fields (h, w, 2), read once → (T,) float32 px."""
    return np.array([frame_intensity(flow, mask, statistic) for flow in flows], np.float32)


def region_mask(region: str, landmarks: FloatArray, grid: tuple[int, ...], crop_size: tuple[int, ...]) -> Mask:
    """Cells of a flow grid that lie in a region of the face.

    Args:
        region: ``face``: hull of the landmarks, extended over the forehead; ``face_without_eyes``: the same without
            the surroundings of both eyes, because a blink is not a micro-expression. The price is that lid
            movements (AU 5, AU 7) do not count either, and brows (AU 1, 2, 4) mostly on the forehead.
        landmarks: (68, 2) in crop pixels.
        grid: (h, w) of the flow.
        crop_size: (H, W) of the crop that the grid covers.

    Returns:
        (h, w) bool.

    Raises:
        ValueError: unknown region, or landmarks that are not (68, 2).
    """
    if region not in REGIONS:
        raise ValueError(f"region {region!r} is unknown: choose one of {', '.join(REGIONS)}")
    points = on_grid(landmarks, grid, crop_size)
    brows = points[BROWS]
    forehead = brows + FOREHEAD * (brows.mean(axis=0) - points[CHIN])
    mask = _hull(np.concatenate([points, forehead]), grid)
    if region == "face_without_eyes":
        mask &= ~_around_eyes(points, grid)
    return mask


def face_parts(landmarks: FloatArray, grid: tuple[int, ...], crop_size: tuple[int, ...]) -> dict[str, Mask]:
    """The parts of a face on a grid, none sharing a cell with another: ``eyes``, ``brows``, ``nose``, ``mouth``.

    Each is the hull of its landmarks (brows: of both, with the skin between), grown by `PART_MARGIN` of the distance
    between the eyes, so that the skin that moves with it belongs to it.

    Args:
        landmarks: (68, 2) in crop pixels.
        grid: (h, w).
        crop_size: (H, W) of the crop that the grid covers.
    """
    points = on_grid(landmarks, grid, crop_size)
    between = float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))
    margin = max(1, round(PART_MARGIN * between))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    taken = np.zeros(grid, bool)
    parts = {}
    for name, groups in PARTS.items():
        hulls = np.any([_hull(points[group], grid) for group in groups], axis=0)
        parts[name] = cv2.dilate(hulls.astype(np.uint8), disc).astype(bool) & ~taken
        taken |= parts[name]
    return parts


def intensity_order(intensity: FloatArray, order: str = "ascending") -> NDArray[np.int64]:
    """Frame indices in pooling order, so that ``ascending`` puts the strongest motion last.

    Stable: frames of equal intensity keep their time order, in both directions.

    Raises:
        ValueError: unknown order, or an intensity that is not finite.
    """
    if order not in ORDERS:
        raise ValueError(f"order {order!r} is unknown: choose one of {', '.join(ORDERS)}")
    if not np.isfinite(intensity).all():
        raise ValueError("the intensity curve holds values that are not finite")
    return np.argsort(intensity if order == "ascending" else -intensity, kind="stable").astype(np.int64)


def apex_of(intensity: FloatArray, smoothing: float = 0.0) -> int:
    """Frame of the greatest intensity, the first of several.

    Args:
        intensity: (T,) px, from flow onset → t: that curve peaks at the strongest expression, while flow between
            consecutive frames peaks where the face moves fastest.
        smoothing: sd of a Gaussian over time, as a share of T, that the curve is smoothed with first. More smoothing
            ignores noise peaks on a plateau and pulls the apex of a lopsided curve towards its longer side.

    Raises:
        ValueError: an empty curve.
    """
    if len(intensity) == 0:
        raise ValueError("an empty intensity curve has no apex")
    curve = np.asarray(intensity, np.float64)
    if smoothing > 0:
        curve = gaussian_filter1d(curve, smoothing * len(curve), mode="nearest")
    return int(np.argmax(curve))


def on_grid(landmarks: FloatArray, grid: tuple[int, ...], crop_size: tuple[int, ...]) -> FloatArray:
    """Landmarks (68, 2) of a crop (H, W) in cells of a grid (h, w) that covers it.

    Raises:
        ValueError: landmarks that are not (68, 2).
    """
    if landmarks.shape != (68, 2):
        raise ValueError(f"landmarks of shape {landmarks.shape}: wanted (68, 2)")
    scale = np.array([grid[1] / crop_size[1], grid[0] / crop_size[0]])
    # pixel centres are at integers on both grids
    return (np.asarray(landmarks, np.float64) + 0.5) * scale - 0.5


def _hull(points: FloatArray, grid: tuple[int, ...]) -> Mask:
    """Filled convex hull of the cells nearest to ``points`` (N, 2) on an (h, w) grid."""
    return hull_mask(np.rint(points), grid)


def _around_eyes(points: FloatArray, grid: tuple[int, ...]) -> Mask:
    mask = np.zeros(grid, bool)
    for eye in PARTS["eyes"]:
        corners = points[eye][[0, 3]]
        margin = max(1, round(EYE_MARGIN * float(np.linalg.norm(corners[1] - corners[0]))))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
        mask |= cv2.dilate(_hull(points[eye], grid).astype(np.uint8), disc).astype(bool)
    return mask
