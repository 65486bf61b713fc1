"""Optical flow from one reference frame to every frame of a clip in order: the method ``track``. Pure.

Solvers for pairs of frames begin anew with each frame. Here the reference is the same for the whole clip and a frame is
nearly the one before it, so most of the work is done once: gradients of the reference and what they can tell. A frame
costs one warp by the field of the frame before and one small linear system per cell.

Everything is on the half grid, whose cells are 2 × 2 px. With g the gradient of the reference I, w its weight, and f₀
the field that a frame J is warped by, the light's change m is taken from the residual, and each window is solved for f:

    e = I − J(x + f₀) − m·I/⟨I⟩
    ( ⟨r w g gᵀ⟩ + λ·1 ) f  =  ⟨r w g (g·f₀ + e)⟩ + λ·f_wide

the normal equations of Lucas & Kanade (IJCAI 1981) with the prior of Simoncelli, Adelson & Heeger (CVPR 1991, doi
10.1109/CVPR.1991.139707). *Ours:* the prior of a window is the solution of one twice as wide, and only the widest is
pulled to no motion; λ is in units of the noise that is measured in each frame, so that clear pictures are followed
closely and noisy ones calmly; r drops cells that no motion explains, such as a closing eyelid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(h, w) float32 on the half grid, unless a docstring says otherwise."""

Field = NDArray[np.float32]
"""(2, h, w) float32 px of the full grid, on the half grid; [0] = +x right, [1] = +y down."""

DERIVATIVE = np.array([1, -8, 0, 8, -1], np.float32) / 12  # exact to fourth order

STRONG_EDGE = 8.0  # grey levels / px; one strong edge must not outvote its window
LIGHT = 4.0  # px; the light may change from place to place, but not within less
OUTLIER = 6.0  # times the noise
STRANGE = 18.0  # grey levels; a lip that is not yet where it belongs differs by as much on a clear picture
NOISE_FLOOR = 0.3  # grey levels: rounding to 8 bits
WINDOWS = (0.02, 0.1, 1.0)  # priors relative to the narrow window's, from wide to narrow; each is half as wide
DARK = 8.0  # grey levels; below it a change of light is not taken as a factor

WORSE = 0.5  # grey levels by which a start may fit worse than none
CONVERGED = 0.3  # px that one step may move a field; the picture is linear within less
STEPS = 4
FIRST_CONVERGED, FIRST_STEPS = 0.03, 10  # of the first frame, which has none before it to start from
MANY = 0.02  # share of cells that no motion explains, or that still move, from which on a frame counts as lost

CALM = 0.1  # px; smoothing over time moves a vector by less than half of it
OVER_TIME = np.exp(-0.5 * np.arange(-2, 3) ** 2)


class OnsetFlow:
    """Flow from a reference to frames that are handed over in order.

    Args:
        reference: (H, W) float32 grey levels.
        window: sd in px of the narrow Gaussian window; wider ones are multiples of it.
        prior: pull of the narrow window towards the wide one, in variances of the noise.
        fallback: flow reference → frame by another method, (H, W) float32 → (H // 2, W // 2, 2) px. Asked where this
            one is lost: the motion since the last frame was too large, or something is in front of the face. Its answer
            is kept if it explains the frame better.

    Attributes:
        fallbacks: frames whose field is the fallback's.
    """

    def __init__(
        self, reference: Plane, window: float, prior: float, fallback: Callable[[Plane], NDArray[Any]] | None = None
    ) -> None:
        self.fallbacks = 0
        self._fallback = fallback
        self._shape = reference.shape[0] // 2, reference.shape[1] // 2
        # what `pyrUp` makes of the pixels of the picture itself: frames are seen through the same filter
        self._picture = np.ascontiguousarray(cv2.pyrUp(_padded(reference))[::2, ::2])
        height, width = self._picture.shape
        dx = cv2.filter2D(self._picture, cv2.CV_32F, DERIVATIVE[None, :])
        dy = cv2.filter2D(self._picture, cv2.CV_32F, DERIVATIVE[:, None])
        weight = 1 / (1 + (dx * dx + dy * dy) / STRONG_EDGE**2)
        self._gradient = np.asarray(weight * dx, np.float32), np.asarray(weight * dy, np.float32)
        self._tensor = [_half(a * b) for a, b in ((self._gradient[0], dx), (self._gradient[0], dy), (weight * dy, dy))]
        light = self._picture / np.maximum(_blurred(self._picture, LIGHT), DARK)
        self._lit = [_half(g * light) for g in self._gradient]
        # places on the picture of twice the size that frames are warped from
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self._at = 2 * x, 2 * y
        # full pictures are written into the same memory again: fresh memory of that size costs more than the arithmetic
        self._maps = np.empty_like(x), np.empty_like(x)
        self._seen = np.empty_like(x)
        self._large = np.empty((2 * height, 2 * width), np.float32)
        self._window, self._prior = window, prior
        self._small = _half(_padded(reference))
        self._field: Field = np.zeros((2, height // 2, width // 2), np.float32)
        self._first = True

    def __call__(self, frame: Plane) -> Field:
        """Motion of the reference's cells to where they are in ``frame`` (H, W): (2, H // 2, W // 2) px."""
        # the frame at twice its size: interpolated linearly at that size it loses next to no phase, while at its own
        # size 0.1 px would be read as 0.107, and OpenCV's cubic kernel would make it 0.075
        cv2.pyrUp(_padded(frame), self._large)
        field, residual = self._start(_half(_padded(frame)))
        converged, steps = (FIRST_CONVERGED, FIRST_STEPS) if self._first else (CONVERGED, STEPS)
        for _ in range(steps):
            before = field
            field, unexplained = self._step(before, residual)
            change = np.abs(field - before)
            if change.max() < converged:
                break
            residual = self._residual(field)
        if self._fallback is not None and max(float((change > CONVERGED).mean()), unexplained) > MANY:
            field = self._better(frame, field, self._fallback)
        self._field, self._first = field, False
        return field[:, : self._shape[0], : self._shape[1]]

    def _start(self, small: Plane) -> tuple[Field, Plane]:
        """The last field without the parts that fit worse than no motion, so that what has gone does not stay.

        With it, the residual there. ``small`` is the frame on the half grid.
        """
        residual = self._residual(self._field)
        gained = np.abs(_half(residual)) - cv2.absdiff(self._small, small)
        worse = cv2.boxFilter(gained, cv2.CV_32F, (5, 5)) > WORSE
        if not worse.any():
            return self._field, residual
        field = np.where(worse, np.float32(0), self._field)
        return field, self._residual(field)

    def _step(self, field: Field, residual: Plane) -> tuple[Field, float]:
        """One solution from the start ``field``, whose residual is given, and the share of cells that do not fit."""
        light = _blurred(_half(residual), LIGHT / 2)
        noise = max(1.4826 * _median(np.abs(residual[::8, ::8] - light[::4, ::4])), NOISE_FLOOR)
        strange = np.maximum(_half(residual * residual) - light * light, 0) * np.float32(
            max(OUTLIER * noise, STRANGE) ** -2
        )
        trust = 1 / (1 + strange)
        xx, xy, yy = (part * trust for part in self._tensor)
        told = [_half(g * residual) - lit * light for g, lit in zip(self._gradient, self._lit, strict=True)]
        parts = [xx, xy, yy, told[0] * trust + xx * field[0] + xy * field[1]]
        parts.append(told[1] * trust + xy * field[0] + yy * field[1])
        return self._solved(parts, noise * noise), float((strange > 1).mean())

    def _solved(self, parts: list[Plane], variance: float) -> Field:
        """Window after window, from wide to narrow, each on a grid that is coarser by as much as it is wider."""
        grids = [parts]
        for _ in WINDOWS[1:]:
            grids.append([_half(part) for part in grids[-1]])
        field = np.zeros((2, 1, 1), np.float32)
        for share, grid in zip(WINDOWS, reversed(grids), strict=True):
            height, width = grid[0].shape
            u, v = (cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in field)
            xx, xy, yy, xt, yt = (_blurred(part, self._window / 2) for part in grid)
            pull = np.float32(share * self._prior * variance + 1e-6)
            xx, yy, xt, yt = xx + pull, yy + pull, xt + pull * u, yt + pull * v
            field = np.asarray(np.stack([yy * xt - xy * yt, xx * yt - xy * xt]) / (xx * yy - xy * xy), np.float32)
        return field

    def _residual(self, field: Field) -> Plane:
        """Reference minus the frame as seen through ``field``: (H, W) grey levels, overwritten by the next call."""
        height, width = self._picture.shape
        for places, at, part in zip(self._maps, self._at, field, strict=True):
            cv2.resize(2 * part, (width, height), places, interpolation=cv2.INTER_LINEAR)
            cv2.add(places, at, places)
        cv2.remap(self._large, *self._maps, cv2.INTER_LINEAR, self._seen, cv2.BORDER_REPLICATE)
        return np.asarray(cv2.subtract(self._picture, self._seen, self._seen), np.float32)

    def _better(self, frame: Plane, field: Field, fallback: Callable[[Plane], NDArray[Any]]) -> Field:
        """``field``, or the fallback's where that explains the frame better."""
        rows, columns = self._shape
        other = np.zeros_like(field)
        other[:, :rows, :columns] = np.moveaxis(fallback(frame), -1, 0)
        if self._misfit(other) >= self._misfit(field):
            return field
        self.fallbacks += 1
        return other

    def _misfit(self, field: Field) -> float:
        """Mean difference that is left, each cell counting at most 20 grey levels: what is covered fits with none."""
        return float(np.minimum(_half(np.abs(self._residual(field))), 20).mean())


def smoothed(fields: Iterable[Field]) -> Iterator[Field]:
    """Fields smoothed over time by a Gaussian of one frame, as many of them and in the same order.

    Each output waits for two more inputs. A vector is moved by less than half of `CALM`: noise is that small, and what
    changes faster is motion, or an eyelid that must not show in the frames around it. The first field is left as it is.
    """
    window: deque[Field] = deque()
    left = 0  # fields in the window that stand before the one whose turn it is
    for field in fields:
        window.append(field)
        if len(window) - left > 2:
            yield _calmed(list(window), left)
            left += 1
            if left > 2:
                window.popleft()
                left -= 1
    while left < len(window):
        yield _calmed(list(window), left)
        left += 1


def _calmed(window: list[Field], at: int) -> Field:
    reach = min(2, at, len(window) - 1 - at)  # as far back as forth: else the ends would lag behind
    if reach == 0:
        return window[at]
    shares = OVER_TIME[2 - reach : 3 + reach]
    shares = (shares / shares.sum()).astype(np.float32)
    change = -window[at]
    for share, field in zip(shares, window[at - reach : at + reach + 1], strict=True):
        change = change + share * field
    limit = np.float32(CALM**2)
    return np.asarray(window[at] + change * (limit / (limit + np.square(change).sum(0))), np.float32)


def _median(values: NDArray[Any]) -> float:
    """`numpy.median` takes ten times as long, for a mean of two values that does not matter here."""
    return float(np.partition(values, values.size // 2, axis=None)[values.size // 2])


def _padded(frame: Plane) -> Plane:
    """Sides that are multiples of 4, by repeating the last pixels: the grids need them."""
    down, right = -frame.shape[0] % 4, -frame.shape[1] % 4
    if not down and not right:
        return frame
    return np.asarray(cv2.copyMakeBorder(frame, 0, down, 0, right, cv2.BORDER_REPLICATE), np.float32)


def _half(plane: NDArray[Any]) -> Plane:
    height, width = plane.shape
    return np.asarray(
        cv2.resize(plane, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA), np.float32
    )


def _blurred(plane: NDArray[Any], sd: float) -> Plane:
    side = 2 * round(2.5 * sd) + 1  # OpenCV would go to four standard deviations
    return np.asarray(cv2.GaussianBlur(plane, (side, side), sd, borderType=cv2.BORDER_REFLECT), np.float32)
