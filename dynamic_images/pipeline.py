"""Run all clips of a data set through all offline stages, in parallel, and write one manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images import build
from dynamic_images.build import ImageSettings, build_images
from dynamic_images.input_cache import build_inputs, input_path
from dynamic_images.inputs import use
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import write_manifest
from preprocessing.artefacts.plain import from_plain
from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError, ToolkitError
from preprocessing.faces.landmarks import Landmarker
from preprocessing.optical_flow import FlowSettings, check_optflow
from preprocessing.pipeline import FaceSettings, describe, process_clip
from preprocessing.workers import unordered


@dataclass(frozen=True)
class StageSettings:
    """Settings of the three offline stages."""

    faces: FaceSettings = field(default_factory=FaceSettings)
    flow: FlowSettings = field(default_factory=FlowSettings)
    images: ImageSettings = field(default_factory=ImageSettings)

    @classmethod
    def of(cls, given: Mapping[str, Mapping[str, Any]]) -> StageSettings:
        """From plain values, as records and model files hold them.

        Raises:
            ValueError: a setting that this version does not know, lacks, or does not take.
        """
        kinds = get_type_hints(cls)
        return cls(**{name: from_plain(kind, given.get(name, {}), name, True) for name, kind in kinds.items()})


def recorded_stages(root: Path, clip_ids: Sequence[str]) -> StageSettings:
    """The settings under which the artefacts of these clips were made, from their records.

    Raises:
        ToolkitError: a clip has no record of a stage, or another one's settings.
    """
    first: dict[str, Any] = {}
    for clip_id in clip_ids:
        folder = clip_folder(root, clip_id)
        entries = {f.name: folder.entry(f.name) for f in fields(StageSettings)}
        found = {name: entry.settings for name, entry in entries.items() if entry is not None}
        first = first or found
        if len(found) < len(entries) or found != first:
            raise ToolkitError(
                f"{clip_id} was not made under the same settings as {clip_ids[0]}: run `mer dataset {root.name}` again"
            )
    try:
        return StageSettings.of(first)
    except ValueError as error:
        raise ToolkitError(f"{root} was made by another version ({error}): run `mer dataset {root.name}`") from error


def build_dataset(
    clips: Sequence[Clip],
    root: Path,
    settings: StageSettings,
    jobs: int = 1,
    on_clip: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Bring the artefacts of all clips below ``root`` (``cache/<dataset>``) up to date.

    Stages that are fresh are left alone, so a second call does only what changed, and an interrupted one goes on.

    Args:
        clips: in the order of the manifest.
        root: the data set's cache folder; created.
        settings: of the stages.
        jobs: processes; any number gives the same bytes.
        on_clip: told each manifest row as it is finished, in any order.

    Returns:
        Path of ``manifest.csv``, which is written when every clip has its row.
    """
    check_optflow()
    settings.faces.landmarker()  # what is not installed is told now, not once per clip
    rows: dict[str, dict[str, Any]] = {}
    for row in unordered(build_clip, [(clip, root, settings) for clip in clips], jobs):
        rows[row["clip_id"]] = row
        if on_clip:
            on_clip(row)
    return write_manifest(root, [rows[clip.clip_id] for clip in clips])


def build_clip(clip: Clip, root: Path, settings: StageSettings) -> dict[str, Any]:
    """One clip through all stages; its manifest row, whatever became of it."""
    cv2.setNumThreads(1)  # parallelism is over clips
    folder = clip_folder(root, clip.clip_id)
    facts = describe(clip) | {"action_units": "+".join(clip.action_units)}
    row = {name: facts.pop(name) for name in ("clip_id", "subject", "emotion")}
    try:
        key = process_clip(clip, folder, settings.faces, settings.flow, _landmarker(settings.faces))
    except ClipRejectedError as error:
        return row | {"status": "rejected", "code": error.code, "reason": error.reason} | facts
    apex = None if clip.apex is None else clip.apex - clip.onset
    images = build_images(folder, settings.images, key, apex, settings.flow)
    images = dict(sorted(images.items()))  # fresh as from the record: the manifest's columns stay in place
    entry = folder.entry("faces")
    quality = {} if entry is None else dict(entry.result)
    facts["onset"] = clip.onset + quality["blank_start_frames"]
    facts["offset"] = facts["onset"] + quality["n_frames"] - 1
    facts["apex"] = facts["onset"] + images["apex_index"]
    if apex is not None:
        images["apex_source"] = clip.apex_source
    return row | {"status": "ok", "code": "", "reason": ""} | facts | quality | images


def clip_images(
    clip: Clip, cache: Path | str, settings: StageSettings | None = None, inputs: Sequence[str] = build.IMAGES
) -> dict[str, NDArray[np.float32]]:
    """One clip to its dynamic images, through all stages.

    Args:
        clip: from an adapter, or made by hand over a `FrameSource`.
        cache: a folder for its artefacts (crops, flow, intensity curve, …); what is fresh in it is reused.
        settings: of the stages.
        inputs: names in `dynamic_images.inputs.INPUTS`; by default the two dynamic images, each (S, S, 3) float32,
            signed, grey levels.

    Returns:
        Input → array.

    Raises:
        ClipRejectedError: the clip cannot be used; the message says why.
    """
    settings = settings or StageSettings()
    row = build_clip(clip, Path(cache), settings)
    if row["status"] != "ok":
        raise ClipRejectedError(row["code"], f"{clip.clip_id}: {row['reason']}")
    uses = [use(name) for name in inputs]
    build_inputs(Path(cache), [clip.clip_id], uses)
    folder = clip_folder(Path(cache), clip.clip_id)
    return {one.name: np.load(input_path(folder, one)) for one in uses}


@cache
def _landmarker(faces: FaceSettings) -> Landmarker:
    """One per process and settings."""
    return faces.landmarker()
