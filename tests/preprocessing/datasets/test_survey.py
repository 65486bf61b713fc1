"""What is wrong with a root or a table is told in one sentence that says what was found and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.datasets import DATASETS, DataSettings, Survey, casme2, mmew
from preprocessing.errors import DatasetError, UsageError
from tests.preprocessing import lookalikes as look
from tests.preprocessing.lookalikes import touch, write_csv, write_xlsx

ROWS = [
    ("01", "EP02_01f", 46, 59, 86, "4+L10", "happiness"),
    ("04", "EP12_01f", 261, 270, 321, 4, "disgust"),
]


def read(root: Path, name: str = "casme2", **settings: str) -> Survey:
    _, found = DATASETS[name].clips(root, DataSettings(**settings))  # type: ignore[arg-type]
    assert found is not None
    return found


def refusal(root: Path, name: str = "casme2", **settings: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read(root, name, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_parent_of_the_right_root_works_as_well(tmp_path: Path) -> None:
    look.casme2(tmp_path / "data" / "CASME2", ROWS)
    look.full_samm(tmp_path / "data" / "SAMM", {"anger": 2})
    assert read(tmp_path).usable == 2
    assert read(tmp_path, "samm").usable == 2


@pytest.mark.parametrize("child", ["CASME2_RAW_selected", "CASME2_RAW_selected/CASME2_RAW_selected/sub01"])
def test_a_child_of_the_right_root_is_told_where_the_table_is(tmp_path: Path, child: str) -> None:
    root = look.casme2(tmp_path / "CASME2", ROWS)
    text = refusal(root / child)
    assert "holds no table of CASME II" in text
    assert f"but {root} does (CASME2-coding-20140508.xlsx): give that folder as the root" in text


def test_a_table_without_frames(tmp_path: Path) -> None:
    text = refusal(look.casme2(tmp_path, ROWS, frames=None))
    assert "none of the 2 clips of CASME II (sub01/EP02_01f, sub04/EP12_01f), from CASME2-coding-20140508.xlsx" in text
    assert "there are no images at all" in text


def test_the_frames_of_something_else(tmp_path: Path) -> None:
    look.casme2(tmp_path, ROWS, frames=None)
    touch(tmp_path / "006" / "006_1_2", range(3))
    assert "wanted folders such as sub01/EP02_01f, found 1 others (006/006_1_2). Is it another data set" in refusal(
        tmp_path
    )


def test_two_candidate_tables_and_the_choice_between_them(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    newer = write_xlsx(
        root / "CASME2-coding-20190701.xlsx",
        {"a": [look.CASME2_HEADER, ["01", "EP02_01f", None, 46, 59, 86, None, "4", "surprise"]]},
    )
    text = refusal(root)
    assert "2 tables of CASME II" in text
    assert "CASME2-coding-20140508.xlsx, CASME2-coding-20190701.xlsx" in text
    assert "--table PATH" in text
    assert read(root, table=str(newer)).counts == {"surprise": 1}
    assert "is not a file" in refusal(root, table=str(root / "none.xlsx"))


def test_the_same_table_twice_is_no_question(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    table = root / "CASME2-coding-20140508.xlsx"
    (root / "CASME2_RAW_selected" / table.name).write_bytes(table.read_bytes())
    assert read(root).usable == 2


def test_a_table_that_was_renamed_is_found_where_it_is_the_only_one(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    (root / "CASME2-coding-20140508.xlsx").rename(root / "labels.xlsx")
    assert read(root).usable == 2


def test_the_table_of_another_data_set(tmp_path: Path) -> None:
    root = look.full_samm(tmp_path, {"anger": 3})
    assert "none of the 3 clips of CASME II" in refusal(root)
    table = next(tmp_path.glob("*.xlsx"))
    look.casme2(tmp_path / "other", ROWS)
    assert "is not one of SAMM, wanted a name like 006_1_2" in refusal(
        tmp_path, "samm", table=str(tmp_path / "other" / "CASME2-coding-20140508.xlsx")
    )
    assert "no header with the columns" in refusal(
        root, "casme_cubed", table=str(write_csv(table.with_suffix(".csv"), [[1]]))
    )


@pytest.mark.parametrize("name", ["../sub02/EP01", "..", "a/b", "a\\b"])
def test_a_path_in_a_table_never_leaves_the_root(tmp_path: Path, name: str) -> None:
    table = [look.CASME2_HEADER, ["01", name, None, 46, 59, 86, None, "4", "surprise"]]
    write_xlsx(tmp_path / "root" / "CASME2-coding-20140508.xlsx", {"a": table})
    touch(tmp_path / "sub02" / "EP01", range(46, 87))
    text = refusal(tmp_path / "root")
    assert "row 2: clip name" in text
    assert "is a path, wanted the name of one folder below the root" in text


@pytest.mark.parametrize(("cell", "wanted"), [("", "holds no number"), ("Anna", "subject 'Anna' holds no number")])
def test_a_subject_that_is_none(tmp_path: Path, cell: str, wanted: str) -> None:
    table = [look.CASME2_HEADER, [cell, "EP02_01f", None, 46, 59, 86, None, "4", "surprise"]]
    write_xlsx(tmp_path / "CASME2-coding-20140508.xlsx", {"a": table})
    assert wanted in refusal(tmp_path)


def test_remarks_below_a_table_are_no_rows(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    table = [look.CASME2_HEADER, ["01", "EP02_01f", None, 46, 59, 86, None, "4", "surprise"], [], ["* checked twice"]]
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"a": table})
    assert len(read(root).clips) == 1


def test_a_row_of_means_is_told_and_passed_over(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    rows = [["01", "EP02_01f", None, 46, 59, 86, None, "4", "surprise"], ["MEAN", None, None, 46.2, 59.1, 86.7]]
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"a": [look.CASME2_HEADER, *rows]})
    found = read(root)
    assert len(found.clips) == 1
    (finding,) = [f for f in found.findings if f.what == "rows that are not expressions"]
    assert "row 3: subject 'MEAN' holds no number" in finding.items[0]


def test_bad_rows_become_clips_with_a_reason(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    table = [
        look.CASME2_HEADER,
        ["01", "EP02_01f", None, 46, 59, 86, None, "4+soft focus", "happiness"],
        ["04", "EP12_01f", None, 300, 270, 261, None, "4", None],
    ]
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"a": table})
    found = read(root)
    told = {finding.what: finding.items[0] for finding in found.findings}
    assert found.usable == 1
    assert "offset '261' is before onset 300" in told["clips that cannot be used"]
    assert "'soft focus'" in told["action-unit cells that are not understood"]
    assert "row 3" in told["rows without an emotion"]


def test_none_usable_is_an_error_with_the_commonest_reason(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    table = [look.CASME2_HEADER, ["01", "EP02_01f", None, "x", 59, 86, None, "4", "happiness"]]
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"a": table})
    assert "none of the 1 clips" in refusal(root)
    assert "onset 'x' is not a frame number" in refusal(root)


def test_settings_without_an_effect_are_refused(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    with pytest.raises(UsageError, match="variant = 'raw' has no effect on data set mmew: it offers apex, table"):
        read(root, "mmew", variant="raw")
    with pytest.raises(UsageError, match="option part = 'c' has no effect on data set casme2: it has no options"):
        DATASETS["casme2"].clips(root, DataSettings(options={"part": "c"}))
    with pytest.raises(UsageError, match="has no effect on data set synthetic"):
        DATASETS["synthetic"].clips(root, DataSettings(variant="raw"))
    with pytest.raises(ValueError, match="wanted one of estimate, midpoint, drop"):
        DataSettings(apex="guess")  # type: ignore[arg-type]


def test_the_summary_says_version_and_classes(tmp_path: Path) -> None:
    known = casme2.LAYOUT.published[1]
    found = read(look.full_casme2(tmp_path, known.classes))
    assert "CASME2-coding-20140508.xlsx (the 2019 table); 255 clips, 255 with frames, 26 subjects" in found.summary
    assert "surprise 28" in found.summary
    one_less = {**known.classes, "disgust": 62}
    other = read(look.full_casme2(tmp_path / "b", one_less))
    assert other.version == "no known version; nearest is the 2019 table, but with disgust 62 for 63"


def test_no_image_is_decoded(tmp_path: Path) -> None:
    """The files are empty: whoever decoded one would fail."""
    known = mmew.LAYOUT.published[0]
    root = look.full_mmew(tmp_path, known.classes)
    assert read(root, "mmew").usable == 300
