"""How each kind of data set is built: clips with frames go through three stages, precomputed images through one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamic_images.build import ImageSettings
from dynamic_images.pipeline import StageSettings, build_dataset
from dynamic_images.precomputed import StreamSettings, build_streams
from preprocessing.artefacts.clip_folder import Damage
from preprocessing.clips import Clip
from preprocessing.datasets.streams import StreamClip
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings

OnClip = Callable[[dict[str, Any]], None]
OnMended = Callable[[str, Sequence[Damage]], None]

SECTIONS: Mapping[str, type[Any]] = {
    "faces": FaceSettings,
    "flow": FlowSettings,
    "images": ImageSettings,
    "streams": StreamSettings,
}
"""Sections of the settings that decide how artefacts are made."""


def stage_settings(sections: Mapping[str, Any]) -> StageSettings:
    """Settings of the stages of clips with frames."""
    return StageSettings(sections["faces"], sections["flow"], sections["images"])


def build_artefacts(
    clips: Sequence[Clip] | Sequence[StreamClip],
    cache: Path,
    sections: Mapping[str, Any],
    jobs: int = 1,
    on_clip: OnClip | None = None,
    verify: bool = False,
    on_mended: OnMended | None = None,
) -> Path:
    """Bring the artefacts of a data set's clips up to date, whatever kind they are of; the manifest's path.

    Args:
        clips: all of one kind.
        cache: ``cache/<dataset>``.
        sections: settings by the names of `SECTIONS`.
        jobs: processes; any number gives the same bytes.
        on_clip: told each manifest row as it is finished, in any order.
        verify: compare every byte of every artefact with its record, not only of those that were touched.
        on_mended: told each clip that had damaged files, and which.
    """
    images = [clip for clip in clips if isinstance(clip, StreamClip)]
    if images:
        return build_streams(images, cache, sections["streams"], jobs, on_clip, verify, on_mended)
    framed = [clip for clip in clips if isinstance(clip, Clip)]
    return build_dataset(framed, cache, stage_settings(sections), jobs, on_clip, verify, on_mended)


def may_mirror(has_frames: bool, sections: Mapping[str, Any]) -> bool:
    """Whether a mirrored input is the input of a mirrored face: of images that were made elsewhere only if told so."""
    return has_frames or bool(sections["streams"].mirror)
