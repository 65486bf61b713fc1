"""Leave-one-subject-out of AFN in two processes: seconds for the same folds of drawn noise."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import torch

from experiments.config import all_sections, load_config
from experiments.runs.folds import run_folds
from experiments.runs.run import Run
from experiments.runs.system_registry import make_system
from experiments.scoring.protocols import leave_one_subject_out
from fusion_net import ClipTensors

SUBJECTS, CLIPS, EPOCHS, JOBS = 4, 48, 5, 2


def measure(subjects: int = SUBJECTS, clips: int = CLIPS, epochs: int = EPOCHS, jobs: int = JOBS) -> dict[str, float]:
    """Train all folds for one epoch to start the workers, then again into an empty folder; seconds."""
    config = load_config(all_sections(), None, [])
    fit = dataclasses.replace(config["fit"], epochs=epochs, device="cpu")
    system, quick = (make_system("afn", config["afn"], dataclasses.replace(fit, epochs=n)) for n in (epochs, 1))
    side = config["evaluation"].input_size
    drawn = torch.Generator().manual_seed(0)
    names = tuple(f"noise/s{i % subjects}/c{i}" for i in range(clips))
    data = ClipTensors(
        names,
        tuple(name.rsplit("/", 1)[0] for name in names),
        torch.arange(clips) // subjects % 3,
        ("a", "b", "c"),
        {one.name: torch.randn(clips, 3, side, side, generator=drawn) for one in system.inputs},
    )
    folds = leave_one_subject_out(data.subjects)
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as name:
        run_folds(data, folds, Run(Path(name) / "warm-up"), quick, jobs=jobs)
        start = time.perf_counter()
        run_folds(data, folds, Run(Path(name) / "run"), system, jobs=jobs)
        return {"folds": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(measure()))
