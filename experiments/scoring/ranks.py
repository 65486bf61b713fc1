"""Ranks of systems over blocks, with the Friedman test and the critical difference of Nemenyi. Pure.

As in Demšar (JMLR 7, 2006): in every block (here a held-out subject of a data set) the systems are ranked by their
score, ties share their mean rank. Two systems whose mean ranks are less than the critical difference apart are not
shown to differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range


@dataclass(frozen=True)
class Ranks:
    """What `rank` found.

    Attributes:
        mean: (K,) mean rank of each system; 1 is best.
        blocks: N.
        p_value: of Friedman's test that no system differs; NaN with fewer than three systems.
        critical: difference of mean ranks from which on two systems differ, at 5 % over all pairs.
    """

    mean: NDArray[np.float64]
    blocks: int
    p_value: float
    critical: float


def rank(scores: NDArray[np.float64]) -> Ranks:
    """Ranks of ``scores`` (N blocks, K systems), larger is better.

    Raises:
        ValueError: fewer than two blocks or systems, or a score that is not finite.
    """
    if scores.ndim != 2 or min(scores.shape) < 2 or not np.isfinite(scores).all():
        raise ValueError(
            f"scores of shape {scores.shape} cannot be ranked: wanted finite (blocks, systems), two or more"
        )
    blocks, systems = scores.shape
    mean = np.mean([rankdata(-row) for row in scores], axis=0)
    varied = systems > 2 and bool((scores != scores[:, :1]).any())
    p_value = float(friedmanchisquare(*scores.T).pvalue) if varied else float("nan")
    q = float(studentized_range.ppf(0.95, systems, np.inf)) / math.sqrt(2)
    return Ranks(mean, blocks, p_value, q * math.sqrt(systems * (systems + 1) / (6 * blocks)))


def cliques(mean: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """Bars of a critical-difference picture: first and last place, in ascending order of mean rank, of each largest
    group whose ends are less than ``critical`` apart. Groups of one are left out, and those inside others.
    """
    ordered = sorted(mean)
    found: list[tuple[int, int]] = []
    for first, low in enumerate(ordered):
        last = max(i for i, high in enumerate(ordered) if high - low < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
