"""Measure speed, memory and accuracy, as ratios within one run because machines differ."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.bench import against as other_build
from experiments.bench import hashing, many_clips, offline
from experiments.bench.exact_pooling import pooling_table
from experiments.chain_accuracy import as_table, measure
from experiments.config import Config
from experiments.flow_gain import gain_table
from experiments.preparation import SYNTHETIC, dataset_paths, make_dataset
from experiments.progress import Progress
from preprocessing.artefacts.files import write_text
from preprocessing.errors import UsageError
from preprocessing.workers import cores

MANY = "Very many clips"


def run(
    config: Config,
    out: Path,
    jobs: int,
    progress: Progress,
    against: Path | None = None,
    only: Sequence[str] = (),
    clips: int | None = None,
) -> Path:
    """Measure everything on the synthetic corpus and write ``bench.md`` into ``out``.

    Args:
        config: settings; the corpus is made if it is missing.
        out: folder of the tables.
        jobs: processes for making the corpus; the measurements choose their own.
        progress: display of long work.
        against: folder of another checkout that is measured beside this one.
        only: words; tables whose title holds none of them are left out. None means all tables.
        clips: size of a data set of short clips, which is then measured too; see `many_clips`.

    Raises:
        UsageError: no table is left, or ``against`` is no checkout.
    """
    from experiments.bench import training  # torch, which measured workers of the offline stages do without

    if against is not None:
        other_build.check_checkout(against)
    paths = dataset_paths(SYNTHETIC, config)
    if paths.root is None:
        raise ValueError("the synthetic corpus has a root")
    root = paths.root
    parts: dict[str, Callable[[], pd.DataFrame]] = {
        "Against the synthetic truth": lambda: as_table(measure(root, paths.cache, config)),
        "Flow: error and time": lambda: offline.flow_table(root, paths.cache, config),
        "Flow: gain by contrast and noise": gain_table,
        "Exact rank pooling": lambda: pooling_table(paths.cache),
        "Crop size": lambda: offline.size_table(root, config),
        "Offline chain against the reference": lambda: offline.chain_table(root, paths.cache, config),
        "Time per stage": lambda: offline.stage_table(root, config),
        "Hashing": lambda: hashing.hashing_table(root, config),
        "Clips per second": lambda: offline.jobs_table(root, config),
        "Peak memory of a worker": lambda: offline.memory_table(root, config),
        "Training": lambda: training.step_table(paths, config),
        "Folds in parallel": lambda: training.folds_table(paths, config),
    }
    if against is not None:
        out.mkdir(parents=True, exist_ok=True)
        log = out / "against.jsonl"
        parts = {"Beside another build": lambda: other_build.against_table(root, against, log=log), **parts}
    if clips is not None:
        parts = {**parts, MANY: lambda: many_clips.many_table(clips)}
    titles = list(parts)
    parts = {title: part for title, part in parts.items() if not only or any(w.lower() in title.lower() for w in only)}
    if not parts:
        raise UsageError(f"--only {' '.join(only)}: no such table; their titles are {', '.join(titles)}")
    if set(parts) != {MANY}:
        make_dataset(paths, config, jobs, progress)
    lines = ["# Bench", "", f"Machine: {machine()}. Command: `mer bench`.", ""]
    with progress("measuring") as step:
        for i, (title, part) in enumerate(parts.items(), start=1):
            table = part()
            lines += [f"## {title}", "", str(table.attrs.get("note", "")), "", markdown(table), ""]
            write_text(out / "bench.md", "\n".join(lines))
            step(i, len(parts), title)
    return out / "bench.md"


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers as they stand."""
    rows = [[str(v) for v in table.columns], ["---"] * table.shape[1]]
    rows += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Cores and instruction sets, not names or paths."""
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        line = next((line for line in info.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
        flags = set(line.split())
    sets = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve") if name in flags]
    return f"{cores()} cores, {platform.machine()} {' '.join(sets)}, {platform.system()}".strip()


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
