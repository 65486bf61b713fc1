"""Networks trained at once are those that are trained one by one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fusion_net.blocks import ConvStage, Dropout
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, build_model
from fusion_net.models.contract import Model
from fusion_net.together import NUMBERS, SLOTS, Pupil, fit_together, slots_for

SMALL = AFNSettings(widths=(8, 16), grid=3, features=16, gate_hidden=8)
SETTINGS = FitSettings(epochs=3, batch_size=8, device="cpu")


def pupils(data: ClipTensors) -> list[Pupil]:
    """Three networks with their own clips, two of them as many; all need three batches for an epoch."""
    found = []
    for seed, clips in enumerate(([*range(2, 22)], [*range(20)], [*range(1, 24)])):
        scaler = Scaler.fit(subset(data, clips))
        found.append(Pupil(build_model(SMALL, data.classes, seed), torch.tensor(clips), scaler, seed))
    return found


def answers(model: Model, scaler: Scaler, data: ClipTensors) -> torch.Tensor:
    return torch.tensor(predict(model, scaler(data)).filter(regex="^p_").to_numpy())


def test_together_they_learn_what_each_learns_alone(toy: ClipTensors) -> None:
    data, test = subset(toy, range(24)), subset(toy, range(24, 36))
    together = pupils(data)
    curves = fit_together(together, data, SETTINGS, slots=4)
    before = pupils(data)
    for one, curve, new in zip(together, curves, before, strict=True):
        untrained = answers(new.model, new.scaler, test)
        alone = fit(new.model, new.scaler(subset(data, new.rows)), SETTINGS, new.seed)
        expected, found = answers(new.model, new.scaler, test), answers(one.model, one.scaler, test)
        assert (expected - untrained).abs().max() > 1e-3  # what a network that learnt nothing would be off by
        assert (found - expected).abs().max() < 1e-5  # sums in another order; seen 1e-7
        assert [row["accuracy"] for row in curve] == pytest.approx([row["accuracy"] for row in alone])
        assert [row["loss"] for row in curve] == pytest.approx([row["loss"] for row in alone], rel=1e-5)


def test_company_changes_nothing(toy: ClipTensors) -> None:
    data = subset(toy, range(24))
    together, alone = pupils(data), pupils(data)[2]
    fit_together(together, data, SETTINGS, slots=4)
    fit_together([alone], data, SETTINGS, slots=4)
    trained = zip(alone.model.parameters(), together[2].model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in trained)


def test_what_does_not_go_together_is_refused(toy: ClipTensors) -> None:
    data = subset(toy, range(24))
    with pytest.raises(ValueError, match="3 networks for 2 slots"):
        fit_together(pupils(data), data, SETTINGS, slots=2)
    few = dataclasses.replace(pupils(data)[0], rows=torch.arange(8))
    with pytest.raises(ValueError, match="different numbers of batches"):
        fit_together([few, *pupils(data)], data, SETTINGS, slots=4)


def test_larger_clips_share_the_device_with_fewer_networks(toy: ClipTensors) -> None:
    names = list(toy.inputs)
    assert slots_for(toy, names, SETTINGS) == SLOTS
    large = dataclasses.replace(toy, inputs={name: torch.empty(len(toy), 3, 1).expand(-1, -1, 10**6) for name in names})
    assert slots_for(large, names, SETTINGS) == NUMBERS // (8 * 2 * 3 * 10**6)


def test_a_convolution_is_the_same_as_a_matrix_product() -> None:
    x = torch.randn(2, 3, 21, 24, generator=torch.Generator().manual_seed(0))
    for stride in (2, 4):
        stage = ConvStage(3, 8, stride)
        expected = stage(x)
        stage.as_product = True
        torch.testing.assert_close(stage(x), expected, atol=1e-5, rtol=1e-5)


def test_dropout_hides_its_share_anew_with_every_key() -> None:
    hide, masks = Dropout(0.4), []
    for key in range(500):
        hide.key = torch.tensor(key * 7919 - 2**31, dtype=torch.int32)
        masks.append(hide(torch.ones(4, 50)).flatten() > 0)
    shown = torch.stack(masks).double()  # (500, 200)
    assert shown.mean() == pytest.approx(0.6, abs=0.005)  # standard error 0.0015
    deviations = shown - 0.6
    for a, b in ((deviations[:-1], deviations[1:]), (deviations[:, :-1], deviations[:, 1:])):
        assert abs(float((a * b).mean())) < 0.004  # neighbours in keys and in places; standard error 0.0008
    assert torch.equal(hide(torch.ones(4, 50)), hide(torch.ones(4, 50)))
    assert torch.equal(hide.eval()(torch.ones(4, 50)), torch.ones(4, 50))
