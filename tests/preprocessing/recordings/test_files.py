"""The order of pictures by their names, or a refusal where the names do not say it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.files import gaps, in_order


def clock(times_ms: range) -> list[str]:
    return [f"2024-05-02_10-15-{t // 1000:02d}-{t % 1000:03d}" for t in times_ms]


@pytest.mark.parametrize(
    "names",
    [
        [f"img{t}" for t in range(1, 13)],
        [f"006_{t:05d}" for t in range(95, 105)],
        clock(range(12350, 14350, 67)),
        clock(range(12000, 15000, 40)),  # every second has the same thousandths
        [f"{1714644912 + t // 1000}.{t % 1000:03d}" for t in range(0, 2500, 33)],
        ["take1.9", "take1.10", "take1.11", "take1.12"],
        ["a1", "b2", "a3"],
    ],
    ids=["numbers", "prefix", "time", "round time", "seconds", "dots", "words"],
)
def test_frames_come_in_the_order_in_which_they_were_taken(names: list[str]) -> None:
    shuffled = [Path(f"{name}.png") for name in names]
    random.Random(1).shuffle(shuffled)
    assert [path.stem for path in in_order(shuffled)] == names


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["7_1", "3_2", "9_3", "1_4"], "frame_order"),
        (["0.5", "0.25", "0.75", "1.0"], "frame_order"),
        (["0.1", "0.15", "0.2", "0.25"], "frame_order"),
        (["take1_1", "take1_2", "take2_1", "take2_2"], "duplicate_frame"),
        ([f"t{i}_{j:03d}" for i in (1, 2) for j in range(1, 9)], "duplicate_frame"),
        (["img1", "img01"], "duplicate_frame"),
    ],
)
def test_names_that_do_not_say_it_are_refused(names: list[str], code: str) -> None:
    with pytest.raises(ClipRejectedError) as caught:
        in_order([Path(f"{name}.png") for name in names])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], 0), ([4], 0), ([1, 2, 3, 4], 0), ([1, 2, 3, 10, 11, 20, 21], 2), ([5, 10, 15, 25, 30], 1), ([1, 40, 90], 0)],
)
def test_gaps_are_places_where_numbers_jump(numbers: list[int], expected: int) -> None:
    assert gaps(numbers) == expected
