"""Grey frames of a cached clip: some spread evenly from onset to offset, or those at given times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dynamic_images.build import in_steady_light
from preprocessing.artefacts.stacks import Frames

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B (ITU-R BT.601), as OpenCV has them."""


def sample_indices(n_frames: int, wanted: int) -> NDArray[np.int64]:
    """``wanted`` frame indices of a clip of ``n_frames``, evenly spread, the first and the last frame always in.

    ``k (n − 1) / (wanted − 1)`` for k = 0 … wanted − 1, rounded to the nearest in integer arithmetic. In a clip with
    fewer frames than are wanted neighbours repeat: it is shown slower, and no frame is made up.

    Returns:
        (wanted,) int64, never falling, from 0 to ``n_frames - 1``.

    Raises:
        ValueError: no frames, or fewer than two wanted.
    """
    if n_frames < 1 or wanted < 2:
        raise ValueError(f"{wanted} of {n_frames} frames: at least two must be wanted, and one be there")
    steps = wanted - 1
    return (np.arange(wanted, dtype=np.int64) * (n_frames - 1) + steps // 2) // steps


def grey_frames(crops: Frames, landmarks: NDArray[np.floating], indices: Sequence[int]) -> NDArray[np.float32]:
    """Aligned crops in grey: (len(indices), S, S) float32, grey levels 0 … 255.

    Every frame has one gain, so that the face is as bright on average as in the first of ``indices``: half a per cent
    of flicker is as strong as a micro-expression. It is the rule of `dynamic_images.build` (``images.steady_light``).

    Args:
        crops: (T, S, S, 3) uint8.
        landmarks: (68, 2) px of the crop.
        indices: which frames, in this order; the onset first.
    """
    steady = in_steady_light([crops[int(t)] for t in indices], landmarks)
    return np.stack([frame @ LUMA for frame in steady]).astype(np.float32)  # (S, S, 3) -> (S, S)
