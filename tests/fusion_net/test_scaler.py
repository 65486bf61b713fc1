"""The scale of inputs: fitted on training clips, and fit for every kind of input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dynamic_images.clip_input import Kind
from fusion_net.inputs import ClipTensors, Scaler, motion_part

CLASSES = ("happiness", "surprise")


def test_the_scaler_makes_the_typical_training_clip_rms_one(toy: ClipTensors) -> None:
    scaled = Scaler.fit(toy)(toy)
    for x in scaled.inputs.values():
        rms = x.square().flatten(1).mean(dim=1).sqrt()
        assert 0.95 < float(rms.median()) < 1.05  # unscaled grey levels score 6 and more


def test_the_scaler_keeps_sign_zero_and_relative_strength(toy: ClipTensors) -> None:
    scaler = Scaler.fit(toy)
    for name, x in scaler(toy).inputs.items():
        torch.testing.assert_close(x * scaler.scales[name], toy.inputs[name])
        assert torch.equal(x.sign(), toy.inputs[name].sign())


def test_one_wild_clip_hardly_moves_the_scale(toy: ClipTensors) -> None:
    wild = {name: x.clone() for name, x in toy.inputs.items()}
    wild["temporal_ranked"][0] *= 100
    before, after = Scaler.fit(toy), Scaler.fit(dataclasses.replace(toy, inputs=wild))
    assert after.scales["temporal_ranked"] / before.scales["temporal_ranked"] < 1.1  # a mean square scores 12


def test_a_still_input_stays_zero(toy: ClipTensors) -> None:
    still = dataclasses.replace(toy, inputs={"temporal_ranked": torch.zeros_like(toy.inputs["temporal_ranked"])})
    assert Scaler.fit(still).scales == {"temporal_ranked": 1.0}
    assert not Scaler.fit(still)(still).inputs["temporal_ranked"].any()


def test_the_scaler_refuses_inputs_that_it_has_not_seen(toy: ClipTensors) -> None:
    with pytest.raises(ValueError, match="knows no 'temporal_ranked'"):
        Scaler({"motion_intensity": 1.0})(toy)


class TestScaleOfAKind:
    def test_frames_are_measured_by_what_moves(self, growing: ClipTensors) -> None:
        brighter = dataclasses.replace(growing, inputs={"frames": growing.inputs["frames"] + 50})
        one, other = Scaler.fit(growing), Scaler.fit(brighter)
        assert one.scales["frames"] == pytest.approx(other.scales["frames"], rel=1e-4)
        assert float(Scaler.fit(dataclasses.replace(growing, kinds={})).scales["frames"]) > 50  # how bright they are
        moving = motion_part(one(growing).inputs["frames"], "frames")
        assert float(moving.square().flatten(1).mean(dim=1).sqrt().median()) == pytest.approx(1, abs=0.05)

    @staticmethod
    def flow(*strengths: float, phases: tuple[int, ...] = ()) -> ClipTensors:
        """Flow whose channels are of these strengths."""
        random = torch.Generator().manual_seed(0)
        x = torch.randn(9, *phases, len(strengths), 8, 8, generator=random) * torch.tensor(strengths)[:, None, None]
        ids = tuple(f"toy/s0/c{i}" for i in range(9))
        return ClipTensors(ids, ("toy/s0",) * 9, torch.zeros(9, dtype=torch.int64), CLASSES, {"x": x}, {"x": "flow"})

    @pytest.mark.parametrize("phases", [(), (2,)])
    def test_a_vector_has_one_scale_and_every_further_channel_its_own(self, phases: tuple[int, ...]) -> None:
        """Strain is a hundred times weaker than u and v; divided by one number it would be lost in the noise."""
        data = self.flow(1.0, 3.0, 0.01, phases=phases)
        scales = Scaler.fit(data).scales["x"]
        assert scales == pytest.approx((np.sqrt(5), np.sqrt(5), 0.01), rel=0.1)
        scaled = Scaler.fit(data)(data).inputs["x"]
        u, v, strain = (float(scaled[..., c, :, :].square().mean().sqrt()) for c in range(3))
        assert strain == pytest.approx(1, rel=0.1) and v / u == pytest.approx(3, rel=0.1), "u and v keep their angle"

    def test_a_plain_flow_has_one_number(self) -> None:
        assert isinstance(Scaler.fit(self.flow(1.0, 3.0)).scales["x"], float)

    def test_a_still_channel_stays_zero(self) -> None:
        data = self.flow(1.0, 1.0, 0.0)
        assert Scaler.fit(data).scales["x"] == pytest.approx((1, 1, 1), rel=0.1)
        assert not Scaler.fit(data)(data).inputs["x"][:, 2].any()

    @pytest.mark.parametrize(("kind", "shape"), [("series", (6, 3)), ("features", (40,))])
    def test_a_series_and_features_have_one_number(self, kind: Kind, shape: tuple[int, ...]) -> None:
        x = 5 * torch.randn(20, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ids = tuple(f"toy/s0/c{i}" for i in range(20))
        labels = torch.zeros(20, dtype=torch.int64)
        data = ClipTensors(ids, ("toy/s0",) * 20, labels, CLASSES, {"x": x}, {"x": kind})
        assert Scaler.fit(data).scales["x"] == pytest.approx(5, rel=0.1)
        assert Scaler.fit(data)(data).inputs["x"].dtype == torch.float64
