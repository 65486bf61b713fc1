"""Seeds that are asked together: by hand, and what it gives where seeds err independently."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.scoring.metrics import score
from experiments.scoring.seed_average import seed_average
from experiments.scoring.summary import check_predictions, summarise

K = ("a", "b")


def table(shares: np.ndarray, right: list[str]) -> pd.DataFrame:
    """Predictions from p_a, (seeds, clips); two clips of each subject."""
    rows = []
    for seed, row in enumerate(shares):
        for clip, p in enumerate(row):
            s = f"s{clip // 2}"
            rows.append((f"{s}/{clip}", s, s, seed, right[clip], "a" if p >= 0.5 else "b", p, 1 - p))
    return pd.DataFrame(rows, columns=["clip_id", "subject", "fold", "seed", "y_true", "y_pred", "p_a", "p_b"])


def test_by_hand_a_sure_seed_outvotes_two_that_waver() -> None:
    """The majority of seeds would answer b."""
    found = seed_average(table(np.array([[0.9, 0.1], [0.4, 0.2], [0.4, 0.3]]), ["a", "b"]), K)
    assert found is not None
    assert found["y_pred"].tolist() == ["a", "b"]
    np.testing.assert_allclose(found[["p_a", "p_b"]], [[1.7 / 3, 1.3 / 3], [0.2, 0.8]])
    check_predictions(found, K)


def test_independent_errors_cancel_and_common_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    right = ["a", "b"] * 100
    sign = np.where(np.array(right) == "a", 1, -1)
    independent = 0.5 + 0.1 * sign + rng.normal(0, 0.2, (9, 200))
    common = np.repeat(independent[:1], 9, axis=0)
    for shares, gain in ((independent, True), (common, False)):
        predictions = table(shares.clip(0.01, 0.99), right)
        found = seed_average(predictions, K)
        assert found is not None
        together, each = score(found, K).uf1, score(predictions, K).uf1
        assert together is not None and each is not None
        assert (together > each + 0.1) == gain  # one seed: about 0.69


def test_there_is_nothing_to_average_of_one_seed_or_of_labels() -> None:
    both = table(np.array([[0.9, 0.1], [0.4, 0.2]]), ["a", "b"])
    assert seed_average(both[both["seed"] == 0], K) is None
    assert seed_average(both.drop(columns=["p_a", "p_b"]), K) is None


def test_the_summary_says_what_it_gives_beside_the_mean_of_the_seeds() -> None:
    rng = np.random.default_rng(1)
    predictions = table(rng.random((3, 12)), ["a", "b"] * 6)
    found = summarise(predictions, {}, K, "net")["seed_average"]
    own = seed_average(predictions, K)
    assert own is not None
    assert found["row"]["uf1"]["value"] == score(own, K).uf1 and found["row"]["seeds"] == 1
    assert found["difference"]["uf1"]["value"] == np.float64(score(own, K).uf1) - score(predictions, K).uf1
    assert summarise(predictions[predictions["seed"] == 0], {}, K, "net")["seed_average"] is None
