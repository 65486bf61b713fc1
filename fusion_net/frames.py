"""A few grey frames of a cached clip, spread over it from onset to offset: what a model of frames eats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynamic_images.build import in_steady_light
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.frame_stack import FrameReader
from preprocessing.errors import ToolkitError

CROPS, LANDMARKS = "crops.npy", "landmarks.npy"
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


def grey_frames(folder: ClipFolder, clip_id: str, wanted: int) -> NDArray[np.float32]:
    """Aligned crops of a clip in grey: (wanted, S, S) float32, grey levels 0 … 255, at `sample_indices`.

    Every frame has one gain, so that the face is as bright on average as at the onset: half a per cent of flicker is
    as strong as a micro-expression. It is the rule of `dynamic_images.build` (``images.steady_light``).

    Raises:
        ToolkitError: the clip's crops or landmarks cannot be read.
    """
    try:
        crops, landmarks = FrameReader(folder / CROPS), folder.load(LANDMARKS)
        frames = [crops[int(t)] for t in sample_indices(len(crops), wanted)]
        if frames[0].ndim != 3 or frames[0].shape[0] != frames[0].shape[1] or frames[0].shape[2] != 3:
            raise ValueError(f"a frame has shape {frames[0].shape}, wanted (S, S, 3)")
    except (OSError, ValueError, EOFError) as error:
        raise ToolkitError(f"{clip_id}: {CROPS} cannot be used ({error}): build this clip again") from error
    steady = in_steady_light(frames, landmarks)
    return np.stack([frame @ LUMA for frame in steady]).astype(np.float32)  # (S, S, 3) -> (S, S)
