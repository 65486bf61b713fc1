"""From files to aligned faces and optical flow.

Public here: a data set is opened with `open_dataset`, and one of yours becomes `Clip` objects over `image_sequence` or
`VideoFile`; what the offline stages left of a clip is read back with `clip_folder` and `read_manifest`::

    clips = open_dataset("synthetic", Path("data/synthetic"))
    crops = clip_folder(Path("cache/synthetic"), clips[0].clip_id).frames("crops.mkv")  # (T, S, S, 3) uint8
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing.artefacts.clip_folder import clip_folder
    from preprocessing.artefacts.manifest import read_manifest
    from preprocessing.clips import Clip
    from preprocessing.datasets import DATASETS, ClipDataset, Dataset, DataSettings, ImageDataset, find_dataset
    from preprocessing.errors import ClipRejectedError, DatasetError, ToolkitError
    from preprocessing.optical_flow import FlowSettings, flow
    from preprocessing.pipeline import FaceSettings
    from preprocessing.video import FrameSource, ImageSequence, VideoFile, image_sequence

__all__ = [
    "DATASETS",
    "Clip",
    "ClipDataset",
    "ClipRejectedError",
    "DataSettings",
    "Dataset",
    "DatasetError",
    "FaceSettings",
    "FlowSettings",
    "FrameSource",
    "ImageDataset",
    "ImageSequence",
    "ToolkitError",
    "VideoFile",
    "clip_folder",
    "find_dataset",
    "flow",
    "image_sequence",
    "open_dataset",
    "read_manifest",
]

_HOMES = {
    "artefacts.clip_folder": "clip_folder",
    "artefacts.manifest": "read_manifest",
    "clips": "Clip",
    "datasets": "DATASETS ClipDataset Dataset DataSettings ImageDataset find_dataset",
    "errors": "ClipRejectedError DatasetError ToolkitError",
    "optical_flow": "FlowSettings flow",
    "pipeline": "FaceSettings",
    "video": "FrameSource ImageSequence VideoFile image_sequence",
}
"""Module → names that it is the home of."""


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: a module of this package may need none of the libraries behind it."""
    home = next((module for module, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def open_dataset(name: str, root: Path | str, settings: DataSettings | None = None) -> list[Clip]:
    """The clips of a data set, in its order; no frame is decoded before someone reads it.

    Args:
        name: one of `DATASETS` whose clips have frames, e.g. ``"synthetic"`` or ``"videos"``.
        root: its folder, which is only read.
        settings: choices that a data set leaves, e.g. ``DataSettings(variant="cropped")``.

    Raises:
        UsageError: there is no data set of that name, it holds precomputed images or stands for several data sets,
           , or a setting has no effect on it.
        DatasetError: the folder does not hold it.
    """
    from preprocessing.datasets import ClipDataset, find_dataset
    from preprocessing.errors import UsageError

    dataset = find_dataset(name)
    if not isinstance(dataset, ClipDataset):
        instead = f"open {', '.join(dataset.members)} one by one" if dataset.members else "call its method clips(root)"
        raise UsageError(f"data set {name!r} has no clips with frames: {instead}")
    clips, _ = dataset.clips(Path(root), settings)
    return clips
