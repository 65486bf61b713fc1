from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from dynamic_images.inspection.pages import page_environment, shown

PAGE = (
    '{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}{% block style %}b { color: red }{% endblock %}'
    '{% block body %} class="wide"{% endblock %}{% block content %}<b>{{ name }} {{ 0.5 | num(1) }}</b>{% endblock %}'
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "own.html").write_text(PAGE, encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(page_environment(tmp_path).get_template("own.html").render(name="<a&b>"), encoding="utf-8")
    return page


def test_a_page_carries_the_look_and_escapes_what_it_is_given(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<title>&lt;a&amp;b&gt;</title>" in text
    assert "<b>&lt;a&amp;b&gt; 0.5</b>" in text
    assert "--paper: light-dark(" in text and "b { color: red }" in text
    assert '<body class="wide">' in text


def test_a_missing_value_is_an_error_and_no_blank() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page_environment().from_string("{{ nothing }}").render()


def test_numbers_have_a_minus_sign_and_may_be_missing() -> None:
    assert [shown(-0.25, 2), shown(None), shown(float("nan")), shown(1.0)] == ["−0.25", "n/a", "n/a", "1.000"]


def test_colours_follow_the_screen_until_one_chooses(written: Path, visit: Callable[..., Any]) -> None:
    def paper(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = visit(written), visit(written, colors="dark")
    assert paper(light) == "rgb(253, 253, 252)"
    assert paper(dark) == "rgb(21, 24, 29)"
    light.get_by_label("dark").check()
    dark.get_by_label("light").check()
    assert (paper(light), paper(dark)) == ("rgb(21, 24, 29)", "rgb(253, 253, 252)")
