"""Dynamic images: a clip as one signed image, by rank pooling in time order and in order of motion intensity.

Pure functions take and return arrays:

    trdi = pool(frames, harmonic_weights(len(frames)))  # temporal-ranked dynamic image, grey levels
    order = intensity_order(intensity_curve(flows, mask))
    midi = pool(frames[order], linear_weights(len(frames)))  # motion-intensity dynamic image

`clip_images` goes the whole way from a clip to its images, `build_dataset` does so for many, and `build_images` is the
last step alone, from the cache to the cache. `motion_curve` and `find_candidates` propose intervals in long videos
(experimental). The pictures for people are made in
`dynamic_images.inspection`, which imports matplotlib and is therefore not named here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamic_images.build import ImageSettings, build_images, images_key
    from dynamic_images.encoding import VIEW_RANGE, to_view
    from dynamic_images.flow_maps import optical_strain
    from dynamic_images.input_cache import build_inputs
    from dynamic_images.inputs import INPUTS, ClipInput, InputUse, use
    from dynamic_images.motion_intensity import apex_of, frame_intensity, intensity_curve, intensity_order, region_mask
    from dynamic_images.pipeline import StageSettings, build_dataset, clip_images
    from dynamic_images.rank_pooling import (
        apex_centred_order,
        apex_centred_weights,
        exact_rank_pooling,
        grey_level_scale,
        harmonic_weights,
        linear_weights,
        pool,
    )
    from dynamic_images.representations import REPRESENTATIONS, Motion, pooling_order
    from dynamic_images.spotting.motion_curve import SpotSettings, find_candidates, motion_curve

__all__ = [
    "INPUTS",
    "REPRESENTATIONS",
    "VIEW_RANGE",
    "ClipInput",
    "ImageSettings",
    "InputUse",
    "Motion",
    "SpotSettings",
    "StageSettings",
    "apex_centred_order",
    "apex_centred_weights",
    "apex_of",
    "build_dataset",
    "build_images",
    "build_inputs",
    "clip_images",
    "exact_rank_pooling",
    "find_candidates",
    "frame_intensity",
    "grey_level_scale",
    "harmonic_weights",
    "images_key",
    "intensity_curve",
    "intensity_order",
    "linear_weights",
    "motion_curve",
    "optical_strain",
    "pool",
    "pooling_order",
    "region_mask",
    "to_view",
    "use",
]

_HOMES = {
    "build": "ImageSettings build_images images_key",
    "encoding": "VIEW_RANGE to_view",
    "flow_maps": "optical_strain",
    "input_cache": "build_inputs",
    "inputs": "INPUTS ClipInput InputUse use",
    "motion_intensity": "apex_of frame_intensity intensity_curve intensity_order region_mask",
    "pipeline": "StageSettings build_dataset clip_images",
    "rank_pooling": "apex_centred_order apex_centred_weights exact_rank_pooling grey_level_scale harmonic_weights "
    "linear_weights pool",
    "representations": "REPRESENTATIONS Motion pooling_order",
    "spotting.motion_curve": "SpotSettings find_candidates motion_curve",
}
"""Module → names that it is the home of."""


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: a module of this package may need none of the libraries behind it."""
    home = next((module for module, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
