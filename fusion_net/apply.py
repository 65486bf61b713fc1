"""A trained model on new clips: their pictures are made as those that it learnt from, then it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from dynamic_images.dataset import build_dataset
from fusion_net.checkpoint import Checkpoint
from fusion_net.data import load_clips
from fusion_net.predict import predict
from preprocessing.cache import read_manifest
from preprocessing.clips import Clip
from preprocessing.errors import ToolkitError


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
