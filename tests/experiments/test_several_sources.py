"""Precomputed streams and composites by the command line, small: train, protocols, ablation, report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.runs.folds import train_fold
from experiments.runs.system_registry import make_system
from experiments.scoring.protocols import Fold
from fusion_net import AFNSettings, AugmentSettings, ClipTensors, FitSettings
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest, write_manifest
from tests.experiments.fake_stages import write_stages

QUICK = (
    *("--jobs", "1", "--seeds", "1", "--set", "fit.epochs=1", "--set", "afn.features=8"),
    *("--set", "evaluation.input_size=16", "--set", "fit.device=cpu"),
)
WORDS = ("negative", "positive", "surprise")


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def mer(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output or repr(result.exception)
    return result.output


def metrics(run: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(Path("runs", run, "metrics.json").read_text())
    return content


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """18 clips: three labels, subjects 1 to 3 of two data sets; the label is the brightness."""
    lines = ["clip_id,subject,label,stream_a,stream_b,dataset"]
    for i in range(18):
        image = np.full((12, 12, 3), 60 + 60 * (i % 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image + np.uint8(i))
        lines.append(f'c{i % 9},{i // 3 % 3},{WORDS[i % 3]},{i}.png#0,"{i}.png#1,2",{"xy"[i // 9]}')
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_streams_train_and_are_reported_without_a_video(table: Path) -> None:
    said = mer("train", "streams", "--root", str(table), *QUICK)
    assert "svm" in said and "the same predictions by data set" in said
    run = Path("runs/streams-afn")
    predictions = pd.read_csv(run / "predictions.csv")
    assert predictions["subject"].nunique() == 6, "subject 1 of two data sets is two people"
    assert len(predictions) == 18
    about = json.loads((run / "run.json").read_text())
    assert about["protocol"] == "leave one subject out"
    assert about["classes"] == list(WORDS)
    assert about["inputs"] == {"stream_a": [3, 16, 16], "stream_b": [3, 16, 16]}
    assert (about["settings"]["widths"], about["fit"]["augment"]["mirror"]) == ([16, 32], 0)
    assert [part["dataset"] for part in metrics("streams-afn")["datasets"]] == ["x", "y"]  # type: ignore[attr-defined]
    page = (run / "report.html").read_text("utf-8")
    for words in (
        "stream a",
        "stream b",
        "Linear SVM on coarse images",
        "Data set by data set",
        "±127 units of the file",
    ):
        assert words in page
    for words in ("TRDI", "MIDI", "temporal ranked", "motion intensity", "? frames", "on flow"):
        assert words not in page, words
    assert page.count("data:image/png") >= 2 * 12
    before = (run / "report.html").read_bytes()
    mer("report", str(run))
    assert (run / "report.html").read_bytes() == before


def test_the_svm_on_coarse_images_finds_a_signal_that_is_there(table: Path) -> None:
    """Chance scores a third here; brightness alone tells the labels apart."""
    mer("train", "streams", "--root", str(table), *QUICK)
    rows = {row["system"]: row for row in metrics("streams-afn")["rows"]}  # type: ignore[attr-defined]
    assert rows["svm"]["accuracy"]["value"] == 1


def test_protocols_by_name(table: Path) -> None:
    mer("train", "streams", "--root", str(table), *QUICK, "--set", "evaluation.protocol=leave_one_dataset_out")
    assert set(pd.read_csv("runs/streams-afn/predictions.csv")["fold"]) == {"x", "y"}
    mer("train", "streams", *QUICK, "--name", "k", "--set", "evaluation.protocol=k_fold", "--set", "evaluation.k=2")
    assert set(pd.read_csv("runs/k/predictions.csv")["fold"]) == {"01of02", "02of02"}
    assert "subject k-fold, k = 2" in Path("runs/k/report.html").read_text("utf-8")


def test_ablations_name_the_streams(table: Path) -> None:
    said = mer("ablate", "streams", "--root", str(table), *QUICK)
    assert "| stream_a_only |" in said and "temporal_only" not in said


def test_one_data_set_cannot_be_left_out(table: Path) -> None:
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:10]) + "\n")
    words = ("train", "streams", "--root", str(table), *QUICK, "--set", "evaluation.protocol=leave_one_dataset_out")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "leave_one_dataset_out: all 9 clips are of x, wanted two sets" in result.output
    assert not Path("runs").exists()


def test_mirrored_clips_are_asked_only_where_training_mirrored(toy_data: ClipTensors) -> None:
    """A class that is told by left and right: averaging with the mirror image would make it a toss-up."""
    images = toy_data.inputs["temporal_ranked"] * 0
    images[toy_data.labels == 0, :, :, :8] = 3
    images[toy_data.labels == 1, :, :, 8:] = 3
    data = ClipTensors(
        toy_data.clip_ids,
        toy_data.subjects,
        toy_data.labels,
        toy_data.classes,
        {"temporal_ranked": images, "motion_intensity": images},
    )
    settings = AFNSettings(widths=(8,), grid=2, features=16, gate_hidden=4, dropout=0)
    fit = FitSettings(epochs=60, lr=0.01, device="cpu", augment=AugmentSettings(mirror=0, noise=0, erase=0))
    fold = Fold("f", "toy/s0", tuple(range(6, 24)), tuple(range(6)))
    table = train_fold(data, fold, 0, make_system("afn", settings, fit)).predictions
    assert (table["y_true"] == table["y_pred"]).mean() == 1  # 1/3 to 2/3 where the mirror image has a say


@pytest.fixture
def members() -> None:
    """Look-alike caches of the three members: two subjects each, every class, flow and images of 16 px."""
    rng = np.random.default_rng(0)
    words = {"casme2": ("disgust", "happiness", "surprise", "others"), "samm": ("anger", "happiness", "surprise")}
    for name in ("casme2", "samm", "smic"):
        rows = []
        for i, word in enumerate(2 * words.get(name, WORDS)):
            clip_id = f"{name}/s{i % 2}/c{i}"
            names = ("temporal_ranked", "motion_intensity")
            images = {image: rng.normal(size=(16, 16, 3)).astype(np.float32) for image in names}
            flow = rng.normal(size=(3, 8, 8, 2)).astype(np.float16)
            write_stages(clip_folder(Path("cache") / name, clip_id), images, flow)
            facts = {f"{image}_energy": 1.0 for image in names}
            facts |= {"status": "ok", "code": "", "reason": "", "onset": 0, "apex": 1, "offset": 2}
            rows.append({"clip_id": clip_id, "subject": f"{name}/s{i % 2}", "emotion": word, **facts})
        write_manifest(Path("cache") / name, rows)


@pytest.mark.usefixtures("members")
def test_a_composite_is_trained_from_the_caches_of_its_members() -> None:
    said = mer("dataset", "megc2019")
    assert "megc2019: 18 clips of 6 subjects, published are 442 clips of 68 subjects" in said
    assert "casme2: 6 clips of 2 subjects (2 negative, 2 positive, 2 surprise), published are 145 clips of 24" in said
    mer("train", "megc2019", *QUICK)
    predictions = pd.read_csv("runs/megc2019-afn/predictions.csv")
    assert sorted({i.split("/")[0] for i in predictions["clip_id"]}) == ["casme2", "samm", "smic"]
    assert predictions["subject"].nunique() == predictions["fold"].nunique() == 6
    content = metrics("megc2019-afn")
    assert [part["dataset"] for part in content["datasets"]] == ["casme2", "samm", "smic"]  # type: ignore[attr-defined]
    assert "svm" in [row["system"] for row in content["rows"]]  # type: ignore[attr-defined]
    page = Path("runs/megc2019-afn/report.html").read_text("utf-8")
    assert "Usable but not evaluated: 2 × others" in page and page.count("data:image/png") >= 24
    names = re.search(r"<title>(.*?)</title>", page)
    assert names is not None and "casme2, samm, smic" in names[1]


@pytest.mark.usefixtures("members")
def test_a_composite_follows_its_members_and_its_list(tmp_path: Path) -> None:
    mer("train", "megc2019", *QUICK, "--set", "evaluation.protocol=leave_one_dataset_out")
    rows = read_manifest(Path("cache/smic"))
    write_manifest(Path("cache/smic"), rows.head(3).to_dict("records"))
    (tmp_path / "list.csv").write_text("smic,s0,c0,0\nsmic,s1,c1,2\ncasme2,sub09,c9,1\n")
    said = mer("dataset", "megc2019", "--check-csv", "list.csv")
    assert "smic: 3 clips" in said
    assert "label differs: smic/s1/c1 is positive here and surprise in smic s1 c1 (surprise, line 2)" in said
    assert "missing here: casme2 sub09 c9 (positive, line 3)" in said
    assert "not in the list: smic/s0/c2 (surprise)" in said
    assert "15 differences to list.csv" in said


@pytest.mark.slow
@pytest.mark.parametrize("null", [False, True])
def test_afn_learns_from_streams_what_is_there_and_nothing_from_permuted_labels(null: bool) -> None:
    """The example of docs/precomputed_images.md in four folds of whole subjects: chance scores a UF1 of 0.33."""
    mer("synth-streams", "example", *(["--null"] if null else []))
    options = ("--set", "streams.zero_b=black", "--set", "fit.epochs=12", "--seeds", "1", "--set", "fit.device=cpu")
    mer(
        "train",
        "streams",
        "--root",
        "example",
        *options,
        "--set",
        "evaluation.protocol=k_fold",
        "--set",
        "evaluation.k=4",
    )
    difference = {row["system"]: row["uf1"] for row in metrics("streams-afn")["differences"]}  # type: ignore[attr-defined]
    assert (difference["chance"]["low"] > 0.2) is not null
    if null:
        assert difference["chance"]["low"] < 0 < difference["chance"]["high"]
