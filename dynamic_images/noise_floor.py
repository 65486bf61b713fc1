"""How large a clip's intensity would be if the face in it were at rest: the clip's own noise floor. Pure.

A face that does not move still has an intensity: sensor noise and compression reach the flow, and so does what is left
of the head's motion. How much depends on camera, light, size of the face and library, so that no fixed number of
pixels separates motion from noise. Everything here is ours and is measured on the clip alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamic_images.motion_intensity import STATISTICS
from preprocessing.artefacts.manifest import number

FloatArray = NDArray[np.floating]

FACTOR = 2.0
"""Of the jitter. A frame's intensity is about the jitter of its clip, and the largest over a drawn still clip up to 1.5
times as much; noise that lasts longer than a frame (compression, skin that is never quite still) adds the rest."""
QUARTILE = 25
"""Percentile over the frames at which jitter is read: while a face expresses something, three of four frames may move
unevenly without raising it."""
STEPS, TUKEY = 8, 4.685
"""Of the robust fit: iterations, and Tukey's constant."""


def noise_floor(flows: Iterable[FloatArray], mask: NDArray[np.bool_], statistic: str = "top_decile") -> float | None:
    """The intensity in px that this clip's strongest frame would have with the face at rest: jitter and shared motion.

    **Jitter** is what changes from one frame to the next without going on. With f_t the flow onset → t, the second
    difference ``(f_{t+1} − 2 f_t + f_{t−1}) / √3`` is 0 for steady motion; of noise that is new in every frame it has
    the variance that the noise of f_t itself has, which is that of two frames. Its `QUARTILE` over the clip is taken,
    `FACTOR` times.

    **Shared motion** is what the whole face does together in the frame of the largest intensity, by a robust similarity
    (`shared_motion`): motion of the head that alignment left over. An expression moves a part of the face and is an
    outlier to it.

    Both are measured as intensity is: by the same statistic, over the same cells. Their sum is the floor.

    Args:
        flows: T fields (h, w, 2) px onset → t, read once; the first is that of the onset to itself.
        mask: (h, w) bool, the cells that count.
        statistic: a name of `motion_intensity.STATISTICS`.

    Returns:
        px, or None where the clip has fewer than three different frames after the onset.
    """
    measure, similarity = STATISTICS[statistic], _Similarity(mask)
    latest: deque[NDArray[np.complex128]] = deque(maxlen=3)
    jitters, strongest, largest = [], np.zeros(int(mask.sum()), np.complex128), 0.0
    previous: NDArray[np.complex128] | None = None
    for field in flows:
        moves = _complex(field[mask])
        seen, previous = previous, moves
        if seen is None or np.array_equal(moves, seen):
            continue  # the onset has no noise against itself, and a repeated frame is none of its own
        latest.append(moves)
        if (intensity := measure(np.abs(moves))) > largest:
            strongest, largest = moves, intensity
        if len(latest) == 3:
            before, now, after = latest
            jitters.append(measure(np.abs(after - 2 * now + before) / np.sqrt(3)))
    if not jitters:
        return None
    return float(FACTOR * np.percentile(jitters, QUARTILE) + measure(np.abs(similarity(strongest))))


def shared_motion(field: FloatArray, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What the cells of a flow field do together: (h, w, 2) px over the grid → (N, 2) px of the N cells in ``mask``.

    A shift, turn and change of size, fitted with Tukey weights, so that a part that moves on its own has no say.
    """
    return fitted_similarity(mask, mask)(field)


def fitted_similarity(mask: NDArray[np.bool_], at: NDArray[np.bool_]) -> Callable[[FloatArray], NDArray[np.float64]]:
    """`shared_motion` as a function of fields (h, w, 2), fitted to the cells ``mask`` and told at the cells ``at``."""
    similarity = _Similarity(mask, at)

    def fitted(field: FloatArray) -> NDArray[np.float64]:
        found = similarity(_complex(field[mask]))
        return np.stack([found.real, found.imag], axis=1)

    return fitted


def noise_notes(row: Mapping[str, Any]) -> list[str]:
    """A remark on a manifest row whose intensity a face at rest would reach too; else nothing."""
    peak, floor = number(row.get("peak_intensity")), number(row.get("noise_floor"))
    if peak is None or floor is None or peak > floor:
        return []
    return [f"does not stand above this clip's own noise: intensity {peak:.2f} px, a face at rest up to {floor:.2f} px"]


class _Similarity:
    """Fits ``motion ≈ a + b · place`` to cells, both as complex numbers: b turns and stretches, a shifts."""

    def __init__(self, mask: NDArray[np.bool_], at: NDArray[np.bool_] | None = None) -> None:
        y, x = np.nonzero(mask)
        place = x + 1j * y
        unit = max(float(np.abs(place - place.mean()).max()), 1.0)
        self._place = (place - place.mean()) / unit
        y, x = np.nonzero(mask if at is None else at)
        self._at = (x + 1j * y - place.mean()) / unit

    def __call__(self, moves: NDArray[np.complex128]) -> NDArray[np.complex128]:
        place, weight = self._place, np.ones(len(self._place))
        centre = mean = turn = 0j
        for _ in range(STEPS):
            total = max(float(weight.sum()), 1e-9)
            centre, mean = (weight * place).sum() / total, (weight * moves).sum() / total
            away = weight * np.conj(place - centre)
            turn = (away * (moves - mean)).sum() / max(float((away * (place - centre)).sum().real), 1e-9)
            fitted = mean + turn * (place - centre)
            error = np.abs(moves - fitted)
            scale = max(1.4826 * float(np.median(error)), 1e-4)
            weight = np.clip(1 - (error / (TUKEY * scale)) ** 2, 0, None) ** 2
        return np.asarray(mean + turn * (self._at - centre), np.complex128)


def _complex(moves: FloatArray) -> NDArray[np.complex128]:
    """(N, 2) px as N complex numbers u + iv."""
    return np.asarray(moves[:, 0] + 1j * moves[:, 1].astype(np.float64), np.complex128)
