from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from preprocessing.datasets import DATASETS
from preprocessing.datasets.reading.corrections import Correction, correct, read_corrections
from preprocessing.datasets.reading.layout import Row
from preprocessing.errors import DatasetError

ROW = Row("table.xlsx, row 61", "032", "032_3_1", (), {"onset": 4896, "apex": 1930, "offset": 4970})
FIX = Correction("samm/032/032_3_1", "apex", "1930", "4930", "a typing error")
SHIPPED = sorted(
    path.name.removesuffix(".csv") for path in files("preprocessing.datasets").joinpath("corrections").iterdir()
)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_corrections_are_whole_and_belong_to_a_data_set(name: str) -> None:
    assert name in DATASETS
    _, corrections = read_corrections(name, "shipped")
    assert corrections
    for correction in corrections:
        assert correction.clip_id.startswith(f"{name}/")
        assert correction.reason
        assert correction.old != correction.new
    assert len({(c.clip_id, c.field) for c in corrections}) == len(corrections)


def test_a_correction_changes_its_cell_only() -> None:
    (row,), done, unknown = correct(["samm/032/032_3_1"], [ROW], [FIX], "fixes.csv")
    assert row.cells == {**ROW.cells, "apex": "4930"}
    assert ROW.cells["apex"] == 1930
    assert done == ["samm/032/032_3_1: apex 1930 → 4930 (a typing error)"]
    assert unknown == []


def test_a_cell_that_is_right_already_is_left_alone() -> None:
    right = Row(ROW.where, ROW.subject, ROW.name, (), {**ROW.cells, "apex": 4930})
    assert correct(["samm/032/032_3_1"], [right], [FIX], "fixes.csv") == ([right], [], [])


def test_another_old_value_is_an_error() -> None:
    other = Row(ROW.where, ROW.subject, ROW.name, (), {**ROW.cells, "apex": 4945})
    with pytest.raises(
        DatasetError, match=r"'1930' to correct, but table.xlsx, row 61 holds '4945': use --corrections none"
    ):
        correct(["samm/032/032_3_1"], [other], [FIX], "fixes.csv")


def test_a_clip_that_is_not_there_is_told() -> None:
    assert correct(["samm/006/006_1_2"], [ROW], [FIX], "fixes.csv")[2] == [str(FIX)]


def test_ones_own_file_replaces_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "clip_id,field,old,new,reason\nsamm/006/006_1_2,emotion,Anger,Fear,looked again\n", encoding="utf-8"
    )
    name, (one,) = read_corrections("samm", str(path))
    assert (name, one.field, one.new) == (str(path), "emotion", "Fear")
    assert read_corrections("samm", "none") == ("none", [])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("clip_id,field\na,b\n", "has no column 'old'.*; wanted clip_id, field, old, new, reason"),
        ("clip_id,field,old,new,reason\na,mood,1,2,x\n", "field 'mood'"),
        (
            f"clip_id,field,old,new,reason\na,apex,1,2,{'x' * 140_000}\n",
            "line 2: not CSV .a cell has more than 131,072",
        ),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "c.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=match):
        read_corrections("samm", str(tmp_path / "c.csv"))
    with pytest.raises(DatasetError, match=r"none\.csv does not exist"):
        read_corrections("samm", str(tmp_path / "none.csv"))
