"""Small u, v, strain images as the field passes them on, with every choice of their makers by name. Pure.

Published 28 × 28 images of the same clips differ: another solver, crop or strain formula was used, and papers seldom
say which. Here each choice is a setting, so that somebody's images can be matched (`closeness`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.optical_flow import METHODS, Flow, FlowSettings, flow

Crop = Literal["aligned", "face"]
Resize = Literal["field", "pictures"]
Strain = Literal["full", "no_half"]
Gradient = Literal["central", "shift"]
Phase = Literal["rising", "falling"]

SMALLEST = 8  # px


@dataclass(frozen=True)
class StreamSettings:
    """How a u, v, strain image is made.

    Attributes:
        solver: flow method, as OpenCV has it, without our second fit (`preprocessing.optical_flow.METHODS`).
        crop: ``aligned`` is the whole aligned crop of the toolkit, with hair and chin; ``face`` is the box around the
            68 landmarks, stretched to a square, as code has it that crops by landmarks.
        resize: ``field`` measures at full size and makes the field small by averaging; values stay px of the large
            picture. ``pictures`` makes both frames small first; values are px of the small picture.
        size: px, height and width of the image.
        strain: ``full`` is ``sqrt(u_x² + v_y² + (u_y + v_x)² / 2)``, the norm of the strain tensor (Shreve et al., FG
            2011, doi 10.1109/FG.2011.5771451). ``no_half`` lacks the factor ½ of the tensor's off-diagonal entries,
            ``sqrt(u_x² + v_y² + 2 (u_y + v_x)²)``, as copies have it.
        gradient: ``central`` differences, or the difference to the neighbour before (``shift``).
        phase: ``rising`` is onset → apex, ``falling`` apex → offset.
    """

    solver: str = "tvl1"
    crop: Crop = "face"
    resize: Resize = "field"
    size: int = 28
    strain: Strain = "full"
    gradient: Gradient = "central"
    phase: Phase = "rising"

    def __post_init__(self) -> None:
        METHODS.find(self.solver)
        for name, kind in (
            ("crop", Crop),
            ("resize", Resize),
            ("strain", Strain),
            ("gradient", Gradient),
            ("phase", Phase),
        ):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(get_args(kind))}")
        if self.size < SMALLEST:
            raise ValueError(f"size is {self.size}, wanted at least {SMALLEST} px")


def flow_image(
    first: NDArray[np.uint8], second: NDArray[np.uint8], landmarks: NDArray[Any], chosen: StreamSettings
) -> Flow:
    """Small flow from ``first`` to ``second``, (size, size, 2) float32 px; [..., 0] = +x right, [..., 1] = +y down.

    Args:
        first: (S, S, 3) uint8 RGB, aligned.
        second: the same shape.
        landmarks: (68, 2) px of the crop.
        chosen: solver, crop, order of resizing and size; strain, gradient and phase play no part.
    """
    if chosen.crop == "face":
        rows, columns = face_box(landmarks, first.shape[0])
        first, second = np.ascontiguousarray(first[rows, columns]), np.ascontiguousarray(second[rows, columns])
    small = (chosen.size, chosen.size)
    plain = FlowSettings(chosen.solver, window=0)
    if chosen.resize == "pictures":
        before, after = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in (first, second))
        return flow(before, after, plain)
    return np.asarray(cv2.resize(flow(first, second, plain), small, interpolation=cv2.INTER_AREA), np.float32)


def face_box(landmarks: NDArray[Any], side: int) -> tuple[slice, slice]:
    """Rows and columns of the box around the landmarks, inside a crop of ``side`` px.

    Raises:
        ValueError: the landmarks lie outside the crop.
    """
    low = np.maximum(np.floor(np.min(landmarks, axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(np.max(landmarks, axis=0)).astype(int) + 1, side)
    if (high - low < 2).any():
        raise ValueError(f"the landmarks span {low.tolist()} to {high.tolist()} of a crop of {side} px: no face in it")
    return slice(low[1], high[1]), slice(low[0], high[0])


def strain_of(field: Flow, strain: Strain = "full", gradient: Gradient = "central") -> NDArray[np.float32]:
    """Optical strain of a small field, (H, W, 2) → (H, W) float32, at least 0, per px of the small picture.

    Unlike `dynamic_images.flow_maps.optical_strain` it is taken of the field after it was made small, as the field's
    images have it.
    """
    fine = np.asarray(field, np.float64)
    if gradient == "central":
        (u_y, u_x), (v_y, v_x) = (np.gradient(fine[..., c]) for c in (0, 1))
    else:
        u_y, u_x, v_y, v_x = (_to_the_one_before(fine[..., c], axis) for c, axis in product((0, 1), (0, 1)))
    shear = (0.5 if strain == "full" else 2.0) * (u_y + v_x) ** 2
    return np.sqrt(u_x**2 + v_y**2 + shear).astype(np.float32)


def _to_the_one_before(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.diff(values, axis=axis, prepend=np.take(values, [0], axis=axis))


def with_strain_of(field: Flow, chosen: StreamSettings) -> NDArray[np.float32]:
    """(H, W, 2) px to (H, W, 3): u, v and the strain by the chosen formula."""
    return np.concatenate([field, strain_of(field, chosen.strain, chosen.gradient)[..., None]], axis=-1)


def min_max(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Each channel of (H, W, C) stretched over 0..255 by its own least and largest value, as the field's images are.

    The size of the motion is lost, and 0 px becomes another grey in every image. A constant channel becomes 0.
    """
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    scaled = (np.asarray(image, np.float64) - low) / np.where(high > low, high - low, 1)
    return np.rint(255 * scaled).astype(np.uint8)


def closeness(ours: NDArray[np.floating], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Correlation of each channel of two (H, W, 3) images, (3,); 0 where a channel is constant.

    Correlation asks nothing of scale and zero, which min–max scaling has lost.
    """
    pairs = (np.reshape(image, (-1, 3)).astype(np.float64) for image in (ours, theirs))
    a, b = (values - values.mean(axis=0) for values in pairs)
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.asarray((a * b).sum(axis=0) / np.where(norms > 0, norms, np.inf))
