from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion_net.checkpoint import Checkpoint
from fusion_net.export import export_onnx, input_shapes
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler
from fusion_net.models import MODELS, build_model

pytest.importorskip("onnxscript", reason="needs the extra `export`")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")

PARITY = 1e-4
CLASSES = ("calm", "happy", "other")
SIZE = 64


def clips(name: str, count: int = 5) -> tuple[Checkpoint, ClipTensors]:
    """A model with random weights and clips of the size that it eats, in grey levels."""
    model = build_model(MODELS[name].Settings(), CLASSES, seed=3)
    random = torch.Generator().manual_seed(0)
    inputs = {k: 6 * torch.randn(count, *shape, generator=random) for k, shape in input_shapes(model, SIZE).items()}
    ids = tuple(f"toy/s/{i}" for i in range(count))
    data = ClipTensors(ids, ("toy/s",) * count, torch.zeros(count, dtype=torch.int64), CLASSES, inputs)
    return Checkpoint(model.eval(), Scaler.fit(data), SIZE, {"training": {"dataset": "toy"}}), data


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_torch_does_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    """Parity within 1e-4 for batches of 1 and 5; a model that ignored its input would differ by far more."""
    checkpoint, data = clips(name)
    path = export_onnx(checkpoint, tmp_path / "to" / "model.onnx")
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"], "one file, weights inside"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    scaled = checkpoint.scaler(data)
    with torch.no_grad():
        logits = checkpoint.model(scaled.inputs).logits.numpy()
    assert float(logits.std(axis=0).max()) > 10 * PARITY, "clips differ, so a constant answer would be seen"
    table = predict(checkpoint.model, scaled)
    for rows in (slice(0, 1), slice(0, 5)):
        answer = dict(
            zip(outputs, session.run(None, {k: v[rows].numpy() for k, v in data.inputs.items()}), strict=True)
        )
        assert np.abs(answer["logits"] - logits[rows]).max() < PARITY
        assert np.abs(answer["probabilities"] - table.filter(regex="^p_")[rows].to_numpy()).max() < PARITY
        gates = table.filter(regex="^gate_")[rows].to_numpy()
        assert ("gate" in answer) == bool(gates.shape[1])
        assert "gate" not in answer or np.abs(answer["gate"] - gates).max() < PARITY
    told = session.get_modelmeta().custom_metadata_map
    assert told["model"] == name and json.loads(told["size"]) == SIZE
    assert tuple(json.loads(told["classes"])) == CLASSES
    assert json.loads(told["scales"]) == dict(checkpoint.scaler.scales)
    assert json.loads(told["inputs"]) == {k: list(v.shape[1:]) for k, v in data.inputs.items()}
