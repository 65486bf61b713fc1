"""Inputs that are no pictures: the descriptors of classical systems, made from the cached stages of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images import motion_histograms, precomputed
from dynamic_images.clip_input import ClipArtefacts, ClipInput, NoSettings
from dynamic_images.encoding import median_centred
from dynamic_images.frames import LUMA


@dataclass(frozen=True)
class OrientationSettings:
    """Cells per side of the grid, and directions that are told apart in each."""

    grid: int = 5
    bins: int = motion_histograms.DIRECTIONS

    def __post_init__(self) -> None:
        if self.grid < 1 or self.bins < 2:
            raise ValueError(f"grid is {self.grid} and bins {self.bins}, wanted at least 1 and 2")


@dataclass(frozen=True)
class PatternSettings:
    """Local binary patterns: cells per side of the grid, px and frames to the neighbours, side of the frames in px."""

    grid: int = 5
    radius: int = 1
    radius_t: int = 4
    side: int = 96

    def __post_init__(self) -> None:
        if min(self.grid, self.radius, self.radius_t) < 1 or self.side < self.grid + 2 * self.radius:
            raise ValueError("grid, radius and radius_t must be at least 1, and side hold grid cells of a pixel")


def _hoof(clip: ClipArtefacts, settings: OrientationSettings) -> NDArray[np.float64]:
    return motion_histograms.orientation_histograms(clip.flow[clip.apex], settings.grid, settings.bins)


def _stream_hoof(clip: ClipArtefacts, settings: OrientationSettings) -> NDArray[np.float64]:
    image = precomputed.at_least(median_centred(clip.array(precomputed.STREAMS[0])), settings.grid)
    return motion_histograms.orientation_histograms(image[..., :2], settings.grid, settings.bins)


def _mdmo(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float64]:
    return motion_histograms.main_directions(clip.array("flow"), clip.landmarks, clip.crops.shape[1:3])


def _lbp_top(clip: ClipArtefacts, settings: PatternSettings) -> NDArray[np.float64]:
    side = (settings.side, settings.side)
    frames = [cv2.resize(np.rint(f @ LUMA).astype(np.uint8), side, interpolation=cv2.INTER_AREA) for f in clip.crops]
    return motion_histograms.local_patterns(np.stack(frames), settings.grid, settings.radius, settings.radius_t)


def _directions(settings: OrientationSettings) -> int:
    return settings.bins * settings.grid**2


def _patterns(settings: PatternSettings) -> int:
    return motion_histograms.PATTERNS * motion_histograms.PLANES * settings.grid**2


DESCRIPTORS = (
    ClipInput(
        name="hoof",
        title="HOOF",
        about="Histograms of the directions of flow at the apex, in the cells of a grid.",
        unit="share of all motion",
        kind="features",
        channels=_directions,
        make=_hoof,
        settings=OrientationSettings,
    ),
    ClipInput(
        name="stream_hoof",
        title="directions in the first image",
        about="The same of the first two channels of the first precomputed image, as if they were u and v.",
        unit="share of all motion",
        kind="features",
        channels=_directions,
        make=_stream_hoof,
        stands_on=(precomputed.STAGE,),
        settings=OrientationSettings,
        stands_for="hoof",
    ),
    ClipInput(
        name="mdmo",
        title="MDMO",
        about="Mean flow in the commonest direction of 36 parts of the face, averaged over the frames.",
        unit="px of the crop",
        kind="features",
        channels=2 * motion_histograms.REGIONS,
        make=_mdmo,
    ),
    ClipInput(
        name="lbp_top",
        title="LBP-TOP",
        about="Histograms of local binary patterns over space and time, in the cells of a grid.",
        unit="share of the places of a cell",
        kind="features",
        channels=_patterns,
        make=_lbp_top,
        stands_on=("faces",),
        settings=PatternSettings,
    ),
)
