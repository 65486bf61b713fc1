"""The gallery as a browser shows it. `visit` refuses anything on the console and any request to a network."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynamic_images.build import ImageSettings, build_images
from dynamic_images.inspection.gallery import PAGE, write_gallery, write_page
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest, write_manifest
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import read_stack

Visit = Callable[..., Any]
TITLES = {"temporal_ranked": "TRDI", "motion_intensity": "MIDI"}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, make_clip: Any, store_clip: Any, manifest_row: Any) -> Path:
    """Four usable clips of two subjects and a rejected one; c is longer than one film strip."""
    root = tmp_path_factory.mktemp("cache") / "known"
    rows = []
    for name, subject, emotion, frames, head in (
        ("a", "sub01", "happiness", 12, 0.3),
        ("b#1 50%", "sub01", "disgust", 9, 0.1),
        ("c", "sub02", "happiness", 70, None),
        ("d", "sub02", "surprise", 12, 0.2),
    ):
        clip_id = f"known/{subject}/{name}"
        folder = store_clip(clip_folder(root, clip_id).folder, make_clip(n_frames=frames))
        images = build_images(folder, ImageSettings(), "upstream", apex=5)
        facts = {"clip_id": clip_id, "subject": f"known/{subject}", "emotion": emotion, "n_frames": frames}
        rows.append(manifest_row | images | facts | {"head_motion": head})
    lost = {"status": "rejected", "code": "no_face", "reason": "no face in <b>8</b> frames"}
    facts = {"clip_id": "known/sub03/z", "subject": "known/sub03", "emotion": "surprise"}
    write_manifest(root, [*rows, facts | lost])
    return write_gallery(root)


def listed(page: Any) -> list[str]:
    """Names of the visible clips, in order; what is just being drawn has no inner text yet, but its own."""
    return [text.strip().rsplit("/", 1)[1] for text in page.locator(".clip:visible b").all_text_contents()]


def painted(page: Any) -> None:
    """Wait until the film strip of the frame is loaded and drawn."""
    page.evaluate(
        """async () => {
            const strip = new Image();
            strip.src = getComputedStyle(document.querySelector("#frame")).backgroundImage.slice(5, -2);
            await strip.decode();
            for (let k = 0; k < 2; k++) await new Promise(requestAnimationFrame);
        }"""
    )


def readout(page: Any) -> str:
    return str(page.locator("#readout").inner_text())


def test_all_clips_are_there_side_by_side(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    assert listed(page) == ["a", "b#1 50%", "c", "d", "z"]
    assert page.locator("#count").inner_text() == "5 of 5 clips"
    images = page.locator(".clip img")
    assert images.count() == 8
    page.wait_for_function("[...document.querySelectorAll('.clip img')].every(i => i.complete && i.naturalWidth)")
    left, right = (images.nth(k).bounding_box() for k in (0, 1))
    assert left["y"] == right["y"] and left["x"] < right["x"]
    assert [images.nth(k).get_attribute("alt") for k in (0, 1)] == ["TRDI of known/sub01/a", "MIDI of known/sub01/a"]
    assert "no face in <b>8</b> frames" in page.locator(".clip.rejected").inner_text()


def test_filters_narrow_and_show_all_widens(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.get_by_label("Subject").select_option("known/sub02")
    assert listed(page) == ["c", "d"]
    page.get_by_label("Emotion").select_option("surprise")
    assert listed(page) == ["d"]
    page.get_by_label("Subject").select_option("")
    assert listed(page) == ["d", "z"]
    page.get_by_label("Status").select_option("rejected")
    assert listed(page) == ["z"]
    assert page.locator("#count").inner_text() == "1 of 5 clips"
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('#count').textContent === '5 of 5 clips'")


def test_sorting_by_a_number_puts_clips_without_one_last(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.get_by_label("Sort by").select_option("head_motion")
    assert listed(page) == ["b#1 50%", "d", "a", "c", "z"]
    assert "head motion 0.1" in page.locator(".clip:visible").first.inner_text()
    page.get_by_label("Direction").select_option("-1")
    assert listed(page) == ["a", "d", "b#1 50%", "c", "z"]
    page.get_by_label("Sort by").select_option("frames")
    assert listed(page)[0] == "c"


def test_a_click_opens_sheet_and_frames_and_the_scrubber_moves_them(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.locator(".clip .open").nth(2).click()
    assert page.locator("#title").inner_text() == "known/sub02/c"
    page.wait_for_function("document.querySelector('#sheet').naturalWidth === 1200")
    assert "frame 0 of 0–69 (onset) · 0 ms" in readout(page)
    painted(page)
    first = page.locator("#frame").screenshot()
    page.get_by_label("Frame", exact=True).fill("5")
    assert "frame 5 of 0–69 (apex) · 25 ms" in readout(page)
    assert page.locator("#frame").screenshot() != first, "the face has moved"
    where = page.locator("#curve .now").evaluate("e => e.style.left")
    assert float(where.rstrip("%")) == pytest.approx(100 * 5 / 69, abs=1e-3)
    page.get_by_role("button", name="offset").click()
    assert "frame 69 of 0–69 (offset)" in readout(page)
    assert "frames/sub02/c/1.jpg" in page.locator("#frame").evaluate("e => e.style.backgroundImage")
    painted(page)
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 30 / 69, box["y"] + box["height"] / 2)
    assert "frame 30 of" in readout(page)


def test_frames_are_drawn_where_they_are_said_to_be(gallery: Path, visit: Visit) -> None:
    """The picture of frame t is the crop t: compared in the page's own pixels."""
    page = visit(gallery)
    page.locator(".clip .open").first.click()
    crops = read_stack(gallery.parent / "clips/sub01/a/crops.mkv")
    for t in (0, 5):
        page.get_by_label("Frame", exact=True).fill(str(t))
        painted(page)
        path = gallery.parent / f"shown-{t}.png"
        page.locator("#frame").screenshot(path=path)
        shown = np.asarray(Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BOX), float)
        errors = [np.abs(shown[4:-4, 4:-4] - crop[4:-4, 4:-4]).mean() for crop in crops]
        assert abs(int(np.argmin(errors)) - t) <= 1, errors  # neighbours differ by 0.3 px at one mouth corner
        path.unlink()


def test_keys_step_frames_and_clips_and_the_focus_comes_back(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.locator(".clip .open").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "scrubber"
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert "frame 1 of" in readout(page)
    for key, frame in (("End", 11), ("ArrowRight", 11), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert f"frame {frame} of" in readout(page), key
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#title").inner_text() == "known/sub01/b#1 50%"
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('#viewer').open")
    page.wait_for_function("document.activeElement.textContent.includes('b#1 50%')")


def test_turning_keeps_to_what_is_listed(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.get_by_label("Sort by").select_option("head_motion")
    page.get_by_label("Emotion").select_option("happiness")
    page.locator(".clip:visible .open").first.click()
    assert page.get_by_role("button", name="clip before").is_disabled()
    page.get_by_role("button", name="next clip").click()
    assert page.locator("#title").inner_text() == "known/sub02/c"
    assert page.get_by_role("button", name="next clip").is_disabled()


def test_a_clip_can_be_linked_to(gallery: Path, visit: Visit) -> None:
    page = visit(gallery)
    page.goto(gallery.as_uri() + "#known%2Fsub02%2Fd")
    page.reload()
    assert page.locator("#title").inner_text() == "known/sub02/d"


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_a_narrow_page_does_not_scroll_sideways(gallery: Path, visit: Visit, sideways: Any, colors: str) -> None:
    page = visit(gallery, width=400, height=800, colors=colors)
    assert sideways(page) == []
    page.locator(".clip .open").first.click()
    assert sideways(page) == []
    wide = "e => e.scrollWidth - e.clientWidth"
    assert page.locator("#viewer").evaluate(wide) == 0


def test_a_clip_without_frames_shows_its_images(gallery: Path, visit: Visit, tmp_path: Path) -> None:
    """As of images that came precomputed: a link, and no viewer."""
    root = Path(shutil.copytree(gallery.parent, tmp_path / "known"))
    (root / "clips/sub01/a/intensity.npy").unlink()
    rows = [{str(k): v for k, v in row.items()} for row in read_manifest(root).to_dict("records")]
    page = visit(write_page(root, rows, root / PAGE, TITLES))
    link = page.locator(".clip .open").first
    assert link.get_attribute("href").endswith("clips/sub01/a/temporal_ranked.png")
    assert "frames" not in page.locator(".clip").first.inner_text()
    page.locator(".clip .open").nth(1).click()
    assert page.get_by_role("button", name="clip before").is_disabled(), "there are no frames to turn to"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "side"), [(1000, 224), (10_000, 64)])
def test_thousands_of_clips_open_and_filter_at_once(
    tmp_path: Path, manifest_row: dict[str, Any], visit: Visit, count: int, side: int
) -> None:
    """Sixty frames each, thumbnails of full size of the thousand. What makes it quick is asserted; the times are
    printed (``-s``).
    """
    root = tmp_path / "many"
    noise = np.random.default_rng(0).normal(128, 12, (side, side, 3)).clip(0, 255).astype(np.uint8)
    rows = []
    for number in range(count):
        clip_id = f"many/s{number // 40:03d}/c{number % 40:02d}"
        if number < 50:
            with clip_folder(root, clip_id).writing("images", Entry("known", plain(ImageSettings()))) as folder:
                for name in TITLES:
                    Image.fromarray(np.roll(noise, number, axis=0)).save(folder / f"{name}.png", compress_level=1)
                np.save(folder / "intensity.npy", np.sin(np.linspace(0, np.pi, 60), dtype=np.float32))
        else:
            same = clip_folder(root, rows[number % 50]["clip_id"])
            shutil.copytree(same.folder, clip_folder(root, clip_id).folder)
        numbers = {f"number_{k}": (number * (k + 7)) % 101 / 101 for k in range(15)}
        facts = {"clip_id": clip_id, "subject": f"many/s{number // 40:03d}", "emotion": f"e{number % 5}"}
        rows.append(manifest_row | facts | numbers)
    page_file = write_page(root, rows, root / PAGE, TITLES)
    data = page_file.with_suffix(".data.js").stat().st_size
    opened = []
    for _ in range(7):
        start = time.perf_counter()
        page = visit(page_file)
        page.wait_for_function(
            "[...document.querySelectorAll('.clip img')].slice(0, 8).every(i => i.complete && i.naturalWidth)"
        )
        opened.append(time.perf_counter() - start)
    page.wait_for_timeout(2000)  # "networkidle" never comes on pages of files with lazily loaded pictures
    loaded = page.evaluate("[...document.querySelectorAll('.clip img')].filter(i => i.naturalWidth).length")
    start = time.perf_counter()
    page.get_by_label("Emotion").select_option("e3")
    page.get_by_label("Sort by").select_option("number_3")
    filtered = time.perf_counter() - start
    times = f"median {np.median(opened):.2f} s, {min(opened):.2f} to {max(opened):.2f} s ({len(opened)} times)"
    print(f"\nopened in {times}; filtered and sorted in {filtered:.2f} s; {loaded} pictures, {data / 1e3:.0f} kB")
    assert page.locator("#count").inner_text() == f"{count // 5} of {count} clips"
    assert page.locator(".clip").count() == count
    assert loaded < 200, "of two thumbnails of each clip only those near the screen are loaded"
    assert data < 1_000 * count
    page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 5_000
