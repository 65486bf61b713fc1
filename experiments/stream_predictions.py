"""Apply the shipped weights to a table of u, v, strain images: predictions that ``mer score`` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dynamic_images.kinds import build_artefacts
from dynamic_images.precomputed import StreamSettings
from experiments.runs.run import to_csv
from fusion_net.checkpoint import load
from fusion_net.inference import predict
from fusion_net.inputs import Scaler, load_clips
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.datasets.streams import load as read_table
from preprocessing.errors import UsageError

TABLE = "predictions.csv"
STREAM = "stream_a"


def check_words(videos: Sequence[Path]) -> None:
    """Refuse a table for anything but ``mer predict streams``."""
    if list(videos) != [Path("streams")]:
        raise UsageError("--root is the table of `mer predict streams`: leave it out for videos")


def predict_streams(root: Path, model: Path, out: Path, jobs: int) -> pd.DataFrame:
    """Predict every clip of a table of precomputed images from its first stream.

    Red, green and blue (or the first three channels) are u, v and strain. A network of one flow map centres each
    channel of each clip by its median and divides it by its own size (`fusion_net.models.motion_net.centred`), so that
    images that were stretched to full range can be used; the scale of the data set is its own median, which takes no
    label.

    Args:
        root: the table, see `preprocessing.datasets.streams`.
        model: a model folder.
        out: gets the artefacts of the clips, and ``predictions.csv`` with ``clip_id, subject, y_true, y_pred, p_…``.
        jobs: processes.

    Raises:
        UsageError: the model takes more than one map.
    """
    checkpoint = load(model)
    inputs = checkpoint.model.inputs
    if len(inputs) != 1 or inputs[0].kind != "flow" or inputs[0].lead:
        raise UsageError(f"{model} takes {', '.join(one.name for one in inputs)}: wanted a model of one flow map")
    clips = read_table(root)
    build_artefacts(clips, out, {"streams": StreamSettings()}, jobs)
    manifest = read_manifest(out)
    classes = checkpoint.model.classes
    data = load_clips(manifest, out, [STREAM], classes, None, checkpoint.size, jobs)
    data = Scaler.fit(dataclasses.replace(data, kinds={STREAM: "flow"}))(data)
    data = dataclasses.replace(data, inputs={inputs[0].name: data.inputs[STREAM]}, kinds={inputs[0].name: "flow"})
    table = predict(checkpoint.model, data, mirrored=False)
    table["y_true"] = table["clip_id"].map(dict(zip(manifest["clip_id"], manifest["emotion"], strict=True)))
    table["dataset"] = table["clip_id"].str.split("/").str[0]
    write_text(out / TABLE, to_csv(table))
    return table
