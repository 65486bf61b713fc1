"""Clips as they would have been under other labels, another camera or a worse alignment, from the cached crops alone.

No face is looked for again: crops are changed, and flow, intensity and images are made of them anew, as they were made
of the originals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.build import STAGE, ImageSettings, build_images
from dynamic_images.clip_input import finished
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import from_plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, write_stack
from preprocessing.errors import ToolkitError
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import measure_flow
from preprocessing.workers import unordered

Crops = NDArray[np.uint8]
"""(T, S, S, 3) RGB, frame 0 = onset."""
Kind = Literal["onset", "apex", "jitter", "frame_rate", "blur", "jpeg", "shift"]


@dataclass(frozen=True)
class Disturbance:
    """One change of a clip.

    Attributes:
        kind: ``onset`` and ``apex`` move the label by ``amount`` frames, later if positive; ``jitter`` moves both by
            whole numbers up to ``amount`` either way, drawn from the clip's id; ``frame_rate`` keeps every
            ``amount``-th frame; ``blur`` is Gaussian with a standard deviation of ``amount`` px of the crop; ``jpeg``
            stores each crop at that quality, 0 to 100; ``shift`` moves the crop by ``amount`` px to the right and down,
            as wrong landmarks would.
        amount: see there.
    """

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"disturbance {self.kind!r} is none of {', '.join(get_args(Kind))}")
        if self.kind not in ("blur",) and self.amount != int(self.amount):
            raise ValueError(f"{self.kind} by {self.amount}: wanted a whole number")
        if self.kind not in ("onset", "apex", "shift") and self.amount <= 0:
            raise ValueError(f"{self.kind} by {self.amount}: wanted a number above 0")

    @property
    def name(self) -> str:
        """For tables and folders."""
        return f"{self.kind}{self.amount:+g}" if self.kind in ("onset", "apex") else f"{self.kind}-{self.amount:g}"


CARD = (
    *(Disturbance("onset", by) for by in (-4, -2, 2, 4)),
    *(Disturbance("apex", by) for by in (-4, 4)),
    Disturbance("frame_rate", 2),
    Disturbance("frame_rate", 4),
    *(Disturbance("blur", sd) for sd in (1, 2)),
    *(Disturbance("jpeg", quality) for quality in (50, 20)),
    *(Disturbance("shift", px) for px in (2, 4, 8)),
)
"""What a robustness card shows."""


def disturbed(crops: Crops, apex: int, one: Disturbance, seed: int = 0) -> tuple[Crops, int]:
    """Crops and apex under a disturbance. Onset ≤ apex ≤ last frame stays true, so a short clip is moved by less.

    Frames before the onset are not in the cache: a clip whose onset comes earlier begins with the onset's frame,
    repeated, as if the face had rested.

    Args:
        crops: (T, S, S, 3).
        apex: index of the apex.
        one: what happens.
        seed: of the clip, for ``jitter``.
    """
    amount = int(one.amount)
    match one.kind:
        case "onset":
            return _onset_moved(crops, apex, amount)
        case "apex":
            return crops, int(np.clip(apex + amount, 0, len(crops) - 1))
        case "jitter":
            onset, by = np.random.default_rng(seed).integers(-amount, amount, 2, endpoint=True)
            crops, apex = _onset_moved(crops, apex, int(onset))
            return crops, int(np.clip(apex + by, 0, len(crops) - 1))
        case "frame_rate":
            kept = crops[::amount]
            return kept, min(round(apex / amount), len(kept) - 1)
        case "blur":
            return _each(crops, lambda f: cv2.GaussianBlur(f, (0, 0), one.amount)), apex
        case "jpeg":
            return _each(crops, lambda f: _stored(f, amount)), apex
        case "shift":
            by_px = np.array([[1, 0, amount], [0, 1, amount]], np.float32)
            size = crops.shape[2:0:-1]
            return _each(crops, lambda f: cv2.warpAffine(f, by_px, size, borderMode=cv2.BORDER_REPLICATE)), apex


def _onset_moved(crops: Crops, apex: int, by: int) -> tuple[Crops, int]:
    by = min(by, apex)
    if by < 0:
        return np.concatenate([np.repeat(crops[:1], -by, axis=0), crops]), apex - by
    return crops[by:], apex - by


def _each(crops: Crops, change: Any) -> Crops:
    return np.stack([change(frame) for frame in crops])


def _stored(frame: NDArray[np.uint8], quality: int) -> NDArray[Any]:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def build_disturbed(cache: Path, to: Path, clip_ids: Sequence[str], one: Disturbance, jobs: int = 1) -> Iterable[str]:
    """Write the stages of these clips under a disturbance below ``to``; yields the id of each that is done.

    Raises:
        ToolkitError: a clip lacks a stage.
    """
    return unordered(_build, [(cache, to, clip_id, one) for clip_id in clip_ids], jobs)


def _build(cache: Path, to: Path, clip_id: str, one: Disturbance) -> str:
    cv2.setNumThreads(1)  # parallelism is over clips
    source, target = clip_folder(cache, clip_id), clip_folder(to, clip_id)
    entries = {name: finished(source, name) for name in ("faces", "flow", STAGE)}
    faces, flow, images = entries.values()
    if faces is None or flow is None or images is None:
        raise ToolkitError(f"{clip_id} has no crops, flow and images in {cache}: run `mer dataset` first")
    seed = int.from_bytes(hashlib.blake2b(clip_id.encode(), digest_size=4).digest(), "little")
    recorded = np.stack(list(source.frames(CROPS)))
    crops, apex = disturbed(recorded, int(images.result["apex_index"]), one, seed)
    flow_settings = from_plain(FlowSettings, flow.settings, "flow", complete=True)
    image_settings = from_plain(ImageSettings, images.settings, STAGE, complete=True)
    key = key_of("disturbed", one, faces.key, flow.key, images.key)
    with target.writing("faces", Entry(key, faces.settings, result=dict(faces.result))) as scratch:
        write_stack(scratch / CROPS, np.ascontiguousarray(crops))
        np.save(scratch / "landmarks.npy", source.load("landmarks.npy"))
    entry = Entry(key, flow.settings, inputs=target.digests(CROPS, "landmarks.npy"))
    with target.writing("flow", entry) as scratch:
        entry.result |= measure_flow(target.frames(CROPS), flow_settings, scratch / "flow.npy")
    build_images(target, image_settings, key, apex, flow_settings)
    return clip_id
