"""A cache of several data sets: where the clips of each lie, and which lists are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.members import MEMBERS, read_members, write_members
from preprocessing.errors import ToolkitError


def test_clips_are_found_in_the_folder_of_their_data_set(tmp_path: Path) -> None:
    cache = tmp_path / "both"
    assert clip_folder(cache, "one/s1/c1").folder == cache / "clips" / "s1" / "c1"
    write_members(cache, {"one": "../one", "two": "inside"})
    assert clip_folder(cache, "one/s1/c1").folder == cache / "../one/clips/s1/c1"
    assert clip_folder(cache, "two/s1/c1").folder == cache / "inside/clips/s1/c1"
    assert clip_folder(cache, "three/s1/c1").folder == cache / "clips" / "s1" / "c1"
    write_members(cache, {})
    assert clip_folder(cache, "one/s1/c1").folder == cache / "clips" / "s1" / "c1"


@pytest.mark.parametrize("text", [b"{", b'["one"]', b"null", b"\xff", b"[" * 100_000], ids=str)
def test_a_damaged_list_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / MEMBERS).write_bytes(text)
    with pytest.raises(ToolkitError, match=r"members\.json is no list of folders.*: run `mer dataset"):
        clip_folder(tmp_path, "one/s1/c1")


@pytest.mark.parametrize(
    "folder",
    ["/tmp", "../../x", "../x/y", "..", "../", "../..", "a/../../b", "a//b", "", ".", "C:/x", "..\\x", "a\0b", 3, None],
)
def test_folders_elsewhere_are_refused(tmp_path: Path, folder: object) -> None:
    """Artefacts are written there: a list from somebody else must not choose where."""
    (tmp_path / MEMBERS).write_text(json.dumps({"one": folder}))
    with pytest.raises(ToolkitError, match=r"the folder of one is .*run `mer dataset"):
        read_members(tmp_path)


@pytest.mark.parametrize("clip_id", ["one", "one/", "one/../x", "one/./x", "one/s//c", "one/..", "one/s\\c"])
def test_an_id_leads_to_a_clip_and_nowhere_else(tmp_path: Path, clip_id: str) -> None:
    with pytest.raises(ToolkitError, match="is no clip id"):
        clip_folder(tmp_path, clip_id)
