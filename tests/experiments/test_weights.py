"""Weights from made-up motion: they are learnt, they are shipped whole, and they answer videos and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from dynamic_images.made_up import MadeUpSettings, recipes
from experiments.pretraining import mean_of
from experiments.progress import Progress, progress
from experiments.scoring.prediction_log import assess, read_log
from experiments.stream_predictions import predict_streams
from experiments.weights import WeightSettings, train
from fusion_net.checkpoint import load
from fusion_net.models.motion_net import SHIPPED, centred, shipped
from preprocessing.errors import UsageError
from preprocessing.synthetic.action_units import CODES
from preprocessing.synthetic.precomputed_example import ExampleSettings, write_example


@pytest.fixture
def quiet() -> Progress:
    return lambda title: progress(title, Console(quiet=True))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_loads_and_says_what_it_is(name: str) -> None:
    """Also after a stage has a new version: the weights know of it, or are made again."""
    checkpoint = load(shipped(name))
    assert checkpoint.about["training"]["dataset"] == "made-up motion"
    assert checkpoint.model.classes == (CODES if name == "units" else tuple(recipes(name)))
    assert "No face, real or drawn, was ever seen" in (shipped(name) / "model_card.md").read_text("utf-8")
    assert sum(path.stat().st_size for path in shipped(name).iterdir()) < 3e6


@pytest.mark.slow
def test_a_little_training_learns_and_permuted_labels_do_not(tmp_path: Path, quiet: Progress) -> None:
    settings = WeightSettings(clips=1900, held_out=100, epochs=4, people=10, motion=MadeUpSettings(fine=1))
    found = train(settings, tmp_path / "a", 1, quiet)
    assert found["3"]["accuracy"] > 0.6  # a third by chance
    again = train(settings, tmp_path / "b", 2, quiet)
    assert again == found
    names = ("motion_3/model.safetensors", "motion_units/model.safetensors")
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_the_network_sees_neither_shift_nor_strength() -> None:
    x = torch.randn(2, 3, 28, 28)
    torch.testing.assert_close(centred(x + 3), centred(x))
    assert float((centred(5 * x) - centred(x)).abs().max()) < 0.3 * float(centred(x).abs().max())
    assert float(centred(0.01 * x).abs().max()) < 0.1 * float(centred(x).abs().max()), "and a still face stays still"


def test_a_table_of_streams_is_answered_and_can_be_scored(tmp_path: Path) -> None:
    """Of made-up images of three labs the weights, which saw none of them, are right far more often than chance."""
    table = write_example(tmp_path / "streams", ExampleSettings())
    answers = predict_streams(table, shipped("3"), tmp_path / "out", 1)
    assert set(answers["y_true"]) == set(recipes("3"))
    found = assess(read_log(tmp_path / "out" / "predictions.csv"))
    assert found.rows[0]["uf1"]["value"] > 0.5  # one class alone scores 0.24
    with pytest.raises(UsageError, match="wanted a model of one flow map"):
        predict_streams(table, _two_images(tmp_path / "model"), tmp_path / "out", 1)


def _two_images(folder: Path) -> Path:
    from fusion_net.checkpoint import Checkpoint, save
    from fusion_net.inputs import Scaler
    from fusion_net.models import AFNSettings, build_model

    model = build_model(AFNSettings(widths=(8,), grid=1, features=8), ("a", "b"), 0)
    save(folder, Checkpoint(model, Scaler({one.name: 1.0 for one in model.inputs}), 32))
    return folder


def test_the_mean_of_two_answers() -> None:
    first = pd.DataFrame({"clip_id": ["a", "b"], "p_x": [0.9, 0.4], "p_y": [0.1, 0.6]})
    second = pd.DataFrame({"clip_id": ["b", "a"], "y_pred": ["x", "y"], "p_x": [0.8, 0.3], "p_y": [0.2, 0.7]})
    found = mean_of(first, second)
    np.testing.assert_allclose(found["p_x"], [0.6, 0.6])
    assert found["y_pred"].tolist() == ["x", "x"]
