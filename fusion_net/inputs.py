"""Clips as tensors in memory: inputs read from the cache, and their scale, fitted on training clips only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynamic_images.clip_input import PLANAR, ClipArtefacts, InputUse, Kind
from dynamic_images.input_cache import build_inputs, changed_clips, input_path, recorded_digests
from dynamic_images.inputs import use
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.manifest import words
from preprocessing.datasets.label_sets import names_in, set_text
from preprocessing.errors import ToolkitError

UNLABELLED = -1


@dataclass(frozen=True)
class ClipTensors:
    """Clips as tensors, row i of everything being clip i.

    Attributes:
        clip_ids, subjects: N names each.
        labels: (N,) int64, index into ``classes``; `UNLABELLED` for a clip without a label or with ``targets``.
        classes: class names, in the order of the model's outputs.
        inputs: name → (N, *shape), shapes as `dynamic_images.clip_input.InputUse.shape` gives them: an image is
            (N, C, H, W), frames are (N, T, C, H, W), features (N, C). float32, features float64; in the input's unit
            until a `Scaler` has divided them.
        kinds: name → kind of the input; those that are not named are images.
        origins: file → clip id → digest of what was read, if the inputs come from a cache.
        faces: (N, S, S) float32, how far each pixel of a picture lies inside the face, 0 .. 1: where `strength` is
            measured. None counts whole pictures.
        splits: the part of its data set that each clip belongs to (``train``, ``test_a``), or empty without such parts.
        targets: (N, K) float32, 1 where a clip has the label and 0 where it has not, if it may have several or none;
            None if it has one class.
    """

    clip_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]
    inputs: dict[str, Tensor]
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    faces: Tensor | None = None
    splits: tuple[str, ...] = ()
    targets: Tensor | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.clip_ids), len(self.subjects), len(self.labels), *map(len, self.inputs.values())}
        lengths |= {len(part) for part in (self.faces, self.splits or None) if part is not None}
        lengths |= set() if self.targets is None else {len(self.targets)}
        if len(lengths) != 1:
            raise ValueError(f"ids, subjects, labels and inputs differ in their number of clips: {sorted(lengths)}")
        if len(self.labels) and not UNLABELLED <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels must lie in {UNLABELLED} .. {len(self.classes) - 1} ({len(self.classes)} classes)"
            )

        if self.targets is not None and self.targets.shape[1:] != (len(self.classes),):
            raise ValueError(f"targets have shape {tuple(self.targets.shape)}, wanted (N, {len(self.classes)})")

    def __len__(self) -> int:
        return len(self.clip_ids)

    def label_texts(self) -> list[str]:
        """Label of every clip as tables have it: its class, its set as `preprocessing.datasets.label_sets` writes it,
        empty without one."""
        if self.targets is None:
            return ["" if label < 0 else self.classes[label] for label in self.labels.tolist()]
        return set_texts(self.targets > 0.5, self.classes)

    def kind(self, name: str) -> Kind:
        """Kind of an input."""
        return self.kinds.get(name, "image")

    def only(self, names: Iterable[str]) -> ClipTensors:
        """The same clips with these inputs alone (no copy).

        Raises:
            ValueError: an input that the clips come without.
        """
        wanted = list(names)
        missing = [name for name in wanted if name not in self.inputs]
        if missing:
            raise ValueError(f"input {missing[0]!r} is missing: the clips have {', '.join(self.inputs) or 'none'}")
        return replace(self, inputs={name: self.inputs[name] for name in wanted})


def load_clips(
    manifest: pd.DataFrame,
    cache: Path,
    inputs: Sequence[str | InputUse],
    classes: Sequence[str],
    labels: Sequence[str] | None,
    size: int,
    jobs: int = 1,
    sets: bool = False,
) -> ClipTensors:
    """Read the inputs of every row with status ``ok`` and bring pictures to ``size`` x ``size`` px.

    Inputs that are missing or stale in the cache are made first.

    Args:
        manifest: rows with ``clip_id``, ``subject``, ``status``; rejected rows are passed over.
        cache: the data set's cache folder.
        inputs: names in `dynamic_images.inputs.INPUTS`, or uses of them, e.g. ``AFN.uses(AFNSettings())``.
        classes: class names in the order of the outputs.
        labels: class name per row of ``manifest`` (those of rejected rows are not looked at), or None for clips
            without labels.
        size: side of the pictures in px; smaller is faster and shows less detail.
        jobs: processes that make missing inputs.
        sets: whether a label is a set of classes, as `preprocessing.datasets.label_sets` writes it.

    Raises:
        ToolkitError: no usable clip, a stage or a file that is missing, an array that is not finite or not of the
            input's shape, a label that is not a class, or another process made clips again while they were read.
        ValueError: ``labels`` and ``manifest`` differ in length.
    """
    if labels is not None and len(labels) != len(manifest):
        raise ValueError(f"{len(labels)} labels for {len(manifest)} manifest rows")
    usable = [i for i, status in enumerate(manifest["status"]) if status == "ok"]
    if not usable:
        raise ToolkitError(
            f"none of the {len(manifest)} clips in {cache} has status 'ok': there is nothing to learn from"
        )
    clip_ids = tuple(str(manifest["clip_id"].iloc[i]) for i in usable)
    uses = [use(one) if isinstance(one, str) else one for one in inputs]
    build_inputs(cache, clip_ids, uses, jobs)
    origins = recorded_digests(cache, clip_ids, uses)
    given = None if labels is None else [labels[i] for i in usable]
    data = ClipTensors(
        clip_ids=clip_ids,
        subjects=tuple(str(manifest["subject"].iloc[i]) for i in usable),
        labels=_label_indices(clip_ids, None if sets else given, classes),
        classes=tuple(classes),
        inputs={one.name: _stack(cache, clip_ids, one, size) for one in uses},
        kinds={one.name: one.kind for one in uses},
        origins=origins,
        faces=_faces(cache, clip_ids, size),
        splits=_splits(manifest, usable),
        targets=_targets(given, classes) if sets and given is not None else None,
    )
    changed = changed_clips(cache, origins)
    if changed:
        raise ToolkitError(
            f"{len(changed)} clips in {cache}, such as {changed[0]}, were made again while they were read: start again "
            "when the other command has ended, or give each its own --cache"
        )
    return data


def subset(data: ClipTensors, indices: Sequence[int] | NDArray[np.integer] | Tensor) -> ClipTensors:
    """The clips at ``indices``, in that order (a copy)."""
    rows = torch.as_tensor(np.asarray(indices, dtype=np.int64))
    return replace(
        data,
        clip_ids=tuple(data.clip_ids[i] for i in rows.tolist()),
        subjects=tuple(data.subjects[i] for i in rows.tolist()),
        labels=data.labels[rows],
        inputs={name: tensor[rows] for name, tensor in data.inputs.items()},
        faces=None if data.faces is None else data.faces[rows],
        splits=tuple(data.splits[i] for i in rows.tolist()) if data.splits else (),
        targets=None if data.targets is None else data.targets[rows],
    )


@dataclass(frozen=True)
class Scaler:
    """Positive divisors per input: sign, zero and the relative strength of clips and places stay as they are.

    Scaling a clip by its own extremes would turn the noise of a still clip into a full-range picture, and scaling by
    anything that has seen test clips would let them reach training.

    Attributes:
        scales: name → one divisor, or one per channel of a ``flow`` that has more channels than its vector: strain is
            a hundred times smaller than the displacement beside it, and u and v must keep one scale.
    """

    scales: Mapping[str, float | tuple[float, ...]]

    @classmethod
    def fit(cls, train: ClipTensors) -> Scaler:
        """Median over the *training* clips of each clip's root mean square.

        The median, because one clip with a turn of the head is many times stronger than all others and would set the
        scale of a mean. An input that is zero in most clips falls back to the overall root mean square, and to 1
        if it is zero everywhere. Recorded frames (N, T, C, H, W) are measured by what differs from their clip's
        mean frame: how strongly something moves, not how bright the face is.
        """
        scales: dict[str, float | tuple[float, ...]] = {}
        for name, tensor in train.inputs.items():
            moving = motion_part(tensor, train.kind(name))
            further = tensor.shape[-3] - 2 if train.kind(name) == "flow" else 0
            if further:
                parts = [moving[..., :2, :, :], *(moving[..., c : c + 1, :, :] for c in range(2, 2 + further))]
                vector, *others = map(_typical, parts)
                scales[name] = (vector, vector, *others)
            else:
                scales[name] = _typical(moving)
        return cls(scales)

    def __call__(self, data: ClipTensors) -> ClipTensors:
        """``data`` with every input divided by its scale.

        Raises:
            ValueError: an input that the scaler was not fitted on.
        """
        unknown = sorted(set(data.inputs) - set(self.scales))
        if unknown:
            raise ValueError(f"the scaler was fitted on {sorted(self.scales)} and knows no {unknown[0]!r}")
        return replace(data, inputs={name: tensor / self.divisor(name) for name, tensor in data.inputs.items()})

    def divisor(self, name: str) -> float | Tensor:
        """The scale of an input, ready to divide (..., C, H, W) by."""
        scale = self.scales[name]
        return torch.tensor(scale)[:, None, None] if isinstance(scale, tuple) else scale


def strength(data: ClipTensors, name: str) -> Tensor:
    """How strongly each clip moves in an input of scaled clips: root mean square, (N,) float64, typically 1.

    Pictures are measured inside the face, ``data.faces``: what moves behind a head is not the person's. Frames
    (N, T, C, H, W) are measured by what differs from their clip's mean frame.
    """
    squares = motion_part(data.inputs[name], data.kind(name)).square()
    if data.faces is None or data.kind(name) not in PLANAR:
        return squares.flatten(1).mean(dim=1).sqrt()
    planes = squares.flatten(1, -3).mean(dim=1)  # (N, ..., H, W) -> (N, H, W)
    faces = data.faces.double()
    return ((planes * faces).flatten(1).sum(dim=1) / faces.flatten(1).sum(dim=1).clamp(min=1e-12)).sqrt()


def motion_part(tensor: Tensor, kind: Kind) -> Tensor:
    """What tells of motion in an input (N, ...), float64: all of it; of frames, the change about their clip's mean."""
    values = tensor.double()
    return values - values.mean(dim=1, keepdim=True) if kind == "frames" else values


def _typical(values: Tensor) -> float:
    per_clip = values.square().flatten(1).mean(dim=1).sqrt()
    typical = float(per_clip.median()) if len(per_clip) else 0.0
    overall = float(per_clip.square().mean().sqrt()) if len(per_clip) else 0.0
    return typical or overall or 1.0


def resize(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """(S, S) or (S, S, C) float32 at ``size`` x ``size``, signed values and their mean kept.

    Shrinking averages the source pixels below each target pixel: that box *is* the low-pass filter, so fine texture
    averages out and does not alias, at any ratio. Only growing interpolates (area resampling would repeat pixels).
    """
    if image.shape[0] == size:
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), np.float32)


def _faces(cache: Path, clip_ids: Sequence[str], size: int) -> Tensor | None:
    """(N, size, size) weights of the faces; None for clips without landmarks, whose images were made elsewhere."""
    folders = [clip_folder(cache, clip_id) for clip_id in clip_ids]
    if not all((folder / "landmarks.npy").is_file() for folder in folders):
        return None
    return torch.from_numpy(np.stack([ClipArtefacts(folder).face(size, size) for folder in folders]))


def _splits(manifest: pd.DataFrame, usable: Sequence[int]) -> tuple[str, ...]:
    """The column ``split`` of usable rows, empty text where there is none; nothing if no row has any."""
    if "split" not in manifest:
        return ()
    found = tuple(words(manifest["split"].iloc[i]) for i in usable)
    return found if any(found) else ()


def set_texts(members: Tensor, classes: Sequence[str]) -> list[str]:
    """Sets of classes, (N, K) bool, as text."""
    return [set_text(name for name, has in zip(classes, row, strict=True) if has) for row in members.tolist()]


def _targets(labels: Sequence[str], classes: Sequence[str]) -> Tensor:
    """(N, K) float32: which of the classes each clip's set holds."""
    found = [set(names_in(label)) for label in labels]
    return torch.tensor([[float(name in names) for name in classes] for names in found]).view(len(found), len(classes))


def _stack(cache: Path, clip_ids: Sequence[str], one: InputUse, size: int) -> Tensor:
    """(N, *shape): an input of every clip, channels before height and width."""
    shape = one.shape(size)
    stack = np.empty((len(clip_ids), *shape), np.float64 if one.kind == "features" else np.float32)
    for i, clip_id in enumerate(clip_ids):
        stack[i] = _tensor(_read(clip_folder(cache, clip_id), clip_id, one), one, size)
    return torch.from_numpy(stack)


def _tensor(array: NDArray[Any], one: InputUse, size: int) -> NDArray[Any]:
    """A clip's array (..., H, W, C) as (..., C, size, size); what is not a picture stays."""
    if one.kind not in PLANAR:
        return array
    planes = array.reshape(-1, *array.shape[-3:])  # (..., H, W, C) -> (n, H, W, C)
    small = np.stack([resize(plane, size).reshape(size, size, -1) for plane in planes])
    return np.moveaxis(small, -1, 1).reshape(one.shape(size))  # (n, S, S, C) -> (n, C, S, S) -> (..., C, S, S)


def _read(folder: ClipFolder, clip_id: str, one: InputUse) -> NDArray[Any]:
    path = input_path(folder, one)
    try:
        array = folder.load(path.name)
    except (OSError, ValueError, EOFError) as error:
        raise ToolkitError(f"{clip_id}: {path.name} cannot be read ({error}): build this clip again") from error
    side = array.shape[-2] if array.ndim > 2 else 0
    wanted = (*one.lead, *((side, side) if one.kind in PLANAR else ()), one.channels)
    if array.shape != wanted or 0 in wanted:
        shown = ", ".join(map(str, (*one.lead, *(("S", "S") if one.kind in PLANAR else ()), one.channels)))
        raise ToolkitError(f"{clip_id}: {path.name} has shape {array.shape}, wanted ({shown}) for {one.input.title}")
    if not np.isfinite(array).all():
        raise ToolkitError(f"{clip_id}: {path.name} holds values that are not finite: build this clip again")
    return np.ascontiguousarray(array, np.float64 if one.kind == "features" else np.float32)


def _label_indices(clip_ids: Sequence[str], labels: Sequence[str] | None, classes: Sequence[str]) -> Tensor:
    if labels is None:
        return torch.full((len(clip_ids),), UNLABELLED, dtype=torch.int64)
    index = {name: i for i, name in enumerate(classes)}
    for clip_id, label in zip(clip_ids, labels, strict=True):
        if label not in index:
            raise ToolkitError(f"{clip_id}: label {label!r} is not one of the classes {', '.join(classes)}")
    return torch.tensor([index[label] for label in labels], dtype=torch.int64)
