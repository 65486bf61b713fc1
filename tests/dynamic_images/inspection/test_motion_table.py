"""motion.csv and its picture, from finished clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dynamic_images.inspection.motion_figure import figure_key, motion_figure
from dynamic_images.inspection.motion_table import TABLE, page_motion, write_motion_table
from dynamic_images.regions import REGIONS
from preprocessing.artefacts.clip_folder import clip_folder


@pytest.fixture(name="row")
def finished(tmp_path: Path, make_clip: Any, finished_clip: Any, manifest_row: dict[str, Any]) -> dict[str, Any]:
    finished_clip(tmp_path, manifest_row["clip_id"], make_clip(n_frames=24, apex=10))
    return manifest_row | {"enlarged": 2.0}


def test_a_row_per_region_and_nothing_of_rejected_clips(tmp_path: Path, row: dict[str, Any]) -> None:
    lost = row | {"clip_id": "known/sub01/z", "status": "rejected"}
    table = pd.read_csv(write_motion_table(tmp_path, [row, lost]))
    assert (tmp_path / TABLE).is_file()
    assert list(table["side"] + " " + table["region"]) == list(REGIONS)
    assert set(table["clip_id"]) == {"known/sub01/a"}
    largest = table.loc[table["displacement_px"].idxmax()]
    assert (largest["side"], largest["region"]) == ("left", "mouth corner")  # the clip's corner goes up
    assert largest["direction"] == "up"
    assert largest["peak_ms"] == pytest.approx(50, abs=10)
    assert 0 < largest["displacement_px"] < 1.5 / 2 + 0.1  # of the recording, which was enlarged twice


def test_nothing_usable_gives_an_empty_table(tmp_path: Path) -> None:
    assert (write_motion_table(tmp_path, [])).read_text().strip() == "clip_id"


def test_the_picture_and_the_page_say_the_same(tmp_path: Path, row: dict[str, Any]) -> None:
    write_motion_table(tmp_path, [row])
    folder = clip_folder(tmp_path, row["clip_id"])
    told = page_motion(folder, row)
    assert len(told["lines"]) + told["still"] == len(REGIONS)
    assert told["lines"][0]["region"] == "left mouth corner"
    motion_figure(folder, row, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1200, 640)
        assert picture.info["Key"] == figure_key(folder, row)
