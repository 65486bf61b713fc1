from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.datasets.reading.action_units import ActionUnit, parse

AU = ActionUnit


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("4+7", "4+7"),
        (4, "4"),
        (4.0, "4"),
        ("L12 + 61", "L12+61"),
        ("12+15 ", "12+15"),
        ("R4,5", "R4+5"),
        ("4，5", "4+5"),
        ("14,12", "14+12"),
        ("7B", "7B"),
        ("43E", "43E"),
        ("12L", "L12"),
        ("4+R10", "4+R10"),
        ("10R", "R10"),
        ("A/L12", "A/L12"),
        ("4A/B", "4A/B"),
        ("4(B/C)+7B", "4B/C+7B"),
        ("ref(7B)", "ref(7B)"),
        ("(R6 or R12)+R15", "R6?+R12?+R15"),
        ("L12 or L14", "L12?+L14?"),
        ("10or11", "10?+11?"),
        ("13?", "13?"),
        ("AU4(k)+L7", "ref(4)+L7"),
        ("T28+14", "T28+14"),
        ("B23", "B23"),
        ("R14A", "R14A"),
        ("14or23,,", "14?+23?"),
        ("", ""),
        (None, ""),
        ("?", ""),
        ("NULL", ""),
        ("NA", ""),
        ("/", ""),
    ],
)
def test_every_form_that_real_tables_hold(cell: object, units: str) -> None:
    found, strange = parse(cell)
    assert "+".join(map(str, found)) == units
    assert strange == ()


@pytest.mark.parametrize(
    ("cell", "units", "strange"),
    [
        ("4+soft focus", "4", ("soft focus",)),
        ("1214", "", ("1214",)),  # a naive digit filter makes such numbers of 12+14
        ("612+4", "4", ("612",)),
        ("0", "", ("0",)),
        ("L12R", "", ("L12R",)),
        ("4+(7", "4", ("(7",)),
    ],
)
def test_what_does_not_parse_is_handed_back(cell: str, units: str, strange: tuple[str, ...]) -> None:
    found, left = parse(cell)
    assert "+".join(map(str, found)) == units
    assert left == strange


def test_side_and_intensity_are_told_apart() -> None:
    assert parse("B23")[0] == (AU(23, side="B"),)
    assert parse("23B")[0] == (AU(23, intensity="B"),)
    assert parse("A/L12")[0] == (AU(12, side="A/L"),)


sides = st.sampled_from(["", "L", "R", "A", "B", "T", "A/L"])
grades = st.sampled_from(["", "A", "B", "C", "D", "E", "A/B", "B/C"])
units = st.builds(AU, st.integers(1, 99), sides, grades, st.booleans(), st.booleans())


@given(st.lists(units, max_size=6))
def test_writing_and_parsing_gives_the_same_units(given_units: list[ActionUnit]) -> None:
    assert parse("+".join(map(str, given_units))) == (tuple(given_units), ())


@given(st.lists(units, min_size=1, max_size=6), st.sampled_from(["+", ",", " + ", "，", " , "]))
def test_separators_and_case_mean_nothing(given_units: list[ActionUnit], separator: str) -> None:
    text = separator.join(map(str, given_units))
    assert parse(text.lower())[0] == parse(text)[0] == tuple(given_units)


@given(st.text(max_size=30))
def test_no_text_makes_it_fail_and_no_digit_is_lost(text: str) -> None:
    found, strange = parse(text)
    assert all(1 <= unit.number <= 99 for unit in found)
    ascii_digits = re.findall(r"[0-9]", text)
    kept = "".join([*(str(unit.number) for unit in found), *strange])
    assert sum(c.isdigit() for c in kept) >= len(ascii_digits) - text.count("0")  # 07 is 7
