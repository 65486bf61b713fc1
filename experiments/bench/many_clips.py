"""Measure a data set of very many clips: time and memory per 1,000 clips, and what is done for all of them at once."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynamic_images.pipeline import StageSettings, build_dataset
from experiments.worker_memory import peak_memory, resident_memory
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.clips import Clip
from preprocessing.datasets import synthetic
from preprocessing.pipeline import FaceSettings
from preprocessing.synthetic.corpus import generate
from preprocessing.synthetic.settings import CorpusSettings

DRAWN = CorpusSettings(subjects=4, clips_per_subject=2, width=200, height=200, fps=40, lead_in=2, tail=2)
"""A few short clips that stand under many names."""
FACES = FaceSettings(size=64)
PER_SUBJECT = 20
EACH = 1000


def many_table(count: int) -> pd.DataFrame:
    """Rows ``what, seconds, MB, frames``: each 1,000 clips through the offline stages, then what concerns all clips.

    One process, started for it. The clips are short, drawn, and the same few under many names, each with its own
    folder; crops of 64 px.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool, tempfile.TemporaryDirectory(prefix="mer-many-") as name:
        rows = pool.apply(_measure, (Path(name), count))
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"{count} clips of {rows[0]['frames per clip']} frames on average ({DRAWN.width} x {DRAWN.height} px, crops of "
        f"{FACES.size} px), one process. MB is what it holds at that time, {rows[-1]['MB at most']:.0f} at most."
    )
    return table.drop(columns=["frames per clip", "MB at most"])


def _measure(folder: Path, count: int) -> list[dict[str, Any]]:
    generate(folder / "corpus", DRAWN)
    clips = _named(synthetic.load(folder / "corpus"), count)
    frames = sum((clip.offset or 0) - clip.onset + 1 for clip in clips) / count
    cache, settings = folder / "cache" / "many", StageSettings(faces=FACES)
    rows: list[dict[str, Any]] = []
    begin = time.perf_counter()

    def note(what: str) -> None:
        nonlocal begin
        rows.append({"what": what, "seconds": time.perf_counter() - begin, "MB": resident_memory()})
        begin = time.perf_counter()

    done = 0

    def on_clip(_: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        if done % EACH == 0 or done == count:
            note(f"clips {done - (done - 1) % EACH} to {done}")

    build_dataset(clips, cache, settings, on_clip=on_clip)
    note("manifest")
    build_dataset(clips, cache, settings)
    note("the same command again, all is done")
    from dynamic_images.inspection.gallery import PAGE, pictures, write_page  # matplotlib would count for the stages

    manifest = read_manifest(cache)
    found = [{str(name): value for name, value in row.items()} for row in manifest.to_dict("records")]
    write_page(cache, found, cache / PAGE, pictures(manifest))
    note("page of the data set, without drawing sheets")
    return [row | {"frames per clip": round(frames, 1), "MB at most": peak_memory()} for row in rows]


def _named(drawn: Sequence[Clip], count: int) -> list[Clip]:
    """The drawn clips, in turn, as clips of many subjects."""
    clips = []
    for i in range(count):
        subject = f"many/s{i // PER_SUBJECT:04d}"
        clips.append(dataclasses.replace(drawn[i % len(drawn)], clip_id=f"{subject}/c{i:05d}", subject=subject))
    return clips
