from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest
import torch

from fusion_net.augment import NO_AUGMENTATION
from fusion_net.device import resolve_device, resolve_precision
from fusion_net.fit import FitSettings, fit, learning_rate
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, build_model
from fusion_net.models.afn import INPUTS
from fusion_net.models.contract import Model
from fusion_net.seeds import fold_seed
from preprocessing.errors import EnvironmentProblemError, ToolkitError

QUICK = AFNSettings(widths=(8, 16, 32), grid=3, features=32, gate_hidden=8)
CPU = FitSettings(device="cpu")


def trained(train: ClipTensors, settings: FitSettings, seed: int = 3) -> Model:
    model = build_model(QUICK, train.classes, seed)
    fit(model, train, settings=settings, seed=seed)
    return model


def same(a: Model, b: Model) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def leave_one_subject_out(data: ClipTensors, settings: FitSettings) -> pd.DataFrame:
    tables = []
    for subject in sorted(set(data.subjects)):
        held_out = [s == subject for s in data.subjects]
        train = subset(data, [i for i, out in enumerate(held_out) if not out])
        test = subset(data, [i for i, out in enumerate(held_out) if out])
        scaler = Scaler.fit(train)
        tables.append(predict(trained(scaler(train), settings, fold_seed(0, subject)), scaler(test)))
    return pd.concat(tables, ignore_index=True)


def permuted(data: ClipTensors, seed: int) -> ClipTensors:
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return dataclasses.replace(data, labels=data.labels[order])


def test_eight_clips_are_learnt_by_heart(toy: ClipTensors) -> None:
    few = subset(toy, range(8))
    few = Scaler.fit(few)(few)
    model = build_model(QUICK, few.classes, 0)
    history = fit(model, few, settings=dataclasses.replace(CPU, epochs=60, augment=NO_AUGMENTATION), seed=0)
    assert history[-1]["loss_class"] < 0.6 * history[0]["loss_class"]
    table = predict(model, few, mirrored=False)
    assert (table["y_true"] == table["y_pred"]).all()  # the most frequent class scores 2 of 8


def test_the_curve_has_a_row_per_epoch_and_its_parts_sum_up(toy: ClipTensors) -> None:
    train = subset(toy, range(12))
    history = fit(build_model(QUICK, toy.classes, 0), train, dataclasses.replace(CPU, epochs=3), seed=0)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for row in history:
        assert row["loss"] == pytest.approx(row["loss_class"] + row["loss_auxiliary"])
        assert 0 <= row["accuracy"] <= 1
        assert set(row) == {"epoch", "lr", "loss", "loss_class", "loss_auxiliary", "accuracy"}, (
            "of training clips alone"
        )


def test_same_seed_same_bytes_whatever_ran_before(toy: ClipTensors) -> None:
    train, settings = subset(toy, range(20)), dataclasses.replace(CPU, epochs=2)
    first = trained(train, settings)
    torch.manual_seed(123)
    torch.randn(10)
    before = torch.get_rng_state()
    assert same(first, trained(train, settings))
    assert torch.equal(before, torch.get_rng_state())
    assert not same(first, trained(train, settings, seed=4))


def test_test_clips_change_nothing_in_training(toy: ClipTensors) -> None:
    """The whole path of a fold, with the test clips replaced by something a thousand times stronger."""
    rows, settings = range(20), dataclasses.replace(CPU, epochs=1)
    wild = dataclasses.replace(toy, inputs={n: torch.cat([x[:20], x[20:] * 1e3]) for n, x in toy.inputs.items()})
    results = []
    for data in (toy, wild):
        train = subset(data, rows)
        results.append(trained(Scaler.fit(train)(train), settings))
    assert same(*results)


def test_the_mode_of_the_model_is_restored(toy: ClipTensors) -> None:
    model = build_model(QUICK, toy.classes, 0).eval()
    fit(model, subset(toy, range(8)), dataclasses.replace(CPU, epochs=1))
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("n", [1, 17])
def test_odd_numbers_of_clips_and_absent_classes_train(toy: ClipTensors, n: int) -> None:
    history = fit(
        build_model(QUICK, toy.classes, 0), subset(toy, range(n)), settings=dataclasses.replace(CPU, epochs=1)
    )
    assert history[0]["loss"] > 0


def test_clips_that_do_not_fit_are_refused_before_training(toy: ClipTensors) -> None:
    model = build_model(QUICK, toy.classes, 0)
    half = dataclasses.replace(toy, inputs={"temporal_ranked": toy.inputs["temporal_ranked"]})
    with pytest.raises(ValueError, match="input 'motion_intensity' is missing"):
        fit(model, half, settings=CPU)
    with pytest.raises(ValueError, match="apart"):
        fit(model, dataclasses.replace(toy, classes=tuple(reversed(toy.classes))), settings=CPU)
    with pytest.raises(ValueError, match="a label for every one"):
        fit(model, dataclasses.replace(toy, labels=torch.full_like(toy.labels, -1)), settings=CPU)
    with pytest.raises(ValueError, match="needs clips"):
        fit(model, subset(toy, []), settings=CPU)


def test_a_loss_that_blows_up_is_an_error_of_one_sentence(toy: ClipTensors) -> None:
    few = subset(toy, range(8))
    endless = dataclasses.replace(few, inputs={n: x * float("inf") for n, x in few.inputs.items()})
    with pytest.raises(ToolkitError, match="not finite in epoch 1") as caught:
        fit(build_model(QUICK, toy.classes, 0), endless, settings=dataclasses.replace(CPU, epochs=1))
    assert "\n" not in str(caught.value)


def test_the_rate_rises_then_falls() -> None:
    settings = FitSettings(lr=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    peak = rates.index(max(rates))
    assert 9 <= peak <= 10 and max(rates) == pytest.approx(1, abs=0.01)
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert learning_rate(0, 1, settings) > 0  # a single step still learns


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"weight_decay": -1.0}, {"warmup": 1.0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FitSettings(**wrong)


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert resolve_device("cpu") == cpu
    assert resolve_precision("auto", cpu) == "fp32"
    assert resolve_precision("bf16", cpu) == "bf16"
    with pytest.raises(ValueError, match="tpu"):
        resolve_device("tpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fp8"):
        resolve_precision("fp8", cpu)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == cpu
    with pytest.raises(EnvironmentProblemError, match="use device = 'auto'"):
        resolve_device("cuda")


def test_bf16_training_is_finite_and_another_setting_than_fp32(toy: ClipTensors) -> None:
    train = subset(toy, range(16))
    half = trained(train, dataclasses.replace(CPU, epochs=1, precision="bf16"))
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in half.parameters())
    assert not same(half, trained(train, dataclasses.replace(CPU, epochs=1)))


def test_fold_seeds_are_stable_and_apart() -> None:
    assert fold_seed(0, "casme2/sub01") == 408_807_796_157_316_763
    seeds = {fold_seed(s, f"casme2/sub{i:02d}") for s in range(5) for i in range(40)}
    assert len(seeds) == 200 and all(0 <= s < 2**63 for s in seeds)


def test_an_unseen_subject_is_recognised(make_toy: Callable[..., ClipTensors]) -> None:
    table = leave_one_subject_out(make_toy(n_subjects=5, size=32, seed=1), dataclasses.replace(CPU, epochs=40))
    assert (table["y_true"] == table["y_pred"]).mean() > 0.7  # chance scores 0.2
    assert set(INPUTS) == {c.removeprefix("gate_") for c in table.columns if c.startswith("gate_")}


@pytest.mark.slow
def test_labels_without_information_are_at_chance(make_toy: Callable[..., ClipTensors]) -> None:
    """100 clips at chance 0.2: standard deviation 0.04."""
    data = make_toy(n_subjects=10, seed=2)
    settings = dataclasses.replace(CPU, epochs=15)
    score = {
        name: (table["y_true"] == table["y_pred"]).mean()
        for name, clips in (("true", data), ("permuted", permuted(data, seed=0)))
        for table in [leave_one_subject_out(clips, settings)]
    }
    assert score["true"] > 0.7
    assert score["permuted"] < 0.32
