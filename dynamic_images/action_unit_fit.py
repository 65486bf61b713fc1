"""Candidate action units: which known muscle movements, each only pulling, add up to what the regions did. Pure.

Non-negative least squares of what the regions did on the action-unit fields of the drawn corpus (Lawson & Hanson,
1974, as SciPy has it). It is a transparent guess and no coding: the fields are drawn after FACS, not measured.
The probability comes from a logistic rule in two numbers that anyone can read; see `CALIBRATION`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import expit

from dynamic_images.region_motion import noise_floors, smooth
from dynamic_images.regions import REGIONS, unit_motion
from preprocessing.synthetic.action_units import CODES, SIDES, UNITS

CALIBRATION = (-4.5, 1.3, 40.29)
"""Intercept, and the weights of the two numbers of `evidence`: logistic regression on the drawn corpus of seed 1 (48
clips of 8 people), by ``mer motion-truth --calibrate``. Nothing is judged on that corpus."""
SHOWN = 0.3
"""Candidates below this probability are not worth a line."""


@dataclass(frozen=True)
class Candidate:
    """An action unit that may have moved: ``unit`` (e.g. ``12``), its side (``left``, ``right``, ``both``), the
    displacement in px at its strongest point on the stronger side, and the probability.
    """

    unit: str
    side: str
    size: float
    probability: float


def candidates(curves: NDArray[np.floating], landmarks: NDArray[np.floating], fps: float | None) -> list[Candidate]:
    """Every action unit, the likeliest first; none where no region stands above its noise floor.

    Args:
        curves: (T, R, 2) px of `regions.region_curves`.
        landmarks: (68, 2) crop px.
        fps: frames per second; None if nobody knows.
    """
    found = fit(curves, landmarks, fps)
    if found is None:
        return []
    strengths, numbers = found
    shares = expit(CALIBRATION[0] + numbers @ np.array(CALIBRATION[1:]))
    made = []
    for u, unit in enumerate(UNITS):
        left, right = strengths[2 * u : 2 * u + 2].tolist()
        side = "both" if min(left, right) > 0.5 * max(left, right) else "left" if left > right else "right"
        made.append(Candidate(unit, side, max(left, right), float(shares[u])))
    return sorted(made, key=lambda one: -one.probability)


def fit(
    curves: NDArray[np.floating], landmarks: NDArray[np.floating], fps: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Strengths (A,) px of `CODES` at the clip's strongest frame, and `evidence` (U, 2) of each unit; None at rest.

    The frame is the one in which the regions together stand highest above their noise, lids left out: a blink is no
    action unit that is looked for here, and would decide on the frame.
    """
    floors = noise_floors(curves, fps)
    if floors is None:
        return None
    moves = smooth(curves, fps) / np.maximum(floors, 1e-6)[:, None]  # in units of the noise
    if np.linalg.norm(moves, axis=-1).max() <= 1:
        return None
    steady = [r for r, name in enumerate(REGIONS) if not name.endswith("lid")]
    strongest = int((moves[:, steady] ** 2).sum(axis=(1, 2)).argmax())
    pulls = unit_motion(CODES, landmarks) / np.maximum(floors, 1e-6)[:, None]
    matrix, target = pulls.reshape(len(CODES), -1).T, moves[strongest].ravel()
    strengths, rest = nnls(matrix, target)
    return strengths, evidence(matrix, target, strengths, float(rest))


def evidence(
    matrix: NDArray[np.float64], target: NDArray[np.float64], strengths: NDArray[np.float64], rest: float
) -> NDArray[np.float64]:
    """Two numbers per action unit, (U, 2): what speaks for it.

    How far it moves the regions in units of their noise, on a logarithmic scale; and the share of all motion that only
    it explains: what is left without it, minus what is left with it.
    """
    total = max(float(target @ target), 1e-12)
    rows = []
    for u in range(len(UNITS)):
        mine = slice(len(SIDES) * u, len(SIDES) * (u + 1))
        size = float(np.sqrt(np.square(matrix[:, mine] @ strengths[mine]).sum()))
        others = np.delete(matrix, range(mine.start, mine.stop), axis=1)
        without = nnls(others, target)[1] if size > 0 else rest
        rows.append([np.log1p(size), (without**2 - rest**2) / total])
    return np.array(rows)


def told(found: Sequence[Candidate]) -> str:
    """The candidates worth a line, as text: ``12 left (0.83), 6 both (0.41)``."""
    return ", ".join(f"{one.unit} {one.side} ({one.probability:.2f})" for one in found if one.probability >= SHOWN)
