"""Measure what the digests of artefacts cost: to write them, to compare them, beside making the artefacts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynamic_images.pipeline import build_dataset
from experiments import chain_accuracy
from experiments.config import Config
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import digest
from preprocessing.clips import Clip
from preprocessing.datasets import synthetic

CLIPS = 12
TIMES = 5


def hashing_table(root: Path, config: Config) -> pd.DataFrame:
    """Seconds of hashing over seconds of the offline stages of the same clips, one process, in one run.

    Hashed is what the stages hash: a clip's frames before and after they are read, and each file once as it is written.
    """
    clips = {clip.clip_id: clip for clip in synthetic.load(root)}
    chosen = [clips[name] for name in chain_accuracy.evenly_spaced(list(clips), CLIPS)]
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as name:
        cache = Path(name)
        made = _seconds(lambda: build_dataset(chosen, cache, config.stages))
        artefacts = min(_seconds(lambda: _hash_files(chosen, cache)) for _ in range(TIMES))
        frames = min(_seconds(lambda: _hash_frames(chosen)) for _ in range(TIMES))
        again = _seconds(lambda: build_dataset(chosen, cache, config.stages))
        compared = _seconds(lambda: build_dataset(chosen, cache, config.stages, verify=True))
    rows = [
        ("all stages, from nothing", made),
        ("hashing the files as they are written", artefacts),
        ("hashing the frames, twice", 2 * frames),
        ("hashing in all", artefacts + 2 * frames),
        ("a second call, all is there", again),
        ("a second call with --verify", compared),
    ]
    table = pd.DataFrame(
        [{"what": what, "ms per clip": 1e3 * s / len(chosen), "share %": 100 * s / made} for what, s in rows]
    )
    table.attrs["note"] = (
        f"{len(chosen)} clips, one process; hashing: the fastest of {TIMES}. Share: of all stages from nothing."
    )
    return table


def _hash_files(clips: Sequence[Clip], cache: Path) -> None:
    for clip in clips:
        for path in clip_folder(cache, clip.clip_id).folder.iterdir():
            digest(path)


def _hash_frames(clips: Sequence[Clip]) -> None:
    for clip in clips:
        clip.frames.digest(clip.onset, None if clip.offset is None else clip.offset + 1)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
