from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dynamic_images.spotting import candidates as candidates_module
from dynamic_images.spotting.candidates import propose
from dynamic_images.spotting.motion_curve import SpotSettings, find_candidates, motion_curve
from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError
from preprocessing.faces.landmarks import Box, GivenLandmarker, Points
from preprocessing.video import Frame, FrameReport, ImageSequence, image_sequence

FPS = 25.0


@dataclass(frozen=True)
class Acted:
    """A face that pulls a mouth corner up by 1.5 px and lets go, at known times, in front of a moving camera."""

    face: NDArray[np.uint8]
    points: Points
    apexes: tuple[int, ...]
    length: int = 90
    drift: float = 0.0  # px per frame
    peak: float = 1.5

    name = "acted"

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        y, x = np.mgrid[: self.face.shape[0], : self.face.shape[1]].astype(np.float32)
        corner = self.points[54]
        bump = np.exp(-((x - corner[0]) ** 2 + (y - corner[1]) ** 2) / (2 * 14.0**2)).astype(np.float32)
        noise = np.random.default_rng(0)
        for t in range(self.length):
            height = sum(self.peak * max(0.0, 1 - abs(t - apex) / 5) for apex in self.apexes)
            moved = cv2.remap(
                self.face, x - self.drift * t, y + np.float32(height) * bump, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
            )
            frame = np.clip(moved + noise.normal(0, 1, moved.shape), 0, 255).astype(np.uint8)
            if t >= start and (stop is None or t < stop):
                yield frame

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        return f"{self.apexes}{self.length}{self.drift}{self.peak}"

    def declared(self) -> int | None:
        return self.length


@pytest.fixture
def acted(drawn_face: object) -> Callable[..., Acted]:
    return lambda *apexes, **more: Acted(drawn_face.picture, drawn_face.points, apexes, **more)  # type: ignore[attr-defined]


@pytest.fixture
def landmarker(drawn_face: object) -> GivenLandmarker:
    return GivenLandmarker([drawn_face.points])  # type: ignore[attr-defined]


class TestCurve:
    def test_what_comes_and_goes_stands_out_and_drift_does_not(
        self, acted: Callable[..., Acted], landmarker: GivenLandmarker
    ) -> None:
        """The picture moves 4 px from one to the other, the mouth corner 1.5 px."""
        curve, boxes = motion_curve(acted(25, 65, drift=0.1), FPS, landmarker)
        reach = SpotSettings().reach(FPS)
        assert len(curve) == len(boxes) == 90
        assert np.isnan(curve[:reach]).all() and np.isfinite(curve[reach:-reach]).all()
        found, left_out = find_candidates(curve, FPS)
        assert [abs(one.apex - truth) <= 2 for one, truth in zip(found, (25, 65), strict=True)] == [True, True]
        assert left_out == 0
        assert float(np.nanmedian(curve)) < 0.4 * min(one.prominence for one in found)

    def test_a_still_face_has_no_candidate(self, acted: Callable[..., Acted], landmarker: GivenLandmarker) -> None:
        curve, _ = motion_curve(acted(drift=0.1), FPS, landmarker)
        assert find_candidates(curve, FPS) == ([], 0)

    def test_high_rates_are_thinned_and_every_frame_keeps_a_value(
        self, acted: Callable[..., Acted], landmarker: GivenLandmarker
    ) -> None:
        """At 100 frames per second every other one is measured."""
        settings = SpotSettings(duration=0.3)
        assert (settings.reach(100), settings.step(100)) == (15, 2)
        looked: list[int] = []
        curve, boxes = motion_curve(acted(45), 100, landmarker, settings, looked.append)
        assert len(curve) == len(boxes) == 90 and looked == list(range(1, 91))
        assert np.isfinite(curve[20:70]).all()

    def test_without_a_face_nothing_is_measured(self, acted: Callable[..., Acted]) -> None:
        class Nobody:
            def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
                return []

            def landmarks(self, frame: Frame, box: Box) -> Points:
                raise AssertionError

        curve, boxes = motion_curve(acted(length=20), FPS, Nobody())
        assert np.isnan(curve).all() and np.isnan(boxes).all()
        assert find_candidates(curve, FPS) == ([], 0)

    def test_a_cut_is_no_movement(self, acted: Callable[..., Acted], landmarker: GivenLandmarker) -> None:
        @dataclass(frozen=True)
        class Cut(Acted):
            def read(
                self, start: int = 0, stop: int | None = None, report: FrameReport | None = None
            ) -> Iterator[Frame]:
                for t, frame in enumerate(super().read(start, stop)):
                    yield frame if t < 45 else np.ascontiguousarray(255 - frame)

        whole = acted()
        curve, _ = motion_curve(Cut(whole.face, whole.points, ()), FPS, landmarker)
        assert np.isnan(curve[45 - 5 : 45 + 5]).all(), "no frame is compared with one beyond the cut"
        assert find_candidates(curve, FPS)[0] == []


class TestPeaks:
    def curve(self, *peaks: tuple[int, float]) -> NDArray[np.float32]:
        t = np.arange(400)
        noise = np.random.default_rng(1).normal(0.3, 0.02, 400)
        return np.asarray(noise + sum(h * np.exp(-((t - at) ** 2) / 18) for at, h in peaks), np.float32)

    def test_intervals_lie_around_their_peaks(self) -> None:
        found, _ = find_candidates(self.curve((100, 1.0), (300, 0.6)), FPS)
        assert [(one.onset, one.offset) for one in found] == [(one.apex - 6, one.apex + 6) for one in found]
        assert np.allclose([one.apex for one in found], [100, 300], atol=1)
        assert found[0].prominence > found[1].prominence

    def test_the_strongest_are_kept_in_order_of_time_and_the_others_counted(self) -> None:
        curve = self.curve((50, 0.5), (150, 1.5), (250, 0.7), (350, 1.0))
        found, left_out = find_candidates(curve, FPS, SpotSettings(most=2))
        assert np.allclose([one.apex for one in found], [150, 350], atol=1)
        assert left_out == 2

    def test_noise_is_no_peak(self) -> None:
        """Its largest maximum would be one, were a peak judged by its height alone."""
        assert find_candidates(self.curve(), FPS) == ([], 0)

    def test_a_gap_makes_no_peak(self) -> None:
        curve = self.curve((100, 1.0))
        curve[200:230] = np.nan
        found, _ = find_candidates(curve, FPS)
        assert len(found) == 1

    @pytest.mark.parametrize("gaps", [[(200, 260)], [(100, 130), (300, 400)], [(0, 40), (560, 600)]])
    @pytest.mark.parametrize(("fps", "smooth"), [(100, 0), (100, 3), (30, 0)])
    def test_noise_with_gaps_makes_as_many_candidates_as_without(
        self, gaps: list[tuple[int, int]], fps: int, smooth: int
    ) -> None:
        """Gaps that are filled with the lowest value give a candidate in up to 40 of 100 curves more."""

        def share(gaps: list[tuple[int, int]]) -> float:
            found = 0
            for seed in range(100):
                noise = np.random.default_rng(seed).normal(0, 1, 600)
                noise = gaussian_filter1d(noise, smooth) * np.sqrt(2 * np.sqrt(np.pi) * smooth) if smooth else noise
                curve = 0.4 + 0.1 * noise
                for start, stop in gaps:
                    curve[start:stop] = np.nan
                found += bool(find_candidates(curve, fps)[0])
            return found / 100

        assert abs(share(gaps) - share([])) <= 0.05

    @pytest.mark.parametrize("bad", [{"duration": 0}, {"most": 0}, {"prominence": -1}, {"size": 50}])
    def test_settings_out_of_range(self, bad: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="spot: "):
            SpotSettings(**bad)  # type: ignore[arg-type]


class TestPropose:
    @pytest.fixture
    def video(self, acted: Callable[..., Acted]) -> Clip:
        return Clip("videos/anna/talk.mp4", "videos/anna", acted(18, 52, length=70), fps=FPS)

    def test_candidates_are_clips_with_the_frames_of_the_video(
        self, video: Clip, landmarker: GivenLandmarker, tmp_path: Path
    ) -> None:
        proposal = propose(video, tmp_path, landmarker)
        assert [clip.clip_id for clip in proposal.clips] == [
            f"videos/anna/talk.mp4+{one.onset}-{one.offset}" for one in proposal.found
        ]
        assert {clip.subject for clip in proposal.clips} == {"videos/anna"}
        for clip, one in zip(proposal.clips, proposal.found, strict=True):
            source = clip.frames
            assert isinstance(source, ImageSequence)
            assert [path.name for path in source.paths] == [f"img{t:06d}.png" for t in range(one.onset, one.offset + 1)]
            cut = list(source.read())
            whole = list(video.frames.read(one.onset, one.offset + 1))
            assert len(cut) == len(whole)
            _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(whole[3], cut[3], cv2.TM_SQDIFF))
            height, width = cut[3].shape[:2]
            np.testing.assert_array_equal(whole[3][y : y + height, x : x + width], cut[3])

    def test_a_second_call_reads_no_frame(
        self, video: Clip, landmarker: GivenLandmarker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = propose(video, tmp_path, landmarker)
        monkeypatch.setattr(Acted, "read", lambda *_: pytest.fail("decoded again"))
        again = propose(video, tmp_path, landmarker)
        assert again.found == first.found
        np.testing.assert_array_equal(again.curve, first.curve)

    def test_another_prominence_measures_nothing_again(
        self, video: Clip, landmarker: GivenLandmarker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        propose(video, tmp_path, landmarker)
        monkeypatch.setattr(candidates_module, "motion_curve", lambda *_: pytest.fail("measured again"))
        assert propose(video, tmp_path, landmarker, SpotSettings(least=50)).clips == ()

    def test_without_a_rate_it_says_so(self, video: Clip, landmarker: GivenLandmarker, tmp_path: Path) -> None:
        with pytest.raises(ClipRejectedError, match="add --fps") as caught:
            propose(replace(video, fps=None), tmp_path, landmarker)
        assert caught.value.code == "no_rate"

    def test_an_interrupted_cut_is_made_again(self, video: Clip, landmarker: GivenLandmarker, tmp_path: Path) -> None:
        first = propose(video, tmp_path, landmarker)
        source = first.clips[0].frames
        assert isinstance(source, ImageSequence)
        source.paths[2].unlink()
        propose(video, tmp_path, landmarker)
        assert image_sequence(source.paths[0].parent).declared() == len(source.paths)
