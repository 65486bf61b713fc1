"""How much of a small motion each flow method reads, by contrast and noise: on texture that is exact at any shift.

A method for micro-expressions should read 0.05 px as 0.05 px. What it reads is pulled by noise, by interpolation and by
its own smoothing, in directions that depend on the texture; a mean error over a face does not show that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preprocessing import optical_flow
from preprocessing.optical_flow import FlowSettings

MOTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)  # px
CONTRASTS = (3.0, 12.0)  # sd of the texture, grey levels: faint and clear skin
NOISES = (0.0, 1.0, 2.0)  # sd of the sensor's, grey levels
DRAWS = 8
DIRECTION = np.array([np.cos(0.6), np.sin(0.6)])  # along no axis
SIDE, MARGIN = 128, 16  # px
RISE, REST = 8, 4  # frames in which the motion grows evenly, and stays

TRIED: Mapping[str, FlowSettings] = {
    "track": FlowSettings("track"),
    "dis": FlowSettings("dis"),
    "dis, denoise 1": FlowSettings("dis", denoise=1.0),
    "farneback": FlowSettings("farneback", window=0.0),
    "tvl1": FlowSettings("tvl1", window=0.0),
}


def gain_table(
    tried: Mapping[str, FlowSettings] = TRIED,
    contrasts: Sequence[float] = CONTRASTS,
    noises: Sequence[float] = NOISES,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Flow along the true motion divided by its length, as mean ± two standard errors over draws of the noise.

    The texture is the same in all draws; one without noise has no spread to state.
    """
    rows: list[dict[str, Any]] = []
    for name, settings in tried.items():
        for contrast in contrasts:
            for noise in noises:
                row: dict[str, Any] = {"method": name, "contrast": contrast, "noise sd": noise}
                for motion in MOTIONS:
                    times = draws if noise else 1
                    gains = [gain(settings, motion, contrast, noise, np.random.default_rng(d)) for d in range(times)]
                    spread = f" ± {2 * np.std(gains, ddof=1) / np.sqrt(times):.2f}" if times > 1 else ""
                    row[f"{motion:g} px"] = f"{np.mean(gains):.2f}{spread}"
                rows.append(row)
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"Gain: flow along the motion / true length, 1 being right. Texture of wavelengths 6 to 30 px, {SIDE} px, a "
        f"shift of the whole picture; mean ± two standard errors over {draws} draws of the noise. Methods that see "
        f"frames in order see {RISE + REST} of them, in which the motion grows and then rests."
    )
    return table


def gain(settings: FlowSettings, motion: float, contrast: float, noise: float, rng: np.random.Generator) -> float:
    """Mean flow along the motion, away from the border, as a share of ``motion``."""
    frames = list(_frames(motion, contrast, noise, rng))
    inner = slice(MARGIN // 2, -MARGIN // 2)  # cells of the half grid
    field = optical_flow.flow_to(frames, len(frames) - 1, settings)[inner, inner]
    return float((field @ DIRECTION).mean() / motion)


def _frames(motion: float, contrast: float, noise: float, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    for t in range(RISE + REST + 1):
        picture = texture(motion * min(1.0, t / RISE), contrast)
        yield np.clip(np.rint(picture + rng.normal(0, 1, picture.shape) * noise), 0, 255).astype(np.uint8)


def texture(shift: float, contrast: float) -> NDArray[np.float64]:
    """Sum of 40 waves, moved by ``shift`` px along `DIRECTION` without any interpolation. (SIDE, SIDE) grey levels."""
    return 128 + contrast * _waves(shift)


@cache
def _waves(shift: float) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    lengths, angles, phases = rng.uniform(6, 30, 40), *rng.uniform(0, 2 * np.pi, (2, 40))
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    waves = np.zeros((SIDE, SIDE))
    for length, angle, phase in zip(lengths, angles, phases, strict=True):
        along = np.cos(angle) * (x - shift * DIRECTION[0]) + np.sin(angle) * (y - shift * DIRECTION[1])
        waves += np.sin(2 * np.pi / length * along + phase)
    return waves / np.sqrt(20)
