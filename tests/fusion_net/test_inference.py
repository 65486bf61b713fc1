from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from fusion_net.augment import mirror
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, Model, build_model
from fusion_net.models.afn import INPUTS

SMALL = AFNSettings(widths=(8, 16), grid=2, features=16, gate_hidden=8)


@pytest.fixture
def clips(toy: ClipTensors) -> ClipTensors:
    return subset(Scaler.fit(toy)(toy), range(10))


@pytest.fixture
def model(toy: ClipTensors) -> Model:
    return build_model(SMALL, toy.classes, seed=1)


def numbers(table: pd.DataFrame) -> np.ndarray:
    return table.filter(regex="^(p|gate)_").to_numpy()


def test_one_row_per_clip_with_named_probabilities(model: Model, clips: ClipTensors) -> None:
    table = predict(model, clips)
    gates = [f"gate_{name}" for name in INPUTS]
    probabilities = [f"p_{name}" for name in clips.classes]
    assert list(table.columns) == ["clip_id", "subject", "y_true", "y_pred", *probabilities, *gates]
    assert tuple(table["clip_id"]) == clips.clip_ids and tuple(table["subject"]) == clips.subjects
    assert list(table["y_true"]) == [clips.classes[k] for k in clips.labels]
    np.testing.assert_allclose(table[probabilities].sum(axis=1), 1)
    np.testing.assert_allclose(table[gates].sum(axis=1), 1, rtol=1e-6)
    assert list(table["y_pred"]) == [clips.classes[k] for k in table[probabilities].to_numpy().argmax(axis=1)]


def test_models_without_a_gate_have_no_gate_columns(clips: ClipTensors) -> None:
    table = predict(build_model(dataclasses.replace(SMALL, fusion="sum"), clips.classes, 0), clips)
    assert not [c for c in table.columns if c.startswith("gate")]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 100])
def test_the_batch_size_does_not_matter(model: Model, clips: ClipTensors, batch_size: int) -> None:
    np.testing.assert_allclose(
        numbers(predict(model, clips, batch_size=batch_size)), numbers(predict(model, clips)), atol=1e-6
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_dropout_is_off(model: Model, clips: ClipTensors, training: bool) -> None:
    model.train(training)
    first = predict(model, clips)
    assert model.training is training
    pd.testing.assert_frame_equal(first, predict(model, clips))
    assert all(p.grad is None for p in model.parameters())


def test_the_mode_is_restored_after_a_failure(model: Model, clips: ClipTensors) -> None:
    broken = dataclasses.replace(clips, inputs={n: x[:, :2] for n, x in clips.inputs.items()})
    model.train()
    with pytest.raises(RuntimeError):
        predict(model, broken)
    assert model.training


def test_a_clip_and_its_mirror_image_get_the_same_answer(model: Model, clips: ClipTensors) -> None:
    flipped = dataclasses.replace(clips, inputs={n: mirror(x) for n, x in clips.inputs.items()})
    np.testing.assert_allclose(numbers(predict(model, clips)), numbers(predict(model, flipped)), atol=1e-6)
    plain = numbers(predict(model, clips, mirrored=False)), numbers(predict(model, flipped, mirrored=False))
    assert np.abs(plain[0] - plain[1]).max() > 1e-4


def test_clips_without_labels_are_predicted(model: Model, clips: ClipTensors) -> None:
    table = predict(model, dataclasses.replace(clips, labels=torch.full_like(clips.labels, -1)))
    assert list(table["y_true"]) == [""] * 10
    pd.testing.assert_frame_equal(table.drop(columns="y_true"), predict(model, clips).drop(columns="y_true"))


def test_arguments_that_make_no_sense_are_refused(model: Model, clips: ClipTensors) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        predict(model, clips, batch_size=0)
    half = dataclasses.replace(clips, inputs={"temporal_ranked": clips.inputs["temporal_ranked"]})
    with pytest.raises(ValueError, match="input 'motion_intensity' is missing"):
        predict(model, half)
