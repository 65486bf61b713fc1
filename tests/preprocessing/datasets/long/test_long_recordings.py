"""Long recordings: published counts on full-size look-alikes, and every known quirk of their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from preprocessing.datasets import find_dataset
from preprocessing.datasets.long import LONG, Expression, LongSurvey, Recording, page, survey_long
from preprocessing.datasets.reading.check import FINE, WARNINGS
from preprocessing.errors import ClipRejectedError, DatasetError, UsageError
from preprocessing.video import ImageSequence, Unreadable
from tests.preprocessing import long_lookalikes as look
from tests.preprocessing.lookalikes import SAMM_HEADER, touch, write_xlsx

FULL = {"samm_lv": look.full_samm_lv, "casme_squared_long": look.full_squared_long}
COUNTS = {"samm_lv": (147, {"macro": 343, "micro": 159}), "casme_squared_long": (97, {"macro": 300, "micro": 57})}


def survey(name: str, root: Path) -> LongSurvey:
    return survey_long(LONG[name], root)


def told(found: LongSurvey) -> dict[str, tuple[str, ...]]:
    return {finding.what: finding.items for finding in found.findings}


def by_id(found: LongSurvey) -> dict[str, Recording]:
    return {one.recording_id: one for one in found.recordings}


@pytest.mark.parametrize("name", FULL)
def test_the_published_counts_come_out_of_a_full_size_copy(name: str, tmp_path: Path) -> None:
    FULL[name](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = survey(name, tmp_path)
    recordings, kinds = COUNTS[name]
    assert (len(found.recordings), found.usable, found.expressions) == (recordings, recordings, kinds)
    text, code = page(found)
    assert code == FINE, text
    assert "as published" in text and "differs" not in text
    assert all(len(line) <= 80 or str(tmp_path) in line for line in text.splitlines())
    assert sorted(tmp_path.rglob("*")) == before, "a root is only read"


def test_a_copy_that_lacks_a_recording_says_so(tmp_path: Path) -> None:
    look.full_samm_lv(tmp_path)
    gone = tmp_path / "SAMM_longvideos" / "006_1"
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    found = survey("samm_lv", tmp_path)
    assert (len(found.recordings), found.usable) == (147, 146), "it is a recording that cannot be had, not none"
    (said,) = told(found)["recordings of the table without a folder"]
    assert said.startswith("samm_lv/006/006_1 (")
    lost = by_id(found)["samm_lv/006/006_1"]
    assert isinstance(lost.frames, Unreadable) and lost.expressions
    with pytest.raises(ClipRejectedError, match="no folder"):
        list(lost.frames.read())
    assert page(found)[1] == WARNINGS


def lv_row(name: str, onset: Any, apex: Any, offset: Any, kind: str = "Macro", units: Any = "4") -> list[Any]:
    return [name[:3], name, None, onset, apex, offset, None, kind, units, None]


def test_samm_lv_quirks(tmp_path: Path) -> None:
    rows = [
        lv_row("006_1_1", 566.4, 647.6, 743.2, units="A/L12"),
        lv_row("006_1_2", 100, -1, 300, "Micro - 1/2"),
        lv_row("006_1_3", 0, 50, 90),
        lv_row("006_2_1", 300, 310, 200),
        lv_row("006_2_2", 300, 500, 400, "Other"),
    ]
    found = survey("samm_lv", look.samm_lv(tmp_path, rows, ["006_1", "006_2", "006_3"]))
    one = by_id(found)["samm_lv/006/006_1"]
    spans = [(e.name, e.onset, e.apex, e.offset, e.kind) for e in one.expressions]
    assert spans == [
        ("006_1_3", 0, 50, 90, "macro"),
        ("006_1_2", 100, None, 300, "micro"),
        ("006_1_1", 566, 648, 743, "macro"),
    ], "by onset; -1 is no apex; fractions are rounded"
    assert one.expressions[2].action_units == ("A/L12",)
    said = told(found)
    assert len(said["expressions without an annotated apex"]) == 1
    assert len(said["expressions with onset 0, which may have begun before the recording"]) == 1
    assert "'300' .. '200'" in said["expressions without a usable interval, left out"][0]
    assert "of type 'Other'" in said["rows that are not expressions"][0]
    assert said["recordings without an annotated expression"] == ("samm_lv/006/006_2", "samm_lv/006/006_3")
    assert "743, files 0 to 700" in said["expressions that reach beyond the files of their recording"][0]


def test_samm_lv_a_thinned_copy_keeps_the_numbers_of_the_table(tmp_path: Path) -> None:
    rows = [lv_row("006_1_1", 95, 120, 305), lv_row("006_1_2", 601, 610, 650)]
    found = survey("samm_lv", look.samm_lv(tmp_path, rows, ["006_1"]))
    (one,) = found.recordings
    assert (one.step, one.numbers) == (100, (0, 100, 200, 300, 400, 500, 600, 700))
    assert [one.positions(e) for e in one.expressions] == [(1, 3), None], "no file lies in the second"
    assert "recordings of which one frame in 100 is there" in told(found)
    assert isinstance(one.frames, ImageSequence) and one.frames.paths[1].name == "006_1_0100.jpg"


def test_samm_lv_emotions_come_from_the_micro_table_by_name_and_type(tmp_path: Path) -> None:
    rows = [lv_row("006_1_2", 3562, 3588, 3632, "Micro - 1/2"), lv_row("006_1_2", 100, 150, 200)]
    look.samm_lv(tmp_path, rows, ["006_1"], range(0, 4000, 500))
    assert [e.emotion for e in survey("samm_lv", tmp_path).recordings[0].expressions] == [None, None]
    micro = ["006", "006_1_2", None, 5562, 5588, 5632, 71, "Micro - 1/2", "4", "Anger", 2, None]
    write_xlsx(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*([["text"]] * 13), SAMM_HEADER, micro]})
    macro, small = survey("samm_lv", tmp_path).recordings[0].expressions
    assert (macro.kind, macro.emotion) == ("macro", None), "a macro-expression of the same name has none"
    assert (small.emotion, small.onset) == ("anger", 3562), (
        "frames are those of the recording, never of the micro table"
    )


def test_casme_squared_long_quirks(tmp_path: Path) -> None:
    rows = [
        [1, "anger1_1", 101, 110, 0, "14,12", "negative", "macro-expression", "anger"],
        [7, "happy1_1", 201, 0, 230, "12", "positive", "macro-expression", "happy"],
        [7, "happy1_2", 301, 340, 330, None, "positive", "micro-expression", "happyiness"],
        [7, "walk_1", 301, 320, 330, None, "others", "micro-expression", None],
    ]
    folders = [(15, "15_0401angry"), (19, "23_0502funnyerrors"), (23, "23_0503unnyfarting")]
    found = survey("casme_squared_long", look.squared(tmp_path, rows, folders))
    assert list(by_id(found)) == [
        "casme_squared_long/s15/15_0401",
        "casme_squared_long/s23/23_0502",
        "casme_squared_long/s23/23_0503",
    ], "the folder of another subject does not count, the number in its name does"
    first, second, third = found.recordings
    assert [(e.onset, e.apex, e.offset, e.emotion) for e in first.expressions] == [(101, 110, 110, "negative")]
    assert first.expressions[0].action_units == ("14", "12")
    assert [(e.onset, e.apex, e.offset) for e in second.expressions] == [(201, None, 230), (301, None, 330)]
    assert third.expressions == ()
    said = told(found)
    assert len(said["expressions without a usable offset, which end at their apex"]) == 1
    assert "340 in 301 .. 330" in said["apexes outside onset .. offset, not used"][0]
    assert "walk_1" in said["rows that are not expressions"][0]


def test_a_root_without_table_or_recordings_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        survey("samm_lv", tmp_path / "gone")
    touch(tmp_path / "a" / "SAMM_longvideos" / "006_1", range(3))
    with pytest.raises(DatasetError, match=r"holds no table of SAMM Long Videos \(usually SAMM_LongVideos_V3"):
        survey("samm_lv", tmp_path / "a")
    look.samm_lv(tmp_path / "b", [lv_row("006_1_1", 1, 2, 3)], [])
    with pytest.raises(DatasetError, match=r"none of the 1 recordings .* wanted folders such as SAMM_longvideos/006_1"):
        survey("samm_lv", tmp_path / "b")
    look.samm_lv(tmp_path / "c", [lv_row("006_1_1", 1, 2, 3)], ["006_1"])
    look.samm_lv(tmp_path / "c" / "older", [lv_row("006_1_1", 1, 2, 4)], [])
    with pytest.raises(DatasetError, match=r"2 tables of SAMM Long Videos lie below .* choose one with --table"):
        survey("samm_lv", tmp_path / "c")


def test_the_command_prints_the_counts_and_refuses_what_has_no_effect(tmp_path: Path) -> None:
    root = str(look.full_samm_lv(tmp_path / "lv"))

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, words)
        return result.exit_code, " ".join(result.output.split())

    code, text = run("check", "samm_lv", root)
    assert code == 0
    assert "recordings 147 147" in text and "macro 343 343" in text and "micro 159 159" in text
    assert "Fine: this is SAMM Long Videos as published." in text
    assert run("check", "samm_lv", str(tmp_path / "gone"))[0] == 2
    assert "--decode has no effect on samm_lv" in run("check", "samm_lv", root, "--decode")[1]
    assert "apex = 'drop' has no effect on data set samm_lv" in run("check", "samm_lv", root, "--apex", "drop")[1]
    with pytest.raises(UsageError, match="samm_lv holds long recordings"):
        find_dataset("samm_lv")


numbers = st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True).map(sorted)


@given(numbers, st.integers(0, 60), st.integers(0, 20))
def test_positions_are_the_files_inside_the_interval(files: list[int], onset: int, length: int) -> None:
    expression = Expression("e", "micro", onset, None, onset + length, None, (), "")
    one = Recording("x/1/1", "x/1", ImageSequence(()), tuple(files), 30, (expression,))
    inside = [i for i, number in enumerate(files) if onset <= number <= onset + length]
    assert one.positions(expression) == ((inside[0], inside[-1]) if inside else None)


@pytest.mark.parametrize(("onset", "apex", "offset"), [(5, None, 4), (-1, None, 4), (1, 9, 4)])
def test_an_interval_that_is_none_is_refused(onset: int, apex: int | None, offset: int) -> None:
    with pytest.raises(ValueError, match="e:"):
        Expression("e", "micro", onset, apex, offset, None, (), "")
