"""Variants of a system under the same folds and seeds, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynamic_images.clip_input import NoSettings
from experiments.runs.folds import OnFold, class_list, pooled_answers, run_folds
from experiments.runs.run import Run
from experiments.runs.system_registry import make_system
from experiments.runs.systems import System
from experiments.scoring.metrics import METRICS
from experiments.scoring.protocols import Protocol, describe, leave_one_subject_out
from experiments.scoring.statistics import Interval, bootstraps, paired_differences
from fusion_net.inputs import ClipTensors
from preprocessing.artefacts.files import write_text

BASELINE = "majority"


def ablate(
    data: ClipTensors,
    variants: Mapping[str, System],
    folder: Path,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    protocol: Protocol = leave_one_subject_out,
    progress: OnFold | None = None,
) -> pd.DataFrame:
    """Run every variant into ``folder/<variant>`` and write ``ablation.csv`` and ``ablation.md`` beside them.

    Args:
        data: labelled clips, unscaled, with the inputs of all variants.
        variants: systems by name; the first is the one that the others are compared with.
        folder: ``runs/<name>``; finished folds in it are reused.
        seeds, jobs, protocol, progress: as in `folds.evaluate`; progress counts all variants.

    Returns:
        `table` of the predictions.

    Raises:
        ValueError: no variants, or what `run_folds` refuses.
    """
    if not variants:
        raise ValueError("there are no variants to compare")
    folds = protocol(data.subjects)
    each = len(folds) * len(seeds)
    majority = make_system(BASELINE, NoSettings())
    baseline = {majority.title: pooled_answers(data, folds, majority, (0,))[0]}
    predictions: dict[str, pd.DataFrame] = {}
    parameters: dict[str, int | None] = {}
    for number, (name, system) in enumerate(variants.items()):
        step = _step(progress, number * each, len(variants) * each, name)
        run = Run(folder / name)
        predictions[name], _ = run_folds(data, folds, run, system, seeds, jobs, step, describe(protocol))
        parameters[name] = run.about().get("parameters")
        rows = _write({**predictions, **baseline}, parameters, class_list(data), folder)
    return rows


def _write(
    predictions: Mapping[str, pd.DataFrame], parameters: Mapping[str, int | None], classes: Sequence[str], folder: Path
) -> pd.DataFrame:
    """The table of the variants that are finished, after each of them: an ablation takes long."""
    rows = table(predictions, classes)
    rows.insert(1, "parameters", [parameters.get(name) for name in rows["variant"]])
    rows["parameters"] = rows["parameters"].astype("Int64")
    write_text(folder / "ablation.csv", rows.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(folder / "ablation.md", markdown(rows))
    return rows


def table(predictions: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """One row per variant: scores with intervals and the paired difference of each score to the first variant.

    Returns:
        ``variant, clips, subjects, seeds`` and for each metric m ``m, m_low, m_high, m_minus_first,
        m_minus_first_low, m_minus_first_high``; the differences of the first variant to itself are empty.
    """
    first = next(iter(predictions))
    rows = []
    for name, rows_of in predictions.items():
        row: dict[str, Any] = {
            "variant": name,
            "clips": rows_of["clip_id"].nunique(),
            "subjects": rows_of["subject"].nunique(),
            "seeds": rows_of["seed"].nunique(),
        }
        scores = bootstraps(rows_of, classes)
        differences = paired_differences(rows_of, predictions[first], classes) if name != first else {}
        for metric in METRICS:
            row |= _ends(metric, scores[metric])
            if differences:
                row |= _ends(f"{metric}_minus_first", differences[metric])
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(rows: pd.DataFrame) -> str:
    """The table for a README: score [interval], and the UF1 difference to the first variant."""
    first = rows["variant"].iloc[0]
    lines = [
        f"| variant | parameters | accuracy | UF1 | UAR | UF1 minus {first} |",
        "|---|---:|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        scores = " | ".join(_cell(row, metric) for metric in METRICS)
        size = "" if pd.isna(row["parameters"]) else f"{row['parameters']:,}"
        lines.append(f"| {row['variant']} | {size} | {scores} | {_cell(row, 'uf1_minus_first')} |")
    one = rows.iloc[0]
    lines += [
        "",
        f"{one['clips']} clips, {one['subjects']} subjects, {one['seeds']} seeds; 95 % BCa intervals over subjects.",
    ]
    return "\n".join(lines) + "\n"


def _step(progress: OnFold | None, before: int, total: int, name: str) -> OnFold | None:
    if progress is None:
        return None
    return lambda done, _, text: progress(before + done, total, f"{name}: {text}")


def _ends(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _cell(row: Mapping[Any, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "" if name.endswith("first") else "n/a"
    sign = "+" if name.endswith("first") else ""
    value, low, high = (format(row[key], f"{sign}.3f") for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} [{low}, {high}]".replace("-", "−")
