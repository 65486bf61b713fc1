from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.inspection.film_strip import COLUMNS, FRAMES, are_fresh, film_strip_key, write_film_strips
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.errors import ToolkitError

N_FRAMES, SIDE = FRAMES + 11, 32


@pytest.fixture
def long_clip(tmp_path: Path, store_clip: Callable[..., ClipFolder], make_clip: Callable[..., Any]) -> ClipFolder:
    folder = store_clip(tmp_path / "clip", make_clip(n_frames=N_FRAMES, size=SIDE))
    build_images(folder, ImageSettings(), "upstream", apex=5)
    return folder


def test_every_frame_is_in_its_cell(long_clip: ClipFolder, tmp_path: Path) -> None:
    write_film_strips(long_clip, tmp_path / "strips")
    strips = [np.asarray(Image.open(tmp_path / "strips" / f"{k}.jpg")) for k in (0, 1)]
    assert [s.shape for s in strips] == [(8 * SIDE, COLUMNS * SIDE, 3), (2 * SIDE, COLUMNS * SIDE, 3)]
    crops = long_clip.load("crops.mkv")
    for t in (0, 9, FRAMES - 1, FRAMES, N_FRAMES - 1):
        y, x = t % FRAMES // COLUMNS * SIDE, t % COLUMNS * SIDE
        cell = strips[t // FRAMES][y : y + SIDE, x : x + SIDE].astype(float)
        errors = [np.abs(cell - crop).mean() for crop in (crops[t], crops[(t + 30) % N_FRAMES])]
        assert errors[0] < 3 < 20 < np.abs(cell - 0).mean()  # black scores above 20
        assert errors[0] <= errors[1], "another frame does not fit better"
    assert strips[1][SIDE:, 3 * SIDE + 8 :].max() < 20, "cells after the last frame are black"


def test_strips_carry_their_key(long_clip: ClipFolder, tmp_path: Path) -> None:
    strips, key = tmp_path / "strips", film_strip_key(long_clip)
    assert not are_fresh(strips, N_FRAMES, key)
    write_film_strips(long_clip, strips)
    assert are_fresh(strips, N_FRAMES, key)
    assert not are_fresh(strips, N_FRAMES, "another key")
    assert not are_fresh(strips, 2 * FRAMES + 1, key), "a third strip is missing"
    (strips / "1.jpg").write_bytes(b"cut")
    assert not are_fresh(strips, N_FRAMES, key)
    assert sorted(path.name for path in strips.iterdir()) == ["0.jpg", "1.jpg"]


def test_a_clip_without_images_is_one_sentence(
    tmp_path: Path, store_clip: Callable[..., ClipFolder], make_clip: Callable[..., Any]
) -> None:
    with pytest.raises(ToolkitError, match="mer dataset"):
        write_film_strips(store_clip(tmp_path / "clip", make_clip()), tmp_path / "strips")
