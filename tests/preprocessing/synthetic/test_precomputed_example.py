"""The example of precomputed streams: its size, its two twins, and that only one of them holds information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.datasets.streams import load
from preprocessing.errors import DatasetError
from preprocessing.synthetic.precomputed_example import CLASSES, ExampleSettings, draw, write_example


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("streams"))


def test_442_clips_of_68_subjects_in_three_data_sets(example: Path) -> None:
    clips = load(example)
    assert len(clips) == 442
    assert len({clip.subject for clip in clips}) == 68
    table = pd.crosstab([clip.clip_id.split("/")[0] for clip in clips], [clip.label for clip in clips])
    assert table.to_numpy().tolist() == [[88, 32, 25], [92, 26, 15], [70, 51, 43]]
    assert {clip.stream_a.channels for clip in clips} == {(0, 1)}


def test_the_null_twin_has_the_same_images_and_other_labels(example: Path, tmp_path: Path) -> None:
    null = write_example(tmp_path / "null", ExampleSettings(null=True))
    images = [path.name for path in sorted((example.parent / "images").iterdir())]
    assert len(images) == 442
    for name in images[::50]:
        assert (null.parent / "images" / name).read_bytes() == (example.parent / "images" / name).read_bytes()
    ours, theirs = ([clip.label for clip in load(table)] for table in (example, null))
    assert sorted(ours) == sorted(theirs)
    agree = np.mean([a == b for a, b in zip(ours, theirs, strict=True)])
    shares = np.array([ours.count(name) for name in CLASSES]) / 442
    assert abs(agree - np.sum(shares**2)) < 0.08  # permuted labels agree by chance only, in 0.42


def test_the_same_seed_gives_the_same_bytes(example: Path, tmp_path: Path) -> None:
    again = write_example(tmp_path / "again")
    assert again.read_bytes() == example.read_bytes()
    assert write_example(tmp_path / "other", ExampleSettings(seed=1)).read_bytes() != example.read_bytes()


def test_positive_clips_pull_the_mouth_and_surprise_lifts_the_brows() -> None:
    """In the mean over people and clips; noise alone would leave a hundredth."""
    still = ExampleSettings(noise=0.05)
    mean = {
        label: np.mean([draw(label, (0, 1, s), 0, still)[:, :, 1].astype(float) - 128 for s in range(30)], axis=0)
        for label in CLASSES
    }
    assert mean["positive"][20, 9] < -8 and abs(mean["positive"][8, 9]) < 3
    assert mean["surprise"][8, 9] < -8 and mean["surprise"][20, 9] > 8
    assert mean["negative"][8, 9] > 8


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="holds other files: name a folder that is empty"):
        write_example(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
