"""What every registered model must do, whatever it is: a new one in `MODELS` is tested here without a line about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from dynamic_images.clip_input import PLANAR
from fusion_net.activation_maps import METHODS, activation_maps
from fusion_net.augment import AugmentSettings
from fusion_net.checkpoint import Checkpoint, load, save
from fusion_net.export import _Whole, export_onnx
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.losses import smooth_targets
from fusion_net.models import MODELS, Model, build_model, model_of, name_of

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "afn": {"widths": (8, 16), "grid": 2, "features": 16, "gate_hidden": 8},
    "fdp": {"features": 16, "grid": 2, "frames": 4},
}
"""Smaller than by default, where that saves time; a model that is not named has its default settings."""
SIZES: Mapping[str, tuple[int, int]] = {"afn": (24, 40), "fdp": (16, 48)}
"""Two sides of pictures in px that the model supports; a model that is not named is tried with 32 and 64."""

PARITY = 1e-4
"""Between torch and ONNX. Both are fp32, 2^-23 = 1.2e-7 of relative rounding per operation; sums of a few hundred terms
in another order differ by some 1e-6 of logits of size 1. Other weights or an ignored input differ by more than 1e-2."""
ALONE = 1e-5
"""Between a clip alone and in a batch: the same sums, for another batch shape split up otherwise; see `PARITY`."""

VARIANTS = [
    (name, variant)
    for name, model in MODELS.items()
    for variant in model.variants(model.Settings(), model.uses(model.Settings()))
]
every_model = pytest.mark.parametrize("name", MODELS)


def made(name: str, seed: int = 1, **changes: object) -> Model:
    return build_model(MODELS[name].Settings(**{**SETTINGS.get(name, {}), **changes}), CLASSES, seed)


def sizes(name: str) -> tuple[int, int]:
    return SIZES.get(name, (32, 64))


def clips(model: Model, count: int, size: int, seed: int = 0) -> ClipTensors:
    """Clips of noise with the shapes of the model's inputs, as strong as dynamic images in grey levels."""
    random = torch.Generator().manual_seed(seed)
    inputs = {one.name: 6 * torch.randn(count, *one.shape(size), generator=random) for one in model.inputs}
    inputs |= {one.name: inputs[one.name].double() for one in model.inputs if one.kind == "features"}
    ids = tuple(f"toy/s{i % 2}/c{i}" for i in range(count))
    kinds = {one.name: one.kind for one in model.inputs}
    labels = torch.arange(count) % len(CLASSES)
    return ClipTensors(ids, tuple(i.rsplit("/", 1)[0] for i in ids), labels, CLASSES, inputs, kinds)


def scaled_batch(model: Model, data: ClipTensors) -> dict[str, Tensor]:
    """What `fit` hands to the model: inputs at their scale, targets and weights."""
    inputs = {name: x.float() for name, x in Scaler.fit(data)(data).inputs.items()}
    return inputs | {"target": smooth_targets(data.labels, len(CLASSES), 0.1), "weight": torch.ones(len(data))}


def can_mirror(model: Model) -> bool:
    return all(one.kind in PLANAR for one in model.inputs)


def unmirrored(model: Model) -> list[bool]:
    """The ways in which it can be used."""
    return [False, True] if can_mirror(model) else [False]


def answers(table: pd.DataFrame) -> np.ndarray:
    """Probabilities and the model's own columns."""
    return table.drop(columns=["clip_id", "subject", "y_true", "y_pred"]).to_numpy(float)


@every_model
class TestForward:
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("side", [0, 1])
    def test_logits_and_loss_are_finite(self, name: str, count: int, side: int) -> None:
        model = made(name)
        batch = scaled_batch(model, clips(model, count, sizes(name)[side]))
        output = model(batch)
        assert output.logits.shape == (count, len(CLASSES))
        assert torch.isfinite(output.logits).all()
        parts = model.loss(output, batch)
        assert parts and all(part.ndim == 0 and torch.isfinite(part) for part in parts.values())
        assert all(len(extra) == count for extra in output.extras.values())

    def test_in_bf16_they_are_finite_and_the_loss_is_added_up_in_fp32(self, name: str) -> None:
        model = made(name)
        batch = scaled_batch(model, clips(model, 3, sizes(name)[0]))
        with torch.autocast("cpu", torch.bfloat16):
            output = model(batch)
        parts = model.loss(output, batch)
        assert all(part.dtype == torch.float32 and torch.isfinite(part) for part in parts.values())

    def test_clips_of_a_batch_do_not_see_each_other(self, name: str) -> None:
        """Alone, and beside other clips: statistics of the batch or an attention over it would show."""
        model = made(name).eval()
        batch = scaled_batch(model, clips(model, 5, sizes(name)[0]))
        together = model(batch).logits
        alone = torch.cat([model({k: v[i : i + 1] for k, v in batch.items()}).logits for i in range(5)])
        torch.testing.assert_close(together, alone, atol=ALONE, rtol=ALONE)
        others = scaled_batch(model, clips(model, 5, sizes(name)[0], seed=9))
        beside = model({k: torch.cat([v[:1], others[k][1:]]) for k, v in batch.items()}).logits
        torch.testing.assert_close(together[0], beside[0], atol=ALONE, rtol=ALONE)
        assert (together[1:] - beside[1:]).abs().max() > 100 * ALONE, "and it looks at a clip at all"

    def test_every_input_has_a_say(self, name: str) -> None:
        model = made(name).eval()
        size = sizes(name)[0]
        batch, other = (scaled_batch(model, clips(model, 2, size, seed)) for seed in (0, 9))
        for one in model.inputs:
            changed = model(batch | {one.name: other[one.name]}).logits
            assert (changed - model(batch).logits).abs().max() > 1e-4

    def test_evaluation_repeats(self, name: str) -> None:
        model = made(name).eval()
        batch = scaled_batch(model, clips(model, 3, sizes(name)[0]))
        assert torch.equal(model(batch).logits, model(batch).logits)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_gradients_reach_every_parameter_of_every_variant(name: str, variant: str) -> None:
    """What gets none is never trained: a part that is built and not used, or cut off by ``detach``."""
    changes = MODELS[name].variants(MODELS[name].Settings(), MODELS[name].uses(MODELS[name].Settings()))[variant]
    model = made(name, **changes)
    batch = scaled_batch(model, clips(model, 4, sizes(name)[0]))
    torch.stack(list(model.loss(model(batch), batch).values())).sum().backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    assert [key for key, g in gradients.items() if g is None or not torch.isfinite(g).all() or not g.any()] == []


@every_model
def test_variants_begin_with_the_model_itself_and_differ_from_it(name: str) -> None:
    model, settings = MODELS[name], MODELS[name].Settings()
    first, *others = model.variants(settings, model.uses(settings)).values()
    assert dataclasses.replace(settings, **first) == settings
    changed = [dataclasses.replace(settings, **changes) for changes in others]
    assert settings not in changed and len({repr(one) for one in changed}) == len(changed)


@every_model
class TestSeeds:
    def test_weights_follow_from_the_seed_alone(self, name: str) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = made(name).state_dict()
        assert torch.equal(before, torch.get_rng_state())
        torch.manual_seed(2)
        again, other = made(name).state_dict(), made(name, seed=2).state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert any(not torch.equal(first[key], other[key]) for key in first)

    def test_training_gives_the_same_bytes_twice(self, name: str) -> None:
        """With everything that chance decides: order, augmentation, dropout."""
        model = made(name)
        augment = AugmentSettings() if can_mirror(model) else AugmentSettings(mirror=0)
        settings = FitSettings(epochs=1, batch_size=2, device="cpu", augment=augment)
        data = clips(model, 5, sizes(name)[0])
        states = []
        for _ in range(2):
            model = made(name)
            history = fit(model, Scaler.fit(data)(data), settings=settings, seed=3)
            assert np.isfinite(history[-1]["loss"])
            states.append(model.state_dict())
            torch.randn(3)
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        assert any(not torch.equal(value, made(name).state_dict()[key]) for key, value in states[0].items())


@every_model
class TestPredictions:
    def test_the_table_has_the_columns_that_the_model_promises(self, name: str) -> None:
        model = made(name)
        data = clips(model, 3, sizes(name)[0])
        table = predict(model, Scaler.fit(data)(data), mirrored=can_mirror(model))
        own = [f"p_{label}" for label in CLASSES]
        assert list(table)[: 4 + len(own)] == ["clip_id", "subject", "y_true", "y_pred", *own]
        rest = list(table)[4 + len(own) :]
        for column, ends in model.COLUMNS.items():
            found = [one for one in rest if one.startswith(f"{column}_")]
            assert found, f"{name} promises columns {column}_…"
            names = [one.name for one in model.inputs] if ends == "input" else range(1, len(found) + 1)
            assert found == [f"{column}_{end}" for end in names]
            rest = rest[len(found) :]
        assert rest == [], "and no others"
        assert np.isfinite(answers(table)).all()
        np.testing.assert_allclose(table[own].sum(axis=1), 1)

    def test_other_order_same_answers(self, name: str) -> None:
        """A row belongs to its clip, and no place in the table means anything."""
        model = made(name)
        data = clips(model, 5, sizes(name)[0])
        data = Scaler.fit(data)(data)
        order = [3, 0, 4, 1, 2]
        whole, permuted = (
            predict(model, one, batch_size=2, mirrored=can_mirror(model)) for one in (data, subset(data, order))
        )
        assert list(permuted["clip_id"]) == [data.clip_ids[i] for i in order]
        np.testing.assert_allclose(answers(permuted), answers(whole)[order], atol=ALONE, rtol=ALONE)

    @pytest.mark.parametrize("training", [True, False])
    def test_the_mode_of_the_model_is_restored(self, name: str, training: bool) -> None:
        model = made(name).train(training)
        data = clips(model, 2, sizes(name)[0])
        first = predict(model, data, mirrored=can_mirror(model))
        assert all(module.training == training for module in model.modules())
        pd.testing.assert_frame_equal(first, predict(model, data, mirrored=can_mirror(model)))

    def test_what_it_shows_of_test_clips_has_a_row_per_clip(self, name: str) -> None:
        model = made(name)
        train, test = clips(model, 4, sizes(name)[0]), clips(model, 3, sizes(name)[0], seed=9)
        shown = model.examine(Scaler.fit(train), train, test)
        assert all(module.training for module in model.modules()), "the mode is restored"
        if shown is not None:
            assert len(shown.columns) == 3 and np.isfinite(shown.columns.to_numpy(float)).all()
            assert all(len(array) == 3 and np.isfinite(array).all() for array in shown.files.values())


@every_model
class TestFiles:
    def test_predictions_survive_saving_to_the_byte(self, name: str, tmp_path: Path) -> None:
        model = made(name, seed=7)
        data = clips(model, 3, sizes(name)[0])
        for mirrored in unmirrored(model):
            before = Checkpoint(model, Scaler.fit(data), sizes(name)[0], {"seed": 7}, mirrored=mirrored)
            save(tmp_path, before)
            after = load(tmp_path)
            assert type(after.model) is type(model) and after.model.settings == model.settings
            assert (after.model.inputs, after.mirrored, after.size) == (model.inputs, mirrored, sizes(name)[0])
            assert dict(after.scaler.scales) == dict(before.scaler.scales)
            first, again = (predict(one.model, one.scaler(data), mirrored=one.mirrored) for one in (before, after))
            pd.testing.assert_frame_equal(first, again, check_exact=True)

    def test_the_graph_that_is_exported_is_what_predict_does(self, name: str) -> None:
        """In torch, without the exporter: from unscaled inputs to probabilities, with the mirror image or without."""
        model = made(name, seed=3).eval()
        data = clips(model, 5, sizes(name)[0])
        found = []
        for mirrored in unmirrored(model):
            checkpoint = Checkpoint(model, Scaler.fit(data), sizes(name)[0], mirrored=mirrored)
            with torch.no_grad():
                _, probabilities, *_ = _Whole(checkpoint)(*(data.inputs[one.name].float() for one in model.inputs))
            table = predict(model, checkpoint.scaler(data), mirrored=mirrored)
            chances = table[[f"p_{label}" for label in CLASSES]].to_numpy()
            np.testing.assert_allclose(probabilities.numpy(), chances, atol=ALONE)
            found.append(probabilities)
        if len(found) == 2:
            assert (found[0] - found[1]).abs().max() > 10 * ALONE, "the mirror image changes something"


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        pytest.param(name, mirrored, marks=() if name == "afn" and mirrored else pytest.mark.slow)  # six seconds each
        for name in MODELS
        for mirrored in (True, False)
    ],
)
def test_onnx_answers_as_torch_does(name: str, mirrored: bool, tmp_path: Path) -> None:
    """For unscaled inputs and batches of 1 and 5."""
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    model = made(name, seed=3).eval()
    data = clips(model, 5, sizes(name)[0])
    checkpoint = Checkpoint(model, Scaler.fit(data), sizes(name)[0], mirrored=mirrored and can_mirror(model))
    path = export_onnx(checkpoint, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    scaled = checkpoint.scaler(data)
    table = predict(model, scaled, mirrored=checkpoint.mirrored)
    with torch.no_grad():
        logits = model({key: x.float() for key, x in scaled.inputs.items()}).logits.numpy()
    assert float(logits.std(axis=0).max()) > 10 * PARITY, "clips differ, so a constant answer would be seen"
    for rows in (slice(0, 1), slice(0, 5)):
        given = {key: x[rows].float().numpy() for key, x in data.inputs.items()}
        answer = dict(zip(outputs, session.run(None, given), strict=True))
        assert np.abs(answer.pop("logits") - logits[rows]).max() < PARITY
        chances = table[[f"p_{label}" for label in CLASSES]].to_numpy()[rows]
        assert np.abs(answer.pop("probabilities") - chances).max() < PARITY
        assert list(answer) == list(model.COLUMNS), "the model's own columns follow"
        for column, values in answer.items():
            expected = table.filter(regex=f"^{column}_").to_numpy()[rows]
            assert np.abs(values - expected).max() < PARITY * max(1, np.abs(expected).max())


@every_model
@pytest.mark.parametrize("method", METHODS)
def test_maps_lie_over_inputs_or_are_refused(name: str, method: Any) -> None:
    model = made(name)
    data = clips(model, 3, sizes(name)[1])
    layers = model.map_layers()
    if not layers:
        with pytest.raises(ValueError, match="names no layers that a map could show"):
            activation_maps(model, data, [0, 1, 2], method)
        return
    assert set(layers) <= {one.name for one in model.inputs}
    for maps in activation_maps(model, data, [0, 1, 2], method, mirrored=can_mirror(model)).values():
        assert maps.shape[0] == 3 and maps.ndim == 3 and np.isfinite(maps).all()
        assert (maps.std(axis=(1, 2)) > 0).all(), "a map that is the same everywhere shows nothing"


@every_model
def test_it_is_known_by_its_name_and_its_settings(name: str) -> None:
    model = MODELS[name]
    assert name_of(model) == name and model_of(model.Settings()) is model
    assert dataclasses.is_dataclass(model.Settings) and model.Settings() == model.Settings()
    assert set(model.COLUMNS.values()) <= {"input", "place"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(model.Settings(), dataclasses.fields(model.Settings)[0].name, None)


def test_what_is_not_registered_is_refused() -> None:
    with pytest.raises(TypeError, match=", ".join(MODELS)):
        build_model(object(), CLASSES, 0)
    with pytest.raises(TypeError, match=r"Model is not registered among the models \(afn, fdp"):
        name_of(Model)
