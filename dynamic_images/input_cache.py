"""Inputs on disk: each has a file and an entry in the record of its clip, and is made when it is missing or stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.clip_input import ClipArtefacts, ClipInput, InputUse, finished
from dynamic_images.encoding import view_of
from dynamic_images.inputs import INPUTS, recorded_use
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.errors import NotOfferedError, ToolkitError
from preprocessing.workers import unordered

PREFIX = "input "
"""Of the entries of inputs in the record of a clip."""


def build_inputs(
    cache: Path,
    clip_ids: Sequence[str],
    uses: Sequence[InputUse],
    jobs: int = 1,
    on_clip: Callable[[str], None] | None = None,
) -> None:
    """Make the inputs of these clips that are missing or stale; what is fresh stays.

    Args:
        cache: ``cache/<dataset>``.
        clip_ids: usable clips.
        uses: which inputs.
        jobs: processes; any number gives the same bytes.
        on_clip: told the id of each clip that had something to make.

    Raises:
        ToolkitError: a clip lacks a stage that an input stands on, or whose work it is.
    """
    todo = []
    for clip_id in clip_ids:
        folder = clip_folder(cache, clip_id)
        folder.discard(*{one.stage for one in folder.damage() if one.stage.startswith(PREFIX)})
        missing = tuple(one for one in uses if not _is_fresh(folder, clip_id, one))
        if missing:
            todo.append((folder, clip_id, missing))
    for clip_id in unordered(_make, todo, jobs):
        if on_clip:
            on_clip(clip_id)


def fitting_inputs(cache: Path, clip_id: str, uses: Sequence[InputUse]) -> tuple[InputUse, ...]:
    """The inputs that clips of this data set have in the place of those that are wanted.

    An input whose stages the clip has stays. Another one is replaced by the input that stands for it, or, in order, by
    what the clip's own stages write of the same kind: a network of two dynamic images gets the two images of a data set
    of precomputed images. A single flow map is replaced by an image, as which the maps of such data sets are read.
    Features are replaced by those that stand for them alone: others measure something else.

    Args:
        cache: ``cache/<dataset>``.
        clip_id: a usable clip.
        uses: what is wanted.

    Raises:
        NotOfferedError: the clip has nothing of that kind.
    """
    stages = set(clip_folder(cache, clip_id).record()["stages"])
    if all(_needed(one.input) <= stages for one in uses):
        return tuple(uses)
    offered = [InputUse(i, i.settings()) for i in INPUTS.values() if _needed(i) <= stages]
    found: list[InputUse] = []
    for one in uses:
        alike = (one.kind, "image") if one.kind == "flow" and not one.lead else (one.kind,)
        same = [o for o in offered if o.kind in alike and o.input.make is None]
        left = [o for o in same if o.name not in {f.name for f in found}]
        left = [o for o in offered if o.input.stands_for == one.name] or left
        if _needed(one.input) <= stages:
            found.append(one)
        elif left:
            found.append(left[0])
        else:
            has = ", ".join(o.input.title for o in offered) or "nothing"
            raise NotOfferedError(f"{one.input.title} cannot be had of {clip_id.split('/')[0]}: its clips offer {has}")
    return tuple(found)


def _needed(one: ClipInput) -> set[str]:
    return {one.stage} if one.make is None else set(one.stands_on)


def input_path(folder: ClipFolder, one: InputUse) -> Path:
    """The file of an input in a clip's folder."""
    return folder / f"{one.label}.npy"


def recorded_digests(cache: Path, clip_ids: Sequence[str], uses: Sequence[InputUse]) -> dict[str, dict[str, str]]:
    """File of each input → clip id → digest in the clip's record: by them it is known later what was read."""
    return {
        name: {clip_id: clip_folder(cache, clip_id).recorded(name) for clip_id in clip_ids}
        for name in dict.fromkeys(f"{one.label}.npy" for one in uses)
    }


def changed_clips(cache: Path, origins: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Clips whose inputs in the cache are no longer those of `recorded_digests`: made again otherwise, or gone."""
    found = [
        clip_id
        for name, digests in origins.items()
        for clip_id, digest in digests.items()
        if clip_folder(cache, clip_id).recorded(name) != digest
    ]
    return list(dict.fromkeys(found))


def made_inputs(folder: ClipFolder) -> list[InputUse]:
    """The inputs of a clip that have entries of their own and are fresh, in the order of the registry."""
    recorded = (_recorded(folder, name) for name in folder.record()["stages"])
    found = [one for one in recorded if one is not None and folder.fresh(_stage(one), _key(folder, one))]
    order = {name: i for i, name in enumerate(INPUTS)}
    return sorted(found, key=lambda one: (order[one.name], one.label))


def _recorded(folder: ClipFolder, name: str) -> InputUse | None:
    """The input under settings that an entry of the record is of; None if this version has no such input."""
    prefix, _, label = name.partition(" ")
    known = INPUTS.get(label.partition("-")[0]) if prefix == "input" else None
    entry = finished(folder, name)
    if known is None or entry is None or any(finished(folder, stage) is None for stage in known.stands_on):
        return None
    try:
        one = recorded_use({"name": known.name, "settings": entry.settings})
    except ValueError:
        return None
    return one if one.label == label else None


def _is_fresh(folder: ClipFolder, clip_id: str, one: InputUse) -> bool:
    if one.input.make is None:
        if finished(folder, one.input.stage) is None or not input_path(folder, one).is_file():
            raise ToolkitError(
                f"{clip_id}: {one.label}.npy is missing in {folder.folder}: {one.input.title} is written by the stage "
                f"{one.input.stage!r} alone; run `mer dataset` again, if this data set has that stage"
            )
        return True
    return folder.fresh(_stage(one), _key(folder, one))


def _make(folder: ClipFolder, clip_id: str, uses: Sequence[InputUse]) -> str:
    cv2.setNumThreads(1)  # parallelism is over clips
    with folder.locked():
        _make_each(folder, clip_id, uses)
    return clip_id


def _make_each(folder: ClipFolder, clip_id: str, uses: Sequence[InputUse]) -> None:
    artefacts = ClipArtefacts(folder)
    for one in uses:
        if one.input.make is None or _is_fresh(folder, clip_id, one):  # by another process meanwhile
            continue
        entry = Entry(_key(folder, one), plain(one.settings))
        try:
            array = one.input.make(artefacts, one.settings)
        except (OSError, ValueError, IndexError, EOFError) as error:
            raise ToolkitError(
                f"{clip_id}: {one.input.title} cannot be made ({error}): build this clip again with `mer dataset`"
            ) from error
        with folder.writing(_stage(one), entry) as scratch:
            np.save(scratch / f"{one.label}.npy", array)
            if one.input.view is not None:
                _write_png(scratch / f"{one.label}.png", view_of(array, one.input.view))


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def _stage(one: InputUse) -> str:
    return f"{PREFIX}{one.label}"


def _key(folder: ClipFolder, one: InputUse) -> str:
    """Version and settings of the input, and the keys of the stages that it stands on."""
    below = {}
    for stage in one.input.stands_on:
        entry = finished(folder, stage)
        if entry is None:
            raise ToolkitError(
                f"{folder.folder}: {one.input.title} needs the stage {stage!r}, which this clip lacks: "
                "run `mer dataset` again, if this data set has that stage"
            )
        below[stage] = entry.key
    libraries = (np.__version__, cv2.__version__)
    return key_of("input", one.name, one.input.version, one.settings, below, libraries)
