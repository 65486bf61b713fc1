"""Explain the networks of a run on held-out clips: activation maps, blanked parts of the face, sanity checks.

    runs/<name>/explanations/
      <seed>-<fold>.npz        maps and occlusions of one fold's test clips, under the fold's key
      occlusion.csv            a row per clip and blanked part of the face
      maps.npz                 clip ids and maps by network, method and stream
      explanations.json        all of it that is a number; written last

A run keeps no weights. Each fold's network is trained again, which on a CPU gives the same bytes, and is explained
only if it predicts its test clips as the run did. Nothing of the run itself is changed.

The sanity check is the model parameter test of Adebayo et al., NeurIPS 2018, arXiv:1810.03292: a map that does not
change when the weights are drawn anew shows edges of the input and nothing that was learnt. Beside it stands how
alike the maps of two trainings are where the run has two seeds (the ceiling), and how alike those of two clips of one
person are under one network (what every map shares).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dynamic_images.clip_input import PLANAR
from dynamic_images.motion_intensity import face_parts
from experiments.runs.folds import OnFold, data_digest, fold_keys, over_clips
from experiments.runs.run import Run, read_fold, read_json, to_csv, write_json
from experiments.runs.systems import FittedNetwork, Network, System, side_of
from experiments.scoring.protocols import Fold, Protocol, leave_one_subject_out
from experiments.scoring.statistics import mean_interval
from fusion_net.activation_maps import METHODS, activation_maps, blank
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, subset
from fusion_net.models.contract import Model
from fusion_net.seeds import fold_seed
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.files import atomic, digest, key_of, write_text
from preprocessing.artefacts.stacks import CROPS
from preprocessing.errors import ToolkitError, UsageError

NUMBERS, MAPS, OCCLUSION = "explanations.json", "maps.npz", "occlusion.csv"
VERSION = 2
ELSEWHERE = "elsewhere"
_NUMBERS = ("drop", "flips", "area")
MAX_PROBABILITY_DIFF = 1e-3
"""How far a network trained again may be from the run's probabilities; on the same machine they are equal."""


@dataclass(frozen=True)
class _Task:
    """One fold to explain: its tensors come apart from it, so that workers map them."""

    run: Run
    cache: Path
    system: Network
    fold: Fold
    keys: Mapping[int, str]
    seeds: tuple[int, ...]


def explain(
    data: ClipTensors,
    run: Run,
    cache: Path,
    system: Network,
    jobs: int = 1,
    protocol: Protocol = leave_one_subject_out,
    progress: OnFold | None = None,
) -> Path:
    """Explain every test clip of a finished run by its first seed; the second, if any, is what maps are compared to.

    Args:
        data: the clips that the run was made of, unscaled.
        run: the run folder.
        cache: ``cache/<dataset>``: the landmarks.
        system: what the run trained.
        jobs: processes, one thread each; any number gives the same bytes.
        protocol: of the run.
        progress: told after each fold.

    Returns:
        Path of ``explanations.json``.

    Raises:
        ToolkitError: the run is of other clips or of another version of the networks, or a network trained again
            does not predict what the run holds.
        FolderInUseError: another process is at work in the run.
    """
    data = data.only(one.name for one in system.inputs)
    check_explainable(system, data.classes)
    about = run.about()
    for name, now in (("data", data_digest(data)), ("source", system.source)):
        if about.get(name) != now:
            what = "clips" if name == "data" else "source code of the system"
            raise ToolkitError(
                f"{run.folder} was made with other {what} ({about.get(name)}, now {now}): run `mer train` again, then "
                "explain it"
            )
    folds, seeds = protocol(data.subjects), tuple(about["seeds"][:2])
    keys = fold_keys(data, folds, seeds, system)
    tasks = [_Task(run, cache, system, fold, {s: keys[s, fold] for s in seeds}, seeds) for fold in folds]
    todo = [(task,) for task in tasks if not _is_done(task)]
    done = len(tasks) - len(todo)
    with run.locked("explaining folds"):
        for name in over_clips(_explain_and_keep, data, todo, jobs, run.folder):
            done += 1
            if progress:
                progress(done, len(tasks), name)
        return _summarise(run, tasks, data.classes)


def check_explainable(system: System, classes: Sequence[str]) -> Network:
    """The system as a network whose layers can be shown.

    Raises:
        UsageError: it is not a network, or names no layers to look at (`Model.map_layers`).
    """
    if not isinstance(system, Network) or not system.new(classes, seed=0).map_layers():
        raise UsageError(f"{system.title} has no layers that a map over the face could show: it cannot be explained")
    return system


def _explain_and_keep(data: ClipTensors, task: _Task) -> str:
    content = explain_fold(data, task)
    _savez(_part(task), {"key": np.array(_key(task)), **content})
    return task.fold.subject


def explain_fold(data: ClipTensors, task: _Task) -> dict[str, NDArray[Any]]:
    """Maps and occlusions of the fold's test clips; see `_Task`. Arrays by name, row i of each being test clip i."""
    first, test = task.seeds[0], subset(data, task.fold.test)
    content: dict[str, NDArray[Any]] = {"clip_id": np.array(test.clip_ids), "subject": np.array(test.subjects)}
    classes = list(data.classes)
    target: list[int] = []
    train, mirrored = subset(data, task.fold.train), task.system.mirrored  # as the run predicted
    for seed in task.seeds:
        fitted: FittedNetwork = task.system.fit(train, seed, task.fold.subject)
        model, scaled = fitted.model, fitted.scaler(test)
        table = predict(model, scaled, mirrored=mirrored)
        _check_same(table, task, seed)
        if seed == first:
            target = [classes.index(name) for name in table["y_pred"]]
            content |= {"y_true": table["y_true"].to_numpy(str), "y_pred": table["y_pred"].to_numpy(str)}
            content |= _occluded(model, scaled, table, task.cache, mirrored)
            untrained = task.system.new(data.classes, fold_seed(seed, f"untrained/{task.fold.name}"))
            content |= _maps("untrained", untrained, scaled, target, mirrored)
        content |= _maps("map" if seed == first else "again", model, scaled, target, mirrored)
    return content


def _maps(
    kind: str, model: Model, scaled: ClipTensors, target: Sequence[int], mirrored: bool
) -> dict[str, NDArray[np.float32]]:
    """Maps by ``<kind>/<method>/<stream>``."""
    return {
        f"{kind}/{method}/{stream}": values
        for method in METHODS
        for stream, values in activation_maps(model, scaled, target, method, mirrored=mirrored).items()
    }


def _check_same(table: pd.DataFrame, task: _Task, seed: int) -> None:
    kept = read_fold(task.run.fold(seed, task.fold.name), task.keys[seed])
    if kept is None:
        raise ToolkitError(
            f"{task.run.fold(seed, task.fold.name)} is not the fold that these settings make: run `mer train` again"
        )
    columns = [name for name in table.columns if name.startswith("p_")]
    before = kept.predictions.set_index("clip_id").loc[list(table["clip_id"]), columns].to_numpy()
    off = float(np.abs(before - table[columns].to_numpy()).max())
    if off > MAX_PROBABILITY_DIFF:
        raise ToolkitError(
            f"{task.run.fold(seed, task.fold.name)}: the network trained again differs by {off:.3g} in a "
            "probability, so it is another network; explain on the machine and device that trained"
        )


def _occluded(
    model: Model, scaled: ClipTensors, table: pd.DataFrame, cache: Path, mirrored: bool
) -> dict[str, NDArray[Any]]:
    """(N,) by ``drop/<part>``, ``flips/<part>`` and ``area/<part>``: what blanking a part does to the prediction."""
    size, planar = side_of(scaled), scaled.only(name for name in scaled.inputs if scaled.kind(name) in PLANAR)
    masks = [_parts(clip_folder(cache, clip_id), size) for clip_id in scaled.clip_ids]
    before = np.array([row[f"p_{row['y_pred']}"] for row in table.to_dict("records")])
    found: dict[str, NDArray[Any]] = {}
    for part in masks[0]:
        where = np.stack([m[part] for m in masks])
        without = replace(scaled, inputs={**scaled.inputs, **blank(planar, where).inputs})
        blanked = predict(model, without, mirrored=mirrored)
        after = np.array([blanked[f"p_{name}"].iloc[i] for i, name in enumerate(table["y_pred"])])
        found |= {
            f"drop/{part}": before - after,
            f"flips/{part}": (blanked["y_pred"] != table["y_pred"]).to_numpy(),
            f"area/{part}": where.mean(axis=(1, 2)),
        }
    return found


def _parts(folder: ClipFolder, size: int) -> dict[str, NDArray[np.bool_]]:
    crops = folder.frames(CROPS)
    parts = face_parts(folder.load("landmarks.npy"), (size, size), crops.shape[1:3])
    return {**parts, ELSEWHERE: ~np.any(list(parts.values()), axis=0)}


def _savez(path: Path, arrays: dict[str, Any]) -> None:
    with atomic(path) as scratch:
        np.savez(scratch, **arrays)


def _part(task: _Task) -> Path:
    return task.run.explanations / f"{task.seeds[0]}-{task.fold.name}.npz"


def _key(task: _Task) -> str:
    return key_of("explanation", VERSION, dict.fromkeys(map(str, task.seeds)), list(task.keys.values()))


def _is_done(task: _Task) -> bool:
    try:
        with np.load(_part(task), allow_pickle=False) as content:
            return str(content["key"]) == _key(task)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _summarise(run: Run, tasks: Sequence[_Task], classes: Sequence[str]) -> Path:
    """Pool the folds into tables, maps and numbers."""
    folds = [dict(np.load(_part(task), allow_pickle=False)) for task in tasks]
    pooled = {name: np.concatenate([fold[name] for fold in folds]) for name in folds[0] if name != "key"}
    inputs = [name.split("/")[2] for name in pooled if name.startswith(f"map/{METHODS[0]}/")]
    parts = [name.split("/", 1)[1] for name in pooled if name.startswith("drop/")]
    folder = run.explanations
    facts = {name: pooled[name] for name in ("clip_id", "subject", "y_true", "y_pred")}
    kinds = {name.split("/", 1)[0] for name in pooled}
    rows = [
        pd.DataFrame({**facts, "part": part, **{k: pooled[f"{k}/{part}"] for k in ("area", "drop", "flips")}})
        for part in parts
    ]
    write_text(folder / OCCLUSION, to_csv(pd.concat(rows, ignore_index=True)))
    _savez(folder / MAPS, {n: a for n, a in pooled.items() if n.split("/")[0] not in _NUMBERS})
    write_json(
        folder / NUMBERS,
        {
            "version": VERSION,
            "predictions": digest_of_predictions(run),
            "clips": len(pooled["clip_id"]),
            "subjects": len(set(pooled["subject"])),
            "seeds": list(tasks[0].seeds),
            "inputs": inputs,
            "cells": list(pooled[f"map/{METHODS[0]}/{inputs[0]}"].shape[1:]),
            "sanity": [_alike(pooled, method, stream, "again" in kinds) for method in METHODS for stream in inputs],
            "occlusion": [_part_row(pooled, part, classes) for part in parts],
        },
    )
    return folder / NUMBERS


def _alike(pooled: Mapping[str, NDArray[Any]], method: str, stream: str, again: bool) -> dict[str, Any]:
    """Mean rank correlation of the trained maps of a stream with others; ``empty`` maps speak for nothing anywhere."""
    maps, subjects = pooled[f"map/{method}/{stream}"], list(pooled["subject"])
    others = {"untrained": pooled[f"untrained/{method}/{stream}"]}
    if again:
        others["again"] = pooled[f"again/{method}/{stream}"]
    row: dict[str, Any] = {"method": method, "stream": stream, "empty": int((maps.max(axis=(1, 2)) <= 0).sum())}
    for name, other in others.items():
        row[name] = _interval(np.array([rank_correlation(a, b) for a, b in zip(maps, other, strict=True)]), subjects)
    turned = _next_of_subject(subjects)
    pairs = [(i, j) for i, j in enumerate(turned) if i != j]
    values = np.array([rank_correlation(maps[i], maps[j]) for i, j in pairs])
    row["other_clip"] = _interval(values, [subjects[i] for i, _ in pairs])
    return row


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's correlation of two maps over their cells; NaN where one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _next_of_subject(subjects: Sequence[str]) -> list[int]:
    """For each clip the next one of its subject, the last's next being the first; itself where it is the only one."""
    of: dict[str, list[int]] = {}
    for i, subject in enumerate(subjects):
        of.setdefault(subject, []).append(i)
    return [of[s][(of[s].index(i) + 1) % len(of[s])] for i, s in enumerate(subjects)]


def _interval(values: NDArray[np.float64], subjects: Sequence[str]) -> dict[str, Any]:
    """Mean with interval over subjects, of the values that are defined; ``n`` says how many those are."""
    there = np.isfinite(values)
    if not there.any():
        return {"value": None, "low": None, "high": None, "n": 0}
    found = mean_interval(pd.Series(values[there]), pd.Series(subjects)[there].reset_index(drop=True))
    return {"value": found.value, "low": found.low, "high": found.high, "n": int(there.sum())}


def _part_row(pooled: Mapping[str, NDArray[Any]], part: str, classes: Sequence[str]) -> dict[str, Any]:
    drop, subjects = pooled[f"drop/{part}"], list(pooled["subject"])
    return {
        "part": part,
        "area": float(pooled[f"area/{part}"].mean()),
        "drop": _interval(drop, subjects),
        "flips": _interval(pooled[f"flips/{part}"].astype(np.float64), subjects),
        "by_class": {
            name: float(drop[own].mean()) if (own := pooled["y_true"] == name).any() else None for name in classes
        },
    }


def read_maps(run: Run) -> dict[str, NDArray[Any]]:
    """What ``maps.npz`` holds, by name."""
    with np.load(run.explanations / MAPS, allow_pickle=False) as content:
        return dict(content)


def read_numbers(run: Run) -> dict[str, Any] | None:
    """The numbers, or None if the run is not explained, or if they belong to other predictions."""
    path = run.explanations / NUMBERS
    if not path.is_file():
        return None
    numbers = read_json(path, "run `mer explain` again")
    current = numbers.get("version") == VERSION and numbers.get("predictions") == digest_of_predictions(run)
    return numbers if current else None


def digest_of_predictions(run: Run) -> str:
    """Of ``predictions.csv``: by it the report knows whether explanations are those of the run as it is."""
    return digest(run.predictions_file)
