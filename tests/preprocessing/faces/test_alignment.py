from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from preprocessing.faces import alignment
from preprocessing.faces.alignment import RigidRegistration, Transform
from preprocessing.faces.landmarks import DlibLandmarker
from preprocessing.faces.points68 import BROWS, EYES, JAW, MOUTH
from preprocessing.video import VideoFile

SIZE = 160


def turned(degrees: float, scale: float, shift: Any, about: Any = (0, 0)) -> Transform:
    """Rotation and scale about a point, then a shift."""
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, about - linear @ np.asarray(about, float) + shift])


@st.composite
def similarities(draw: st.DrawFn) -> Transform:
    shift = draw(st.tuples(*[st.floats(-500, 500)] * 2))
    return turned(draw(st.floats(-180, 180)), draw(st.floats(0.1, 10)), shift)


def scattered(n: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, 300, (n, 2))


def rms(vectors: NDArray[np.float64]) -> float:
    return float(np.sqrt((vectors**2).sum(-1).mean()))


class TestTransforms:
    @given(similarities(), st.integers(2, 68), st.integers(0, 99))
    def test_a_similarity_is_recovered_from_its_points(self, truth: Transform, n: int, seed: int) -> None:
        source = scattered(n, seed)
        found = alignment.similarity(source, alignment.apply(truth, source))
        assert alignment.apply(found, source) == pytest.approx(alignment.apply(truth, source), abs=1e-6)
        assert alignment.scale_of(found) == pytest.approx(alignment.scale_of(truth))

    @given(st.integers(3, 20), st.integers(0, 99))
    def test_nothing_near_the_fit_fits_better(self, n: int, seed: int) -> None:
        source, target = scattered(n, seed), scattered(n, seed + 100)
        fit = alignment.similarity(source, target)

        def cost(transform: Transform) -> float:
            return rms(alignment.apply(transform, source) - target)

        for change in (turned(0.1, 1, 0), turned(0, 1.001, 0), turned(0, 1, (0.1, 0)), turned(0, 1, (0, 0.1))):
            assert cost(fit) <= cost(alignment.compose(change, fit))

    @given(similarities(), similarities())
    def test_compose_and_invert_are_what_they_say(self, first: Transform, second: Transform) -> None:
        points = scattered(5, 0)
        both = alignment.compose(second, first)
        expected = alignment.apply(second, alignment.apply(first, points))
        assert alignment.apply(both, points) == pytest.approx(expected, abs=1e-6)
        back = alignment.apply(alignment.invert(first), alignment.apply(first, points))
        assert back == pytest.approx(points, abs=1e-6)

    @pytest.mark.parametrize("source", [[[3.0, 4.0]], [[3.0, 4.0], [3.0, 4.0]]])
    def test_one_point_is_no_similarity(self, source: Any) -> None:
        with pytest.raises(ValueError, match="two distinct points"):
            alignment.similarity(np.array(source), np.array(source))


class TestClipTransform:
    def test_the_canonical_face_is_upright_and_centred(self) -> None:
        right_eye, left_eye, nose = alignment.canonical(SIZE)
        assert right_eye[1] == left_eye[1] < nose[1]
        assert right_eye[0] < left_eye[0], "the subject's left is on the right of the picture"
        assert nose[0] == (right_eye[0] + left_eye[0]) / 2 == (SIZE - 1) / 2

    def test_eyes_and_nose_come_close_to_their_places(self, drawn_face: Any) -> None:
        transform = alignment.clip_transform(drawn_face.points[None], SIZE)
        found = alignment.apply(transform, alignment.anchors(drawn_face.points))
        assert rms(found - alignment.canonical(SIZE)) < 0.03 * SIZE  # faces differ in shape
        shifted = np.linalg.norm(found - alignment.canonical(SIZE), axis=1)
        assert shifted.max() < 0.05 * SIZE

    @given(st.floats(-30, 30), st.floats(0.3, 3), st.integers(0, 200))
    def test_the_crop_does_not_depend_on_where_the_face_is(
        self, drawn_face: Any, degrees: float, scale: float, shift: int
    ) -> None:
        move = turned(degrees, scale, (shift, -shift))
        here = alignment.clip_transform(drawn_face.points[None], SIZE)
        there = alignment.clip_transform(alignment.apply(move, drawn_face.points)[None], SIZE)
        crop = alignment.apply(here, drawn_face.points)
        assert alignment.apply(there, alignment.apply(move, drawn_face.points)) == pytest.approx(crop, abs=1e-6)

    def test_a_blink_and_a_slipped_fit_do_not_move_the_crop(self, drawn_face: Any) -> None:
        """The mean over frames would be off by 10 px / 8 frames at every point."""
        blink, slipped = drawn_face.points.copy(), drawn_face.points + 10
        blink[[37, 38, 43, 44]] += [0, 6]  # upper lids
        still = alignment.clip_transform(drawn_face.points[None], SIZE)
        frames = np.stack([blink, slipped, *[drawn_face.points] * 6])
        assert alignment.clip_transform(frames, SIZE) == pytest.approx(still)
        assert alignment.clip_transform(blink[None], SIZE) == pytest.approx(still)


def waves(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """A smooth picture known at every point, grey levels."""
    return 128 + 50 * np.sin(2 * np.pi * x / 23) + 50 * np.cos(2 * np.pi * (y + 0.4 * x) / 31)


class TestWarp:
    @pytest.mark.parametrize(
        "truth",
        [turned(0, 1, 0), turned(0, 1, (-30.5, -20.25)), turned(7, 0.8, (-20, -10)), turned(-4, 1.7, (-90, -60))],
    )
    def test_it_samples_at_pixel_centres(self, truth: Transform) -> None:
        """Half a pixel, the classic mistake, would cost 9 grey levels here."""
        y, x = np.mgrid[:200, :240]
        frame = np.rint(waves(x, y)).astype(np.uint8)
        crop = alignment.warp(frame, truth, 96)
        v, u = np.mgrid[:96, :96]
        at = alignment.apply(alignment.invert(truth), np.stack([u, v], -1))
        inside = ((at > 3) & (at < [236, 196])).all(-1)
        error = np.abs(crop - waves(at[..., 0], at[..., 1]))[inside]
        assert inside.sum() > 4000
        assert error.mean() < 1.0

    @pytest.mark.parametrize("scale", [0.35, 0.22])
    def test_shrinking_keeps_pixel_centres(self, scale: float) -> None:
        y, x = np.mgrid[:500, :600]
        frame = np.rint(waves(x / 4, y / 4)).astype(np.uint8)
        truth = turned(3, scale, (-5, -8))
        v, u = np.mgrid[:96, :96]
        at = alignment.apply(alignment.invert(truth), np.stack([u, v], -1))
        inside = ((at > 12) & (at < [580, 480])).all(-1)
        error = np.abs(alignment.warp(frame, truth, 96) - waves(at[..., 0] / 4, at[..., 1] / 4))[inside]
        assert error.mean() < 1.0  # half a crop pixel would cost 4

    @pytest.mark.parametrize("scale", [0.5, 0.45, 0.31, 0.2])
    def test_shrinking_does_not_alias(self, scale: float) -> None:
        """A checkerboard of single pixels is grey from afar; picking pixels would make patterns of sd 60 and more."""
        y, x = np.mgrid[:600, :600]
        board = (255 * ((x + y) % 2)).astype(np.uint8)
        transform = turned(2, scale, (-3, -3))
        naive = cv2.warpAffine(board, transform, (100, 100), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        crop = alignment.warp(board, transform, 100)[20:-20, 20:-20]
        assert crop.mean() == pytest.approx(127.5, abs=2)
        assert crop.std() < 12 < 60 < naive[20:-20, 20:-20].std()

    def test_grey_and_colour_and_the_border(self) -> None:
        frame = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
        away = turned(0, 1, (20, 20))
        crop = alignment.warp(frame, away, 96)
        assert crop.shape == (96, 96, 3)
        assert np.array_equal(alignment.warp(frame[..., 1], away, 96), crop[..., 1])
        assert np.all(crop[:20, :20] == frame[0, 0]), "outside repeats the border"


def test_trust_is_on_skin_that_follows_the_skull(drawn_face: Any) -> None:
    base = alignment.clip_transform(drawn_face.points[None], SIZE)
    points = alignment.apply(base, drawn_face.points)
    trust = alignment.rigid_weights(points, SIZE)
    assert (trust.shape, trust.dtype) == ((SIZE, SIZE), np.float32)
    assert 0 <= trust.min() < 0.01 < 0.9 < trust.max() < 1 + 1e-6

    def at(point: NDArray[Any]) -> float:
        x, y = np.clip(np.rint(point), 0, SIZE - 1).astype(int)  # a long chin reaches out of the crop
        return float(trust[y, x])

    moving = np.concatenate([points[BROWS], points[EYES], points[MOUTH], points[7:10]])
    assert max(map(at, moving)) < 0.5
    assert trust[0].max() == trust[-1].max() == trust[:, 0].max() == trust[:, -1].max() == 0
    cheeks = [(points[36] + points[48]) / 2, (points[45] + points[54]) / 2]
    forehead = points[[21, 22]].mean(0) - [0, 12]
    assert min(map(at, [points[29], *cheeks, forehead])) > 0.5


@dataclass(frozen=True)
class Sitter:
    """A textured face at three times the resolution of the frames, so that moving it does not blur it."""

    fine: NDArray[np.float32]
    points: NDArray[np.float64]

    def shoot(
        self,
        head: Transform | None = None,
        smile: NDArray[np.float64] | None = None,
        noise: float = 0.0,
        light: tuple[float, float] = (1.0, 0.0),
        seed: int = 0,
    ) -> NDArray[np.uint8]:
        """A frame (H, W, 3). A smile moves the mouth's left corner and what is around it, then the head moves."""
        shape = np.array(self.fine.shape[1::-1]) // 3
        grid = np.stack(np.meshgrid(*(np.arange(3 * n) for n in shape)), -1)
        at = (grid + 0.5) / 3 - 0.5
        origin = at if head is None else alignment.apply(alignment.invert(head), at)
        neutral = origin
        for _ in range(0 if smile is None else 6):
            near = np.exp(-((neutral - self.points[54]) ** 2).sum(-1, keepdims=True) / (2 * 10**2))
            neutral = origin - near * smile
        x, y = np.moveaxis(np.float32((neutral + 0.5) * 3 - 0.5), -1, 0)
        moved = cv2.remap(self.fine, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        frame = cv2.resize(moved, shape.tolist(), interpolation=cv2.INTER_AREA) * light[0] + light[1]
        grain = noise * np.random.default_rng(seed).standard_normal(frame.shape[:2])
        return np.clip(np.rint(frame + grain[..., None]), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sitter(drawn_face: Any) -> Sitter:
    fine = cv2.resize(drawn_face.picture.astype(np.float32), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    pores = np.random.default_rng(0).standard_normal(fine.shape[:2]).astype(np.float32)
    pores = cv2.GaussianBlur(pores, (0, 0), 4)
    return Sitter(fine + 8 * (pores / pores.std())[..., None], drawn_face.points)


def registration(frame: NDArray[np.uint8], points: NDArray[np.float64]) -> tuple[RigidRegistration, Transform]:
    base = alignment.clip_transform(points[None], SIZE)
    trust = alignment.rigid_weights(alignment.apply(base, points), SIZE)
    return RigidRegistration(frame, trust, base), base


def skull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points that an expression leaves alone: the upper jaw line and the nose."""
    return np.concatenate([points[JAW][[0, 1, 2, 3, 13, 14, 15, 16]], points[27:36]])


HEADS = [
    (0.0, 1.0, (3.0, -2.0), (1.0, 0.0)),
    (1.0, 1.0, (0.0, 0.0), (1.0, 0.0)),
    (0.0, 1.006, (-1.0, 1.5), (0.97, 3.0)),
    (-0.7, 0.995, (2.2, 2.7), (1.03, -3.0)),
]


class TestRegistration:
    @pytest.mark.parametrize(("degrees", "zoom", "shift", "light"), HEADS)
    def test_the_head_is_followed_and_the_smile_is_left(
        self, sitter: Sitter, degrees: float, zoom: float, shift: tuple[float, float], light: tuple[float, float]
    ) -> None:
        """No correction leaves 0.8 to 3.6 px at the skull; following the smile would take some of its 2.2 px away."""
        register, base = registration(sitter.shoot(noise=1.2, seed=1), sitter.points)
        head = turned(degrees, zoom, shift, sitter.points.mean(0))
        smile = np.array([1.0, -2.0])
        found = register(sitter.shoot(head, smile, noise=1.2, light=light, seed=2), base)
        assert found is not None
        rigid = skull(sitter.points)
        truth, moved = alignment.apply(base, rigid), alignment.apply(head, rigid)
        assert rms(alignment.apply(base, moved) - truth) > 0.7
        assert rms(alignment.apply(found, moved) - truth) < 0.05
        corner = sitter.points[54]
        seen = alignment.apply(found, alignment.apply(head, corner + smile)) - alignment.apply(base, corner)
        assert np.linalg.norm(seen - base[:, :2] @ smile) < 0.1

    def test_a_long_drift_is_followed_from_frame_to_frame(self, sitter: Sitter) -> None:
        """Each frame starts at the one before; measured against the first, errors do not add up."""
        register, base = registration(sitter.shoot(), sitter.points)
        rigid, transform = skull(sitter.points), base
        for t in range(1, 9):
            head = turned(0.3 * t, 1, (1.5 * t, -t), sitter.points.mean(0))
            followed = register(sitter.shoot(head, noise=1.2, seed=t), transform)
            assert followed is not None
            transform = followed
            error = alignment.apply(transform, alignment.apply(head, rigid)) - alignment.apply(base, rigid)
            assert rms(error) < 0.06, t  # not moving along scores 14 px in the last frame

    def test_the_same_frame_again_is_not_moved(self, sitter: Sitter) -> None:
        """A reference that was resampled in another way than the frames would be 0.03 px off for all of them."""
        frame = sitter.shoot(turned(2, 1, (0.3, 0.6)))
        register, base = registration(frame, sitter.points)
        assert register(frame, base) == pytest.approx(base, abs=1e-9)

    def test_a_crop_can_be_the_reference(self, sitter: Sitter) -> None:
        frame = sitter.shoot()
        base = alignment.clip_transform(sitter.points[None], SIZE)
        crop, trust = (
            alignment.warp(frame, base, SIZE),
            alignment.rigid_weights(alignment.apply(base, sitter.points), SIZE),
        )
        register = RigidRegistration(crop, trust)
        assert register(crop, np.eye(2, 3)) == pytest.approx(np.eye(2, 3), abs=1e-9)
        assert register(np.roll(crop, (1, 2), (0, 1)), np.eye(2, 3)) == pytest.approx(turned(0, 1, (-2, -1)), abs=0.05)

    def test_grey_frames_give_the_same_as_colour(self, sitter: Sitter) -> None:
        first, second = sitter.shoot(), sitter.shoot(turned(0, 1, (1, 0.5)))
        register, base = registration(first, sitter.points)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        register_grey, _ = registration(grey[0], sitter.points)
        assert register(second, base) == pytest.approx(register_grey(grey[1], base), abs=0.02)

    def test_a_head_that_jumps_is_not_followed(self, sitter: Sitter) -> None:
        """No head moves a quarter of its face from one frame to the next."""
        register, base = registration(sitter.shoot(), sitter.points)
        assert register(sitter.shoot(turned(0, 1, (40, 0))), base) is None

    @pytest.mark.parametrize(
        "heads",
        [
            [turned(0, 0.97**t, (0, 0)) for t in range(32)],  # down to 0.39 of its size
            [turned(3.0 * t, 1, (0, 0), (160, 180)) for t in range(20)],  # to 57 degrees
        ],
    )
    def test_small_steps_do_not_lead_away_from_the_first_frame(self, sitter: Sitter, heads: list[Transform]) -> None:
        """Step by step each is near the one before, and registration once ran on until nothing was left to resize."""
        register, base = registration(sitter.shoot(), sitter.points)
        here, found = base, []
        for head in heads:
            followed = register(sitter.shoot(head), here)
            here = here if followed is None else followed
            found.append(followed is not None)
        assert all(found[:8]) and not found[-1]
        since = alignment.compose(here, alignment.invert(base))
        assert 0.5 < alignment.scale_of(since) < 2 and abs(alignment.tilt_of(since)) < 45

    def test_no_head_is_outside_of_the_frame(self, sitter: Sitter) -> None:
        """A wall fits everywhere, so that nothing else tells."""
        frame = sitter.shoot()
        register, base = registration(frame, sitter.points)
        wall = np.full_like(frame, 90)
        assert register(wall, base) is not None
        beside = alignment.compose(base, turned(0, 1, (-frame.shape[1], 0)))
        assert register(wall, beside) is None


def jitter(transforms: list[Transform], points: NDArray[np.float64]) -> float:
    """RMS motion of the face from frame to frame under the transforms, crop px."""
    return rms(np.diff([alignment.apply(transform, points) for transform in transforms], axis=0))


def recorded(picture: NDArray[np.uint8], noise: float, n_frames: int) -> list[NDArray[np.uint8]]:
    """A still scene: ``n_frames`` of the same picture, each with its own sensor noise."""
    rng = np.random.default_rng(0)
    grain = (noise * rng.standard_normal((*picture.shape[:2], 1)) for _ in range(n_frames))
    return [np.clip(np.rint(picture + one), 0, 255).astype(np.uint8) for one in grain]


class TestStillFace:
    """A still face stays still: < 0.02 px per frame. Aligning each frame by its landmarks scores 0.1 and more."""

    @staticmethod
    def scores(frames: list[NDArray[np.uint8]], landmarker: DlibLandmarker) -> tuple[float, float]:
        box = landmarker.detect(frames[0])[0]
        points = np.stack([landmarker.landmarks(frame, box) for frame in frames])
        typical = np.median(points, axis=0)
        register, base = registration(frames[0], typical)
        held = [base]
        for frame in frames[1:]:
            held.append(followed := register(frame, held[-1]))
            assert followed is not None
        each = [alignment.clip_transform(one[None], SIZE) for one in points]
        return jitter(held, skull(typical)), jitter(each, skull(typical))

    def test_drawn(self, sitter: Sitter) -> None:
        ours, by_landmarks = self.scores(recorded(sitter.shoot(), 1.2, 10), DlibLandmarker())
        assert ours < 0.02 < 0.1 < by_landmarks

    def test_real(self, real_clips: Path) -> None:
        picture = next(VideoFile(real_clips / "pyfeat" / "single_face.mp4").read())
        ours, by_landmarks = self.scores(recorded(picture, 1.2, 10), DlibLandmarker())
        assert ours < 0.02 < 0.1 < by_landmarks
