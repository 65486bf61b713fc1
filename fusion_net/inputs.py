"""Manifest rows and cached artefacts become tensors in memory; the scale is fitted on training clips only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion_net.frames import CROPS, LANDMARKS, grey_frames
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.errors import ToolkitError

UNLABELLED = -1
FRAMES = "frames"
"""The input that is read from a clip's crops."""


@dataclass(frozen=True)
class ClipTensors:
    """Clips as a model eats them, row i of everything being clip i.

    Attributes:
        clip_ids, subjects: N names each.
        labels: (N,) int64, index into ``classes``; `UNLABELLED` where there is none.
        classes: class names, in the order of the model's outputs.
        inputs: name of the artefact → (N, ..., H, W) float32. A dynamic image is (N, 3, H, W), signed grey levels
            until a `Scaler` has divided them; ``frames`` are (N, T, 1, H, W), grey levels as recorded.
    """

    clip_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]
    inputs: dict[str, Tensor]

    def __post_init__(self) -> None:
        lengths = {len(self.clip_ids), len(self.subjects), len(self.labels), *map(len, self.inputs.values())}
        if len(lengths) != 1:
            raise ValueError(f"ids, subjects, labels and inputs differ in their number of clips: {sorted(lengths)}")
        if len(self.labels) and not UNLABELLED <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels must lie in {UNLABELLED} .. {len(self.classes) - 1} ({len(self.classes)} classes)"
            )

    def __len__(self) -> int:
        return len(self.clip_ids)


def load_clips(
    manifest: pd.DataFrame,
    cache: Path,
    inputs: Sequence[str],
    classes: Sequence[str],
    labels: Sequence[str] | None,
    size: int,
    n_frames: int | None = None,
) -> ClipTensors:
    """Read ``<input>.npy`` of every row with status ``ok`` once and bring it to ``size`` x ``size`` px.

    The input ``frames`` is no file of its own: it is `grey_frames` of the clip's crops.

    Args:
        manifest: rows with ``clip_id``, ``subject``, ``status``; rejected rows are passed over.
        cache: the data set's cache folder.
        inputs: names of (S, S, 3) float32 artefacts, or ``frames``; e.g. a model's ``INPUTS``.
        classes: class names in the order of the outputs.
        labels: class name per row of ``manifest`` (those of rejected rows are not looked at), or None for clips
            without labels.
        size: side of the network's input in px; smaller is faster and sees less detail.
        n_frames: frames per clip, for the input ``frames`` only.

    Raises:
        ToolkitError: no usable clip, an artefact that is missing or is not a finite (S, S, 3) array, or a label that is
            no class. All files are looked for before the first is read.
        ValueError: ``labels`` and ``manifest`` differ in length, or ``n_frames`` is missing or would have no effect.
    """
    if (FRAMES in inputs) != (n_frames is not None):
        raise ValueError(f"n_frames is {n_frames} for the inputs {', '.join(inputs)}: it belongs to {FRAMES!r} alone")
    if labels is not None and len(labels) != len(manifest):
        raise ValueError(f"{len(labels)} labels for {len(manifest)} manifest rows")
    usable = [i for i, status in enumerate(manifest["status"]) if status == "ok"]
    if not usable:
        raise ToolkitError(
            f"none of the {len(manifest)} clips in {cache} has status 'ok': there is nothing to learn from"
        )
    clip_ids = tuple(str(manifest["clip_id"].iloc[i]) for i in usable)
    _check_files(cache, clip_ids, inputs)
    return ClipTensors(
        clip_ids=clip_ids,
        subjects=tuple(str(manifest["subject"].iloc[i]) for i in usable),
        labels=_label_indices(clip_ids, None if labels is None else [labels[i] for i in usable], classes),
        classes=tuple(classes),
        inputs={name: _stack(cache, clip_ids, name, size, n_frames) for name in inputs},
    )


def subset(data: ClipTensors, indices: Sequence[int] | NDArray[np.integer] | Tensor) -> ClipTensors:
    """The clips at ``indices``, in that order (a copy)."""
    rows = torch.as_tensor(np.asarray(indices, dtype=np.int64))
    return ClipTensors(
        clip_ids=tuple(data.clip_ids[i] for i in rows.tolist()),
        subjects=tuple(data.subjects[i] for i in rows.tolist()),
        labels=data.labels[rows],
        classes=data.classes,
        inputs={name: tensor[rows] for name, tensor in data.inputs.items()},
    )


@dataclass(frozen=True)
class Scaler:
    """One positive divisor per input: sign, zero and the relative strength of clips and channels stay as they are.

    Scaling a clip by its own extremes would turn the noise of a still clip into a full-range picture, and scaling by
    anything that has seen test clips would let them reach training.
    """

    scales: Mapping[str, float]

    @classmethod
    def fit(cls, train: ClipTensors) -> Scaler:
        """Median over the *training* clips of each clip's root mean square.

        The median, because one clip with a turn of the head is many times stronger than all others and would set the
        scale of a mean. An input that is zero in most clips falls back to the overall root mean square, and to 1
        where it is zero everywhere. Recorded frames (N, T, 1, H, W) are measured by what differs from their clip's
        mean frame: how strongly something moves, not how bright the face is.
        """
        scales = {}
        for name, tensor in train.inputs.items():
            values = tensor.double()
            if name == FRAMES:
                values = values - values.mean(dim=1, keepdim=True)
            per_clip = values.square().flatten(1).mean(dim=1).sqrt()
            typical = float(per_clip.median()) if len(per_clip) else 0.0
            overall = float(per_clip.square().mean().sqrt()) if len(per_clip) else 0.0
            scales[name] = typical or overall or 1.0
        return cls(scales)

    def __call__(self, data: ClipTensors) -> ClipTensors:
        """``data`` with every input divided by its scale.

        Raises:
            ValueError: an input that the scaler was not fitted on.
        """
        unknown = sorted(set(data.inputs) - set(self.scales))
        if unknown:
            raise ValueError(f"the scaler was fitted on {sorted(self.scales)} and knows no {unknown[0]!r}")
        inputs = {name: tensor / self.scales[name] for name, tensor in data.inputs.items()}
        return ClipTensors(data.clip_ids, data.subjects, data.labels, data.classes, inputs)


def resize(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """(S, S) or (S, S, C) float32 at ``size`` x ``size``, signed values and their mean kept.

    Shrinking averages the source pixels below each target pixel: that box *is* the low-pass filter, so fine texture
    averages out and does not alias, at any ratio. Only growing interpolates (area resampling would repeat pixels).
    """
    if image.shape[0] == size:
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), np.float32)


def _check_files(cache: Path, clip_ids: Sequence[str], inputs: Sequence[str]) -> None:
    files = [file for name in inputs for file in ((CROPS, LANDMARKS) if name == FRAMES else (f"{name}.npy",))]
    missing = [(i, file) for i in clip_ids for file in files if not (clip_folder(cache, i) / file).is_file()]
    if missing:
        clip_id, file = missing[0]
        others = f" (and {len(missing) - 1} more files)" if len(missing) > 1 else ""
        raise ToolkitError(
            f"{clip_id}: {file} is missing in {clip_folder(cache, clip_id).folder}{others}: "
            f"run `mer dataset {cache.name}` again"
        )


def _stack(cache: Path, clip_ids: Sequence[str], name: str, size: int, n_frames: int | None) -> Tensor:
    """(N, 3, size, size) float32: artefact ``name`` of every clip, channels first; frames (N, T, 1, size, size)."""
    if name == FRAMES:
        clips = (grey_frames(clip_folder(cache, clip_id), clip_id, n_frames or 0) for clip_id in clip_ids)
        return torch.from_numpy(np.stack([[[resize(frame, size)] for frame in frames] for frames in clips]))
    stack = np.empty((len(clip_ids), 3, size, size), np.float32)
    for i, clip_id in enumerate(clip_ids):
        image = _image(clip_folder(cache, clip_id) / f"{name}.npy", clip_id)
        stack[i] = resize(image, size).transpose(2, 0, 1)  # (size, size, 3) -> (3, size, size)
    return torch.from_numpy(stack)


def _image(path: Path, clip_id: str) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ToolkitError(f"{clip_id}: {path.name} cannot be read ({error}): build this clip again") from error
    if array.ndim != 3 or array.shape[0] != array.shape[1] or array.shape[2] != 3:
        raise ToolkitError(f"{clip_id}: {path.name} has shape {array.shape}, wanted a dynamic image (S, S, 3)")
    if not np.isfinite(array).all():
        raise ToolkitError(f"{clip_id}: {path.name} holds values that are not finite: build this clip again")
    return np.ascontiguousarray(array, np.float32)


def _label_indices(clip_ids: Sequence[str], labels: Sequence[str] | None, classes: Sequence[str]) -> Tensor:
    if labels is None:
        return torch.full((len(clip_ids),), UNLABELLED, dtype=torch.int64)
    index = {name: i for i, name in enumerate(classes)}
    for clip_id, label in zip(clip_ids, labels, strict=True):
        if label not in index:
            raise ToolkitError(f"{clip_id}: label {label!r} is none of the classes {', '.join(classes)}")
    return torch.tensor([index[label] for label in labels], dtype=torch.int64)
