"""Ground truth of a synthetic clip, and the motion of every pixel that follows from it.

The renderer draws from a `Truth`, so nothing in it is measured afterwards. A skin point at the neutral position ``n``
stands in frame ``t`` at

    x_t(n) = n + w(n) · (R_t(n + d_t(n)) − n),    d_t(n) = Σ_a curve_a(t) · field_a(n)

with the rigid head motion R_t, the fields of the action units, and a weight w that is 1 on the whole head and falls
smoothly to 0 outside, so that the background stands still.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import DatasetError
from preprocessing.synthetic import action_units
from preprocessing.synthetic.geometry import Points

Field = NDArray[np.floating]
"""(H, W, 2) displacement in px, [..., 0] = +x right, [..., 1] = +y down."""

FADE = 0.5  # width of the transition of w, in radii of the head ellipse
ITERATIONS = 5  # of the inverse mapping; its contraction is below 0.2, so the rest is under 1e-3 px


@dataclass(frozen=True)
class Truth:
    """Ground truth of one clip; times are 0-based positions in the rendered frames.

    Attributes:
        size: width and height of the frames, px.
        onset, apex, offset: annotated frames; ``apex`` is the frame of strongest displacement.
        action_units: names of the (unit, side) that move, e.g. ``("12L", "12R", "6L")``.
        curves: (T, A) displacement of each, px, at the point of its strongest push.
        pushes: (K, 6) Gaussian pushes of all units, see `action_units.bumps`.
        owner: (K,) index of the unit that each push belongs to.
        landmarks: (T, 68, 2) px, lids included: they move with a blink.
        rigid: (T, 2, 3) head motion, neutral px to frame px.
        blink: (T,) how far the lids are closed, 0 to 1. A blink covers the eye and is not part of the motion fields.
        head: centre x, y and radii x, y of the ellipse that moves with the head, px.
        face_mask: (H, W) skin of the face in neutral position, jaw to hairline.
    """

    size: tuple[int, int]
    onset: int
    apex: int
    offset: int
    action_units: tuple[str, ...]
    curves: NDArray[np.float64]
    pushes: NDArray[np.float64]
    owner: NDArray[np.int64]
    landmarks: NDArray[np.float64]
    rigid: NDArray[np.float64]
    blink: NDArray[np.float64]
    head: tuple[float, float, float, float]
    face_mask: NDArray[np.bool_]

    @property
    def n_frames(self) -> int:
        """Rendered frames, lead-in and tail included."""
        return len(self.curves)

    @cached_property
    def peaks_px(self) -> dict[str, float]:
        """Largest displacement of each moving (unit, side) between onset and offset, px."""
        span = self.curves[self.onset : self.offset + 1]
        return dict(zip(self.action_units, span.max(axis=0).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write a compressed ``.npz``; the same truth gives the same bytes."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in held.items()}
        arrays["face_mask"] = np.packbits(arrays["face_mask"])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        path.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote.

        Raises:
            DatasetError: no such file, or not a truth.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                return cls._from(dict(held))
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"{path} holds no truth of a synthetic clip ({error}): run `mer synth`") from error

    @classmethod
    def _from(cls, held: dict[str, NDArray[Any]]) -> Truth:
        width, height = held["size"].tolist()
        mask = np.unpackbits(held["face_mask"].astype(np.uint8), count=width * height)
        return cls(
            size=(width, height),
            onset=int(held["onset"]),
            apex=int(held["apex"]),
            offset=int(held["offset"]),
            action_units=tuple(held["action_units"].tolist()),
            head=tuple(held["head"].tolist()),
            face_mask=mask.reshape(height, width).astype(bool),
            **{k: held[k] for k in ("curves", "pushes", "owner", "landmarks", "rigid", "blink")},
        )


def load_truth(root: Path, clip_id: str) -> Truth:
    """Truth of ``synthetic/s01/c03`` in the corpus ``root``.

    Raises:
        DatasetError: it is not there.
    """
    return Truth.load(root / "truth" / f"{clip_id.split('/', 1)[-1]}.npz")


def peaks(truth: Truth) -> NDArray[np.float64]:
    """Peak displacement (px) of every (unit, side) in the order of `action_units.CODES`, 0 where it does not move."""
    return np.array([truth.peaks_px.get(code, 0.0) for code in action_units.CODES])


def dense_motion(truth: Truth, t: int, reference: int | None = None) -> Field:
    """Where each pixel of the reference frame goes until frame ``t``: (H, W, 2) px, head motion included.

    ``reference`` is the onset unless given. Lids of a blink are not in it.
    """
    start = _moved(truth, truth.onset if reference is None else reference)
    origin = invert(start, 1)
    return origin + sample(_moved(truth, t), origin, 1) - grid(truth.size, 1)


def expression_motion(truth: Truth, t: int) -> Field:
    """The part of the motion onset → ``t`` that the action units make: (H, W, 2) px in pixels of the onset frame.

    What would be seen if the head stood in frame ``t`` as it stands at the onset.
    """
    head = truth.rigid[truth.onset]
    start = _moved(truth, truth.onset)
    origin = invert(start, 1)
    return origin + sample(displacement(truth, truth.curves[t], head, 1), origin, 1) - grid(truth.size, 1)


def displacement(truth: Truth, peak: NDArray[np.float64], rigid: NDArray[np.float64], step: int) -> Field:
    """x(n) − n on the neutral `grid` of ``step``, for unit displacements ``peak`` (A,) and a head pose (2, 3)."""
    expression = np.tensordot(peak, unit_fields(truth, step), 1)
    return compose(expression, rigid, head_weight(truth, step), grid(truth.size, step))


def compose(field: Field, rigid: NDArray[np.floating], weight: NDArray[np.floating], at: Field) -> Field:
    """w(n) · (R(n + d(n)) − n) for an expression ``field``, a pose (2, 3) and a weight (H, W) on positions ``at``."""
    return weight[..., None] * ((at + field) @ rigid[:, :2].T + rigid[:, 2] - at)


def unit_fields(truth: Truth, step: int) -> NDArray[np.float64]:
    """Field of every moving (unit, side) at displacement 1 px: (A, H / step, W / step, 2)."""
    x, y = _axes(truth.size, step)
    units = [action_units.field_of(truth.pushes[truth.owner == a], x, y) for a in range(len(truth.action_units))]
    return np.stack(units)


def head_weight(truth: Truth, step: int) -> NDArray[np.float64]:
    """The weight w of the head motion, (H / step, W / step): 1 on the head, 0 on the background."""
    return weight_at(truth.head, grid(truth.size, step))


def weight_at(head: tuple[float, float, float, float], at: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weight w at positions ``at`` (..., 2) px for a head ellipse."""
    radius = np.hypot((at[..., 0] - head[0]) / head[2], (at[..., 1] - head[1]) / head[3])
    s = np.clip((radius - 1) / FADE, 0, 1)
    return np.asarray(1 - s * s * (3 - 2 * s))


def grid(size: tuple[int, int], step: int) -> Field:
    """Centres, in px, of the cells of ``step`` x ``step`` pixels of frames of ``size``: (H / step, W / step, 2)."""
    return np.stack(np.meshgrid(*_axes(size, step)), axis=-1)


def invert(moved: Field, step: int) -> Field:
    """Neutral position n of every frame pixel x on the grid, where ``moved`` is x(n) − n on that grid."""
    height, width = moved.shape[:2]
    at = grid((width * step, height * step), step).astype(moved.dtype)
    origin = at - moved
    for _ in range(ITERATIONS - 1):
        origin = at - sample(moved, origin, step)
    return origin


def sample(field: Field, at: Field, step: int) -> Field:
    """``field``, given on `grid` of ``step``, at positions ``at`` (h, w, 2) px by linear interpolation."""
    x, y = (np.ascontiguousarray((at[..., c] - (step - 1) / 2) / step, np.float32) for c in (0, 1))
    # one component at a time: OpenCV 5 interpolates single channels exactly, several at 1/32 of a cell
    planes = [np.ascontiguousarray(field[..., c], np.float32) for c in (0, 1)]
    parts = [cv2.remap(plane, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE) for plane in planes]
    return np.asarray(np.stack(parts, axis=-1), np.float32)


def follow(truth: Truth, points: Points) -> NDArray[np.float64]:
    """Positions (T, N, 2) of neutral ``points`` (N, 2) over the clip."""
    fields_at = [action_units.at_points(truth.pushes[truth.owner == a], points) for a in range(len(truth.action_units))]
    local = points + np.einsum("ta,anc->tnc", truth.curves, np.array(fields_at))
    moved = np.einsum("tnc,tdc->tnd", local, truth.rigid[:, :, :2]) + truth.rigid[:, None, :, 2]
    weight = weight_at(truth.head, points)[:, None]
    return points + weight * (moved - points)


def _axes(size: tuple[int, int], step: int) -> list[NDArray[np.float64]]:
    return [np.arange(extent // step, dtype=np.float64) * step + (step - 1) / 2 for extent in size]


def _moved(truth: Truth, t: int) -> Field:
    if not 0 <= t < truth.n_frames:
        raise ValueError(f"frame {t} is not one of the {truth.n_frames} frames of the clip")
    return displacement(truth, truth.curves[t], truth.rigid[t], 1)
