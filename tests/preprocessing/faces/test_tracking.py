from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.faces.landmarks import Box
from preprocessing.faces.tracking import choose_face, follow


def square(x: float, y: float, side: float) -> Box:
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def test_nothing_found_is_none() -> None:
    assert choose_face([]) is None
    assert choose_face([[], []]) is None


def test_the_only_face_is_the_median_of_its_boxes() -> None:
    boxes = [square(100 + d, 80, 60) for d in (0, 1, 8)]
    assert choose_face([[box] for box in boxes]) == boxes[1]


def test_a_big_face_throughout_beats_a_bigger_one_that_flashes_by() -> None:
    """The largest box of any frame would be the poster on the wall that was taken for a face once."""
    steady, flash = square(100, 100, 80), square(400, 100, 150)
    assert choose_face([[steady, flash], [steady], [steady]]) == steady
    assert choose_face([[steady], [flash], [steady]]) == steady


def test_the_bigger_of_two_steady_faces_wins() -> None:
    small, big = square(100, 100, 70), square(400, 120, 90)
    assert choose_face([[small, big], [big, small]]) == big


def test_a_face_keeps_its_identity_while_it_moves() -> None:
    """Two faces of nearly one size walk to the right; linking by rank in each frame would mix them."""
    left = [square(100 + 20 * t, 100, 80 + (t % 2) * 4) for t in range(5)]
    right = [square(400 + 20 * t, 100, 85 - (t % 2) * 4) for t in range(5)]
    chosen = choose_face([[a, b] if t % 2 else [b, a] for t, (a, b) in enumerate(zip(left, right, strict=True))])
    assert chosen is not None
    assert chosen.centre == pytest.approx((440, 100))


def test_a_tie_goes_to_the_left() -> None:
    pair = [square(400, 100, 80), square(100, 100, 80)]
    assert choose_face([pair, pair]) == pair[1]


@given(
    sides=st.lists(st.integers(40, 120), min_size=1, max_size=4),
    n_frames=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_the_order_of_detections_is_irrelevant(sides: list[int], n_frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces = [square(100 + 200 * i, 100, side) for i, side in enumerate(sides)]
    seen = [[face for face in faces if rng.random() < 0.8] for _ in range(n_frames)]
    mixed = [[boxes[i] for i in rng.permutation(len(boxes))] for boxes in seen]
    assert choose_face(mixed) == choose_face(seen)


def test_follow_takes_the_nearest_of_like_size() -> None:
    box = square(100, 100, 60)
    near, nearer, other_size = square(120, 100, 60), square(105, 100, 70), square(100, 100, 20)
    assert follow(box, [near, other_size, nearer]) == nearer
    assert follow(box, [other_size]) is None
    assert follow(box, [square(131, 100, 60)]) is None  # more than half a side away
    assert follow(box, []) is None
