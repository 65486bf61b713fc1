"""Draw the contact sheet of one clip: frames, flow, intensity curve, pooling order and dynamic images."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dynamic_images.build import IMAGES, STAGE
from dynamic_images.encoding import VIEW_RANGE, to_view
from dynamic_images.face_mask import face_outline
from dynamic_images.inputs import INPUTS
from dynamic_images.inspection.input_rows import (
    INK,
    ROW,
    draw_rows,
    further_inputs,
    placed_pictures,
    show_picture,
    title_of,
)
from dynamic_images.noise_floor import noise_notes
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import atomic, key_of, remove_leftovers
from preprocessing.artefacts.manifest import FACTS, number, words
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, FLOW
from preprocessing.errors import ToolkitError

SHEET_VERSION = 4
SIZE, DPI = (12.0, 7.8), 100  # inches: 1200 px wide

KEY_ARROWS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""px of motion that the key arrow may stand for: few steps, so that sheets stay comparable at a glance."""
ARROWS_ACROSS = 24
STILL = 0.05
"""Motion below this share of the key arrow gets no arrow."""
ARROW_LENGTH = 16.0
"""Length of the key arrow, in 1/224 of the crop's width."""
ACCENT, QUIET, OUTLINE = "#c2410c", "#6b7280", "#22d3ee"

BELOW = "does not stand above this clip's own noise"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def contact_sheet(folder: ClipFolder, row: Mapping[str, Any], path: Path) -> None:
    """Draw one clip as a PNG 1200 px wide: crops, flow, intensity curve with order, both dynamic images.

    A thin line on the dynamic images is the outline of the face, inside which their energies are measured; a line
    through the curve is the clip's own noise floor.

    Further inputs that were made of the clip and have a picture stand in rows below. Scales are printed: dynamic
    images at ±`VIEW_RANGE` grey levels like every view, flow by its key arrow.

    Args:
        folder: the clip's artefacts, stage ``images`` included.
        row: the clip's manifest row.
        path: where to write. Its folder is made, an older file replaced when the new one is finished.

    Raises:
        ToolkitError: the images stage is not there, or a file is not what its stage wrote.
    """
    entry = _images_entry(folder)
    crops, flows = folder.frames(CROPS), folder.frames(FLOW)
    apex, source = int(entry.result["apex_index"]), str(entry.result["apex_source"])
    last = len(crops) - 1

    further = placed_pictures(folder, further_inputs(folder))
    rows = 1 + max((one.row for one in further), default=-1)
    whole = Figure(figsize=(SIZE[0], SIZE[1] + ROW * rows), dpi=DPI, facecolor="white")
    figure, below = _halves(whole, rows) if rows else (whole, whole)
    grid = figure.add_gridspec(2, 4, left=0.012, right=0.988, top=0.865, bottom=0.1, wspace=0.04, hspace=0.14)
    onset = show_picture(figure.add_subplot(grid[0, 0]), crops[0], "onset · frame 0 · landmarks")
    landmarks = folder.load("landmarks.npy")
    onset.plot(*landmarks.T, ".", color=OUTLINE, markersize=2.5, alpha=0.9)
    _crop_limits(onset, *crops.shape[1:3])  # a chin may lie below the crop
    show_picture(figure.add_subplot(grid[0, 1]), crops[apex], f"apex ({source}) · frame {apex}")
    show_picture(figure.add_subplot(grid[0, 2]), crops[last], f"offset · frame {last}")
    _flow(figure.add_subplot(grid[0, 3]), crops[0], flows[apex].astype(np.float32))

    for column, name in enumerate(IMAGES):
        title = f"{INPUTS[name].title} {name.replace('_', '-')} · ±{VIEW_RANGE:g} grey levels"
        image = show_picture(figure.add_subplot(grid[1, column]), to_view(folder.load(f"{name}.npy")), title)
        outline = face_outline(landmarks)
        image.plot(*np.concatenate([outline, outline[:1]]).T, color=OUTLINE, linewidth=1, alpha=0.8)
        _crop_limits(image, *crops.shape[1:3])

    box = grid[1, 2:].get_position(figure)  # type: ignore[arg-type]  # moved right: the curve's numbers need room
    plots = figure.add_gridspec(
        2,
        1,
        left=box.x0 + 0.03,
        right=box.x1 - 0.012,
        bottom=box.y0 + 0.02,
        top=box.y1,
        height_ratios=[6, 1],
        hspace=0.3,
    )
    curve, strip = figure.add_subplot(plots[0]), figure.add_subplot(plots[1])
    _curve(curve, folder.load("intensity.npy"), apex, entry, number(row.get("fps")))
    _order(strip, folder.load("order.npy"), len(crops), str(entry.settings["order"]))
    _words(figure, row, entry.settings)
    if further:
        draw_rows(below, further)
    _save(whole, path, sheet_key(folder, row))


def sheet_key(folder: ClipFolder, row: Mapping[str, Any]) -> str:
    """What a sheet depends on: its drawing, the images, further inputs and the manifest row.

    Raises:
        ToolkitError: the images stage is not there.
    """
    facts = {name: str(value) for name, value in row.items()}
    further = [(one.label, one.input.version, title_of(one)) for one in further_inputs(folder)]
    return key_of("sheet", SHEET_VERSION, _images_entry(folder).key, facts, further)


def is_fresh(path: Path, key: str) -> bool:
    """Whether the sheet at ``path`` was drawn under ``key``; it carries its key as PNG text."""
    try:
        with Image.open(path) as image:
            return image.info.get("Key") == key
    except (FileNotFoundError, UnidentifiedImageError):
        return False


def quality_numbers(row: Mapping[str, Any]) -> dict[str, str]:
    """The finite numbers of a manifest row that are no facts about the clip, as short text by column name."""
    found = {name: number(value) for name, value in row.items() if name not in FACTS}
    return {name: f"{value:.4g}" for name, value in found.items() if value is not None}


def _images_entry(folder: ClipFolder) -> Entry:
    entry = folder.entry(STAGE)
    if entry is None:
        raise ToolkitError(f"{folder.folder} has no dynamic images yet: run `mer dataset` first")
    return entry


def _halves(whole: Figure, rows: int) -> tuple[FigureBase, FigureBase]:
    """The sheet, and the rows below it."""
    halves = np.ravel(np.asarray(whole.subfigures(2, 1, height_ratios=[SIZE[1], ROW * rows]), dtype=object))
    return halves[0], halves[1]


def _crop_limits(axes: Axes, height: int, width: int) -> None:
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _flow(axes: Axes, onset: NDArray[np.uint8], flow: NDArray[np.float32]) -> None:
    """Arrows from where the skin was at the onset towards where it is at the apex, over the faded onset crop."""
    faded = (onset.astype(np.float32).mean(axis=-1) * 0.45).astype(np.uint8)
    height, width = faded.shape
    step = max(1, flow.shape[1] // ARROWS_ACROSS)
    rows, columns = (np.arange(step // 2, n, step) for n in flow.shape[:2])
    u, v = np.moveaxis(flow[np.ix_(rows, columns)], -1, 0)
    strongest = float(np.percentile(np.hypot(u, v), 98))
    key = next((px for px in KEY_ARROWS if px >= strongest), KEY_ARROWS[-1])
    gain = ARROW_LENGTH * width / 224 / key
    x, y = (
        (places + 0.5) * size / n - 0.5
        for places, size, n in zip((columns, rows), (width, height), flow.shape[1::-1], strict=True)
    )
    show_picture(axes, faded, f"flow onset → apex · arrows drawn {gain:.2g}× long")
    moves = np.hypot(u, v)
    u, v = np.where(moves < STILL * key, np.nan, (u, v))
    arrows = axes.quiver(
        x,
        y,
        u * gain,
        v * gain,
        np.minimum(moves / key, 1),
        cmap="plasma",
        clim=(-0.6, 1),
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.005,
        headwidth=3.5,
    )
    axes.quiverkey(
        arrows,
        0.13,
        0.05,
        key * gain,
        f"{key:g} px",
        labelpos="E",
        coordinates="axes",
        color="white",
        labelcolor="white",
        fontproperties={"size": 9},
    )
    _crop_limits(axes, height, width)


def _curve(axes: Axes, intensity: NDArray[np.floating], apex: int, entry: Entry, fps: float | None) -> None:
    last = len(intensity) - 1
    axes.plot(intensity, color=INK, linewidth=1.4, marker=".", markersize=3)
    floor = number(entry.result.get("noise_floor")) if entry.settings["reference"] == "onset" else None
    top = max(float(intensity.max()) * 1.3, 1.2 * (floor or 0.0), 0.05)
    if floor is not None:
        axes.axhline(floor, color=QUIET, linewidth=1, linestyle=":")
        axes.text(last, floor, f"own noise {floor:.2f} px ", color=QUIET, fontsize=8, ha="right", va="bottom")
    source = entry.result["apex_source"]
    # the apex is named one line lower, so that it may lie at either end
    for frame, label, side, height in (
        (0, "onset", "left", 0.99),
        (last, "offset", "right", 0.99),
        (apex, f"apex ({source})", "left" if apex < 0.2 * last else "right" if apex > 0.8 * last else "center", 0.89),
    ):
        axes.axvline(frame, color=ACCENT, linewidth=1, linestyle="--" if "estimated" in label else "-")
        axes.text(frame, top * height, f" {label} ", color=ACCENT, fontsize=8.5, ha=side, va="top", bbox=PAPER)
    axes.set(xlim=(-0.5, last + 0.5), ylim=(0, top))
    settings = entry.settings
    if noise_notes(entry.result):
        axes.text(0.5, 0.03, BELOW, transform=axes.transAxes, color=ACCENT, fontsize=8.5, ha="center", bbox=PAPER)
    axes.set_title(
        f"motion intensity in px · {settings['statistic'].replace('_', ' ')} of flow {settings['reference']} → t, "
        f"{settings['region'].replace('_', ' ')}",
        fontsize=9.5,
        color=INK,
        pad=4,
    )
    axes.tick_params(labelsize=8, colors=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    if fps is not None:
        ticks = [t for t in axes.get_xticks() if 0 <= t <= last and t == int(t)]
        axes.set_xticks(ticks, [f"{t:.0f}\n{1000 * t / fps:.0f} ms" for t in ticks])


def _order(axes: Axes, order: NDArray[np.integer], n_frames: int, direction: str) -> None:
    """Each frame's place in the pooling order of the motion-intensity image; frames outside its span stay white."""
    rank = np.full(n_frames, np.nan)
    rank[order] = np.arange(1, len(order) + 1)
    axes.imshow(rank[None], aspect="auto", cmap="viridis", interpolation="nearest", vmin=1, vmax=max(2, len(order)))
    axes.set(xlim=(-0.5, n_frames - 0.5), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=8, colors=QUIET, labelbottom=False, length=0)
    axes.set_xlabel(
        f"frame's place in the MIDI order ({direction}): dark = 1st, bright = last of {len(order)}",
        fontsize=8.5,
        color=QUIET,
    )


def _words(figure: FigureBase, row: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Title, facts and quality numbers; clip ids and labels are text, never markup."""
    fps, frames = number(row.get("fps")), number(row.get("n_frames"))
    units = words(row.get("action_units"))
    facts = [
        words(row.get("emotion")) or "no label",
        f"AU {units}" if units else "",
        words(row.get("status")),
        f"{frames:.0f} frames" if frames else "",
        f"{fps:g} fps" if fps else "fps unknown",
        f"weights {settings['weights']} (time), {settings['intensity_weights']} (intensity), {settings['span']}",
    ]
    figure.text(
        0.012, 0.972, words(row.get("clip_id")), fontsize=15, weight="bold", color=INK, va="top", parse_math=False
    )
    figure.text(
        0.012, 0.926, "  ·  ".join(f for f in facts if f), fontsize=10.5, color=QUIET, va="top", parse_math=False
    )
    pairs = (f"{name.replace('_', ' ')} {value}" for name, value in quality_numbers(row).items())
    # a name stays beside its number where lines break
    numbers = "   ".join(pair.replace(" ", "\N{NO-BREAK SPACE}") for pair in pairs)
    figure.text(
        0.012, 0.065, "\n".join(textwrap.wrap(numbers, 190)[:4]), fontsize=8.5, color=INK, va="top", parse_math=False
    )


def _save(figure: Figure, path: Path, key: str) -> None:
    remove_leftovers(path.parent)
    with atomic(path) as scratch:
        FigureCanvasAgg(figure).print_png(scratch, metadata={"Key": key, "Software": None})
