"""The noun *input*: what a model takes in of a clip, with its kind, shape and unit, and how a model uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dynamic_images import build
from dynamic_images.face_mask import face_weight
from dynamic_images.representations import Motion
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, FLOW, Frames
from preprocessing.errors import ToolkitError
from preprocessing.optical_flow import FlowSettings

Kind = Literal["image", "flow", "frames", "series", "features"]
"""What a mirror, a warp, a scale, a picture and an exported file must know of an input:

- ``image``: (H, W, C), values that stay themselves when the picture moves; 0 is "nothing moved";
- ``flow``: (..., H, W, C), channels 0 and 1 are a vector (u, v) that turns with the picture, further ones are numbers;
- ``frames``: (T, H, W, C), grey levels, of which only the difference from the clip's mean frame is motion;
- ``series``: (T, C), numbers over time without a place in the picture;
- ``features``: (C,), numbers without place or time.
"""
PLANAR: tuple[Kind, ...] = ("image", "flow", "frames")
"""Kinds that are pictures: they have a height and a width, can be resized, mirrored and warped."""


@dataclass(frozen=True)
class NoSettings:
    """For inputs that leave nothing to choose."""


def _no_lead(settings: Any) -> tuple[int, ...]:
    return ()


@dataclass(frozen=True)
class ClipArtefacts:
    """The finished stages of one clip, read when asked for."""

    folder: ClipFolder

    def array(self, name: str) -> NDArray[Any]:
        """The array ``<name>.npy`` of the clip's folder."""
        return self.folder.load(f"{name}.npy")

    @cached_property
    def crops(self) -> Frames:
        """(T, S, S, 3) uint8, aligned, one frame at a time; frame 0 is the onset."""
        return self.folder.frames(CROPS)

    @cached_property
    def flow(self) -> Frames:
        """(T, S/2, S/2, 2) float16, onset → t, px of the crop."""
        return self.folder.frames(FLOW)

    @cached_property
    def landmarks(self) -> NDArray[np.float32]:
        """(68, 2) px of the crop."""
        return self.array("landmarks")

    def face(self, height: int, width: int) -> NDArray[np.float32]:
        """(height, width) how far each place of a picture of the crop lies inside the face, see `face_weight`."""
        side = int(self._entry("faces").settings["size"])
        return face_weight(self.landmarks, (height, width), (side, side))

    @cached_property
    def apex(self) -> int:
        """Frame of the apex, annotated or estimated."""
        return int(self._entry(build.STAGE).result["apex_index"])

    @cached_property
    def motion(self) -> Motion:
        """Intensity of each frame, apex and pooling rules, as the stage ``images`` used them."""
        settings = self._entry(build.STAGE).settings
        names = ("weights", "intensity_weights", "order", "span")
        return Motion(self.array("intensity"), self.apex, **{name: settings[name] for name in names})

    @property
    def steady_light(self) -> bool:
        """Whether the clip's dynamic images are pooled from frames of equal brightness."""
        return bool(self._entry(build.STAGE).settings["steady_light"])

    @property
    def flow_settings(self) -> FlowSettings:
        """How the cached flow was measured."""
        return FlowSettings(**self._entry("flow").settings)

    def _entry(self, stage: str) -> Entry:
        entry = finished(self.folder, stage)
        if entry is None:
            raise ToolkitError(f"{self.folder.folder} has no finished stage {stage}: run `mer dataset` first")
        return entry


def finished(folder: ClipFolder, stage: str) -> Entry | None:
    """What a stage recorded; None if it was not done, or was interrupted and so has no key."""
    entry = folder.entry(stage)
    return entry if entry is not None and entry.key else None


@dataclass(frozen=True)
class ClipInput:
    """One thing that can be asked of a clip.

    Attributes:
        name: in settings, files and tensors.
        title: for people.
        about: what it shows, in one sentence.
        unit: of its values.
        kind: see `Kind`.
        channels: C, or settings → C.
        make: (artefacts, settings) → array of the kind's shape, float32 (features float64). None for an input that a
            stage writes.
        stage: the stage that writes it, where ``make`` is None.
        stands_on: stages whose results ``make`` uses; when one of them changes, the input is made again.
        settings: dataclass of what can be chosen.
        lead: settings → lengths of the axes before H, W, C: (T,) of frames, () of one image.
        version: raise it when ``make`` gives other values.
        view: the value at the white end of its picture (black is the negative), see `dynamic_images.encoding.view_of`;
            None where there is no picture.
        stands_for: name of the input that it takes the place of where clips have this one's stages and not that one's;
            see `dynamic_images.input_cache.fitting_inputs`.
    """

    name: str
    title: str
    about: str
    unit: str
    kind: Kind
    channels: int | Callable[[Any], int]
    make: Callable[[ClipArtefacts, Any], NDArray[Any]] | None = None
    stage: str = ""
    stands_on: tuple[str, ...] = (build.STAGE,)
    settings: type[Any] = NoSettings
    lead: Callable[[Any], tuple[int, ...]] = _no_lead
    version: int = 1
    view: tuple[float, ...] | None = None
    stands_for: str = ""


@dataclass(frozen=True)
class InputUse:
    """An input under settings, as a model uses it. It carries the input itself, so that worker processes need no
    registry.
    """

    input: ClipInput
    settings: Any = field(default_factory=NoSettings)

    @property
    def name(self) -> str:
        """Name of the input."""
        return self.input.name

    @property
    def kind(self) -> Kind:
        """Kind of the input."""
        return self.input.kind

    @property
    def channels(self) -> int:
        """C."""
        found = self.input.channels
        return found if isinstance(found, int) else found(self.settings)

    @property
    def lead(self) -> tuple[int, ...]:
        """Lengths of the axes before the channels."""
        return self.input.lead(self.settings)

    @property
    def label(self) -> str:
        """Stem of its file: the name, and a mark of the settings where they are not the default ones."""
        if self.settings == self.input.settings():
            return self.name
        return f"{self.name}-{key_of(self.settings)[:8]}"

    def shape(self, size: int) -> tuple[int, ...]:
        """Shape of one clip's tensor when pictures are ``size`` px wide: (..., C, H, W), or (..., C)."""
        end = (size, size) if self.kind in PLANAR else ()
        return (*self.lead, self.channels, *end)

    def plain(self) -> dict[str, Any]:
        """Name and settings as JSON holds them; see `dynamic_images.inputs.recorded_use`."""
        return {"name": self.name, "settings": plain(self.settings)}
