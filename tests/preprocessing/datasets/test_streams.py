"""The table of precomputed streams: ids, channel lists, and each mistake in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.datasets import streams
from preprocessing.errors import DatasetError

HEADER = "clip_id,subject,label,stream_a,stream_b"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A table in a folder with the files ``a.png`` and ``sub/b.png``."""
    (tmp_path / "t" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "t" / name).write_bytes(b"")

    def write(*rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
        path = tmp_path / "t" / "table.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
        return path

    return write


def test_a_row_is_a_clip(write: Write) -> None:
    (clip,) = streams.load(write('c1,01,happiness,a.png#0,"sub/b.png#1, 2"'))
    assert (clip.clip_id, clip.subject, clip.label) == ("streams/01/c1", "streams/01", "happiness")
    assert (clip.stream_a.channels, clip.stream_b.channels) == ((0,), (1, 2))
    assert clip.stream_b.path.as_posix().endswith("t/sub/b.png")
    assert clip.stream_b.text == "sub/b.png#1, 2"


def test_subjects_of_two_data_sets_are_two_people(write: Write) -> None:
    """Clip names repeat between data sets and between subjects, not within a subject."""
    rows = ("c1,01,x,a.png,a.png,CASME2", "c1,01,x,a.png,a.png,smic", "c1,02,x,a.png,a.png,smic")
    clips = streams.load(write(*rows, header=f"{HEADER},dataset"))
    assert [clip.clip_id for clip in clips] == ["casme2/01/c1", "smic/01/c1", "smic/02/c1"]
    assert [clip.subject for clip in clips] == ["casme2/01", "smic/01", "smic/02"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "casme2/sub01/EP02_01f,casme2/sub01,x,a.png,a.png"),
        (HEADER, "EP02_01f,casme2/sub01,x,a.png,a.png"),
        (f"{HEADER},dataset", "sub01/EP02_01f,sub01,x,a.png,a.png,casme2"),
        (f"{HEADER},Dataset", "casme2/sub01/EP02_01f,sub01,x,a.png,a.png,CASME2"),
    ],
)
def test_ids_that_are_written_out_are_not_written_out_twice(write: Write, header: str, row: str) -> None:
    """So that a table made from our own manifest gives the clips their old ids back."""
    (clip,) = streams.load(write(row, header=header))
    assert (clip.clip_id, clip.subject) == ("casme2/sub01/EP02_01f", "casme2/sub01")


def test_spreadsheets_and_windows(write: Write) -> None:
    """A byte-order mark, semicolons (no quotes needed then), blanks, backslashes, an empty line."""
    path = write(" c1 ; 01;x;a.png ;sub\\b.png#1,2", "", header=HEADER.replace(",", ";"), encoding="utf-8-sig")
    (clip,) = streams.load(path)
    assert (clip.clip_id, clip.stream_b.channels) == ("streams/01/c1", (1, 2))


def test_a_way_up_that_stays_inside_is_fine(write: Write) -> None:
    (clip,) = streams.load(write("c1,01,x,sub/../a.png,./sub/b.png"))
    assert clip.stream_a.path.name == "a.png"


def test_a_link_that_stays_inside_is_fine_and_one_that_leads_out_is_refused(write: Write, tmp_path: Path) -> None:
    """A table from somebody else must not choose what is read of this machine."""
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.png").write_bytes(b"")
    (tmp_path / "t" / "inside.png").symlink_to("sub/b.png")
    (tmp_path / "t" / "file.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "t" / "folder").symlink_to(tmp_path / "out")
    assert len(streams.load(write("c1,01,x,inside.png,a.png"))) == 1
    for name in ("file.png", "folder/c.png"):
        with pytest.raises(DatasetError, match=rf"line 2: {name} is a link that leads out of the folder of table\.csv"):
            streams.load(write(f"c1,01,x,a.png,{name}"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c1,01,x,../a.png,a.png", r"line 2: stream_a is '\.\./a\.png': wanted a file in or below the folder"),
        ("c1,01,x,a.png,sub/../../a.png", "line 2: stream_b is 'sub/../../a.png': wanted a file in or below"),
        ("c1,01,x,a.png,/etc/passwd", "line 2: stream_b is '/etc/passwd': wanted a file in or below"),
        ("c1,01,x,a.png,C:\\a.png", "stream_b is 'C:.*a.png': wanted a file in or below"),
        ("c1,01,x,a.png,#1", "stream_b is '#1': wanted a file"),
        ("c1,01,x,a.png,gone.png", r"line 2: there is no file .*gone\.png; paths are relative to table\.csv$"),
        (f"c1,01,x,a.png,{'b' * 300}.png", "line 2: there is no file .*bbb.png; paths are relative to"),
        ("c1,01,x,a.png#r,gone.png", r"no file .*a\.png#r \(and 1 more\).*a channel list looks like img\.png#0,1"),
        ("c1,01,x,a.png#0,1,a.png", "line 2: 6 cells, the header has 5; a cell that holds the separator needs quotes"),
        ("c1,01,,a.png,a.png", "line 2: label is empty"),
        ("c1, ,x,a.png,a.png", "line 2: subject is empty"),
        ("c1,s#1,x,a.png,a.png", "line 2: subject 's#1' cannot be a folder name"),
        ("c1/..,s1,x,a.png,a.png", "line 2: clip_id 'c1/..' cannot be a folder name"),
        (
            "c1,s1,x,a.png,a.png\nC1,s1,y,a.png,a.png",
            r"line 3: clip streams/s1/C1 stands already in table\.csv, line 2",
        ),
        ("c1,s1,x,a.png,a.png\nc2,S1,y,a.png,a.png", "line 3: subject 'streams/S1' is written 'streams/s1' in"),
    ],
)
def test_mistakes_in_a_row(write: Write, row: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        streams.load(write(row))


def test_mistakes_in_the_table(write: Write, tmp_path: Path) -> None:
    cases = {
        write("c1,s1,x,a.png", header="clip_id,subject,label,stream_a"): "no column 'stream_b'",
        tmp_path / "nowhere.csv": "does not exist: give the CSV",
        tmp_path: "holds no CSV: give the CSV",
    }
    for path, said in cases.items():
        with pytest.raises(DatasetError, match=said):
            streams.load(path)
    with pytest.raises(DatasetError, match="dataset 'a/b' is not one word"):
        streams.load(write("c1,s1,x,a.png,a.png,a/b", header=f"{HEADER},dataset"))


def test_a_folder_stands_for_its_only_table(write: Write) -> None:
    path = write("c1,s1,x,a.png,a.png")
    assert streams.find_table(path.parent) == path
    (path.parent / "other.csv").write_text("")
    with pytest.raises(DatasetError, match=r"holds other\.csv, table\.csv: give the CSV"):
        streams.find_table(path.parent)
    (path.parent / "streams.csv").write_text("")
    assert streams.find_table(path.parent).name == "streams.csv"


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_path_leads_out_of_the_folder(text: str) -> None:
    table = Path("/data/mine/table.csv")
    try:
        source = streams._source(table, text, "line 2")
    except DatasetError:
        return
    assert source.path.resolve().is_relative_to("/data/mine")
