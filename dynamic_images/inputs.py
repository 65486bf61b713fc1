"""Every input by name: how it is made from the finished stages of a clip, its title, unit, kind and picture.

The dynamic images TRDI and MIDI are written by the stage ``images`` itself, and two images by the stage of precomputed
images; every other input has a cache entry that is its alone (`dynamic_images.input_cache`), so that a new input makes
nothing else stale. A package adds inputs by the entry points ``mer.inputs``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamic_images import build, flow_maps, precomputed
from dynamic_images.clip_input import ClipArtefacts, ClipInput, InputUse, NoSettings
from dynamic_images.descriptors import DESCRIPTORS
from dynamic_images.encoding import VIEW_RANGE, median_centred
from dynamic_images.frames import grey_frames, sample_indices
from dynamic_images.rank_pooling import pool
from dynamic_images.region_inputs import MOTION
from dynamic_images.representations import REPRESENTATIONS
from preprocessing import optical_flow
from preprocessing.artefacts.plain import from_plain
from preprocessing.errors import UsageError
from preprocessing.registry import Registry


@dataclass(frozen=True)
class SampledFrames:
    """How many frames are sampled from onset to offset, both included."""

    count: int = 8

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"count is {self.count}, wanted at least 2: one frame shows no motion")


@dataclass(frozen=True)
class GridSettings:
    """Cells per side of the grid over which values are averaged."""

    grid: int = 6

    def __post_init__(self) -> None:
        if self.grid < 1:
            raise ValueError(f"grid is {self.grid}, wanted at least 1")


@dataclass(frozen=True)
class _Pooled:
    """Pools the frames of a clip by one of the named representations."""

    name: str

    def __call__(self, clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
        frames = build.in_steady_light(clip.crops, clip.landmarks) if clip.steady_light else clip.crops
        return pool(frames, REPRESENTATIONS[self.name](clip.motion)[None])[0]


@dataclass(frozen=True)
class _InFace:
    """An image or flow of a clip, weighted by how far each place lies inside the face."""

    name: str
    make: Callable[[ClipArtefacts, Any], NDArray[Any]] | None

    def __call__(self, clip: ClipArtefacts, settings: Any) -> NDArray[np.float32]:
        whole = clip.array(self.name) if self.make is None else self.make(clip, settings)
        weight = clip.face(*whole.shape[-3:-1])
        return np.asarray(whole * weight[..., None], np.float32)  # (..., H, W, C) * (H, W, 1)


@dataclass(frozen=True)
class _Zeroed:
    """An image of a clip that a stage wrote, each channel less its own median."""

    name: str

    def __call__(self, clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
        return median_centred(clip.array(self.name))


def _apex_flow(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
    return np.asarray(clip.flow[clip.apex], np.float32)


def _apex_strain(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
    return flow_maps.with_strain(_apex_flow(clip, settings))


def _phase_flow(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
    rising, last = _apex_flow(clip, settings), len(clip.crops) - 1
    if clip.apex == last:
        return np.stack([rising, np.zeros_like(rising)])
    frames = (clip.crops[t] for t in range(clip.apex, last + 1))
    return np.stack([rising, optical_flow.flow_to(frames, last - clip.apex, clip.flow_settings)])


def _frames(clip: ClipArtefacts, settings: SampledFrames) -> NDArray[np.float32]:
    indices = sample_indices(len(clip.crops), settings.count)
    return grey_frames(clip.crops, clip.landmarks, [int(t) for t in indices])[..., None]


def _key_frames(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
    return grey_frames(clip.crops, clip.landmarks, (0, clip.apex, len(clip.crops) - 1))[..., None]


def _flow_grid(clip: ClipArtefacts, settings: GridSettings) -> NDArray[np.float64]:
    return flow_maps.flow_statistics(clip.array("flow"), clip.apex, settings.grid)


def _two_phases(settings: NoSettings) -> tuple[int, ...]:
    return (2,)


def _three_frames(settings: NoSettings) -> tuple[int, ...]:
    return (3,)


def _frame_count(settings: SampledFrames) -> tuple[int, ...]:
    return (settings.count,)


def _flow_cells(settings: GridSettings) -> int:
    return 6 * settings.grid**2


def _stream_cells(settings: GridSettings) -> int:
    return 3 * len(precomputed.STREAMS) * settings.grid**2


def _stream_grid(clip: ClipArtefacts, settings: GridSettings) -> NDArray[np.float64]:
    images = [precomputed.at_least(clip.array(name), settings.grid) for name in precomputed.STREAMS]
    cells = [flow_maps.grid_means(image, settings.grid) for image in images]
    return np.concatenate([c.ravel() for c in cells]).astype(np.float64)


GREY = (VIEW_RANGE,) * 3
FLOW_VIEW, STRAIN_VIEW = 2.0, 0.1
UP, DOWN = "from onset to apex", "from apex to offset"
FACE = "_face"
"""End of the name of an input that is cut off outside the face."""
ZEROED = "_zeroed"
"""End of the name of an image whose channels have their median taken away."""


def face_only(one: ClipInput) -> ClipInput:
    """The same input of the face alone, called ``<name>_face``: 0 outside it, with a soft edge.

    A strain map is cut off after it was computed, so that the edge itself is no strain.

    Raises:
        ValueError: an input that is neither image nor flow, or is made of something else than a clip's face.
    """
    if one.kind not in ("image", "flow") or (one.make is None and one.stage != build.STAGE):
        raise ValueError(f"input {one.name} (kind {one.kind!r}) cannot be cut off outside the face")
    return dataclasses.replace(
        one,
        name=one.name + FACE,
        title=f"{one.title}, face only",
        about=f"{one.about} Outside the face it is 0.",
        make=_InFace(one.name, one.make),
        stage="",
        stands_on=tuple(dict.fromkeys(("faces", *(one.stands_on if one.make is not None else (one.stage,))))),
    )


def zeroed(one: ClipInput, stands_for: str = "") -> ClipInput:
    """The same image, called ``<name>_zeroed``, each channel less its median (see `median_centred`).

    Raises:
        ValueError: an input that no stage writes as an image.
    """
    if one.kind != "image" or one.make is not None:
        raise ValueError(f"input {one.name} (kind {one.kind!r}) is no image of a stage: it has no median to take off")
    return dataclasses.replace(
        one,
        name=one.name + ZEROED,
        title=f"{one.title} less its median",
        about=f"{one.about} The median of each channel is taken away.",
        make=_Zeroed(one.name),
        stage="",
        stands_on=(one.stage,),
        stands_for=stands_for,
    )


def _with_zeroed(*inputs: ClipInput, stands_for: Sequence[str] = ("", "")) -> tuple[ClipInput, ...]:
    """These images, and then each of them less its median."""
    return (*inputs, *(zeroed(one, other and other + ZEROED) for one, other in zip(inputs, stands_for, strict=True)))


def _with_faces(*inputs: ClipInput) -> tuple[ClipInput, ...]:
    """These inputs, and then each of the face alone."""
    return (*inputs, *map(face_only, inputs))


_DYNAMIC_IMAGES = tuple(
    ClipInput(
        name=name, title=title, about=about, unit="grey levels", kind="image", channels=3, stage=build.STAGE, view=GREY
    )
    for name, title, about in (
        ("temporal_ranked", "TRDI", "Temporal-ranked dynamic image: the frames pooled in time order."),
        ("motion_intensity", "MIDI", "Motion-intensity dynamic image: the frames pooled in order of motion."),
    )
)

INPUTS: Registry[ClipInput] = Registry(
    "mer.inputs",
    "input",
    {
        one.name: one
        for one in (
            *_with_faces(
                *_DYNAMIC_IMAGES,
                *(
                    ClipInput(
                        name=name,
                        title=title,
                        about=about,
                        unit="grey levels",
                        kind="image",
                        channels=3,
                        make=_Pooled(name),
                        view=GREY,
                    )
                    for name, title, about in (
                        ("onset_to_apex", "rising dynamic image", f"The frames {UP}, pooled in time order."),
                        ("apex_to_offset", "falling dynamic image", f"The frames {DOWN}, pooled in time order."),
                        ("apex_centred", "apex-centred dynamic image", "The frames pooled, most weight at the apex."),
                    )
                ),
                ClipInput(
                    name="apex_flow",
                    title="flow at the apex",
                    about=f"How far the skin has moved {UP}: u to the right, v down.",
                    unit="px of the crop",
                    kind="flow",
                    channels=2,
                    make=_apex_flow,
                    view=(FLOW_VIEW, FLOW_VIEW),
                ),
                ClipInput(
                    name="apex_strain",
                    title="u, v and strain at the apex",
                    about=f"Flow {UP} and its optical strain, as three channels.",
                    unit="px of the crop; strain px per px",
                    kind="flow",
                    channels=3,
                    make=_apex_strain,
                    view=(FLOW_VIEW, FLOW_VIEW, STRAIN_VIEW),
                ),
                ClipInput(
                    name="phase_flow",
                    title="phase-wise flow",
                    about=f"Flow {UP} and flow {DOWN}, one after the other.",
                    unit="px of the crop",
                    kind="flow",
                    channels=2,
                    make=_phase_flow,
                    lead=_two_phases,
                    view=(FLOW_VIEW, FLOW_VIEW),
                ),
            ),
            *map(zeroed, _DYNAMIC_IMAGES),
            ClipInput(
                name="frames",
                title="frames",
                about="Grey frames, spread evenly from onset to offset.",
                unit="grey levels as recorded",
                kind="frames",
                channels=1,
                make=_frames,
                stands_on=("faces",),
                settings=SampledFrames,
                lead=_frame_count,
            ),
            ClipInput(
                name="key_frames",
                title="key frames",
                about="Grey frames at onset, apex and offset.",
                unit="grey levels as recorded",
                kind="frames",
                channels=1,
                make=_key_frames,
                lead=_three_frames,
            ),
            ClipInput(
                name="flow_grid",
                title="flow statistics",
                about="Mean u, v and magnitude in the cells of a grid, at the apex and over time.",
                unit="px of the crop",
                kind="features",
                channels=_flow_cells,
                make=_flow_grid,
                settings=GridSettings,
            ),
            *_with_zeroed(
                *(
                    ClipInput(
                        name=name,
                        title=name.replace("_", " "),
                        about="A precomputed image as it came, made square, with three channels.",
                        unit="units of the file",
                        kind="image",
                        channels=3,
                        stage=precomputed.STAGE,
                    )
                    for name in precomputed.STREAMS
                ),
                stands_for=build.IMAGES,
            ),
            ClipInput(
                name="stream_grid",
                title="coarse images",
                about="Mean of every channel of the precomputed images in the cells of a grid.",
                unit="units of the file",
                kind="features",
                channels=_stream_cells,
                make=_stream_grid,
                stands_on=(precomputed.STAGE,),
                settings=GridSettings,
                stands_for="flow_grid",
            ),
            MOTION,
            *DESCRIPTORS,
        )
    },
)


def use(name: str, **settings: Any) -> InputUse:
    """The input of that name under these settings.

    Raises:
        UsageError: there is no such input, or it has no such setting or not with that value.
    """
    found = INPUTS.find(name)
    known = {f.name for f in dataclasses.fields(found.settings)}
    for key in settings:
        if key not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise UsageError(f"input {name} has no setting {key!r}: {has}")
    return InputUse(found, from_plain(found.settings, settings, f"input {name}"))


def recorded_use(given: Mapping[str, Any]) -> InputUse:
    """The use of an input that `InputUse.plain` wrote down.

    Raises:
        UsageError: there is no such input.
        ValueError: it has other settings in this version.
    """
    found = INPUTS.find(str(given["name"]))
    return InputUse(found, from_plain(found.settings, given["settings"], f"input {found.name}", complete=True))
