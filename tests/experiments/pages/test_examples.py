from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.pages.examples import CLIPS_PER_GROUP, MISTAKES, clip_groups

FACTS = pd.DataFrame({"clip_id": [], "n_frames": []})


def table(p_true: list[float], seeds: int = 1) -> pd.DataFrame:
    """Clip i is of class a and has it with ``p_true[i]``; below a half it is called b."""
    rows = []
    for seed in range(seeds):
        for i, p in enumerate(p_true):
            guess = "a" if p > 0.5 else "b"
            rows.append((f"d/s/{i:02d}", "d/s", "d_s", seed, "a", guess, p, 1 - p))
    return pd.DataFrame(rows, columns=["clip_id", "subject", "fold", "seed", "y_true", "y_pred", "p_a", "p_b"])


def names(groups: dict[str, list[dict[str, object]]], title: str) -> list[int]:
    return [int(str(clip["clip_id"])[-2:]) for clip in groups.get(title, [])]


def test_mistakes_come_worst_first_and_only_mistakes(tmp_path: Path) -> None:
    groups = clip_groups(table([0.9, 0.2, 0.6, 0.05, 0.4, 0.8]), FACTS, tmp_path)
    assert names(groups, "Worst mistakes") == [3, 1, 4]
    assert names(groups, "Surest of the true class") == [0]
    assert names(groups, "Drawn at random from the others") == [5, 2]
    worst = groups["Worst mistakes"][0]
    assert (worst["p_true"], worst["p_voted"], worst["right"]) == (0.05, 0.95, False)


def test_no_clip_is_shown_twice_and_groups_are_small(tmp_path: Path) -> None:
    groups = clip_groups(table([i / 60 for i in range(60)], seeds=2), FACTS, tmp_path)
    shown = [clip["clip_id"] for clips in groups.values() for clip in clips]
    assert len(shown) == len(set(shown)) == MISTAKES + 2 * CLIPS_PER_GROUP


def test_without_a_mistake_there_is_no_such_group(tmp_path: Path) -> None:
    assert "Worst mistakes" not in clip_groups(table([0.9, 0.8, 0.7]), FACTS, tmp_path)


def test_a_clip_that_most_seeds_have_right_is_no_mistake(tmp_path: Path) -> None:
    rows = table([0.9, 0.9], seeds=3)
    rows.loc[0, ["y_pred", "p_a", "p_b"]] = ["b", 0.01, 0.99]
    assert "Worst mistakes" not in clip_groups(rows, FACTS, tmp_path)


def test_without_probabilities_nothing_is_shown(tmp_path: Path) -> None:
    assert clip_groups(table([0.9]).drop(columns=["p_a", "p_b"]), FACTS, tmp_path) == {}
