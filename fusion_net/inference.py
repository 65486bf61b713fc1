"""Predictions of a trained model: of tensors as a table, and of new clips that first go through the offline stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynamic_images.pipeline import build_dataset
from fusion_net.augment import mirror
from fusion_net.checkpoint import Checkpoint
from fusion_net.fit import check_fits
from fusion_net.inputs import ClipTensors, load_clips
from fusion_net.models.contract import COLUMNS, Model
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.clips import Clip
from preprocessing.errors import ToolkitError


@torch.no_grad()
def predict(model: Model, data: ClipTensors, batch_size: int = 64, mirrored: bool = True) -> pd.DataFrame:
    """Predict every clip of ``data``, in its order.

    The model computes in eval mode and fp32 where it stands, and is left in the mode that it came in. No clip sees
    another, so ``batch_size`` changes memory and, beyond rounding, nothing else.

    Args:
        model: trained.
        data: clips, scaled by the *training* scaler.
        batch_size: clips at a time.
        mirrored: average the probabilities (and what else is a column) of a clip and of its mirror image. An emotion
            has no side and training shows both, so the two answers estimate the same thing and their mean varies less.

    Returns:
        ``clip_id, subject, y_true, y_pred, p_<class>...``, and where the model has them ``gate_<input>...``,
        ``score_<t>...`` and ``pooling_<t>...`` with t = 1 … T; classes by name, ``y_true`` empty without a label.

    Raises:
        ValueError: the clips do not fit the model, see `check_fits`.
    """
    check_fits(model, data)
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} must be at least 1")
    was_training = model.training
    model.eval()
    try:
        chunks = [_answer(model, data, rows, mirrored) for rows in torch.arange(len(data)).split(batch_size)]
    finally:
        model.train(was_training)
    table: dict[str, object] = {
        "clip_id": data.clip_ids,
        "subject": data.subjects,
        "y_true": ["" if label < 0 else data.classes[label] for label in data.labels.tolist()],
    }
    answers = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]} if chunks else {}
    probabilities = answers.pop("p", torch.empty(0, len(data.classes)))  # (N, K)
    table["y_pred"] = [data.classes[k] for k in probabilities.argmax(dim=1).tolist()]
    table |= {f"p_{name}": probabilities[:, k].numpy() for k, name in enumerate(data.classes)}
    for name, values in answers.items():  # (N, S)
        ends = list(model.INPUTS) if name == "gate" else range(1, values.shape[1] + 1)
        table |= {f"{name}_{end}": values[:, s].numpy() for s, end in enumerate(ends)}
    return pd.DataFrame(table)


def _answer(model: Model, data: ClipTensors, rows: Tensor, mirrored: bool) -> dict[str, Tensor]:
    """``p`` (B, K) and those of `COLUMNS` that the model has, (B, S) each, of some clips; float64 on the CPU."""
    device = next(model.parameters()).device
    plain = {name: data.inputs[name][rows].to(device) for name in model.INPUTS}
    views = [plain]
    if mirrored:
        views.append({name: mirror(x, model.INPUTS[name]) for name, x in plain.items()})
    outputs = [model(view) for view in views]
    answers = {"p": torch.stack([o.logits.cpu().double().softmax(dim=1) for o in outputs]).mean(dim=0)}
    for name in COLUMNS:
        if name in outputs[0].extras:
            answers[name] = torch.stack([o.extras[name].cpu().double() for o in outputs]).mean(dim=0)
    return answers


def predict_clips(
    checkpoint: Checkpoint,
    clips: Sequence[Clip],
    cache: Path,
    jobs: int = 1,
    on_clip: Callable[[dict[str, Any]], None] | None = None,
) -> pd.DataFrame:
    """Run clips through the offline stages with the model's own settings and predict each.

    Args:
        checkpoint: from `fusion_net.load`.
        clips: with or without labels.
        cache: a folder of its own for the artefacts; what is fresh in it is reused. One that other settings have made
            is made again.
        jobs: processes of the offline stages.
        on_clip: told each manifest row as it is finished, in any order.

    Returns:
        One row per clip in the order given: the manifest's columns, then ``y_pred, p_<class>…, gate_<input>…`` and
        ``strength_<input>`` (root mean square of the scaled input: 1 is a typical training clip). A rejected clip has
        its ``code`` and ``reason`` and no answer.

    Raises:
        ToolkitError: the model does not say how its pictures were made.
    """
    if checkpoint.stages is None:
        raise ToolkitError(
            "the model does not say how its pictures were made, so no clip can be treated alike: train it again with "
            "`mer train --final`"
        )
    build_dataset(clips, cache, checkpoint.stages, jobs, on_clip)
    manifest = read_manifest(cache)
    if not (manifest["status"] == "ok").any():
        return manifest
    model = checkpoint.model
    # a model of frames says how many of a clip it sees
    frames = {"n_frames": int(model.settings.frames)} if "frames" in model.INPUTS else {}
    unscaled = load_clips(manifest, cache, tuple(model.INPUTS), model.classes, None, checkpoint.size, **frames)
    data = checkpoint.scaler(unscaled)
    answers = predict(model, data).drop(columns=["subject", "y_true"])
    for name, tensor in data.inputs.items():
        answers[f"strength_{name}"] = strength(tensor).numpy()
    return manifest.merge(answers, on="clip_id", how="left", validate="one_to_one")


def strength(scaled: Tensor) -> Tensor:
    """How strongly each clip moves in a scaled input (N, ..., H, W): root mean square, (N,) float64, typically 1.

    Frames (N, T, C, H, W) are measured by what differs from their clip's mean frame.
    """
    values = scaled.double()
    if values.ndim == 5:
        values = values - values.mean(dim=1, keepdim=True)
    return values.square().flatten(1).mean(dim=1).sqrt()
