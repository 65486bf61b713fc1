from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.input_cache import build_inputs
from dynamic_images.inputs import INPUTS, use
from dynamic_images.inspection.contact_sheet import DPI, contact_sheet, is_fresh, quality_numbers, sheet_key
from dynamic_images.inspection.input_rows import ROW
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.errors import ToolkitError

ID = "known/sub01/a"


def test_a_sheet_is_drawn_and_not_blank(clip_folder: ClipFolder, manifest_row: dict[str, Any], tmp_path: Path) -> None:
    build_images(clip_folder, ImageSettings(), "upstream", apex=5)
    path = tmp_path / "sheets" / "a.png"
    contact_sheet(clip_folder, manifest_row, path)
    sheet = cv2.imread(str(path))
    assert sheet.shape[1] == 1200
    assert 600 < sheet.shape[0] < 1000
    # every quarter of the page carries something; a blank page has sd 0
    for half in np.array_split(sheet, 2, axis=0):
        for quarter in np.array_split(half, 2, axis=1):
            assert quarter.std() > 20
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_sheet_knows_what_it_was_drawn_from(
    clip_folder: ClipFolder, manifest_row: dict[str, Any], tmp_path: Path
) -> None:
    build_images(clip_folder, ImageSettings(), "upstream", apex=5)
    path = tmp_path / "a.png"
    key = sheet_key(clip_folder, manifest_row)
    assert not is_fresh(path, key)
    contact_sheet(clip_folder, manifest_row, path)
    assert is_fresh(path, key)
    assert not is_fresh(path, sheet_key(clip_folder, manifest_row | {"emotion": "fear"}))
    build_images(clip_folder, ImageSettings(order="descending"), "upstream", apex=5)
    assert not is_fresh(path, sheet_key(clip_folder, manifest_row))
    path.write_bytes(b"not a picture")
    assert not is_fresh(path, key)


def test_further_inputs_stand_in_rows_below(
    tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder], manifest_row: dict[str, Any]
) -> None:
    """The sheet grows and what stood there already is as it was; a picture that is made later makes it stale."""
    folder, plain, path = finished_clip(tmp_path, ID, clip), tmp_path / "plain.png", tmp_path / "a.png"
    contact_sheet(folder, manifest_row, plain)
    before = cv2.imread(str(plain))
    build_inputs(tmp_path, [ID], [use("frames"), use("flow_grid")])
    assert is_fresh(plain, sheet_key(folder, manifest_row)), "they have no pictures"
    build_inputs(tmp_path, [ID], [use("apex_strain")])
    assert not is_fresh(plain, sheet_key(folder, manifest_row))
    contact_sheet(folder, manifest_row, path)
    assert is_fresh(path, sheet_key(folder, manifest_row))
    sheet = cv2.imread(str(path))
    height, width = before.shape[:2]
    assert sheet.shape == (height + ROW * DPI, width, 3)
    assert np.mean(np.abs(sheet[:height].astype(int) - before) > 8) < 0.005  # half a pixel of height is rounded
    row = sheet[height:]
    assert row[:, : width // 4].std() > 20 and (row[:, width // 3 :] == 255).all(), "one picture, at the left"


def test_a_new_version_of_an_input_makes_the_sheet_stale(
    tmp_path: Path,
    clip: Any,
    finished_clip: Callable[..., ClipFolder],
    manifest_row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its picture is another one under the same name."""
    folder = finished_clip(tmp_path, ID, clip)
    build_inputs(tmp_path, [ID], [use("apex_flow")])
    first = sheet_key(folder, manifest_row)
    newer = dataclasses.replace(INPUTS["apex_flow"], version=2)
    monkeypatch.setitem(INPUTS._own, "apex_flow", newer)
    assert sheet_key(folder, manifest_row) != first
    without = sheet_key(folder, manifest_row)
    build_inputs(tmp_path, [ID], [use("apex_flow")])
    assert sheet_key(folder, manifest_row) not in (first, without)


@pytest.mark.parametrize("apex", [0, 11])
def test_bare_rows_and_apexes_at_the_ends_draw_too(clip_folder: ClipFolder, tmp_path: Path, apex: int) -> None:
    build_images(clip_folder, ImageSettings(span="onset..apex"), "upstream", apex=apex)
    row = {"clip_id": "known/sub01/a_$x$_^", "subject": "known/sub01", "emotion": float("nan"), "fps": None}
    contact_sheet(clip_folder, row, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_clip_without_images_is_one_sentence(
    clip_folder: ClipFolder, manifest_row: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ToolkitError, match="has no dynamic images yet"):
        contact_sheet(clip_folder, manifest_row, tmp_path / "a.png")


def test_quality_numbers_are_what_is_left_beside_the_facts(manifest_row: dict[str, Any]) -> None:
    row = manifest_row | {"unknown": float("nan"), "note": "text", "score": np.float64(1.23456)}
    assert quality_numbers(row) == {"residual_px": "0.031", "peak_intensity": "1.2", "score": "1.235"}
