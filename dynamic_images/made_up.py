"""Made-up motion: flow and strain from onset to apex as anatomy makes them, without a picture. Pure, seeded.

Action units move the skin of random people as `preprocessing.synthetic.action_units` has it; class recipes say which
units an expression shows (``class_recipes.csv``, each row with its source; the shares are ours, for no table gives
them). What a real measurement adds is drawn too: head motion that is left, blinks, noise, flow that is missing where
skin is flat, faces that lie elsewhere in the crop, channels whose scale somebody has stretched. All amounts are ours.

Flow is in px of a crop of `CROP` px, as the offline chain measures it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dynamic_images.face_mask import face_weight
from preprocessing.faces.alignment import EYE_GAP, apply, clip_transform
from preprocessing.synthetic.action_units import CODES, ONE_SIDED, UNITS, bumps, field_of
from preprocessing.synthetic.geometry import Points, draw_identity

CROP = 192
"""Px per side of the crop that the motion is measured in."""
VERSION = 1


@dataclass(frozen=True)
class MadeUpSettings:
    """How motion is made up. Each range is drawn from evenly, strengths evenly in their logarithm.

    Attributes:
        side: cells per side of the maps.
        fine: the field is made at so many times the cells, and averaged down, as a measured one is.
        strength: px of the crop at the strongest place of the strongest unit.
        sharpness: factor on the widths of the pushes.
        asymmetry: a unit that can be one-sided is so with this probability; sides differ by up to a third else.
        stray: probability of one more unit that has nothing to do with the class.
        rigid: standard deviation of the head motion that alignment leaves, px at the edge of the face.
        noise: standard deviation of smooth noise, px.
        patches: how much of the motion is missed where the flow is poor, at most.
        blink: probability that the lids move by themselves.
        place: standard deviation of where the face lies in the crop, as a share of the distance between the eyes.
        masked: probability that everything outside the face is cut off.
        stretched: probability that each channel was scaled by somebody, up to three times more or less than the others.
    """

    side: int = 28
    fine: int = 2
    strength: tuple[float, float] = (0.25, 5.0)
    sharpness: tuple[float, float] = (0.7, 1.5)
    asymmetry: float = 0.25
    stray: float = 0.15
    rigid: float = 0.25
    noise: tuple[float, float] = (0.02, 0.3)
    patches: float = 0.7
    blink: float = 0.15
    place: float = 0.06
    masked: float = 0.5
    stretched: float = 0.4


@dataclass(frozen=True)
class MadeUp:
    """Some made-up clips.

    Attributes:
        maps: (N, 3, S, S) float32: u, v, strain.
        labels: (N,) int64, index into the classes of the scheme.
        units: (N, C) float32, strength of each of `action_units.CODES` in px; 0 where it does not show.
    """

    maps: NDArray[np.float32]
    labels: NDArray[np.int64]
    units: NDArray[np.float32]


@cache
def recipes(scheme: str) -> Mapping[str, tuple[tuple[float, tuple[str, ...]], ...]]:
    """Class → (share, units) of a scheme, ``3`` (MEGC2019) or ``5`` (CASME II).

    Raises:
        ValueError: there is no such scheme.
    """
    found: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
    text = (files("dynamic_images") / "class_recipes.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row["scheme"] == scheme:
            found.setdefault(row["label"], []).append((float(row["share"]), tuple(row["units"].split("+"))))
    if not found:
        raise ValueError(f"there are no recipes for scheme {scheme!r}: wanted 3 or 5")
    return {label: tuple(rows) for label, rows in found.items()}


class People:
    """Random people, and how each action unit moves the skin of each of them.

    Attributes:
        fields: (P, C, F, F, 2) float32, F cells per side; the largest displacement of every field is 1.
        faces: (P, F, F) float32, how far each cell lies inside the face.
        lids: (P, F, F, 2), closing lids.
    """

    def __init__(self, count: int, rng: np.random.Generator, settings: MadeUpSettings) -> None:
        side = settings.side * settings.fine
        cells = (np.arange(side) + 0.5) * CROP / side - 0.5
        self.fields = np.empty((count, len(CODES), side, side, 2), np.float32)
        self.faces = np.empty((count, side, side), np.float32)
        self.lids = np.empty((count, side, side, 2), np.float32)
        for person in range(count):
            points = _in_crop(rng, settings)
            scale = float(np.linalg.norm(points[45] - points[36]))
            for c, code in enumerate(CODES):
                table = bumps(code, points, scale)
                table[:, 2:4] *= rng.uniform(*settings.sharpness)
                table[:, :2] += rng.normal(0, 0.03 * scale, 2)
                field = field_of(table, cells, cells)
                self.fields[person, c] = field / max(float(np.linalg.norm(field, axis=-1).max()), 1e-9)
            self.faces[person] = face_weight(points, (side, side), (CROP, CROP))
            lids = sum(field_of(bumps(f"5{s}", points, scale), cells, cells) for s in "LR")
            self.lids[person] = -lids


def draw(
    count: int, people: People, rng: np.random.Generator, scheme: str, settings: MadeUpSettings, units: bool = False
) -> MadeUp:
    """``count`` made-up clips of these people, classes evenly.

    Args:
        count: N.
        people: who shows them.
        rng: of everything that is drawn.
        scheme: of the classes, see `recipes`.
        settings: how.
        units: show random units in place of the recipes' (one to three of them), for detectors of single units; the
            labels are then 0.
    """
    classes = recipes(scheme)
    labels = np.zeros(count, np.int64) if units else rng.integers(0, len(classes), count)
    shown = np.zeros((count, len(CODES)), np.float32)
    names = list(classes)
    for i, label in enumerate(labels):
        chosen = _some_units(rng) if units else _of_recipe(classes[names[int(label)]], rng, settings)
        shown[i] = _strengths(chosen, rng, settings)
    who = rng.integers(0, len(people.fields), count)
    flow = np.stack([np.tensordot(s, people.fields[p], axes=1) for s, p in zip(shown, who, strict=True)])
    maps = _measured(flow, people, who, rng, settings)
    return MadeUp(maps, labels, shown)


def _in_crop(rng: np.random.Generator, settings: MadeUpSettings) -> Points:
    """Landmarks of a random person in the crop, placed about as alignment places them."""
    points = draw_identity(rng, 640, 480, float(rng.uniform())).landmarks()
    placed = apply(clip_transform(points[None], CROP), points)
    eyes = EYE_GAP * CROP
    grown = 1 + rng.normal(0, settings.place)
    centre = placed.mean(axis=0)
    return np.asarray((placed - centre) * grown + centre + rng.normal(0, settings.place * eyes, 2))


def _of_recipe(
    rows: Sequence[tuple[float, tuple[str, ...]]], rng: np.random.Generator, settings: MadeUpSettings
) -> list[str]:
    shares = np.array([share for share, _ in rows])
    chosen = list(rows[int(rng.choice(len(rows), p=shares / shares.sum()))][1])
    if rng.random() < settings.stray:
        chosen.append(str(rng.choice([unit for unit in UNITS if unit not in chosen])))
    return chosen


def _some_units(rng: np.random.Generator) -> list[str]:
    return [str(unit) for unit in rng.choice(list(UNITS), size=int(rng.integers(1, 4)), replace=False)]


def _strengths(units: Sequence[str], rng: np.random.Generator, settings: MadeUpSettings) -> NDArray[np.float32]:
    """(C,) px of each code; the first unit is the strongest."""
    peak = np.exp(rng.uniform(*np.log(settings.strength)))
    one_side = "LR"[int(rng.integers(2))] if rng.random() < settings.asymmetry else None
    shown = np.zeros(len(CODES), np.float32)
    for rank, unit in enumerate(units):
        own = peak * (1 if rank == 0 else rng.uniform(0.3, 1.0))
        for side in one_side if one_side and unit in ONE_SIDED else "LR":
            shown[CODES.index(f"{unit}{side}")] = own * rng.uniform(0.66, 1.0)
    return shown


def _measured(
    flow: NDArray[Any],
    people: People,
    who: NDArray[np.int64],
    rng: np.random.Generator,
    settings: MadeUpSettings,
) -> NDArray[np.float32]:
    """(N, F, F, 2) true motion as a measurement would give it: (N, 3, S, S) u, v, strain."""
    count, side = flow.shape[:2]
    blinks = np.where(rng.random(count) < settings.blink, np.exp(rng.uniform(-1.2, 1.1, count)), 0.0)  # px
    flow = flow + blinks[:, None, None, None] * people.lids[who]
    missed = settings.patches * rng.uniform(size=(count, 1, 1, 1)) * _patches(count, side, rng)
    flow = flow * (1 - missed)
    flow = flow + _rigid(count, side, rng, settings.rigid)
    flow = flow + _noise(count, side, rng, settings.noise)
    spacing = CROP / side
    (u_y, u_x), (v_y, v_x) = (np.gradient(flow[..., c], spacing, axis=(1, 2)) for c in (0, 1))
    strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
    maps = np.stack([flow[..., 0], flow[..., 1], strain], axis=1)  # (N, 3, F, F)
    masked = np.asarray(rng.random(count) < settings.masked)[:, None, None]
    maps = maps * np.where(masked, people.faces[who], 1)[:, None]
    small = maps.reshape(count, 3, settings.side, settings.fine, settings.side, settings.fine).mean(axis=(3, 5))
    gains = np.exp(rng.uniform(-np.log(3), np.log(3), (count, 3))) ** (rng.random((count, 1)) < settings.stretched)
    return (small * gains[:, :, None, None]).astype(np.float32)


def _patches(count: int, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, side, side, 1) in 0 .. 1: 1 where the flow is missed."""
    smooth = gaussian_filter(rng.normal(size=(count, side, side)).astype(np.float32), (0, side / 10, side / 10))
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    return np.asarray(1 / (1 + np.exp(-3 * (smooth - 0.5))), np.float32)[..., None]


def _rigid(count: int, side: int, rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """(N, side, side, 2): shift, turn, growth and shear that alignment left."""
    at = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    basis = np.stack([np.ones_like(x), x, y], axis=-1)  # (F, F, 3)
    amounts = rng.normal(0, spread, (count, 3, 2)) * np.array([1, 0.7, 0.7])[None, :, None]
    return np.einsum("hwk,nkc->nhwc", basis, amounts).astype(np.float32)


def _noise(count: int, side: int, rng: np.random.Generator, sizes: tuple[float, float]) -> NDArray[np.float32]:
    """(N, side, side, 2) smooth noise of a width that differs from clip to clip."""
    found = np.empty((count, side, side, 2), np.float32)
    widths = rng.choice([0.7, 1.5, 3.0, 6.0], size=count) * side / 56
    white = rng.normal(size=found.shape).astype(np.float32)
    for width in np.unique(widths):
        rows = widths == width
        smooth = gaussian_filter(white[rows], (0, width, width, 0))
        found[rows] = smooth / smooth.std()
    low, high = np.log(sizes)
    return found * np.exp(rng.uniform(low, high, count)).astype(np.float32)[:, None, None, None]
