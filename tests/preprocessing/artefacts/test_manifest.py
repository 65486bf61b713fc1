"""The manifest comes back as it was written, and what is none is refused with the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.artefacts.manifest import MANIFEST, read_manifest, write_manifest
from preprocessing.errors import ToolkitError


def row(clip_id: str, **more: object) -> dict[str, object]:
    return {"clip_id": clip_id, "subject": clip_id.rsplit("/", 1)[0], "status": "ok", **more}


def test_a_manifest_comes_back_in_order(tmp_path: Path) -> None:
    rows = [row(f"d/{s}/1", n_frames=7) for s in ("b", "a", "007")]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path).to_dict("records") == rows


def test_a_missing_manifest_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="`mer dataset casme2` first"):
        read_manifest(tmp_path / "casme2")


def test_a_word_that_pandas_takes_for_nothing_stays_a_word(tmp_path: Path) -> None:
    labels = ("none", "NA", None)
    write_manifest(tmp_path, [row(f"a/b/{i}", emotion=word, apex=None) for i, word in enumerate(labels)])
    table = read_manifest(tmp_path)
    assert table["emotion"].tolist()[:2] == ["none", "NA"]
    assert table["emotion"].isna().tolist() == [False, False, True] and table["apex"].isna().all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a manifest"),
        (b"\xff\xfe\x00clip_id", "is not a manifest"),
        (b'clip_id,subject,status\n"a/b/c,a/b,ok\n', "is not a manifest"),
        (b"name,age\nx,3\n", "it has no column clip_id"),
        (b"clip_id,subject,status\na/b/c,,ok\n", "line 2 has no subject"),
        (b"clip_id,subject,status\na/b/c,a/b,ok\na/b/c,a/b,ok\n", "it has a/b/c twice"),
        (b"clip_id,subject,status\na/b/c,a/b,oj\n", "a status is 'oj'"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ToolkitError, match=f"{said}.*run `mer dataset {tmp_path.name}` again"):
        read_manifest(tmp_path)


def test_every_truncation_is_refused_or_misses_rows_at_the_end_only(tmp_path: Path) -> None:
    write_manifest(tmp_path, rows := [row(f"d/s/{i}", n_frames=70) for i in range(3)])
    whole = (tmp_path / MANIFEST).read_bytes()
    for length in range(len(whole)):
        (tmp_path / MANIFEST).write_bytes(whole[:length])
        try:
            found = read_manifest(tmp_path)["clip_id"].tolist()
        except ToolkitError:
            continue
        assert found == [r["clip_id"] for r in rows][: len(found)]
