"""A system trained once per fold, judged on disturbed versions of the test clips: a table with an interval per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.runs.ablation import table
from experiments.runs.folds import (
    OnFold,
    check_task,
    class_list,
    fold_keys,
    over_clips,
    read_back,
    recorded_warnings,
    result_of,
)
from experiments.runs.run import Run, read_fold, write_fold
from experiments.runs.systems import System
from experiments.runs.versions import MARK, as_version, versions_of, with_inputs
from experiments.scoring.metrics import METRICS
from experiments.scoring.protocols import Fold, Protocol, leave_one_subject_out
from fusion_net.inputs import ClipTensors, subset
from preprocessing.artefacts.files import write_text

RECORDED = "as recorded"


def robustness(
    data: ClipTensors,
    system: System,
    folder: Path,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    protocol: Protocol = leave_one_subject_out,
    progress: OnFold | None = None,
) -> pd.DataFrame:
    """Train on clips as they were recorded, test on them and on each version (`experiments.runs.versions`).

    Args:
        data: labelled clips, unscaled, with the system's inputs and their versions.
        system: what is judged.
        folder: ``<version>/folds`` and ``robustness.csv``, ``.md`` are written there; finished folds are reused.
        seeds, jobs, protocol, progress: as in `folds.evaluate`.

    Returns:
        `ablation.table` of the versions, the first being ``as recorded``.
    """
    data = with_inputs(data, [one.name for one in system.inputs])
    folds = protocol(data.subjects)
    check_task(data, folds, seeds, jobs, system)
    keys = fold_keys(data, folds, seeds, system)
    runs = {name: Run(folder / name) for name in (RECORDED, *versions_of(data))}
    todo = [
        task
        for task, key in keys.items()
        if any(read_fold(run.fold(task[0], task[1].name), key) is None for run in runs.values())
    ]
    done = len(keys) - len(todo)
    with Run(folder).locked("training folds"):
        tasks = [(folder, system, seed, fold, keys[seed, fold]) for seed, fold in todo]
        for name in over_clips(_train_and_test, data, tasks, jobs, folder):
            done += 1
            if progress:
                progress(done, len(keys), name)
        rows = table({name: read_back(run, keys, class_list(data))[0] for name, run in runs.items()}, class_list(data))
        write_text(folder / "robustness.csv", rows.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
        write_text(folder / "robustness.md", markdown(rows))
    return rows


def _train_and_test(data: ClipTensors, folder: Path, system: System, seed: int, fold: Fold, key: str) -> str:
    names = [name for name in data.inputs if MARK not in name]
    with recorded_warnings() as caught:
        fitted = system.fit(subset(data.only(names), fold.train), seed, fold.subject)
        test = subset(data, fold.test)
        parts = {RECORDED: test.only(names), **{v: as_version(test, names, v) for v in versions_of(data)}}
        answers = {name: fitted.answer(part) for name, part in parts.items()}
    for name, answer in answers.items():
        write_fold(Run(folder / name).fold(seed, fold.name), key, result_of(fitted, answer, fold, seed, caught))
    return f"seed {seed}, {fold.subject}"


def markdown(rows: pd.DataFrame) -> str:
    """The table for people: UF1 of each version, and its paired difference to clips as recorded."""
    lines = ["| test clips | accuracy | UF1 | UF1 minus as recorded |", "|---|---|---|---|"]
    for row in rows.to_dict("records"):
        cells = [_cell(row, metric, "") for metric in list(METRICS)[:2]]
        last = "" if pd.isna(row["uf1_minus_first"]) else _cell(row, "uf1_minus_first", "+")
        lines.append(f"| {row['variant']} | {' | '.join(cells)} | {last} |")
    one = rows.iloc[0]
    lines += ["", f"{one['clips']} clips, {one['subjects']} subjects, {one['seeds']} seeds; 95 % BCa intervals over"]
    lines[-1] += " subjects. Training clips are as recorded."
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[Any, Any], name: str, sign: str) -> str:
    value, low, high = (format(row[key], f"{sign}.3f") for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} [{low}, {high}]".replace("-", "−")
