"""Render the frames of a clip from a neutral portrait and its true motion, with blink, shading, flicker and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.synthetic.drawing import OVERSAMPLING, Image
from preprocessing.synthetic.drawing import noise as texture
from preprocessing.synthetic.portrait import Portrait, light
from preprocessing.synthetic.truth import Truth, compose, grid, head_weight, invert, unit_fields

STEP = 2  # motion is computed on cells of this many px; the fields are much smoother
PRESSED = 0.12  # how much darker skin gets per unit of compression
LUMPS, REACH = (
    10.0,
    8.0,
)  # of a moving background: size of what is seen there, and how far it moves, px at 480 px height
MAINS_HZ = 100.0  # lamps pulse at twice the 50 Hz of the mains


@dataclass(frozen=True)
class Lighting:
    """Light of one clip: direction (right, up), share of ambient light, exposure gain."""

    direction: tuple[float, float]
    ambient: float
    exposure: float


@dataclass(frozen=True)
class Backdrop:
    """What moves behind the head: a ``pattern`` (H, W), grey levels to add, and its ``places`` (T, 2), px."""

    pattern: Image
    places: NDArray[np.float64]


def draw_backdrop(rng: np.random.Generator, size: tuple[int, int], n: int, contrast: float) -> Backdrop:
    """Draw a backdrop for ``n`` frames of ``size`` (width, height)."""
    scale = size[1] / 480
    pattern = np.float32(contrast) * texture(rng, size[::-1], LUMPS * scale)
    heading, start, turns = rng.uniform(0, 2 * np.pi), rng.uniform(), rng.uniform(0.3, 0.8)
    along = np.sin(2 * np.pi * (start + turns * np.linspace(0, 1, n)))
    return Backdrop(pattern, REACH * scale * along[:, None] * (np.cos(heading), np.sin(heading)))


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draw the light of one recording."""
    direction = (rng.uniform(-0.3, 0.3), rng.uniform(0.25, 0.5))
    return Lighting(direction, rng.uniform(0.45, 0.6), rng.uniform(0.97, 1.1))


def flicker_gains(rng: np.random.Generator, n: int, fps: float, strength: float) -> NDArray[np.float64]:
    """Gain (n,) of the whole picture around 1: mains pulses as the shutter aliases them, and a slow wave.

    ``strength`` bounds the deviation.
    """
    t = np.arange(n) / fps
    mains_hz = MAINS_HZ * rng.uniform(0.997, 1.003)
    mains = np.sin(2 * np.pi * (mains_hz * t + rng.uniform()))
    slow = np.sin(2 * np.pi * (rng.uniform(0.5, 3.0) * t + rng.uniform()))
    return 1 + strength * (0.5 * mains + 0.5 * slow)


def blink_curve(rng: np.random.Generator, n: int, fps: float, probability: float) -> NDArray[np.float64]:
    """Lid closure (n,), 0 to 1: with ``probability`` a blink of 0.12 to 0.22 s that may reach over the clip's ends."""
    happens, middle, seconds = rng.random() < probability, rng.uniform(0, n), rng.uniform(0.12, 0.22)
    if not happens:
        return np.zeros(n)
    # lids close about twice as fast as they open
    half = np.where(np.arange(n) < middle, 0.35, 0.65) * seconds * fps
    return np.asarray(np.cos(np.pi / 2 * np.clip((np.arange(n) - middle) / half, -1, 1)) ** 2)


def render(
    truth: Truth,
    portrait: Portrait,
    lighting: Lighting,
    gains: NDArray[np.float64],
    noise: float,
    rng: np.random.Generator,
    backdrop: Backdrop | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames (H, W, 3) uint8 RGB of a clip.

    Args:
        truth: what happens.
        portrait: the neutral face at canvas resolution.
        lighting: light of the clip.
        gains: (T,) flicker.
        noise: standard deviation of the sensor noise in grey levels. It is the same in all channels, as what is left
            of a sensor's noise in the luminance after demosaicing.
        rng: source of the noise.
        backdrop: what moves behind the head.
    """
    lit = light(portrait, lighting.direction, lighting.ambient) * np.float32(lighting.exposure)
    faces = portrait.albedo * lit, portrait.closed * lit
    opened, closed = (np.ascontiguousarray(face.transpose(2, 0, 1)) for face in faces)  # (3, 2H, 2W)
    fields = unit_fields(truth, STEP).astype(np.float32)
    # pressed skin is folded and darker, stretched skin lighter: the divergence of the displacement
    pressed = PRESSED * (np.gradient(fields[..., 0], STEP, axis=2) + np.gradient(fields[..., 1], STEP, axis=1))
    weight, at = (part.astype(np.float32) for part in (head_weight(truth, STEP), grid(truth.size, STEP)))
    pixels = grid(truth.size, 1).astype(np.float32)
    for t in range(truth.n_frames):
        curves, pose = truth.curves[t].astype(np.float32), truth.rigid[t].astype(np.float32)
        origin = invert(compose(np.tensordot(curves, fields, 1), pose, weight, at), STEP)
        origin = pixels + cv2.resize(origin - at, truth.size, None, 0, 0, cv2.INTER_CUBIC)
        folds = cv2.resize(np.tensordot(curves, pressed, 1), truth.size, None, 0, 0, cv2.INTER_LINEAR)
        gain = np.float32(gains[t]) * (1 + folds)
        grain = np.float32(noise) * rng.standard_normal(gain.shape, dtype=np.float32)
        if backdrop is not None:
            grain += _look_up(portrait.behind[None], origin)[0] * _moved(backdrop, t)
        channels = _look_up(_with_lids(opened, closed, portrait.lids, truth.blink[t]), origin)
        # the sum is rounded and clipped to 0..255
        frame = cv2.merge([cv2.add(channel * gain, grain, dtype=cv2.CV_8U) for channel in channels])
        yield np.asarray(frame, np.uint8)


def _moved(backdrop: Backdrop, t: int) -> Image:
    """The pattern as frame ``t`` shows it; what comes in at the edge is its mirror image."""
    shift = np.column_stack([np.eye(2), backdrop.places[t]])
    height, width = backdrop.pattern.shape
    seen = cv2.warpAffine(backdrop.pattern, shift, (width, height), None, cv2.INTER_LINEAR, cv2.BORDER_REFLECT)
    return np.asarray(seen, np.float32)


def _look_up(canvas: Image, origin: Image) -> list[Image]:
    """Channels (H, W) of the canvas (3, 2H, 2W) at frame positions ``origin`` (H, W, 2)."""
    x, y = (origin[..., c] * np.float32(OVERSAMPLING) for c in (0, 1))
    looked = [cv2.remap(channel, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE) for channel in canvas]
    return [np.asarray(channel, np.float32) for channel in looked]


def _with_lids(opened: Image, closed: Image, lids: Image, blink: float) -> Image:
    """The portrait (3, H, W) with the upper lids lowered by ``blink``."""
    if not blink:
        return opened
    mixed = opened.copy()
    for travel in lids:
        rows, columns = (np.flatnonzero((travel <= 1).any(axis=axis)) for axis in (1, 0))
        share = travel[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        box = slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        covered = np.clip((1.12 * blink - share) / 0.12, 0, 1)
        # the lashes ride on the edge of the lid
        lashes = 1 - 0.6 * np.exp(-(((share - blink) / 0.07) ** 2))
        mixed[box] += covered * (closed[box] - mixed[box])
        mixed[box] *= lashes
    return mixed
