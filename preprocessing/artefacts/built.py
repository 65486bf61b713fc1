"""From clips that were built one by one, perhaps beside other processes, to a manifest that speaks of what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.artefacts.clip_folder import Damage, clip_folder
from preprocessing.artefacts.files import remove_leftovers
from preprocessing.artefacts.locks import locked
from preprocessing.artefacts.manifest import write_manifest
from preprocessing.errors import ToolkitError

MANIFEST_WAIT = 60.0  # seconds


class Built(NamedTuple):
    """What became of a clip.

    Attributes:
        row: of the manifest.
        stages: that the row speaks of; entries of others may change while the rest is built.
        state: of these stages then, see `ClipFolder.state`.
        mended: damaged files that were found and made again.
    """

    row: dict[str, Any]
    stages: tuple[str, ...]
    state: str
    mended: tuple[Damage, ...] = ()


def collect(
    found: Iterable[Built],
    root: Path,
    order: Sequence[str],
    on_clip: Callable[[dict[str, Any]], None] | None = None,
    on_mended: Callable[[str, Sequence[Damage]], None] | None = None,
) -> Path:
    """Write the manifest of ``root`` when all clips are built; returns its path.

    Args:
        found: the clips, in any order, as they are finished.
        root: the cache folder.
        order: clip ids in the order of the manifest.
        on_clip: told the row of each clip.
        on_mended: told each clip that had damaged files, and which.

    Raises:
        ToolkitError: another process made clips again under other settings meanwhile.
        FolderInUseError: another process has been writing the manifest for `MANIFEST_WAIT` seconds.
    """
    built: dict[str, Built] = {}
    for one in found:
        clip_id = one.row["clip_id"]
        built[clip_id] = one
        if one.mended and on_mended:
            on_mended(clip_id, one.mended)
        if on_clip:
            on_clip(one.row)
    with locked(root, "writing the manifest", MANIFEST_WAIT):
        remove_leftovers(root)
        changed = [
            clip_id for clip_id, one in built.items() if clip_folder(root, clip_id).state(one.stages) != one.state
        ]
        if changed:
            others = f" and {len(changed) - 1} more clips" if len(changed) > 1 else ""
            raise ToolkitError(
                f"{changed[0]}{others} in {root} were made again by another process under other settings: no manifest "
                "is written; run this command again when the other has ended, or give each its own --cache"
            )
        return write_manifest(root, [built[clip_id].row for clip_id in order])
