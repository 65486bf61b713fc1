"""Signed dynamic image ↔ what a network eats ↔ what an eye sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(H, W[, C]) float32, signed, grey levels."""

VIEW_RANGE = 12.0
"""Grey levels at the ends of a view: 8-bit 1 is -12, 128 is 0, 255 is +12. One scale for all clips; print it.
A micro-expression leaves a few grey levels at lips and brows; a laugh is clipped."""

INPUT_SCALE = 8.0
"""Grey levels that a network sees as 1, where nothing was fitted on training clips."""

ENCODINGS = ("fixed", "minmax")


def to_input(image: Image, encoding: str = "fixed", scale: float = INPUT_SCALE) -> Image:
    """Network input of a dynamic image, the same shape.

    Args:
        image: signed, grey levels.
        encoding: ``fixed``: ``image / scale``, so that 0 stays 0 and strength is comparable between clips.
            ``minmax``: to 0..1 by the clip's own extremes, because published code does it. **Warning**: it loses
            the sign, the zero and the relative strength, and it turns the sensor noise of a still clip into a
            full-range picture.
        scale: grey levels per unit; used by ``fixed`` only. Fit it on training clips, never on all.

    Raises:
        ValueError: unknown encoding, or a scale that is not positive.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} is unknown: choose one of {', '.join(ENCODINGS)}")
    if encoding == "minmax":
        low, high = float(image.min()), float(image.max())
        return np.asarray((image - low) / ((high - low) or 1.0), np.float32)
    if not scale > 0:
        raise ValueError(f"encoding scale {scale} grey levels: it must be positive")
    return np.asarray(image / scale, np.float32)


def from_input(values: Image, scale: float = INPUT_SCALE) -> Image:
    """Back from the ``fixed`` encoding to grey levels (``minmax`` has no way back)."""
    return np.asarray(values * scale, np.float32)


def to_view(image: Image, view_range: float = VIEW_RANGE) -> NDArray[np.uint8]:
    """8-bit view for eyes, never for a network: ±``view_range`` grey levels → 1..255 around 128, clipped beyond."""
    return np.clip(np.rint(128 + image * (127 / view_range)), 1, 255).astype(np.uint8)


def from_view(view: NDArray[np.uint8], view_range: float = VIEW_RANGE) -> Image:
    """Grey levels of a view, exact to half a step (``view_range / 254``) where it was not clipped."""
    return np.asarray((view.astype(np.float32) - 128) * (view_range / 127), np.float32)
