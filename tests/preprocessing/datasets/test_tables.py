from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import msoffcrypto.format.ooxml
import pytest

from preprocessing.datasets.reading.tables import Table, find_header, read_sheets, read_table
from preprocessing.errors import DatasetError
from tests.preprocessing.lookalikes import SAMM_HEADER, write_csv, write_xls, write_xlsx

WANTED = ("subject", "clip", "onset", "emotion")
ROW = ["006", "006_1_2", None, 5562, 5588, 5632, 71, "Micro - 1/2", "4+7", "Anger", 2, None]
PROSE = [[f"Please cite us, remark {i}"] for i in range(13)]


def write_any(path: Path, rows: list[list[object]]) -> Path:
    write: dict[str, Callable[[], Path]] = {
        ".xlsx": lambda: write_xlsx(path, {"MICRO_ONLY": rows}),
        ".xls": lambda: write_xls(path, {"MICRO_ONLY": rows}),
        ".csv": lambda: write_csv(path, rows),
    }
    return write[path.suffix]()


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".csv"])
@pytest.mark.parametrize("above", [0, 13])
def test_the_header_is_found_by_its_names_wherever_it_stands(tmp_path: Path, suffix: str, above: int) -> None:
    path = write_any(tmp_path / f"table{suffix}", [*PROSE[:above], SAMM_HEADER, ROW])
    table = read_table(path, WANTED)
    (row,) = table.rows
    assert row.number == above + 2, "rows are numbered as a spreadsheet shows them"
    assert (row.text("clip"), row.text("onset"), row.text("emotion")) == ("006_1_2", "5562", "Anger")
    assert row.text("duration") == "71"


def test_a_small_file_that_unpacks_to_hundreds_of_megabytes_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_any(tmp_path / "table.xlsx", [SAMM_HEADER, ROW])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/more.xml", b"a" * 60_000_000)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr("openpyxl.load_workbook", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(
        DatasetError, match=r"table\.xlsx unpacks to 60 MB of text, a table of annotations to at most 50"
    ):
        read_sheets(path)


def test_leading_zeros_of_text_stay(tmp_path: Path) -> None:
    path = write_any(tmp_path / "table.xlsx", [SAMM_HEADER, ROW])
    assert read_table(path, WANTED).rows[0].text("subject") == "006"


def test_columns_go_by_name_so_empty_ones_may_come_and_go(tmp_path: Path) -> None:
    header, row = ["Subject", "Filename", "OnsetFrame", "Estimated Emotion"], ["01", "EP02_01f", 46, "happiness"]
    gaps = [[*cells[:2], None, *cells[2:3], None, None, *cells[3:]] for cells in (header, row)]
    tables = [
        read_table(write_any(tmp_path / f"{i}.xlsx", rows), WANTED) for i, rows in enumerate([[header, row], gaps])
    ]
    without, with_gaps = [[dict(r.cells) for r in table.rows] for table in tables]
    assert without == with_gaps


def test_the_right_sheet_is_found_among_others(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"readme": PROSE, "label": [SAMM_HEADER, ROW], "Sheet3": []})
    assert len(read_table(path, WANTED).rows) == 1


def test_empty_rows_are_no_rows_and_do_not_shift_the_numbers(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"a": [SAMM_HEADER, ROW, [], [None, " "], ROW]})
    assert [row.number for row in read_table(path, WANTED).rows] == [2, 5]


def test_casme_has_a_duration_called_onset_beside_the_onset() -> None:
    header = [
        "Subject",
        "Filename",
        None,
        "OnsetF",
        "ApexF1",
        "ApexF2",
        "OffsetF",
        None,
        "Onset",
        "Total",
        "AU",
        "Emotion",
    ]
    found = find_header({"Sheet1": [header]}, WANTED)
    assert found is not None
    assert found[2]["onset"] == 3


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8-sig", ","), ("utf-8", ";"), ("gb18030", "\t"), ("latin-1", ",")]
)
def test_text_tables_of_every_office(tmp_path: Path, encoding: str, delimiter: str) -> None:
    word = "é" if encoding == "latin-1" else "惊讶" if encoding == "gb18030" else "surprise"
    rows = [["Subject", "Filename", "OnsetFrame", "Emotion"], ["1", "EP01_1", "3", word]]
    path = write_csv(tmp_path / "t.csv", rows, encoding, delimiter)
    assert read_table(path, WANTED).rows[0].text("clip") == "EP01_1"


def test_another_table_is_named_with_what_it_holds(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "marks.xlsx", {"a": [["Student", "Mark"], ["Anna", 1]]})
    with pytest.raises(
        DatasetError, match=r"marks.xlsx has no header .*holds Student, Mark\): is it the table of another"
    ):
        read_table(path, WANTED)


def test_a_header_without_rows_is_an_error(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"a": [SAMM_HEADER]})
    with pytest.raises(DatasetError, match="no rows below"):
        read_table(path, WANTED)


def test_a_table_with_a_password_is_one_sentence(tmp_path: Path) -> None:
    plain = write_xlsx(tmp_path / "plain.xlsx", {"a": [SAMM_HEADER, ROW]})
    locked = tmp_path / "locked.xlsx"
    with plain.open("rb") as source, locked.open("wb") as target:
        msoffcrypto.format.ooxml.OOXMLFile(source).encrypt("secret", target)
    with pytest.raises(DatasetError, match="protected by a password"):
        read_table(locked, WANTED)


@pytest.mark.parametrize("name", ["empty.xlsx", "empty.xls", "text.xlsx", "bytes.csv", "html.xls"])
def test_files_that_are_no_tables(tmp_path: Path, name: str) -> None:
    content = {"text.xlsx": b"hello", "bytes.csv": b"a,b\n\0\1\2,\n", "html.xls": b"<html><table></table></html>"}
    path = tmp_path / name
    path.write_bytes(content.get(name, b""))
    with pytest.raises(DatasetError, match=name):
        read_table(path, WANTED)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_sheets(tmp_path / "none.xlsx")


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".csv"])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    """150 damaged files of each kind: cut short, or with bytes replaced."""
    whole = write_any(tmp_path / f"whole{suffix}", [*PROSE, SAMM_HEADER, *([ROW] * 20)]).read_bytes()
    path, draw = tmp_path / f"damaged{suffix}", random.Random(0)
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        if draw.random() < 0.3:
            data = data[: draw.randrange(len(data))]
        else:
            for _ in range(draw.choice([1, 3, 20, 200])):
                data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(bytes(data))
        try:
            outcomes.add(type(read_table(path, WANTED)))
        except DatasetError as error:
            assert path.name in str(error)
            assert "\n" not in str(error)
            outcomes.add(DatasetError)
    assert outcomes == {Table, DatasetError}


def test_what_the_libraries_say_about_odd_files_stays_off_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_xls(tmp_path / "t.xls", {"a": [SAMM_HEADER, ROW]}).read_bytes()
    (tmp_path / "t.xls").write_bytes(data + b"\0" * 7)  # xlrd comments on the size
    read_sheets(tmp_path / "t.xls")
    assert capfd.readouterr() == ("", "")
