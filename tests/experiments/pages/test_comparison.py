from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from experiments.pages.comparison import compare, markdown, read_runs, write_comparison
from experiments.runs.cost import measure, multiply_adds
from experiments.runs.run import read_json, read_predictions, to_csv, write_json
from fusion_net.models import AFNSettings, build_model
from preprocessing.errors import ToolkitError, UsageError
from tests.experiments.pages.test_report import Page


def edit(run: Path, change: object) -> None:
    table = read_predictions(run / "predictions.csv")
    (run / "predictions.csv").write_text(to_csv(change(table)))  # type: ignore[operator]


def test_two_models_stand_side_by_side(finished: Path, ranked: Path, tmp_path: Path) -> None:
    runs = read_runs([finished, ranked])
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
    assert [row["model"] for row in numbers["rows"]] == ["afn", "fdp"]
    (pair,) = numbers["pairs"]
    assert pair["uf1"].value == pytest.approx(numbers["rows"][1]["uf1"].value - numbers["rows"][0]["uf1"].value)
    assert [test["seed"] for test in pair["mcnemar"]] == [0, 1]
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe")
        assert all(not str(attributes.get(name, "#")).startswith("http") for name in ("src", "href"))
    assert "| ranked minus demo |" in markdown(numbers)


def test_per_class_and_per_subject_numbers_by_hand(finished: Path, tmp_path: Path) -> None:
    """One run right everywhere, one that always says the same."""
    perfect, dull = tmp_path / "perfect", tmp_path / "dull"
    for folder, change in (
        (perfect, lambda t: t.assign(y_pred=t["y_true"])),
        (dull, lambda t: t.assign(y_pred="calm")),
    ):
        shutil.copytree(finished, folder)
        edit(folder, change)
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
    finished: Path, tmp_path: Path, change: object, said: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    edit(other, change)
    with pytest.raises(ToolkitError, match=f"demo and other cannot be compared: .*{said}"):
        read_runs([finished, other])


def test_other_classes_are_refused(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    write_json(other / "run.json", read_json(other / "run.json") | {"classes": ["calm", "happy", "other", "more"]})
    edit(other, lambda t: t.assign(p_more=0.0))
    with pytest.raises(ToolkitError, match="the classes are calm, happy, other and calm, happy, other, more"):
        read_runs([finished, other])


def test_too_few_runs_and_no_runs(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        read_runs([finished])
    with pytest.raises(UsageError, match="1 named twice"):
        read_runs([finished, finished])
    with pytest.raises(ToolkitError, match=r"run\.json does not exist"):
        read_runs([finished, tmp_path / "nothing"])


def test_different_seeds_are_said(finished: Path, ranked: Path, tmp_path: Path) -> None:
    edit(ranked, lambda t: t[t["seed"] == 1])
    numbers = write_comparison(read_runs([finished, ranked]), tmp_path / "page.html")
    assert "different numbers of seeds (demo 2, ranked 1)" in (tmp_path / "page.html").read_text()
    assert [test["seed"] for test in numbers["pairs"][0]["mcnemar"]] == [1]


def test_costs_are_those_of_the_network_that_ran(finished: Path) -> None:
    about = read_json(finished / "run.json")
    cost = measure(about)
    assert cost.parameters == about["parameters"]
    assert cost.epoch_seconds > 0 and cost.clip_milliseconds > 0


def test_multiply_adds_of_a_network_by_hand() -> None:
    """One convolution of stride 2 over 3 channels, one linear layer, gate and heads, for two streams."""
    settings = AFNSettings(widths=(8,), grid=1, features=8, gate_hidden=4)
    model = build_model(settings, ("a", "b"), 0)

    inputs = {name: torch.zeros(5, 3, 16, 16) for name in model.INPUTS}
    stream = 8 * 8 * 8 * 3 * 9 + 8 * 8
    gate, heads = 16 * 4 + 4 * 16, 3 * 8 * 2
    assert multiply_adds(model, inputs) == 2 * stream + gate + heads
