from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.datasets.reading.cells import (
    emotion_word,
    header_word,
    last_number,
    objective_class,
    subject_number,
    text_of,
    whole_number,
)
from preprocessing.video import frame_number


@pytest.mark.parametrize("form", ["01", 1, 1.0, "1.0", "sub01", "s1", "S01", "001", " sub01 ", "spNO.1", "spNo.1"])
def test_a_subject_is_one_person_in_every_form(form: object) -> None:
    assert subject_number(form if form != "1.0" else 1.0) == 1


@pytest.mark.parametrize("form", ["", None, "happiness", "EP01_1", "1-2", float("nan")])
def test_what_is_no_subject_is_none(form: object) -> None:
    assert subject_number(form) is None


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (46, 46),
        ("46", 46),
        (46.0, 46),
        ("46.0", 46),
        (" 46 ", 46),
        (566.4, None),
        ("/", None),
        ("\\", None),
        (None, None),
    ],
)
def test_frame_cells(cell: object, number: int | None) -> None:
    assert whole_number(cell) == number


def test_python_would_read_an_underscore_as_nothing() -> None:
    assert int("006_05562") == 605562  # the trap
    assert last_number("006_05562") == 5562
    assert whole_number("006_05562") is None


@given(
    st.integers(0, 10**9),
    st.sampled_from(["img", "reg_img", "006_", "EP01_12-", "reg_image", "Frame_"]),
    st.integers(0, 9),
)
def test_the_frame_number_is_the_last_run_of_digits(number: int, prefix: str, padding: int) -> None:
    from pathlib import Path

    for suffix in (".jpg", ".JPG", " .png", ".bmp"):
        assert frame_number(Path(f"{prefix}{number:0{padding}d}{suffix}")) == number


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("Happiness", "happiness"),
        (" Other ", "others"),
        ("Others", "others"),
        ("happy", "happiness"),
        ("happyiness", "happiness"),
        ("sad", "sadness"),
        ("comtempt", "contempt"),
        ("ne", "negative"),
        ("Surprise+Positive", "surprise+positive"),
        ("", None),
        (None, None),
    ],
)
def test_emotions_have_one_spelling(cell: object, word: str | None) -> None:
    assert emotion_word(cell) == word


@pytest.mark.parametrize(("cell", "number"), [(3, "3"), ("3", "3"), ("III", "3"), ("vii", "7"), (8, None), ("", None)])
def test_objective_classes_are_numbers_or_roman(cell: object, number: str | None) -> None:
    assert objective_class(cell) == number


def test_column_names_are_compared_without_blanks_and_underscores() -> None:
    assert {header_word(name) for name in ("Onset Frame", "OnsetFrame", "onset_frame ", "ONSET\nFRAME")} == {
        "onsetframe"
    }
    assert header_word("sub_ID'") == "subid"


def test_a_float_that_is_whole_is_written_without_its_point() -> None:
    assert text_of(4.0) == "4"
    assert text_of("4，5") == "4,5"
