"""Random identities of the synthetic corpus and their 68 neutral landmarks.

Face coordinates ("face units") have their origin midway between the outer eye corners, x to the right of the image,
y down, and the distance of the outer eye corners as unit. Landmarks are in the order of `preprocessing.faces.points68`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from preprocessing.faces.points68 import BROWS, CHIN, EYES, JAW, LEFT_EYE, MOUTH, NOSE, RIGHT_BROW, RIGHT_EYE

Points = NDArray[np.float64]
"""(N, 2) float64, x then y."""

# Image-left half and midline of a neutral frontal face, in face units: symmetrised averages of what dlib's predictor
# answers on frontal people, with the mouth closed.
_JAW = [(-0.797, -0.02), (-0.79, 0.2), (-0.77, 0.425), (-0.736, 0.65), (-0.672, 0.87), (-0.56, 1.085)]
_JAW += [(-0.41, 1.25), (-0.22, 1.37), (0.0, 1.408)]
_BROW = [(-0.65, -0.165), (-0.555, -0.255), (-0.415, -0.285), (-0.27, -0.258), (-0.13, -0.2)]
_BRIDGE = [(0.0, -0.03), (0.0, 0.11), (0.0, 0.25), (0.0, 0.395)]
_NOSTRILS = [(-0.158, 0.525), (-0.085, 0.552), (0.0, 0.572)]
_EYE = [(-0.5, 0.0), (-0.415, -0.056), (-0.303, -0.056), (-0.207, 0.012), (-0.31, 0.042), (-0.42, 0.044)]
_LIPS = [(-0.305, 0.862), (-0.195, 0.795), (-0.08, 0.758), (0.0, 0.778), (0.0, 1.015), (-0.085, 1.005), (-0.2, 0.955)]
_INNER = [(-0.25, 0.868), (-0.08, 0.858), (0.0, 0.865), (0.0, 0.886), (-0.08, 0.88)]

_HALF: dict[int, tuple[float, float]] = {
    **dict(enumerate(_JAW)),
    **dict(zip(range(RIGHT_BROW.start, RIGHT_BROW.stop), _BROW, strict=True)),
    **dict(zip(range(27, 31), _BRIDGE, strict=True)),
    **dict(zip(range(31, 34), _NOSTRILS, strict=True)),
    **dict(zip(range(RIGHT_EYE.start, RIGHT_EYE.stop), _EYE, strict=True)),
    **dict(zip((48, 49, 50, 51, 57, 58, 59), _LIPS, strict=True)),
    **dict(zip((60, 61, 62, 66, 67), _INNER, strict=True)),
}

MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),
    ]
)
"""(68,) index of each landmark's mirror image: a mirrored face is ``points[MIRROR]`` with x negated."""

SKIN_TONES = np.array(
    [(238, 203, 184), (228, 186, 160), (214, 168, 138), (192, 143, 110), (160, 113, 83), (126, 86, 62), (98, 66, 49)],
    np.float64,
)
"""(7, 3) RGB, light to dark; an identity lies between two neighbours."""
HAIR_TONES = ((32, 26, 24), (52, 37, 29), (84, 58, 40), (122, 88, 56), (176, 140, 92), (128, 62, 36), (150, 148, 146))
IRIS_TONES = ((62, 40, 26), (84, 56, 34), (110, 92, 54), (92, 116, 96), (88, 118, 148), (110, 122, 132))
HAIR_STYLES = ("short", "long", "parted", "receding")


@dataclass(frozen=True)
class Identity:
    """A person: proportions as factors or offsets in face units around the average face, and colours in RGB 0..255.

    ``centre`` (px) is the midpoint of the outer eye corners and ``scale`` (px) their distance in the frame.
    """

    centre: tuple[float, float]
    scale: float
    face_width: float
    face_length: float
    jaw_square: float
    chin_width: float
    brow_height: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    eye_opening: float
    eye_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_drop: float
    lip_fullness: float
    skin: tuple[float, float, float]
    lips: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    clothes: tuple[float, float, float]
    hair_style: str
    hair_volume: float
    age: float
    freckles: float
    stubble: float

    def landmarks(self) -> Points:
        """Neutral landmarks (68, 2) in frame px."""
        return self.to_frame(shape(self))

    def to_frame(self, points: Points) -> Points:
        """Face units to frame px."""
        return np.asarray(self.centre) + self.scale * np.asarray(points, np.float64)


def draw_identity(rng: np.random.Generator, width: int, height: int, rank: float) -> Identity:
    """Draw a person for frames of ``width`` x ``height`` px.

    ``rank`` in [0, 1] places the skin tone between light and dark, so that a corpus can cover the range evenly.
    """
    tone = np.clip(rank * (len(SKIN_TONES) - 1) + rng.uniform(-0.4, 0.4), 0, len(SKIN_TONES) - 1)
    skin = np.array([np.interp(tone, np.arange(len(SKIN_TONES)), SKIN_TONES[:, c]) for c in range(3)])
    age = float(rng.uniform(0, 1))
    dark = rank > 0.5
    hair = HAIR_TONES[6] if age > 0.8 and rng.random() < 0.6 else HAIR_TONES[rng.integers(0, 2 if dark else 6)]
    style = str(rng.choice(HAIR_STYLES, p=(0.35, 0.3, 0.2, 0.15)))
    lips = 0.62 * skin + 0.38 * np.array([170, 66, 70]) - rng.uniform(4, 16)
    scale = min(width / 640, height / 480) * rng.uniform(143, 161)
    return Identity(
        centre=(width * (0.5 + rng.uniform(-0.03, 0.03)), height * (0.445 + rng.uniform(-0.01, 0.01))),
        scale=float(scale),
        face_width=rng.uniform(0.93, 1.06),
        face_length=rng.uniform(0.94, 1.05),
        jaw_square=rng.uniform(-0.6, 1.0),
        chin_width=rng.uniform(0.92, 1.12),
        brow_height=rng.uniform(-0.04, 0.03),
        brow_arch=rng.uniform(-0.035, 0.02),
        brow_tilt=rng.uniform(-0.03, 0.035),
        brow_thickness=rng.uniform(0.022, 0.048),
        eye_opening=rng.uniform(0.8, 1.2),
        eye_tilt=rng.uniform(-0.014, 0.014),
        nose_width=rng.uniform(0.86, 1.2),
        nose_length=rng.uniform(0.92, 1.07),
        mouth_width=rng.uniform(0.88, 1.15),
        mouth_drop=rng.uniform(-0.025, 0.03),
        lip_fullness=rng.uniform(0.75, 1.25),
        skin=_rgb(skin),
        lips=_rgb(lips),
        hair=_rgb(np.asarray(hair) * rng.uniform(0.85, 1.15)),
        iris=_rgb(np.asarray(IRIS_TONES[rng.integers(0, 2 if dark else 6)])),
        clothes=_rgb(rng.uniform(40, 150, 3)),
        hair_style=style,
        hair_volume=rng.uniform(0.7, 1.3),
        age=age,
        freckles=float(rng.uniform(0, 1) ** 2),
        stubble=float(rng.uniform(0.2, 0.8)) if style in ("short", "receding") and rng.random() < 0.5 else 0.0,
    )


def average_shape() -> Points:
    """The average face: (68, 2) in face units, left-right symmetric."""
    points = np.full((68, 2), np.nan)
    for index, point in _HALF.items():
        points[MIRROR[index]] = (-point[0], point[1])
        points[index] = point
    return points


def shape(who: Identity) -> Points:
    """The landmarks of a person: (68, 2) in face units."""
    points = average_shape()
    # how far down the jaw a point lies, 0 at the ears and 1 at the chin
    down = np.clip(points[JAW, 1] / points[CHIN, 1], 0, 1)
    points[JAW, 0] *= who.face_width * (1 + 0.05 * who.jaw_square * np.sin(np.pi * down))
    points[JAW, 0] *= 1 + (who.chin_width - 1) * down**4
    points[JAW, 1] *= who.face_length

    across = np.abs(points[BROWS, 0])
    arch = np.exp(-(((across - 0.45) / 0.12) ** 2))
    points[BROWS, 1] -= who.brow_height + who.brow_arch * arch + who.brow_tilt * (across - 0.4) / 0.25

    points[NOSE, 0] *= who.nose_width
    points[NOSE, 1] *= who.nose_length

    across = (np.abs(points[EYES, 0]) - 0.355) / 0.147
    axis = np.interp(across, (-1, 1), (0.012, 0.0))
    points[EYES, 1] = axis + (points[EYES, 1] - axis) * who.eye_opening + who.eye_tilt * (1 - across) / 2

    middle = 0.868
    points[MOUTH, 0] *= who.mouth_width
    lip = np.r_[np.full(12, who.lip_fullness), np.ones(8)]
    points[MOUTH, 1] = middle + (points[MOUTH, 1] - middle) * lip + who.mouth_drop
    points[MOUTH, 1] += 0.5 * (who.face_length - 1)
    return points


def spline(points: Points, closed: bool = False, per_segment: int = 12) -> Points:
    """Smooth curve (M, 2) through ``points`` (N, 2), by cubic splines over the chord length."""
    knots = np.vstack([points, points[:1]]) if closed else np.asarray(points, np.float64)
    chord = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    curve = CubicSpline(chord, knots, bc_type="periodic" if closed else "natural")
    fine = np.interp(np.arange(per_segment * (len(knots) - 1) + 1) / per_segment, np.arange(len(knots)), chord)
    return np.asarray(curve(fine[:-1] if closed else fine))


def shifted(points: Points, right: float, down: float) -> Points:
    """``points`` moved by (right, down)."""
    return np.asarray(points + np.array([right, down]))


def head_outline(points: Points) -> Points:
    """Closed outline (M, 2) of jaw and skull for landmarks ``points`` in face units."""
    width = points[16, 0]
    skull = np.array([(1.0, -0.2), (0.95, -0.5), (0.79, -0.83), (0.45, -1.08), (0.0, -1.15)]) * (width, 1)
    left = skull[:-1][::-1] * (-1, 1)
    return spline(np.vstack([points[JAW], skull, left]), closed=True)


def eye_outline(points: Points, left: bool) -> tuple[Points, Points]:
    """Upper and lower lid edges of one eye as curves from image left to image right; ``left`` is the subject's."""
    base = (LEFT_EYE if left else RIGHT_EYE).start
    upper = spline(points[base : base + 4])
    lower = spline(points[[base, base + 5, base + 4, base + 3]])
    return upper, lower


def lip_outlines(points: Points) -> tuple[Points, Points]:
    """Closed outlines of the upper and the lower lip, meeting on the mouth line."""
    seam = mouth_line(points)
    upper = spline(points[48:55])
    lower = spline(points[[54, 55, 56, 57, 58, 59, 48]])
    return np.vstack([upper, seam[::-1]]), np.vstack([lower, seam])


def mouth_line(points: Points) -> Points:
    """Line between the closed lips, from the subject's right corner to the left."""
    between = (points[[61, 62, 63]] + points[[67, 66, 65]]) / 2
    return spline(np.vstack([points[48], between, points[54]]))


def _rgb(colour: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = np.clip(colour, 0, 255)
    return float(r), float(g), float(b)
