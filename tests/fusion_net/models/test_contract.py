"""A model of somebody's own, over inputs that no model of the toolkit takes: features beside a flow map."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.activation_maps import activation_maps
from fusion_net.augment import AugmentSettings
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.losses import soft_cross_entropy
from fusion_net.models import Batch, Model, Output, new_model

CLASSES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class BesideSettings:
    """Of the model below."""

    grid: int = 2


class Beside(Model):
    """A linear layer over the flow's means and over the features; it tells which input has how large a share."""

    Settings = BesideSettings
    COLUMNS: ClassVar[Mapping[str, str]] = {"share": "input"}

    def __init__(self, settings: BesideSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        self.look = nn.Conv2d(2, 4, 3)
        self.classifier = nn.Linear(4 + inputs[1].channels, len(classes))

    @classmethod
    def uses(cls, settings: BesideSettings) -> tuple[InputUse, ...]:
        return (use("apex_flow"), use("flow_grid", grid=settings.grid))

    def forward(self, batch: Batch) -> Output:
        parts = [self.look(batch["apex_flow"]).mean(dim=(2, 3)), batch["flow_grid"]]
        share = torch.stack([part.abs().mean(dim=1) for part in parts], dim=1).softmax(dim=1)
        return Output(self.classifier(torch.cat(parts, dim=1)), {"share": share})

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}

    def map_layers(self) -> Mapping[str, nn.Module]:
        return {"apex_flow": self.look}


@pytest.fixture
def model() -> Model:
    return new_model(Beside, BesideSettings(), CLASSES, seed=0)


@pytest.fixture
def clips(model: Model) -> ClipTensors:
    """Faces that move to the left or to the right, in both inputs."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 2
    sign = (2 * labels - 1).view(-1, 1, 1, 1)
    flow, features = (torch.randn(24, *one.shape(12), generator=random) for one in model.inputs)
    flow[:, :1] += sign
    inputs = {"apex_flow": flow, "flow_grid": (features + sign.view(-1, 1)).double()}
    ids = tuple(f"toy/s{i % 4}/c{i}" for i in range(24))
    kinds = {one.name: one.kind for one in model.inputs}
    return ClipTensors(ids, tuple(i.rsplit("/", 1)[0] for i in ids), labels, CLASSES, inputs, kinds)


def quick(**changes: Any) -> FitSettings:
    return FitSettings(epochs=15, batch_size=4, lr=1e-2, device="cpu", augment=AugmentSettings(**changes))


def test_features_in_double_precision_train_a_network_in_single(model: Model, clips: ClipTensors) -> None:
    """Features lie in the cache as an SVM wants them; a network computes in fp32."""
    train, test = subset(clips, range(16)), subset(clips, range(16, 24))
    scaler = Scaler.fit(train)
    assert scaler(train).inputs["flow_grid"].dtype == torch.float64
    fit(model, scaler(train), quick(mirror=0.0), seed=0)
    table = predict(model, scaler(test), mirrored=False)
    assert (table["y_true"] == table["y_pred"]).all()  # chance scores 4 of 8
    assert all(p.dtype == torch.float32 for p in model.parameters())
    np.testing.assert_allclose(table[["share_apex_flow", "share_flow_grid"]].sum(axis=1), 1, atol=1e-6)


def test_what_has_no_left_and_right_cannot_be_mirrored(model: Model, clips: ClipTensors) -> None:
    with pytest.raises(ValueError, match=r"flow_grid is of kind 'features' and cannot be mirrored: .*mirror=0"):
        fit(model, clips, quick(), seed=0)
    with pytest.raises(ValueError, match="kind 'features' and cannot be mirrored"):
        predict(model, clips, mirrored=True)


def test_maps_of_its_planar_input_can_be_drawn(model: Model, clips: ClipTensors) -> None:
    maps = activation_maps(model, clips, [0] * 24, "hires_cam", mirrored=False)
    assert maps["apex_flow"].shape == (24, 10, 10) and np.isfinite(maps["apex_flow"]).all()


def test_other_settings_other_shapes() -> None:
    finer = new_model(Beside, BesideSettings(grid=3), CLASSES, seed=0)
    assert finer.inputs[1] == use("flow_grid", grid=3) and finer.inputs[1].shape(12) == (54,)


def test_what_a_model_leaves_out_has_a_default(clips: ClipTensors) -> None:
    assert Model.variants(None, ()) == {"full": {}}
    plain = Model(None, CLASSES, ())
    assert (plain.map_layers(), plain.examine(Scaler({}), clips, clips)) == ({}, None)
    with pytest.raises(NotImplementedError):
        Model.uses(None)
