from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError
from preprocessing.video import ImageSequence, Unreadable, VideoFile, frame_number, image_sequence, list_images

Write = Callable[..., Path]
LENGTH = 30


def numbered(t: int) -> NDArray[np.uint8]:
    """A frame whose number can be read back from it after any compression: five black or white bars."""
    frame = np.zeros((48, 80, 3), np.uint8)
    for bit in range(5):
        frame[:, 16 * bit : 16 * (bit + 1)] = 255 * (t >> bit & 1)
    return frame


def number_of(frame: NDArray[np.uint8]) -> int:
    return sum(int(frame[24, 16 * bit + 8].mean() > 128) << bit for bit in range(5))


@pytest.fixture(params=[("a.avi", "MJPG"), ("a.mp4", "mp4v")], ids=["avi", "mp4"])
def video(request: pytest.FixtureRequest, tmp_path: Path, write_video: Write) -> VideoFile:
    name, fourcc = request.param
    return VideoFile(write_video(tmp_path / name, map(numbered, range(LENGTH)), fourcc))


@pytest.fixture
def truncated(tmp_path: Path, write_video: Write) -> VideoFile:
    """The first 70 % of a file that announces 30 frames."""
    path = write_video(tmp_path / "cut.avi", map(numbered, range(LENGTH)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    return VideoFile(path)


def numbers(frames: Iterator[NDArray[np.uint8]]) -> list[int]:
    return [number_of(frame) for frame in frames]


class TestOrder:
    @pytest.mark.parametrize(
        ("name", "number"),
        [("img2", 2), ("img10", 10), ("reg_img46", 46), ("006_05562", 5562), ("sub01_EP02_img007", 7), ("cover", None)],
    )
    def test_the_last_run_of_digits_is_the_frame_number(self, name: str, number: int | None) -> None:
        assert frame_number(Path(f"s15/15_0101/{name}.jpg")) == number

    def test_ten_comes_after_two(self, tmp_path: Path) -> None:
        """As text, img10 stands before img2, and a clip of 12 frames would be shown 1 10 11 12 2 3 …"""
        for number in (10, 2, 1, 11, 12):
            (tmp_path / f"img{number}.jpg").touch()
        assert list(list_images(tmp_path)) == [1, 2, 10, 11, 12]

    @given(st.sets(st.integers(0, 10**6), max_size=12))
    def test_frames_are_in_order_of_their_numbers(self, wanted: set[int]) -> None:
        class Listing:
            def iterdir(self) -> list[Path]:
                return [Path(f"006_{number}.png") for number in wanted]

        assert list(list_images(Listing())) == sorted(wanted)  # type: ignore[arg-type]

    def test_what_is_no_frame_is_passed_over(self, tmp_path: Path) -> None:
        for name in ("img1.PNG", "img2.jpeg", ".img3.png", "._img4.png", "Thumbs.db", "notes1.txt", "cover.png"):
            (tmp_path / name).touch()
        assert [path.name for path in list_images(tmp_path).values()] == ["img1.PNG", "img2.jpeg"]

    def test_one_number_twice_is_rejected(self, tmp_path: Path) -> None:
        for name in ("img1.png", "img01.png"):
            (tmp_path / name).touch()
        source = image_sequence(tmp_path)
        assert isinstance(source, Unreadable)
        with pytest.raises(ClipRejectedError, match=r"img01.png and img1.png are both frame 1") as caught:
            source.read()
        assert caught.value.code == "duplicate_frame"

    def test_a_folder_that_cannot_be_listed_is_rejected_when_read(self, tmp_path: Path) -> None:
        source = image_sequence(tmp_path / "gone")
        assert source.declared() is None
        for use in (source.read, source.digest):
            with pytest.raises(ClipRejectedError, match="gone cannot be listed"):
                use()


class TestImages:
    def test_a_span_is_read_in_order_and_only_then(self, tmp_path: Path, write_frames: Write) -> None:
        source = image_sequence(write_frames(tmp_path, map(numbered, range(12))))
        assert source.declared() == 12
        assert numbers(source.read()) == list(range(12))
        assert numbers(source.read(3, 7)) == [3, 4, 5, 6]
        assert numbers(source.read(9)) == [9, 10, 11]
        assert numbers(source.read(12)) == []

    def test_channels_are_red_green_blue(self, tmp_path: Path) -> None:
        bgr = np.zeros((8, 8, 3), np.uint8)
        bgr[..., 2] = 200  # red, as OpenCV writes it
        cv2.imwrite(str(tmp_path / "1.png"), bgr)
        assert next(image_sequence(tmp_path).read())[4, 4].tolist() == [200, 0, 0]

    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize("depth", [np.uint8, np.uint16])
    def test_every_kind_of_image_becomes_rgb(self, tmp_path: Path, channels: int, depth: Any) -> None:
        """SAMM is grey, some tools write 16 bits or transparency."""
        top = int(np.iinfo(depth).max)
        picture = np.full((8, 9, channels), top // 2, depth)
        cv2.imwrite(str(tmp_path / "1.png"), picture.squeeze())
        (frame,) = image_sequence(tmp_path).read()
        assert (frame.shape, frame.dtype) == ((8, 9, 3), np.uint8)
        assert np.all(frame == 127)

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
    @pytest.mark.parametrize("share", [0.0, 0.4, 0.95])
    def test_a_broken_image_is_named(self, tmp_path: Path, write_frames: Write, suffix: str, share: float) -> None:
        """A JPEG that is cut off must not come back half grey, and an empty file must not end in a traceback."""
        noise = np.random.default_rng(0).integers(0, 255, (4, 40, 40, 3), np.uint8)
        write_frames(tmp_path, noise, f"img{{}}.{suffix}")
        broken = tmp_path / f"img3.{suffix}"
        broken.write_bytes(broken.read_bytes()[: int(broken.stat().st_size * share)])
        frames = image_sequence(tmp_path).read()
        next(frames), next(frames)
        with pytest.raises(ClipRejectedError, match=f"img3.{suffix} cannot be decoded") as caught:
            next(frames)
        assert caught.value.code == "broken_frame"

    def test_a_size_change_is_rejected(self, tmp_path: Path, write_frames: Write) -> None:
        frames = [np.zeros((20, 30, 3), np.uint8), np.zeros((21, 30, 3), np.uint8)]
        with pytest.raises(ClipRejectedError, match=r"img2.png is 30x21, the frames before it 30x20") as caught:
            list(image_sequence(write_frames(tmp_path, frames)).read())
        assert caught.value.code == "size_change"

    def test_missing_frames_are_rejected(self, tmp_path: Path, write_frames: Write) -> None:
        source = image_sequence(write_frames(tmp_path, map(numbered, range(5))))
        for use in (lambda: list(source.read(0, 8)), lambda: source.digest(0, 8)):
            with pytest.raises(ClipRejectedError, match="frames up to 7 are wanted, the folder has 5") as caught:
                use()
            assert caught.value.code == "missing_frames"

    def test_a_file_that_went_away_is_missing(self, tmp_path: Path, write_frames: Write) -> None:
        source = image_sequence(write_frames(tmp_path, map(numbered, range(3))))
        (tmp_path / "img2.png").unlink()
        for use in (lambda: list(source.read()), source.digest):
            with pytest.raises(ClipRejectedError, match=r"img2.png cannot be read") as caught:
                use()
            assert caught.value.code == "missing_frames"

    def test_an_empty_sequence_has_no_frames(self) -> None:
        assert list(ImageSequence(()).read()) == []
        assert ImageSequence(()).name == "an empty image sequence"


class TestVideos:
    def test_frames_stream_with_their_exact_numbers(self, video: VideoFile) -> None:
        """Seeking by frame number, the usual way to start late, is off by some frames in many files."""
        assert numbers(video.read()) == list(range(LENGTH))
        assert numbers(video.read(11, 17)) == list(range(11, 17))
        assert numbers(video.read(28)) == [28, 29]
        assert numbers(video.read(0, LENGTH)) == list(range(LENGTH))
        assert (video.declared(), video.fps()) == (LENGTH, 25)

    def test_channels_are_red_green_blue(self, tmp_path: Path, write_video: Write) -> None:
        red = np.zeros((48, 80, 3), np.uint8)
        red[..., 0] = 220
        frame = next(VideoFile(write_video(tmp_path / "red.avi", [red] * 3)).read())
        assert frame[24, 40, 0] > 150 > 60 > frame[24, 40, 1:].max()

    def test_more_than_there_is_is_missing(self, video: VideoFile) -> None:
        with pytest.raises(ClipRejectedError, match="decodes to 30") as caught:
            list(video.read(0, LENGTH + 1))
        assert caught.value.code == "missing_frames"

    def test_a_truncated_video_yields_what_decodes(self, truncated: VideoFile) -> None:
        """The header still announces 30 frames; believing it would invent the rest."""
        decoded = numbers(truncated.read())
        assert decoded == list(range(len(decoded)))
        assert 3 < len(decoded) < LENGTH == truncated.declared()
        with pytest.raises(ClipRejectedError, match=f"decodes to {len(decoded)}"):
            list(truncated.read(0, LENGTH))

    @pytest.mark.parametrize("content", [b"", b"These are notes, no pictures.\n" * 40, b"<html></html>", bytes(5000)])
    def test_what_only_calls_itself_a_video_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "notes.mp4"
        path.write_bytes(content)
        source = VideoFile(path)
        for use in (lambda: list(source.read()), source.declared, source.fps):
            with pytest.raises(ClipRejectedError, match=r"notes.mp4 cannot be opened as a video") as caught:
                use()
            assert caught.value.code == "broken_video"

    def test_a_video_without_its_index_is_refused(self, tmp_path: Path, write_video: Write) -> None:
        """An interrupted recording: an MP4 file without the table that its end should hold."""
        path = write_video(tmp_path / "a.mp4", map(numbered, range(LENGTH)), "mp4v")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ClipRejectedError, match="cannot be opened as a video"):
            list(VideoFile(path).read())

    def test_a_video_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        source = VideoFile(tmp_path / "gone.mp4")
        for use in (lambda: list(source.read()), source.digest):
            with pytest.raises(ClipRejectedError, match=r"gone.mp4 cannot be") as caught:
                use()
            assert caught.value.code == "broken_video"

    def test_a_reader_that_stops_early_lets_the_file_go(self, video: VideoFile) -> None:
        frames = video.read()
        next(frames)
        frames.close()  # type: ignore[attr-defined]
        assert numbers(video.read(0, 2)) == [0, 1]


class TestDigest:
    def test_it_follows_the_content_and_not_the_time(self, video: VideoFile) -> None:
        before = video.digest()
        os.utime(video.path, (1, 1))
        assert video.digest() == before
        data = bytearray(video.path.read_bytes())
        data[len(data) // 2] ^= 1
        video.path.write_bytes(data)
        assert video.digest() != before

    def test_it_covers_exactly_the_frames_of_the_clip(self, tmp_path: Path, write_frames: Write) -> None:
        source = image_sequence(write_frames(tmp_path, map(numbered, range(6))))
        inside, whole = source.digest(2, 5), source.digest()
        os.utime(tmp_path / "img4.png", (1, 1))
        assert source.digest(2, 5) == inside
        (tmp_path / "img1.png").write_bytes((tmp_path / "img2.png").read_bytes())
        assert (source.digest(2, 5) == inside, source.digest() == whole) == (True, False)
        (tmp_path / "img4.png").write_bytes((tmp_path / "img2.png").read_bytes())
        assert source.digest(2, 5) != inside

    def test_moving_a_frame_border_changes_it(self, tmp_path: Path) -> None:
        """The same bytes, cut into files elsewhere, are other frames."""
        for folder, parts in (("a", (b"ab", b"c")), ("b", (b"a", b"bc"))):
            (tmp_path / folder).mkdir()
            for number, part in enumerate(parts):
                (tmp_path / folder / f"{number}.png").write_bytes(part)
        assert image_sequence(tmp_path / "a").digest() != image_sequence(tmp_path / "b").digest()


class TestPhones:
    """What cameras in pockets write, made by ffmpeg from frames with a bright left edge."""

    @pytest.fixture
    def upright(self, tmp_path: Path, write_frames: Write) -> Path:
        frames = np.full((60, 64, 96, 3), 60, np.uint8)
        frames[:, :, :32] = 220
        return write_frames(tmp_path / "frames", frames) / "img%d.png"

    @pytest.mark.parametrize(("degrees", "size", "bright"), [(90, (96, 64), "bottom"), (180, (64, 96), "right")])
    def test_a_recording_is_turned_as_its_rotation_says(
        self,
        tmp_path: Path,
        upright: Path,
        ffmpeg: Callable[..., None],
        degrees: int,
        size: tuple[int, int],
        bright: str,
    ) -> None:
        plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
        ffmpeg("-i", upright, "-c:v", "libx264", "-pix_fmt", "yuv420p", plain)
        ffmpeg("-display_rotation", degrees, "-i", plain, "-c", "copy", turned)
        frame = next(VideoFile(turned).read()).astype(float).mean(axis=2)
        assert frame.shape == size
        height, width = frame.shape
        edges = {
            "top": frame[: height // 4],
            "bottom": frame[-height // 4 :],
            "left": frame[:, : width // 4],
            "right": frame[:, -width // 4 :],
        }
        assert max(edges, key=lambda name: float(edges[name].mean())) == bright

    def test_a_varying_rate_keeps_every_frame_and_gives_the_mean_rate(
        self, tmp_path: Path, upright: Path, ffmpeg: Callable[..., None]
    ) -> None:
        """One second at 30 frames per second, then three at 10: 60 frames over 4 seconds, neither 30 nor 10."""
        path = tmp_path / "vfr.mp4"
        slower = "setpts='if(lt(N,30),N/30,1+(N-30)/10)/TB'"
        encode = ("-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p")
        ffmpeg("-framerate", 30, "-i", upright, "-vf", slower, *encode, path)
        source = VideoFile(path)
        assert sum(1 for _ in source.read()) == 60
        assert source.fps() == pytest.approx(15, rel=0.1)

    def test_sound_without_pictures_is_refused(self, tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
        path = tmp_path / "voice.mp4"
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)
        with pytest.raises(ClipRejectedError, match="holds no pictures") as caught:
            next(VideoFile(path).read())
        assert caught.value.code == "broken_video"


def test_inputs_are_only_read(tmp_path: Path, write_frames: Write, write_video: Write) -> None:
    folder = write_frames(tmp_path / "images", map(numbered, range(4)))
    path = write_video(tmp_path / "a.avi", map(numbered, range(4)))
    files = [*folder.iterdir(), path]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    for source in (image_sequence(folder), VideoFile(path)):
        list(source.read())
        source.digest()
        source.declared()
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    assert sorted(tmp_path.iterdir()) == sorted([folder, path])


def test_the_announced_length_of_a_real_clip_is_not_believed(real_clips: Path) -> None:
    """Its length times its rate would be 78; a Matroska file does not count its frames."""
    source = VideoFile(real_clips / "intel" / "asl_again.mkv")
    assert (source.declared(), sum(1 for _ in source.read())) == (None, 77)
