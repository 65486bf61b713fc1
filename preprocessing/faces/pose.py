"""How a head has turned, seen by its landmarks or by the flow over its face. Pure.

A head that turns out of the picture's plane by a small angle moves each skin point by the angle times its depth: the
nose runs ahead, the cheeks beside the ears stay behind (the motion field of a rigid surface seen from far away,
Longuet-Higgins & Prazdny, Proc. R. Soc. Lond. B 208, 1980, doi 10.1098/rspb.1980.0057, to first order). No similarity
does that, so the alignment leaves it, and at one degree it is as large as a micro-expression. **Ours**: the depth is
that of an ellipsoid with a nose on it, placed by the landmarks. Its proportions are rough, and so are the angles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.faces.points68 import JAW, LEFT_EYE_CORNERS, NOSE, RIGHT_EYE_CORNERS

DEEP, TALL = 1.1, 1.5  # half axes of the ellipsoid, towards the camera and along the face, in half widths of the face
NOSE_HIGH, NOSE_BROAD = 0.3, 0.25  # of the bump on it, likewise
TIP = 30
EDGE = 0.95  # beyond this squared radius of the ellipsoid its depth falls too steeply to mean anything
SKULL = (*range(NOSE.start, NOSE.stop), *RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS)
"""Landmarks that no expression moves far."""
EVERY = 3  # cells of the flow field, along each axis: flow is smooth over more than that
TRUSTED = 0.05
ROUNDS = 3
FEWEST = 50  # cells from which a turn can be told


class Pose(NamedTuple):
    """Where a face is, against where it was.

    Attributes:
        shift: of the middle of the skull's landmarks, px.
        zoom: times as large.
        tilt: degrees in the picture's plane.
        turn: degrees out of it, to any side.
    """

    shift: float
    zoom: float
    tilt: float
    turn: float


def pose_between(before: NDArray[Any], after: NDArray[Any]) -> Pose:
    """The rigid change from one set of landmarks to another, both (68, 2) px. Landmarks jitter by some 3° of ``turn``.

    Shift, zoom and tilt are those of the similarity that fits best, the turn is what such a head needs beside one.
    """
    start, now = (np.asarray(points, np.float64)[list(SKULL)] for points in (before, after))
    centre = start.mean(axis=0)
    motion = (now - start).T.ravel()
    fields = _fields(start - centre, _head(before, start)[0])
    plain = np.linalg.lstsq(fields[:, :4], motion, rcond=None)[0]
    turned = np.linalg.lstsq(fields, motion, rcond=None)[0]
    linear = complex(1 + plain[2], plain[3])
    return Pose(float(np.hypot(*plain[:2])), abs(linear), float(np.degrees(np.angle(linear))), _degrees(turned))


class TurnMeter:
    """Measures in flow fields, onset → t, how far the head has turned out of the picture's plane.

    A similarity and a turn are fitted to the field where it follows the skull, robustly (Tukey's weights), so that skin
    that moves on its own counts little.

    Args:
        landmarks: (68, 2) crop px.
        weights: (h, w) trust on the grid of the flow, see `alignment.rigid_weights`.
        size: side of the crop, px.

    Attributes:
        degrees: largest turn so far; None while nothing was measured, or where the face leaves nothing to measure on.
        motion: largest motion of the face in crop px that is such a turn's alone: its strongest tenth, as in
            `motion_intensity`, of what no similarity explains.
    """

    def __init__(self, landmarks: NDArray[Any], weights: NDArray[np.floating], size: int) -> None:
        height, width = weights.shape
        rows, columns = np.mgrid[:height:EVERY, :width:EVERY].reshape(2, -1)
        at = np.stack([(columns + 0.5) * size / width, (rows + 0.5) * size / height], 1) - 0.5
        depth, inside = _head(landmarks, at)
        trust = np.asarray(weights, np.float64)[rows, columns] * inside
        kept = trust > TRUSTED
        self._at = rows[kept], columns[kept]
        self._trust = np.tile(trust[kept], 2)
        self.degrees: float | None = None
        self.motion: float | None = None
        self._fields = np.empty((0, 6))
        if kept.sum() >= FEWEST:
            self._fields = _fields(at[kept] - at[kept].mean(axis=0), depth[kept])
            plain = self._fields[:, :4]
            self._alone = self._fields[:, 4:] - plain @ _solved(plain, self._fields[:, 4:], self._trust)

    def look(self, flow: NDArray[np.floating]) -> None:
        """Take the next field, (h, w, 2) crop px."""
        if not len(self._fields):
            return
        motion = np.asarray(flow[self._at], np.float64).T.ravel()
        weight = self._trust
        for _ in range(ROUNDS):
            fitted = _solved(self._fields, motion, weight)
            error = np.hypot(*(motion - self._fields @ fitted).reshape(2, -1))
            scale = max(1.4826 * float(np.median(error)), 0.02)
            weight = self._trust * np.tile(np.clip(1 - (error / (4.685 * scale)) ** 2, 0, None) ** 2, 2)
        moved = np.hypot(*(self._alone @ fitted[4:]).reshape(2, -1))
        strongest = np.partition(moved, -(len(moved) // 10))[-(len(moved) // 10) :]
        self.degrees = max(self.degrees or 0.0, _degrees(fitted))
        self.motion = max(self.motion or 0.0, float(strongest.mean()))


def _head(landmarks: NDArray[Any], at: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Depth in px, (N,), of a head at points (N, 2), larger towards the camera; and which of them are well inside."""
    points = np.asarray(landmarks, np.float64)
    right, left = points[JAW][0], points[JAW][-1]
    half = max(float(np.linalg.norm(left - right)) / 2, 1.0)
    across = (left - right) / (2 * half)
    down = np.array([-across[1], across[0]])
    ears = (right + left) / 2
    centre = ears + down * float((points[NOSE].mean(axis=0) - ears) @ down) / 2
    radius = ((at - centre) @ across / half) ** 2 + ((at - centre) @ down / (TALL * half)) ** 2
    nose = np.exp(-((at - points[TIP]) ** 2).sum(axis=1) / (2 * (NOSE_BROAD * half) ** 2))
    return half * (DEEP * np.sqrt(np.clip(1 - radius, 0, None)) + NOSE_HIGH * nose), radius < EDGE


def _fields(at: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2N, 6): motion, x of all points and then y, per unit of shift x and y, zoom, tilt, and turn to either side."""
    (x, y), one, none = at.T, np.ones(len(at)), np.zeros(len(at))
    across = np.stack([one, none, x, -y, depth, none], 1)
    return np.concatenate([across, np.stack([none, one, y, x, none, depth], 1)])


def _solved(
    fields: NDArray[np.float64], motion: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    weighted = fields * weight[:, None]
    normal = weighted.T @ fields
    return np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(len(normal)), weighted.T @ motion)


def _degrees(fitted: NDArray[np.floating]) -> float:
    return float(np.degrees(np.arctan(np.hypot(*fitted[4:]))))
