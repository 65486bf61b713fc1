"""What moved, against the truth: regions, noise floors, directions, times and candidate action units.

For a corpus with a truth, drawn or painted into real faces. Errors are in px of the recording; each row has its number
of clips, an interval over subjects, and what the trivial answer scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from dynamic_images import action_unit_fit
from dynamic_images.input_cache import build_inputs
from dynamic_images.inspection.motion_table import USE, curves_of
from dynamic_images.motion_intensity import region_mask
from dynamic_images.region_motion import RegionMotion, measure
from dynamic_images.regions import region_weights
from experiments.chain_accuracy import quantity_row, sample_at, usable
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.artefacts.stacks import CROPS
from preprocessing.faces import alignment
from preprocessing.faces.points68 import eye_distance
from preprocessing.synthetic.action_units import UNITS
from preprocessing.synthetic.truth import Truth, load_truth, unit_fields

MOVING, STILL = 0.2, 0.02
"""px of the crop beyond which a region moves, and below which it is still."""
CLEAR = 0.5
"""Probability from which a candidate is counted as named."""


@dataclass(frozen=True)
class Case:
    """A clip measured, and what was true.

    Attributes:
        clip_id, fps, scale: scale is px of the crop per px of the recording.
        curves: (T, R, 2) measured, px of the crop.
        true: (T, R, 2).
        landmarks: (68, 2) crop px.
        units: that move.
        apex: frame.
    """

    clip_id: str
    fps: float
    scale: float
    curves: NDArray[np.float64]
    true: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    units: frozenset[str]
    apex: int

    @property
    def found(self) -> list[RegionMotion]:
        """What was measured of each region."""
        return measure(self.curves, self.fps)


def cases(root: Path, cache: Path, jobs: int = 1) -> list[Case]:
    """Every usable clip of a corpus with its truth."""
    clips = usable(cache)
    build_inputs(cache, clips, [USE], jobs)
    rates = read_manifest(cache).set_index("clip_id")["fps"]
    return [case_of(root, cache, clip_id, float(rates[clip_id])) for clip_id in clips]


def case_of(root: Path, cache: Path, clip_id: str, fps: float) -> Case:
    """One clip."""
    folder, truth = clip_folder(cache, clip_id), load_truth(root, clip_id)
    curves, landmarks = curves_of(folder), folder.load("landmarks.npy").astype(np.float64)
    transforms, flow = folder.load("transforms.npy"), folder.frames("flow.npy")
    side = folder.frames(CROPS).shape[1]
    true = true_curves(truth, transforms[0], landmarks, flow.shape[1:3], side)[: len(curves)]
    return Case(
        clip_id=clip_id,
        fps=fps,
        scale=alignment.scale_of(transforms[0]),
        curves=np.asarray(curves[: len(true)], np.float64),
        true=true,
        landmarks=landmarks,
        units=frozenset(code[:-1] for code, px in truth.peaks_px.items() if px > 0),
        apex=truth.apex - truth.onset,
    )


def true_curves(
    truth: Truth,
    transform: NDArray[np.float64],
    landmarks: NDArray[np.floating],
    grid: tuple[int, ...],
    side: int,
) -> NDArray[np.float64]:
    """How far the expression really moves the regions since the onset: (T, R, 2) px of the crop, up to the offset."""
    inside = region_mask("face", landmarks, grid, (side, side))
    weights = region_weights(landmarks, grid, (side, side), inside)
    step = side / grid[0]
    cells = np.stack(np.meshgrid(np.arange(grid[1]), np.arange(grid[0])), -1) * step + (step - 1) / 2
    # at the onset the head stands at rigid[onset]: from there back to the neutral place, where the fields are known
    pose = truth.rigid[truth.onset]
    neutral = alignment.apply(alignment.invert(pose), alignment.apply(alignment.invert(transform), cells))
    units = np.stack([weights @ sample_at(field, neutral)[inside] for field in unit_fields(truth, 1)])  # (A, R, 2)
    units = units @ (transform[:, :2] @ pose[:, :2]).T
    span = truth.curves[truth.onset : truth.offset + 1]
    return np.asarray(np.einsum("ta,arc->trc", span - span[0], units))


def measured_rows(found: Sequence[Case]) -> list[dict[str, Any]]:
    """The truth table of regions."""
    clips = [case.clip_id for case in found]
    at = [(np.linalg.norm(c.curves[c.apex] - c.true[c.apex], axis=-1), c) for c in found]
    moves = [np.linalg.norm(c.true[c.apex], axis=-1) for c in found]
    moving = np.array([_mean(e[m > MOVING] / c.scale) for (e, c), m in zip(at, moves, strict=True)])
    zero = np.array([_mean(m[m > MOVING] / c.scale) for (_, c), m in zip(at, moves, strict=True)])
    still = np.array([_mean(e[m < STILL] / c.scale) for (e, c), m in zip(at, moves, strict=True)])
    rows = [
        quantity_row(
            f"regions that move by more than {MOVING:g} px of the crop, error at the apex",
            moving,
            clips,
            "px",
            f"zero answer: {np.nanmean(zero):.3f}",
        ),
        quantity_row("regions that do not move, error at the apex", still, clips, "px", "0"),
    ]
    detail = [_details(case) for case in found]
    labels = (
        ("regions that do not move, above their floor", "%", "< 5"),
        ("regions that move, above their floor", "%", "100; a floor of 0 finds all"),
        ("direction error of those", "degrees", "a guess: 90"),
        ("peak error of those", "ms", ""),
        ("length measured / true length of those", "times", "1"),
    )
    for k, (name, unit, wanted) in enumerate(labels):
        rows.append(quantity_row(name, np.array([one[k] for one in detail]), clips, unit, wanted))
    return rows


def _details(case: Case) -> tuple[float, float, float, float, float]:
    true = np.linalg.norm(case.true, axis=-1)
    peaks, places = true.max(axis=0), true.argmax(axis=0)
    above = np.array([one.above for one in case.found])
    angles, times, gains = [], [], []
    for r in np.flatnonzero(above & (peaks > MOVING)):
        one, (x, y) = case.found[r], case.true[places[r], r]
        angles.append(abs(np.degrees(np.arctan2(x * one.dy - y * one.dx, x * one.dx + y * one.dy))))
        times.append(abs(one.peak - places[r]) * 1000 / case.fps)
        gains.append((x * one.dx + y * one.dy) / (x * x + y * y))
    return (
        100 * _mean(above[peaks < STILL]),
        100 * _mean(above[peaks > MOVING]),
        _mean(angles),
        _mean(times),
        _mean(gains),
    )


def unit_table(found: Sequence[Case]) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """Evidence (N, 2) and truth (N,) of every action unit of every clip, and whose clip each is."""
    rows, true, whose = [], [], []
    for case in found:
        fitted = action_unit_fit.fit(case.curves, case.landmarks, case.fps)
        if fitted is None:
            continue
        rows.append(fitted[1])
        true += [unit in case.units for unit in UNITS]
        whose += [case.clip_id] * len(UNITS)
    return np.concatenate(rows), np.array(true), whose


def calibration(found: Sequence[Case]) -> tuple[float, ...]:
    """The numbers of `action_unit_fit.CALIBRATION`, by logistic regression on a corpus that nothing is judged on."""
    evidence, true, _ = unit_table(found)
    model = LogisticRegression(C=100.0, max_iter=1000).fit(evidence, true)
    return tuple(round(float(v), 3) for v in (model.intercept_[0], *model.coef_[0]))


def unit_rows(found: Sequence[Case]) -> list[dict[str, Any]]:
    """Candidate action units: how often a named one moves, how many that move are named, and calibration."""
    clips = [case.clip_id for case in found]
    share = np.mean([len(case.units) for case in found]) / len(UNITS)
    right, named, brier, confidence = [], [], [], []
    for case in found:
        listed = action_unit_fit.candidates(case.curves, case.landmarks, case.fps)
        truth = np.array([one.unit in case.units for one in listed], float)
        told = np.array([one.probability for one in listed])
        right.append(_mean(truth[told >= CLEAR]))
        named.append(float((truth * (told >= CLEAR)).sum() / max(truth.sum(), 1)))
        brier.append(float(np.square(told - truth).mean()))
        confidence.append(_mean(told[told >= CLEAR]))
    base = f"their share: {100 * share:.0f}"
    return [
        quantity_row(f"action units named at {CLEAR:g} or more that move", 100 * np.array(right), clips, "%", base),
        quantity_row("mean probability of those", 100 * np.array(confidence), clips, "%", "the row above"),
        quantity_row("action units that move and are named", 100 * np.array(named), clips, "%", ""),
        quantity_row("Brier score", np.array(brier), clips, "", f"the share for all: {share * (1 - share):.3f}"),
    ]


def eye_distances(found: Sequence[Case]) -> NDArray[np.float64]:
    """Of each clip, px of the recording."""
    return np.array([eye_distance(case.landmarks) / case.scale for case in found])


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
