"""One small adapter per data set: a root folder becomes a list of clips.

An adapter is a module with ``load(root) -> list[Clip]``. It reads, checks and names what is wrong; it never writes.
Add one by writing the module and a line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preprocessing.clips import Clip
from preprocessing.datasets import synthetic, videos
from preprocessing.errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """What the command line knows about a data set."""

    name: str
    load: Callable[[Path], list[Clip]]
    about: str
    labelled: bool = True


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("synthetic", synthetic.load, "the embedded corpus with known ground truth (made by `mer synth`)"),
        Dataset("videos", videos.load, "any folder of video files or image sequences, without labels", labelled=False),
    )
}


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        UsageError: there is none; the message lists the names.
    """
    if name not in DATASETS:
        raise UsageError(f"data set {name!r} is unknown: choose one of {', '.join(sorted(DATASETS))}")
    return DATASETS[name]


__all__ = ["DATASETS", "Dataset", "find_dataset"]
