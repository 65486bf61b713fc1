from __future__ import annotations

import numpy as np
import pytest

from preprocessing.faces import points68
from preprocessing.faces.points68 import eye_distance, hull_mask
from preprocessing.synthetic.geometry import MIRROR, average_shape


def test_the_parts_cover_all_68_points_once() -> None:
    parts = (points68.JAW, points68.BROWS, points68.NOSE, points68.EYES, points68.MOUTH)
    assert np.concatenate([np.arange(68)[part] for part in parts]).tolist() == list(range(68))


def test_left_and_right_are_mirror_images() -> None:
    for right, left in (
        (points68.RIGHT_EYE, points68.LEFT_EYE),
        (points68.RIGHT_BROW, points68.LEFT_BROW),
    ):
        assert set(MIRROR[right]) == set(np.arange(68)[left])
    assert {int(MIRROR[i]) for i in points68.RIGHT_EYE_CORNERS} == set(points68.LEFT_EYE_CORNERS)
    assert average_shape()[points68.RIGHT_EYE, 0].max() < 0, "the subject's right is image left"
    assert eye_distance(average_shape()) == pytest.approx(1)


def test_the_hull_of_a_rectangle_is_the_rectangle() -> None:
    """A hull has its edge and its inside, whatever the order of the points; a point inside changes nothing."""
    points = np.array([(2, 1), (6, 4), (6, 1), (2, 4), (3, 2)], float)
    expected = np.zeros((8, 9), bool)
    expected[1:5, 2:7] = True
    assert np.array_equal(hull_mask(points, (8, 9)), expected)
    assert np.array_equal(hull_mask(points + 0.9, (8, 9)), expected), "corners are cut off, not rounded"
