"""What the shipped weights are worth on a data set: alone, as a start, and beside a network trained on the spot.

Run as ``python -m experiments.pretraining [DATASET] [--scheme 3] [--seeds 3]``, in the folder that holds the cache of
``mer dataset``. Prints a table as Markdown; every difference is paired on the same clips.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from experiments.config import all_sections, load_config
from experiments.options import model_defaults, show
from experiments.preparation import dataset_paths
from experiments.runs.folds import evaluate
from experiments.runs.run import Run
from experiments.scoring.metrics import METRICS
from experiments.scoring.statistics import Interval, bootstraps, paired_difference
from experiments.scoring.summary import check_predictions
from experiments.workflow import Job, prepare
from fusion_net.checkpoint import load
from fusion_net.inference import predict
from fusion_net.models.motion_net import shipped
from preprocessing.workers import cores

STARTS = {"no pretraining": "none", "from permuted labels": "permuted", "weights + fine-tuning": "shipped"}
"""Ways to begin `MotionNet`."""
OTHERS = {"AFN": "afn", "linear SVM on flow": "svm", "majority": "majority"}
"""What else stands in the table, with one seed."""


def compare(dataset: str, scheme: str, seeds: int, jobs: int, folder: Path) -> dict[str, pd.DataFrame]:
    """Predictions of every way, pooled over held-out subjects (the weights alone hold nobody out: they saw nobody)."""
    tables = {}
    for name, start in STARTS.items():
        job = _job(dataset, scheme, seeds, jobs, "motion_net", f"motion_net.init={start}")
        tables[name] = _judged(job, folder / f"{scheme}-{start}", seeds, jobs)
    job = _job(dataset, scheme, seeds, jobs, "motion_net", "motion_net.init=none")
    tables["weights alone"] = alone(job, scheme)
    tables["mean of weights and fine-tuned"] = mean_of(tables["weights alone"], tables["weights + fine-tuning"])
    for name, model in OTHERS.items():
        other = _job(dataset, scheme, seeds, jobs, model)
        tables[name] = _judged(other, folder / f"{scheme}-{model}", 1, jobs)
    return tables


def alone(job: Job, scheme: str) -> pd.DataFrame:
    """Answers of the shipped weights, which were trained on none of these clips."""
    checkpoint = load(shipped(scheme))
    data = job.data.only(one.name for one in checkpoint.model.inputs)
    own = checkpoint.model.classes  # the same names in the order of the model
    labels = torch.tensor([own.index(data.classes[k]) for k in data.labels.tolist()])
    data = dataclasses.replace(data, classes=own, labels=labels)
    found = predict(checkpoint.model, checkpoint.scaler(data))
    return found.assign(fold=found["subject"], seed=0)


def mean_of(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Mean of the probabilities of two tables, by clip; the second may have several seeds."""
    columns = [str(name) for name in second if str(name).startswith("p_")]
    by_clip = first.set_index("clip_id").loc[second["clip_id"], columns].to_numpy()
    mean = (by_clip + second[columns].to_numpy()) / 2
    names = np.array([name.removeprefix("p_") for name in columns])
    found = second.assign(y_pred=names[mean.argmax(axis=1)])
    found[columns] = mean
    return found


def markdown(tables: Mapping[str, pd.DataFrame], reference: str = "no pretraining") -> str:
    """Scores, and UF1 minus that of the network without pretraining."""
    classes = sorted(set(tables[reference]["y_true"]))
    one = tables[reference]
    lines = [f"{one['clip_id'].nunique()} clips of {one['subject'].nunique()} subjects.", ""]
    lines += [f"| what | seeds | accuracy | UF1 | UAR | UF1 minus {reference} |", "|---|---:|---|---|---|---|"]
    for name, table in tables.items():
        scores = bootstraps(table, classes)
        apart = "" if name == reference else _text(paired_difference(table, tables[reference], classes), "+")
        cells = " | ".join(_text(scores[metric]) for metric in METRICS)
        lines.append(f"| {name} | {table['seed'].nunique()} | {cells} | {apart} |")
    return "\n".join(lines).replace("-0.", "−0.") + "\n"


def _job(dataset: str, scheme: str, seeds: int, jobs: int, model: str, *changes: str) -> Job:
    wanted = [f"evaluation.seeds={seeds}", f'evaluation.scheme="{scheme}"', *changes]
    config = load_config(all_sections(), None, wanted, model_defaults(model), {})
    return prepare(dataset_paths(dataset, config), config, model, jobs, show)


def _judged(job: Job, folder: Path, seeds: int, jobs: int) -> pd.DataFrame:
    run = Run(folder)
    with show(folder.name) as step:
        evaluate(job.data, run, job.system, seeds=range(seeds), jobs=jobs, protocol=job.protocol, progress=step)
    return check_predictions(run.predictions(), job.data.classes)


def _text(score: Interval, sign: str = "") -> str:
    return f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="synthetic")
    parser.add_argument("--scheme", default="3", choices=("3", "5"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=cores())
    given = parser.parse_args()
    place = Path("runs") / f"pretraining-{given.dataset}"
    print(markdown(compare(given.dataset, given.scheme, given.seeds, given.jobs, place)))
