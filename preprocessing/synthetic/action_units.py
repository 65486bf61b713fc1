"""Action units as smooth displacement fields, their time course, and emotions as varying mixtures of them.

Names follow the Facial Action Coding System (Ekman, Friesen & Hager, 2002). A field is a sum of Gaussian pushes
anchored at landmarks, which keeps it smooth, cheap and exactly known everywhere. The pushes are drawn after the
muscle's line of pull in FACS; they are ours and no measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.synthetic.geometry import MIRROR, Points

SIDES = ("L", "R")
EMOTIONS = ("happiness", "surprise", "disgust", "repression", "others")


@dataclass(frozen=True)
class Push:
    """One Gaussian push on the subject's left half of the face, in face units.

    ``anchor``: landmarks whose mean, moved by ``shift`` (outward, down), is the centre; ``size``: standard deviations
    in x and y; ``towards``: displacement (outward, down) at the centre, relative to the unit's strongest push.
    """

    anchor: tuple[int, ...]
    towards: tuple[float, float]
    size: tuple[float, float] = (0.12, 0.12)
    shift: tuple[float, float] = (0.0, 0.0)


UNITS: dict[str, tuple[Push, ...]] = {
    "1": (  # inner brow raiser: frontalis, medial part
        Push((22, 23), (0.0, -1.0), (0.13, 0.10)),
        Push((22, 23), (0.0, -0.6), (0.15, 0.12), (0.0, -0.22)),
    ),
    "2": (  # outer brow raiser: frontalis, lateral part
        Push((25,), (0.05, -1.0), (0.14, 0.10)),
        Push((25,), (0.0, -0.55), (0.15, 0.12), (-0.03, -0.22)),
    ),
    "4": (  # brow lowerer: corrugator, procerus
        Push((22, 23), (-0.45, 0.8), (0.13, 0.10)),
        Push((24, 25), (-0.2, 0.45), (0.13, 0.10)),
        Push((27,), (0.0, 0.3), (0.08, 0.12)),
    ),
    "5": (  # upper lid raiser
        Push((43, 44), (0.0, -1.0), (0.10, 0.07), (0.0, -0.01)),
    ),
    "6": (  # cheek raiser: orbicularis oculi, orbital part
        Push((46,), (-0.1, -1.0), (0.16, 0.13), (0.05, 0.24)),
        Push((45,), (-0.5, -0.3), (0.09, 0.09), (0.10, 0.05)),
        Push((46, 47), (0.0, -0.4), (0.11, 0.07), (0.0, 0.03)),
    ),
    "7": (  # lid tightener: orbicularis oculi, palpebral part
        Push((46, 47), (-0.1, -1.0), (0.12, 0.07), (0.0, 0.02)),
        Push((43, 44), (0.0, 0.35), (0.11, 0.07), (0.0, -0.01)),
    ),
    "9": (  # nose wrinkler: levator labii superioris alaeque nasi
        Push((35,), (-0.15, -1.0), (0.10, 0.11), (0.0, -0.04)),
        Push((28,), (0.0, -0.5), (0.09, 0.13), (0.08, 0.03)),
        Push((22,), (-0.3, 0.5), (0.11, 0.09)),
        Push((52,), (0.0, -0.4), (0.11, 0.08)),
    ),
    "10": (  # upper lip raiser: levator labii superioris
        Push((52, 53), (0.05, -1.0), (0.12, 0.08)),
        Push((35, 53), (0.1, -0.6), (0.11, 0.11), (0.06, -0.02)),
    ),
    "12": (  # lip corner puller: zygomaticus major
        Push((54,), (0.75, -0.8), (0.12, 0.11)),
        Push((54,), (0.35, -0.55), (0.16, 0.14), (0.14, -0.24)),
    ),
    "14": (  # dimpler: buccinator
        Push((54,), (1.0, 0.02), (0.09, 0.10), (0.01, 0.0)),
        Push((54,), (-0.45, 0.0), (0.10, 0.12), (0.26, 0.0)),
    ),
    "15": (  # lip corner depressor: depressor anguli oris
        Push((54,), (0.15, 1.0), (0.11, 0.11), (0.01, 0.02)),
        Push((54,), (0.05, 0.4), (0.10, 0.12), (0.0, 0.2)),
    ),
    "17": (  # chin raiser: mentalis
        Push((57,), (0.0, -1.0), (0.14, 0.11), (0.09, 0.2)),
        Push((56, 57), (0.0, -0.6), (0.13, 0.07)),
    ),
    "20": (  # lip stretcher: risorius
        Push((54,), (1.0, 0.2), (0.13, 0.10)),
        Push((54, 10), (0.5, 0.15), (0.14, 0.12)),
    ),
    "24": (  # lip pressor: orbicularis oris
        Push((51, 52), (0.0, 0.6), (0.13, 0.07)),
        Push((56, 57), (0.0, -1.0), (0.14, 0.08)),
        Push((54,), (-0.4, 0.0), (0.09, 0.09)),
    ),
    "25": (  # lips part
        Push((56, 57), (0.0, 1.0), (0.14, 0.09), (0.0, -0.01)),
        Push((51, 52), (0.0, -0.35), (0.13, 0.07)),
    ),
}
"""Pushes per action unit, for the subject's left half; the right half is the mirror image."""

CODES = tuple(f"{unit}{side}" for unit in UNITS for side in SIDES)
"""Every (action unit, side) in fixed order, e.g. ``12L``."""

# One row: probability weight, then the units; "?" before a unit = present half of the time. Brow lowerer, dimpler,
# chin raiser and others occur under several emotions, as in CASME II, so that even the true peaks do not decide all.
Recipe = tuple[float, tuple[str, ...]]
RECIPES: dict[str, tuple[Recipe, ...]] = {
    "happiness": ((4, ("12", "?6")), (3, ("12", "6", "?25")), (2, ("12", "14")), (1, ("6", "?12"))),
    "surprise": ((4, ("1", "2")), (2, ("1", "2", "5")), (2, ("1", "2", "25")), (1, ("2", "?5")), (1, ("1", "?25"))),
    "disgust": ((3, ("4", "9")), (3, ("9", "10")), (2, ("4", "10")), (2, ("10", "?7")), (1, ("4", "?7"))),
    "repression": ((3, ("14", "17")), (3, ("17", "24")), (2, ("15", "17")), (1, ("14", "?12")), (1, ("17", "20"))),
    "others": (
        *((4, ("4",)), (2, ("4", "7")), (1, ("4", "14")), (2, ("7", "?5"))),
        *((1, ("12", "15")), (1, ("15", "?17")), (1, ("14",)), (1, ("1", "?4"))),
    ),
}
ONE_SIDED = frozenset({"2", "10", "12", "14", "15", "6"})


@dataclass(frozen=True)
class Activation:
    """One (action unit, side) in one clip: peak (relative), delay of the start (frames) and residual at the offset."""

    code: str
    peak: float
    delay: int
    residual: float


def bumps(code: str, landmarks: Points, scale: float) -> NDArray[np.float64]:
    """Gaussian pushes of one code on a face.

    Args:
        code: e.g. ``12L``.
        landmarks: (68, 2) neutral, px.
        scale: distance of the outer eye corners, px.

    Returns:
        (K, 6): centre x, y, standard deviation x, y (px), displacement x, y (relative; the field's maximum is 1).
    """
    unit, left = code[:-1], code[-1] == "L"
    outward = 1.0 if left else -1.0
    rows = []
    for push in UNITS[unit]:
        anchor = np.array(push.anchor) if left else MIRROR[list(push.anchor)]
        centre = landmarks[anchor].mean(axis=0) + scale * np.array(push.shift) * (outward, 1)
        rows.append([*centre, *(scale * np.array(push.size)), push.towards[0] * outward, push.towards[1]])
    table = np.array(rows, np.float64)
    reach = np.arange(-0.3, 0.3, 0.01) * scale
    x, y = (np.unique((table[:, c : c + 1] + reach).ravel()) for c in (0, 1))
    table[:, 4:] /= np.linalg.norm(field_of(table, x, y), axis=-1).max()
    return table


def field_of(table: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacement field (len(y), len(x), 2) of pushes ``table`` (K, 6) on the grid ``x`` × ``y`` (px)."""
    # Gaussians with axes along x and y are outer products: (K, H), (K, W) -> (H, W) per component
    along_x = np.exp(-0.5 * ((x - table[:, :1]) / table[:, 2:3]) ** 2)
    along_y = np.exp(-0.5 * ((y - table[:, 1:2]) / table[:, 3:4]) ** 2)
    field = [along_y.T @ (table[:, c : c + 1] * along_x) for c in (4, 5)]
    return np.stack(field, axis=-1)


def at_points(table: NDArray[np.float64], points: Points) -> Points:
    """Displacement (N, 2) of pushes ``table`` (K, 6) at ``points`` (N, 2) px."""
    away = (points[:, None] - table[None, :, :2]) / table[None, :, 2:4]
    return np.asarray(np.exp(-0.5 * (away**2).sum(axis=-1)) @ table[:, 4:])


def curve(n: int, onset: int, apex: int, offset: int, residual: float = 0.0) -> NDArray[np.float64]:
    """Activation over ``n`` frames: 0 up to ``onset``, 1 at ``apex``, ``residual`` from ``offset`` on.

    Rise and fall are minimum-jerk (zero speed and acceleration at both ends).

    Raises:
        ValueError: the frames are not in order.
    """
    if not 0 <= onset < apex < offset < n:
        raise ValueError(f"onset {onset}, apex {apex}, offset {offset} are not in order within {n} frames")
    t = np.arange(n, dtype=np.float64)
    rise = _smooth((t - onset) / (apex - onset))
    fall = _smooth((t - apex) / (offset - apex))
    return np.where(t <= apex, rise, 1 - (1 - residual) * fall)


def draw_mixture(emotion: str, rng: np.random.Generator) -> list[Activation]:
    """Draw one showing of ``emotion``: units, sides, relative peaks, delays and residuals, strongest peak first."""
    recipes = RECIPES[emotion]
    weight = np.array([row[0] for row in recipes])
    units = recipes[rng.choice(len(recipes), p=weight / weight.sum())][1]
    present = [unit.lstrip("?") for unit in units if not unit.startswith("?") or rng.random() < 0.5]
    if rng.random() < 0.12:
        present.append(str(rng.choice([unit for unit in UNITS if unit not in present])))
    side = rng.choice(["both", "L", "R"], p=(0.7, 0.15, 0.15))
    drawn = []
    for rank, unit in enumerate(present):
        peak = 1.0 if rank == 0 else rng.uniform(0.35, 0.95)
        delay, residual = (0 if rank == 0 else int(rng.integers(0, 7))), float(max(0, rng.uniform(-0.3, 0.3)))
        sides = side if side != "both" and unit in ONE_SIDED else "LR"
        for one in sides:
            drawn.append(Activation(f"{unit}{one}", float(peak * rng.uniform(0.8, 1.0)), delay, residual))
    return drawn


def notation(codes: tuple[str, ...]) -> str:
    """Codes in the notation of annotation tables: ``('12L', '6L', '6R')`` is ``L12+6``."""
    units = dict.fromkeys(code[:-1] for code in codes)
    sides = {unit: [code[-1] for code in codes if code[:-1] == unit] for unit in units}
    return "+".join(unit if len(found) == 2 else f"{found[0]}{unit}" for unit, found in sides.items())


def _smooth(s: NDArray[np.float64]) -> NDArray[np.float64]:
    s = np.clip(s, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)
