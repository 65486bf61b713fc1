"""Draw the neutral face of an identity: background, shoulders, neck, head and hair, with a relief that light falls on.

A portrait is painted as albedo; brightness comes from a height map (skull, brow ridge, sockets, nose, cheekbones,
lips, chin) under one soft light, so each clip may have its own light without a new drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.faces.points68 import CHIN, JAW
from preprocessing.synthetic import features
from preprocessing.synthetic.drawing import OVERSAMPLING, Canvas, Image, noise, polar_noise
from preprocessing.synthetic.geometry import Identity, Points, head_outline, shape, spline

# The lens: blur of the picture, in frame px. It also leaves nothing that linear resampling of the canvas could alias.
OPTICS = 0.55
# Relief as (x, y, size x, size y, height) in face units; x ≠ 0 stands for both sides.
_RELIEF = (
    (0.36, -0.17, 0.17, 0.05, 0.035),  # brow ridge
    (0.0, -0.12, 0.10, 0.06, 0.02),  # glabella
    (0.33, 0.00, 0.13, 0.075, -0.055),  # eye sockets
    (0.19, 0.00, 0.045, 0.06, -0.03),  # inner corners
    (0.355, -0.01, 0.10, 0.055, 0.028),  # eyeballs
    (0.50, 0.36, 0.16, 0.13, 0.05),  # cheekbones
    (0.52, 0.72, 0.12, 0.16, -0.025),  # hollow of the cheeks
    (0.0, 0.86, 0.26, 0.17, 0.06),  # muzzle
    (0.0, 1.08, 0.16, 0.045, -0.022),  # fold below the lower lip
    (0.0, 1.27, 0.16, 0.09, 0.05),  # chin
    (0.70, -0.35, 0.10, 0.20, -0.02),  # temples
)
_NECK = np.array([(-0.52, 0.8), (0.52, 0.8), (0.5, 1.5), (0.6, 1.75), (-0.6, 1.75), (-0.5, 1.5)])


@dataclass(frozen=True)
class Portrait:
    """A neutral face, ready to be lit.

    ``albedo`` (H, W, 3) and ``normals`` (H, W, 3) at canvas resolution; ``closed`` is the albedo with closed eyes;
    ``lids`` (2, H, W) is the lid travel at which a pixel of either eye is covered (2 where it never is);
    ``face`` (H / 2, W / 2) the mask of the face's skin in frame pixels; ``behind`` (H, W) is 1 where neither hair nor
    skin nor clothes hide the background.
    """

    albedo: Image
    closed: Image
    normals: Image
    lids: Image
    face: NDArray[np.bool_]
    behind: Image


def draw_portrait(who: Identity, size: tuple[int, int], rng: np.random.Generator) -> Portrait:
    """Draw ``who`` for frames of ``size`` (width, height)."""
    canvas = Canvas(size, who.centre, who.scale)
    points = shape(who)
    head = head_outline(points)
    mask = canvas.shape(head, 0.008)
    _background(canvas, rng)
    wall = canvas.rgb.copy()
    _hair_behind(canvas, who, points, rng)
    _bust(canvas, who, points, rng)
    _ears(canvas, who, points)
    canvas.paint(mask, who.skin)
    _skin(canvas, who, mask, rng)
    features.draw_nose(canvas, who, points)
    features.draw_mouth(canvas, who, points, rng)
    features.draw_folds(canvas, who, points)
    _stubble(canvas, who, points, mask, rng)
    _cap(canvas, who, points, rng)
    bare = canvas.rgb.copy()
    features.draw_lids(canvas, who, points)
    closed = canvas.rgb
    canvas.rgb = bare
    features.draw_eyes(canvas, who, points, rng)
    albedo = canvas.rgb
    canvas.rgb = closed
    features.draw_brows(canvas, who, points, np.random.default_rng(7))
    canvas.rgb, closed = albedo, canvas.rgb
    features.draw_brows(canvas, who, points, np.random.default_rng(7))
    sharp = OPTICS * OVERSAMPLING
    return Portrait(
        albedo=np.asarray(cv2.GaussianBlur(canvas.rgb, (0, 0), sharp), np.float32),
        closed=np.asarray(cv2.GaussianBlur(closed, (0, 0), sharp), np.float32),
        normals=_normals(canvas, points, head),
        lids=np.stack([features.lid_travel(canvas, points, left) for left in (False, True)]),
        face=_face_mask(canvas, points, size),
        behind=np.asarray(cv2.GaussianBlur((albedo == wall).all(axis=2).astype(np.float32), (0, 0), sharp), np.float32),
    )


def light(portrait: Portrait, direction: tuple[float, float], ambient: float) -> Image:
    """Gain (H, W, 1) of one soft light from ``direction`` (to the image right, up) over ``ambient`` light.

    A surface that faces the camera has gain 1.
    """
    towards = np.array([direction[0], -direction[1], 1.0])
    towards /= np.linalg.norm(towards)
    facing = np.clip(portrait.normals @ towards.astype(np.float32), 0, None)
    return np.asarray(ambient + (1 - ambient) * facing / towards[2], np.float32)[..., None]


def _normals(canvas: Canvas, points: Points, head: Points) -> Image:
    """Unit normals (H, W, 3) of the relief, x right, y down, z towards the camera."""
    mask = canvas.shape(head, 0.0)
    distance = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / canvas.scale
    inside = np.clip(distance / 0.75, 0, 1)
    height = canvas.blur((0.52 * np.sqrt(1 - (1 - inside) ** 2.2)).astype(np.float32), 0.035)
    for x, y, size_x, size_y, rise in _RELIEF:
        for side in (-1, 1) if x else (1,):
            height += rise * canvas.spot(side * x, y, size_x, size_y)
    height += features.nose_relief(canvas, points) + features.lip_relief(canvas, points)
    # the neck has its own relief: across the jaw the two would meet in a cliff that catches the light
    column = 0.3 * np.sqrt(np.clip(1 - (canvas.x / 0.62) ** 2, 0, 1))
    normals = np.zeros((*mask.shape, 3), np.float32) + np.array([0, 0, 1], np.float32)
    for part, relief in (
        (canvas.shape(_NECK, 0.01), np.repeat(column[None], canvas.height, axis=0).astype(np.float32)),
        (canvas.shape(1.012 * head, 0.004), canvas.blur(height, 0.008)),
    ):
        normals += part[..., None] * (_facing(canvas, relief) - normals)
    return normals


def _facing(canvas: Canvas, height: Image) -> Image:
    """Unit normals (H, W, 3) of a height map in face units."""
    slope_y, slope_x = (g * canvas.scale for g in np.gradient(height))
    normals = np.stack([-slope_x, -slope_y, np.ones_like(height)], axis=-1)
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True), np.float32)


def _background(canvas: Canvas, rng: np.random.Generator) -> None:
    tone = rng.uniform(95, 185) + rng.uniform(-8, 8, 3)
    fall = 1 + rng.uniform(-0.12, 0.12) * canvas.x[None] - rng.uniform(0.0, 0.12) * canvas.y[:, None]
    cloud = noise(rng, fall.shape, 160) * 2.5 + noise(rng, fall.shape, 3) * 0.8
    canvas.rgb[:] = tone * fall[..., None] + cloud[..., None]


def _bust(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    """Neck, shadow of the chin, shoulders and collar."""
    skin, chin = np.array(who.skin), points[CHIN, 1]
    mask = canvas.shape(_NECK, 0.008)
    canvas.paint(mask, tuple(skin * 0.86))
    canvas.tint(mask * canvas.spot(0, chin + 0.02, 0.6, 0.17), 0.4)
    right = np.array([(0.0, 1.86), (0.3, 1.78), (0.52, 1.6), (0.95, 1.74), (1.5, 1.9), (1.9, 2.4), (2.0, 3.2)])
    right[:, 1] += chin - 1.42
    shirt = np.vstack([right, right[::-1] * (-1, 1)])
    mask = canvas.shape(shirt, 0.01)
    folds = 1 + 0.05 * noise(rng, mask.shape, 70) + 0.03 * noise(rng, mask.shape, 4)
    canvas.paint(mask, np.asarray(np.array(who.clothes) * folds[..., None], np.float32))
    collar = spline(np.vstack([right[:3][::-1] * (-1, 1), right[1:3]]))
    canvas.tint(canvas.line(collar, 0.035, 0.01), 0.75)


def _ears(canvas: Canvas, who: Identity, points: Points) -> None:
    around = np.linspace(0, 2 * np.pi, 40)
    for side in (-1, 1):
        x = side * (abs(points[0, 0]) + 0.02)
        lobe = np.stack([x + 0.085 * np.cos(around), 0.18 + 0.25 * np.sin(around)], axis=1)
        mask = canvas.shape(lobe, 0.01)
        canvas.paint(mask, tuple(np.array(who.skin) * (0.9, 0.84, 0.82)))
        canvas.tint(canvas.shape((lobe - (x, 0.18)) * (0.5, 0.62) + (x + 0.012 * side, 0.15), 0.02), 0.78)


def _skin(canvas: Canvas, who: Identity, mask: Image, rng: np.random.Generator) -> None:
    """Blood, blotches, pores and freckles."""
    shape_ = mask.shape
    blush = sum(canvas.spot(side * 0.48, 0.42, 0.2, 0.16) for side in (-1, 1)) + canvas.spot(0, 0.45, 0.1, 0.1)
    canvas.tint(np.asarray(mask * blush, np.float32), (1.02, 0.92, 0.91))
    canvas.tint(mask * canvas.spot(0, -0.6, 0.5, 0.25), (1.01, 1.02, 1.0))
    for side in (-1, 1):  # the thin skin below the eyes
        canvas.tint(mask * canvas.spot(side * 0.33, 0.1, 0.13, 0.045), (0.93 - 0.05 * who.age,) * 2 + (0.95,))
    blotches = 0.016 * noise(rng, shape_, 34) + 0.018 * noise(rng, shape_, 11)
    pores = (0.016 + 0.012 * who.age) * noise(rng, shape_, 4) + 0.016 * noise(rng, shape_, 2.2)
    canvas.rgb *= 1 + (mask * (blotches + pores))[..., None]
    warmth = mask * 0.012 * noise(rng, shape_, 26)
    canvas.rgb *= 1 + warmth[..., None] * np.array([1.0, -0.6, -1.0], np.float32)
    count = int(25 + 260 * who.freckles)
    at = rng.normal((0, 0.3), (0.42, 0.4), (count, 2))
    dots = canvas.strokes(at, at + rng.uniform(-0.004, 0.004, (count, 2)), 0.007)
    canvas.tint(mask * canvas.blur(dots, 0.003), (0.82, 0.74, 0.7))
    mole = rng.uniform((-0.5, 0.1), (0.5, 1.2))
    canvas.tint(mask * canvas.spot(mole[0], mole[1], 0.011, 0.011) * (rng.random() < 0.5), 0.55)


def _stubble(canvas: Canvas, who: Identity, points: Points, mask: Image, rng: np.random.Generator) -> None:
    if not who.stubble:
        return
    beard = canvas.shape(np.vstack([points[2:15], (0.45, 0.72), (0, 0.66), (-0.45, 0.72)]), 0.06)
    lips = canvas.shape(spline(points[48:60], closed=True), 0.02)
    grain = np.clip(0.55 + 0.35 * noise(rng, mask.shape, 2.4), 0, 1)
    canvas.paint(np.asarray(mask * beard * (1 - lips) * grain, np.float32), who.hair, 0.33 * who.stubble)


def _hair_behind(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    if who.hair_style != "long":
        return
    wide, v = points[16, 0], who.hair_volume
    right = [(0, -1.32), (0.55, -1.2), (wide + 0.13 * v, -0.55), (wide + 0.22 * v, 0.2), (wide + 0.2 * v, 1.0)]
    right += [(wide + 0.12 * v, 1.75), (0.5, 1.8)]
    outline = np.vstack([np.array(right), np.array(right[1:])[::-1] * (-1, 1)])
    _lay_hair(canvas, who, canvas.shape(spline(outline, closed=True), 0.012), 0.72, rng)


def _cap(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    """Hair on the head: between the outline of the hair and the hairline."""
    wide, v = points[16, 0], who.hair_volume
    rise = {"short": 0.0, "long": 0.03, "parted": -0.03, "receding": 0.17}[who.hair_style]
    part = 0.16 if who.hair_style in ("parted", "long") else 0.0
    outer = np.array([(wide + 0.02, 0.0), (wide + 0.06, -0.4), (0.92 * wide + 0.05, -0.82), (0.52, -1.14), (0, -1.22)])
    outer[1:] *= 1 + 0.05 * (v - 1)
    line = np.array([(0.93 * wide, 0.02), (0.90 * wide, -0.35), (0.62, -0.6 - rise), (0.33, -0.74 - rise)])
    line = np.vstack([line, [(part, -0.73 - 0.85 * rise)]])
    left = line[:-1][::-1] * (-1, 1) - (0.0, 0.02)
    hairline = spline(np.vstack([line, left]))
    top = spline(np.vstack([outer, outer[:-1][::-1] * (-1, 1)]))
    mask = canvas.shape(np.vstack([hairline, top[::-1]]), 0.014)
    canvas.tint(canvas.blur(mask, 0.05) * canvas.shape(head_outline(points), 0.01), 0.86)
    ragged = np.clip(mask + 0.35 * polar_noise(rng, canvas, (part, -0.9), 900, 0.25) * mask * (1 - mask) * 4, 0, 1)
    _lay_hair(canvas, who, np.asarray(ragged, np.float32), 1.0, rng)


def _lay_hair(canvas: Canvas, who: Identity, mask: Image, gain: float, rng: np.random.Generator) -> None:
    strands = 0.16 * polar_noise(rng, canvas, (0.08, -1.45), 1100, 0.5)
    shine = 0.25 * np.exp(-(((canvas.y + 0.95) / 0.12) ** 2))[:, None]
    colour = np.array(who.hair) * gain * (1 + strands + shine)[..., None] + 6 * (strands + shine)[..., None]
    canvas.paint(mask, np.asarray(colour, np.float32), 0.97)


def _face_mask(canvas: Canvas, points: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Skin of the face, jaw to hairline, in frame pixels."""
    brow = [(0.9 * points[16, 0], -0.3), (0.6, -0.55), (0, -0.62), (-0.6, -0.55), (0.9 * points[0, 0], -0.3)]
    mask = canvas.shape(np.vstack([points[JAW], brow]), 0.0)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.5)
