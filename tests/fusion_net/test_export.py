"""The file for other programs: what it holds, and that its graph is what `predict` does. Parity: `test_models`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dynamic_images.inputs import use
from dynamic_images.pipeline import StageSettings
from fusion_net.augment import mirror
from fusion_net.checkpoint import Checkpoint
from fusion_net.export import _Whole, export_onnx
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler
from fusion_net.models import AFNSettings, build_model
from fusion_net.models.afn import INPUTS
from preprocessing.pipeline import FaceSettings

CLASSES = ("calm", "happy", "other")
SIZE = 32
SMALL = AFNSettings(widths=(8,), grid=2, features=16, gate_hidden=8)


def clips(mirrored: bool, inputs: tuple[str, ...] = INPUTS) -> tuple[Checkpoint, ClipTensors]:
    """A model with random weights and five clips of the size that it takes, in the units of its inputs."""
    model = build_model(SMALL, CLASSES, seed=3, inputs=[use(one) for one in inputs])
    random = torch.Generator().manual_seed(0)
    tensors = {one.name: 6 * torch.randn(5, *one.shape(SIZE), generator=random) for one in model.inputs}
    kinds = {one.name: one.kind for one in model.inputs}
    ids = tuple(f"toy/s/{i}" for i in range(5))
    data = ClipTensors(ids, ("toy/s",) * 5, torch.zeros(5, dtype=torch.int64), CLASSES, tensors, kinds)
    return Checkpoint(model.eval(), Scaler.fit(data), SIZE, {"seed": 3}, mirrored=mirrored), data


@torch.no_grad()
def whole(checkpoint: Checkpoint, data: ClipTensors) -> list[np.ndarray]:
    """What the exported graph computes, in torch: logits, probabilities, columns."""
    return [x.numpy() for x in _Whole(checkpoint)(*(data.inputs[one.name] for one in checkpoint.model.inputs))]


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_flow_has_a_scale_per_channel_and_turns_around_in_the_mirror(mirrored: bool) -> None:
    checkpoint, data = clips(mirrored, ("apex_strain", "motion_intensity"))
    logits, probabilities, *columns = whole(checkpoint, data)
    table = predict(checkpoint.model, checkpoint.scaler(data), mirrored=mirrored)
    np.testing.assert_allclose(probabilities, table.filter(regex="^p_"), atol=1e-6)
    np.testing.assert_allclose(columns[0], table.filter(regex="^gate_"), atol=1e-6)
    own = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert (np.abs(own - probabilities).max() < 1e-6) == (not mirrored), "logits are of the clip as it is"


def test_a_model_that_was_judged_without_mirror_images_is_used_without() -> None:
    """A mean over two answers, one of which nobody has looked at, is another model than the one that was judged."""
    with_, without = (whole(*clips(mirrored))[1] for mirrored in (True, False))
    assert np.abs(with_ - without).max() > 1e-4
    checkpoint, data = clips(mirrored=False)
    flipped = ClipTensors(
        data.clip_ids, data.subjects, data.labels, CLASSES, {name: mirror(x) for name, x in data.inputs.items()}
    )
    np.testing.assert_allclose((whole(checkpoint, data)[1] + whole(checkpoint, flipped)[1]) / 2, with_, atol=1e-6)


def test_the_file_says_what_it_is_and_nothing_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    onnx = pytest.importorskip("onnx", reason="needs the extra `export`")
    checkpoint, data = clips(mirrored=False, inputs=("apex_strain", "motion_intensity"))
    stages = StageSettings(faces=FaceSettings(landmark_model=str(tmp_path / "private" / "points.dat")))
    checkpoint = Checkpoint(
        checkpoint.model, checkpoint.scaler, SIZE, {"training": {"dataset": "toy"}}, stages, mirrored=False
    )
    path = export_onnx(checkpoint, tmp_path / "to" / "model.onnx")
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"], "one file, weights inside"
    told = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert told["model"] == "afn" and json.loads(told["size"]) == SIZE
    assert tuple(json.loads(told["classes"])) == CLASSES
    assert json.loads(told["mirrored"]) is False
    scales = json.loads(told["scales"])
    assert (scales["motion_intensity"], len(scales["apex_strain"])) == (checkpoint.scaler.scales["motion_intensity"], 3)
    assert json.loads(told["inputs"]) == {k: list(v.shape[1:]) for k, v in data.inputs.items()}
    assert json.loads(told["about"]) == {"training": {"dataset": "toy"}}
    preprocessing = json.loads(told["preprocessing"])
    assert preprocessing["faces"]["landmark_model"] == "points.dat" and "versions" in preprocessing
    assert str(tmp_path) not in json.dumps(told)
