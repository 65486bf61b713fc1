from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.pages.frame_ranking import quality_rows, rank_accuracy
from experiments.pages.report import write_report
from experiments.runs.run import Run, to_csv
from fusion_net.models.fdp.construction import IMAGES
from preprocessing.errors import ToolkitError
from tests.experiments.pages.test_report import Page


def test_rank_accuracy_by_hand() -> None:
    scores = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1], [1, 3, 2, 4]])
    assert rank_accuracy(scores).tolist() == pytest.approx([1, 0, 0.5, 5 / 6])


def test_rank_accuracy_of_some_pairs() -> None:
    """An expression that comes and goes: scores that follow it have the rise in order and the fall in reverse."""
    scores, side = np.array([[0.0, 1, 2, 1, 0]]), np.array([[True, True, True, False, False]])
    rise = side[:, :, None] & side[:, None, :]
    fall = (~side | (np.arange(5) == 2))[:, :, None] & (~side | (np.arange(5) == 2))[:, None, :]
    assert rank_accuracy(scores, rise).tolist() == [1]
    assert rank_accuracy(scores, fall).tolist() == [0]
    assert rank_accuracy(scores)[0] == pytest.approx(0.5)
    assert np.isnan(rank_accuracy(scores, np.zeros((1, 5, 5), bool))).all()


def test_quality_gains_are_paired_with_their_baseline() -> None:
    table = pd.DataFrame({"subject": ["a", "a", "b", "b"]})
    for name, values in (("", [30, 31, 32, 33]), ("_mean", [20, 21, 22, 23]), ("_constant", [31, 31, 31, 31])):
        table[f"psnr{name}"], table[f"ssim{name}"] = np.array(values, float), np.array(values) / 100
    drawn, mean, constant = quality_rows(table)
    assert (drawn["name"], drawn["psnr"].value, drawn["psnr_gain"]) == ("constructed", 31.5, None)
    assert (mean["psnr_gain"].value, mean["psnr_gain"].low, mean["psnr_gain"].high) == (10, 10, 10)
    assert constant["psnr_gain"].value == pytest.approx(0.5)


def test_the_page_shows_order_and_images(ranked: Run, toy_cache: Path) -> None:
    page = Page(write_report(ranked, toy_cache).read_text(encoding="utf-8"))
    assert not page.open
    text = " ".join(page.text.split())
    for wanted in (
        *("Frames in order", "random scores reach 0.5", "both frames up to the apex"),
        *("PSNR, dB", "training mean", "constant", "rank-pooled image of the same frames", "±12 grey levels"),
        *("One clip of each class, drawn (3, seed 0)", "Other clips (21, seed 0)", "20 ms; rank accuracy"),
    ):
        assert wanted in text, wanted
    curves = [svg["aria-label"] or "" for svg in page.all("svg")]
    assert sum(label.startswith("Scores and pooling weights of toy/") for label in curves) == 24
    assert sum((img.get("alt") or "").startswith("constructed image of toy/") for img in page.all("img")) == 24
    assert "#ranking" in [link["href"] for link in page.all("a")]
    assert len([a for a in page.all("h2") if a.get("id") == "gate"]) == 0


def test_a_model_without_scores_or_images_has_no_such_section(ranked: Run, finished: Run, toy_cache: Path) -> None:
    assert 'id="ranking"' not in write_report(finished, toy_cache).read_text(encoding="utf-8")
    table = ranked.predictions()
    drawn_only = table[[c for c in table.columns if not c.startswith("score_")]]
    ranked.predictions_file.write_text(to_csv(drawn_only))
    page = write_report(ranked, toy_cache).read_text(encoding="utf-8")
    assert 'id="ranking"' in page and "Rank accuracy on held-out" not in page and "PSNR, dB" in page


def test_constructed_images_belong_to_their_clips(ranked: Run) -> None:
    images = ranked.arrays(IMAGES, 0)
    table = ranked.predictions().query("seed == 0").set_index("clip_id")
    assert set(images) == set(table.index)
    for clip, (drawn, target) in images.items():
        error = float(np.mean((drawn.astype(float) - target.astype(float)) ** 2))
        assert 10 * np.log10(24**2 / error) == pytest.approx(table.loc[clip, "psnr"], abs=0.05)
    folder = next(ranked.folder.glob("folds/0-*"))
    np.save(folder / "construction.npy", np.zeros((1, 2, 16, 16), np.float16))
    with pytest.raises(ToolkitError, match="holds 1 rows for 6 clips"):
        ranked.arrays(IMAGES, 0)
