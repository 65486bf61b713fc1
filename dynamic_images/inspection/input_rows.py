"""Rows below a contact sheet: the pictures of the further inputs that were made of a clip, each with its scale."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from numpy.typing import NDArray
from PIL import Image

from dynamic_images.clip_input import InputUse
from dynamic_images.input_cache import made_inputs
from preprocessing.artefacts.clip_folder import ClipFolder

INK = "#1b1f24"
COLUMNS = 4
ROW = 3.6  # inches of a row: a picture and up to three lines above it
PICTURE = 2.85  # inches of it that are the picture's
LINE = 38  # letters over a picture
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Placed:
    """A picture of an input and its cells in a grid of `COLUMNS`; a picture of n planes is n cells wide."""

    use: InputUse
    picture: NDArray[np.uint8]
    row: int
    column: int
    span: int


def further_inputs(folder: ClipFolder) -> list[InputUse]:
    """The inputs with pictures that were made of a clip beside its dynamic images."""
    return [one for one in made_inputs(folder) if one.input.view is not None]


def placed_pictures(folder: ClipFolder, uses: Sequence[InputUse]) -> list[Placed]:
    """The pictures of these inputs, line by line."""
    pictures = [np.asarray(Image.open(folder / f"{one.label}.png").convert("RGB")) for one in uses]
    spans = [min(COLUMNS, max(1, round(picture.shape[1] / picture.shape[0]))) for picture in pictures]
    return [
        Placed(one, picture, row, column, span)
        for one, picture, span, (row, column) in zip(uses, pictures, spans, places(spans), strict=True)
    ]


def places(spans: Iterable[int]) -> list[tuple[int, int]]:
    """Row and first column of things that are so many cells wide, in their order, each in one row."""
    found, row, column = [], 0, 0
    for span in spans:
        if column + span > COLUMNS:
            row, column = row + 1, 0
        found.append((row, column))
        column += span
    return found


def draw_rows(figure: FigureBase, pictures: Sequence[Placed]) -> None:
    """Draw the pictures into a figure that is `ROW` inches high for each of their rows."""
    rows = 1 + max(one.row for one in pictures)
    grid = figure.add_gridspec(
        rows,
        COLUMNS,
        left=0.012,
        right=0.988,
        top=1 - (ROW - PICTURE - 0.1) / (rows * ROW),
        bottom=0.1 / (rows * ROW),
        wspace=0.04,
        hspace=(ROW - PICTURE) / PICTURE,
    )
    for one in pictures:
        cells = grid[one.row, one.column : one.column + one.span]
        show_picture(figure.add_subplot(cells), one.picture, title_of(one.use, LINE * one.span))


def show_picture(axes: Axes, image: NDArray[np.uint8], title: str) -> Axes:
    """An 8-bit picture with its title and nothing else."""
    axes.imshow(image, interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=9.5, color=INK, pad=4, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def title_of(one: InputUse, width: int = LINE) -> str:
    """Title of an input's picture, settings that are not the default ones, and the scale; lines of ``width`` letters.

    Black and white are the ends of the scale. Of a flow every channel has a colour.
    """
    usual = one.input.settings()
    changed = {name: value for name, value in vars(one.settings).items() if value != getattr(usual, name)}
    settings = ", ".join(f"{name} {value}" for name, value in changed.items())
    ends = [f"±{end:g}" for end in one.input.view or ()]
    if one.kind == "flow":
        names = ("u", "v", *("" for _ in ends[2:]))
        parts = (" ".join(filter(None, part)) for part in zip(COLOURS, names, ends, strict=False))
        scale = [", ".join(parts), one.input.unit]
    else:
        scale = [f"{' '.join(dict.fromkeys(ends))} {one.input.unit}"]
    if len(together := " · ".join(scale)) <= width:
        scale = [together]
    title = f"{one.input.title} ({settings})" if settings else one.input.title
    return "\n".join(line for text in (title, *scale) for line in textwrap.wrap(text, width))
