"""The rows of further inputs below a contact sheet: what stands where, and that nothing lies over anything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dynamic_images.clip_input import InputUse
from dynamic_images.input_cache import build_inputs
from dynamic_images.inputs import INPUTS, SampledFrames, use
from dynamic_images.inspection.input_rows import (
    COLUMNS,
    ROW,
    draw_rows,
    further_inputs,
    placed_pictures,
    places,
    title_of,
)
from preprocessing.artefacts.clip_folder import ClipFolder

ID = "known/sub01/a"
SHOWN = tuple(use(name) for name, one in INPUTS.items() if one.view is not None and one.make is not None)


@pytest.fixture
def folder(tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder]) -> ClipFolder:
    """A clip of which every input with a picture was made, and one without."""
    folder = finished_clip(tmp_path, ID, clip)
    build_inputs(tmp_path, [ID], [*SHOWN, use("frames")])
    return folder


def test_things_of_several_cells_stay_in_one_row() -> None:
    assert places([1, 1, 2, 1, 3, 1]) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
    assert places([1, 4, 1]) == [(0, 0), (1, 0), (2, 0)]
    assert places([]) == []


def test_every_input_with_a_picture_has_its_place(folder: ClipFolder) -> None:
    assert set(further_inputs(folder)) == set(SHOWN), "and frames, which have none, are left out"
    placed = placed_pictures(folder, further_inputs(folder))
    cells = [(one.row, one.column + k) for one in placed for k in range(one.span)]
    assert len(set(cells)) == len(cells) and max(column for _, column in cells) < COLUMNS
    assert {one.use.name: one.span for one in placed if one.span > 1} == {
        "phase_flow": 2,
        "phase_flow_face": 2,
    }


@pytest.mark.parametrize("names", [("apex_strain",), ("apex_strain", "phase_flow"), tuple(one.name for one in SHOWN)])
def test_no_title_and_no_picture_lies_over_another(folder: ClipFolder, names: tuple[str, ...]) -> None:
    placed = placed_pictures(folder, [one for one in SHOWN if one.name in names])
    rows = 1 + max(one.row for one in placed)
    figure = Figure(figsize=(12, ROW * rows), dpi=100)
    draw_rows(figure, placed)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        box
        for axes in figure.axes
        for box in (axes.title.get_window_extent(canvas.get_renderer()), axes.get_window_extent())
    ]
    assert len(boxes) == 2 * len(placed)
    assert [(a, b) for a, b in combinations(boxes, 2) if a.padded(-1).overlaps(b.padded(-1))] == []
    whole = figure.bbox
    assert all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1 for b in boxes)
    sides = [(round(axes.bbox.width), round(axes.bbox.height)) for axes in figure.axes]
    assert min(map(min, sides)) > 270, "every picture is shown about as large as those above"


def test_titles_tell_scale_and_channels() -> None:
    assert title_of(use("onset_to_apex")) == "rising dynamic image\n±12 grey levels"
    assert title_of(use("apex_flow"), 60) == "flow at the apex\nred u ±2, green v ±2 · px of the crop"
    assert title_of(use("apex_strain")).splitlines()[1] == "red u ±2, green v ±2, blue ±0.1"
    assert all(len(line) <= 20 for line in title_of(use("apex_strain"), 20).splitlines())


def test_settings_that_are_not_the_default_ones_are_told() -> None:
    shown = dataclasses.replace(INPUTS["frames"], view=(255.0,))
    assert title_of(InputUse(shown, SampledFrames(3)), 60) == "frames (count 3)\n±255 grey levels as recorded"
    assert title_of(InputUse(shown, SampledFrames()), 60).startswith("frames\n")


def test_a_picture_of_a_lone_plane_is_one_cell(folder: ClipFolder) -> None:
    (one,) = placed_pictures(folder, [use("apex_flow")])
    assert (one.row, one.column, one.span) == (0, 0, 1)
    assert one.picture.dtype == np.uint8 and one.picture.shape[2] == 3
