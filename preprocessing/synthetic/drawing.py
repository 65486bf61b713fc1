"""Draw soft shapes, noise and hair strokes on a canvas in face units."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.synthetic.geometry import Points

Image = NDArray[np.float32]
"""(H, W, 3) or (H, W) float32; colours are RGB, 0..255."""

OVERSAMPLING = 2
_SHIFT = 4  # OpenCV draws in 1/16 px


class Canvas:
    """A picture that is painted in face units at twice the frame's resolution.

    Frame pixel (x, y) lies at canvas pixel ``OVERSAMPLING · (x, y)``.
    """

    def __init__(self, size: tuple[int, int], centre: tuple[float, float], scale: float) -> None:
        self.scale = scale * OVERSAMPLING
        self.centre = np.array(centre) * OVERSAMPLING
        self.width, self.height = size[0] * OVERSAMPLING, size[1] * OVERSAMPLING
        self.rgb: Image = np.zeros((self.height, self.width, 3), np.float32)
        self.x = ((np.arange(self.width) - self.centre[0]) / self.scale).astype(np.float32)
        self.y = ((np.arange(self.height) - self.centre[1]) / self.scale).astype(np.float32)

    def shape(self, outline: Points, soft: float = 0.006) -> Image:
        """Mask (H, W), 0 to 1, of a closed outline (N, 2) in face units, its edge blurred by ``soft``."""
        mask = np.zeros((self.height, self.width), np.uint8)
        cv2.fillPoly(mask, [self._fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
        return self.blur(mask.astype(np.float32) / np.float32(255), soft)

    def line(self, path: Points, width: float, soft: float = 0.004) -> Image:
        """Mask (H, W) of a line along ``path``, ``width`` thick, blurred by ``soft``, in face units."""
        mask = np.zeros((self.height, self.width), np.uint8)
        thick = max(1, round(width * self.scale))
        cv2.polylines(mask, [self._fixed(path)], False, 255, thick, cv2.LINE_AA, _SHIFT)
        return self.blur(mask.astype(np.float32) / np.float32(255), soft)

    def spot(self, x: float, y: float, size_x: float, size_y: float) -> Image:
        """Gaussian (H, W) with value 1 at (x, y) and standard deviations in face units."""
        across = np.exp(-0.5 * ((self.x - x) / size_x) ** 2)
        down = np.exp(-0.5 * ((self.y - y) / size_y) ** 2)
        return np.outer(down, across).astype(np.float32)

    def strokes(self, roots: Points, tips: Points, width: float) -> Image:
        """Mask (H, W) of many fine hairs from ``roots`` to ``tips`` (N, 2)."""
        mask = np.zeros((self.height, self.width), np.uint8)
        thick = max(1, round(width * self.scale))
        pairs = np.stack([self._fixed(roots), self._fixed(tips)], axis=1)
        cv2.polylines(mask, list(pairs), False, 255, thick, cv2.LINE_AA, _SHIFT)
        return mask.astype(np.float32) / np.float32(255)

    def blur(self, mask: Image, size: float) -> Image:
        """Gaussian blur by ``size`` face units."""
        sigma = size * self.scale
        if sigma < 0.3:
            return mask
        if sigma < 8:
            return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
        # a wide blur keeps nothing that a quarter of the resolution cannot hold
        small = cv2.resize(mask, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
        return np.asarray(cv2.resize(small, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)

    def paint(self, mask: Image, colour: tuple[float, float, float] | Image, strength: float = 1.0) -> None:
        """Cover with ``colour`` (one RGB or an image) where ``mask`` is 1."""
        alpha = (strength * mask)[..., None]
        self.rgb += alpha * (np.asarray(colour, np.float32) - self.rgb)

    def tint(self, mask: Image, gain: tuple[float, float, float] | float) -> None:
        """Multiply by ``gain`` where ``mask`` is 1."""
        self.rgb *= 1 + mask[..., None] * (np.asarray(gain, np.float32) - 1)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        px = self.centre + self.scale * np.asarray(points, np.float64)
        return np.round(px * (1 << _SHIFT)).astype(np.int32)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Image:
    """Smooth random texture (H, W), mean 0 and standard deviation near 1, with lumps of about ``cell`` px."""
    small = (int(np.ceil(shape[0] / cell)) + 3, int(np.ceil(shape[1] / cell)) + 3)
    lumps = rng.standard_normal(small, dtype=np.float32)
    size = (round(small[1] * cell), round(small[0] * cell))
    large = cv2.resize(lumps, size, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]
    return np.asarray(large / large.std(), np.float32)


def polar_noise(
    rng: np.random.Generator, canvas: Canvas, centre: tuple[float, float], strands: int, length: float
) -> Image:
    """Hair-like texture (H, W): streaks that run away from ``centre`` (face units), ``strands`` around the circle."""
    streaks = noise(rng, (64, strands), 1.0) + 0.6 * noise(rng, (64, strands), 5.0)
    dx, dy = np.meshgrid(canvas.x - centre[0], canvas.y - centre[1])
    angle = (np.arctan2(dy, dx) / (2 * np.pi) + 0.5) * (strands - 1)
    radius = np.hypot(dx, dy) / length % 63
    return np.asarray(cv2.remap(streaks, angle.astype(np.float32), radius.astype(np.float32), cv2.INTER_LINEAR))
