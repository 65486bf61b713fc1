"""The 68 facial landmarks of the iBUG 300-W mark-up by number (0-based), and the area that landmarks enclose. Pure.

Sagonas et al., ICCV Workshops 2013, doi 10.1109/ICCVW.2013.59. Left and right are the subject's: the right eye is on
the left of the image. Each part counts from image left to image right.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

JAW, BROWS, NOSE, EYES, MOUTH = slice(0, 17), slice(17, 27), slice(27, 36), slice(36, 48), slice(48, 68)
RIGHT_BROW, LEFT_BROW = slice(17, 22), slice(22, 27)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
NOSE_BASE = slice(31, 36)
CHIN, CHIN_LINE = 8, slice(5, 12)
RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (36, 39), (42, 45)
OUTER_EYE_CORNERS = (36, 45)


def eye_distance(points: NDArray[np.floating]) -> float:
    """Distance of the outer eye corners in the unit of ``points`` (68, 2)."""
    right, left = OUTER_EYE_CORNERS
    return float(np.linalg.norm(points[right] - points[left]))


def hull_mask(points: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Inside and edge of the convex hull of points (N, 2) px on a grid (H, W): (H, W) bool.

    Corners that lie between pixels are cut off to whole pixels towards 0; round ``points`` first for the nearest.
    """
    mask = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.asarray(points, np.float32))
    cv2.fillConvexPoly(mask, hull.astype(np.int32), 1)
    return mask.astype(bool)
