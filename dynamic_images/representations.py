"""Named dynamic images. Each is a weight per frame in time order; `rank_pooling.pool` turns weights into the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamic_images.motion_intensity import intensity_order
from dynamic_images.rank_pooling import WEIGHTS, Weights, apex_centred_weights

SPANS = ("onset..offset", "onset..apex")


@dataclass(frozen=True)
class Motion:
    """What the representations know about a clip.

    Attributes:
        intensity: (T,) px.
        apex: 0-based frame of the strongest expression, annotated or estimated.
        weights: name of the rule in `WEIGHTS` for the places of a time order.
        intensity_weights: the same for the order of motion intensity.
        order: which way `motion_intensity` sorts.
        span: which frames `temporal_ranked`, `motion_intensity` and `apex_centred` see.
    """

    intensity: NDArray[np.floating]
    apex: int
    weights: str = "harmonic"
    intensity_weights: str = "linear"
    order: str = "ascending"
    span: str = "onset..offset"

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.intensity)

    @property
    def n_span(self) -> int:
        """Number of frames in the span; it begins at the onset, frame 0."""
        return self.n_frames if self.span == "onset..offset" else self.apex + 1


def temporal_ranked(motion: Motion) -> Weights:
    """TRDI: the frames in time order (arXiv 2510.09730)."""
    return _placed(np.arange(motion.n_span), motion.weights, motion)


def motion_intensity(motion: Motion) -> Weights:
    """MIDI: the frames in order of motion intensity (arXiv 2510.09730; the intensity is ours).

    The paper wants the frames of strongest motion to weigh most. Only the linear rule does that: harmonic weights
    peak in the middle of the order, on frames of median motion, and leave the strongest next to nothing.
    """
    return _placed(pooling_order(motion), motion.intensity_weights, motion)


def onset_to_apex(motion: Motion) -> Weights:
    """The rising phase alone, in time order (DIANet, arXiv 2510.12219; arXiv 2510.15466)."""
    return _placed(np.arange(motion.apex + 1), motion.weights, motion)


def apex_to_offset(motion: Motion) -> Weights:
    """The falling phase alone, in time order (same sources)."""
    return _placed(np.arange(motion.apex, motion.n_frames), motion.weights, motion)


def apex_centred(motion: Motion) -> Weights:
    """The largest weight at the apex, falling to both sides (arXiv 2509.00056); always from the linear rule.

    The harmonic weights are not monotone, and dealt out by rank they would not peak at the apex.
    """
    weights = np.zeros(motion.n_frames)
    if motion.n_span > 1:
        weights[: motion.n_span] = apex_centred_weights(motion.n_span, motion.apex)
    return weights


def pooling_order(motion: Motion) -> NDArray[np.int64]:
    """Frame indices of the span in the order that `motion_intensity` pools them."""
    return intensity_order(motion.intensity[: motion.n_span], motion.order)


def _placed(order: NDArray[np.integer], rule: str, motion: Motion) -> Weights:
    """The weights of ``rule`` on the frames of ``order``, 0 elsewhere: (T,).

    Ours: a single frame (an apex at the onset, say) shows no motion, and its image is 0 everywhere rather than a face.
    """
    weights = np.zeros(motion.n_frames)
    if len(order) > 1:
        weights[order] = WEIGHTS[rule](len(order))
    return weights


REPRESENTATIONS: dict[str, Callable[[Motion], Weights]] = {
    "temporal_ranked": temporal_ranked,
    "motion_intensity": motion_intensity,
    "onset_to_apex": onset_to_apex,
    "apex_to_offset": apex_to_offset,
    "apex_centred": apex_centred,
}
