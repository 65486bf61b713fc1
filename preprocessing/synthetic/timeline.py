"""Timeline of a synthetic clip: which action units move, when and how far, and how the head drifts meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing.synthetic import rendering
from preprocessing.synthetic.action_units import Activation, bumps, curve, draw_mixture
from preprocessing.synthetic.geometry import Identity, Points
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.synthetic.truth import Truth, follow, unit_fields

SECONDS = (0.2, 0.4)  # onset to offset
PEAK = (0.5, 2.5)  # px at a height of 480 px
"""Range of the largest displacement of any skin point."""


class Placed(Protocol):
    """A face in a frame: ``centre`` (px) is the midpoint of the outer eye corners, ``scale`` (px) their distance."""

    @property
    def centre(self) -> tuple[float, float]:
        """x, y px."""
        ...

    @property
    def scale(self) -> float:
        """px."""
        ...


def draw_truth(
    settings: CorpusSettings,
    who: Identity,
    face: NDArray[np.bool_],
    emotion: str,
    rng: np.random.Generator,
    head_rng: np.random.Generator,
    blink_rng: np.random.Generator,
) -> Truth:
    """Draw a clip in which ``who`` shows ``emotion``.

    Args:
        settings: of the corpus.
        who: the subject.
        face: (H, W) skin of the face in neutral position.
        emotion: one of `action_units.EMOTIONS`.
        rng: draws the expression and its timing.
        head_rng: draws the head motion.
        blink_rng: draws the blink.
    """
    lead, tail = (int(rng.integers((most + 1) // 2, most + 1)) for most in (settings.lead_in, settings.tail))
    length = round(rng.uniform(*SECONDS) * settings.fps)
    onset, offset = lead, lead + length
    n = offset + 1 + tail
    peak = settings.intensity * rng.uniform(*PEAK) * settings.height / 480
    mixture = draw_mixture(emotion, rng)
    return truth_of(
        who,
        who.landmarks(),
        settings.size,
        face,
        (onset, offset),
        mixture,
        mixture_curves(mixture, n, onset, offset, rng),
        peak,
        head_motion(head_rng, n, who, settings.drift * settings.height / 480, settings.rotation),
        rendering.blink_curve(blink_rng, n, settings.fps, settings.blink),
    )


def truth_of(
    who: Placed,
    neutral: Points,
    size: tuple[int, int],
    face: NDArray[np.bool_],
    span: tuple[int, int],
    mixture: Sequence[Activation],
    curves: NDArray[np.float64],
    peak: float,
    rigid: NDArray[np.float64],
    blink: NDArray[np.float64],
) -> Truth:
    """The truth of a clip of n frames in which these action units move by these curves on this face.

    Args:
        who: where the face is.
        neutral: its landmarks (68, 2) px.
        size: width and height of the frames.
        face: (H, W) skin of the face in neutral position.
        span: onset and offset.
        mixture: A action units.
        curves: (n, A) relative activations.
        peak: the largest displacement of any skin point at the apex, px; 0 for a face that rests.
        rigid: (n, 2, 3) head motion.
        blink: (n,).
    """
    tables = [bumps(one.code, neutral, who.scale) for one in mixture]
    moving = Truth(
        size=size,
        onset=span[0],
        apex=span[0],
        offset=span[1],
        action_units=tuple(one.code for one in mixture),
        curves=curves,
        pushes=np.vstack(tables),
        owner=np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
        landmarks=np.zeros((len(curves), 68, 2)),
        rigid=rigid,
        blink=blink,
        head=(who.centre[0], who.centre[1] + 0.12 * who.scale, 1.12 * who.scale, 1.45 * who.scale),
        face_mask=face,
    )
    return _scaled(moving, neutral, peak)


def head_motion(rng: np.random.Generator, n: int, who: Placed, drift: float, rotation: float) -> NDArray[np.float64]:
    """Poses (n, 2, 3), neutral px to frame px, that start in neutral and wander slowly.

    ``drift`` (px) and ``rotation`` (degrees, about the middle of the face) are the largest that a clip may reach.
    """
    heading, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1)
    along, across, around = (_wander(rng, n) for _ in range(3))
    reach = drift * rng.uniform(0.3, 1.0)
    steps = np.stack([along, 0.4 * across], axis=1)
    steps *= reach / np.linalg.norm(steps, axis=1).max()
    cos, sin = np.cos(heading), np.sin(heading)
    shift = steps @ np.array([[cos, sin], [-sin, cos]])
    angle = np.deg2rad(rotation * turn) * around
    matrix = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    middle = np.array([who.centre[0], who.centre[1] + 0.5 * who.scale])
    return np.concatenate([matrix, (middle + shift - matrix @ middle)[..., None]], axis=2)


def _wander(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Slow smooth path (n,) from 0 with largest magnitude 1."""
    t = np.linspace(0, 1, n)
    turns, phases = rng.uniform((0.2, 0.7), (0.6, 1.4)), rng.uniform(0, 1, 2)
    path = np.sin(2 * np.pi * (turns[0] * t + phases[0])) + 0.35 * np.sin(2 * np.pi * (turns[1] * t + phases[1]))
    path -= path[0]
    return np.asarray(path / max(np.abs(path).max(), 1e-9))


def mixture_curves(
    mixture: Sequence[Activation], n: int, onset: int, offset: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Relative activation (n, A): the rise is faster than the fall, and units lag behind the strongest one."""
    length = offset - onset
    apex = onset + round(length * rng.uniform(0.32, 0.47))
    units = list(dict.fromkeys(one.code[:-1] for one in mixture))
    lag = {unit: 0 if rank == 0 else int(rng.integers(-2, 4)) for rank, unit in enumerate(units)}
    early = {unit: int(rng.integers(0, max(1, length // 8))) for unit in units}
    columns = []
    for one in mixture:
        unit = one.code[:-1]
        start, end = onset + one.delay, offset - early[unit]
        top = min(max(apex + lag[unit], start + 4), end - 1)  # a slow camera has few frames for it
        columns.append(one.peak * curve(n, min(start, top - 1), top, end, one.residual))
    return np.stack(columns, axis=1)


def _scaled(truth: Truth, neutral: NDArray[np.float64], peak: float) -> Truth:
    """The truth with its largest displacement set to ``peak`` px, and with apex and landmarks that follow from it."""
    step = 4
    inside = truth.face_mask[step // 2 :: step, step // 2 :: step]
    fields = unit_fields(truth, step)[:, : inside.shape[0], : inside.shape[1]][:, inside]  # (A, N, 2)
    sizes = np.linalg.norm(np.tensordot(truth.curves, fields, 1), axis=-1)  # (T, N)
    total = sizes.mean(axis=1)
    # strictly inside, also where a slow camera leaves so few frames that the largest is the first or the last
    apex = truth.onset + 1 + int(total[truth.onset + 1 : truth.offset].argmax())
    moving = dataclasses.replace(truth, apex=apex, curves=truth.curves * (peak / sizes[apex].max()))
    return dataclasses.replace(moving, landmarks=_with_blink(follow(moving, neutral), moving.blink))


def _with_blink(landmarks: NDArray[np.float64], blink: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper lid points (T, 68, 2) lowered towards the lower lid by the share ``blink`` (T,)."""
    upper, lower = [37, 38, 43, 44], [41, 40, 47, 46]
    moved = landmarks.copy()
    moved[:, upper] += blink[:, None, None] * (landmarks[:, lower] - landmarks[:, upper])
    return moved
