"""Train and test a network over the folds of a protocol, resumable and in parallel, up to the report.

A fold's result depends on its training clips, its test clips, the settings and the seed derived from (seed, subject);
not on the other folds, their order, or the number of processes. Each process computes with one thread, also the only
one: sums then have one order, and ``jobs=1`` and ``jobs=2`` give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import fusion_net
from dynamic_images.precomputed import is_streams
from experiments.pages.report import write_report
from experiments.runs.baselines import floors, flow_features, image_features, linear_svm, oracle
from experiments.runs.run import (
    BASELINES,
    METRICS_FILE,
    PREDICTIONS,
    RUN,
    FoldResult,
    fold_folder,
    library_versions,
    read_fold,
    to_csv,
    write_fold,
    write_json,
)
from experiments.scoring.protocols import Fold, Protocol, check_folds, describe, leave_one_subject_out
from experiments.scoring.summary import check_predictions, summarise
from fusion_net.checkpoint import toolkit_version
from fusion_net.device import resolve_device
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import UNLABELLED, ClipTensors, Scaler, subset
from fusion_net.models import Model, build_model, name_of
from fusion_net.models.fdp.construction import construct
from fusion_net.seeds import fold_seed
from preprocessing.artefacts.files import key_of, write_text
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.artefacts.plain import plain
from preprocessing.errors import ToolkitError
from preprocessing.workers import unordered

Progress = Callable[[int, int, str], None]
"""Called with (folds done, folds in all, what was done), reused folds included."""


@dataclass(frozen=True)
class Recipe:
    """What is trained and how.

    Attributes:
        settings: of a model in `fusion_net.models.MODELS`, e.g. `AFNSettings`; their class names the model.
        fit: how it is fitted.
    """

    settings: Any
    fit: FitSettings = field(default_factory=FitSettings)

    @property
    def name(self) -> str:
        """The model's name in `MODELS`."""
        return name_of(self.settings)


def evaluate(
    data: ClipTensors,
    run: Path,
    cache: Path,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    protocol: Protocol = leave_one_subject_out,
    peaks: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Path:
    """Folds, baselines, scores and the page of one run; everything that is already there is reused.

    Args:
        data: labelled clips, unscaled.
        run: the run folder; created.
        cache: ``cache/<dataset>``: the flow for the SVM (which sees the images where they came precomputed), the
            manifest and the images for the page.
        recipe: what to train.
        seeds: each is one full pass over the folds.
        jobs: processes, one thread each.
        protocol: subjects of the clips to folds.
        peaks: true action-unit peaks by ``clip_id``, where there is a truth; adds the oracle row.
        progress: told after each fold.

    Returns:
        The report's path.
    """
    folds = protocol(data.subjects)
    predictions, warned = run_folds(data, folds, run, recipe, seeds, jobs, progress, describe(protocol))
    clips = clip_table(data)
    with recorded_warnings() as more:
        baselines = floors(clips, folds, data.classes)
        if is_streams(read_manifest(cache)):
            images = {name: tensor.numpy() for name, tensor in data.inputs.items()}
            baselines["linear_svm_images"] = linear_svm(clips, folds, image_features(data.clip_ids, images))
        else:
            baselines["linear_svm"] = linear_svm(clips, folds, flow_features(cache, data.clip_ids))
        if peaks is not None:
            baselines["oracle"] = oracle(clips, folds, peaks)
    for name, table in baselines.items():
        write_text(run / BASELINES / f"{name}.csv", to_csv(check_predictions(table, data.classes)))
    summary = summarise(predictions, baselines, data.classes, recipe.name)
    write_json(run / METRICS_FILE, {**summary, "warnings": [*warned, *more], "cache": cache.name})
    return write_report(run, cache)


def run_folds(
    data: ClipTensors,
    folds: Sequence[Fold],
    run: Path,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    progress: Progress | None = None,
    protocol: str = "",
) -> tuple[pd.DataFrame, list[str]]:
    """Train and test every (seed, fold) that is not done yet; pool all into ``predictions.csv``.

    A fold is reused when its files are whole and its key is this one's: settings, clips, labels and pixels, the
    network's source code, library versions, device, seed, and who is trained on and tested. ``protocol`` says in words
    how the folds were made, for ``run.json``.

    Returns:
        The pooled predictions, and what was warned of while training.

    Raises:
        ValueError: unlabelled clips, no seeds, seeds that repeat, folds that `check_folds` refuses, or several
            processes on one accelerator.
    """
    _check(data, folds, seeds, jobs, recipe)
    keys = fold_keys(data, folds, seeds, recipe)
    write_json(run / RUN, {"protocol": protocol, **_about(data, folds, seeds, recipe)})
    todo, done = [], 0
    for seed, fold in keys:
        if read_fold(fold_folder(run, seed, fold), keys[seed, fold]) is None:
            todo.append((seed, fold))
            continue
        done += 1
        if progress:
            progress(done, len(keys), f"seed {seed}, {fold.subject}: reused")
    for name in _train(data, run, recipe, [(*task, keys[task]) for task in todo], jobs):
        done += 1
        if progress:
            progress(done, len(keys), name)
    return _pool(run, keys, data.classes)


def train_fold(data: ClipTensors, fold: Fold, seed: int, recipe: Recipe) -> FoldResult:
    """Fit on the fold's training clips and predict its test clips; pure but for the warnings it collects.

    Test clips are first touched when the weights are fixed; the scale of the inputs comes from the training clips.
    """
    with recorded_warnings() as caught:
        model, scaler, history = fit_fold(data, fold, seed, recipe)
        test = subset(data, fold.test)
        # a mirrored clip means the same only where training said so
        table = predict(model, scaler(test), mirrored=recipe.fit.augment.mirror > 0)
        drawn = construct(model, scaler, subset(data, fold.train), test)
    table.insert(2, "fold", fold.name)
    table.insert(3, "seed", seed)
    if drawn is not None:
        table = pd.concat([table, drawn.quality], axis=1)
    return FoldResult(table, pd.DataFrame(history), tuple(caught), None if drawn is None else drawn.images)


def fit_fold(data: ClipTensors, fold: Fold, seed: int, recipe: Recipe) -> tuple[Model, Scaler, list[dict[str, float]]]:
    """The fold's network, the scale of its inputs and its learning curve, from its training clips alone."""
    own_seed = fold_seed(seed, fold.subject)
    train = subset(data, fold.train)
    scaler = Scaler.fit(train)
    model = build_model(recipe.settings, data.classes, own_seed)
    return model, scaler, fit(model, scaler(train), settings=recipe.fit, seed=own_seed)


def clip_table(data: ClipTensors) -> pd.DataFrame:
    """``clip_id, subject, y_true`` in the order of ``data``: what the baselines want."""
    labels = [data.classes[k] for k in data.labels.tolist()]
    return pd.DataFrame({"clip_id": data.clip_ids, "subject": data.subjects, "y_true": labels})


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Collect warnings as text, each once, instead of printing them: they go to the report."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts.extend(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    data: ClipTensors, run: Path, recipe: Recipe, tasks: list[tuple[int, Fold, str]], jobs: int
) -> Iterator[str]:
    """Yield a line for each fold as soon as it is on disk."""
    # As arrays, the inputs are dumped once by joblib and mapped by every worker; mode "c" gives torch a writable view
    # that is never written back.
    arrays = {name: tensor.numpy() for name, tensor in data.inputs.items()}
    bare = dataclasses.replace(data, inputs={})
    mapped = [(bare, arrays, run, recipe, *task) for task in tasks]
    yield from unordered(_train_mapped, mapped, jobs, mmap_mode="c", max_nbytes="1M")


def _train_mapped(
    bare: ClipTensors, arrays: dict[str, NDArray[np.float32]], run: Path, recipe: Recipe, *task: Any
) -> str:
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return _train_and_keep(dataclasses.replace(bare, inputs=inputs), run, recipe, *task)


def _train_and_keep(data: ClipTensors, run: Path, recipe: Recipe, seed: int, fold: Fold, key: str) -> str:
    with one_thread():
        result = train_fold(data, fold, seed, recipe)
    write_fold(fold_folder(run, seed, fold), key, result)
    table = result.predictions
    return f"seed {seed}, {fold.subject}: {(table['y_true'] == table['y_pred']).sum()} of {len(table)} right"


def _pool(run: Path, keys: dict[tuple[int, Fold], str], classes: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """All folds as one table, read back from disk so that fresh and resumed runs hold the same numbers."""
    results = []
    for (seed, fold), key in keys.items():
        result = read_fold(fold_folder(run, seed, fold), key)
        if result is None:
            raise ToolkitError(f"{fold_folder(run, seed, fold)} changed while the run was going on: start it again")
        results.append(result)
    pooled = check_predictions(pd.concat([r.predictions for r in results], ignore_index=True), classes)
    write_text(run / PREDICTIONS, to_csv(pooled))
    return pooled, list(dict.fromkeys(text for r in results for text in r.warnings))


def _check(data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], jobs: int, recipe: Recipe) -> None:
    check_folds(folds, data.subjects)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {list(seeds)}, wanted at least one and none twice")
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}, wanted at least 1")
    device = resolve_device(recipe.fit.device).type
    if jobs > 1 and device != "cpu":
        raise ValueError(f"jobs is {jobs} on {device}: one process at a time uses an accelerator, set jobs = 1")
    unlabelled = [clip for clip, label in zip(data.clip_ids, data.labels.tolist(), strict=True) if label == UNLABELLED]
    if unlabelled:
        raise ValueError(f"{len(unlabelled)} clips have no label, for example {unlabelled[0]}; they cannot be scored")


def fold_keys(
    data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], recipe: Recipe
) -> dict[tuple[int, Fold], str]:
    """What each fold's result depends on, seed by seed. Source code counts: a changed block is a changed network."""
    device = resolve_device(recipe.fit.device).type
    common = key_of(recipe, data_digest(data), source_digest(), library_versions(), device)
    return {(seed, fold): key_of(common, seed, fold) for seed in seeds for fold in folds}


def data_digest(data: ClipTensors) -> str:
    """Hash of clip ids, subjects, classes, labels and pixels."""
    state = hashlib.blake2b(digest_size=12)
    state.update(json.dumps([data.clip_ids, data.subjects, data.classes, data.labels.tolist()]).encode())
    for name, tensor in sorted(data.inputs.items()):
        state.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def source_digest() -> str:
    """Hash of the source of the network's package."""
    folder = Path(fusion_net.__file__).parent
    state = hashlib.blake2b(digest_size=12)
    for path in sorted(folder.rglob("*.py")):
        state.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return state.hexdigest()


def _about(data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], recipe: Recipe) -> dict[str, Any]:
    model = build_model(recipe.settings, data.classes, seed=0)
    return {
        "model": recipe.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "settings": plain(recipe.settings),
        "fit": plain(recipe.fit),
        "device": resolve_device(recipe.fit.device).type,
        "inputs": {name: list(tensor.shape[1:]) for name, tensor in data.inputs.items()},
        "classes": list(data.classes),
        "seeds": list(seeds),
        "folds": len(folds),
        "clips": len(data),
        "data": data_digest(data),
        "source": source_digest(),
        "versions": library_versions(),
        "toolkit": toolkit_version(),
    }
