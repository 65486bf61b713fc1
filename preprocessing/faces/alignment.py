"""Align the face of a clip: one similarity transform, then the rigid head motion from frame to frame. Pure.

Transforms are (2, 3) float64 matrices that map source pixels to crop pixels (pixel centres at integers).
Aligning every frame by its own landmarks would add their jitter of 0.05–0.3 px per frame, as large as the signal, to
the clip. Here landmarks place the clip once; what the head then does is measured on the pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.faces.landmarks import Points
from preprocessing.faces.points68 import (
    BROWS,
    CHIN_LINE,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_EYE_CORNERS,
    MOUTH,
    NOSE,
    NOSE_BASE,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_EYE_CORNERS,
    hull_mask,
)

Transform = NDArray[np.float64]

# Where the eye centres (mean of a pair of corners) and the base of the nose go, in units of the crop's side.
EYE_LINE, EYE_GAP, NOSE_LINE = 0.33, 0.32, 0.57

FARTHEST = 0.2  # of the crop's side, per frame
MOST_ZOOM, MOST_TILT = 2.0, 45.0  # against the first frame: times as large or as small, degrees
MOVABLE = 0.3  # trust in the parts of a face that expressions move


def anchors(points: Points) -> NDArray[np.float64]:
    """The points that place a face: right eye, left eye, base of the nose. (68, 2) → (3, 2).

    Eye corners, not lids: a blink must not move the crop. The nose base is the mean of its five points.
    """
    right, left = points[list(RIGHT_EYE_CORNERS)], points[list(LEFT_EYE_CORNERS)]
    return np.stack([right.mean(0), left.mean(0), points[NOSE_BASE].mean(0)])


def canonical(size: int) -> NDArray[np.float64]:
    """Where `anchors` lie in a crop of ``size`` px. (3, 2)."""
    left, right = 0.5 - EYE_GAP / 2, 0.5 + EYE_GAP / 2
    unit = np.array([[left, EYE_LINE], [right, EYE_LINE], [0.5, NOSE_LINE]])
    return unit * size - 0.5


def similarity(source: NDArray[Any], target: NDArray[Any]) -> Transform:
    """Least-squares similarity (rotation, one scale, shift) from source to target points.

    Umeyama, IEEE TPAMI 13(4), 1991, doi 10.1109/34.88573, in the closed form of the plane (complex regression).

    Args:
        source, target: (N, 2), N ≥ 2.

    Raises:
        ValueError: fewer than two distinct source points.
    """
    z = (source - source.mean(0)) @ np.array([1, 1j])
    w = (target - target.mean(0)) @ np.array([1, 1j])
    spread = np.vdot(z, z).real
    if len(source) < 2 or spread == 0:
        raise ValueError("a similarity needs two distinct points")
    turn = np.vdot(z, w) / spread
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


def clip_transform(landmarks: NDArray[Any], size: int) -> Transform:
    """The one transform of a clip. (K, 68, 2) landmarks of its first frames → (2, 3).

    The median over frames is robust against a blink or a slipped fit in some of them.
    """
    return similarity(anchors(np.median(landmarks, axis=0)), canonical(size))


def apply(transform: Transform, points: NDArray[Any]) -> NDArray[np.float64]:
    """Map (..., 2) points."""
    return np.asarray(points @ transform[:, :2].T + transform[:, 2], np.float64)


def compose(second: Transform, first: Transform) -> Transform:
    """The transform that does ``first``, then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def invert(transform: Transform) -> Transform:
    """The way back."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def scale_of(transform: Transform) -> float:
    """Crop pixels per source pixel."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def tilt_of(transform: Transform) -> float:
    """Degrees by which a similarity rotates, from +x to +y, which is clockwise as pictures are seen."""
    return float(np.degrees(np.arctan2(transform[1, 0], transform[0, 0])))


def warp(frame: NDArray[Any], transform: Transform, size: int, interpolation: int = cv2.INTER_LANCZOS4) -> NDArray[Any]:
    """``frame`` (H, W[, C]) seen through ``transform`` as a (size, size[, C]) crop; outside repeats the border.

    Lanczos, because OpenCV's cubic kernel (a = -0.75) displaces texture by up to 0.05 px depending on the sub-pixel
    phase, which is false motion in a drifting clip, and bilinear blurs phase by phase. Known limit: OpenCV 5 rounds the
    places of its Lanczos warp to 1/32 px, so that a shift of 0.05 px (cosine 0.83, sine 0.56) moves texture by 0.006 px
    and one of 0.1 px by 0.115 px.

    Faces more than twice the crop's scale are averaged down first (a plain warp would skip pixels and alias).
    """
    frame, grow = _shrink(frame, int(1 / scale_of(transform)))
    transform = compose(transform, grow)
    return cv2.warpAffine(frame, transform, (size, size), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)


def _shrink(frame: NDArray[Any], factor: int) -> tuple[NDArray[Any], Transform]:
    """``frame`` averaged over factor × factor pixels, and the transform from its pixels back to the frame's."""
    factor = min(factor, *frame.shape[:2])  # of a frame that is smaller than that, a pixel is left
    if factor < 2:
        return frame, np.eye(2, 3)
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    small = cv2.resize(frame[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    return small, _grow(factor)


def _grow(factor: int) -> Transform:
    # the centre of small pixel u lies at (u + ½) · factor − ½
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]], np.float64)


def rigid_weights(landmarks: NDArray[Any], size: int) -> NDArray[np.float32]:
    """How far each crop pixel is trusted to follow the skull. (68, 2) crop px → (size, size) in 0..1.

    Ours: 1 inside the face (its hull, raised to the forehead), `MOVABLE` around brows, eyes, mouth and chin, which are
    the parts that expressions and blinks move. Not 0: while they rest, their edges say more about the head than all
    the skin between them, and when they move, the robust fit drops them. Chosen on the synthetic
    corpus of seed 0; what it leaves of the head's motion is a row of the truth table (`mer bench`).
    """
    points = np.asarray(landmarks, np.float32)
    gap = float(np.linalg.norm(points[RIGHT_EYE].mean(0) - points[LEFT_EYE].mean(0)))
    brow_up = points[BROWS] - np.array([0, 0.5 * gap], np.float32)
    grid = (size, size)
    face = hull_mask(np.concatenate([points[JAW], brow_up]), grid)
    parts = (RIGHT_BROW, LEFT_BROW, RIGHT_EYE, LEFT_EYE, MOUTH, CHIN_LINE)
    movable = np.any([hull_mask(points[part], grid) for part in parts], axis=0)
    reach = max(1, round(0.12 * gap))
    around = cv2.dilate(movable.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)
    trust = np.where(around & ~hull_mask(points[NOSE], grid), MOVABLE, 1).astype(np.float32) * face
    return np.asarray(cv2.GaussianBlur(trust, (0, 0), 0.03 * size), np.float32) * face


class RigidRegistration:
    """Measures the rigid motion of a head against its first crop, on the pixels that follow the skull.

    Gauss–Newton on a similarity with gain and offset of the light, inverse compositional (Baker & Matthews, IJCV 56(3),
    2004, doi 10.1023/B:VISI.0000011205.11775.fd), coarse to fine, with Tukey weights on the grey residual, so that skin
    that moves on its own is an outlier and is left in place. Ours: the weights of `rigid_weights`.

    The reference is seen through the same resampling as every later frame: against a crop that was made in another
    way, even an identical frame would be moved by 0.03 px.

    Args:
        frame: (H, W) or (H, W, 3) uint8, the first frame.
        weights: (S, S) trust, see `rigid_weights`.
        base: the transform of ``frame``; None if it is a crop of S px already.
    """

    LEVELS = (4, 2)  # full resolution is three times slower and no more accurate: noise, not pixels, sets the limit
    ITERATIONS = 3

    def __init__(self, frame: NDArray[Any], weights: NDArray[np.float32], base: Transform | None = None) -> None:
        self.size = len(weights)
        self._to_start = invert(np.eye(2, 3) if base is None else base)
        part, place = _surroundings(frame, np.eye(2, 3) if base is None else base, self.size)
        transform = place if base is None else compose(base, place)
        self._levels = []
        for step in self.LEVELS:
            small = self.size // step
            trust = cv2.resize(weights, (small, small), interpolation=cv2.INTER_AREA)
            picture = _viewer(_grey(part), transform, invert(_grow(step)), small)(transform)
            self._levels.append(_Level(picture, np.asarray(trust, np.float64), step))

    def __call__(self, frame: NDArray[Any], start: Transform) -> Transform | None:
        """Transform of ``frame`` (H, W[, 3], source pixels) onto the reference, near ``start``.

        None if it cannot be followed: more than `FARTHEST` away from ``start`` at the corner of the crop, which no
        head does between neighbouring frames; then it has turned out of the plane, or something is in front of it. Or,
        against the first frame, larger or smaller by more than `MOST_ZOOM`, tilted by more than `MOST_TILT`, or with
        its centre outside the frame: there small steps have led away from the head.
        """
        part, place = _surroundings(frame, start, self.size)
        grey = _grey(part)
        transform = compose(start, place)
        for level in self._levels:
            view = _viewer(grey, transform, level.down, len(level.picture))
            for _ in range(self.ITERATIONS):
                step = level.step(view(transform))
                transform = compose(compose(level.up, compose(invert(step), level.down)), transform)
                if _reach(step, len(level.picture)) < 2e-3:
                    break
                # written so that what is not a number is too far as well
                if not _reach(compose(transform, invert(compose(start, place))), self.size) <= FARTHEST * self.size:
                    return None
        found = compose(transform, invert(place))
        return found if self._can_be(found, frame) else None

    def _can_be(self, transform: Transform, frame: NDArray[Any]) -> bool:
        """Whether a head can have come there since the first frame, however small the steps."""
        since = compose(transform, self._to_start)
        x, y = apply(invert(transform), np.full(2, (self.size - 1) / 2))
        inside = 0 <= x < frame.shape[1] and 0 <= y < frame.shape[0]
        return inside and 1 / MOST_ZOOM < scale_of(since) < MOST_ZOOM and abs(tilt_of(since)) < MOST_TILT


def _viewer(
    grey: NDArray[Any], transform: Transform, down: Transform, size: int
) -> Callable[[Transform], NDArray[np.float64]]:
    """How a level sees ``grey``: a function of transforms near ``transform``, which is followed by ``down``."""
    small, grow = _shrink(grey, int(1 / scale_of(compose(down, transform))))

    def view(transform: Transform) -> NDArray[np.float64]:
        seen = compose(compose(down, transform), grow)
        return np.asarray(warp(small, seen, size, cv2.INTER_LINEAR), np.float64)

    return view


def _reach(transform: Transform, size: int) -> float:
    """How far in px ``transform`` moves the corner of a crop that it moves most."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    return float(np.linalg.norm(apply(transform, corners) - corners, axis=1).max())


class _Level:
    """One resolution of the reference: pixels kept, their Jacobian, and the solve."""

    def __init__(self, picture: NDArray[np.float64], weights: NDArray[np.float64], step: int) -> None:
        self.picture = picture
        self.up = _grow(step)
        self.down = invert(self.up)
        dy, dx = (np.asarray(g) for g in np.gradient(picture))
        rows, columns = np.nonzero(weights > 0.05)
        self._at = rows, columns
        self._centre = (len(picture) - 1) / 2
        x, y = columns - self._centre, rows - self._centre
        gx, gy = dx[self._at], dy[self._at]
        half = len(picture) / 2
        # d residual / d (shift x, shift y, scale, rotation, offset, gain); conditioned to like sizes
        self._jacobian = np.stack(
            [gx, gy, (gx * x + gy * y) / half, (gy * x - gx * y) / half, np.ones_like(gx), picture[self._at] / 128], 1
        )
        self._trust = weights[self._at]

    def step(self, crop: NDArray[np.float64]) -> Transform:
        """The small transform of reference positions that explains ``crop`` best. (S', S') → (2, 3)."""
        residual = self.picture[self._at] - crop[self._at]  # = gradient · motion, to first order
        trust = self._trust
        parameters = np.zeros(6)
        for _ in range(3):
            error = residual - self._jacobian @ parameters
            scale = max(1.4826 * float(np.median(np.abs(error))), 0.5)
            weight = trust * np.clip(1 - (error / (4.685 * scale)) ** 2, 0, None) ** 2
            weighted = self._jacobian * weight[:, None]
            normal = weighted.T @ self._jacobian
            parameters = np.linalg.solve(normal + 1e-6 * np.trace(normal) * np.eye(6), weighted.T @ residual)
        shift_x, shift_y, zoom, turn = parameters[:4] / [1, 1, len(self.picture) / 2, len(self.picture) / 2]
        linear = np.array([[1 + zoom, -turn], [turn, 1 + zoom]])
        centre = np.full(2, self._centre)
        return np.column_stack([linear, centre - linear @ centre + [shift_x, shift_y]])


def _grey(frame: NDArray[Any]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
    return np.asarray(grey, np.float32)


def _surroundings(frame: NDArray[Any], transform: Transform, size: int) -> tuple[NDArray[Any], Transform]:
    """The part of ``frame`` that the crop shows, with a margin, and the shift from its pixels to the frame's."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    seen = apply(invert(transform), corners)
    margin = 0.15 * size / scale_of(transform)
    limit = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(seen.min(0) - margin), 0, limit - 2).astype(int)
    high = np.clip(np.ceil(seen.max(0) + margin), low + 2, limit).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    return part, np.column_stack([np.eye(2), low])
