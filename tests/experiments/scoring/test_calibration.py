from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.scoring.calibration import BINS, calibration

CLASSES = ("a", "b")


def table(stated: np.ndarray, right: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Class a is always predicted, with probability ``stated``, and true where ``right``."""
    return pd.DataFrame(
        {
            "clip_id": [f"d/s/{i}" for i in range(len(stated))],
            "seed": seed,
            "y_true": np.where(right, "a", "b"),
            "y_pred": "a",
            "p_a": stated,
            "p_b": 1 - stated,
        }
    )


def test_the_error_is_the_gap_in_each_bin_weighted_by_its_share() -> None:
    stated = np.array([0.65] * 10 + [0.95] * 30)
    right = np.array([True] * 4 + [False] * 6 + [True] * 30)  # 40 % and 100 %
    found = calibration(table(stated, right), CLASSES)
    assert found is not None
    assert found["ece"] == pytest.approx(0.25 * 0.25 + 0.75 * 0.05)
    assert [b["predictions"] for b in found["bins"]] == [0, 0, 0, 0, 0, 0, 10, 0, 0, 30]
    assert found["bins"][6] == {
        **{"low": 0.6, "high": 0.7, "predictions": 10},
        **{"confidence": pytest.approx(0.65), "accuracy": pytest.approx(0.4)},
    }
    assert found["bins"][0]["accuracy"] is None


def test_a_calibrated_network_is_within_what_chance_allows_and_a_boaster_is_not() -> None:
    random = np.random.default_rng(1)
    stated = random.uniform(0.5, 1, 400)
    honest = calibration(table(stated, random.random(400) < stated), CLASSES)
    boaster = calibration(table(np.full(400, 0.95), random.random(400) < 0.6), CLASSES)
    assert honest is not None and boaster is not None
    assert honest["ece"] < honest["perfect"]["high"] < 0.1
    assert boaster["ece"] == pytest.approx(0.35, abs=0.08) and boaster["ece"] > boaster["perfect"]["high"]


def test_fewer_clips_allow_a_larger_error() -> None:
    """Perfect calibration does not score 0: with 20 clips it scores more than with 2,000."""
    few, many = (calibration(table(np.linspace(0.5, 1, n), np.ones(n, bool)), CLASSES) for n in (20, 2000))
    assert few is not None and many is not None
    assert few["perfect"]["mean"] > 3 * many["perfect"]["mean"] > 0


def test_seeds_are_scored_one_by_one() -> None:
    """Two seeds that err in opposite directions do not cancel."""
    stated, half = np.full(20, 0.75), np.arange(20) < 10
    both = pd.concat([table(stated, np.ones(20, bool)), table(stated, half, seed=1)])
    found = calibration(both, CLASSES)
    assert found is not None
    assert found["ece"] == pytest.approx(0.25)  # pooled it would be 0
    assert (found["clips"], found["predictions"]) == (20, 40)


def test_certainty_and_the_order_of_rows_do_no_harm() -> None:
    stated = np.array([0.5, 1.0, 1.0, 0.75])
    rows = table(stated, np.array([True, True, True, False]))
    found = calibration(rows, CLASSES)
    assert found == calibration(rows.iloc[::-1], CLASSES)
    assert found is not None and found["bins"][BINS - 1]["predictions"] == 2


def test_without_probabilities_there_is_none() -> None:
    assert calibration(table(np.ones(2), np.ones(2, bool)).drop(columns="p_b"), CLASSES) is None
