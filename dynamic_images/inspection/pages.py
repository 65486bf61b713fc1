"""The look that all pages share: ``templates/base.html`` with its stylesheet, and the environment that fills it in."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def page_environment(*folders: Path) -> jinja2.Environment:
    """Environment whose templates may begin with ``{% extends "base.html" %}``.

    A page fills the blocks ``title``, ``content`` and, where it needs them, ``style`` (its own CSS) and ``body``
    (attributes of the body; ``class="wide"`` for many pictures). Values are escaped, missing ones are errors.
    ``source("file.js")`` is a template folder's file as it stands; ``| num(2)`` a number or n/a; ``| plain`` JSON.

    Args:
        folders: further template folders, looked into first.
    """
    loader = jinja2.FileSystemLoader([*folders, TEMPLATES])
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["source"] = lambda name: Markup(loader.get_source(environment, name)[0])
    environment.filters["num"] = shown
    environment.filters["plain"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment


def shown(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals and a real minus sign; ``n/a`` for None and NaN."""
    return "n/a" if value is None or value != value else f"{value:.{digits}f}".replace("-", "−")
