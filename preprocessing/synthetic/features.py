"""Draw eyes, brows, nose and mouth inside the outlines that the landmarks give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.faces.points68 import LEFT_BROW, RIGHT_BROW
from preprocessing.synthetic.drawing import Canvas, Image
from preprocessing.synthetic.geometry import Identity, Points, eye_outline, lip_outlines, mouth_line, shifted, spline

LASHES = (38.0, 28.0, 26.0)


def draw_eyes(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    """Open eyes: white, iris, pupil, catch light, lid edges, lashes and crease."""
    gaze = rng.normal(0, 0.006, 2)
    for left in (False, True):
        upper, lower = eye_outline(points, left)
        outline = np.vstack([upper, lower[::-1]])
        opening = canvas.shape(outline, 0.004)
        white = np.array([214, 208, 204]) * (0.9 + 0.1 * np.mean(who.skin) / 255)
        canvas.paint(opening, tuple(white))
        middle = (upper[len(upper) // 2] + lower[len(lower) // 2]) / 2 + gaze - (0, 0.006)
        _iris(canvas, who, opening, middle)
        # the upper lid shades the eyeball, the corners are red
        canvas.tint(opening * canvas.line(upper, 0.03, 0.014), 0.62)
        inner = upper[0] if left else upper[-1]
        canvas.paint(opening * canvas.spot(inner[0], inner[1], 0.022, 0.02), (176, 108, 100), 0.7)
        canvas.tint(canvas.line(lower, 0.012, 0.006), (0.72, 0.62, 0.6))
        canvas.paint(canvas.line(shifted(lower, 0, 0.014), 0.008, 0.006), tuple(np.array(who.skin) * 1.08), 0.35)
        canvas.paint(canvas.line(_lash_line(upper, left), 0.017, 0.004), LASHES, 0.88)
        _lashes(canvas, upper, left, rng)
        canvas.tint(canvas.line(_crease(upper), 0.012, 0.008), 0.66)


def draw_lids(canvas: Canvas, who: Identity, points: Points) -> None:
    """Closed eyes: the upper lid reaches down to the lower lashes."""
    for left in (False, True):
        upper, lower = eye_outline(points, left)
        outline = np.vstack([shifted(upper, 0, -0.022), shifted(lower, 0, 0.004)[::-1]])
        canvas.paint(canvas.shape(outline, 0.006), tuple(np.array(who.skin) * (0.93, 0.88, 0.87)))
        canvas.tint(canvas.line(_crease(upper), 0.01, 0.008), 0.8)
        canvas.paint(canvas.line(lower, 0.016, 0.004), LASHES, 0.8)


def lid_travel(canvas: Canvas, points: Points, left: bool) -> Image:
    """Share of a full blink at which each pixel of an eye is covered: 0 at the upper lid, 1 at the lower, 2 outside."""
    upper, lower = eye_outline(points, left)
    edges = shifted(upper, 0, -0.024), shifted(lower, 0, 0.012)
    top, bottom = (np.interp(canvas.x, edge[:, 0], edge[:, 1]) for edge in edges)
    share = (canvas.y[:, None] - top) / np.maximum(bottom - top, 0.012)
    # the lashes reach a little over the corners
    reach = (canvas.x > upper[0, 0] - 0.045) & (canvas.x < upper[-1, 0] + 0.045)
    return np.where(reach & (share >= 0) & (share <= 1), share, 2.0).astype(np.float32)


def draw_brows(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    """Brows as hair strokes that lean outwards, over a soft shadow."""
    # grey brows still stand out from the skin
    colour = tuple(np.minimum(np.array(who.hair) * 0.72, np.array(who.skin) * 0.55))
    for base, side in ((RIGHT_BROW.start, -1), (LEFT_BROW.start, 1)):
        arc = shifted(spline(points[base : base + 5], per_segment=20), 0, 0.022)
        inward = arc if side > 0 else arc[::-1]  # from the nose outwards
        along = np.linspace(0, 1, len(inward))
        thick = who.brow_thickness * np.interp(along, (0, 0.15, 0.55, 1), (0.75, 1.0, 0.9, 0.35))
        body = np.vstack([inward - np.c_[0 * thick, thick], (inward + np.c_[0 * thick, thick])[::-1]])
        canvas.paint(canvas.shape(body, 0.014), colour, 0.55)
        count = 230
        at = rng.uniform(0, 1, count) ** 0.9
        centre = np.stack([np.interp(at, along, inward[:, c]) for c in (0, 1)], axis=1)
        spread = np.interp(at, along, thick) * rng.uniform(-1, 1, count)
        lean = np.interp(at, (0, 0.3, 1), (1.35, 0.75, 0.1)) + rng.normal(0, 0.15, count)
        hair = 0.052 * np.stack([side * np.cos(lean), -np.sin(lean) + 0.25 * at], axis=1)
        roots = centre + np.c_[0 * spread, spread] - hair / 2
        canvas.paint(canvas.strokes(roots, roots + hair, 0.0035), colour, 0.6)


def nose_relief(canvas: Canvas, points: Points) -> Image:
    """Height (H, W) of bridge, tip and wings."""
    wide, tip, base = points[35, 0], points[30], points[33]
    along = np.clip((canvas.y - points[27, 1]) / (tip[1] - points[27, 1]), 0, 1)
    end = np.clip((base[1] - 0.02 - canvas.y) / 0.09, 0, 1)
    height = (0.05 + 0.19 * along**1.2) * end**0.7 * (canvas.y > points[27, 1] - 0.25)
    height *= np.clip((canvas.y - points[27, 1] + 0.25) / 0.25, 0, 1)
    width = 0.05 + 0.05 * along**2
    ridge = height[:, None] * np.exp(-0.5 * (canvas.x[None] / width[:, None]) ** 2)
    relief = canvas.blur(ridge.astype(np.float32), 0.02)
    relief += 0.05 * canvas.spot(0, tip[1] + 0.03, 0.07, 0.06)
    for side in (-1, 1):
        relief += 0.055 * canvas.spot(side * 0.72 * wide, base[1] - 0.07, 0.045, 0.05)
    return relief


def draw_nose(canvas: Canvas, who: Identity, points: Points) -> None:
    """Nostrils, the crease of the wings and the shadow below."""
    # the landmarks of the base lie where the nose meets the lip, a little below and inside of the wings' outline
    wide, base = 1.06 * points[35, 0], points[33] - (0, 0.038)
    canvas.tint(canvas.spot(0, base[1] + 0.02, 0.11, 0.022), 0.66)
    canvas.tint(canvas.spot(0, points[30, 1] + 0.03, 0.05, 0.04), (1.08, 1.06, 1.05))
    for side in (-1, 1):
        wing = np.array([(0.74, -0.15), (1.0, -0.08), (1.03, -0.03), (0.86, 0.0), (0.6, -0.022)])
        curve = spline(wing * (side * wide, 1) + (0, base[1]))
        canvas.tint(canvas.line(curve, 0.016, 0.012), 0.62)
        nostril = np.array([(0.22, -0.028), (0.45, -0.048), (0.68, -0.036), (0.66, -0.016), (0.4, -0.012)])
        hole = spline(nostril * (side * wide, 1) + (0, base[1]), closed=True)
        canvas.paint(canvas.shape(hole, 0.007), (44, 22, 18), 0.85)
        canvas.tint(canvas.spot(side * 0.13, 0.2, 0.045, 0.2), 0.95)


def lip_relief(canvas: Canvas, points: Points) -> Image:
    """Height (H, W) of the lips and the groove above them."""
    upper, lower = lip_outlines(points)
    relief = 0.014 * canvas.shape(upper, 0.018) + 0.03 * canvas.shape(lower, 0.024)
    relief -= 0.035 * canvas.line(mouth_line(points), 0.012, 0.012)
    return relief - 0.012 * canvas.spot(0, (points[33, 1] + points[51, 1]) / 2, 0.022, 0.06)


def draw_mouth(canvas: Canvas, who: Identity, points: Points, rng: np.random.Generator) -> None:
    """Lips in two tones with fine furrows, the line between them and the corners."""
    upper, lower = lip_outlines(points)
    lips = np.array(who.lips)
    above, below = canvas.shape(upper, 0.007), canvas.shape(lower, 0.009)
    canvas.paint(above, tuple(lips * 0.82), 0.92)
    canvas.paint(below, tuple(lips), 0.88)
    x = rng.uniform(points[48, 0], points[54, 0], 160)
    roots = np.c_[x, np.full(160, points[62, 1] - 0.08)]
    furrows = canvas.strokes(roots, roots + np.c_[rng.normal(0, 0.008, 160), np.full(160, 0.22)], 0.003)
    canvas.tint((above + below) * canvas.blur(furrows, 0.002), 0.9)
    canvas.paint(below * canvas.spot(0, points[57, 1] - 0.07, 0.11, 0.02), (255, 235, 230), 0.16)
    seam = mouth_line(points)
    canvas.paint(canvas.line(seam, 0.015, 0.005), (58, 24, 24), 0.9)
    for corner in (seam[0], seam[-1]):
        canvas.tint(canvas.spot(corner[0], corner[1], 0.026, 0.022), 0.6)
    canvas.tint(canvas.spot(0, points[57, 1] + 0.045, 0.14, 0.025), 0.82)


def draw_folds(canvas: Canvas, who: Identity, points: Points) -> None:
    """What age leaves: nasolabial folds, lines of the forehead, bags below the eyes."""
    depth = 0.08 + 0.24 * who.age
    for side in (-1, 1):
        path = np.array([(0.2, 0.5), (0.29, 0.6), (0.36, 0.72), (0.4, 0.86)]) * (side, 1)
        canvas.tint(canvas.line(spline(path), 0.016, 0.02), 1 - depth)
        bag = np.array([(0.2, 0.1), (0.3, 0.145), (0.42, 0.14), (0.5, 0.1)]) * (side, 1)
        canvas.tint(canvas.line(spline(bag), 0.012, 0.014), 1 - 0.7 * depth)
    if who.age > 0.45:
        for y in (-0.38, -0.47, -0.56):
            wrinkle = np.array([(-0.38, y + 0.02), (-0.15, y - 0.01), (0.15, y - 0.01), (0.38, y + 0.02)])
            canvas.tint(canvas.line(spline(wrinkle), 0.008, 0.008), 1 - 0.35 * (who.age - 0.4))


def _iris(canvas: Canvas, who: Identity, opening: Image, middle: NDArray[np.float64]) -> None:
    dx, dy = np.meshgrid(canvas.x - middle[0], canvas.y - middle[1])
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    soft = 0.006
    disc = np.clip((0.066 - radius) / soft, 0, 1)
    rays = 1 + 0.12 * np.sin(23 * angle + 6 * np.sin(3 * angle)) - 0.35 * np.clip((radius - 0.048) / 0.018, 0, 1)
    colour = np.array(who.iris) * rays[..., None] * 1.05
    canvas.paint(np.asarray(opening * disc, np.float32), np.asarray(colour, np.float32))
    pupil = np.clip((0.027 - radius) / soft, 0, 1)
    canvas.paint(np.asarray(opening * pupil, np.float32), (14, 12, 12))
    canvas.paint(opening * canvas.spot(middle[0] + 0.02, middle[1] - 0.024, 0.009, 0.009), (250, 250, 250), 0.9)


def _lashes(canvas: Canvas, upper: Points, left: bool, rng: np.random.Generator) -> None:
    at = rng.uniform(0.1, 0.98, 40)
    along = np.linspace(0, 1, len(upper))
    outward = at if left else 1 - at
    roots = np.stack([np.interp(outward, along, upper[:, c]) for c in (0, 1)], axis=1)
    tips = roots + np.stack([(0.018 if left else -0.018) * at, -0.012 - 0.014 * at], axis=1)
    canvas.paint(canvas.strokes(roots, tips, 0.003), LASHES, 0.5)


def _lash_line(upper: Points, left: bool) -> Points:
    """Edge of the upper lid, drawn a little beyond the outer corner as lashes are."""
    edge = shifted(upper, 0, -0.004)
    tail = shifted(edge[-1:], 0.022, -0.002) if left else shifted(edge[:1], -0.022, -0.002)
    return np.vstack([edge, tail]) if left else np.vstack([tail, edge])


def _crease(upper: Points) -> Points:
    """Fold of the upper lid, above its edge."""
    lift = 0.038 * np.sin(np.pi * np.linspace(0.12, 0.95, len(upper)))
    return upper - np.c_[0 * lift, lift]
