from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.datasets.reading.frame_spans import Annotation, Span, find_span
from preprocessing.errors import ClipRejectedError


def files(*numbers: int) -> dict[int, Path]:
    return {number: Path(f"img{number}.jpg") for number in sorted(numbers)}


def span(numbers: object, onset: int | None, apex: int | None, offset: int | None, **more: bool) -> Span:
    cells = tuple("" if n is None else str(n) for n in (onset, apex, offset))
    return find_span(files(*numbers), Annotation(onset, apex, offset, cells, **more))  # type: ignore[misc, arg-type]


def told(found: Span) -> list[str]:
    return [remark.what for remark in found.remarks]


def test_numbers_are_those_of_the_files() -> None:
    found = span(range(1, 200), 46, 59, 86)
    assert [p.name for p in (found.paths[0], found.paths[found.apex or 0], found.paths[-1])] == [
        "img46.jpg",
        "img59.jpg",
        "img86.jpg",
    ]
    assert found.remarks == ()


@given(st.integers(1, 500), st.integers(2, 60), st.data())
def test_whatever_is_missing_the_clip_stays_between_onset_and_offset(
    onset: int, length: int, data: st.DataObject
) -> None:
    offset = onset + length
    numbers = data.draw(st.sets(st.integers(onset - 5, offset + 5), min_size=1))
    apex = data.draw(st.integers(onset, offset))
    inside = sorted(n for n in numbers if onset <= n <= offset)
    try:
        found = span(numbers, onset, apex, offset)
    except ClipRejectedError:
        assert not inside
        return
    if "clips whose files are numbered anew, taken in order" in told(found):
        assert len(found.paths) == length + 1
        return
    assert [int(p.stem[3:]) for p in found.paths] == inside
    assert found.apex is not None
    nearest = min(abs(n - apex) for n in inside)
    assert abs(inside[found.apex] - apex) == nearest


def test_a_missing_end_is_replaced_by_the_nearest_frame_inside_and_told() -> None:
    found = span([*range(40, 46), *range(48, 80)], 46, 59, 86)
    assert (found.paths[0].name, found.paths[-1].name) == ("img48.jpg", "img79.jpg")
    assert [f"{r.what}{r.detail}" for r in found.remarks] == [
        "onset frames without a file; the nearest is taken: 48 for 46",
        "offset frames without a file; the nearest is taken: 79 for 86",
    ]


def test_frames_missing_between_are_counted() -> None:
    found = span([46, 47, 50, 51], 46, 50, 51)
    assert found.remarks[0].detail == ": 2 of 6"
    assert found.apex == 2


def test_a_renumbered_copy_is_taken_in_order() -> None:
    found = span(range(1, 42), 46, 59, 86)
    assert (found.paths[0].name, found.apex, len(found.paths)) == ("img1.jpg", 13, 41)
    assert told(found) == ["clips whose files are numbered anew, taken in order"]


def test_a_recording_that_happens_to_be_as_long_is_not_renumbered() -> None:
    assert told(span(range(1, 42), 1, 10, 41)) == []
    assert told(span(range(50, 91), 46, 59, 86)) != ["clips whose files are numbered anew, taken in order"]


def test_numbers_can_be_places_in_the_folder() -> None:
    found = span([101, 105, 230, 231], 2, 3, 4, order=True)
    assert [p.name for p in found.paths] == ["img105.jpg", "img230.jpg", "img231.jpg"]


@pytest.mark.parametrize(
    ("apex", "why"), [(None, "not annotated"), (0, "not a frame number"), (95, "outside"), (12, "outside")]
)
def test_an_apex_that_is_not_usable_is_none_with_the_reason(apex: int | None, why: str) -> None:
    found = span(range(46, 87), 46, apex, 86)
    assert found.apex is None
    assert why in found.why_no_apex
    assert len(told(found)) == 1


@pytest.mark.parametrize("apex", [46, 86])
def test_an_apex_at_an_end_counts_and_is_told(apex: int) -> None:
    found = span(range(46, 87), 46, apex, 86)
    assert found.apex == apex - 46
    assert [r.warning for r in found.remarks] == [False]


@pytest.mark.parametrize(("onset", "offset"), [(None, 86), (46, None), (46, 0), (46, 45), (-1, 4)])
def test_ends_that_are_not_usable_reject_the_clip(onset: int | None, offset: int | None) -> None:
    with pytest.raises(ClipRejectedError) as caught:
        span(range(46, 87), onset, 60, offset)
    assert caught.value.code == "bad_annotation"


def test_an_offset_of_zero_can_end_at_the_apex() -> None:
    found = span(range(1, 100), 10, 20, 0, offset_from_apex=True)
    assert (len(found.paths), found.apex) == (11, 10)
    with pytest.raises(ClipRejectedError):
        span(range(1, 100), 10, None, 0, offset_from_apex=True)


def test_no_frames_at_all() -> None:
    with pytest.raises(ClipRejectedError, match="no file from 46 to 86, its files are 1 to 3"):
        span([1, 2, 3], 46, 59, 86)
    with pytest.raises(ClipRejectedError, match="no images"):
        span([], 46, 59, 86)
