"""Run all clips of a data set through all offline stages, in parallel, and write one manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.build import IMAGES, STAGE, ImageSettings, build_images, images_key
from dynamic_images.input_cache import build_inputs, input_path
from dynamic_images.inputs import use
from preprocessing.artefacts.built import Built, collect
from preprocessing.artefacts.clip_folder import ClipFolder, Damage, clip_folder
from preprocessing.artefacts.plain import from_plain
from preprocessing.artefacts.record import RECORD
from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError, DamagedArtefactError, ToolkitError, faults_rejected
from preprocessing.faces.landmarks import Landmarker
from preprocessing.optical_flow import FlowSettings, check_optflow
from preprocessing.pipeline import ClipKeys, FaceSettings, clip_keys, describe, process_clip, rejection_of
from preprocessing.workers import unordered

ATTEMPTS = 4
"""A clip is tried so often: each of its three stages may be found damaged when the next stands on it."""


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


STAGES = tuple(one.name for one in fields(StageSettings))


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


def check_alike(root: Path, clip_ids: Sequence[str]) -> None:
    """Refuse clips of one data set that were not all made under the same settings, as while a command changes them.

    Raises:
        ToolkitError: naming two of them.
    """
    first: dict[str, tuple[str, Any]] = {}
    for clip_id in clip_ids:
        folder = clip_folder(root, clip_id)
        found = [None if (entry := folder.entry(name)) is None else entry.settings for name in STAGES]
        other, wanted = first.setdefault(clip_id.split("/", 1)[0], (clip_id, found))
        if found != wanted:
            raise ToolkitError(
                f"{clip_id} was not made under the same settings as {other}: run `mer dataset {root.name}` again, or "
                "wait until the command that changes them has ended"
            )


def build_dataset(
    clips: Sequence[Clip],
    root: Path,
    settings: StageSettings,
    jobs: int = 1,
    on_clip: Callable[[dict[str, Any]], None] | None = None,
    verify: bool = False,
    on_mended: Callable[[str, Sequence[Damage]], None] | None = None,
) -> Path:
    """Bring the artefacts of all clips below ``root`` (``cache/<dataset>``) up to date.

    Stages that are fresh are left alone, so a second call does only what changed, and an interrupted one goes on. A
    stage with a damaged file is made again. Several processes may do this at once with the same settings: they wait for
    each other at each clip and find it done.

    Args:
        clips: in the order of the manifest.
        root: the data set's cache folder; created.
        settings: of the stages.
        jobs: processes; any number gives the same bytes.
        on_clip: told each manifest row as it is finished, in any order.
        verify: compare every byte of every artefact with its record, not only of those that were touched.
        on_mended: told each clip that had damaged files, and which.

    Returns:
        Path of ``manifest.csv``, which is written when every clip has its row.

    Raises:
        FolderInUseError: a clip, or the manifest, was held by another process for too long.
        ToolkitError: another process made clips again under other settings meanwhile.
    """
    check_optflow()
    settings.faces.landmarker()  # what is not installed is told now, not once per clip
    found = unordered(build, [(clip, root, settings, verify) for clip in clips], jobs)
    return collect(found, root, [clip.clip_id for clip in clips], on_clip, on_mended)


def build_clip(clip: Clip, root: Path, settings: StageSettings) -> dict[str, Any]:
    """One clip through all stages; its manifest row, whatever became of it."""
    return build(clip, root, settings).row


def build(clip: Clip, root: Path, settings: StageSettings, verify: bool = False) -> Built:
    """The same, with what else is to be known: see `Built`. ``verify`` as in `build_dataset`.

    A clip whose stages are all fresh is only read. Otherwise it is locked until all of them are. One that brings out an
    error nobody foresaw is rejected as ``unexpected``; nothing is recorded of it, so that it is tried again next time.

    Raises:
        DamagedArtefactError: a file is damaged again as soon as it is written.
    """
    cv2.setNumThreads(1)  # parallelism is over clips
    folder = clip_folder(root, clip.clip_id)
    try:
        with faults_rejected():
            return _build(clip, folder, settings, verify)
    except ClipRejectedError as error:
        if folder.folder.is_dir():
            folder.clear()
        return Built(_rejected(clip, error), STAGES, folder.state(STAGES))


def _build(clip: Clip, folder: ClipFolder, settings: StageSettings, verify: bool) -> Built:
    try:
        keys = clip_keys(clip, settings.faces, settings.flow)
    except ClipRejectedError as error:
        return Built(_rejected(clip, error), STAGES, folder.state(STAGES))
    apex = None if clip.apex is None else clip.apex - clip.onset
    images = images_key(settings.images, keys.flow, apex, settings.flow)
    if not folder.damage(verify) and _is_done(folder, keys, images):
        with suppress(DamagedArtefactError):
            return Built(_row(clip, folder), STAGES, folder.state(STAGES))
    mended: list[Damage] = []
    with folder.locked():
        damage = folder.damage(verify)
        for attempt in range(ATTEMPTS):
            folder.discard(*{one.stage for one in damage})
            mended += damage
            try:
                _make(clip, folder, settings, keys)
                row = _row(clip, folder)
                break
            except DamagedArtefactError as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                stages = [error.stage] if error.stage else list(folder.record()["stages"])
                damage = [Damage(stage, error.file) for stage in stages]
        return Built(row, STAGES, folder.state(STAGES), tuple(dict.fromkeys(mended)))


def _is_done(folder: ClipFolder, keys: ClipKeys, images: str) -> bool:
    if not folder.fresh("faces", keys.faces):
        return False
    return rejection_of(folder) is not None or (folder.fresh("flow", keys.flow) and folder.fresh(STAGE, images))


def _make(clip: Clip, folder: ClipFolder, settings: StageSettings, keys: ClipKeys) -> None:
    with suppress(ClipRejectedError):  # it is in the record
        key = process_clip(clip, folder, settings.faces, settings.flow, _landmarker(settings.faces), keys)
        apex = None if clip.apex is None else clip.apex - clip.onset
        build_images(folder, settings.images, key, apex, settings.flow)


def _row(clip: Clip, folder: ClipFolder) -> dict[str, Any]:
    """The manifest row of a clip whose stages are done, from its record."""
    rejection = rejection_of(folder)
    if rejection is not None:
        return _rejected(clip, rejection)
    stages = ("faces", "flow", STAGE)
    faces, flow, images = (dict(entry.result) if (entry := folder.entry(stage)) else {} for stage in stages)
    row, facts = _facts(clip)
    facts["onset"] = clip.onset + _count(folder, "faces", faces, "blank_start_frames")
    facts["offset"] = facts["onset"] + _count(folder, "faces", faces, "n_frames") - 1
    facts["apex"] = facts["onset"] + _count(folder, STAGE, images, "apex_index")
    if clip.apex is not None:
        images["apex_source"] = clip.apex_source
    return (
        row
        | {"status": "ok", "code": "", "reason": ""}
        | facts
        | faces
        | dict(sorted(flow.items()))
        | dict(sorted(images.items()))
    )


def _rejected(clip: Clip, error: ClipRejectedError) -> dict[str, Any]:
    row, facts = _facts(clip)
    return row | {"status": "rejected", "code": error.code, "reason": error.reason} | facts


def _facts(clip: Clip) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a manifest row begins with, and what else is known of a clip without its frames."""
    facts = describe(clip) | {"action_units": "+".join(clip.action_units)}
    facts |= {} if clip.split is None else {"split": clip.split}
    return {name: facts.pop(name) for name in ("clip_id", "subject", "emotion")}, facts


def _count(folder: ClipFolder, stage: str, result: Mapping[str, Any], name: str) -> int:
    value = result.get(name)
    if type(value) is not int:
        raise DamagedArtefactError(folder.folder, RECORD, stage, f"does not hold {name}")
    return value


def clip_images(
    clip: Clip, cache: Path | str, settings: StageSettings | None = None, inputs: Sequence[str] = IMAGES
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
    return {one.name: folder.load(input_path(folder, one).name) for one in uses}


@cache
def _landmarker(faces: FaceSettings) -> Landmarker:
    """One per process and settings."""
    return faces.landmarker()
