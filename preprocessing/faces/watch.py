"""Look now and then whether the face is still where its alignment says, and say what is seen when it is not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError
from preprocessing.faces import alignment
from preprocessing.faces.alignment import Transform
from preprocessing.faces.landmarks import Box, Landmarker
from preprocessing.faces.pose import Pose, pose_between
from preprocessing.faces.tracking import follow
from preprocessing.video import Frame

FAR = 0.07  # of the crop's side
ZOOM = 1.2  # times
TILT, TURN = 10.0, 20.0  # degrees, in the picture's plane and out of it
AGAIN = 3  # frames after which a face that was seen wrong is looked at once more
LOST, MISALIGNED, TURNED = "face_lost", "misaligned", "head_turned"


class Trouble(NamedTuple):
    """What is wrong at a frame: code and words that go on after "at frame 30"."""

    frame: int
    code: str
    words: str


class Watch:
    """Checks by the detector and fresh landmarks that crops show the face in its place.

    A detector misses faces now and then, and landmarks err under a hand. So a face counts as lost only if it is missed
    at the last look or at most looks, and as misaligned or turned only if it is so at two looks in a row, the second a
    few frames after the first, or at the last.

    Args:
        landmarker: finds faces.
        box: of the face in the first frames.
        base: the transform of the first frame.
        landmarks: (68, 2) crop px, of the first frames.
        size: side of the crop, px.
        every: frames between two looks.
        first: number of the first frame in the recording, for messages.
        held: whether the alignment follows the head; where it does not, a face may move in the crop.

    Attributes:
        checks: looks so far.
        troubles: what was seen at those that found something wrong.
        turn: largest turn of the head that landmarks showed, degrees.
    """

    def __init__(
        self,
        landmarker: Landmarker,
        box: Box,
        base: Transform,
        landmarks: NDArray[np.floating],
        size: int,
        every: int,
        first: int = 0,
        held: bool = True,
    ) -> None:
        self._landmarker, self._box, self._base, self._every = landmarker, box, base, every
        self._landmarks, self._size, self._first, self._held = landmarks, size, first, held
        self._due, self._last = 0, -1
        self._before: Trouble | None = None
        self._verdict: ClipRejectedError | None = None
        self.checks = 0
        self.troubles: list[Trouble] = []
        self.turn = 0.0

    def look(self, t: int, frame: Frame, transform: Transform) -> None:
        """Take the next frame, number ``t`` of the clip. Whatever is seen, `finish` says it."""
        if t >= self._due and self._verdict is None:
            self._check(t, frame, transform)

    def finish(self, t: int, frame: Frame, transform: Transform) -> None:
        """The last frame once more, unless it was looked at.

        Raises:
            ClipRejectedError: ``face_lost``, ``misaligned`` or ``head_turned``.
        """
        if t != self._last and self._verdict is None:
            self._check(t, frame, transform)
        if self._verdict is not None:
            raise self._verdict
        missed = [one for one in self.troubles if one.code == LOST]
        final = self.troubles[-1] if self.troubles and self.troubles[-1].frame == self._first + t else None
        if final is not None and final.code != LOST:
            raise _rejection(final, self._first)
        if missed and (final is not None or 2 * len(missed) > self.checks):
            others = f" ({len(missed)} of {self.checks} looks)"
            raise ClipRejectedError(LOST, f"at frame {missed[-1].frame} {missed[-1].words}{others}")

    def _check(self, t: int, frame: Frame, transform: Transform) -> None:
        self.checks, self._last = self.checks + 1, t
        trouble = self._seen(self._first + t, frame, transform)
        self._due = (t // self._every + 1) * self._every
        if trouble is not None:
            self.troubles.append(trouble)
            if trouble.code != LOST:
                if self._before is not None:
                    self._verdict = _rejection(self._before, self._first)
                self._due = min(self._due, t + AGAIN)
        self._before = None if trouble is None or trouble.code == LOST else trouble

    def _seen(self, t: int, frame: Frame, transform: Transform) -> Trouble | None:
        corners = np.array([self._box[:2], self._box[2:]])
        moved = alignment.apply(alignment.compose(alignment.invert(transform), self._base), corners)
        expected = Box(*moved.ravel())
        found = follow(expected, self._landmarker.detect(frame, near=expected))
        if found is None:
            everywhere = self._landmarker.detect(frame)
            found = follow(expected, everywhere)
            if found is None:
                return Trouble(t, LOST, _whereabouts(expected, everywhere))
        points = alignment.apply(transform, self._landmarker.landmarks(frame, found))
        pose = pose_between(self._landmarks, points)
        self.turn = max(self.turn, pose.turn)
        return self._judged(t, pose)

    def _judged(self, t: int, pose: Pose) -> Trouble | None:
        if pose.turn > TURN:
            return Trouble(t, TURNED, f"the head is turned by about {pose.turn:.0f}°")
        places = {
            f"{pose.shift:.0f} px off": pose.shift > FAR * self._size,
            f"tilted by {abs(pose.tilt):.0f}°": abs(pose.tilt) > TILT,
            f"{pose.zoom:.2f} times as large": not 1 / ZOOM < pose.zoom < ZOOM,
        }
        wrong = [words for words, is_wrong in places.items() if is_wrong]
        if not wrong or not self._held:
            return None
        return Trouble(t, MISALIGNED, f"the face in the crop is {' and '.join(wrong)}")


def _whereabouts(expected: Box, faces: list[Box]) -> str:
    """What is seen in place of a face where one is expected."""
    if not faces:
        return "no face is found"
    x, y = expected.centre
    nearest = min(faces, key=lambda box: np.hypot(box.centre[0] - x, box.centre[1] - y))
    away = float(np.hypot(nearest.centre[0] - x, nearest.centre[1] - y))
    return (
        f"no face is found where the head was followed to, the nearest is {away:.0f} px from there and "
        f"{nearest.side / max(expected.side, 1):.1f} times as large as expected"
    )


def _rejection(trouble: Trouble, first: int) -> ClipRejectedError:
    if trouble.frame == first:
        seen = f"the landmarks of the first frames contradict each other: by those found again, {trouble.words}"
        return ClipRejectedError(MISALIGNED, f"{seen}. It is seen too far from the side, or something is before it")
    return ClipRejectedError(trouble.code, f"at frame {trouble.frame} {trouble.words} against the first frames")
