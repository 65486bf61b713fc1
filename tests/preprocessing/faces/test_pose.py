from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.faces import alignment
from preprocessing.faces.pose import TurnMeter, pose_between

SIZE = 192


@pytest.fixture(scope="module")
def landmarks(drawn_face: Any) -> NDArray[np.float64]:
    return alignment.apply(alignment.clip_transform(drawn_face.points[None], SIZE), drawn_face.points)


@pytest.fixture(scope="module")
def trust(landmarks: NDArray[np.float64]) -> NDArray[np.float32]:
    return cv2.resize(alignment.rigid_weights(landmarks, SIZE), (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)


def sphere(at: NDArray[np.float64], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth of another head than the module's: a ball over the face without a nose."""
    centre, radius = landmarks.mean(axis=0), np.ptp(landmarks[:, 0]) / 2
    return np.sqrt(np.clip(radius**2 - ((at - centre) ** 2).sum(-1) / 1.5, 0, None))


def field(landmarks: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Flow of such a ball that turns to the side, on the half grid."""
    at = np.stack(np.meshgrid(*[2 * np.arange(SIZE // 2) + 0.5] * 2), -1)
    return np.stack([np.tan(np.deg2rad(degrees)) * sphere(at, landmarks), np.zeros(at.shape[:2])], -1)


class TestLandmarks:
    def test_the_same_face_has_not_moved(self, landmarks: NDArray[np.float64]) -> None:
        assert pose_between(landmarks, landmarks) == pytest.approx((0, 1, 0, 0), abs=1e-9)

    def test_a_similarity_is_no_turn(self, landmarks: NDArray[np.float64]) -> None:
        """Shift, zoom and tilt come back, whatever the mouth does meanwhile."""
        angle = np.deg2rad(7)
        linear = 1.1 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = (landmarks - 90) @ linear.T + 90
        moved[48:] += 9
        pose = pose_between(landmarks, moved)
        assert (pose.zoom, pose.tilt, pose.turn) == pytest.approx((1.1, 7, 0), abs=1e-6)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_turn_is_seen_to_any_side(self, landmarks: NDArray[np.float64], axis: int) -> None:
        """On a head of another depth the angle is measured roughly; a face that only moves scores 0."""
        turned = landmarks.copy()
        turned[:, axis] += np.tan(np.deg2rad(25)) * (sphere(landmarks, landmarks) + 15 * _nose())
        assert 15 < pose_between(landmarks, turned).turn < 40


class TestFlow:
    def test_no_motion_and_a_similarity_are_no_turn(
        self, landmarks: NDArray[np.float64], trust: NDArray[np.float32]
    ) -> None:
        meter = TurnMeter(landmarks, trust, SIZE)
        assert meter.degrees is None
        y, x = np.mgrid[: SIZE // 2, : SIZE // 2] * 2.0
        meter.look(np.zeros((SIZE // 2, SIZE // 2, 2)))
        meter.look(np.stack([2 + 0.03 * x - 0.05 * y, -1 + 0.03 * y + 0.05 * x], -1))
        assert meter.degrees == pytest.approx(0, abs=0.01)
        assert meter.motion == pytest.approx(0, abs=0.01)

    def test_a_turn_is_measured_and_an_expression_is_none(
        self, landmarks: NDArray[np.float64], trust: NDArray[np.float32]
    ) -> None:
        """A mouth corner that moves by 3 px, is not a degree of turn; 3 degrees are seen beside it."""
        corner = np.stack(np.meshgrid(*[2 * np.arange(SIZE // 2) + 0.5] * 2), -1) - landmarks[54]
        smile = np.exp(-(corner**2).sum(-1, keepdims=True) / (2 * 12**2)) * np.array([1.5, -2.6])
        still, turning = TurnMeter(landmarks, trust, SIZE), TurnMeter(landmarks, trust, SIZE)
        still.look(smile)
        turning.look(smile + field(landmarks, 3))
        assert still.degrees is not None and turning.degrees is not None and turning.motion is not None
        assert still.degrees < 0.3
        assert 1.2 < turning.degrees < 4.5  # the ball is less deep than the head that the module thinks of
        assert 0.5 < turning.motion < 3

    def test_the_largest_of_all_frames_stays(self, landmarks: NDArray[np.float64], trust: NDArray[np.float32]) -> None:
        meter = TurnMeter(landmarks, trust, SIZE)
        found = []
        for degrees in (1, 5, 0):
            meter.look(field(landmarks, degrees))
            found.append(meter.degrees or 0)
        assert 4 < found[1] / found[0] < 6
        assert found[2] == found[1]

    def test_where_no_face_is_seen_nothing_is_said(
        self, landmarks: NDArray[np.float64], trust: NDArray[np.float32]
    ) -> None:
        meter = TurnMeter(landmarks, 0 * trust, SIZE)
        meter.look(field(landmarks, 5))
        assert (meter.degrees, meter.motion) == (None, None)


def _nose() -> NDArray[np.float64]:
    """How far landmarks stick out of a ball, as a share of the tip of the nose."""
    out = np.zeros(68)
    out[27:36] = [0.3, 0.5, 0.8, 1, 0.4, 0.5, 0.6, 0.5, 0.4]
    return out
