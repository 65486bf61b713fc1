"""Attention between the places of maps, for small networks. Pure torch, any size of map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Places of one map ask those of another, residual: (B, N, C), (B, M, C) → (B, N, C) and weights (B, N, M).

    Multi-head attention (Vaswani et al., arXiv:1706.03762) after layer normalisation. Ours: the 1 under the root of
    the normalisation keeps a map on which nothing moves weak, where the usual 1e-5 would blow its noise up.

    The weights are the mean over the heads; each row sums to 1.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} channels cannot be split among {heads} heads")
        self.heads = heads
        self.norm, self.context_norm = nn.LayerNorm(width, eps=1.0), nn.LayerNorm(width, eps=1.0)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.project = nn.Linear(width, width)

    def forward(
        self, x: Tensor, context: Tensor, place: Tensor, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See the class.

        Args:
            x: (B, N, C), who asks.
            context: (B, M, C), who is asked.
            place: (N, C) and (M, C) alike, what tells places apart; see `places`. Not added to the values.
            allowed: (N, M) bool, which places of the context a place may ask; None for all.
        """
        asked = self.context_norm(context)
        query = self._split(self.query(self.norm(x) + place[: x.shape[1]]))
        key = self._split(self.key(asked + place[: context.shape[1]]))
        value = self._split(self.value(asked))  # (B, heads, M, d)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (B, heads, N, M)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -1e4)  # of bf16 too
        weights = scores.float().softmax(dim=3)
        seen = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)  # (B, heads, N, d) -> (B, N, heads*d)
        return x + self.project(seen), weights.mean(dim=1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, N, C) -> (B, heads, N, d)


def places(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """(height * width, channels) numbers that tell the places of a map apart: sines of row and column.

    As in Vaswani et al. (arXiv:1706.03762), half of the channels for each axis; so any size of map will do.
    ``channels`` is a multiple of 4.
    """
    rates = torch.exp(torch.arange(channels // 4, device=like.device) * (-math.log(100.0) / (channels // 4)))
    rows, columns = (torch.arange(n, device=like.device)[:, None] * rates for n in (height, width))
    axes = [torch.cat([angles.sin(), angles.cos()], dim=1) for angles in (rows, columns)]  # (n, C/2)
    grid = [axes[0][:, None].expand(-1, width, -1), axes[1][None].expand(height, -1, -1)]
    return torch.cat(grid, dim=2).flatten(0, 1).to(like.dtype)


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, H*W, C)."""
    return x.flatten(2).transpose(1, 2)


def as_map(x: Tensor, height: int) -> Tensor:
    """(B, H*W, C) → (B, C, H, W)."""
    return x.transpose(1, 2).unflatten(2, (height, -1))


def evenness(weights: Tensor) -> Tensor:
    """(B, N, M) weights → (B,), the entropy of a row over that of equal weights, mean over the rows.

    At 1 the attention looks everywhere alike and is no more than a mean.
    """
    weights = weights.float()
    entropy = -(weights * weights.clamp(min=1e-12).log()).sum(dim=2)
    return entropy.mean(dim=1) / math.log(weights.shape[2])
