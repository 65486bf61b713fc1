"""What a network has to beat, and what it could reach: floors, a linear SVM on flow statistics, the oracle.

Each returns a prediction table under the *same* folds as the network (columns ``clip_id, subject, fold, seed, y_true,
y_pred``). ``clips`` everywhere is a table ``clip_id, subject, y_true`` whose row order is the one that the folds'
positions refer to; features are looked up by ``clip_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from experiments.scoring.protocols import Fold
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest

CHANCE_DRAWS = 100
COSTS = (0.001, 0.01, 0.1, 1.0)
INNER_FOLDS = 4
GRID = 6

Labels = NDArray[np.str_]
Features = NDArray[np.float64]


def majority(clips: pd.DataFrame, folds: Sequence[Fold], classes: Sequence[str]) -> pd.DataFrame:
    """Predict the commonest class of the training clips; of equally common ones the first of ``classes``.

    With balanced classes this scores *below* 1/K: holding out a subject makes the subject's own classes rarer in
    training.
    """

    def commonest(train: Labels, test: int) -> Labels:
        counts = [(train == name).sum() for name in classes]
        return np.full(test, classes[int(np.argmax(counts))])

    return _by_fold(clips, folds, lambda fold, y: commonest(y[list(fold.train)], len(fold.test)))


def chance(clips: pd.DataFrame, folds: Sequence[Fold], draws: int = CHANCE_DRAWS, seed: int = 0) -> pd.DataFrame:
    """Guess by the label distribution of the training clips, ``draws`` times (as ``seed`` 0, 1, ...).

    The mean over the draws is the expected score of a system that knows the class frequencies and nothing of the
    clip.
    """
    tables = []
    for draw in range(draws):
        rng = np.random.default_rng((seed, draw))

        def guess(fold: Fold, y: Labels, rng: np.random.Generator = rng) -> Labels:
            return rng.choice(y[list(fold.train)], size=len(fold.test))

        tables.append(_by_fold(clips, folds, guess, seed=draw))
    return pd.concat(tables, ignore_index=True)


def floors(clips: pd.DataFrame, folds: Sequence[Fold], classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The two systems that never look at a clip: ``majority`` and ``chance``."""
    return {"majority": majority(clips, folds, classes), "chance": chance(clips, folds)}


def linear_svm(clips: pd.DataFrame, folds: Sequence[Fold], features: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Linear SVM with balanced class weights on any clip features, e.g. `flow_features`.

    Features are standardised on the fold's training clips. The cost C is the one of `COSTS` with the best macro F1
    on inner folds of whole training subjects; the smaller one where they tie.

    Args:
        clips, folds: see the module.
        features: one row of F numbers per clip, indexed by ``clip_id``; rows of other clips are ignored.
        seed: of liblinear's coordinate order and the inner folds.

    Raises:
        ValueError: a clip has no features, or they are not finite.
    """
    costs = [_scaled(LinearSVC(C=c, class_weight="balanced", random_state=seed, max_iter=20_000)) for c in COSTS]
    return _best_by_inner_folds(clips, folds, features, costs)


def oracle(clips: pd.DataFrame, folds: Sequence[Fold], peaks: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What the true action-unit peaks would give under the same protocol: the ceiling of the synthetic corpus.

    Linear and RBF SVMs compete on inner folds, since classes are combinations of action units. It is a ceiling
    for the *information in the peaks*, learned from as few subjects as the network has, not a bound on any classifier.

    Args:
        clips, folds: see the module.
        peaks: true peak activations, one row of A numbers per clip, indexed by ``clip_id``.
        seed: of liblinear's coordinate order and the inner folds.
    """
    linear = [_scaled(LinearSVC(C=c, class_weight="balanced", random_state=seed, max_iter=20_000)) for c in COSTS]
    curved = [_scaled(SVC(C=c, class_weight="balanced")) for c in (1.0, 10.0)]
    return _best_by_inner_folds(clips, folds, peaks, linear + curved)


def flow_features(cache: Path, clip_ids: Sequence[str], grid: int = GRID) -> pd.DataFrame:
    """Coarse flow statistics of cached clips: mean u, v and magnitude per cell, at the apex and over time.

    The apex is the manifest's; where that has none it is the frame of largest mean magnitude.

    Args:
        cache: ``cache/<dataset>``.
        clip_ids: which clips.
        grid: cells per side.

    Returns:
        ``len(clip_ids) x 6 grid²`` numbers in px of the crop, indexed by ``clip_id``.
    """
    manifest = read_manifest(cache).set_index("clip_id")
    rows = {}
    for clip_id in clip_ids:
        row = manifest.loc[clip_id]
        apex: int | None = None if pd.isna(row["apex"]) else int(row["apex"] - row["onset"])
        rows[clip_id] = flow_statistics(clip_folder(cache, clip_id).load("flow.npy"), apex, grid)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("clip_id")


def image_features(
    clip_ids: Sequence[str], images: Mapping[str, NDArray[np.float32]], grid: int = GRID
) -> pd.DataFrame:
    """Coarse statistics of precomputed images, where there is no flow: mean of every channel in each cell of a grid.

    Args:
        clip_ids: N names.
        images: stream → ``(N, C, H, W)``, signed.
        grid: cells per side; images with fewer pixels than that keep them all.

    Returns:
        N rows of numbers in the unit of the images, indexed by ``clip_id``; a channel that repeats another is left out.
    """
    columns: list[Features] = []
    for stack in images.values():
        cells = min(grid, *stack.shape[2:])
        means = [_cell_means(image.transpose(1, 2, 0), cells) for image in stack]  # N x (C, cells, cells)
        for channel in np.stack(means).astype(np.float64).reshape(len(stack), stack.shape[1], -1).transpose(1, 0, 2):
            if not any(np.array_equal(channel, other) for other in columns):
                columns.append(channel)
    return pd.DataFrame(np.concatenate(columns, axis=1), index=pd.Index(list(clip_ids), name="clip_id"))


def flow_statistics(flow: NDArray[np.floating], apex: int | None, grid: int = GRID) -> Features:
    """Mean u, v and magnitude on a coarse grid, at the apex and averaged over time.

    Args:
        flow: ``(T, h, w, 2)`` px, onset → t.
        apex: frame of the apex, or None for the frame of largest mean magnitude.
        grid: cells per side.

    Returns:
        ``(6 grid²,)``: at the apex, then over time, each u, v, magnitude row by row of the grid.

    Raises:
        ValueError: the apex lies outside the clip.
    """
    flow = np.asarray(flow, np.float32)
    if apex is not None and not 0 <= apex < len(flow):
        raise ValueError(f"apex {apex} is outside a clip of {len(flow)} frames")
    channels = np.concatenate([flow, np.linalg.norm(flow, axis=-1, keepdims=True)], axis=-1)  # (T, h, w, 3)
    if apex is None:
        apex = int(np.argmax(channels[..., 2].mean((1, 2))))
    cells = [_cell_means(image, grid) for image in (channels[apex], channels.mean(0))]
    return np.concatenate([c.ravel() for c in cells]).astype(np.float64)


def _cell_means(image: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """(h, w, C) to (C, grid, grid); cells differ by at most one pixel where the size does not divide."""
    edges = [np.linspace(0, size, grid, endpoint=False).astype(int) for size in image.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(image, edges[0], axis=0), edges[1], axis=1)
    sizes = [np.diff(e, append=size) for e, size in zip(edges, image.shape[:2], strict=True)]
    means: NDArray[np.float32] = sums / (sizes[0][:, None, None] * sizes[1][None, :, None])
    return means.transpose(2, 0, 1)


def _best_by_inner_folds(
    clips: pd.DataFrame, folds: Sequence[Fold], features: pd.DataFrame, candidates: Sequence[Pipeline]
) -> pd.DataFrame:
    """Each fold predicts with the candidate that does best on inner folds of its own training subjects."""
    missing = sorted(set(clips["clip_id"]) - set(features.index))
    if missing:
        raise ValueError(f"{len(missing)} clips have no features, for example {missing[0]}")
    x = features.loc[clips["clip_id"]].to_numpy(np.float64)
    if not np.isfinite(x).all():
        bad = clips["clip_id"].to_numpy()[~np.isfinite(x).all(1)]
        raise ValueError(f"{len(bad)} clips have features that are not finite, for example {bad[0]}")
    subjects = clips["subject"].to_numpy(str)

    def predict(fold: Fold, y: Labels) -> Labels:
        train, test = list(fold.train), list(fold.test)
        if len(set(y[train])) == 1:  # an SVM wants two classes; with one there is nothing to choose
            return np.full(len(test), y[train][0])
        model = _choose(candidates, x[train], y[train], subjects[train])
        predicted: Labels = model.fit(x[train], y[train]).predict(x[test])
        return predicted

    return _by_fold(clips, folds, predict)


def _choose(candidates: Sequence[Pipeline], x: Features, y: Labels, subjects: Labels) -> Pipeline:
    splits = min(INNER_FOLDS, len(set(subjects)))
    if splits < 2:
        return candidates[0]
    inner = list(GroupKFold(splits).split(x, y, subjects))
    if any(len(set(y[train])) < 2 for train, _ in inner):
        return candidates[0]
    scores = [f1_score(y, cross_val_predict(model, x, y, cv=inner), average="macro") for model in candidates]
    return candidates[int(np.argmax(scores))]


def _scaled(classifier: LinearSVC | SVC) -> Pipeline:
    return make_pipeline(StandardScaler(), classifier)


def _by_fold(
    clips: pd.DataFrame, folds: Sequence[Fold], predict: Callable[[Fold, Labels], Labels], seed: int = 0
) -> pd.DataFrame:
    """Ask ``predict(fold, labels of all clips)`` for the fold's test clips; one table of all folds."""
    y = clips["y_true"].to_numpy(str)
    tested = clips.iloc[[i for fold in folds for i in fold.test]]
    return pd.DataFrame(
        {
            "clip_id": tested["clip_id"].to_numpy(),
            "subject": tested["subject"].to_numpy(),
            "fold": [fold.name for fold in folds for _ in fold.test],
            "seed": seed,
            "y_true": tested["y_true"].to_numpy(),
            "y_pred": np.concatenate([predict(fold, y) for fold in folds]),
        }
    )
