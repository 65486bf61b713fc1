"""Figures and pictures that stand inside a page: inline SVG in the page's ink, PNG as data URLs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, ACCENT, QUIET = "#123456", "#3987cf", "#8a8f98"
"""Text colour (a stand-in for the page's own), what is looked at, and everything else."""


def data_url(image: NDArray[Any]) -> str:
    """A PNG of (H, W) grey or (H, W, 3) BGR pixels, uint8, as a data URL."""
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


@contextmanager
def figure(title: str, width: float = 4.6, height: float = 2.7) -> Iterator[tuple[Axes, list[Markup]]]:
    """Axes to draw on; after the block, the list holds the figure as inline SVG described by ``title``.

    Its ink is the page's text colour, so that it follows a light or a dark screen. Sizes in inches.
    """
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,  # ids differ between the figures of a page and not between two runs
        "text.parse_math": False,  # a class may be called $a$, or what TeX does not know
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    }
    done: list[Markup] = []
    with mpl.rc_context(style):
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing.subplots(), done
        buffer = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        drawing.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # matplotlib calls the parts of every figure alike
    described = f'<svg role="img" aria-label="{Markup.escape(title)}"'
    done.append(Markup(svg.replace("<svg", described, 1)))
