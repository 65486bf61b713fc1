"""Deep pictures, stacks of pages, and folders whose pictures are no sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from preprocessing.datasets import videos, with_bit_depth
from preprocessing.errors import ClipRejectedError
from preprocessing.video import FrameReport, ImageSequence, PageStack, Unreadable, image_sequence

Write = Callable[..., Path]


def deep(bits: int, n: int = 4) -> list[NDArray[np.uint16]]:
    """Grey ramps up to 90 % of what the bits hold, the first frame darker than half of that."""
    top = int(0.9 * (2**bits - 1))
    ramps = [np.tile(np.linspace(0, top, 300).astype(np.uint16), (40, 1)) for _ in range(n)]
    ramps[0] = (ramps[0] * 0.4).astype(np.uint16)
    return ramps


class TestDepth:
    @pytest.mark.parametrize("bits", [10, 12, 13, 14, 16])
    @pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
    def test_grey_levels_are_those_of_the_depth_of_the_whole_clip(
        self, tmp_path: Path, write_frames: Write, bits: int, suffix: str
    ) -> None:
        """Divided by 256, ten bits leave four grey levels; by its own depth, the dark frame would be brightened."""
        source = image_sequence(write_frames(tmp_path, deep(bits), f"img{{}}.{suffix}"))
        report = FrameReport()
        frames = list(source.read(report=report))
        assert report.bit_depth == bits
        assert [int(frame.max()) for frame in frames] == [92, 230, 230, 230]
        assert len(np.unique(frames[1])) > 200

    def test_a_part_of_a_recording_is_scaled_as_the_whole(self, tmp_path: Path, write_frames: Write) -> None:
        source = image_sequence(write_frames(tmp_path, deep(12)))
        np.testing.assert_array_equal(next(source.read(0, 1)), next(source.read()))
        before = source.digest(0, 1)
        cv2.imwrite(str(tmp_path / "img4.png"), np.full((40, 300), 16000, np.uint16))
        assert source.digest(0, 1) != before, "its grey levels are others now"

    def test_a_given_depth_is_believed(self, tmp_path: Path, write_frames: Write) -> None:
        """A dark clip of a camera of 12 bits looks like one of 10."""
        folder = write_frames(tmp_path, deep(10))
        (clip,) = with_bit_depth(videos.load(folder), 12)
        found = list(clip.frames.read())
        assert int(found[1].max()) == 57
        assert clip.frames.digest() != image_sequence(folder).digest()

    def test_colours_of_deep_pictures_are_red_green_blue(self, tmp_path: Path) -> None:
        """Asked for RGB itself, OpenCV 5.0 hands out old memory for such TIFF files."""
        for suffix in ("png", "tif"):
            (tmp_path / suffix).mkdir()
            picture = np.zeros((8, 8, 3), np.uint16)
            picture[...] = 1000, 20000, 60000  # blue, green, red
            cv2.imwrite(str(tmp_path / suffix / f"1.{suffix}"), picture)
            (frame,) = image_sequence(tmp_path / suffix).read()
            assert frame[4, 4].tolist() == [234, 78, 3]

    def test_a_change_of_depth_is_named(self, tmp_path: Path, write_frames: Write) -> None:
        write_frames(tmp_path, deep(12))
        cv2.imwrite(str(tmp_path / "img5.png"), np.zeros((40, 300), np.uint8))
        with pytest.raises(ClipRejectedError, match=r"img5\.png has 8 bits a sample, the first 16") as caught:
            list(image_sequence(tmp_path).read())
        assert caught.value.code == "depth_change"


class TestPages:
    @pytest.mark.parametrize("n", [3, 40])
    def test_pages_of_a_tiff_file_are_frames(self, tmp_path: Path, n: int) -> None:
        pages = [np.full((20, 30, 3), 5 * t, np.uint8) for t in range(n)]
        cv2.imwritemulti(str(tmp_path / "rec.tif"), pages)
        (clip,) = videos.load(tmp_path)
        assert isinstance(clip.frames, PageStack)
        assert [int(frame.mean()) for frame in clip.frames.read()] == [5 * t for t in range(n)]
        assert [int(frame.mean()) for frame in clip.frames.read(1, 3)] == [5, 10]
        assert clip.frames.declared() == n
        with pytest.raises(ClipRejectedError, match=f"rec.tif has {n} pages"):
            list(clip.frames.read(0, n + 1))

    def test_pictures_of_an_animated_webp_are_frames(self, tmp_path: Path) -> None:
        """From the middle of one, OpenCV hands out its beginning."""
        pictures = [Image.fromarray(np.full((20, 30, 3), 10 * t, np.uint8)) for t in range(20)]
        pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
        (clip,) = videos.load(tmp_path)
        assert [int(frame.mean()) for frame in clip.frames.read()] == [10 * t for t in range(20)]
        assert [int(frame.mean()) for frame in clip.frames.read(17, 19)] == [170, 180]

    def test_a_stack_among_pictures_is_a_clip_beside_them(self, tmp_path: Path, write_frames: Write) -> None:
        write_frames(tmp_path, [np.zeros((20, 30, 3), np.uint8)] * 3, "img{}.tif")
        cv2.imwritemulti(str(tmp_path / "img9.tif"), [np.zeros((20, 30, 3), np.uint8)] * 4)
        assert sorted(clip.frames.declared() or 0 for clip in videos.load(tmp_path)) == [3, 4]
        with pytest.raises(ClipRejectedError, match=r"img9\.tif holds several pages"):
            list(ImageSequence((tmp_path / "img9.tif",)).read())


class TestFolders:
    def test_pictures_without_numbers_are_named(self, tmp_path: Path) -> None:
        for name in ("anna", "bea"):
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8), np.uint8))
        (clip,) = videos.load(tmp_path)
        assert isinstance(clip.frames, Unreadable)
        with pytest.raises(ClipRejectedError, match=r"2 pictures without a frame number, such as anna.png"):
            clip.frames.read()

    def test_those_beside_numbered_ones_are_counted(self, tmp_path: Path, write_frames: Write) -> None:
        write_frames(tmp_path, [np.zeros((8, 8, 3), np.uint8)] * 3)
        cv2.imwrite(str(tmp_path / "cover.png"), np.zeros((8, 8), np.uint8))
        report = FrameReport()
        assert len(list(image_sequence(tmp_path).read(report=report))) == 3
        assert report.unnumbered == 1

    def test_pictures_of_a_format_that_is_not_read_are_named(self, tmp_path: Path) -> None:
        for number in range(3):
            (tmp_path / f"IMG_{number}.HEIC").write_bytes(b"not looked at")
        with pytest.raises(ClipRejectedError, match=r"3 pictures of a format that is not read, such as IMG_0.HEIC"):
            image_sequence(tmp_path).read()

    @pytest.mark.parametrize("suffix", ["pgm", "ppm", "webp", "jp2", "bmp"])
    def test_less_common_formats_are_frames(self, tmp_path: Path, write_frames: Write, suffix: str) -> None:
        frames = [np.full((64, 64) if suffix == "pgm" else (64, 64, 3), 90, np.uint8)] * 3
        assert len(list(image_sequence(write_frames(tmp_path, frames, f"img{{}}.{suffix}")).read())) == 3

    def test_gaps_in_the_numbers_are_counted(self, tmp_path: Path) -> None:
        for number in (1, 2, 3, 9, 10, 11):
            cv2.imwrite(str(tmp_path / f"img{number}.png"), np.zeros((8, 8), np.uint8))
        report = FrameReport()
        list(image_sequence(tmp_path).read(report=report))
        assert report.gaps == 1


def test_a_header_that_promises_millions_of_columns_is_a_broken_frame(tmp_path: Path) -> None:
    """OpenCV raises an error of its own, which nobody could act on."""
    for number in (1, 2, 3):
        (tmp_path / f"img{number}.pgm").write_bytes(b"P5\n99999999 1\n255\n\0\0")
    with pytest.raises(ClipRejectedError, match="cannot be decoded as an image") as caught:
        list(image_sequence(tmp_path).read())
    assert caught.value.code == "broken_frame"
