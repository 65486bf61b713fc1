from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.inspection.gallery import frames_path, sheet_path, write_gallery
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.manifest import read_manifest, write_manifest, write_manifest_table
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
        images = build_images(folder, ImageSettings(), "upstream", apex=5)
        rows.append(manifest_row | images | {"clip_id": clip_id})
    write_manifest(root, [*rows, REJECTED])
    return root


def known(page: Path) -> dict[str, Any]:
    """What the page knows of its clips."""
    text = page.with_suffix(".data.js").read_text("utf-8")
    content: dict[str, Any] = json.loads(text.removeprefix("window.GALLERY = ").rstrip(";\n"))
    return content


def pictures(page: Path) -> list[Path]:
    """What the script will ask for."""
    content = known(page)
    good = [c for c in content["clips"] if c["status"] == "ok"]
    links = [f"{c['folder']}/{stem}.png" for c in good for stem in content["pictures"]]
    links += [link for c in good for link in (c["sheet"], f"{c['strips']}/0.jpg")]
    return [page.parent / unquote(link) for link in links]


def test_the_page_knows_every_clip_and_its_pictures_exist(dataset: Path) -> None:
    page = write_gallery(dataset)
    assert page == dataset / "index.html"
    assert len(pictures(page)) == 2 * 4
    assert all(target.is_file() for target in pictures(page))
    first = known(page)["clips"][0]
    assert (first["frames"], first["apex"], first["apex_source"]) == (12, 5, "annotated")
    assert len(first["curve"]) == 12 and max(first["curve"]) > 0.5
    assert 0 < first["floor"] < max(first["curve"]) and first["notes"] == []
    assert dict(zip(known(page)["columns"], first["numbers"], strict=True))["residual_px"] == 0.031
    text = page.read_text("utf-8")
    assert str(dataset) not in text  # works wherever the folder is moved
    assert "happiness (2)" in text and "2 usable clips" in text


def test_the_page_says_which_clip_does_not_stand_above_its_own_noise(dataset: Path) -> None:
    table = read_manifest(dataset)
    table.loc[1, "noise_floor"] = 2 * table.loc[1, "peak_intensity"]
    write_manifest_table(dataset, table)
    first, second = known(write_gallery(dataset))["clips"][:2]
    assert first["notes"] == []
    assert second["floor"] > max(second["curve"])
    assert [note.split(":")[0] for note in second["notes"]] == ["does not stand above this clip's own noise"]


def test_nothing_is_inlined_but_the_look(dataset: Path) -> None:
    page = write_gallery(dataset)
    text = page.read_text("utf-8")
    assert "data:image" not in text and "base64" not in text
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,", "index.data.js"]
    assert "sub01/a" not in text, "clips are known in one place"
    assert len(text) < 60_000


def test_rejected_rows_are_listed_with_their_reason_and_have_no_pictures(dataset: Path) -> None:
    page = write_gallery(dataset)
    assert "1 rejected: 1 × <b>no_face</b>" in page.read_text("utf-8")
    last = known(page)["clips"][-1]
    assert (last["id"], last["code"], last["reason"]) == (
        "known/sub02/b",
        "no_face",
        "no face in 8 frames & nothing else",
    )
    assert not sheet_path(dataset, "known/sub02/b").exists()
    assert not frames_path(dataset, "known/sub02/b").exists()


def test_text_from_the_data_set_is_escaped(dataset: Path) -> None:
    text = write_gallery(dataset).read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_fresh_pictures_are_not_drawn_again(dataset: Path) -> None:
    told: list[tuple[int, int]] = []
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    drawn = [sheet_path(dataset, "known/sub01/a"), frames_path(dataset, "known/sub01/a") / "0.jpg"]
    before = [path.stat().st_mtime_ns for path in drawn]
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 2
    build_images(clip_folder(dataset, "known/sub01/a"), ImageSettings(order="descending"), "upstream", apex=5)
    write_gallery(dataset, progress=lambda done, total: told.append((done, total)))
    assert told[2:] == [(1, 1)]
    assert all(path.stat().st_mtime_ns > old for path, old in zip(drawn, before, strict=True))


def test_a_page_elsewhere_still_finds_its_pictures(dataset: Path, tmp_path: Path) -> None:
    page = write_gallery(dataset, tmp_path / "pages" / "known.html")
    assert all(target.is_file() for target in pictures(page))


def test_a_data_set_of_rejected_clips_has_a_page(tmp_path: Path) -> None:
    write_manifest(tmp_path / "known", [REJECTED])
    page = write_gallery(tmp_path / "known")
    assert "No clip has dynamic images" in page.read_text("utf-8")
    assert known(page)["clips"][0]["code"] == "no_face"


def test_no_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="mer dataset"):
        write_gallery(tmp_path / "known")
