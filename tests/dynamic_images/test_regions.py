"""Regions of a face: where they are, and that they read a known field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dynamic_images.motion_intensity import region_mask
from dynamic_images.regions import PARTS, REGIONS, centres, region_curves, region_weights, unit_motion
from preprocessing.faces.points68 import eye_distance
from preprocessing.synthetic.action_units import bumps, field_of
from preprocessing.synthetic.geometry import draw_identity

SIDE = 192
FACE = draw_identity(np.random.default_rng(0), SIDE, SIDE, 0.3)
POINTS = (FACE.landmarks() - np.array(FACE.centre)) * 1.8 + [96, 64]


def field(code: str, size: float) -> np.ndarray[Any, Any]:
    """An action unit on the half grid of the crop, px."""
    cells = np.arange(SIDE // 2) * 2 + 0.5
    return size * field_of(bumps(code, POINTS, eye_distance(POINTS)), cells, cells)


def test_left_is_the_subjects_left_and_both_sides_mirror_each_other() -> None:
    places = centres(POINTS)
    middle = POINTS[[27, 28, 29, 30]].mean(axis=0)[0]
    for k in range(len(PARTS)):
        left, right = places[2 * k], places[2 * k + 1]
        assert left[0] > middle > right[0], REGIONS[2 * k]
    assert REGIONS[0] == "left inner brow"


def test_weights_are_means() -> None:
    inside = region_mask("face", POINTS, (96, 96), (SIDE, SIDE))
    weights = region_weights(POINTS, (96, 96), (SIDE, SIDE), inside)
    assert weights.shape == (len(REGIONS), inside.sum())
    assert weights.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("code", "region"), [("12L", "left mouth corner"), ("1R", "right inner brow"), ("17L", "left chin")]
)
def test_an_action_unit_moves_its_region_most(code: str, region: str) -> None:
    flows = np.stack([np.zeros((96, 96, 2)), field(code, 0.5), field(code, 1.0)])
    curves = region_curves(flows, POINTS, (SIDE, SIDE))
    assert curves.shape == (3, len(REGIONS), 2)
    size = np.linalg.norm(curves[2], axis=-1)
    assert REGIONS[int(size.argmax())] == region
    assert np.linalg.norm(curves[1], axis=-1) == pytest.approx(size / 2, abs=0.02)
    expected = unit_motion((code,), POINTS)[0]
    assert np.abs(curves[2] - expected).max() < 0.12  # no motion: 0.7


def test_the_motion_of_the_whole_head_is_none_of_a_region() -> None:
    y, x = np.mgrid[:96, :96] * 2.0
    turned = np.stack([0.4 + 0.004 * (x - 96), -0.3 + 0.004 * (y - 96)], axis=-1)
    curves = region_curves(np.stack([np.zeros_like(turned), turned]), POINTS, (SIDE, SIDE))
    assert np.abs(curves).max() < 0.01  # left in, it is 0.5
