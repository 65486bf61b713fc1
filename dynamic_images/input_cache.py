"""Inputs on disk: each has a file and an entry in the record of its clip, and is made when it is missing or stale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.clip_input import ClipArtefacts, InputUse
from dynamic_images.encoding import view_of
from dynamic_images.inputs import INPUTS
from preprocessing.artefacts.clip_folder import ClipFolder, Entry, clip_folder
from preprocessing.artefacts.files import key_of, plain
from preprocessing.errors import ToolkitError
from preprocessing.workers import unordered


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
        on_clip: told each clip that had something to make.

    Raises:
        ToolkitError: a clip lacks a stage that an input stands on, or whose work it is.
    """
    todo = []
    for clip_id in clip_ids:
        folder = clip_folder(cache, clip_id)
        missing = tuple(one for one in uses if not _is_fresh(folder, clip_id, one))
        if missing:
            todo.append((folder, missing))
    for name in unordered(_make, todo, jobs):
        if on_clip:
            on_clip(name)


def input_path(folder: ClipFolder, one: InputUse) -> Path:
    """The file of an input in a clip's folder."""
    return folder / f"{one.label}.npy"


def made_inputs(folder: ClipFolder) -> list[InputUse]:
    """The inputs of a clip that have entries of their own and are fresh, in the order of the registry."""
    found = []
    for name in folder.record()["stages"]:
        prefix, _, label = name.partition(" ")
        known = INPUTS.get(label.partition("-")[0]) if prefix == "input" else None
        entry = folder.entry(name)
        if known is not None and entry is not None and set(entry.settings) == {f.name for f in fields(known.settings)}:
            one = InputUse(known, known.settings(**entry.settings))
            found += [one] if one.label == label and folder.fresh(name, _key(folder, one)) else []
    order = {name: i for i, name in enumerate(INPUTS)}
    return sorted(found, key=lambda one: (order[one.name], one.label))


def _is_fresh(folder: ClipFolder, clip_id: str, one: InputUse) -> bool:
    if one.input.make is None:
        if folder.entry(one.input.stage) is None or not input_path(folder, one).is_file():
            raise ToolkitError(
                f"{clip_id}: {one.label}.npy is missing in {folder.folder}: {one.input.title} is written by the stage "
                f"{one.input.stage!r} alone; run `mer dataset` again, if this data set has that stage"
            )
        return True
    return folder.fresh(_stage(one), _key(folder, one))


def _make(folder: ClipFolder, uses: Sequence[InputUse]) -> str:
    cv2.setNumThreads(1)  # parallelism is over clips
    artefacts = ClipArtefacts(folder)
    for one in uses:
        if one.input.make is None:
            continue
        entry = Entry(_key(folder, one), plain(one.settings))
        try:
            array = one.input.make(artefacts, one.settings)
        except (OSError, ValueError, EOFError) as error:
            raise ToolkitError(
                f"{folder.folder}: {one.input.title} cannot be made ({error}): build this clip again with `mer dataset`"
            ) from error
        with folder.writing(_stage(one), entry) as scratch:
            np.save(scratch / f"{one.label}.npy", array)
            if one.input.view is not None:
                _write_png(scratch / f"{one.label}.png", view_of(array, one.input.view))
    return folder.folder.name


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def _stage(one: InputUse) -> str:
    return f"input {one.label}"


def _key(folder: ClipFolder, one: InputUse) -> str:
    """Version and settings of the input, and the keys of the stages that it stands on."""
    below = {}
    for stage in one.input.stands_on:
        entry = folder.entry(stage)
        if entry is None:
            raise ToolkitError(f"{folder.folder}: {one.input.title} needs the stage {stage!r}, which this clip lacks")
        below[stage] = entry.key
    libraries = (np.__version__, cv2.__version__)
    return key_of("input", one.name, one.input.version, one.settings, below, libraries)
