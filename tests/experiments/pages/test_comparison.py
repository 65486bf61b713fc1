from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch

from experiments.pages.comparison import compare, markdown, read_runs, together, write_comparison
from experiments.runs.cost import measure, multiply_adds, training_clips
from experiments.runs.run import Run, to_csv, write_json
from fusion_net.models import AFNSettings, build_model
from preprocessing.errors import ToolkitError, UsageError
from tests.experiments.pages.test_report import Page


def edit(run: Run, change: object) -> None:
    run.predictions_file.write_text(to_csv(change(run.predictions())))  # type: ignore[operator]


def copied(run: Run, folder: Path) -> Run:
    return Run(Path(shutil.copytree(run.folder, folder)))


def test_two_models_stand_side_by_side(finished: Run, ranked: Run, tmp_path: Path) -> None:
    runs = read_runs([finished.folder, ranked.folder])
    numbers = write_comparison(runs, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not page.open
    text = " ".join(page.text.split())
    for wanted in (
        "demo and ranked",
        "2 runs on the same 24 clips of 4 subjects",
        "ranked minus demo",
        "toy/s3",
        "happy",
    ):
        assert wanted in text, wanted
    assert [row["model"] for row in numbers["rows"]] == ["AFN", "FDP"]
    (pair,) = numbers["pairs"]
    assert pair["uf1"].value == pytest.approx(numbers["rows"][1]["uf1"].value - numbers["rows"][0]["uf1"].value)
    assert [test["seed"] for test in pair["mcnemar"]] == [0, 1]
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe")
        assert all(not str(attributes.get(name, "#")).startswith("http") for name in ("src", "href"))
    assert "| ranked minus demo |" in markdown(numbers)


def test_a_network_and_a_system_without_one(finished: Run, separated: Run, tmp_path: Path) -> None:
    """What it costs to train is told of the network alone."""
    runs = read_runs([finished.folder, separated.folder])
    runs = [dataclasses.replace(run, cost=measure(run.about)) for run in runs]
    numbers = write_comparison(runs, tmp_path / "page.html")
    assert [row["model"] for row in numbers["rows"]] == ["AFN", "Linear SVM on flow statistics"]
    assert numbers["rows"][0]["cost"]["parameters"] == finished.about()["parameters"]
    assert numbers["rows"][1]["cost"] is None
    lines = markdown(numbers).splitlines()
    assert lines[2].startswith("| demo | ") and "n/a" not in lines[2]
    assert lines[3].startswith("| separated | ") and lines[3].endswith("| 1 | n/a | n/a | n/a | n/a |")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not page.open
    text = " ".join(page.text.split())
    assert "separated n/a n/a n/a n/a" in " ".join(re.sub("n/a", " n/a ", text).split())
    assert "different numbers of seeds (demo 2, separated 1)" in text


def test_per_class_and_per_subject_numbers_by_hand(finished: Run, tmp_path: Path) -> None:
    """One run right everywhere, one that always says the same."""
    perfect, dull = tmp_path / "perfect", tmp_path / "dull"
    for folder, change in (
        (perfect, lambda t: t.assign(y_pred=t["y_true"])),
        (dull, lambda t: t.assign(y_pred="calm")),
    ):
        edit(copied(finished, folder), change)
    numbers = compare(read_runs([dull, perfect]))
    calm = next(row for row in numbers["classes"] if row["name"] == "calm")
    assert calm["recall"] == [1, 1] and calm["f1"] == pytest.approx([0.5, 1]) and calm["clips"] == 8
    assert all(row["accuracy"] == pytest.approx([1 / 3, 1]) for row in numbers["subjects"])
    (pair,) = numbers["pairs"]
    assert pair["accuracy"].value == pytest.approx(2 / 3)
    assert all((t["only_first"], t["only_second"]) == (16, 0) for t in pair["mcnemar"])
    assert len(numbers["clips"]) == 16 and all(row["right"] == [0, 1] for row in numbers["clips"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[t["clip_id"] != "toy/s0/c0"], r"1 only in demo \(such as toy/s0/c0\)"),
        (
            lambda t: t.replace({"y_true": {"calm": "happy"}}),
            "8 clips have another label; toy/s0/c0 is 'calm' and 'happy'",
        ),
        (lambda t: t.assign(fold="one"), "subjects are held out in 4 and 1 folds"),
        (
            lambda t: t.assign(subject=t["subject"].replace("toy/s1", "toy/x"), fold=t["fold"]),
            "6 clips have another subject; toy/s1/c0 is 'toy/s1' and 'toy/x'",
        ),
    ],
)
def test_runs_that_differ_are_refused_and_it_is_said_how(
    finished: Run, tmp_path: Path, change: object, said: str
) -> None:
    other = copied(finished, tmp_path / "other")
    edit(other, change)
    with pytest.raises(ToolkitError, match=f"demo and other cannot be compared: .*{said}"):
        read_runs([finished.folder, other.folder])


def test_other_classes_are_refused(finished: Run, tmp_path: Path) -> None:
    other = copied(finished, tmp_path / "other")
    write_json(other.about_file, other.about() | {"classes": ["calm", "happy", "other", "more"]})
    edit(other, lambda t: t.assign(p_more=0.0))
    with pytest.raises(ToolkitError, match="the classes are calm, happy, other and calm, happy, other, more"):
        read_runs([finished.folder, other.folder])


def test_too_few_runs_and_no_runs(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        read_runs([finished.folder])
    with pytest.raises(UsageError, match="1 named twice"):
        read_runs([finished.folder, finished.folder])
    with pytest.raises(UsageError, match="nothing does not exist"):
        read_runs([finished.folder, tmp_path / "nothing"])


def test_different_seeds_are_said(finished: Run, ranked: Run, tmp_path: Path) -> None:
    edit(ranked, lambda t: t[t["seed"] == 1])
    numbers = write_comparison(read_runs([finished.folder, ranked.folder]), tmp_path / "page.html")
    assert "different numbers of seeds (demo 2, ranked 1)" in (tmp_path / "page.html").read_text()
    assert [test["seed"] for test in numbers["pairs"][0]["mcnemar"]] == [1]


def test_seeds_can_be_asked_together(finished: Run, separated: Run, tmp_path: Path) -> None:
    runs = read_runs([finished.folder, separated.folder])
    averaged = together(runs)
    assert [run.name for run in averaged] == [f"{runs[0].name}, seeds together", runs[1].name]
    assert set(averaged[0].predictions["seed"]) == {0} and averaged[1].predictions is runs[1].predictions
    write_comparison(averaged, tmp_path / "page.html")
    with pytest.raises(UsageError, match="--seed-average has no effect"):
        together(runs[1:])


def test_costs_are_those_of_the_network_that_ran(finished: Run) -> None:
    about = finished.about()
    cost = measure(about)
    assert cost is not None and cost.parameters == about["parameters"]
    assert cost.epoch_seconds > 0 and cost.clip_milliseconds > 0


def test_an_epoch_is_as_long_as_its_training_clips() -> None:
    """An official split has one fold, which by the rule of the others would train on no clip and cost nothing."""
    assert training_clips({"clips": 24, "folds": 4}, tested=24) == 18
    assert training_clips({"clips": 24, "folds": 1}, tested=10) == 14
    assert training_clips({"clips": 24, "folds": 2}, tested=10) == 5, "groups within the training part of 10 clips"


def test_multiply_adds_of_a_network_by_hand() -> None:
    """One convolution of stride 2 over 3 channels, one linear layer, gate and heads, for two streams."""
    settings = AFNSettings(widths=(8,), grid=1, features=8, gate_hidden=4)
    model = build_model(settings, ("a", "b"), 0)

    inputs = {name: torch.zeros(5, 3, 16, 16) for name in (one.name for one in model.inputs)}
    stream = 8 * 8 * 8 * 3 * 9 + 8 * 8
    gate, heads = 16 * 4 + 4 * 16, 3 * 8 * 2
    assert multiply_adds(model, inputs) == 2 * stream + gate + heads
