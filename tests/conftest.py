"""What tests of several rooms share: small inputs written by the tests, a drawn face, and where real clips lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Face:
    """A picture with one face in it and where its 68 landmarks are."""

    picture: NDArray[np.uint8]  # (H, W, 3) RGB
    points: NDArray[np.float64]  # (68, 2) px


@pytest.fixture(autouse=True, scope="session")
def single_threaded_opencv() -> None:
    """As in the workers of the command line; results do not depend on it, the time on a small machine does."""
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of real face clips beside the repository; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "real_clips"
    if not folder.is_dir():
        pytest.skip("needs the real face clips in ../shared/real_clips")
    return folder


@pytest.fixture(scope="session")
def write_frames() -> Callable[..., Path]:
    """``write_frames(folder, frames, "img{}.png")``: numbered images, from 1."""

    def write(folder: Path, frames: Iterable[NDArray[Any]], pattern: str = "img{}.png") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, start=1):
            picture = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(folder / pattern.format(number)), picture)
        return folder

    return write


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """``write_video(path, frames, fourcc="MJPG", fps=25)``: a video file of RGB frames."""

    def write(path: Path, frames: Iterable[NDArray[Any]], fourcc: str = "MJPG", fps: float = 25) -> Path:
        pictures = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
        height, width = pictures[0].shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, (width, height))
        if not writer.isOpened():
            pytest.skip(f"this OpenCV cannot write {fourcc} videos")
        for picture in pictures:
            writer.write(picture)
        writer.release()
        return path

    return write


@pytest.fixture(scope="session")
def drawn_face() -> Face:
    """A drawn person as recorded without motion and noise, 320 x 360 px, with the true landmarks."""
    from preprocessing.synthetic.corpus import draw_clip
    from preprocessing.synthetic.settings import CorpusSettings

    settings = CorpusSettings(width=320, height=360, noise=0)
    truth, frames = draw_clip(settings, subject=1, clip=0, emotion="happiness")
    return Face(next(frames), truth.landmarks[0])


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium of the system for the whole session; tests that need it are skipped where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs a Chromium on the PATH (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=[*quiet, "--no-first-run", "--disable-sync"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """``visit(path, width=1280, height=900, colors="light")``: the page of a file as a browser shows it.

    When the test ends, no page may have said anything on its console, failed to load a file, or asked for anything
    that is neither a file nor inline.
    """
    pages, complaints = [], []

    def open_page(path: Path, width: int = 1280, height: int = 900, colors: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colors)
        pages.append(page)
        page.set_default_timeout(5_000)
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:200]} {request.failure}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("file:", "data:")) else complaints.append(f"network: {request.url}")
            ),
        )
        page.goto(path.resolve().as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture(scope="session")
def sideways() -> Callable[[Any], list[str]]:
    """``sideways(page)``: elements that stick out of the page to the right, outside of boxes that scroll."""

    def find(page: Any) -> list[str]:
        found: list[str] = page.evaluate(
            """() => {
                const width = document.documentElement.clientWidth;
                if (document.documentElement.scrollWidth <= width) return [];
                const out = [...document.body.querySelectorAll("*")].filter(e =>
                    e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, pre"));
                return ["page is " + document.documentElement.scrollWidth + " px wide",
                    ...out.map(e => e.tagName + "." + e.className)];
            }"""
        )
        return found

    return find
