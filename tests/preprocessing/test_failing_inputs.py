"""Recordings that went wrong once, each with what is right: the pictures, or a row with the true reason."""

from __future__ import annotations

import tarfile
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.spotting.motion_curve import find_candidates
from preprocessing.clips import Clip
from preprocessing.datasets import videos
from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.soundness import sound_frames
from preprocessing.video import FrameReport

HERE = Path(__file__).resolve().parent
ENOUGH = 2.0  # grey levels at 64 px after re-encoding; the mirrored face differs by 30, a stretched one by 10


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of inputs beside the repository, with its archives unpacked; skipped where there is none."""
    folder = HERE.parents[2] / "shared" / "failing_inputs"
    if not folder.is_dir():
        pytest.skip("needs the recordings in ../shared/failing_inputs")
    out = tmp_path_factory.mktemp("inputs")
    for path in sorted(folder.iterdir()):
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                archive.extractall(out, filter="data")
        else:
            (out / path.name).symlink_to(path)
    return out


def clips_of(path: Path) -> list[Clip]:
    return videos.load(path)


def frames_of(path: Path) -> tuple[list[NDArray[np.uint8]], FrameReport]:
    """The frames that a clip is made of, as the offline stages read them."""
    (clip,) = clips_of(path)
    report = FrameReport()
    return list(sound_frames(clip.frames.read(report=report), report)), report


def small(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    return cv2.cvtColor(cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(float)


@pytest.fixture(scope="module")
def plain(inputs: Path) -> list[NDArray[np.float64]]:
    """The thirty frames that all were made from, from a file that was never read wrong."""
    return [small(frame) for frame in frames_of(inputs / "thumbnail_track_first.mkv")[0]]


def distances(frames: list[NDArray[np.uint8]], plain: list[NDArray[np.float64]]) -> list[float]:
    return [float(np.abs(small(frame) - other).mean()) for frame, other in zip(frames, plain, strict=True)]


class TestPictures:
    @pytest.mark.parametrize(
        ("name", "size"),
        [
            ("av1.mp4", (320, 320)),
            ("camcorder.mts", (320, 320)),
            ("display_matrix_hflip.mp4", (320, 320)),
            ("display_matrix_vflip.mov", (320, 320)),
            ("display_matrix_rot90_and_flip.mp4", (320, 320)),
            ("pixel_aspect_4_3.mp4", (320, 320)),
            ("interlaced_flag_from_frame_10.mpg", (320, 320)),
            ("paused_60s.mkv", (240, 240)),
        ],
    )
    def test_every_frame_is_shown_as_a_player_shows_it(
        self, inputs: Path, plain: list[NDArray[np.float64]], name: str, size: tuple[int, int]
    ) -> None:
        frames, _ = frames_of(inputs / name)
        assert {frame.shape[:2] for frame in frames} == {size}
        assert max(distances(frames, plain)) < ENOUGH

    @pytest.mark.parametrize(
        ("name", "count"), [("interlaced_h264.mp4", 15), ("interlaced_flag_from_frame_10.mpg", 20)]
    )
    def test_interlaced_frames_are_counted(self, inputs: Path, name: str, count: int) -> None:
        frames, report = frames_of(inputs / name)
        assert report.deinterlaced == count
        assert len({frame.tobytes() for frame in frames}) == len(frames), "no frame is the memory of another"

    def test_a_blank_first_frame_is_left_out_and_counted(self, inputs: Path, plain: list[NDArray[np.float64]]) -> None:
        frames, report = frames_of(inputs / "first_frame_black.mp4")
        assert (report.blank_start, len(frames)) == (1, 29)
        assert max(distances(frames, plain[1:])) < ENOUGH

    def test_frames_named_by_time_are_in_the_order_of_time(self, inputs: Path) -> None:
        """By their last number the second second came first, and the largest change from frame to frame doubled."""
        frames, _ = frames_of(inputs / "named_by_time")
        steps = [float(np.abs(small(a) - small(b)).mean()) for a, b in pairwise(frames)]
        jumbled = [*frames[10:], *frames[:10]]
        worst = max(float(np.abs(small(a) - small(b)).mean()) for a, b in pairwise(jumbled))
        assert 2 * max(steps) < worst

    def test_deep_pictures_keep_their_grey_levels(self, inputs: Path) -> None:
        """Divided by 256 there were 30 levels of 240."""
        frames, report = frames_of(inputs / "grey_13_bit_in_16")
        assert report.bit_depth == 13
        assert len(np.unique(frames[0])) > 200

    def test_pages_are_frames_and_each_stack_a_clip(self, inputs: Path) -> None:
        clips = clips_of(inputs / "four_tiff_stacks")
        assert [Path(clip.frames.name).name for clip in clips] == [f"rec0{i}.tif" for i in (1, 2, 3, 4)]
        pages = [list(clip.frames.read()) for clip in clips]
        assert {len(frames) for frames in pages} == {3}
        first, *others = [frame for frames in pages for frame in frames]
        assert all(np.abs(first.astype(int) - other).mean() > 0.1 for other in others), "not one page again and again"


class TestReasons:
    @pytest.mark.parametrize(
        ("name", "code", "reason"),
        [
            ("one_black_frame_inside.mp4", "broken_frame", "frame 7 is of one colour"),
            ("one_half_grey_frame", "broken_frame", "frame 5 lacks its lower part"),
            ("size_changes_at_15.webm", "size_change", "frame 15 of size_changes_at_15.webm is 480x320"),
        ],
    )
    def test_what_cannot_be_used_says_why(self, inputs: Path, name: str, code: str, reason: str) -> None:
        with pytest.raises(ClipRejectedError, match=reason) as caught:
            frames_of(inputs / name)
        assert caught.value.code == code


class TestRatesAndCounts:
    @pytest.mark.parametrize(
        ("name", "rate"),
        [
            ("webcam_live_no_duration.webm", 29.6),
            ("webcam_no_default_duration.webm", 29.6),
            ("paused_60s.mkv", 30),
            ("timestamp_jump.mpg", 25),
            ("three_packets_lost.mp4", 30),
            ("trimmed_by_edit_list.mp4", 30),
        ],
    )
    def test_the_rate_is_that_of_the_times(self, inputs: Path, name: str, rate: float) -> None:
        """The header says 1000 for the webcam, and 1830 or 90013 frames in place of 30 and 54."""
        (clip,) = clips_of(inputs / name)
        assert clip.fps == pytest.approx(rate, abs=0.1)

    @pytest.mark.parametrize(("name", "count"), [("trimmed_by_edit_list.mp4", 28), ("paused_60s.mkv", None)])
    def test_hidden_frames_are_not_announced(self, inputs: Path, name: str, count: int | None) -> None:
        frames, report = frames_of(inputs / name)
        assert report.declared == count
        assert len(frames) == (count or 30)

    @pytest.mark.parametrize("name", ["gap_in_numbers", "three_packets_lost.mp4", "paused_60s.mkv"])
    def test_a_gap_is_counted(self, inputs: Path, name: str) -> None:
        assert frames_of(inputs / name)[1].gaps == 1

    def test_noise_beside_a_gap_is_no_candidate(self, inputs: Path) -> None:
        assert find_candidates(np.load(inputs / "spot_curve_noise_with_gap.npy"), 30) == ([], 0)
