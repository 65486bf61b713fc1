"""Train and test a system over the folds of a protocol, resumable and in parallel, up to its scores.

A fold's result depends on its training clips, its test clips, the settings and the seed derived from (seed, subject);
not on the other folds, their order, or the number of processes. Each process computes with one thread, also the only
one: sums then have one order, and ``jobs=1`` and ``jobs=2`` give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments.runs.run import (
    FoldResult,
    Run,
    library_versions,
    read_fold,
    to_csv,
    write_fold,
    write_json,
)
from experiments.runs.sources import source_digest
from experiments.runs.systems import Answers, Fitted, Network, System
from experiments.runs.versions import MARK, answers_of, versions_of, with_inputs
from experiments.scoring.label_sets import SetLabels
from experiments.scoring.protocols import Fold, Protocol, check_folds, describe, leave_one_subject_out
from experiments.scoring.summary import COLUMNS, check_predictions, summarise
from fusion_net.checkpoint import toolkit_version
from fusion_net.inputs import UNLABELLED, ClipTensors, subset
from preprocessing.artefacts.files import digest, key_of, scratch_path, write_text
from preprocessing.errors import ToolkitError
from preprocessing.workers import stays_here, unordered

Task = tuple[int, Fold, str]
"""Seed, fold and key of what is to be trained."""

OnFold = Callable[[int, int, str], None]
"""Called with (folds done, folds in all, what was done), reused folds included."""


def evaluate(
    data: ClipTensors,
    run: Run,
    system: System,
    baselines: Sequence[System] = (),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    protocol: Protocol = leave_one_subject_out,
    cache: Path | None = None,
    progress: OnFold | None = None,
) -> dict[str, Any]:
    """Folds, baselines and scores of one run; everything that is already there is reused.

    Args:
        data: labelled clips, unscaled, with the inputs of all systems.
        run: the run folder; created.
        system: what to train.
        baselines: judged under the same folds and shown beside it.
        seeds: each is one full pass over the folds.
        jobs: processes, one thread each.
        protocol: subjects of the clips to folds.
        cache: folder of the clips, for the pages that show them.
        progress: told after each fold.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        FolderInUseError: another process is at work in the run.
    """
    folds = protocol(data.subjects)
    tables: dict[str, pd.DataFrame] = {}
    with run.locked("training folds"):
        predictions, warned = run_folds(data, folds, run, system, seeds, jobs, progress, describe(protocol), cache)
        key = _scores_key(data, folds, predictions, system, baselines, warned)
        if (known := _scored(run, key, baselines)) is not None:
            return known
        for baseline in baselines:
            table, more = pooled_answers(data, folds, baseline, range(baseline_seeds(baseline)))
            tables[baseline.name] = check_predictions(table, class_list(data))
            warned += more
            write_text(run.baseline_file(baseline.name), to_csv(tables[baseline.name]))
        titles = {one.name: one.title for one in (system, *baselines)}
        summary = summarise(predictions, tables, class_list(data), system.name)
        files = {one.name: digest(run.baseline_file(one.name)) for one in baselines}
        made_from = {"key": key, "baselines": files}
        metrics = {**summary, "titles": titles, "warnings": list(dict.fromkeys(warned)), "made_from": made_from}
        write_json(run.metrics_file, metrics)
    return metrics


def _scores_key(
    data: ClipTensors,
    folds: Sequence[Fold],
    predictions: pd.DataFrame,
    system: System,
    baselines: Sequence[System],
    warned: Sequence[str],
) -> str:
    """All that the scores and the baselines of a run depend on."""
    judged = [(one.key, one.title, baseline_seeds(one), one.device) for one in (system, *baselines)]
    code = source_digest([__name__])
    table = digest(to_csv(predictions).encode())
    return key_of(table, data_digest(data), list(folds), judged, list(warned), code, library_versions())


def _scored(run: Run, key: str, baselines: Sequence[System]) -> dict[str, Any] | None:
    """``metrics.json`` if it was made under this key and the tables of the baselines are those of then."""
    try:
        metrics = run.metrics()
        made_from = metrics["made_from"]
        files = {one.name: digest(run.baseline_file(one.name)) for one in baselines}
    except (ToolkitError, OSError, KeyError):
        return None
    return metrics if made_from == {"key": key, "baselines": files} else None


def class_list(data: ClipTensors) -> Sequence[str]:
    """The classes of the clips, as scores take them."""
    return data.classes if data.targets is None else SetLabels(data.classes)


def baseline_seeds(system: System) -> int:
    """Passes over the folds that a system wants when it is a baseline of another one."""
    return int(system.DEFAULTS.get("evaluation", {}).get("seeds", 1))


def pooled_answers(
    data: ClipTensors, folds: Sequence[Fold], system: System, seeds: Sequence[int]
) -> tuple[pd.DataFrame, list[str]]:
    """Predictions of a quick system over all folds and seeds, and what was warned of; nothing is kept on disk."""
    results = [train_fold(data, fold, seed, system) for seed in seeds for fold in folds]
    table = pd.concat([result.predictions for result in results], ignore_index=True)[list(COLUMNS)]
    return table, _warnings(results)


def run_folds(
    data: ClipTensors,
    folds: Sequence[Fold],
    run: Run,
    system: System,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    progress: OnFold | None = None,
    protocol: str = "",
    cache: Path | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Train and test every (seed, fold) that is not done yet; pool all into ``predictions.csv``.

    A fold is reused when its files are whole and its key is this one's: settings, clips, labels and inputs, the source
    code that the system imports, library versions, device, seed, and who is trained on and tested. ``protocol`` says
    in words how the folds were made, for ``run.json``.

    Returns:
        The pooled predictions, and what was warned of while training.

    Raises:
        ValueError: an input of the system is missing, unlabelled clips, no seeds, seeds that repeat, folds that
            `check_folds` refuses, or several processes on one accelerator.
        FolderInUseError: another process is at work in the run.
    """
    data = with_inputs(data, [one.name for one in system.inputs])
    check_task(data, folds, seeds, jobs, system)
    keys = fold_keys(data, folds, seeds, system)
    link = {} if cache is None else {"cache": run.link_to(cache)}
    with run.locked("training folds"):
        run.begin({"protocol": protocol, **link, **_about(data, folds, seeds, system)}, data.origins)
        todo, done = [], 0
        for seed, fold in keys:
            if read_fold(run.fold(seed, fold.name), keys[seed, fold]) is None:
                todo.append((seed, fold))
                continue
            done += 1
            if progress:
                progress(done, len(keys), f"seed {seed}, {fold.subject}: reused")
        for name in _train(data, run, system, [(*task, keys[task]) for task in todo], jobs):
            done += 1
            if progress:
                progress(done, len(keys), name)
        pooled, warned = read_back(run, keys, class_list(data))
        write_text(run.predictions_file, to_csv(pooled))
        return pooled, warned


def train_fold(data: ClipTensors, fold: Fold, seed: int, system: System) -> FoldResult:
    """Fit on the fold's training clips and predict its test clips; pure but for the warnings it collects.

    Test clips are first touched when training is over.
    """
    names = [one.name for one in system.inputs]
    data = with_inputs(data, names)
    with recorded_warnings() as caught:
        fitted = system.fit(subset(data.only(names), fold.train), seed, fold.subject)
        answers = answers_of(fitted, subset(data, fold.test), names)
    return result_of(fitted, answers, fold, seed, caught)


def result_of(fitted: Fitted, answers: Answers, fold: Fold, seed: int, caught: Sequence[str]) -> FoldResult:
    """The answers of a fold with its name and seed."""
    table = answers.table.copy()
    table.insert(2, "fold", fold.name)
    table.insert(3, "seed", seed)
    if fold.parts:
        table.insert(4, "split", fold.parts)
    return FoldResult(table, pd.DataFrame(fitted.history), tuple(caught), answers.files)


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


def over_clips(
    function: Callable[..., str], data: ClipTensors, tasks: Sequence[tuple[Any, ...]], jobs: int, folder: Path
) -> Iterator[str]:
    """Yield ``function(data, *task)`` of every task, in worker processes that share the tensors of ``data``.

    The inputs are written once into ``folder``, which workers on other machines see too, and mapped by every worker;
    they are gone when the work is done.
    """
    if stays_here(tasks, jobs):
        with one_thread():
            yield from (function(data, *task) for task in tasks)
        return
    with scratch_path(folder) as scratch:
        scratch.mkdir(parents=True)
        for name, tensor in data.inputs.items():
            np.save(scratch / f"{name}.npy", tensor.numpy())
        bare = dataclasses.replace(data, inputs={})
        calls = [(function, bare, scratch, tuple(data.inputs), task) for task in tasks]
        yield from unordered(_with_tensors, calls, jobs)


def _with_tensors(
    function: Callable[..., str], bare: ClipTensors, folder: Path, names: Sequence[str], task: tuple[Any, ...]
) -> str:
    # mode "c" gives torch a writable view that is never written back
    inputs = {name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in names}
    with one_thread():
        return function(dataclasses.replace(bare, inputs=inputs), *task)


def _train(data: ClipTensors, run: Run, system: System, tasks: list[Task], jobs: int) -> Iterator[str]:
    """Yield a line for each fold as soon as it is on disk."""
    if isinstance(system, Network) and system.at_once and data.targets is None:
        for group in groups(tasks, system.training.batch_size, system.slots(data)):
            yield from _train_group(data, run, system, group)
        return
    yield from over_clips(_train_and_keep, data, [(run, system, *task) for task in tasks], jobs, run.folder)


def _train_and_keep(data: ClipTensors, run: Run, system: System, seed: int, fold: Fold, key: str) -> str:
    return _keep(run, seed, fold, key, train_fold(data, fold, seed, system))


def groups(tasks: Sequence[Task], batch_size: int, slots: int) -> list[list[Task]]:
    """Tasks that can be trained together: equally many batches to an epoch, at most ``slots``."""
    alike: dict[int, list[Task]] = {}
    for task in tasks:
        alike.setdefault(math.ceil(len(task[1].train) / batch_size), []).append(task)
    return [some[i : i + slots] for some in alike.values() for i in range(0, len(some), slots)]


def _train_group(data: ClipTensors, run: Run, system: Network, group: Sequence[Task]) -> Iterator[str]:
    names = [one.name for one in system.inputs]
    with one_thread():
        with recorded_warnings() as together:
            own = data.only(names)
            fitted = system.fit_together(own, [(fold.train, seed, fold.subject) for seed, fold, _ in group])
        for one, (seed, fold, key) in zip(fitted, group, strict=True):
            with recorded_warnings() as caught:
                answers = answers_of(one, subset(data, fold.test), names)
            yield _keep(run, seed, fold, key, result_of(one, answers, fold, seed, [*together, *caught]))


def _keep(run: Run, seed: int, fold: Fold, key: str, result: FoldResult) -> str:
    write_fold(run.fold(seed, fold.name), key, result)
    table = result.predictions
    return f"seed {seed}, {fold.subject}: {(table['y_true'] == table['y_pred']).sum()} of {len(table)} right"


def read_back(run: Run, keys: dict[tuple[int, Fold], str], classes: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """All folds as one table, read back from disk so that fresh and resumed runs hold the same numbers."""
    results = []
    for (seed, fold), key in keys.items():
        result = read_fold(run.fold(seed, fold.name), key)
        if result is None:
            raise ToolkitError(f"{run.fold(seed, fold.name)} changed while the run was going on: start it again")
        results.append(result)
    pooled = check_predictions(pd.concat([r.predictions for r in results], ignore_index=True), classes)
    return pooled, _warnings(results)


def _warnings(results: Sequence[FoldResult]) -> list[str]:
    """What was warned of in any fold, each text once."""
    return list(dict.fromkeys(text for result in results for text in result.warnings))


def check_task(data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], jobs: int, system: System) -> None:
    """Raise ValueError for what `run_folds` refuses."""
    check_folds(folds, data.subjects)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {list(seeds)}, wanted at least one and none twice")
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}, wanted at least 1")
    if jobs > 1 and system.device != "cpu":
        raise ValueError(f"jobs is {jobs} on {system.device}: one process at a time uses an accelerator, set jobs = 1")
    if data.targets is not None:
        return
    unlabelled = [clip for clip, label in zip(data.clip_ids, data.labels.tolist(), strict=True) if label == UNLABELLED]
    if unlabelled:
        raise ValueError(f"{len(unlabelled)} clips have no label, for example {unlabelled[0]}; they cannot be scored")


def fold_keys(
    data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], system: System
) -> dict[tuple[int, Fold], str]:
    """What each fold's result depends on, seed by seed. Source code counts: a changed block is a changed network."""
    common = key_of(system.key, data_digest(data), library_versions(), system.device)
    return {(seed, fold): key_of(common, seed, fold) for seed in seeds for fold in folds}


def data_digest(data: ClipTensors) -> str:
    """Hash of clip ids, subjects, classes, labels and inputs."""
    state = hashlib.blake2b(digest_size=12)
    state.update(json.dumps([data.clip_ids, data.subjects, data.classes, data.labels.tolist()]).encode())
    if data.targets is not None:
        state.update(json.dumps(data.targets.tolist()).encode())
    for name, tensor in sorted(data.inputs.items()):
        state.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        state.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return state.hexdigest()


def _about(data: ClipTensors, folds: Sequence[Fold], seeds: Sequence[int], system: System) -> dict[str, Any]:
    return {
        **system.about(data.classes),
        "inputs": {name: list(tensor.shape[1:]) for name, tensor in data.inputs.items() if MARK not in name},
        **({"versions": versions_of(data)} if versions_of(data) else {}),
        "uses": [one.plain() for one in system.inputs],
        "classes": list(data.classes),
        **({} if data.targets is None else {"sets": True}),
        "seeds": list(seeds),
        "folds": len(folds),
        "clips": len(data),
        "data": data_digest(data),
        "versions": library_versions(),
        "toolkit": toolkit_version(),
    }
