"""Rank loss on the order of frames, pooling weights from scores, rank pooling on tensors. Pure."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dynamic_images.rank_pooling import WEIGHTS, grey_level_scale

Rule = Literal["harmonic", "linear"]
Encoding = Literal["fixed", "minmax"]
Pooling = Literal["softmax", "rank", "uniform"]


def pairwise_rank_loss(scores: Tensor) -> Tensor:
    """Mean over all pairs of frames i < j of ``log(1 + exp(s_i - s_j))``: a later frame should have the higher score.

    The pairwise logistic loss of RankNet (Burges et al., ICML 2005, doi:10.1145/1102351.1102363) over the chronological
    order; ln 2 where the scores say nothing.

    Args:
        scores: (B, T), T >= 2.
    """
    i, j = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1, device=scores.device)  # T (T - 1) / 2 each
    return F.softplus(scores[:, i] - scores[:, j]).mean()


def pooling_weights(scores: Tensor, pooling: Pooling) -> Tensor:
    """Weights over time (B, T) from scores (B, T), frame t's from its place among the scores and not from t.

    ``softmax`` and ``uniform`` weights sum to 1. ``rank`` weights are ``4/T² Σ_j tanh((s_t − s_j)/2)``: for scores far
    apart in the order of time they are ``(2t − T − 1) · 4/T²``, linear rank pooling as the difference of two weighted
    means of frames (`dynamic_images.rank_pooling.linear_weights`); they sum to 0. Ours: the paper gives no formula.
    """
    if pooling == "softmax":
        return scores.softmax(dim=1)
    count = scores.shape[1]
    if pooling == "uniform":
        return torch.full_like(scores, 1 / count)
    return (4 / count**2) * torch.tanh((scores[:, :, None] - scores[:, None, :]) / 2).sum(dim=2)  # (B, T, T) -> (B, T)


def rank_pooled(frames: Tensor, rule: Rule = "harmonic", encoding: Encoding = "fixed") -> Tensor:
    """Approximate rank pooling of frames (B, T, C, H, W) in time order: (B, C, H, W).

    The weights, and the division that makes the result a difference of two weighted means of frames, are those of
    `dynamic_images.rank_pooling`. They sum to 0, so a still clip has a still target.

    Args:
        frames: as the network sees them, T >= 2.
        rule: name in `rank_pooling.WEIGHTS`.
        encoding: as `dynamic_images.encoding.to_input`: ``fixed`` keeps the unit of the frames, ``minmax`` brings each
            image to 0..1 by its own extremes, with what that loses.
    """
    weights = WEIGHTS[rule](frames.shape[1])
    alpha = frames.new_tensor(weights / grey_level_scale(weights))  # (T,)
    change = frames - frames[:, :1]  # the same sum, and exactly 0 where a clip is still
    image = torch.einsum("t,btchw->bchw", alpha, change)
    if encoding == "fixed":
        return image
    low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
    span = high - low
    return (image - low) / torch.where(span > 0, span, 1.0)
