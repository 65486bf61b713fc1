from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.datasets import DATASETS, DataSettings, Survey, casme2
from preprocessing.datasets.reading.check import FINE, WARNINGS, decode, page
from tests.preprocessing import lookalikes as look


def read(root: Path) -> Survey:
    _, found = DATASETS["casme2"].clips(root, DataSettings())
    assert found is not None
    return found


@pytest.fixture
def published(tmp_path: Path) -> Path:
    known = casme2.LAYOUT.published[0]
    return look.full_casme2(tmp_path / "CASME2", known.classes)


def test_a_full_copy_is_fine(published: Path) -> None:
    text, code = page(read(published))
    assert code == FINE
    assert "Fine: this is CASME II as published." in text
    assert "the 2014 table" in text
    assert "246 clips of 26 subjects: happiness 32, disgust 63" in " ".join(text.split())


def test_it_reads_at_80_columns(published: Path) -> None:
    for folder in list((published / "CASME2_RAW_selected" / "CASME2_RAW_selected" / "sub01").iterdir()):
        for file in folder.iterdir():
            file.unlink()
    text, code = page(read(published))
    assert code == WARNINGS
    assert max(map(len, text.splitlines())) <= 80 or str(published) in text
    assert all(len(line) <= 80 or str(published) in line for line in text.splitlines())


def test_warnings_are_counted_and_the_first_are_named(published: Path) -> None:
    raw = published / "CASME2_RAW_selected" / "CASME2_RAW_selected"
    gone = sorted((raw / "sub01").iterdir())
    for folder in gone:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    found = read(published)
    text, _ = page(found)
    assert f"{len(gone)} × rows without a folder" in text
    assert f"and {len(gone) - 3} more (--all lists them)" in text
    assert f"{255 - len(gone)} with their frames" in text
    everything, _ = page(found, most=0)
    assert all(folder.name in everything for folder in gone)


def test_counts_that_differ_are_marked(tmp_path: Path) -> None:
    text, code = page(read(look.full_casme2(tmp_path, {"others": 3})))
    assert code == WARNINGS
    assert "others         3         99  differs" in text
    assert "counts that differ from the published ones" in " ".join(text.split())


def test_decoding_finds_the_broken_frame(tmp_path: Path, write_frames: Callable[..., Path]) -> None:
    rows = [("01", "EP01_1", 1, 2, 4, "", "others"), ("02", "EP01_1", 1, 2, 4, "", "others")]
    look.casme2(
        tmp_path,
        rows,
        lambda at, numbers: write_frames(at, [np.zeros((8, 8, 3), np.uint8)] * len(numbers), "img{}.jpg"),
    )
    bad = tmp_path / "CASME2_RAW_selected" / "CASME2_RAW_selected" / "sub02" / "EP01_1" / "img3.jpg"
    bad.write_bytes(b"no image")
    results = {clip.clip_id: reason for clip, reason in decode(read(tmp_path).clips)}
    assert results["casme2/sub01/EP01_1"] is None
    assert "img3.jpg cannot be decoded" in str(results["casme2/sub02/EP01_1"])
