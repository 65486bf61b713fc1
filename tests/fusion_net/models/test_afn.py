from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from fusion_net.losses import smooth_targets
from fusion_net.models import AFN, MODELS, AFNSettings, Model, build_model
from fusion_net.models.afn import Fusion

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")
SMALL = {"widths": (8, 16), "grid": 2, "features": 16, "gate_hidden": 8}
FUSIONS = get_args(Fusion)
VARIANTS = [{"fusion": fusion} for fusion in FUSIONS] + [{"gate": value} for value in (0.0, 0.5, 1.0)]


def batch(n: int = 4, side: int = 32, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = {name: torch.randn(n, 3, side, side, generator=generator) for name in AFN.INPUTS}
    return inputs | {"target": smooth_targets(torch.arange(n) % 5, 5, 0.1), "weight": torch.ones(n)}


def small(**changes: object) -> Model:
    return build_model(AFNSettings(**SMALL | changes), CLASSES, seed=1)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("side", [24, 40])
def test_every_fusion_returns_finite_logits_and_a_loss(fusion: str, n: int, side: int) -> None:
    model, clips = small(fusion=fusion), batch(n, side)
    output = model(clips)
    assert output.logits.shape == (n, 5)
    losses = model.loss(output, clips)
    assert all(part.ndim == 0 and torch.isfinite(part) for part in losses.values())
    single = fusion.endswith("_only")
    assert set(losses) == ({"class"} if single else {"class", "auxiliary"})
    assert ("gate" in output.extras) == (fusion == "gated")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_all_fusions_have_the_same_budget(fusion: str) -> None:
    model = build_model(AFNSettings(fusion=fusion), CLASSES, seed=0)
    count = sum(p.numel() for p in model.parameters())
    assert 0.93e6 < count < 1.0e6
    if fusion == "gated":
        assert count == 979_727


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradients_reach_every_parameter(variant: dict[str, object]) -> None:
    """With a gate fixed at 0 or 1 one stream learns through its auxiliary head alone."""
    model, clips = small(**variant), batch()
    torch.stack(list(model.loss(model(clips), clips).values())).sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_learned_gate_weights_sum_to_one_and_differ_between_clips() -> None:
    extras = small().eval()(batch(6)).extras
    assert extras["gate"].shape == (6, 2) and extras["gate_channels"].shape == (6, 2, 16)
    torch.testing.assert_close(extras["gate_channels"].sum(dim=1), torch.ones(6, 16))
    torch.testing.assert_close(extras["gate"].sum(dim=1), torch.ones(6))
    assert (extras["gate"].std(dim=0) > 1e-4).all()  # a bias scores 0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_fixed_gate_is_the_weight_of_motion_intensity(value: float) -> None:
    model = small(gate=value).eval()
    assert model(batch()).extras["gate"].tolist() == [[1 - value, value]] * 4
    other = batch(seed=9)
    for name, share in (("temporal_ranked", 1 - value), ("motion_intensity", value)):
        changed = batch() | {name: other[name]}
        same = torch.equal(model(batch()).logits, model(changed).logits)
        assert same == (share == 0)


@pytest.mark.parametrize("only", ["temporal_only", "intensity_only"])
def test_a_lone_stream_does_not_look_at_the_other_input(only: str) -> None:
    model, other = small(fusion=only).eval(), batch(seed=9)
    used = "temporal_ranked" if only == "temporal_only" else "motion_intensity"
    for name in AFN.INPUTS:
        same = torch.equal(model(batch()).logits, model(batch() | {name: other[name]}).logits)
        assert same == (name != used)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_clips_of_a_batch_do_not_see_each_other(fusion: str) -> None:
    model, clips = small(fusion=fusion).eval(), batch(5)
    alone = torch.cat([model({k: v[i : i + 1] for k, v in clips.items()}).logits for i in range(5)])
    torch.testing.assert_close(model(clips).logits, alone, atol=1e-5, rtol=1e-5)


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small().state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, other = small().state_dict(), build_model(AFNSettings(**SMALL), CLASSES, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fusion": "product"}, "gated, concat, sum"),
        ({"fusion": "concat", "gate": 0.5}, "has no effect"),
        ({"gate": 1.5}, "outside 0 .. 1"),
        ({"widths": ()}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AFNSettings(**wrong)


def test_settings_of_no_model_are_refused() -> None:
    with pytest.raises(TypeError, match=", ".join(MODELS)):
        build_model(object(), CLASSES, 0)


def test_bf16_stays_finite() -> None:
    model, clips = small(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(clips)
    losses = model.loss(output, clips)
    assert all(part.dtype == torch.float32 and torch.isfinite(part) for part in losses.values())
    torch.testing.assert_close(output.extras["gate"].sum(dim=1), torch.ones(4))


@pytest.mark.parametrize(("side", "stages"), [(96, 4), (48, 4), (40, 4), (28, 3), (16, 2), (8, 1), (2, 1)])
def test_an_input_has_the_stages_that_it_can_carry(side: int, stages: int) -> None:
    """Every cell of the pooling grid has something of its own, where the input is large enough for one stage."""
    settings = AFNSettings().for_side(side)
    assert settings.widths == AFNSettings().widths[:stages]
    assert math.ceil(side / 2**stages) >= settings.grid or stages == 1
    assert settings.for_side(side) == settings
