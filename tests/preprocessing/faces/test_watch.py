from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError
from preprocessing.faces import alignment
from preprocessing.faces.landmarks import Box, GivenLandmarker, Points
from preprocessing.faces.watch import AGAIN, Watch
from preprocessing.video import Frame

SIZE, EVERY = 192, 10
FRAME = np.zeros((4, 4, 3), np.uint8)

Change = Callable[[NDArray[np.float64]], NDArray[np.float64] | None]


class Scene(GivenLandmarker):
    """A face that changes from frame to frame; ``near`` finds nothing further away than a face."""

    def __init__(self, points: Points, shows: dict[int, Points | None]) -> None:
        super().__init__([points])
        self.points, self.shows, self.now = points, shows, 0

    def at(self, t: int) -> Points | None:
        return self.shows[max(key for key in self.shows if key <= t)] if self.shows else self.points

    def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
        points = self.at(self.now)
        self._faces = [] if points is None else [points]
        found = super().detect(frame)
        if near is None:
            return found
        return [box for box in found if np.hypot(*np.subtract(box.centre, near.centre)) < near.side]


@pytest.fixture
def watched(drawn_face: Any) -> Callable[..., Watch]:
    """``watched({10: points}, 31)``: a watch that has seen 31 frames, the face as given from frame 10 on."""
    points = drawn_face.points
    base = alignment.clip_transform(points[None], SIZE)

    def run(shows: dict[int, Points | None], n_frames: int = 31, **more: Any) -> Watch:
        scene = Scene(points, {0: points, **shows})
        box = scene.detect(FRAME)[0]
        watch = Watch(scene, box, base, alignment.apply(base, points), SIZE, EVERY, **more)
        for t in range(n_frames):
            scene.now = t
            watch.look(t, FRAME, base)
        watch.finish(n_frames - 1, FRAME, base)
        return watch

    return run


def moved(points: NDArray[Any], degrees: float = 0, zoom: float = 1, shift: float = 0) -> NDArray[np.float64]:
    turn = zoom * np.exp(1j * np.deg2rad(degrees))
    centre = points[27:36].mean(axis=0)
    return (points - centre) @ np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]) + centre + [shift, 0]


def turned(points: NDArray[Any]) -> NDArray[np.float64]:
    """The nose has gone to one side by a quarter of the face's half width."""
    out = np.array(points, np.float64)
    out[27:36, 0] += np.array([0.3, 0.5, 0.8, 1, 0.4, 0.5, 0.6, 0.5, 0.4]) * np.ptp(points[:, 0]) / 8
    return out


def test_a_face_in_its_place_is_looked_at_now_and_then(watched: Callable[..., Watch]) -> None:
    watch = watched({}, 36)
    assert (watch.checks, watch.troubles) == (5, [])  # 0, 10, 20, 30 and the last, 35
    assert watch.turn < 1e-6


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda p: moved(p, degrees=14), "misaligned", "tilted by 14°"),
        (lambda p: moved(p, zoom=0.75), "misaligned", "0.75 times as large"),
        (lambda p: moved(p, shift=40), "misaligned", "px off"),
        (turned, "head_turned", "turned by about"),
    ],
)
def test_what_the_place_of_the_box_alone_does_not_tell(
    watched: Callable[..., Watch], drawn_face: Any, change: Change, code: str, words: str
) -> None:
    """The detector finds all of these where it expects a face; by its box alone they passed."""
    with pytest.raises(ClipRejectedError, match=rf"at frame 110 .*{words}") as caught:
        watched({10: change(drawn_face.points)}, first=100)
    assert caught.value.code == code
    small = {"degrees": 4, "zoom": 0.95, "shift": 5}
    assert watched({10: moved(drawn_face.points, **small)}).troubles == []


def test_one_look_that_errs_is_looked_at_again(watched: Callable[..., Watch], drawn_face: Any) -> None:
    """Landmarks slip under a hand; a face that stays wrong is so at the second look. After the last there is none."""
    tilted = moved(drawn_face.points, degrees=14)
    watch = watched({10: tilted, 10 + AGAIN: drawn_face.points})
    assert [(one.frame, one.code) for one in watch.troubles] == [(10, "misaligned")]
    assert watch.checks == 5
    with pytest.raises(ClipRejectedError, match="at frame 10 "):
        watched({10: tilted, 10 + AGAIN + 1: drawn_face.points})
    with pytest.raises(ClipRejectedError, match="at frame 30 "):
        watched({30: tilted})


def test_landmarks_of_the_first_frames_that_contradict_each_other(
    watched: Callable[..., Watch], drawn_face: Any
) -> None:
    with pytest.raises(ClipRejectedError, match=r"first frames contradict each other.*tilted by 14°"):
        watched({0: moved(drawn_face.points, degrees=14)})


def test_where_the_head_is_left_moving_it_may_move(watched: Callable[..., Watch], drawn_face: Any) -> None:
    assert watched({10: moved(drawn_face.points, shift=40)}, held=False).troubles == []


class TestLostFaces:
    def test_nobody_is_there(self, watched: Callable[..., Watch]) -> None:
        with pytest.raises(ClipRejectedError, match=r"at frame 130 no face is found \(1 of 4 looks\)") as caught:
            watched({30: None}, first=100)
        assert caught.value.code == "face_lost"

    def test_a_detector_may_miss_one_in_between(self, watched: Callable[..., Watch], drawn_face: Any) -> None:
        watch = watched({10: None, 15: drawn_face.points})
        assert [one.frame for one in watch.troubles] == [10]

    def test_a_face_elsewhere_is_said_to_be_there(self, watched: Callable[..., Watch], drawn_face: Any) -> None:
        """It used to be "not found again", although the detector finds it in that frame."""
        with pytest.raises(ClipRejectedError, match=r"nearest is 300 px from there and 1\.0 times as large"):
            watched({20: moved(drawn_face.points, shift=300)})
