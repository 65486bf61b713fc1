from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.datasets.reading.folders import in_parents, look_through, shown
from preprocessing.errors import DatasetError
from preprocessing.video import list_images
from tests.preprocessing.lookalikes import touch, write_csv


def test_clips_are_found_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path / "RAW" / "RAW" / "sub01" / "EP01", range(1, 4))
    touch(tmp_path / "sub02" / "EP01", range(1, 6))
    tree = look_through(tmp_path)
    assert {str(f): f.images for f in tree.images} == {"RAW/RAW/sub01/EP01": 3, "sub02/EP01": 5}


def test_what_systems_leave_behind_is_no_image(tmp_path: Path) -> None:
    folder = touch(tmp_path / "sub01" / "EP01", range(1, 4))
    for name in ("Thumbs.db", ".DS_Store", "._img1.jpg", "notes.txt"):
        (folder / name).touch()
    touch(tmp_path / "__MACOSX" / "sub01" / "EP01", range(1, 4))
    touch(tmp_path / ".hidden" / "EP01", range(1, 4))
    (f,) = look_through(tmp_path).images
    assert f.images == 3
    assert list(list_images(folder)) == [1, 2, 3]


def test_padding_and_blanks_in_names_do_not_matter(tmp_path: Path) -> None:
    for name in ("img0009.jpg", "img10.JPG", "img011 .png", "reg_img8.bmp"):
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path).values()] == [
        "reg_img8.bmp",
        "img0009.jpg",
        "img10.JPG",
        "img011 .png",
    ]


def test_a_loop_of_links_ends_and_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "sub01" / "EP01", range(1, 4))
    (tmp_path / "sub01" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    tree = look_through(tmp_path)
    assert [str(f) for f in tree.images] == ["sub01/EP01"]
    assert any("again links to a folder that is listed already" in text for text in tree.unreadable)


def test_a_link_to_a_disk_elsewhere_is_followed(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "sub01" / "EP01", range(1, 4))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "frames").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert [str(f) for f in look_through(tmp_path / "root").images] == ["frames/sub01/EP01"]


def test_tables_and_empty_folders_are_seen(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "deep" / "codes.csv", [["a"]])
    (tmp_path / "deep" / "~$codes.xlsx").touch()  # left behind by a spreadsheet that is open
    (tmp_path / "s18_sur_03").mkdir()
    tree = look_through(tmp_path)
    assert tree.tables == (table,)
    assert {str(f) for f in tree.empty} == {"deep", "s18_sur_03"}


def test_tables_above_the_root_are_a_hint(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "codes.csv", [["a"]])
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert table.resolve() in list(in_parents(tmp_path / "a" / "b"))


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_none(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "file":
        root.touch()
    with pytest.raises(DatasetError, match="give the folder"):
        look_through(root)


def test_a_long_list_is_cut_in_a_sentence() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
