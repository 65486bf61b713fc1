"""Small modules that the models are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvStage(nn.Module):
    """3x3 convolution with stride 2, group normalisation, ReLU: (B, Cin, H, W) → (B, Cout, ceil(H/2), ceil(W/2)).

    Groups and not batches are normalised (Wu & He, ECCV 2018, arXiv:1803.08494): training batches are small, a clip's
    result must not depend on its neighbours, and there are no running statistics to go stale.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        self.norm = nn.GroupNorm(_groups(n_out), n_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.norm(self.conv(x)))


class GridFeatures(nn.Module):
    """Mean over each cell of a G x G grid, dropout, one linear layer, ReLU: (B, C, H, W) → (B, D).

    Pooling over the whole image would forget *where* the face moved, which is what tells action units apart on an
    aligned crop; keeping every position would not forgive what alignment leaves over.
    """

    def __init__(self, n_in: int, grid: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.grid = grid
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_in * grid * grid, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        cells = F.adaptive_avg_pool2d(x, self.grid).flatten(1)  # (B, C, G, G) -> (B, C*G*G)
        return F.relu(self.linear(self.dropout(cells)))


class Stream(nn.Sequential):
    """Convolution stages, then grid features: (B, 3, H, W) → (B, D), for sides from ``grid * 2**stages`` px."""

    def __init__(self, n_in: int, widths: Sequence[int], grid: int, features: int, dropout: float) -> None:
        channels = (n_in, *widths)
        stages = [ConvStage(a, b) for a, b in pairwise(channels)]
        super().__init__(*stages, GridFeatures(channels[-1], grid, features, dropout))


class ChannelGate(nn.Module):
    """How much each stream counts, per clip and channel: S feature vectors (B, D) → (B, S, D), softmax over S.

    A two-layer net sees the features of all streams at once, as in squeeze-and-excitation (Hu et al., CVPR 2018,
    arXiv:1709.01507); ours is the softmax across streams in place of a sigmoid per channel, so that weights compare.
    """

    def __init__(self, streams: int, features: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(streams * features, hidden), nn.ReLU(), nn.Linear(hidden, streams * features)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """See the class."""
        scores: Tensor = self.net(torch.cat(list(features), dim=1))  # S x (B, D) -> (B, S*D)
        return scores.float().unflatten(1, (len(features), -1)).softmax(dim=1)  # (B, S*D) -> (B, S, D)


def _groups(channels: int) -> int:
    """At most 8 groups of equal size."""
    return next(g for g in range(8, 0, -1) if channels % g == 0)
