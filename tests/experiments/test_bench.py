"""The benchmarks run and their tables read well. No test here looks at a time: machines differ."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import bench
from experiments.bench import hashing, many_clips, offline, training
from experiments.config import Config, all_sections, load_config
from experiments.progress import Step
from preprocessing.clips import Clip
from preprocessing.video import ImageSequence
from preprocessing.workers import cores

PARTS = (
    "Against the synthetic truth",
    "Flow: error and time",
    "Flow: gain by contrast and noise",
    "Crop size",
    "Offline chain against the reference",
    "Time per stage",
    "Hashing",
    "Clips per second",
    "Peak memory of a worker",
    "Training",
    "Folds in parallel",
)


def test_a_table_in_markdown() -> None:
    table = pd.DataFrame(
        {"method": ["dis", "zero"], "error px": [0.123456, 1234.5], "n": [3, 4], "in use": ["yes", ""]}
    )
    assert bench.markdown(table).splitlines() == [
        "| method | error px | n | in use |",
        "| --- | --- | --- | --- |",
        "| dis | 0.123 | 3 | yes |",
        "| zero | 1.23e+03 | 4 |  |",
    ]


def test_a_missing_number_is_seen() -> None:
    assert bench.markdown(pd.DataFrame({"error": [np.nan]})).splitlines()[-1] == "| nan |"


def test_a_table_without_rows_is_its_head() -> None:
    assert len(bench.markdown(pd.DataFrame({"a": [], "b": []})).splitlines()) == 2


def test_the_machine_is_named_by_cores_and_instructions_only() -> None:
    said = bench.machine()
    assert re.fullmatch(r"\d+ cores, [\w ]+, \w+", said)
    assert said.startswith(f"{cores()} cores")


def test_the_matrix_rate_is_a_rate() -> None:
    assert training._matmul_rate(side=64, times=2) > 0


@contextmanager
def silent(title: str) -> Iterator[Step]:
    yield lambda done, total, last: None


@pytest.fixture(scope="module")
def config() -> Config:
    changes = (
        *("corpus.width=320", "corpus.height=240", "corpus.subjects=2", "corpus.clips_per_subject=2"),
        *("corpus.lead_in=2", "corpus.tail=2", "faces.size=64", "evaluation.input_size=32", "afn.widths=[8]"),
        *("afn.grid=1", "fit.epochs=1"),
    )
    return load_config(all_sections(), None, changes)


@pytest.mark.slow
def test_every_part_runs_and_is_on_disk_as_soon_as_it_is_measured(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(offline, "REFERENCE_CLIPS", 1)
    monkeypatch.setattr(offline, "CLIPS", 1)
    monkeypatch.setattr(offline, "SIZES", (64, 96))
    monkeypatch.setattr(hashing, "CLIPS", 1)
    monkeypatch.setattr(training, "EPOCHS", 1)
    path = bench.run(config, tmp_path / "out", 1, silent, clips=10)
    text = path.read_text("utf-8")
    assert tuple(re.findall(r"^## (.+)$", text, re.M)) == (*PARTS, bench.MANY)
    tables = [part.split("\n\n")[2].splitlines() for part in text.split("\n## ")[1:]]
    assert all(len(lines) >= 3 and len({line.count("|") for line in lines}) == 1 for lines in tables), text
    assert str(tmp_path) not in text
    chain = text.split("## Offline chain")[1]
    assert "| reference |" in chain
    assert "| this chain, all stages to disk |" in chain


def test_very_many_clips_are_few_under_many_names() -> None:
    drawn = synthetic_clips()
    named = many_clips._named(drawn, 50)
    assert len({clip.clip_id for clip in named}) == 50 and len({clip.subject for clip in named}) == 3
    assert {id(clip.frames) for clip in named} == {id(clip.frames) for clip in drawn}


def test_a_measured_worker_loads_no_torch() -> None:
    """It would weigh 240 MB more than the workers that are spoken of."""
    code = "import sys, experiments.worker_memory, experiments.bench.many_clips; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def synthetic_clips() -> list[Clip]:
    frames = [ImageSequence([Path(f"{i}.png")] * 12) for i in range(3)]
    return [Clip(f"x/s/c{i}", "x/s", one, onset=0, apex=None, offset=9) for i, one in enumerate(frames)]
