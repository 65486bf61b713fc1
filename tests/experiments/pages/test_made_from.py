"""A report is left alone only while everything that it was made from is the same, and it itself is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.pages import made_from
from experiments.pages.made_from import is_fresh, report_key, sealed
from experiments.pages.report import write_report
from experiments.runs.run import Run
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.manifest import MANIFEST
from preprocessing.artefacts.record import RECORD, Entry


@pytest.fixture
def copied(finished: Run, toy_cache: Path, tmp_path: Path) -> tuple[Run, Path]:
    shutil.copytree(finished.folder, tmp_path / "copy" / finished.name)
    shutil.copytree(toy_cache, tmp_path / "copy" / "cache")
    run, cache = Run(tmp_path / "copy" / finished.name), tmp_path / "copy" / "cache"
    with first_clip(run, cache).writing("further", Entry("key", {})) as scratch:
        (scratch / "further.png").write_bytes(b"a picture")
    write_report(run, cache)
    return run, cache


def first_clip(run: Run, cache: Path) -> ClipFolder:
    return clip_folder(cache, run.predictions()["clip_id"][0])


def fresh(run: Run, cache: Path) -> bool:
    return is_fresh(run.report_file, report_key(run, cache))


def test_a_report_is_fresh_until_something_changes(copied: tuple[Run, Path]) -> None:
    run, cache = copied
    assert fresh(run, cache)
    before = run.report_file.read_bytes()
    write_report(run, cache)
    assert run.report_file.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda run, cache: run.report_file.write_bytes(run.report_file.read_bytes().replace(b"AFN", b"NFA", 1)),
        lambda run, cache: run.report_file.write_bytes(run.report_file.read_bytes() + b" "),
        lambda run, cache: run.report_file.unlink(),
        lambda run, cache: run.config_file.write_text("# other settings\n"),
        lambda run, cache: next(run.folder.glob("folds/*/history.csv")).write_text("epoch,loss\n1,2\n"),
        lambda run, cache: (cache / MANIFEST).write_bytes((cache / MANIFEST).read_bytes() + b"\n"),
        lambda run, cache: (first_clip(run, cache) / RECORD).write_text("{}"),
        lambda run, cache: (first_clip(run, cache) / "further.png").write_bytes(b"damaged"),
    ],
    ids=["page changed", "page longer", "page gone", "settings", "learning curve", "manifest", "record", "damage"],
)
def test_a_change_is_noticed(copied: tuple[Run, Path], change: Callable[[Run, Path], object]) -> None:
    run, cache = copied
    change(run, cache)
    assert not fresh(run, cache)


def test_its_own_source_and_libraries_count(copied: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, cache = copied
    monkeypatch.setattr(made_from, "version", lambda name: "0.0")
    assert not fresh(run, cache)
    monkeypatch.undo()
    monkeypatch.setattr(made_from, "source_digest", lambda modules: "other")
    assert not fresh(run, cache)
    monkeypatch.undo()
    monkeypatch.setattr(made_from, "entry_points", lambda group: ["a section that may read anything"])
    assert not fresh(run, cache)


def test_nothing_is_fresh_under_no_key(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(sealed("<p>", ""))
    assert not is_fresh(page, "")
    page.write_text(sealed("<p>", "ab"))
    assert is_fresh(page, "ab") and not is_fresh(page, "cd")
