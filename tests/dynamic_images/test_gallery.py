from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.gallery import sheet_path, write_gallery
from preprocessing.cache import ClipFolder, clip_folder, write_manifest
from preprocessing.errors import ToolkitError

REJECTED = {
    "clip_id": "known/sub02/b",
    "subject": "known/sub02",
    "emotion": "<script>alert(1)</script>",
    "status": "rejected",
    "code": "no_face",
    "reason": "no face in 8 frames & nothing else",
}


@pytest.fixture
def dataset(tmp_path: Path, clip: Any, store_clip: Callable[..., ClipFolder], manifest_row: dict[str, Any]) -> Path:
    root = tmp_path / "cache" / "known"
    rows = []
    for name in ("a", "EP 02#50%"):
        clip_id = f"known/sub01/{name}"
        folder = store_clip(clip_folder(root, clip_id).folder, clip)
        build_images(folder, ImageSettings(), "upstream", apex=5)
        rows.append(manifest_row | {"clip_id": clip_id})
    write_manifest(root, [*rows, REJECTED])
    return root


def links(page: Path) -> list[Path]:
    found = re.findall(r'(?:href|src)="(?!data:,)([^"#]+)"', page.read_text("utf-8"))
    return [page.parent / unquote(link) for link in found]


def test_the_page_shows_every_clip_and_links_what_exists(dataset: Path) -> None:
    page = write_gallery(dataset)
    assert page == dataset / "index.html"
    assert len(links(page)) == 2 * 4  # per clip: its sheet twice, two thumbnails
    assert all(target.is_file() for target in links(page))
    text = page.read_text("utf-8")
    assert "data:image" not in text
    assert str(dataset) not in text  # works wherever the folder is moved
    assert "happiness 2" in text


def test_rejected_rows_are_listed_with_their_reason_and_have_no_sheet(dataset: Path) -> None:
    text = write_gallery(dataset).read_text("utf-8")
    assert "1 rejected" in text
    for part in ("known/sub02/b", "no_face", "no face in 8 frames &amp; nothing else"):
        assert part in text
    assert not sheet_path(dataset, "known/sub02/b").exists()


def test_text_from_the_data_set_is_escaped(dataset: Path) -> None:
    text = write_gallery(dataset).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_fresh_sheets_are_not_drawn_again(dataset: Path) -> None:
    told: list[tuple[int, int]] = []
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    before = sheet_path(dataset, "known/sub01/a").stat().st_mtime_ns
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 2
    build_images(clip_folder(dataset, "known/sub01/a"), ImageSettings(order="descending"), "upstream", apex=5)
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert told[2:] == [(1, 1)]
    assert sheet_path(dataset, "known/sub01/a").stat().st_mtime_ns > before


def test_a_page_elsewhere_still_finds_its_pictures(dataset: Path, tmp_path: Path) -> None:
    page = write_gallery(dataset, tmp_path / "pages" / "known.html")
    assert all(target.is_file() for target in links(page))


def test_a_data_set_of_rejected_clips_has_a_page(tmp_path: Path) -> None:
    write_manifest(tmp_path / "known", [REJECTED])
    text = write_gallery(tmp_path / "known").read_text("utf-8")
    assert "No clip has dynamic images" in text
    assert "no_face" in text


def test_no_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="mer dataset"):
        write_gallery(tmp_path / "known")
