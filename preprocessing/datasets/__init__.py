"""Data sets by name; each is a small adapter that turns a root folder into a list of clips.

An adapter is a module with ``load(root) -> list[Clip]``, or a `reading.layout.Layout` if the data set has an annotation
table and folders of frames. It reads, checks and names what is wrong; it never writes. A package adds a data set by an
entry point of the group ``mer.datasets`` that names a `ClipDataset` or `ImageDataset`.
"""

from __future__ import annotations

from preprocessing.datasets import (
    casme,
    casme2,
    casme_cubed,
    casme_squared,
    dfme,
    four_dme,
    mmew,
    samm,
    smic,
    streams,
    synthetic,
    videos,
)
from preprocessing.datasets.composites import JOIN, MEGC2019
from preprocessing.datasets.kinds import ClipDataset, Composite, Dataset, ImageDataset, join_of, with_bit_depth
from preprocessing.datasets.labels import SCHEMES, LabelRule
from preprocessing.datasets.long import LONG
from preprocessing.datasets.reading.layout import Layout
from preprocessing.datasets.reading.survey import Survey, survey
from preprocessing.datasets.settings import DataSettings
from preprocessing.datasets.user_schemes import read_schemes
from preprocessing.errors import UsageError
from preprocessing.registry import Registry


def _surveyed(layout: Layout, about: str) -> ClipDataset:
    least = "" if layout.certain else "; least certain: no real table was seen"
    return ClipDataset(layout.name, about + least, layout=layout, options=layout.options)


OWN: tuple[Dataset, ...] = (
    ClipDataset(
        "synthetic",
        "the embedded corpus with known ground truth (made by `mer synth`)",
        load=synthetic.load,
        schemes=SCHEMES["synthetic"],
        needs_root=False,
    ),
    ImageDataset("streams", "precomputed images, two per clip, from a CSV; nothing of a video is needed", streams.load),
    ClipDataset("videos", "any folder of video files or image sequences, without labels", load=videos.load),
    _surveyed(casme2.LAYOUT, "CASME II, raw or cropped"),
    _surveyed(samm.LAYOUT, "SAMM, raw or cropped"),
    _surveyed(smic.LAYOUT, "SMIC, high-speed clips, raw or cropped"),
    _surveyed(mmew.LAYOUT, "MMEW, micro-expressions"),
    _surveyed(casme_squared.LAYOUT, "CAS(ME)², micro- or macro-expressions"),
    ClipDataset(
        "casme_cubed",
        "CAS(ME)³, part A or C",
        layout=casme_cubed.layout,
        options=casme_cubed.LAYOUT.options,
    ),
    _surveyed(casme.LAYOUT, "CASME"),
    _surveyed(four_dme.LAYOUT, "4DME, grey micro-expression clips"),
    _surveyed(dfme.LAYOUT, "DFME, the released parts train, test A and test B"),
    Composite("megc2019", "CASME II, SAMM and SMIC as one, in 3 classes", fixed=MEGC2019),
)
"""Those that come with the toolkit."""

DATASETS: Registry[Dataset] = Registry("mer.datasets", "data set", {dataset.name: dataset for dataset in OWN})
"""Name → data set. From a notebook, `DATASETS["mylab"] = ClipDataset("mylab", "about it", load=load)`."""


def find_dataset(name: str) -> Dataset:
    """The data set of that name, or of several names joined by ``+``.

    Raises:
        UsageError: there is none, and the message lists the names; or it is one of long recordings, without clips.
    """
    if name in LONG:
        raise UsageError(
            f"{name} holds long recordings with lists of expressions, and no clips: so far only `mer check {name} "
            "ROOT` reads it"
        )
    return join_of(name, DATASETS) if JOIN in name else DATASETS.find(name)


__all__ = [
    "DATASETS",
    "OWN",
    "ClipDataset",
    "Composite",
    "DataSettings",
    "Dataset",
    "ImageDataset",
    "LabelRule",
    "Survey",
    "find_dataset",
    "read_schemes",
    "survey",
    "with_bit_depth",
]
