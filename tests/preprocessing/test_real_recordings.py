"""Real recordings of people through face and alignment: good ones pass, broken ones are rejected for what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError
from preprocessing.faces.landmarks import DlibLandmarker
from preprocessing.pipeline import FaceSettings, align_clip
from preprocessing.video import Frame, FrameReport, VideoFile


class Given:
    """Frames as a source."""

    name = "given frames"

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        yield from self.frames[start:stop]

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        return ""

    def declared(self) -> int | None:
        return len(self.frames)


@pytest.fixture(scope="module")
def landmarker() -> DlibLandmarker:
    return DlibLandmarker()


def code(frames: list[Frame], landmarker: DlibLandmarker, out: Path) -> str:
    """Code of the rejection, or "ok"."""
    try:
        align_clip(Clip("d/s/c", "d/s", Given(frames)), landmarker, FaceSettings(), out)
    except ClipRejectedError as error:
        return error.code
    return "ok"


def frames_of(path: Path, start: int = 0, stop: int | None = None) -> list[Frame]:
    return list(VideoFile(path).read(start, stop))


GRID = ("bbaf2n", "brbk7n", "id2_vcd_swwp2s", "lbax4n", "lbbc2a", "pwij3p")


def test_two_people_joined(real_clips: Path, landmarker: DlibLandmarker, tmp_path: Path) -> None:
    """They sit before the same wall and look alike to the detector: joins like this one were usable clips."""
    one, other = (frames_of(real_clips / "grid" / f"{name}.mpg", 0, 20) for name in ("brbk7n", "pwij3p"))
    assert code(one + other, landmarker, tmp_path) == "shot_cut"


@pytest.mark.slow
class TestAll:
    @pytest.mark.parametrize("name", GRID)
    def test_talkers(self, real_clips: Path, landmarker: DlibLandmarker, tmp_path: Path, name: str) -> None:
        """The same frames are usable as they are, and not with a mirrored half or with one bright frame."""
        frames = frames_of(real_clips / "grid" / f"{name}.mpg")
        assert code(frames, landmarker, tmp_path) == "ok"
        mirrored = [np.ascontiguousarray(f[:, ::-1]) if t >= 30 else f for t, f in enumerate(frames[:60])]
        assert code(mirrored, landmarker, tmp_path) == "shot_cut"
        bright = [128 + f // 2 if t == 30 else f for t, f in enumerate(frames[:60])]
        assert code(bright, landmarker, tmp_path) == "shot_cut"

    def test_joins(self, real_clips: Path, landmarker: DlibLandmarker, tmp_path: Path) -> None:
        clips = [frames_of(real_clips / "grid" / f"{name}.mpg", 0, 20) for name in GRID if name != "pwij3p"]
        for one in clips:
            for other in (c for c in clips if c is not one):
                joined = one + [cv2.resize(f, one[0].shape[1::-1]) for f in other]
                assert code(joined, landmarker, tmp_path) == "shot_cut"

    @pytest.mark.parametrize(
        ("name", "start", "stop", "expected"),
        [
            ("pyfeat/single_face.mp4", 0, 72, {"ok"}),
            ("intel/head-pose-face-detection-male.gif", 0, 62, {"ok"}),
            ("intel/asl_book.mkv", 0, 109, {"ok"}),
            ("pyfeat/WolfgangLanger_Pexels.mp4", 180, 240, {"ok"}),  # a hand goes away from before the mouth
            ("pyfeat/WolfgangLanger_Pexels.mp4", 300, 360, {"ok"}),  # laughter
            ("pyfeat/WolfgangLanger_Pexels.mp4", 120, 180, {"misaligned"}),  # a hand before half of the face moves
            (
                "pyfeat/WolfgangLanger_Pexels.mp4",
                390,
                450,
                {"misaligned"},
            ),  # placed askew
            ("pyfeat/WolfgangLanger_Pexels.mp4", 420, 472, {"face_lost", "misaligned"}),  # tilts away
            ("intel/head-pose-face-detection-female.gif", 0, 23, {"head_turned", "misaligned", "not_followed"}),
            ("intel/head-pose-face-detection-female-and-male.gif", 0, 56, {"misaligned"}),  # from the side
            ("intel/asl_again.mkv", 0, 77, {"head_turned"}),  # bows and looks up
        ],
    )
    def test_others(
        self,
        real_clips: Path,
        landmarker: DlibLandmarker,
        tmp_path: Path,
        name: str,
        start: int,
        stop: int,
        expected: set[str],
    ) -> None:
        """Looked at one by one. By place and size of the box alone all but the female were ok."""
        assert code(frames_of(real_clips / name, start, stop), landmarker, tmp_path) in expected
