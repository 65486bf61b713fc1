"""Signed images as 8-bit pictures for the eye, at a fixed scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(H, W[, C]) float32, signed, grey levels."""

VIEW_RANGE = 12.0
"""Grey levels at the ends of a view: 8-bit 1 is -12, 128 is 0, 255 is +12. One scale for all clips; print it.
A micro-expression leaves a few grey levels at lips and brows; a laugh is clipped."""


def to_view(image: Image, view_range: float = VIEW_RANGE) -> NDArray[np.uint8]:
    """8-bit view for eyes, never for a network: ±``view_range`` grey levels → 1..255 around 128, clipped beyond."""
    return np.clip(np.rint(128 + image * (127 / view_range)), 1, 255).astype(np.uint8)


def view_of(array: NDArray[np.floating], ends: Sequence[float]) -> NDArray[np.uint8]:
    """Picture of an input (..., H, W, C): (H, n W, 3) uint8, its n planes side by side; 128 is 0.

    Args:
        array: signed, one or more planes of 1 to 3 channels.
        ends: for each channel the value that becomes 255; its negative becomes 1. Printed beside the picture. A second
            channel without a third leaves blue at 128; one channel is grey.
    """
    planes = np.asarray(array, np.float64).reshape(-1, *array.shape[-3:])  # (..., H, W, C) -> (n, H, W, C)
    wide = np.concatenate(list(planes), axis=1)
    view = to_view(wide / np.asarray(ends), 1.0)
    if view.shape[2] == 2:
        view = np.concatenate([view, np.full_like(view[..., :1], 128)], axis=2)
    return np.repeat(view, 3, axis=2) if view.shape[2] == 1 else view


def median_centred(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """(H, W, C) less the median of each channel: most of a face does not move, so the median is what stillness shows.

    An image that carries its sign, such as TRDI, hardly changes. One that was stretched to 0 .. 255 by its own
    extremes has its zero elsewhere in each clip, and gets it back.
    """
    return np.asarray(image - np.median(image, axis=(0, 1), keepdims=True), np.float32)
