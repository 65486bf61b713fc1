"""Small modules that the models are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Dropout whose mask follows from a key, for training that is to be repeated; without a key, torch's own.

    Networks that are trained together (`fusion_net.together`) have a key each, and hide what they would hide alone. The
    mask is a hash of key and place, equal on every device; the hash is C. Wellons' ``lowbias32`` (public domain).

    Attributes:
        key: () int32, set by `fusion_net.fit` before every step.
    """

    key: Tensor | None

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.register_buffer("key", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.key is None or not self.training or self.p == 0:
            return super().forward(x)
        place = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape)
        h = _hash(_hash(place) ^ self.key)  # uniform over int32
        return x * (h >= round(self.p * 2**32) - 2**31) / (1 - self.p)


def _hash(h: Tensor) -> Tensor:
    """int32 → int32, every bit of the result about as likely to change as not with any bit of ``h``."""
    h = (h ^ (h >> 16 & 0xFFFF)) * 0x7FEB352D  # the masks make shifts of negative numbers logical; products wrap
    h = (h ^ (h >> 15 & 0x1FFFF)) * -0x7B935975
    return h ^ (h >> 16 & 0xFFFF)


class ConvStage(nn.Module):
    """Convolution, group normalisation, ReLU: (B, Cin, H, W) → (B, Cout, ceil(H/stride), ceil(W/stride)).

    The kernel has ``2 * stride - 1`` pixels a side, so that neighbours overlap and an odd one has a centre. Groups and
    not batches are normalised (Wu & He, ECCV 2018, arXiv:1803.08494): training batches are small, a clip's result must
    not depend on its neighbours, and there are no running statistics to go stale.

    Attributes:
        as_product: compute the convolution as a matrix product. Networks that are trained together
            (`fusion_net.together`) would otherwise be one convolution in groups, which cuDNN computes slowly.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 2) -> None:
        super().__init__()
        self.as_product = False
        self.conv = nn.Conv2d(n_in, n_out, 2 * stride - 1, stride=stride, padding=stride - 1, bias=False)
        self.norm = nn.GroupNorm(_groups(n_out), n_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.norm(self._product(x) if self.as_product else self.conv(x)))

    def _product(self, x: Tensor) -> Tensor:
        conv = self.conv
        height, width = (math.ceil(side / conv.stride[0]) for side in x.shape[-2:])
        patches = F.unfold(x, conv.kernel_size, padding=conv.stride[0] - 1, stride=conv.stride)  # (B, Cin*k*k, h*w)
        out = torch.einsum("oc,bcl->bol", conv.weight.flatten(1), patches)
        return out.unflatten(2, (height, width))  # (B, Cout, h*w) -> (B, Cout, h, w)


class GridFeatures(nn.Module):
    """Mean over each cell of a G x G grid, dropout, one linear layer, ReLU: (B, C, H, W) → (B, D).

    Pooling over the whole image would forget *where* the face moved, which is what tells action units apart on an
    aligned crop; keeping every position would not forgive what alignment leaves over.
    """

    def __init__(self, n_in: int, grid: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.grid = grid
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(n_in * grid * grid, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        height, width = x.shape[-2:]
        if height % self.grid or width % self.grid:
            cells = F.adaptive_avg_pool2d(x, self.grid)
        else:  # the same, with gradients that have one order on a GPU too
            cells = F.avg_pool2d(x, (height // self.grid, width // self.grid))
        cells = cells.flatten(1)  # (B, C, G, G) -> (B, C*G*G)
        return F.relu(self.linear(self.dropout(cells)))


class Stream(nn.Sequential):
    """Convolution stages, then grid features: (B, C, H, W) → (B, D).

    The first stage has the stride ``stem``, each further one halves the map.
    """

    def __init__(
        self, n_in: int, widths: Sequence[int], grid: int, features: int, dropout: float, stem: int = 2
    ) -> None:
        channels = (n_in, *widths)
        stages = [ConvStage(a, b, 2 if i else stem) for i, (a, b) in enumerate(pairwise(channels))]
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
