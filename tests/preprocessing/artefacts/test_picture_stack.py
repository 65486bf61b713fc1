"""Stacks of pictures as video: the same bytes back, in any order, and damage is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.artefacts.picture_stack import PictureReader, PictureWriter
from preprocessing.artefacts.stacks import CROPS, open_stack, read_stack, write_stack, writing_stack
from preprocessing.errors import ToolkitError


def drawn(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(8, 40), st.integers(8, 40), st.integers(0, 99))
def test_noise_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, n: int, height: int, width: int, seed: int
) -> None:
    path, pictures = tmp_path_factory.mktemp("stack") / CROPS, drawn(n, height, width, seed)
    write_stack(path, pictures)
    reader = open_stack(path)
    assert (reader.shape, reader.dtype, len(reader)) == (pictures.shape, np.uint8, n)
    np.testing.assert_array_equal(read_stack(path), pictures)
    for t in [*np.random.default_rng(seed).permutation(n), -1]:
        np.testing.assert_array_equal(reader[int(t)], pictures[t])


def test_equal_pictures_are_equal_bytes_and_smooth_ones_are_small(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    pictures = np.stack([np.stack([ramp, ramp // 2, ramp + t], axis=-1) for t in range(10)]).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_stack(tmp_path / name / CROPS, pictures)
    first, second = ((tmp_path / name / CROPS).read_bytes() for name in ("a", "b"))
    assert first == second
    assert len(first) < 0.4 * pictures.nbytes


def test_other_programs_see_the_same_pictures(tmp_path: Path) -> None:
    pictures = drawn(4, 64, 48)
    write_stack(tmp_path / CROPS, pictures)
    with av.open(str(tmp_path / CROPS)) as video:
        assert (video.streams.video[0].codec_context.name, video.streams.video[0].average_rate) == ("ffv1", 25)
    try:
        import imageio_ffmpeg  # a whole FFmpeg of its own, as users have it
    except ImportError:
        pytest.skip("imageio-ffmpeg is not installed")
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / CROPS), "-f", "rawvideo"]
    raw = subprocess.run([*words, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    np.testing.assert_array_equal(np.frombuffer(raw, np.uint8).reshape(pictures.shape), pictures)


@pytest.mark.parametrize("keep", [0, 10, 500, 0.5, 0.99])
def test_a_file_that_ends_too_early_is_told(tmp_path: Path, keep: float) -> None:
    path = tmp_path / CROPS
    write_stack(path, drawn(5, 32, 32))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 or not keep else keep * len(data))])
    with pytest.raises(ToolkitError, match=r"crops\.mkv is no whole stack of pictures"):
        read_stack(path)


def test_an_interrupted_stack_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing_stack(tmp_path / CROPS, (16, 16, 3), np.uint8) as file:
        file.append(drawn(1, 16, 16)[0])
        raise KeyboardInterrupt
    with pytest.raises(ToolkitError):
        PictureReader(tmp_path / CROPS)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes pictures"):
        writing_stack(tmp_path / CROPS, (16, 16, 2), np.float16)
    with PictureWriter(tmp_path / CROPS, 16, 16) as file:
        with pytest.raises(ValueError, match="wanted"):
            file.append(np.zeros((16, 17, 3), np.uint8))
        file.append(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(IndexError):
        open_stack(tmp_path / CROPS)[1]
