"""The report as a browser shows it. `visit` refuses anything on the console and any request to a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.pages.report import write_report
from experiments.runs.run import Run


@pytest.mark.parametrize(
    ("name", "sections", "width", "colors"),
    [
        ("finished", 10, 400, "light"),
        ("finished", 10, 1280, "dark"),
        ("separated", 6, 400, "dark"),
        ("ranked", 10, 400, "light"),
    ],
)
def test_the_report_fits_the_screen_and_its_sections_can_be_reached(
    name: str,
    sections: int,
    request: pytest.FixtureRequest,
    toy_cache: Path,
    visit: Callable[..., Any],
    sideways: Callable[[Any], list[str]],
    width: int,
    colors: str,
) -> None:
    page = visit(write_report(request.getfixturevalue(name), toy_cache), width=width, colors=colors)
    assert sideways(page) == []
    links = page.locator("nav a")
    assert links.count() == sections
    for k in range(links.count()):
        links.nth(k).click()
        target = links.nth(k).get_attribute("href")
        assert page.locator(target).bounding_box()["y"] < 900, target
    page.evaluate("() => { for (const image of document.images) image.loading = 'eager'; }")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    ink = page.evaluate("getComputedStyle(document.querySelector('figure svg')).color")
    assert ink == page.evaluate("getComputedStyle(document.body).color"), "figures are drawn in the page's ink"


def test_wide_tables_scroll_by_themselves(finished: Run, toy_cache: Path, visit: Callable[..., Any]) -> None:
    page = visit(write_report(finished, toy_cache), width=400)
    table = page.get_by_role("region", name="Result table")
    assert table.evaluate("e => e.scrollWidth > e.clientWidth")
    table.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.scroll').scrollLeft > 0")
