"""Clips with several labels through training, by hand and by the command line: action units, joint emotions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from experiments import options
from experiments.cli import app
from experiments.runs.classical import SVMSettings
from experiments.runs.folds import class_list, data_digest, pooled_answers, train_fold
from experiments.runs.kernel_machines import ImageSVMSettings
from experiments.runs.system_registry import find_system, make_system
from experiments.runs.systems import Network, System
from experiments.scoring.metrics import score
from experiments.scoring.protocols import leave_one_subject_out
from fusion_net import AFN, ClipTensors, FitSettings
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import write_manifest
from preprocessing.errors import UsageError
from tests.experiments.fake_stages import write_stages


def macro_f1(data: ClipTensors, system: System) -> float:
    table, _ = pooled_answers(data, leave_one_subject_out(data.subjects), system, (0,))
    found = score(table, class_list(data)).uf1
    assert found is not None
    return found


def test_every_kind_of_system_learns_labels_that_occur_together(set_data: ClipTensors, tiny: Network) -> None:
    """Every label for every clip scores 2 p / (1 + p), 0.65 here."""
    share = set_data.targets.mean(0)  # type: ignore[union-attr]
    floor = float((2 * share / (1 + share)).mean())
    always = macro_f1(set_data, make_system("always", None))
    assert always == pytest.approx(floor, abs=1e-6)
    assert macro_f1(set_data, make_system("svm", SVMSettings(costs=(0.01, 0.1)))) > 0.8
    images = ("temporal_ranked", "motion_intensity")
    plain = make_system("image_svm", ImageSVMSettings(images, zero="keep", kernels=("linear",), costs=(1.0,)))
    assert macro_f1(set_data, plain) > 0.75
    fit = FitSettings(epochs=40, lr=0.01, device="cpu", augment=dataclasses.replace(tiny.training.augment, mirror=0))
    settings = dataclasses.replace(tiny.settings, grid=2, features=16, dropout=0)
    assert macro_f1(set_data, dataclasses.replace(tiny, settings=settings, training=fit)) > 0.8
    for name in ("majority", "permuted"):
        system = make_system(name, find_system(name).Settings())
        assert macro_f1(set_data, system) < floor, name


def test_chance_gives_a_clip_the_set_of_a_training_clip(set_data: ClipTensors) -> None:
    folds = leave_one_subject_out(set_data.subjects)
    table, _ = pooled_answers(set_data, folds, make_system("chance", None), range(5))
    assert set(table["y_pred"]) <= set(set_data.label_texts())


def test_a_network_answers_with_a_probability_for_each_label(set_data: ClipTensors, tiny: Network) -> None:
    fold = leave_one_subject_out(set_data.subjects)[0]
    table = train_fold(set_data, fold, 0, tiny).predictions
    p = table[[f"p_{name}" for name in set_data.classes]].to_numpy()
    assert not np.allclose(p.sum(axis=1), 1)
    assert [{name for name, x in zip(set_data.classes, row, strict=True) if x >= 0.5} for row in p] == [
        set() if text == "none" else set(text.split("+")) for text in table["y_pred"]
    ]


def test_a_label_that_no_training_clip_has_is_never_predicted_and_breaks_nothing(
    set_data: ClipTensors, tiny: Network
) -> None:
    assert set_data.targets is not None
    targets = set_data.targets.clone()
    targets[:, 2] = 0
    targets[0, 2] = 1  # in one clip of the first person, who is tested in the first fold
    data = dataclasses.replace(set_data, targets=targets)
    first = leave_one_subject_out(data.subjects)[:1]
    table, _ = pooled_answers(data, first, make_system("svm", SVMSettings(costs=(0.01, 0.1))), (0,))
    assert not table["y_pred"].str.contains(data.classes[2]).any()
    pooled_answers(data, first, tiny, (0,))


def test_floors_for_sets_refuse_clips_with_one_class(toy_data: ClipTensors) -> None:
    for name in ("always", "permuted"):
        system = make_system(name, SVMSettings())
        with pytest.raises(UsageError, match=f"{name} is for clips with several labels"):
            pooled_answers(toy_data, leave_one_subject_out(toy_data.subjects), system, (0,))


def test_a_model_with_a_softmax_of_its_own_refuses_sets(set_data: ClipTensors, tiny: Network) -> None:
    class OneClass(AFN):
        SETS = False

    with pytest.raises(UsageError, match="learns one class for each clip"):
        pooled_answers(
            set_data, leave_one_subject_out(set_data.subjects), dataclasses.replace(tiny, model=OneClass), (0,)
        )


def test_other_targets_are_other_data(set_data: ClipTensors) -> None:
    assert set_data.targets is not None
    assert data_digest(set_data) != data_digest(dataclasses.replace(set_data, targets=1 - set_data.targets))
    with pytest.raises(ValueError, match="wanted"):
        dataclasses.replace(set_data, targets=torch.zeros(len(set_data), 2))


# by the command line

QUICK = (
    *("--jobs", "1", "--seeds", "1", "--set", "fit.epochs=1", "--set", "afn.features=8"),
    *("--set", "evaluation.input_size=16", "--set", "fit.device=cpu"),
)
CHEAP = ("--jobs", "1", "--set", "svm.costs=[0.01]")
UNITS = ("--set", "evaluation.scheme=action_units")
LISTED = (*UNITS, "--set", "evaluation.units=[1,4,12]", "--set", "evaluation.protocol=leave_one_dataset_out")
CELLS = ("4+7", "L12", "12B+4", "R14", "ref(4)+12", None)


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options.out, "_width", 200)  # COLUMNS is read once, when whatever imports it first


def mer(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output or repr(result.exception)
    return result.output


@pytest.fixture
def caches() -> None:
    """Look-alike caches of three data sets without a common label scheme: three subjects with four clips each."""
    rng = np.random.default_rng(0)
    words = {"casme2": ("disgust", "others"), "casme": ("tense", "fear"), "4dme": ("negative", "surprise+positive")}
    for name, emotions in words.items():
        rows = []
        for i in range(12):
            clip_id, images = f"{name}/s{i % 3}/c{i}", ("temporal_ranked", "motion_intensity")
            arrays = {image: rng.normal(size=(16, 16, 3)).astype(np.float32) for image in images}
            flow = rng.normal(size=(3, 8, 8, 2)).astype(np.float16)
            write_stages(clip_folder(Path("cache") / name, clip_id), arrays, flow)
            facts = {f"{image}_energy": 1.0 for image in images}
            facts |= {"status": "ok", "code": "", "reason": "", "onset": 0, "apex": 1, "offset": 2}
            labels = {"emotion": emotions[i % 2], "action_units": CELLS[(i + i // 6) % len(CELLS)]}
            rows.append({"clip_id": clip_id, "subject": f"{name}/s{i % 3}", **labels, **facts})
        write_manifest(Path("cache") / name, rows)


@pytest.mark.usefixtures("caches")
def test_action_units_over_data_sets_left_out_in_turn() -> None:
    said = mer("train", "casme2+casme+4dme", *QUICK, *LISTED)
    assert "label scheme action_units: 30 clips of 9 subjects, AU1 0, AU4 12, AU12 18; 6 of other classes" in said
    assert "Macro F1" in said and "Exact sets" in said and "F1 of “has it”" in said
    run = Path("runs/casme2+casme+4dme-afn")
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    assert set(table["fold"]) == {"casme2", "casme", "4dme"}
    assert {"p_AU1", "p_AU4", "p_AU12"} <= set(table.columns)
    assert set(table["y_true"]) <= {"AU4", "AU12", "AU4+AU12", "none"}
    metrics = json.loads((run / "metrics.json").read_text())
    rows = {row["system"]: row for row in metrics["rows"]}
    assert set(rows) == {"afn", "majority", "chance", "svm", "always", "permuted"}
    assert [part["dataset"] for part in metrics["datasets"]] == ["4dme", "casme", "casme2"]
    absent = metrics["classes"][0]
    assert (absent["name"], absent["clips"], absent["recall"]) == ("AU1", 0, None)
    page = (run / "report.html").read_text("utf-8")
    assert "Macro F1" in page and "A clip may have several labels or none" in page and 'id="confusion"' not in page
    assert "every label always" in mer("score", str(run / "predictions.csv"), "--sets", "--classes", "AU1,AU4,AU12")
    assert "add --sets" in mer("score", str(run / "predictions.csv"))


@pytest.mark.slow
@pytest.mark.usefixtures("caches")
def test_a_run_on_units_is_resumed_and_compared() -> None:
    mer("train", "casme2+casme+4dme", *QUICK, *LISTED)
    run = Path("runs/casme2+casme+4dme-afn")
    before = {path: path.stat().st_mtime_ns for path in run.glob("folds/*/done.json")}
    mer("train", "casme2+casme+4dme", *QUICK, *LISTED)
    assert {path: path.stat().st_mtime_ns for path in run.glob("folds/*/done.json")} == before
    mer("train", "casme2+casme+4dme", "--model", "svm", "--name", "svm", *CHEAP, *LISTED)
    said = mer("compare", str(run), "runs/svm", "--no-cost")
    assert "svm minus casme2+casme+4dme-afn" in said and "| run | Exact sets | Macro F1 | Mean recall |" in said


@pytest.mark.usefixtures("caches")
def test_joint_emotions_are_trained_on_and_not_dropped_in_silence() -> None:
    said = mer("train", "4dme", "--model", "svm", "--name", "joint", *CHEAP, "--set", "evaluation.scheme=joint")
    assert "label scheme joint, 5: 12 clips of 3 subjects, negative 6, positive 6, surprise 6, repression 0" in said
    truth = pd.read_csv("runs/joint/predictions.csv")["y_true"]
    assert truth.value_counts().to_dict() == {"negative": 6, "positive+surprise": 6}
    said = mer("train", "4dme", "--model", "svm", "--name", "single", *CHEAP)
    assert "6 of other classes (6 with a joint label: evaluation.scheme=joint keeps them)" in said


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("train", "4dme", "--final", *UNITS, "--set", "evaluation.unit_clips=2"), "mer train --final is for clips", 2),
        (("train", "--null", *UNITS), "permutes the emotions of the drawn clips, not their action units", 2),
        (("train", "4dme", "--set", "evaluation.units=[4]"), "units and unit_clips have no effect with scheme None", 2),
        (("train", "4dme", *UNITS, "--set", "evaluation.units=[]"), "wanted numbers of action units", 2),
        (("train", "4dme", *UNITS, "--set", "evaluation.unit_clips=99"), "no label occurs in 99 clips or more", 1),
    ],
)
def test_what_sets_do_not_offer_is_refused(words: tuple[str, ...], message: str, code: int) -> None:
    assert message in mer(*words, code=code)


@pytest.mark.usefixtures("caches")
def test_a_run_on_sets_is_not_explained_or_compared_with_one_on_classes() -> None:
    mer("train", "casme2", *QUICK, *UNITS, "--set", "evaluation.unit_clips=2", "--name", "units")
    assert "mer explain is for clips with one class each" in mer("explain", "runs/units", code=2)
    mer("train", "casme2", *QUICK, "--name", "words", "--set", "evaluation.scheme=7")
    assert "in one of them a clip has one class" in mer("compare", "runs/units", "runs/words", code=1)
