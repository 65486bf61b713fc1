"""Stage ``images``: compute the dynamic images of one clip from its cached crops and flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images import motion_intensity as mi
from dynamic_images.encoding import to_view
from dynamic_images.face_mask import face_weight, share_outside, weighted_rms
from dynamic_images.noise_floor import noise_floor
from dynamic_images.rank_pooling import WEIGHTS, pool
from dynamic_images.representations import REPRESENTATIONS, SPANS, Motion, pooling_order
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, FLOW, Frames
from preprocessing.errors import ToolkitError
from preprocessing.optical_flow import FlowSettings, flow

STAGE = "images"
VERSION = 2
IMAGES = ("temporal_ranked", "motion_intensity")
REFERENCES = ("onset", "previous")
STANDS_ON = (CROPS, FLOW, "landmarks.npy")
"""Files of earlier stages that this one is made from."""


@dataclass(frozen=True)
class ImageSettings:
    """How the dynamic images of a data set are made.

    Attributes:
        weights: rule for frames in time order, ``harmonic`` or ``linear``; see `rank_pooling`.
        intensity_weights: rule for frames in order of motion; ``linear`` lets the strongest motion weigh most, see
            `representations.motion_intensity`.
        reference: which flow measures a frame's intensity: ``onset`` → t (how far the expression has come) or
            ``previous`` frame → t (how fast it moves). The apex is estimated from the onset's in either case.
        statistic: how the flow magnitudes of a frame become one number, a name of `motion_intensity.STATISTICS`.
        region: where flow counts: ``face`` or ``face_without_eyes``.
        order: ``ascending`` pools the strongest motion last, ``descending`` first.
        span: frames that are pooled: ``onset..offset`` or ``onset..apex``.
        steady_light: scale every frame to the first one's mean grey level in the face before pooling (ours; the papers
            pool raw pixels). Half a per cent of flicker otherwise leaves a ghost of the face as strong as a
            micro-expression. Off, light that changes is part of the image.
        apex_smoothing: sd of the Gaussian over the intensity curve before its maximum is taken as the apex, as a
            share of the clip length; no effect on clips whose apex is annotated.
    """

    weights: str = "harmonic"
    intensity_weights: str = "linear"
    reference: str = "onset"
    statistic: str = "top_decile"
    region: str = "face_without_eyes"
    order: str = "ascending"
    span: str = "onset..offset"
    steady_light: bool = True
    apex_smoothing: float = 0.02

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"images: {name} = {getattr(self, name)!r} is unknown: choose one of {', '.join(choices)}"
                )
        if not 0 <= self.apex_smoothing <= 0.5:
            raise ValueError(f"images: apex_smoothing = {self.apex_smoothing}: wanted a share of the clip, 0 to 0.5")


CHOICES: dict[str, tuple[str, ...]] = {
    "weights": tuple(WEIGHTS),
    "intensity_weights": tuple(WEIGHTS),
    "reference": REFERENCES,
    "statistic": tuple(mi.STATISTICS),
    "region": mi.REGIONS,
    "order": mi.ORDERS,
    "span": SPANS,
}


def images_key(
    settings: ImageSettings, upstream_key: str, apex: int | None, flow_settings: FlowSettings | None = None
) -> str:
    """Key of the stage; ``upstream_key`` is the flow stage's. Flow settings count only where flow is computed here."""
    own_flow = (flow_settings or FlowSettings()) if settings.reference == "previous" else None
    return key_of(STAGE, VERSION, settings, upstream_key, apex, own_flow, np.__version__, cv2.__version__)


def build_images(
    folder: ClipFolder,
    settings: ImageSettings,
    upstream_key: str,
    apex: int | None = None,
    flow_settings: FlowSettings | None = None,
) -> dict[str, Any]:
    """Write the dynamic images of one clip, unless they are there under the same key.

    Crops and flow are streamed, so memory does not grow with the clip.

    Args:
        folder: holds ``crops.mkv``, ``flow.npy`` and ``landmarks.npy``.
        settings: what to make.
        upstream_key: key of the flow stage, so that new flow makes the images stale.
        apex: annotated apex as an index into the crops (frame 0 = onset), or None to estimate it as the maximum
            of the intensity curve.
        flow_settings: for ``reference = previous`` only, whose flow is not in the cache.

    Returns:
        Numbers for the manifest: ``apex_index``, ``apex_source`` (``annotated`` | ``estimated``), ``peak_intensity``
        (px, onset → t), ``noise_floor`` (px, what ``peak_intensity`` would be at rest, see `noise_floor`; None if the
        frames are too few), ``<image>_energy`` (root mean square inside the face, grey levels) and ``<image>_outside``
        (share of the whole crop's energy that lies outside the face, 0 .. 1); the face is that of `face_weight`.

    Raises:
        DamagedArtefactError: a file of an earlier stage is missing or is not what that stage wrote.
        ToolkitError: those files do not belong together.
        ValueError: ``apex`` outside the clip.
    """
    key = images_key(settings, upstream_key, apex, flow_settings)
    with folder.locked():
        done = folder.entry(STAGE)
        if done is not None and folder.fresh(STAGE, key):
            return done.result
        return _write_images(folder, settings, key, apex, flow_settings or FlowSettings())


def _write_images(
    folder: ClipFolder, settings: ImageSettings, key: str, apex: int | None, flow_settings: FlowSettings
) -> dict[str, Any]:
    crops, flows, landmarks = folder.frames(CROPS), folder.frames(FLOW), folder.load("landmarks.npy")
    if len(crops) != len(flows):
        raise ToolkitError(
            f"{folder.folder}: {len(crops)} crops but flow for {len(flows)} frames; delete the folder and run "
            "`mer dataset` again"
        )
    if apex is not None and not 0 <= apex < len(crops):
        raise ValueError(f"{folder.folder}: apex {apex} is outside the clip's frames 0 .. {len(crops) - 1}")
    mask = mi.region_mask(settings.region, landmarks, flows.shape[1:3], crops.shape[1:3])
    from_onset = mi.intensity_curve(flows, mask, settings.statistic)
    floor = noise_floor(flows, mask, settings.statistic)
    motion = Motion(
        intensity=from_onset
        if settings.reference == "onset"
        else _intensity_from_previous(crops, landmarks, settings, flow_settings),
        apex=mi.apex_of(from_onset, settings.apex_smoothing) if apex is None else apex,
        weights=settings.weights,
        intensity_weights=settings.intensity_weights,
        order=settings.order,
        span=settings.span,
    )
    frames = in_steady_light(crops, landmarks) if settings.steady_light else crops
    images = pool(frames, np.stack([REPRESENTATIONS[name](motion) for name in IMAGES]))
    face = face_weight(landmarks, crops.shape[1:3], crops.shape[1:3])
    entry = Entry(key, plain(settings), inputs=folder.digests(*STANDS_ON))
    with folder.writing(STAGE, entry) as scratch:
        np.save(scratch / "intensity.npy", motion.intensity)
        np.save(scratch / "order.npy", pooling_order(motion))
        entry.result.update(
            apex_index=motion.apex,
            apex_source="estimated" if apex is None else "annotated",
            peak_intensity=round(float(from_onset.max()), 4),
            noise_floor=None if floor is None else round(floor, 4),
        )
        for name, image in zip(IMAGES, images, strict=True):
            np.save(scratch / f"{name}.npy", image)
            _write_view(scratch / f"{name}.png", image)
            entry.result[f"{name}_energy"] = round(weighted_rms(image, face), 4)
            entry.result[f"{name}_outside"] = round(share_outside(image, face), 4)
    return entry.result


def in_steady_light(frames: Iterable[NDArray[Any]], landmarks: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Frames (H, W, 3) with one gain each, so that the face is as bright on average as in the first."""
    face, first = np.empty(0, bool), 0.0
    for t, frame in enumerate(frames):
        if t == 0:
            face = mi.region_mask("face", landmarks, frame.shape[:2], frame.shape[:2])
        level = float(frame[face].mean())
        if t == 0:
            first = level
        yield frame * (first / level if level > 0 else 1.0)


def _intensity_from_previous(
    crops: Frames, landmarks: NDArray[Any], settings: ImageSettings, flow_settings: FlowSettings
) -> NDArray[np.float32]:
    """(T,) px: flow from each frame's predecessor; the first frame has none and counts 0."""
    height, width = crops.shape[1:3]
    mask = mi.region_mask(settings.region, landmarks, (height, width), (height, width))

    def flows() -> Iterator[NDArray[np.float32]]:
        previous = crops[0]
        yield np.zeros((height, width, 2), np.float32)
        for t in range(1, len(crops)):
            frame = crops[t]
            yield flow(previous, frame, flow_settings)
            previous = frame

    return mi.intensity_curve(flows(), mask, settings.statistic)


def _write_view(path: Path, image: NDArray[np.float32]) -> None:
    view = to_view(image)
    ok, data = cv2.imencode(".png", view if view.ndim == 2 else cv2.cvtColor(view, cv2.COLOR_RGB2BGR))
    if not ok:
        raise ToolkitError(f"{path.name} cannot be encoded as a PNG of shape {view.shape}")
    path.write_bytes(data.tobytes())
