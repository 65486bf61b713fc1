from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.faces import alignment
from preprocessing.faces.steadiness import FITS, Steadiness

SIZE = 64
Frames = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def steadily(drawn_face: Any) -> Any:
    """Frames that hardly move and carry noise, as crops of one place."""
    base = alignment.clip_transform(drawn_face.points[None], SIZE)
    trust = alignment.rigid_weights(alignment.apply(base, drawn_face.points), SIZE)

    def look(frames: Frames, crops: Frames | None = None) -> Steadiness:
        steady = Steadiness(trust)
        for frame, crop in zip(frames, crops or [alignment.warp(f, base, SIZE) for f in frames], strict=True):
            steady.take(frame, crop)
        return steady

    return look


@pytest.fixture(scope="module")
def frames(drawn_face: Any) -> Frames:
    rng = np.random.default_rng(0)
    grain = (1.5 * rng.standard_normal(drawn_face.picture.shape) for _ in range(12))
    return [np.clip(np.rint(drawn_face.picture + one), 0, 255).astype(np.uint8) for one in grain]


def spliced(frames: Frames, other: NDArray[np.uint8], stop: int = 12) -> Frames:
    return [other if 6 <= t < stop else frame for t, frame in enumerate(frames)]


class TestBreaks:
    def test_noise_and_a_few_equal_frames_are_none(self, steadily: Any, frames: Frames) -> None:
        assert steadily(frames).break_at()[1] < 0.6
        assert steadily([frames[0]] * 12).break_at() == (1, 0)
        assert steadily([frame for frame in frames for _ in range(4)]).break_at()[1] < 0.6
        assert steadily(frames[:1]).break_at() == (0, 0)

    @pytest.mark.parametrize("stop", [7, 12])
    def test_another_picture_for_a_frame_or_for_good(self, steadily: Any, frames: Frames, stop: int) -> None:
        for other in (frames[0][:, ::-1], frames[0] // 2, 178 + frames[0] // 4):
            at, strength = steadily(spliced(frames, np.ascontiguousarray(other), stop)).break_at()
            assert strength > 1.5
            assert at in (6, stop)

    def test_a_hand_before_a_part_of_the_face_is_none(self, steadily: Any, frames: Frames, drawn_face: Any) -> None:
        """The mean change of the face is as large as in a cut."""
        x, y = drawn_face.points[48].astype(int)
        covered = [frame.copy() for frame in frames]
        for frame in covered[6:]:
            frame[y - 40 : y + 40, x - 60 : x + 20] = (200, 160, 140)
        assert steadily(covered).break_at()[1] < 0.8

    def test_a_camera_that_slips_while_the_face_is_followed_is_none(self, steadily: Any, frames: Frames) -> None:
        """The picture changes, the crops do not."""
        moved = [np.roll(frame, 25 * (t >= 6), 1) for t, frame in enumerate(frames)]
        assert steadily(moved).break_at()[1] > 1
        base = steadily(frames)
        crops = [frame[:64, :64] for frame in frames]
        assert steadily(moved, crops).break_at()[1] < 0.8
        assert base.break_at()[1] < 0.6


class TestLikeness:
    def test_light_makes_no_difference_and_another_face_does(self, steadily: Any, frames: Frames) -> None:
        darker = (0.6 * frames[0] + 20).astype(np.uint8)
        elsewhere = np.roll(frames[0], (20, 30), (0, 1))
        same, dark, off = steadily([frames[0], darker, elsewhere]).likeness
        assert same == 1
        assert dark > 0.99
        assert off < FITS
        assert steadily([frames[0], darker, elsewhere]).misfits() == 1

    def test_a_picture_of_one_colour_is_like_itself_only(self, steadily: Any, frames: Frames) -> None:
        grey = np.full_like(frames[0], 90)
        assert steadily([grey, grey, frames[0]]).likeness == [1, 1, 0]
