"""Whether a clip shows one face without a break: how well crops fit the first, and where the picture changes at once.

Thresholds are ours, between what good pieces of real recordings show (talk, laughter, hands before the face, turns) and
the same with a break inside; see docs/method.md.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.video import Frame

FITS = 0.5  # least correlation of a crop with the first, on what follows the skull
FACE_JUMP, PICTURE_JUMP = 4.8, 6.0  # times the usual change from frame to frame
STILL_FACE, STILL_PICTURE = 0.5, 0.3  # grey levels: what usual changes are at least taken for
REPEATED = 0.1  # of the change that one frame in five exceeds: such frames repeat, and do not say what is usual
SIDE, BLOCKS, PICTURE = 48, 16, 32  # px along a side: of the crop that is compared, its blocks, the whole picture


class Steadiness:
    """Takes the frames of a clip with their crops, one by one.

    Args:
        trusted: (S, S) trust that a pixel follows the skull, see `alignment.rigid_weights`.

    Attributes:
        likeness: correlation of each crop with the first where the skull is followed, 1 for the same picture whatever
            its light.
    """

    def __init__(self, trusted: NDArray[np.float32]) -> None:
        self._trust = cv2.resize(trusted, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
        self._trust /= max(float(self._trust.sum()), 1e-9)
        self._trusted = trusted
        self._blocks = cv2.resize(trusted, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
        self._on_face = self._blocks > 0.3
        self._first: NDArray[np.float64] | None = None
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._changes: list[tuple[float, float]] = []
        self.likeness: list[float] = []

    def take(self, frame: Frame, crop: Frame) -> None:
        """The next frame (H, W, 3) and its crop (S, S, 3)."""
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        face = np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float64)
        self._first = face if self._first is None else self._first
        self.likeness.append(_correlation(self._first, face, self._trust))
        now = grey.astype(np.float32), _small(frame)
        if self._before is not None:
            picture = float(np.abs(now[1] - self._before[1]).mean())
            self._changes.append((self._face_change(self._before[0], now[0]), picture))
        self._before = now

    def misfits(self) -> int:
        """Frames whose crop does not show the first one's face in its place."""
        return sum(one < FITS for one in self.likeness)

    def break_at(self) -> tuple[int, float]:
        """The first frame after a break, or after the largest change; and how large that is, where 1 is a break.

        In a break the face and the picture as a whole change by many times what is usual in this clip. A hand that
        moves before the face changes a part of it, a camera that slips with the face followed the picture alone.
        """
        if not self._changes:
            return 0, 0.0
        face, picture = np.array(self._changes).T
        strength = np.minimum(
            face / (FACE_JUMP * _usual(face, STILL_FACE)), picture / (PICTURE_JUMP * _usual(picture, STILL_PICTURE))
        )
        worst = float(strength.max())
        return int(np.argmax(strength >= min(worst, 1))) + 1, worst

    def _face_change(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
        """Grey levels by which all but a quarter of the face's blocks change: a hand covers fewer."""
        if not self._on_face.any():
            return 0.0
        change = cv2.resize(cv2.absdiff(now, before) * self._trusted, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
        return float(np.quantile(change[self._on_face] / self._blocks[self._on_face], 0.25))


def _small(frame: Frame) -> NDArray[np.float32]:
    """The picture as (32, 32) grey levels."""
    step = max(1, min(frame.shape[:2]) // (4 * PICTURE))
    small = cv2.resize(np.ascontiguousarray(frame[::step, ::step]), (PICTURE, PICTURE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)


def _usual(changes: NDArray[np.float64], least: float) -> float:
    """Median of the changes; without the two largest, which one foreign picture makes, and without repeated frames."""
    rest = np.sort(changes)[:-2] if len(changes) > 4 else changes
    moving = rest[rest >= REPEATED * np.quantile(rest, 0.8)]
    return max(float(np.median(moving)), least)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Weighted by ``weight``, which sums to 1; 1 where both are of one colour."""
    a, b = (picture - float((picture * weight).sum()) for picture in (one, other))
    spread = float((a * a * weight).sum() * (b * b * weight).sum())
    if np.array_equal(one, other):
        return 1.0
    return float((a * b * weight).sum() / np.sqrt(spread)) if spread > 0 else 0.0
