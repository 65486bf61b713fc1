"""Which pictures a data set has, as its manifest tells, and the words below them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.inspection.pictures import caption, pictures
from dynamic_images.precomputed import StreamSettings, build_streams
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.manifest import read_manifest, write_manifest
from preprocessing.datasets.streams import Source, StreamClip


@pytest.fixture
def framed(tmp_path: Path, clip_folder: ClipFolder, manifest_row: dict[str, Any]) -> pd.DataFrame:
    """The manifest of clips with frames."""
    row = manifest_row | build_images(clip_folder, ImageSettings(), "upstream", apex=5)
    write_manifest(
        tmp_path / "cache", [row, {"clip_id": "known/sub02/b", "subject": "known/sub02", "status": "rejected"}]
    )
    return read_manifest(tmp_path / "cache")


@pytest.fixture
def precomputed(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Two clips of precomputed images, with values up to ``end`` in stream b: their manifest."""

    def build(end: float) -> pd.DataFrame:
        clips = []
        for name, factor in (("c1", 1.0), ("c2", 0.1)):
            sources = []
            for stream, largest in (("a", 3.0), ("b", end)):
                path = tmp_path / f"{name}{stream}.npy"
                np.save(path, factor * largest * np.linspace(-1, 1, 300).reshape(10, 10, 3))
                sources.append(Source(path.name, path, None))
            clips.append(StreamClip(f"toy/s1/{name}", "toy/s1", "x", *sources, where="line 2"))
        build_streams(clips, tmp_path / "toy", StreamSettings())
        return read_manifest(tmp_path / "toy")

    return build


def test_clips_with_frames_have_two_dynamic_images_at_one_scale(framed: pd.DataFrame) -> None:
    assert pictures(framed) == {"temporal_ranked": "TRDI", "motion_intensity": "MIDI"}
    text = caption(framed)
    assert text.startswith("TRDI: Temporal-ranked dynamic image: the frames pooled in time order. MIDI: ")
    assert text.endswith("Mid-grey is 0; black and white are ±12 grey levels, for every clip.")
    assert text.count("±") == 1, "what is the same is told once"


def test_precomputed_images_have_the_scale_of_their_data_set(precomputed: Callable[..., pd.DataFrame]) -> None:
    table = precomputed(end=40.0)
    assert pictures(table) == {"stream_a": "stream a", "stream_b": "stream b"}
    text = caption(table)
    assert "±5 units of the file (stream a), ±50 units of the file (stream b)" in text
    assert "TRDI" not in text and "grey levels" not in text


def test_an_equal_scale_is_told_once(precomputed: Callable[..., pd.DataFrame]) -> None:
    assert caption(precomputed(end=3.0)).endswith("black and white are ±5 units of the file, for every clip.")


def test_the_pictures_exist(framed: pd.DataFrame, tmp_path: Path, precomputed: Callable[..., pd.DataFrame]) -> None:
    for cache, table in ((tmp_path / "cache", framed), (tmp_path / "toy", precomputed(end=40.0))):
        clip_id = str(table.loc[table["status"] == "ok", "clip_id"].iloc[0])
        assert all((clip_folder(cache, clip_id) / f"{name}.png").is_file() for name in pictures(table))


def test_a_data_set_of_rejected_clips_shows_nothing_and_says_nothing(manifest_row: dict[str, Any]) -> None:
    table = pd.DataFrame([manifest_row | {"status": "rejected"}])
    assert (pictures(table), caption(table)) == ({}, "")
