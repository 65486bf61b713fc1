"""One small adapter per data set: a root folder becomes a list of clips.

An adapter is a module with ``load(root) -> list[Clip]``, or a `layout.Layout` where the data set has an annotation
table and folders of frames. It reads, checks and names what is wrong; it never writes. Add one by writing the module
and a line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preprocessing.clips import Clip
from preprocessing.datasets import (
    casme,
    casme2,
    casme_cubed,
    casme_squared,
    four_dme,
    mmew,
    samm,
    smic,
    streams,
    synthetic,
    videos,
)
from preprocessing.datasets.composites import COMPOSITES, JOIN, is_composite
from preprocessing.datasets.reading.layout import Layout
from preprocessing.datasets.reading.survey import Survey, survey
from preprocessing.datasets.settings import DataSettings
from preprocessing.errors import UsageError
from preprocessing.video import ImageSequence, PageStack


@dataclass(frozen=True)
class Dataset:
    """What the command line knows about a data set.

    Attributes:
        name: on the command line.
        load: root → clips, with the data set's own defaults.
        about: one line.
        labelled: whether there is anything to train on.
        members: of a composite, the data sets that it is made of.
        layout: settings → layout, for a data set that can be surveyed; None for one that has only ``load``.
        schemes: name of its label schemes in `labels.SCHEMES`; the data set's own unless one of its parts has others.
    """

    name: str
    load: Callable[[Path], Sequence[Any]]  # of `Clip`; `streams` has images and no frames, `streams.StreamClip`
    about: str
    labelled: bool = True
    members: tuple[str, ...] = ()
    layout: Callable[[DataSettings], Layout] | None = None
    schemes: str = ""

    def __post_init__(self) -> None:
        if not self.schemes:
            object.__setattr__(self, "schemes", self.name)

    def clips(self, root: Path, settings: DataSettings) -> tuple[list[Any], Survey | None]:
        """The clips below ``root``, and what else was seen there.

        Raises:
            DatasetError: the root does not hold the data set.
            UsageError: a setting that has no effect on this data set.
        """
        depth = settings.bit_depth
        if self.name != streams.DATASET:
            settings = replace(settings, bit_depth=None)
        if self.layout is None:
            settings.refuse_other_than((), self.name)
            return with_bit_depth(self.load(root), depth), None
        found = survey(self.layout(settings), root, settings)
        return with_bit_depth(found.clips, depth), found


def with_bit_depth(clips: Sequence[Any], bit_depth: int | None) -> list[Any]:
    """Clips of pictures read with that depth in place of the one that is found out; None changes nothing."""
    if bit_depth is None:
        return list(clips)
    return [
        replace(clip, frames=replace(clip.frames, bit_depth=bit_depth))
        if isinstance(clip.frames, ImageSequence | PageStack)
        else clip
        for clip in clips
    ]


def _surveyed(layout: Layout, about: str, part_c: Layout | None = None) -> Dataset:
    def choose(settings: DataSettings) -> Layout:
        return part_c if part_c is not None and settings.part == "c" else layout

    def load(root: Path) -> list[Clip]:
        return list(survey(layout, root).clips)

    least = "" if layout.certain else "; least certain: no real table was seen"
    return Dataset(layout.name, load, about + least, layout=choose)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("synthetic", synthetic.load, "the embedded corpus with known ground truth (made by `mer synth`)"),
        Dataset("streams", streams.load, "precomputed images, two per clip, from a CSV; nothing of a video is needed"),
        Dataset("videos", videos.load, "any folder of video files or image sequences, without labels", labelled=False),
        _surveyed(casme2.LAYOUT, "CASME II, raw or cropped"),
        _surveyed(samm.LAYOUT, "SAMM, raw or cropped"),
        _surveyed(smic.LAYOUT, "SMIC, high-speed clips, raw or cropped"),
        _surveyed(mmew.LAYOUT, "MMEW, micro-expressions"),
        _surveyed(casme_squared.LAYOUT, "CAS(ME)², micro- or macro-expressions"),
        _surveyed(casme_cubed.LAYOUT, "CAS(ME)³, part A or C", casme_cubed.PART_C),
        _surveyed(casme.LAYOUT, "CASME"),
        _surveyed(four_dme.LAYOUT, "4DME, grey micro-expression clips"),
    )
}


def find_dataset(name: str, settings: DataSettings | None = None) -> Dataset:
    """The data set of that name; with settings that choose a part of it, that part.

    Raises:
        UsageError: there is none; the message lists the names.
    """
    if is_composite(name):
        members = COMPOSITES[name].members if name in COMPOSITES else name.split(JOIN)
        return Dataset(name, _nothing, "made of the caches of its members", members=tuple(members))
    if name not in DATASETS:
        raise UsageError(f"data set {name!r} is unknown: choose one of {', '.join(sorted((*DATASETS, *COMPOSITES)))}")
    found = DATASETS[name]
    part = "-c" if settings is not None and settings.part == "c" and found.layout is not None else ""
    return replace(found, schemes=name + part)


def _nothing(root: Path) -> list[Any]:
    raise UsageError(f"a composite has no folder of its own, so {root} has no effect: build its members")


__all__ = ["COMPOSITES", "DATASETS", "DataSettings", "Dataset", "Survey", "find_dataset", "survey"]
