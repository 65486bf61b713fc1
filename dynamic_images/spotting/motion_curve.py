"""Propose intervals of a long video in which a brief movement may be. **Experimental**: not detections.

Spotting micro-expressions in long videos is unsolved; published methods find a minority of them among many false
alarms (MEGC spotting challenges). This is a simple and cheap proposal of intervals to look at, made by the
motion-intensity idea of this toolkit.

A frame is compared with the frames half a longest micro-expression before and after it, after Moilanen, Zhao &
Pietikäinen (ICPR 2014, doi 10.1109/ICPR.2014.303), who compare texture histograms. **Ours** is to compare by flow:

    m_t = | flow(t → t + k) − flow(t − k → t) | / 2        over the face without the eyes, top decile, px

What comes and goes has moved there in the second flow and back in the first and adds; a head or a light that drifts
moves alike in both and cancels, so that no onset has to hold for minutes. A movement that stays is seen with half its
size. (Both flows are taken at the same pixel; skin that moves by a pixel or two in between hardly matters to fields
that are smooth over several.)

The video is decoded once and nothing of it is kept but k + 1 small faces, as many flows, and the curve.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dynamic_images import motion_intensity as mi
from preprocessing import optical_flow
from preprocessing.faces import alignment
from preprocessing.faces.landmarks import Box, Landmarker
from preprocessing.faces.tracking import choose_face, follow
from preprocessing.optical_flow import Flow, FlowSettings, Prepared
from preprocessing.recordings.soundness import Look
from preprocessing.video import Frame, FrameSource

VERSION = 2
CUT = 25.0  # mean grey levels that a face changes by from one frame to the next when the picture is another


@dataclass(frozen=True)
class SpotSettings:
    """How candidates are proposed. Nothing here was tuned on real recordings.

    Attributes:
        duration: seconds of the longest expression looked for; 0.5 is the usual bound of a micro-expression (Yan et
            al., J. Nonverbal Behavior 37, 2013, doi 10.1007/s10919-013-0159-8). Every candidate is so long.
        prominence: how far a peak stands out of its surroundings, in standard deviations of the curve at rest (from
            its lowest quarter, so that a face may move for most of the time).
        least: and at least so many px of the aligned face of ``size`` px.
        most: candidates kept per video, the most prominent ones.
        size: side of the aligned face in px; larger is more sensitive and slower.
        hold: seconds after which the face is found and placed anew.
    """

    duration: float = 0.5
    prominence: float = 4.0
    least: float = 0.1
    most: int = 50
    size: int = 96
    hold: float = 2.0

    def __post_init__(self) -> None:
        if min(self.duration, self.hold) <= 0 or min(self.prominence, self.least) < 0 or self.most < 1:
            raise ValueError("spot: duration and hold must be above 0, prominence and least not below, most at least 1")
        if not 64 <= self.size <= 512 or self.size % 4:
            raise ValueError(f"spot: size is {self.size} px, wanted a multiple of 4 from 64 to 512")

    def reach(self, fps: float) -> int:
        """k, frames from the middle of a candidate to either end."""
        return max(2, round(self.duration * fps / 2))

    def step(self, fps: float) -> int:
        """Every so many frames one is measured: at least six on either side of the middle where there are that many."""
        return max(1, self.reach(fps) // 6)


@dataclass(frozen=True)
class Candidate:
    """Frames ``onset`` to ``offset`` inclusive, strongest at ``apex``; ``prominence`` in px."""

    onset: int
    apex: int
    offset: int
    prominence: float


def motion_curve(
    source: FrameSource,
    fps: float,
    landmarker: Landmarker,
    settings: SpotSettings | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure every frame of a video in one pass.

    Args:
        source: decoded once, in order; two frames of it are held.
        fps: frames per second. Above 24 per second or so, frames in between are passed over and interpolated.
        landmarker: finds the face, at least every ``hold`` seconds.
        settings: see `SpotSettings`.
        on_frame: told the number of frames done after each.

    Returns:
        (T,) float32 px, NaN where there is no face, a cut or a broken frame, or no k frames on either side; and
        (T, 4) float32, the face box left, top, right, bottom in source px, NaN without a face.

    Raises:
        ClipRejectedError: what the source found.
    """
    settings = settings or SpotSettings()
    step = settings.step(fps)
    reach, hold = settings.reach(fps) // step, max(round(settings.hold * fps) // step, 1)  # in measured frames
    curve: list[float] = []
    boxes: list[tuple[float, ...]] = []
    held: list[_Held] = []
    face: Box | None = None
    before: Look | None = None
    n_frames = due = 0
    for n_frames, frame in enumerate(source.read(), start=1):
        if on_frame:
            on_frame(n_frames)
        if (n_frames - 1) % step:
            continue
        s = len(curve)
        curve.append(np.nan)
        look = Look.at(frame)
        if look.is_broken(before):  # as a cut
            held, due = [], s + 1
            boxes.append((np.nan,) * 4)
            continue
        before = look
        if s >= due:
            face = _find(landmarker, frame, face)
            due = s + (hold // 2 if face is None else hold)
            if face is not None:
                held.append(_Held(s, frame, face, landmarker, settings.size, reach))
        for one in held:
            value = one.look(frame)
            if value is not None:
                curve[s - reach] = value
        if any(one.lost for one in held):  # a cut or a turned head: look again soon, but not at every frame
            due = min(due, s + reach)
        held = [one for one in held if not one.lost and s < one.start + hold + 2 * reach]
        boxes.append(tuple(held[-1].box()) if held else (np.nan,) * 4)
    at, times = np.arange(n_frames), np.arange(len(curve)) * step
    every = np.repeat(np.array(boxes, np.float32).reshape(-1, 4), step, axis=0)[:n_frames]
    return np.interp(at, times, curve).astype(np.float32) if curve else np.empty(0, np.float32), every


def find_candidates(
    curve: NDArray[np.floating], fps: float, settings: SpotSettings | None = None
) -> tuple[list[Candidate], int]:
    """Peaks of a motion curve as intervals, in order of time; and how many weaker ones were left out.

    `scipy.signal.find_peaks` by prominence on the curve smoothed by an eighth of a candidate's length, at most one peak
    in that length. What was measured is smoothed without its gaps, so that noise beside a gap is as calm as elsewhere.

    Args:
        curve: (T,) from `motion_curve`.
        fps: frames per second.
        settings: see `SpotSettings`.
    """
    from scipy.signal import find_peaks  # takes a second to load, which everything but spotting does without

    settings = settings or SpotSettings()
    measured = np.isfinite(curve)
    if not measured.any():
        return [], 0
    reach = settings.reach(fps)
    values = np.asarray(curve[measured], np.float64)
    calmest, calm = np.quantile(values, [0.05, 0.25])
    spread = float(calm - calmest) / (1.645 - 0.674)  # these quantiles of a normal distribution lie so far apart
    # gaps are bridged after smoothing: filled before, they lower what a peak beside them is measured against
    there = np.flatnonzero(measured)
    smooth = np.interp(np.arange(len(curve)), there, gaussian_filter1d(values, reach / 4, mode="nearest"))
    wanted = max(settings.least, settings.prominence * spread)
    peaks, found = find_peaks(smooth, prominence=wanted, distance=2 * reach)
    kept = np.argsort(-found["prominences"], kind="stable")[: settings.most]
    proposed = [
        Candidate(
            max(0, int(peaks[i]) - reach),
            int(peaks[i]),
            min(len(curve) - 1, int(peaks[i]) + reach),
            round(float(found["prominences"][i]), 4),
        )
        for i in sorted(kept.tolist(), key=lambda i: int(peaks[i]))
    ]
    return proposed, len(peaks) - len(proposed)


@dataclass
class _Held:
    """A face held still from frame ``start`` on, the last k + 1 small pictures of it, and the flows between them."""

    start: int
    frame: Frame
    face: Box
    landmarker: Landmarker
    size: int
    reach: int
    lost: bool = False
    _ring: deque[Prepared] = field(default_factory=deque)

    def __post_init__(self) -> None:
        points = self.landmarker.landmarks(self.frame, self.face)
        self._base = self._now = alignment.clip_transform(points[None], self.size)
        landmarks = alignment.apply(self._base, points).astype(np.float32)
        trust = alignment.rigid_weights(landmarks, self.size)
        self._register = alignment.RigidRegistration(self.frame, trust, self._base)
        self._trust = trust / max(float(trust.sum()), 1e-6)
        grid = (self.size // 2, self.size // 2)
        self._mask = mi.region_mask("face_without_eyes", landmarks, grid, (self.size, self.size))
        self._settings = FlowSettings("dis")  # each frame is compared with others: no two share a reference
        self._ring = deque(maxlen=self.reach + 1)
        self._flows: deque[Flow] = deque(maxlen=self.reach + 1)
        del self.frame  # the base is all that is needed of it

    def look(self, frame: Frame) -> float | None:
        """Take the next frame; the intensity of the frame ``reach`` before it, or None while there is none."""
        self._now = self._register(frame, self._now) if self._ring else self._now  # type: ignore[assignment]
        if self._now is None:
            self.lost = True
            return None
        crop = alignment.warp(frame, self._now, self.size, cv2.INTER_LINEAR)
        small = optical_flow.prepare(crop, self._settings)
        if self._ring and float((np.abs(small.grey - self._ring[-1].grey) * self._trust).sum()) > CUT:
            self.lost = True
            return None
        self._ring.append(small)
        if len(self._ring) == self.reach + 1:
            moved = optical_flow.flow_prepared(self._ring[0], small, self._settings)
            self._flows.append(optical_flow.halve(moved))
        if len(self._flows) < self.reach + 1:
            return None
        return mi.frame_intensity((self._flows[-1] - self._flows[0]) / 2, self._mask)

    def box(self) -> NDArray[np.float64]:
        """The face box carried along with the head."""
        corners = np.array([self.face[:2], self.face[2:]])
        return alignment.apply(alignment.compose(alignment.invert(self._now), self._base), corners).ravel()


def _find(landmarker: Landmarker, frame: Frame, before: Box | None) -> Box | None:
    """The face that was there before, or the largest."""
    if before is not None:
        again = follow(before, landmarker.detect(frame, near=before))
        if again is not None:
            return again
    return choose_face([landmarker.detect(frame)])
