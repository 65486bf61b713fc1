"""motion.csv against the truth of drawn clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamic_images.pipeline import StageSettings, build_dataset
from experiments import motion_truth
from preprocessing.datasets import synthetic
from preprocessing.synthetic.corpus import generate
from preprocessing.synthetic.settings import CorpusSettings


@pytest.mark.slow
def test_regions_are_measured_and_no_zero_answer_does_as_well(tmp_path: Path) -> None:
    root = generate(tmp_path / "drawn", CorpusSettings(subjects=3, clips_per_subject=3, seed=3))
    build_dataset(synthetic.load(root), tmp_path / "cache", StageSettings())
    found = motion_truth.cases(root, tmp_path / "cache")
    rows = {row["quantity"]: row for row in motion_truth.measured_rows(found) + motion_truth.unit_rows(found)}
    error = rows["regions that move by more than 0.2 px of the crop, error at the apex"]
    assert error["value"] < 0.4 * float(error["wanted"].split(": ")[1])  # the zero answer scores 1.0 of it
    assert rows["regions that do not move, above their floor"]["value"] < 12
    assert rows["regions that move, above their floor"]["value"] > 75
    assert rows["direction error of those"]["value"] < 15  # a guess: 90
    assert rows["Brier score"]["value"] < 0.09  # the share for all: 0.12
