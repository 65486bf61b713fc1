"""What a recording can show: conditions, counting, and real faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.limits import CONDITIONS, Condition, LimitSettings, record, smallest, summary, trials, units_right
from experiments.pages.limits import render
from preprocessing.pipeline import FaceSettings
from preprocessing.synthetic.geometry import draw_identity
from preprocessing.synthetic.painted import PaintSettings, paint_clip
from preprocessing.synthetic.sitters import Sitter, load_sitter, rests_below


@pytest.fixture(name="sitter", scope="module")
def person() -> Sitter:
    rng = np.random.default_rng(0)
    frame = np.clip(rng.normal(128, 20, (120, 160, 3)), 0, 255).astype(np.uint8)
    return Sitter("ann", (frame,), None, draw_identity(rng, 160, 120, 0.3).landmarks(), np.eye(2, 3)[None])


def test_a_slower_camera_keeps_the_onset_and_the_order(sitter: Sitter) -> None:
    truth, frames, fps = paint_clip(sitter, PaintSettings(), 0, "happiness")
    kept, slow, rate = record(list(frames), truth, fps, Condition("slow", every=2))
    assert rate == fps / 2
    assert len(kept) == slow.n_frames
    assert np.array_equal(slow.curves[slow.onset], truth.curves[truth.onset])
    assert slow.onset < slow.apex < slow.offset


def test_an_encoder_changes_pixels_and_nothing_else(sitter: Sitter) -> None:
    truth, frames, fps = paint_clip(sitter, PaintSettings(), 0, "happiness")
    given = list(frames)
    kept, same, rate = record(given, truth, fps, Condition("x", crf=28))
    assert (len(kept), kept[0].shape, rate) == (len(given), given[0].shape, fps)
    assert same is truth and not np.array_equal(kept[3], given[3])
    half = record(given, truth, fps, Condition("x", shrink=2))[0]
    assert half[0].shape == (60, 80, 3)


def made_up(threshold_px: float) -> pd.DataFrame:
    """A camera whose noise is 1 below its floor, and that shows what is larger than a threshold."""
    rng = np.random.default_rng(0)
    rows = []
    for amplitude in (0.0, 1.0):
        for k in range(400):
            true = amplitude * rng.uniform(0.05, 2.0)
            seen = 5.0 if true > threshold_px else rng.uniform(0, 1)
            rows.append({"person": "ann", "condition": "c", "amplitude": amplitude, "clip": k, "region": "left chin"})
            rows[-1] |= {"unit_right": k % 2 == 0, "true_px": true, "measured_px": seen, "floor_px": 1.0}
            rows[-1] |= {"error_px": 0.1, "angle": 5.0, "apex_ms": 10.0}
    return pd.DataFrame(rows)


def test_the_smallest_displacement_is_where_the_camera_begins_to_see() -> None:
    found = made_up(0.4)
    table = summary(found)
    below, above = table[table["to_px"] <= 0.4], table[table["from_px"] >= 0.4]
    assert (below["found"] < 0.15).all()  # 5 % false alarms
    assert (above["found"] == 1).all()
    assert (table["found_low"] <= table["found"]).all() and (table["found"] <= table["found_high"]).all()
    assert smallest(table)["smallest_px"][0] == pytest.approx(0.45, abs=0.1)
    assert smallest(summary(made_up(9.0)))["smallest_px"].isna().all()
    assert units_right(found)["right"][0] == pytest.approx(0.5)


def test_the_page_stands_alone(tmp_path: Path, visit: object) -> None:
    path = tmp_path / "limits.html"
    path.write_text(render(made_up(0.4), "Largest displacements of 0, 1 px on ann"), encoding="utf-8")
    page = visit(path)  # type: ignore[operator]
    assert page.locator("figure svg").count() == 1
    assert "ann" in page.locator("h2").first.inner_text()


@pytest.mark.slow
def test_larger_movements_of_a_real_face_are_found_more_often(real_clips: Path, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("person,file,first,last\nann,grid/brbk7n.mpg,64,74\n")
    (rest,) = rests_below(real_clips, tmp_path / "people.csv")
    sitter = load_sitter(rest, FaceSettings().landmarker())
    table = summary(trials([sitter], LimitSettings((0.0, 0.3, 1.0), clips=3), CONDITIONS[:1]))
    assert table["found"].iloc[-1] > 0.8  # false alarms alone: 0.05
    assert table["found"].iloc[0] < 0.6
    assert (table["error_px"] < table["true_px"] + 0.1).all()
