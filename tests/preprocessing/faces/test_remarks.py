"""Numbers of a face in words, and silence about a face that is as it should be."""

from __future__ import annotations

import pytest

from preprocessing.faces.remarks import face_notes

PLAIN = {"eye_distance": 95.0, "enlarged": 1.1, "head_turn": 0.2, "turn_motion": 0.1, "peak_intensity": 1.4}


def test_there_is_nothing_to_say_of_a_plain_face() -> None:
    assert face_notes(PLAIN) == []
    assert face_notes({"stream_a": "a.png", "enlarged": float("nan"), "head_turn": None}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head_turn": 6.0, "turn_motion": 3.5, "peak_intensity": 20.0}, "turns by about 6.0° out of"),
        (
            {"eye_distance": 16.4, "enlarged": 5.6},
            "outer eye corners 16 px apart) and enlarged 5.6 times: a motion of 1",
        ),
        (
            {"head_turn": 1.2, "turn_motion": 0.6},
            "plane, which moves the face by up to 0.6 px where it moves by 1.4 px",
        ),
    ],
)
def test_what_is_strange_is_one_remark(change: dict[str, float], words: str) -> None:
    (note,) = face_notes(PLAIN | change)
    assert words in note


@pytest.mark.parametrize(
    "change",
    [
        {"eye_distance": 46.0, "enlarged": 1.98},
        {"head_turn": 0.4, "turn_motion": 0.29, "peak_intensity": 0.4},  # less than can be told from noise
        {"head_turn": 2.0, "turn_motion": 1.2, "peak_intensity": 6.0},  # a large movement beside it
    ],
)
def test_small_differences_are_none(change: dict[str, float]) -> None:
    assert face_notes(PLAIN | change) == []
