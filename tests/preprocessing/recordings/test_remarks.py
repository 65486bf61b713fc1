"""Numbers of a recording in words, and silence about a recording that is as it should be."""

from __future__ import annotations

import pytest

from preprocessing.recordings.remarks import recording_notes
from preprocessing.video import FrameReport

PLAIN = {"n_frames": 100, **FrameReport(declared=100, bit_depth=8).quality()}


def test_there_is_nothing_to_say_of_a_plain_recording() -> None:
    assert recording_notes(PLAIN) == []
    assert recording_notes({"stream_a": "a.png", "n_frames": float("nan")}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_declared": 120}, "only 100 of 120 announced frames"),
        ({"damaged": 1}, "damaged at 1 place:"),
        ({"gaps": 2}, "at 2 places"),
        ({"repeated_frames": 75}, "75 of 100 frames repeat the one before"),
        ({"deinterlaced_frames": 100}, "interlaced: 100 frames"),
        ({"unnumbered_frames": 1}, "1 picture without a number"),
        ({"bit_depth": 12}, "12 bits a sample"),
        ({"n_frames": 90, "blank_start_frames": 10}, "10 blank, half or fading frames"),
    ],
)
def test_what_is_strange_is_one_remark(change: dict[str, int], words: str) -> None:
    (note,) = recording_notes(PLAIN | change)
    assert words in note


@pytest.mark.parametrize("change", [{"repeated_frames": 10}, {"n_declared": None}, {"n_declared": 103}])
def test_small_differences_are_none(change: dict[str, int | None]) -> None:
    assert recording_notes(PLAIN | change) == []
