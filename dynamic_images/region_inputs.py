"""The motion of the regions of a face as inputs: curves, and features that make a linear classifier readable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynamic_images import region_motion, regions
from dynamic_images.clip_input import ClipArtefacts, ClipInput, NoSettings
from preprocessing.faces.points68 import eye_distance


def _curves(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float32]:
    moves = regions.region_curves(clip.flow, clip.landmarks, clip.crops.shape[1:3])
    return moves.reshape(len(moves), -1)


def _features(clip: ClipArtefacts, settings: NoSettings) -> NDArray[np.float64]:
    moves = regions.region_curves(clip.flow, clip.landmarks, clip.crops.shape[1:3])
    return region_motion.features(moves, clip.apex, eye_distance(clip.landmarks))


CURVES = ClipInput(
    name="region_curves",
    title="motion of the regions",
    about="How far each of twenty regions of the face has moved since the onset, to the right and down.",
    unit="px of the crop",
    kind="series",
    channels=2 * len(regions.REGIONS),
    make=_curves,
    stands_on=("faces", "flow"),
)
"""Of a clip's own length, so no network takes it and it is not registered; tables and figures are made from it."""
MOTION = ClipInput(
    name="region_motion",
    title="motion of the regions at the apex and on average",
    about="How far each of twenty regions of the face moves outwards and down.",
    unit="% of the eye distance",
    kind="features",
    channels=4 * len(regions.REGIONS),
    make=_features,
    stands_on=("faces", "images"),
)
"""A classifier over it says by its weights which region moves where."""
