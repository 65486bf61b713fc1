"""Measure training: time per sample, share of the machine's matrix rate, and how folds use the cores."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.config import Config
from experiments.preparation import DatasetPaths, labelled_tensors
from experiments.runs.folds import run_folds
from experiments.runs.run import Run
from experiments.runs.system_registry import find_system, make_system
from experiments.scoring.protocols import leave_one_subject_out
from fusion_net.fit import fit
from fusion_net.inputs import subset
from fusion_net.models import build_model

EPOCHS = 10  # enough that starting a fold hardly counts


def step_table(paths: DatasetPaths, config: Config, model: str = "afn") -> pd.DataFrame:
    """Milliseconds per sample and step of training, and its share of the matrix rate measured in the same run."""
    data = labelled_tensors(paths, config, find_system(model).uses(config[model]))
    settings = dataclasses.replace(config["fit"], epochs=EPOCHS, device="cpu")
    rows = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rate = _matmul_rate()
        net = build_model(config[model], data.classes, seed=0)
        batch = {name: x[: settings.batch_size] for name, x in data.inputs.items()}
        with FlopCounterMode(display=False) as counter:
            net(batch).logits.sum().backward()
        operations = counter.get_total_flops() / settings.batch_size
        fit(net, subset(data, range(min(16, len(data)))), settings=dataclasses.replace(settings, epochs=1), seed=0)
        start = time.perf_counter()
        fit(net, data, settings=settings, seed=0)
        seconds = (time.perf_counter() - start) / (EPOCHS * len(data))
        rows.append(
            {
                "threads": threads,
                "ms per sample": 1e3 * seconds,
                "Mflop per sample": operations / 1e6,
                "Gflop/s": operations / seconds / 1e9,
                "matmul Gflop/s": rate / 1e9,
                "share %": 100 * operations / seconds / rate,
            }
        )
    torch.set_num_threads(before)
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"Forward, backward, optimiser and augmentation; input {config['evaluation'].input_size} px, batch "
        f"{settings.batch_size}, fp32; matrix rate of a 1024² product."
    )
    return table


def folds_table(paths: DatasetPaths, config: Config, model: str = "afn") -> pd.DataFrame:
    """The same folds as one process with two threads, and as two processes with one thread each."""
    data = labelled_tensors(paths, config, find_system(model).uses(config[model]))
    folds = leave_one_subject_out(data.subjects)
    settings = dataclasses.replace(config["fit"], epochs=EPOCHS, device="cpu")
    system = make_system(model, config[model], settings)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    start = time.perf_counter()
    for fold in folds:
        fit(build_model(config[model], data.classes, seed=0), subset(data, fold.train), settings=settings, seed=0)
    together = time.perf_counter() - start
    torch.set_num_threads(before)
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as name:
        run_folds(data, folds, Run(Path(name) / "warm-up"), system, jobs=2)  # starts the workers
        start = time.perf_counter()
        run_folds(data, folds, Run(Path(name) / "run"), system, jobs=2)
        apart = time.perf_counter() - start
    table = pd.DataFrame(
        [
            {"folds": "one process, two threads", "seconds": together, "times faster": 1.0},
            {"folds": "two processes, one thread each", "seconds": apart, "times faster": together / apart},
        ]
    )
    table.attrs["note"] = f"{len(folds)} folds of {EPOCHS} epochs."
    return table


def _matmul_rate(side: int = 1024, times: int = 10) -> float:
    """Floating-point operations per second of a square product, the best of some."""
    a = torch.rand(side, side)
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best
