"""How a video was encoded, read from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.recordings.coding import coding_of
from preprocessing.recordings.encoding import write_video


@pytest.fixture(name="frames", scope="module")
def drawn() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 180, (96, 128, 3))
    return [np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8) for _ in range(24)]


def test_keyframes_are_found_where_the_encoder_put_them(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> None:
    write_video(tmp_path / "a.mkv", frames, 25.0, "libx264", {"crf": "18", "g": "8", "bf": "0", "sc_threshold": "0"})
    found = coding_of(tmp_path / "a.mkv")
    assert found is not None
    assert (found.codec, found.frames, found.keyframes) == ("h264", 24, (0, 8, 16))
    assert found.kilobits == pytest.approx(found.bits_per_pixel * 96 * 128 * 25 / 1000, rel=0.1)
    assert "keyframes at 8, 16: a still face can twitch there" in found.remarks[0]


def test_strong_compression_is_warned_of_and_none_is_not(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> None:
    write_video(tmp_path / "strong.mkv", frames, 25.0, "libx264", {"crf": "45"})
    write_video(tmp_path / "none.mkv", frames, 25.0)
    strong, none = coding_of(tmp_path / "strong.mkv"), coding_of(tmp_path / "none.mkv")
    assert strong is not None and none is not None
    assert strong.bits_per_pixel < none.bits_per_pixel
    assert "can erase movements below a pixel" in strong.remarks[0]
    assert none.codec == "ffv1" and none.remarks == []


def test_what_is_no_video_has_no_coding(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert coding_of(tmp_path / "a.mp4") is None
