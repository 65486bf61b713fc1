"""Compare exact rank pooling, in each of its forms, with the weights that stand for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from dynamic_images.rank_pooling import exact_rank_pooling, harmonic_weights, pool
from experiments import chain_accuracy
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.stacks import CROPS

CLIPS = 12
Frames = NDArray[np.uint8]

FORMS: dict[str, Callable[[Frames], NDArray[np.floating]]] = {
    "exact, as published": exact_rank_pooling,
    "exact, without roots": lambda frames: exact_rank_pooling(frames, sign_sqrt=False),
    "exact, without roots, centred": lambda frames: exact_rank_pooling(frames, sign_sqrt=False, centred=True),
    "exact, without roots and lengths": lambda frames: exact_rank_pooling(frames, sign_sqrt=False, l2=False),
    "exact, without roots and lengths, centred": lambda frames: exact_rank_pooling(
        frames, sign_sqrt=False, l2=False, centred=True
    ),
    "harmonic weights": lambda frames: pool(frames, harmonic_weights(len(frames))),
    "the mean face": lambda frames: frames.mean(axis=0),
}


def pooling_table(cache: Path, n_clips: int = CLIPS) -> pd.DataFrame:
    """Where each form points, and how well it ranks the running means of the clip that it was made of."""
    clips = chain_accuracy.evenly_spaced(chain_accuracy.usable(cache), n_clips)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in FORMS}
    for clip_id in clips:
        frames = np.stack(list(clip_folder(cache, clip_id).frames(CROPS)))
        mean, pooled = frames.mean(axis=0), pool(frames, harmonic_weights(len(frames)))
        for name, form in FORMS.items():
            image = form(frames)
            found[name].append((cosine(image, mean), cosine(image, pooled), rank_accuracy(image, frames)))
    columns = ("cosine with the mean face", "cosine with harmonic weights", "running means in order, %")
    rows = [
        {"form": name} | {column: _median(values) for column, values in zip(columns, np.array(numbers).T, strict=True)}
        for name, numbers in found.items()
    ]
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"{len(clips)} clips; medians with 95 % bootstrap intervals over clips (percentile). In order: share of pairs "
        "of running means, as grey levels, whose later one scores higher; a random direction orders half of them."
    )
    return table


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Of the angle between two images as vectors."""
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def rank_accuracy(image: NDArray[np.floating], frames: Frames) -> float:
    """Percent of the pairs of running means that the direction ``image`` puts in their order in time."""
    scores = frames.reshape(len(frames), -1) @ np.ravel(image).astype(np.float64)  # of the frames; then of their means
    means = np.cumsum(scores) / np.arange(1, len(scores) + 1)
    earlier, later = np.triu_indices(len(means), 1)
    return float(100 * np.mean(means[later] > means[earlier]))


def _median(values: NDArray[np.float64]) -> str:
    low, high = (float(values[0]),) * 2
    if np.ptp(values) > 0:
        low, high = bootstrap(
            (values,), np.median, method="percentile", n_resamples=1000, rng=np.random.default_rng(0)
        ).confidence_interval
    return f"{np.median(values):.3g} [{low:.3g}, {high:.3g}]"
