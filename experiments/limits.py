"""What this camera, light, codec and face can show: painted movements of known size, found or not (``mer limits``).

Expressions of chosen size are painted into the pixels of people at rest, go through an encoder, a smaller picture or a
slower camera, and through the whole offline chain. Nothing is assumed of noise or codec. Everything is ours.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from dynamic_images.action_unit_fit import candidates
from dynamic_images.pipeline import StageSettings, build_clip
from dynamic_images.region_motion import measure
from dynamic_images.regions import REGIONS, region_curves
from experiments.motion_truth import true_curves
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.clips import Clip
from preprocessing.faces import alignment
from preprocessing.recordings.encoding import write_video
from preprocessing.synthetic.painted import PaintSettings, paint_clip
from preprocessing.synthetic.sitters import Sitter
from preprocessing.synthetic.truth import Truth
from preprocessing.video import Frame, FrameReport, VideoFile
from preprocessing.workers import unordered

EMOTIONS = ("happiness", "surprise", "others", "repression", "disgust")
"""Painted by turns, so that every region has its movements."""
BINS = (0.05, 0.15, 0.25, 0.4, 0.65, 1.0, 2.0)
"""px of the recording between which regions are counted together."""
FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class Condition:
    """How painted frames are recorded.

    Attributes:
        name: for people.
        crf: quality of H.264 (x264, medium); None records without loss.
        shrink: how many pixels become one along each side.
        every: of so many frames one is kept.
    """

    name: str
    crf: int | None = None
    shrink: int = 1
    every: int = 1


CONDITIONS = (
    Condition("as recorded, no further loss"),
    Condition("H.264, crf 12", crf=12),
    Condition("H.264, crf 18", crf=18),
    Condition("H.264, crf 23", crf=23),
    Condition("H.264, crf 28", crf=28),
    Condition("half the resolution", shrink=2),
    Condition("half the frame rate", every=2),
)


@dataclass(frozen=True)
class LimitSettings:
    """How much is tried.

    Attributes:
        amplitudes: largest displacement of the skin, px of the recording; 0 gives the false alarms.
        clips: of each amplitude and condition.
        seed: another seed, other expressions.
        fps: that the clips pretend; None takes the recording's own.
    """

    amplitudes: tuple[float, ...] = (0.0, 0.3, 0.5, 1.0, 2.0)
    clips: int = 5
    seed: int = 0
    fps: float | None = None


@dataclass(frozen=True)
class _Frames:
    """Frames in memory as a source."""

    frames: tuple[Frame, ...]
    name: str = "painted"

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        yield from self.frames[start:stop]

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        state = hashlib.blake2b(digest_size=16)
        for frame in self.frames[start:stop]:
            state.update(frame.tobytes())
        return state.hexdigest()

    def declared(self) -> int | None:
        return len(self.frames)


def trials(
    sitters: Sequence[Sitter],
    settings: LimitSettings,
    conditions: Sequence[Condition] = CONDITIONS,
    jobs: int = 1,
    step: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """A row per painted clip and region: person, condition, amplitude, true and measured motion, times."""
    tasks = [
        (sitter, condition, amplitude, k, settings)
        for sitter in sitters
        for condition in conditions
        for amplitude in settings.amplitudes
        for k in range(settings.clips)
    ]
    rows: list[dict[str, Any]] = []
    for done, found in enumerate(unordered(trial, tasks, jobs), start=1):
        rows += found
        if step:
            step(done, len(tasks), "")
    return pd.DataFrame(rows).sort_values(["person", "condition", "amplitude", "clip", "region"], ignore_index=True)


def trial(
    sitter: Sitter, condition: Condition, amplitude: float, k: int, settings: LimitSettings
) -> list[dict[str, Any]]:
    """Paint one clip, record it, measure it. A clip that the chain rejects gives no rows."""
    peak = amplitude / sitter.scale
    paint = PaintSettings(seed=settings.seed, intensity=1.0, fps=settings.fps, rotation=0.1)
    truth, frames, fps = paint_clip(sitter, paint, k, EMOTIONS[k % len(EMOTIONS)], peak=peak)
    recorded, truth, fps = record(list(frames), truth, fps, condition)
    with tempfile.TemporaryDirectory() as folder:
        name = "limits/a/b"
        clip = Clip(name, "limits/a", _Frames(recorded), truth.onset, truth.apex, truth.offset, fps)
        row = build_clip(clip, Path(folder), StageSettings())
        if row["status"] != "ok":
            return []
        made = clip_folder(Path(folder), name)
        flow, landmarks = made.load("flow.npy"), made.load("landmarks.npy").astype(np.float64)
        transform = made.load("transforms.npy")[0]
    if condition.shrink > 1:  # the truth is in px of the recording
        away = -(condition.shrink - 1) / 2 / condition.shrink
        transform = alignment.compose(
            transform, np.array([[1 / condition.shrink, 0, away], [0, 1 / condition.shrink, away]])
        )
    side = StageSettings().faces.size
    scale = alignment.scale_of(transform)
    curves = region_curves(flow, landmarks, (side, side))
    true = true_curves(truth, transform, landmarks, flow.shape[1:3], side)[: len(curves)]
    named = candidates(curves, landmarks, fps)
    moving = {code[:-1] for code, px in truth.peaks_px.items() if px > 0}
    about = {
        "person": sitter.person,
        "condition": condition.name,
        "amplitude": amplitude,
        "clip": k,
        "unit_right": bool(named) and named[0].unit in moving,
    }
    return [about | one for one in _rows(curves, true, fps, scale)]


def record(
    frames: list[Frame], truth: Truth, fps: float, condition: Condition
) -> tuple[tuple[Frame, ...], Truth, float]:
    """The frames as a camera under that condition would have left them, with the truth at its times."""
    if condition.every > 1:
        kept = slice(truth.onset % condition.every, None, condition.every)
        frames, fps = frames[kept], fps / condition.every
        onset, apex, offset = ((t - kept.start) // condition.every for t in (truth.onset, truth.apex, truth.offset))
        parts = {name: getattr(truth, name)[kept] for name in ("curves", "landmarks", "rigid", "blink")}
        truth = replace(truth, onset=onset, apex=apex, offset=offset, **parts)
    if condition.shrink > 1:
        size = tuple(extent // condition.shrink for extent in truth.size)
        full = [frame[: size[1] * condition.shrink, : size[0] * condition.shrink] for frame in frames]
        frames = [np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.uint8) for f in full]
    if condition.crf is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.mkv"
            write_video(path, frames, fps, "libx264", {"crf": str(condition.crf)})
            frames = list(VideoFile(path).read())
    return tuple(frames), truth, fps


def _rows(
    curves: NDArray[np.floating], true: NDArray[np.float64], fps: float, scale: float
) -> Iterator[dict[str, Any]]:
    sizes = np.linalg.norm(true, axis=-1)
    for r, one in enumerate(measure(curves, fps)):
        at = int(sizes[:, r].argmax())
        x, y = true[at, r]
        angle = np.degrees(np.arctan2(x * one.dy - y * one.dx, x * one.dx + y * one.dy))
        measured = curves[at, r] / scale
        yield {
            "region": REGIONS[r],
            "true_px": sizes[at, r] / scale,
            "measured_px": one.size / scale,
            "floor_px": np.nan if one.floor is None else one.floor / scale,
            "error_px": float(np.hypot(*(measured - true[at, r] / scale))),
            "angle": abs(float(angle)),
            "apex_ms": abs(one.peak - at) * 1000 / fps,
        }


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """A row per person, condition and bin of true displacement: share found with its exact interval, and errors.

    Found is a region whose measured displacement stands higher above its floor than in 95 % of the regions of the same
    person and condition when nothing was painted.
    """
    rows = []
    for (person, condition), part in found.groupby(["person", "condition"], sort=False):
        ratio = part["measured_px"] / part["floor_px"]
        still = ratio[part["amplitude"] == 0]
        threshold = float(np.quantile(still, 1 - FALSE_ALARMS)) if len(still) else 1.0
        hit = ratio > threshold
        for low, high in pairwise(BINS):
            inside = part["true_px"].between(low, high, inclusive="left") & (part["amplitude"] > 0)
            if n := int(inside.sum()):
                interval = binomtest(int(hit[inside].sum()), n).proportion_ci()
                clear = part[inside & hit]
                rows.append(
                    {
                        "person": person,
                        "condition": condition,
                        "from_px": low,
                        "to_px": high,
                        "n": n,
                        "true_px": part.loc[inside, "true_px"].mean(),
                        "found": hit[inside].mean(),
                        "found_low": interval.low,
                        "found_high": interval.high,
                        "error_px": part.loc[inside, "error_px"].mean(),
                        "error_se": part.loc[inside, "error_px"].sem(),
                        "direction_degrees": clear["angle"].median(),
                        "apex_ms": clear["apex_ms"].median(),
                    }
                )
    return pd.DataFrame(rows)


def smallest(table: pd.DataFrame, wanted: float = 0.8) -> pd.DataFrame:
    """Per person and condition: the displacement from which ``wanted`` of the regions are found, by interpolation.

    NaN where no bin reaches it.
    """
    rows = []
    for (person, condition), part in table.groupby(["person", "condition"], sort=False):
        shares = np.maximum.accumulate(part["found"].to_numpy())
        sizes = part["true_px"].to_numpy()
        reached = shares.max() >= wanted
        value = float(np.interp(wanted, shares, sizes)) if reached else float("nan")
        rows.append({"person": person, "condition": condition, "smallest_px": value})
    return pd.DataFrame(rows)


def units_right(found: pd.DataFrame) -> pd.DataFrame:
    """Per condition and amplitude: share of clips whose likeliest action unit really moves, with its interval."""
    clips = found[found["amplitude"] > 0].drop_duplicates(["person", "condition", "amplitude", "clip"])
    rows = []
    for (condition, amplitude), part in clips.groupby(["condition", "amplitude"], sort=False):
        interval = binomtest(int(part["unit_right"].sum()), len(part)).proportion_ci()
        rows.append(
            {
                "condition": condition,
                "amplitude": amplitude,
                "n": len(part),
                "right": part["unit_right"].mean(),
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pd.DataFrame(rows)
