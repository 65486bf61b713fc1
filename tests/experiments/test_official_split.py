"""A data set that its makers divided: trained on one part, tested once on the others, from a user's own table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from experiments.cli import app
from experiments.runs.classical import SVMSettings
from experiments.runs.folds import run_folds
from experiments.runs.run import Run
from experiments.runs.system_registry import make_system
from experiments.runs.systems import Answers, Fitted, Network, System, clip_table
from experiments.scoring.protocols import find_protocol
from fusion_net import ClipTensors

QUICK = (
    *("--jobs", "1", "--seeds", "2", "--set", "fit.epochs=1", "--set", "afn.features=8"),
    *("--set", "evaluation.input_size=16", "--set", "fit.device=cpu"),
)
OFFICIAL = ("--set", "evaluation.protocol=official_split")
PARTS = ("train", "train", "test_a", "test_b")


@pytest.fixture
def divided(toy_data: ClipTensors) -> ClipTensors:
    """The toy clips, of whose four subjects two are in the training part and one in each test set."""
    subjects = sorted(set(toy_data.subjects))
    part = dict(zip(subjects, PARTS, strict=True))
    return dataclasses.replace(toy_data, splits=tuple(part[subject] for subject in toy_data.subjects))


class Nosy(System):
    """Writes down in `SEEN` which subjects it is given, and when."""

    @property
    def title(self) -> str:
        return "Nosy"

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        SEEN.append(("fit", frozenset(train.subjects)))
        return NosyGuess()


class NosyGuess(Fitted):
    def answer(self, test: ClipTensors) -> Answers:
        SEEN.append(("answer", frozenset(test.subjects)))
        return Answers(clip_table(test).assign(y_pred=test.classes[0]))


SEEN: list[tuple[str, frozenset[str]]] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


def test_a_system_sees_the_training_part_and_then_all_tests_once(divided: ClipTensors, tmp_path: Path) -> None:
    folds = find_protocol("official_split", splits=divided.splits)(divided.subjects)
    run_folds(divided, folds, Run(tmp_path / "r"), Nosy("nosy", None, ()), seeds=(0, 1))
    train, tests = frozenset({"toy/s0", "toy/s1"}), frozenset({"toy/s2", "toy/s3"})
    assert list(SEEN) == [("fit", train), ("answer", tests)] * 2


@pytest.mark.parametrize("kind", ["svm", "afn"])
def test_what_is_learnt_does_not_depend_on_the_test_clips(
    divided: ClipTensors, tmp_path: Path, tiny: Network, kind: str
) -> None:
    """With other test clips the same answers come to a clip that stayed; a scale or a choice by them would show."""
    system: System = tiny if kind == "afn" else make_system("svm", SVMSettings(costs=(0.001, 0.01, 1.0)))
    other = torch.tensor([split == "test_b" for split in divided.splits])
    inputs = {
        name: torch.where(other.view(-1, *[1] * (x.ndim - 1)), 50 * x + 3, x) for name, x in divided.inputs.items()
    }
    answers = []
    for i, data in enumerate((divided, dataclasses.replace(divided, inputs=inputs))):
        folds = find_protocol("official_split", splits=data.splits)(data.subjects)
        table, _ = run_folds(data, folds, Run(tmp_path / f"r{i}"), system)
        answers.append(table[table["split"] == "test_a"].reset_index(drop=True))
    pd.testing.assert_frame_equal(*answers)


def test_choices_within_the_training_part_touch_no_test_clip(divided: ClipTensors, tmp_path: Path) -> None:
    folds = find_protocol("official_train", 2, divided.splits)(divided.subjects)
    table, _ = run_folds(divided, folds, Run(tmp_path / "r"), Nosy("nosy", None, ()))
    assert set(table["subject"]) == {"toy/s0", "toy/s1"}
    assert {subject for _, seen in SEEN for subject in seen} == {"toy/s0", "toy/s1"}


# by the command line, from a CSV of one's own


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def mer(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output or repr(result.exception)
    return result.output


def write_table(path: Path, split: bool = True) -> Path:
    """48 clips of eight people, three labels that brightness tells; people 0 to 3 train, 4 and 5 are test A."""
    lines = ["clip_id,subject,label,stream_a,stream_b" + (",split" if split else "")]
    for i in range(48):
        image = np.full((12, 12, 3), 60 + 60 * (i % 3), np.uint8)
        cv2.imwrite(str(path / f"{i}.png"), image + np.uint8(i // 6))
        part = ("," + ("train", "train", "Test_A", "test_b")[i // 12]) if split else ""
        lines.append(f'c{i},{i // 6},{("no", "yes", "both")[i % 3]},{i}.png#0,"{i}.png#1,2"{part}')
    (path / "streams.csv").write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_ones_own_is_trained_resumed_scored_and_compared(tmp_path: Path) -> None:
    write_table(tmp_path)
    said = mer("train", "streams", "--root", ".", *QUICK, *OFFICIAL)
    assert "the same predictions by test set" in said and "test_a" in said
    run = Path("runs/streams-afn")
    predictions = pd.read_csv(run / "predictions.csv")
    assert predictions.groupby("split").size().to_dict() == {"test_a": 24, "test_b": 24}
    assert set(predictions["fold"]) == {"official_split"}
    about, metrics = (json.loads((run / name).read_text()) for name in ("run.json", "metrics.json"))
    assert about["protocol"] == "official split, train to test_a and test_b"
    assert [(part["split"], part["rows"][0]["clips"]) for part in metrics["splits"]] == [("test_a", 12), ("test_b", 12)]
    assert all({"low", "high"} <= set(row["uf1"]) for part in metrics["splits"] for row in part["rows"])
    assert {row["system"]: row["accuracy"]["value"] for row in metrics["splits"][0]["rows"]}["svm"] == 1
    page = (run / "report.html").read_text("utf-8")
    assert "Test set by test set" in page and "1 fold." in page
    done = {path: path.stat().st_mtime_ns for path in run.glob("folds/*/done.json")}
    before = (run / "metrics.json").read_bytes()
    mer("train", "streams", *QUICK, *OFFICIAL)
    assert {path: path.stat().st_mtime_ns for path in run.glob("folds/*/done.json")} == done
    assert (run / "metrics.json").read_bytes() == before
    scored = mer("score", str(run / "predictions.csv"))
    assert "test set test_a" in scored and "test set test_b" in scored
    mer("train", "streams", "--jobs", "1", "--model", "svm", "--name", "svm", *OFFICIAL)
    compared = mer("compare", str(run), "runs/svm", "--no-cost")
    assert compared.count("svm minus streams-afn") == 3 and "| test_b | accuracy | UF1 | UAR |" in compared
    assert "Test sets" in Path("runs/compare/streams-afn_svm.html").read_text("utf-8")
    together = mer("compare", str(run), "runs/svm", "--no-cost", "--seed-average")
    assert "| test_b | accuracy | UF1 | UAR |" in together
    within = ("--set", "evaluation.protocol=official_train", "--set", "evaluation.k=2")
    mer("train", "streams", "--jobs", "1", "--model", "svm", "--name", "within", *within)
    assert set(pd.read_csv("runs/within/predictions.csv")["subject"]) == {f"streams/{i}" for i in range(4)}


def test_a_data_set_without_parts_and_an_ablation_on_the_tests_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, split=False)
    assert "the data set has no official split" in mer("train", "streams", "--root", ".", *QUICK, *OFFICIAL, code=1)
    said = mer("ablate", "streams", "--root", ".", *QUICK, *OFFICIAL, code=2)
    assert "would choose by them" in said
