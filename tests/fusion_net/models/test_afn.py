from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from dynamic_images.inputs import use
from fusion_net.losses import smooth_targets
from fusion_net.models import AFN, AFNSettings, Model, build_model
from fusion_net.models.afn import INPUTS, Fusion

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")
SMALL = {"widths": (8, 16), "grid": 2, "features": 16, "gate_hidden": 8}
FUSIONS = get_args(Fusion)


def batch(n: int = 4, side: int = 32, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = {name: torch.randn(n, 3, side, side, generator=generator) for name in INPUTS}
    return inputs | {"target": smooth_targets(torch.arange(n) % 5, 5, 0.1), "weight": torch.ones(n)}


def small(**changes: object) -> Model:
    return build_model(AFNSettings(**SMALL | changes), CLASSES, seed=1)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_streams_that_are_fused_have_heads_and_one_that_stands_alone_has_none(fusion: str) -> None:
    model, clips = small(fusion=fusion), batch()
    output = model(clips)
    alone = fusion.endswith("_only")
    assert set(model.loss(output, clips)) == ({"class"} if alone else {"class", "auxiliary"})
    assert ("gate" in output.extras) == (fusion == "gated")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_all_fusions_have_the_same_budget(fusion: str) -> None:
    model = build_model(AFNSettings(fusion=fusion), CLASSES, seed=0)
    count = sum(p.numel() for p in model.parameters())
    assert 0.93e6 < count < 1.0e6
    if fusion == "gated":
        assert count == 979_727


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
    for name in INPUTS:
        same = torch.equal(model(batch()).logits, model(batch() | {name: other[name]}).logits)
        assert same == (name != used)


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


@pytest.mark.parametrize(("side", "stages"), [(96, 4), (48, 4), (40, 4), (28, 3), (16, 2), (8, 1), (2, 1)])
def test_an_input_has_the_stages_that_it_can_carry(side: int, stages: int) -> None:
    """Every cell of the pooling grid has something of its own, where the input is large enough for one stage."""
    settings = AFNSettings().for_side(side)
    assert settings.widths == AFNSettings().widths[:stages]
    assert math.ceil(side / 2**stages) >= settings.grid or stages == 1
    assert settings.for_side(side) == settings


class TestOtherInputs:
    """Two images or flow maps of any number of channels, in the place of TRDI and MIDI."""

    def test_they_are_fused_in_their_order(self) -> None:
        inputs = (use("apex_strain"), use("apex_flow"))
        model = build_model(AFNSettings(**SMALL), CLASSES, 1, inputs).eval()
        given = {one.name: torch.randn(4, *one.shape(32)) for one in inputs}
        assert {name: x.shape[1] for name, x in given.items()} == {"apex_strain": 3, "apex_flow": 2}
        output = model(given)
        assert output.logits.shape == (4, 5) and output.extras["gate"].shape == (4, 2)
        fixed = build_model(AFNSettings(**SMALL, gate=0.0), CLASSES, 1, inputs).eval()
        same = fixed(given | {"apex_flow": 5 + given["apex_flow"]}).logits
        torch.testing.assert_close(fixed(given).logits, same, atol=0, rtol=0)

    def test_a_stream_alone_is_called_by_its_input(self) -> None:
        ours, other = AFN.uses(AFNSettings()), (use("apex_strain"), use("apex_flow"))
        assert {"temporal_only", "intensity_only"} < set(AFN.variants(AFNSettings(), ours))
        variants = AFN.variants(AFNSettings(), other)
        assert variants["apex_flow_only"] == {"fusion": "intensity_only"}
        lone = build_model(AFNSettings(**SMALL, **variants["apex_flow_only"]), CLASSES, 1, other)
        assert set(lone.map_layers()) == {"apex_flow"}

    def test_it_takes_the_face_alone_when_asked_and_ablation_compares_both(self) -> None:
        whole, face = AFNSettings(), AFNSettings(face_only=True)
        names = [one.name for one in AFN.uses(face)]
        assert names == ["temporal_ranked_face", "motion_intensity_face"]
        assert list(AFN.variants(whole, AFN.uses(whole)).values())[-1] == {"face_only": True}
        assert not {"zero: median", "zero: keep"} & set(AFN.variants(face, AFN.uses(face)))
        assert AFN.variants(face, AFN.uses(face))["whole crop"] == {"face_only": False}
        assert "temporal_only" in AFN.variants(face, AFN.uses(face))
        assert not {"face only", "whole crop"} & set(AFN.variants(whole, (use("apex_strain"), use("apex_flow"))))
        assert list(build_model(AFNSettings(**SMALL, face_only=True), CLASSES, 1).map_layers()) == names

    @pytest.mark.parametrize(
        "names", [("apex_flow",), ("frames", "apex_flow"), ("phase_flow", "apex_flow"), ("flow_grid",) * 2]
    )
    def test_what_is_not_two_of_them_is_refused(self, names: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match=f"AFN fuses two images or flow maps, not {names[0]}"):
            build_model(AFNSettings(**SMALL), CLASSES, 1, [use(name) for name in names])


class TestRules:
    """What is done to the images before the streams see them."""

    def test_images_less_their_median_are_inputs_of_their_own(self) -> None:
        uses = AFN.uses(AFNSettings(zero="median"))
        assert [one.name for one in uses] == ["temporal_ranked_zeroed", "motion_intensity_zeroed"]
        variants = AFN.variants(AFNSettings(zero="median"), uses)
        assert variants["zero: keep"] == {"zero": "keep"} and "temporal_only" in variants

    def test_roots_keep_the_sign_and_draw_strong_and_weak_places_together(self) -> None:
        """The network of roots sees of an image what the plain one sees of its root."""
        plain, rooted = (build_model(AFNSettings(**SMALL, root=r), CLASSES, 1).eval() for r in (False, True))
        image = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
        root = image.sign() * image.abs().sqrt()
        names = [one.name for one in plain.inputs]
        seen = [model(dict.fromkeys(names, x)).logits for model, x in ((rooted, image), (plain, root), (plain, image))]
        torch.testing.assert_close(seen[0], seen[1])
        assert (seen[0] - seen[2]).abs().max() > 1e-4

    @pytest.mark.parametrize(
        ("bad", "words"),
        [({"zero": "mean"}, "choose keep or median"), ({"zero": "median", "face_only": True}, "exclude each other")],
    )
    def test_rules_without_a_meaning_are_refused(self, bad: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            AFNSettings(**bad)
