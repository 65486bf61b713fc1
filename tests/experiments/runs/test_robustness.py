"""Versions of test clips: training never sees them, answers come from them, and several are averaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.runs.classical import SVMSettings
from experiments.runs.folds import run_folds, train_fold
from experiments.runs.robustness import RECORDED, markdown, robustness
from experiments.runs.run import Run
from experiments.runs.system_registry import make_system
from experiments.runs.systems import Network, System
from experiments.runs.versions import MARK, as_version, versions_of, with_inputs, with_versions
from experiments.scoring.protocols import leave_one_subject_out
from fusion_net import ClipTensors

NAMES = ["temporal_ranked", "motion_intensity"]


def changed(data: ClipTensors, seed: int = 0, strength: float = 3.0) -> ClipTensors:
    """The same clips, noisier."""
    g = torch.Generator().manual_seed(seed)
    inputs = {name: x + strength * torch.randn(x.shape, generator=g, dtype=x.dtype) for name, x in data.inputs.items()}
    return dataclasses.replace(data, inputs=inputs)


@pytest.fixture(scope="module")
def both(toy_data: ClipTensors) -> ClipTensors:
    return with_versions(toy_data, {"noisy": changed(toy_data), "same": toy_data})


def test_versions_stand_beside_the_clips(both: ClipTensors, toy_data: ClipTensors) -> None:
    assert versions_of(both) == ["noisy", "same"] and versions_of(toy_data) == []
    part = with_inputs(both, NAMES)
    assert set(part.inputs) == {*NAMES, *(f"{n}{MARK}{v}" for n in NAMES for v in ("noisy", "same"))}
    again = as_version(both, NAMES, "same")
    assert all(again.inputs[name] is toy_data.inputs[name] for name in NAMES)
    other = dataclasses.replace(toy_data, clip_ids=toy_data.clip_ids[::-1])
    with pytest.raises(ValueError, match="version other is of other clips"):
        with_versions(toy_data, {"other": other})


def test_the_version_is_tested_and_the_clips_are_trained_on(toy_data: ClipTensors, tiny: Network) -> None:
    """Of training clips a version has no effect at all; of test clips it is what is seen."""
    fold = leave_one_subject_out(toy_data.subjects)[0]
    plain = train_fold(toy_data, fold, 0, tiny)
    same = train_fold(with_versions(toy_data, {"same": toy_data}), fold, 0, tiny)
    pd.testing.assert_frame_equal(plain.predictions, same.predictions)
    noisy = changed(toy_data)
    for name, x in noisy.inputs.items():
        noisy.inputs[name] = x.index_copy(0, torch.tensor(fold.test), toy_data.inputs[name][list(fold.test)])
    trained = train_fold(with_versions(toy_data, {"noisy": noisy}), fold, 0, tiny)
    pd.testing.assert_frame_equal(plain.predictions, trained.predictions)
    tested = train_fold(with_versions(toy_data, {"noisy": changed(toy_data)}), fold, 0, tiny)
    assert (tested.predictions["p_calm"] != plain.predictions["p_calm"]).all()


def test_probabilities_of_versions_are_averaged(both: ClipTensors, toy_data: ClipTensors, tiny: Network) -> None:
    fold = leave_one_subject_out(toy_data.subjects)[0]
    alone = [
        train_fold(with_versions(toy_data, {name: as_version(both, list(toy_data.inputs), name)}), fold, 0, tiny)
        for name in ("noisy", "same")
    ]
    found = train_fold(both, fold, 0, tiny).predictions
    columns = [f"p_{name}" for name in toy_data.classes]
    mean = np.mean([one.predictions[columns].to_numpy() for one in alone], axis=0)
    np.testing.assert_allclose(found[columns], mean, atol=1e-9)
    assert found["y_pred"].tolist() == [toy_data.classes[k] for k in mean.argmax(axis=1)]


def test_without_probabilities_the_commonest_answer_counts_and_of_equals_the_earliest(toy_data: ClipTensors) -> None:
    svm = make_system("svm", SVMSettings(costs=(0.01,)))
    fold = leave_one_subject_out(toy_data.subjects)[0]
    noisy = changed(toy_data)

    def said(**versions: ClipTensors) -> list[str]:
        return list(train_fold(with_versions(toy_data, versions), fold, 0, svm).predictions["y_pred"])

    one, other = said(a=toy_data), said(a=noisy)
    assert one != other
    assert said(a=toy_data, b=noisy) == one and said(a=noisy, b=toy_data) == other
    assert said(a=noisy, b=toy_data, c=toy_data) == one


@pytest.mark.parametrize("which", ["tiny", "svm"])
def test_a_card_trains_once_and_says_how_much_is_lost(
    which: str, both: ClipTensors, toy_data: ClipTensors, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    system: System = request.getfixturevalue(which)
    rows = robustness(both, system, tmp_path).set_index("variant")
    assert list(rows.index) == [RECORDED, "noisy", "same"]
    assert rows.loc["same", "uf1_minus_first"] == 0
    alone, _ = run_folds(toy_data, leave_one_subject_out(toy_data.subjects), Run(tmp_path / "alone"), system)
    right = (alone["y_true"] == alone["y_pred"]).mean()
    assert rows.loc[RECORDED, "accuracy"] == pytest.approx(right)
    text = markdown(rows.reset_index())
    assert text == (tmp_path / "robustness.md").read_text()
    assert "24 clips, 4 subjects, 1 seeds" in text and "| same |" in text


def test_finished_folds_of_a_card_are_not_trained_again(
    both: ClipTensors, svm: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = robustness(both, svm, tmp_path)
    monkeypatch.setattr(type(svm), "fit", None)
    pd.testing.assert_frame_equal(robustness(both, svm, tmp_path), first)
