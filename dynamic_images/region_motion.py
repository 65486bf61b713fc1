"""What moved, as numbers: displacement, direction, times and noise floor of every region of a face. Pure.

Everything is read off the curves of `regions.region_curves`. All of it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dynamic_images.regions import REGIONS

Curves = NDArray[np.floating]
"""(T, R, 2) px, onset → t."""

SMOOTHING = 0.01
"""Sd in seconds of the Gaussian over time: two frames at 200 fps, a quarter of one at 25."""
LEAST = 8
"""Frames at least for which calm regions are watched."""
STARTED = 0.2
"""Share of its peak at which a movement counts as begun, and as over."""
JITTER_TIMES, CALM_TIMES = 4.0, 3.0
"""Of the floor; see `noise_floors`."""
CALMEST = 33
"""Percentile over regions of the peaks that a face shows where nothing happens."""
SPAN, QUIET = 0.5, 25
"""Seconds for which calm regions are watched at a time, as long as a micro-expression; and the percentile over those
times: in a long clip a face is at rest at some of them, in a short one there is one."""
WORDS = (
    "outwards",
    "outwards and down",
    "down",
    "inwards and down",
    "inwards",
    "inwards and up",
    "up",
    "outwards and up",
)


@dataclass(frozen=True)
class RegionMotion:
    """What one region did.

    Attributes:
        region: a name of `REGIONS`.
        dx, dy: px at the peak, +x to the right of the picture, +y down.
        peak: frame of the largest displacement.
        onset, back: frames at which the movement reached and again fell below `STARTED` of its peak; ``back`` is None
            where it does not return.
        floor: px that the region would reach with the face at rest; None where the frames are too few.
        asymmetry: px by which this side moves further than the other.
    """

    region: str
    dx: float
    dy: float
    peak: int
    onset: int
    back: int | None
    floor: float | None
    asymmetry: float

    @property
    def size(self) -> float:
        """Displacement at the peak, px."""
        return float(np.hypot(self.dx, self.dy))

    @property
    def above(self) -> bool:
        """Whether it stands above the noise; no, where that is not known."""
        return self.floor is not None and self.size > self.floor

    @property
    def direction(self) -> str:
        """In words, as seen on the subject: ``outwards`` is away from the midline."""
        outward = self.dx if self.region.startswith("left") else -self.dx
        eighth = round(np.arctan2(self.dy, outward) / (np.pi / 4)) % 8
        return WORDS[int(eighth)]


def smooth(curves: Curves, fps: float | None) -> NDArray[np.float64]:
    """Curves over time with a Gaussian of `SMOOTHING`; as they are where the rate is not known."""
    curves = np.asarray(curves, np.float64)
    if not fps:
        return np.asarray(curves, np.float64)
    return np.asarray(gaussian_filter1d(curves, SMOOTHING * fps, axis=0, mode="nearest"), np.float64)


def noise_floors(curves: Curves, fps: float | None) -> NDArray[np.float64] | None:
    """How far each region would seem to move with the face at rest: (R,) px; None with fewer than three steps.

    Two parts, added as variances. **Jitter** of the region itself is what changes from frame to frame and does not go
    on: the median over time of the second difference, scaled to the noise of one frame, `JITTER_TIMES`. **What calm
    regions do**: compression, light and skin that is never quite still wander over many frames, which no difference
    between neighbouring frames shows. An expression moves some regions and leaves others, so the `CALMEST` percentile
    of the regions' peaks says how far a region goes for no reason, `CALM_TIMES`. It is taken over `SPAN` seconds at a
    time, of which the `QUIET` percentile counts, and grows with the root of the time, as a random walk does.
    """
    found = _steps(curves)
    if found is None:
        return None
    moves = smooth(curves, fps)
    second = smooth(found, fps)
    second = second[2:] - 2 * second[1:-1] + second[:-2]
    jitter = np.median(np.linalg.norm(second, axis=-1), axis=0) / np.sqrt(3)
    return np.asarray(np.hypot(JITTER_TIMES * jitter, CALM_TIMES * _wander(moves, fps)), np.float64)


def _wander(moves: NDArray[np.float64], fps: float | None) -> float:
    """px that calm regions go for no reason over the clip (T, R, 2)."""
    length = len(moves) if not fps else min(len(moves), max(round(SPAN * fps) + 1, LEAST))
    starts = range(0, len(moves) - length + 1, max(1, length // 2))
    reached = [np.linalg.norm(moves[s : s + length] - moves[s], axis=-1).max(axis=0) for s in starts]
    calm = [np.percentile(one, CALMEST) for one in reached]
    return float(np.percentile(calm, QUIET) * np.sqrt(len(moves) / length))


def measure(curves: Curves, fps: float | None) -> list[RegionMotion]:
    """What every region did, in the order of `REGIONS`.

    Args:
        curves: (T, R, 2) px.
        fps: frames per second; None if nobody knows.
    """
    moves, floors = smooth(curves, fps), noise_floors(curves, fps)
    sizes = np.linalg.norm(moves, axis=-1)
    peaks = sizes.argmax(axis=0)
    largest = sizes.max(axis=0)
    other = largest.reshape(-1, 2)[:, ::-1].ravel()
    found = []
    for r, name in enumerate(REGIONS):
        peak = int(peaks[r])
        dx, dy = moves[peak, r].tolist()
        along = moves[:, r] @ np.array([dx, dy]) / max(float(largest[r]) ** 2, 1e-12)
        before, after = np.flatnonzero(along[:peak] < STARTED), np.flatnonzero(along[peak:] < STARTED)
        found.append(
            RegionMotion(
                region=name,
                dx=dx,
                dy=dy,
                peak=peak,
                onset=int(before[-1]) + 1 if len(before) else 0,
                back=peak + int(after[0]) if len(after) else None,
                floor=None if floors is None else float(floors[r]),
                asymmetry=float(largest[r] - other[r]),
            )
        )
    return found


def features(curves: Curves, apex: int, eye_distance: float) -> NDArray[np.float64]:
    """Motion of every region at the apex and in the mean over time, in % of the eye distance: (4 R,).

    Outward and downward, so that a number means the same on both sides of the face.
    """
    outward = np.array([1.0 if name.startswith("left") else -1.0 for name in REGIONS])
    moves = np.asarray(curves, np.float64) * np.stack([outward, np.ones_like(outward)], axis=-1)
    return np.concatenate([moves[apex].ravel(), moves.mean(axis=0).ravel()]) * 100 / eye_distance


def _steps(curves: Curves) -> NDArray[np.float64] | None:
    """The frames after the onset that are not repetitions; None if there are fewer than three."""
    moves = np.asarray(curves, np.float64)
    kept = [t for t in range(1, len(moves)) if not np.array_equal(moves[t], moves[t - 1])]
    return moves[kept] if len(kept) >= 3 else None


def as_row(one: RegionMotion, fps: float | None, eye_distance: float, enlarged: float) -> dict[str, Any]:
    """A row of ``motion.csv``.

    Args:
        one: what a region did.
        fps: frames per second.
        eye_distance: outer eye corners, px of the crop.
        enlarged: crop px per px of the recording.
    """
    side, _, part = one.region.partition(" ")
    share = 100 / eye_distance

    def ms(frame: int | None) -> float | None:
        return None if frame is None or not fps else round(1000 * frame / fps, 1)

    return {
        "region": part,
        "side": side,
        "displacement_px": round(one.size / enlarged, 4),
        "displacement_percent": round(one.size * share, 3),
        "direction": one.direction if one.above else "",
        "right_px": round(one.dx / enlarged, 4),
        "down_px": round(one.dy / enlarged, 4),
        "onset_ms": ms(one.onset) if one.above else None,
        "peak_ms": ms(one.peak) if one.above else None,
        "return_ms": ms(one.back) if one.above else None,
        "more_than_other_side_px": round(one.asymmetry / enlarged, 4),
        "floor_px": None if one.floor is None else round(one.floor / enlarged, 4),
        "floor_percent": None if one.floor is None else round(one.floor * share, 3),
        "above_floor": one.above,
    }
