"""Measure another checkout beside this one: the same programs, runs in turns, the spread of every ratio.

A **probe** is a small program in ``probes/`` that measures whichever build Python finds first and prints one line of
JSON: quantity → number, less being better. It runs in a process of its own and may only use what both builds have. To
add a row, add what the probe returns to `ROWS`, and a new probe file where none measures it yet.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from preprocessing.errors import EnvironmentProblemError, UsageError

RUNS = 3
PROBES = Path(__file__).parent / "probes"
OURS = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        probe: file in ``probes/`` without its ending.
        key: of the number among those that the probe prints.
        title: what is measured, with its unit.
    """

    probe: str
    key: str
    title: str


ROWS = (
    Row("chain", "whole chain", "whole chain, ms per frame"),
    Row("chain", "flow", "flow with its files, ms per frame"),
    Row("chain", "register", "register head motion, ms per frame"),
    Row("chain", "warp", "warp, ms per frame"),
    Row("chain", "disk", "files of a clip, MB"),
    Row("chain", "memory", "peak memory of the process that makes clips, MB"),
    Row("commands", "help", "`mer --help`, s"),
    Row("commands", "done", "`mer train` again when all is done, 6 short clips, s"),
    Row("folds", "folds", "4 folds of AFN, 5 epochs, two processes, s"),
)


def against_table(
    root: Path, other: Path, rows: Sequence[Row] = ROWS, runs: int = RUNS, log: Path | None = None
) -> pd.DataFrame:
    """Every row for the checkout ``other`` and for this one: medians, and the ratio with its spread.

    The two take turns and change who begins, so that a machine that warms up or slows down favours neither. Each run
    has a ratio of its own: ``lowest`` and ``highest`` are the extremes of those.

    Args:
        root: synthetic corpus that both read.
        other: folder of the other checkout.
        rows: what to measure.
        runs: of each probe and checkout.
        log: gets a line of JSON when a probe has ended, so that a bench that is stopped has not measured in vain.

    Raises:
        UsageError: ``other`` is no checkout of this project.
        EnvironmentProblemError: a probe failed.
    """
    check_checkout(other)
    sides = {"other": other.resolve(), "this": OURS}
    seen: dict[str, dict[str, list[dict[str, float]]]] = {}
    for probe in dict.fromkeys(row.probe for row in rows):
        seen[probe] = {side: [] for side in sides}
        for run in range(runs):
            for side in list(sides)[:: 1 if run % 2 == 0 else -1]:
                found = run_probe(PROBES / f"{probe}.py", sides[side], root.resolve())
                seen[probe][side].append(found)
                if log is not None:
                    with log.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"probe": probe, "run": run + 1, "build": side, **found}) + "\n")
    table = pd.DataFrame([_line(row, seen[row.probe]) for row in rows])
    table.attrs["note"] = (
        f"Another checkout ({revision(other)}) and this one ({revision(OURS)}) in turns, {runs} runs of each in "
        "processes of their own, medians; `times better` is other / this, and `lowest` and `highest` are its extremes "
        "over the runs."
    )
    return table


def check_checkout(folder: Path) -> None:
    """Raise `UsageError` unless ``folder`` holds a build of this project and Python takes it from there."""
    if not (folder / "preprocessing" / "__init__.py").is_file():
        raise UsageError(
            f"--against {folder}: there is no preprocessing/__init__.py; wanted the top folder of a checkout, for "
            "example one made by `git worktree add --detach ../before COMMIT`"
        )
    where = _python(folder, ["-c", "import preprocessing; print(preprocessing.__file__)"])
    if Path(where.strip()).resolve().parent.parent != folder.resolve():
        raise EnvironmentProblemError(
            f"--against {folder}: Python takes `preprocessing` from {where.strip()} instead; is it installed into the "
            "environment in a way that comes before PYTHONPATH?"
        )


def run_probe(probe: Path, checkout: Path, root: Path) -> dict[str, float]:
    """What ``probe`` measures on the build in ``checkout``: quantity → number.

    Raises:
        EnvironmentProblemError: it ended with an error, or its last line is not such a table.
    """
    said = _python(checkout, [str(probe), str(root)]).strip().splitlines()
    try:
        found: Any = json.loads(said[-1])
        return {str(key): float(value) for key, value in found.items()}
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise EnvironmentProblemError(
            f"the probe {probe.name} on {checkout} printed {said[-1:]} last, wanted quantity → number as JSON"
        ) from error


def revision(checkout: Path) -> str:
    """Short commit of a checkout, or ``unknown``."""
    try:
        words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _python(checkout: Path, words: Sequence[str]) -> str:
    """What Python prints when it finds packages in ``checkout`` first, in an empty folder, with one thread."""
    # -P: a script's own folder would come first, and its neighbours have names that are taken
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-P", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EnvironmentProblemError(f"python {' '.join(words)} on {checkout} ended with {done.returncode}: {last}")
    return done.stdout


def _line(row: Row, seen: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    other, this = (np.array([values[row.key] for values in seen[side]]) for side in ("other", "this"))
    ratios = other / this
    return {
        "measure": row.title,
        "other": float(np.median(other)),
        "this": float(np.median(this)),
        "times better": float(np.median(ratios)),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
    }
