"""Paint an expression into real pixels: the skin moves by a known field, the sensor's noise stays what it was. Pure.

A frame is taken apart into a picture that moves with the skin and a residual that does not. Only the picture is warped;
the residual is put back where it was. Warping both would blur the noise and move it along with the skin, so that flow
could follow the noise itself. Everything here is ours.

Frames and pictures are (H, W, 3) in grey levels; fields (H, W, 2) px, x then y, as in `truth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from preprocessing.synthetic import action_units
from preprocessing.synthetic.truth import FADE, Truth, grid, invert, weight_at

Picture = NDArray[np.float32]
Frame = NDArray[np.uint8]

WINDOW = 3
"""Frames before and after, over which the picture of a recording is averaged."""
DEGREE = 5
"""Of the interpolating spline: it puts texture of wavelengths from 4 px on within 0.005 px at every phase."""
LEAST = 4
"""Frames from which on a recording's own noise can be told from its picture."""


def split_recording(frames: Sequence[Frame], poses: NDArray[np.float64]) -> Iterator[tuple[Picture, Picture]]:
    """Picture and residual of every frame of a person at rest; their sum is the frame.

    The picture is the mean over `WINDOW` frames on either side, each moved to where the head stands in this one.
    Texture of the skin is in all of them and stays in the picture; noise is averaged away and stays in the residual.

    Args:
        frames: T frames of one person at rest, T ≥ `LEAST`.
        poses: (T, 2, 3) where the head stands: px of frame 0 → px of frame t.

    Raises:
        ValueError: fewer frames.
    """
    if len(frames) < LEAST:
        raise ValueError(f"{len(frames)} frames show no noise apart from the picture, wanted {LEAST} or more")
    height, width = frames[0].shape[:2]
    for t, frame in enumerate(frames):
        near = range(max(0, t - WINDOW), min(len(frames), t + WINDOW + 1))
        total = np.zeros(frame.shape, np.float64)
        for s in near:
            # from a pixel of frame t back to frame 0 and on to frame s
            here, there = _square(poses[t]), _square(poses[s])
            onto = (there @ np.linalg.inv(here))[:2]
            if np.abs(onto - np.eye(2, 3)).max() < 1e-9:
                total += frames[s]
            else:
                at = grid((width, height), 1) @ onto[:, :2].T + onto[:, 2]
                total += _at(_coefficients(frames[s]), at)
        picture = np.asarray(total / len(near), np.float32)
        yield picture, frame - picture


def split_still(frame: Frame) -> tuple[Picture, Picture]:
    """Picture and residual of one photograph: what non-local means takes away at the strength of the measured noise.

    (Buades, Coll & Morel, CVPR 2005, doi 10.1109/CVPR.2005.38, as OpenCV has it.)
    """
    strength = max(noise_level(frame), 0.5)
    picture = cv2.fastNlMeansDenoisingColored(frame, None, strength, strength, 5, 15).astype(np.float32)
    return picture, frame - picture


def noise_level(frame: NDArray[Any]) -> float:
    """Sd of the noise in grey levels, from the part of a frame that no smooth picture has.

    Immerkær, CVIU 64(2), 1996, doi 10.1006/cviu.1996.0060, with the median in place of the mean, so that edges have no
    say.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
    detail = cv2.filter2D(grey.astype(np.float32), cv2.CV_32F, kernel)[1:-1, 1:-1]
    return float(1.4826 * np.median(np.abs(detail)) / 6)


def noise_like(residual: Picture, rng: np.random.Generator) -> Picture:
    """Noise with the variance and the spatial correlation of ``residual`` (H, W, 3) and nothing of its picture.

    White noise that is given the mean power spectrum of the residual's blocks; the channels share one draw as far as
    those of the residual go together.
    """
    side = 16
    height, width = residual.shape[0] // side * side, residual.shape[1] // side * side
    blocks = residual[:height, :width].reshape(height // side, side, width // side, side, 3).swapaxes(1, 2)
    blocks = blocks.reshape(-1, side, side, 3)
    power = (np.abs(np.fft.fft2(blocks.mean(axis=-1), axes=(1, 2))) ** 2).mean(axis=0) / side**2
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(power)).real).astype(np.float32)
    flat = residual.reshape(-1, 3).astype(np.float64)
    covariance = np.cov(flat.T) + 1e-9 * np.eye(3)
    mean = max(float(covariance.mean()), 1e-9)  # variance of the mean over channels, which the kernel is of
    mixing = np.linalg.cholesky(covariance / mean)
    white = rng.standard_normal(residual.shape, dtype=np.float32) @ mixing.T.astype(np.float32)
    return np.asarray(cv2.filter2D(white, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def moving_box(truth: Truth, moves_head: bool) -> tuple[slice, slice]:
    """Rows and columns of the frames that the truth can move: the face and what is around it, or the whole head."""
    points = truth.landmarks.reshape(-1, 2)
    reach = 0.9 * float(np.linalg.norm(truth.landmarks[0, 45] - truth.landmarks[0, 36]))
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    if moves_head:
        centre, radii = np.array(truth.head[:2]), (1 + FADE) * np.array(truth.head[2:])
        low, high = np.minimum(low, centre - radii), np.maximum(high, centre + radii)
    low, high = np.floor(low), np.ceil(high)
    width, height = truth.size
    return slice(max(0, int(low[1])), min(height, int(high[1]))), slice(max(0, int(low[0])), min(width, int(high[0])))


def moved_pixels(truth: Truth, t: int, box: tuple[slice, slice], moves_head: bool) -> NDArray[np.float64]:
    """Where what each pixel of a box shows at rest goes in frame ``t``: (h, w, 2) px.

    Of a photograph (``moves_head``) rest is the neutral place, and head and expression move it, as in `truth`. In a
    recording rest is where the head stands in that frame: a pixel p shows the neutral place n = R⁻¹(p), and the
    expression carries it on by R·d(n).
    """
    at = np.asarray(grid(truth.size, 1)[box], np.float64)
    pose = truth.rigid[t]
    strengths = truth.pushes.copy()
    strengths[:, 4:] *= truth.curves[t][truth.owner, None]
    if moves_head:
        there = at + action_units.field_of(strengths, at[0, :, 0], at[:, 0, 1])
        return weight_at(truth.head, at)[..., None] * (there @ pose[:, :2].T + pose[:, 2] - at)
    back = np.linalg.inv(_square(pose))[:2]
    # the pose differs from none by a pixel or two: a field this smooth is sampled at the centre's own shift
    shift = at.reshape(-1, 2).mean(axis=0) @ back[:, :2].T + back[:, 2] - at.reshape(-1, 2).mean(axis=0)
    local = action_units.field_of(strengths, at[0, :, 0] + shift[0], at[:, 0, 1] + shift[1])
    return np.asarray(local @ pose[:, :2].T)


def painted(
    truth: Truth, pictures: Iterable[Picture], residuals: Iterator[Picture], moves_head: bool
) -> Iterator[Frame]:
    """The frames (H, W, 3) uint8 of a clip: each picture moved by the truth, with a residual put back on it.

    Args:
        truth: what happens.
        pictures: one per frame; the same object again and again for a photograph.
        residuals: one per frame.
        moves_head: whether the truth's head motion is painted too, as on a photograph; on a recording the head has
            moved already, and the truth tells where to.
    """
    box = moving_box(truth, moves_head)
    known: Picture | None = None
    coefficients: list[NDArray[np.float32]] = []
    for t, (picture, residual) in enumerate(zip(pictures, residuals, strict=False)):
        moved = moved_pixels(truth, t, box, moves_head)
        whole = picture
        if np.abs(moved).max() > 1e-6:
            if picture is not known:
                coefficients, known = _coefficients(picture[box]), picture
            whole = picture.copy()
            whole[box] = _at(coefficients, invert(moved, 1))
        yield np.clip(np.rint(whole + residual), 0, 255).astype(np.uint8)


def noise_statistics(frames: Sequence[NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, float]:
    """Of the noise in a part of a clip: ``sd`` (grey levels) and correlations of neighbours in x, y and time.

    Measured on what is left of the grey frames after their mean over time and, to take away what moves or flickers as a
    whole, after a Gaussian of 2 px in each frame.

    Args:
        frames: T ≥ 3 frames (H, W[, 3]).
        mask: (H, W) where.
    """
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) if f.ndim == 3 else f for f in frames]
    stack = np.stack([g.astype(np.float32) for g in grey])
    noise = stack - stack.mean(axis=0)
    noise = np.stack([n - cv2.GaussianBlur(n, (0, 0), 2) for n in noise])
    inside = noise[:, mask]
    right, below = (np.roll(noise, -1, axis)[:, mask] for axis in (2, 1))
    variance = max(float((inside**2).mean()), 1e-12)
    return {
        "sd": float(np.sqrt(variance)),
        "x": float((inside * right).mean() / variance),
        "y": float((inside * below).mean() / variance),
        "time": float((inside[1:] * inside[:-1]).mean() / variance),
    }


def _square(transform: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.vstack([transform, [0.0, 0.0, 1.0]])


def _coefficients(picture: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Spline coefficients of each channel."""
    return [spline_filter(picture[..., c].astype(np.float32), DEGREE, np.float32, "mirror") for c in range(3)]


def _at(coefficients: list[NDArray[np.float32]], at: NDArray[np.floating]) -> Picture:
    """The picture at positions (h, w, 2) px: (h, w, 3)."""
    where = np.moveaxis(np.asarray(at, np.float64)[..., ::-1], -1, 0)
    planes = [map_coordinates(c, where, np.float32, DEGREE, "mirror", prefilter=False) for c in coefficients]
    return np.asarray(np.stack(planes, axis=-1), np.float32)
