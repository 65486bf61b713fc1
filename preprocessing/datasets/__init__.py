"""One small adapter per data set: a root folder becomes a list of clips.

An adapter is a module with ``load(root) -> list[Clip]``. It reads, checks and names what is wrong; it never writes.
Add one by writing the module and a line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocessing.datasets import streams, synthetic, videos
from preprocessing.datasets.composites import COMPOSITES, JOIN, is_composite
from preprocessing.errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """What the command line knows about a data set."""

    name: str
    load: Callable[[Path], Sequence[Any]]  # of `Clip`; `streams` has images and no frames, `streams.StreamClip`
    about: str
    labelled: bool = True
    members: tuple[str, ...] = ()


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("synthetic", synthetic.load, "the embedded corpus with known ground truth (made by `mer synth`)"),
        Dataset("streams", streams.load, "precomputed images, two per clip, from a CSV; nothing of a video is needed"),
        Dataset("videos", videos.load, "any folder of video files or image sequences, without labels", labelled=False),
    )
}


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        UsageError: there is none; the message lists the names.
    """
    if is_composite(name):
        members = COMPOSITES[name].members if name in COMPOSITES else name.split(JOIN)
        return Dataset(name, _nothing, "made of the caches of its members", members=tuple(members))
    if name not in DATASETS:
        raise UsageError(f"data set {name!r} is unknown: choose one of {', '.join(sorted((*DATASETS, *COMPOSITES)))}")
    return DATASETS[name]


def _nothing(root: Path) -> list[Any]:
    raise UsageError(f"a composite has no folder of its own, so {root} has no effect: build its members")


__all__ = ["COMPOSITES", "DATASETS", "Dataset", "find_dataset"]
