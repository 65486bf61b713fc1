"""Ranks, the critical difference, and the groups of systems that are not shown to differ."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.scoring.ranks import cliques, rank


def test_the_example_of_demsar() -> None:
    """Four classifiers on fourteen data sets: his table 6 gives mean ranks of 3.143, 2, 2.893 and 1.964."""
    scores = np.array(
        [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9751, 0.975],
            [0.957, 0.978, 0.946, 0.970],
        ]
    )
    found = rank(scores)
    np.testing.assert_allclose(found.mean, [3.143, 2.0, 2.893, 1.964], atol=5e-4)
    assert found.blocks == 14 and found.critical == pytest.approx(1.25, abs=0.01)
    assert found.p_value == pytest.approx(0.02, abs=0.01)


def test_equal_systems_share_their_rank() -> None:
    found = rank(np.ones((5, 3)))
    assert found.mean.tolist() == [2, 2, 2] and np.isnan(found.p_value)


@pytest.mark.parametrize("scores", [np.ones((1, 3)), np.ones((3, 1)), np.array([[1.0, np.nan], [0.0, 1.0]])])
def test_what_cannot_be_ranked(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be ranked"):
        rank(scores)


def test_bars_join_the_largest_groups_only() -> None:
    assert cliques([1.0, 1.5, 2.2, 4.0, 4.1], 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert cliques([1.0, 3.0], 1.0) == []
    assert cliques([3.0, 1.0, 2.0], 5.0) == [(0, 2)]
