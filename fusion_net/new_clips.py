"""Predict new clips: they go through the offline stages with the settings of the model's own training clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynamic_images.pipeline import build_dataset
from fusion_net.checkpoint import Checkpoint
from fusion_net.inference import predict
from fusion_net.inputs import load_clips, strength
from preprocessing.artefacts.manifest import read_manifest
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
        cache: a separate folder for the artefacts; what is fresh in it is reused. One that other settings have made
            is made again.
        jobs: processes of the offline stages.
        on_clip: told each manifest row as it is finished, in any order.

    Returns:
        One row per clip in the order given: the manifest's columns, then ``y_pred, p_<class>…, gate_<input>…`` and
        ``strength_<input>`` (see `fusion_net.inputs.strength`: 1 is a typical training clip). A rejected clip has its
        ``code`` and ``reason`` and no answer.

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
    data = checkpoint.scaler(load_clips(manifest, cache, model.inputs, model.classes, None, checkpoint.size, jobs))
    answers = predict(model, data, mirrored=checkpoint.mirrored).drop(columns=["subject", "y_true"])
    for name in data.inputs:
        answers[f"strength_{name}"] = strength(data, name).numpy()
    return manifest.merge(answers, on="clip_id", how="left", validate="one_to_one")
