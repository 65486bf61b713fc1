"""Choose the clips that a report shows: the worst mistakes, the surest, and some drawn at random."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from dynamic_images.inspection.pictures import pictures
from experiments.pages.figures import data_url
from preprocessing.artefacts.clip_folder import clip_folder

IMAGE_SIDE = 160
CLIPS_PER_GROUP, MISTAKES = 4, 8


def clip_groups(
    predictions: pd.DataFrame, manifest: pd.DataFrame, cache: Path, changed: Collection[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Clips by what they are an example of, none twice; a group without clips is not there.

    Of clips that were ``changed`` since they were read no picture is shown, and no number of their frames.

    ``Worst mistakes`` are wrong under most seeds, those with the lowest probability of the true class first.
    """
    if not any(c.startswith("p_") for c in predictions.columns):
        return {}
    p_true = np.array([row[f"p_{row['y_true']}"] for row in predictions.to_dict("records")])
    table = predictions.assign(p_true=p_true, right=predictions["y_true"] == predictions["y_pred"])
    means = table.groupby("clip_id")[["p_true", "right"]].mean().sort_values("p_true", kind="stable")
    mistakes = list(means.index[means["right"] < 0.5][:MISTAKES])
    others = [clip for clip in reversed(means.index) if clip not in mistakes]
    surest = [clip for clip in others if means["right"][clip] > 0.5][: min(CLIPS_PER_GROUP, len(others) // 2)]
    rest = [clip for clip in others if clip not in surest]
    drawn = np.random.default_rng(0).permutation(len(rest))[:CLIPS_PER_GROUP]
    groups = {
        "Worst mistakes": mistakes,
        "Surest of the true class": surest,
        "Drawn at random from the others": [rest[i] for i in sorted(drawn)],
    }
    facts, titles = manifest.set_index("clip_id"), pictures(manifest)
    rows = dict(list(predictions.groupby("clip_id")))
    return {
        title: [
            _clip(
                c,
                rows[c],
                float(means["p_true"][c]),
                facts.loc[c] if c in facts.index and c not in changed else None,
                None if c in changed else cache,
                titles,
            )
            for c in clips
        ]
        for title, clips in groups.items()
        if clips
    }


def _clip(
    clip_id: str,
    rows: pd.DataFrame,
    p_true: float,
    facts: pd.Series | None,
    cache: Path | None,
    titles: Mapping[str, str],
) -> dict[str, Any]:
    votes = rows["y_pred"].value_counts(sort=True)
    voted = str(votes.index[0])
    facts = pd.Series(dtype=object) if facts is None else facts
    has = {name: facts[name] for name in facts.index if not pd.isna(facts[name])}
    return {
        "clip_id": clip_id,
        "subject": rows["subject"].iloc[0],
        "true": rows["y_true"].iloc[0],
        "votes": {str(name): int(n) for name, n in votes.items()},
        "right": bool((rows["y_pred"] == rows["y_true"]).all()),
        "p_true": p_true,
        "p_voted": float(rows[f"p_{voted}"].mean()),
        "frames": int(has["n_frames"]) if "n_frames" in has else None,
        "fps": float(has["fps"]) if "fps" in has else None,
        "apex": int(has["apex"] - has["onset"]) if {"apex", "onset"} <= set(has) else None,
        "apex_source": has.get("apex_source", ""),
        "images": {
            label: None if cache is None else picture(clip_folder(cache, clip_id) / f"{name}.png")
            for name, label in titles.items()
        },
    }


def picture(path: Path) -> str | None:
    """PNG as a data URL, at most `IMAGE_SIDE` px wide; None where there is no such picture."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None:
        return None
    if image.shape[1] > IMAGE_SIDE:
        side = (IMAGE_SIDE, round(image.shape[0] * IMAGE_SIDE / image.shape[1]))
        image = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
    return data_url(image)
