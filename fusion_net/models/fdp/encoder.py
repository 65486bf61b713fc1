"""A frame encoder of local and global blocks: small convolutions first, self-attention at the end of each stage.

After the local-global feature-aware transformer of FDP (arXiv:2509.06015), whose released code follows Next-ViT (Li et
al., arXiv:2207.05501). What differs here:

- the global blocks are built (the released loop stops one block short of each of them), their attention spans all
  channels (there: three quarters, the others convolved), and keys are pooled over squares (there: over runs of the
  flattened image);
- layer normalisation in place of batch normalisation: a clip's result must not depend on its neighbours;
- patches are embedded by one linear layer (there: four convolutions);
- the result is a map. The released code averages it away and unfolds a linear layer into a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Blocks = Literal["both", "local", "global"]

GROUP = 8
"""Channels per head and per group of the grouped convolutions, as published."""


@dataclass(frozen=True)
class Shape:
    """Widths and depths of an encoder, one number per stage.

    Attributes:
        local: channels of the local blocks.
        wide: channels of the global block that ends the stage, and of the stage's result.
        depths: number of local blocks.
        reductions: side of the square over which keys and values are averaged.
        ratios: hidden units per channel in the MLPs of the local and of the global blocks.
        patch: px of the frame per side of a position of the first stage.
    """

    local: tuple[int, ...]
    wide: tuple[int, ...]
    depths: tuple[int, ...]
    reductions: tuple[int, ...]
    ratios: tuple[int, int]
    patch: int

    @property
    def stride(self) -> int:
        """Px of the frame per position of the result; sides of a frame are multiples of it."""
        return self.patch * 2 ** (len(self.wide) - 1)


class LocalBlock(nn.Module):
    """Grouped 3x3 convolution and a pointwise layer, then an MLP, both residual: (B, H, W, C) → the same.

    "Multi-head convolutional attention" and MLP of Next-ViT's convolution block (arXiv:2207.05501, sec. 3.2), without
    its batch norms. The zero border of the convolution also tells later attention where a position is.
    """

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=width // GROUP)
        self.pointwise = nn.Linear(width, width)
        self.mlp = _mlp(width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.grouped(self.norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (B, H, W, C) -> (B, C, H, W) and back
        x = x + self.pointwise(F.relu(y))
        return x + self.mlp(x)


class GlobalBlock(nn.Module):
    """Self-attention of every position over the pooled frame, then an MLP, both residual: (B, H, W, C) → the same.

    Multi-head attention (Vaswani et al., arXiv:1706.03762) whose keys and values are averaged over squares of
    ``reduction`` positions (E-MHSA of Next-ViT, arXiv:2207.05501, sec. 3.3): cost grows with H·W·(H·W / reduction²).
    """

    def __init__(self, width: int, reduction: int, ratio: int) -> None:
        super().__init__()
        self.heads, self.reduction = width // GROUP, reduction
        self.norm = _norm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.mlp = _mlp(width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        rows, columns = x.shape[1:3]
        y = self.norm(x)
        query = self.query(y).flatten(1, 2).unflatten(2, (self.heads, -1))  # (B, N, heads, d)
        pooled = _average(y, self.reduction).flatten(1, 2)  # (B, H/r, W/r, C) -> (B, M, C)
        key, value = self.key_value(pooled).unflatten(2, (2, self.heads, -1)).unbind(2)  # two (B, M, heads, d)
        seen = F.scaled_dot_product_attention(*(z.transpose(1, 2) for z in (query, key, value)))  # (B, heads, N, d)
        seen = seen.transpose(1, 2).flatten(2).unflatten(1, (rows, columns))  # (B, N, heads*d) -> (B, H, W, C)
        x = x + self.project(seen)
        return x + self.mlp(x)


class Embed(nn.Module):
    """Patches of P x P px as tokens: (B, n_in, H, W) → (B, H/P, W/P, C)."""

    def __init__(self, n_in: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.linear = nn.Linear(n_in * patch * patch, width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        patches = F.pixel_unshuffle(x, self.patch)  # (B, n_in*P*P, H/P, W/P)
        return self.linear(patches.permute(0, 2, 3, 1))


class Halve(nn.Module):
    """Mean of 2 x 2 positions, then a pointwise layer: (B, H, W, Cin) → (B, H/2, W/2, Cout), as published."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.linear(_average(x, 2))


class LocalGlobalEncoder(nn.Module):
    """Frames (B, n_in, H, W) → the map of each stage (B, H/P/2^i, W/P/2^i, C_i); H and W are multiples of the stride.

    A stage is its local blocks and then one global block, or for ablation as many blocks of one kind.

    Args:
        n_in: channels of a frame.
        shape: widths and depths.
        blocks: ``both``, or every block ``local`` or ``global``.
        normed: normalise the embedded patches, for frames whose mean is far from 0. It takes their strength away.
    """

    def __init__(self, n_in: int, shape: Shape, blocks: Blocks = "both", normed: bool = False) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for stage, (local, wide, depth, reduction) in enumerate(
            zip(shape.local, shape.wide, shape.depths, shape.reductions, strict=True)
        ):
            layers: list[nn.Module] = [
                Halve(shape.wide[stage - 1], local) if stage else Embed(n_in, shape.patch, local)
            ]
            if normed and not stage:
                layers.append(nn.LayerNorm(local))
            layers += [_block(blocks == "global", local, reduction, shape.ratios) for _ in range(depth)]
            if wide != local:
                layers.append(nn.Linear(local, wide))
            layers.append(_block(blocks != "local", wide, reduction, shape.ratios))
            self.stages.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _block(attends: bool, width: int, reduction: int, ratios: tuple[int, int]) -> nn.Module:
    return GlobalBlock(width, reduction, ratios[1]) if attends else LocalBlock(width, ratios[0])


def _mlp(width: int, ratio: int) -> nn.Sequential:
    """Norm, pointwise, ReLU, pointwise: (B, H, W, C) → the same."""
    return nn.Sequential(_norm(width), nn.Linear(width, ratio * width), nn.ReLU(), nn.Linear(ratio * width, width))


def _norm(width: int) -> nn.LayerNorm:
    """Layer normalisation over channels that leaves weak tokens weak, ours.

    The 1 under the root is about the variance of a token on which something moves (frames have an rms of 1). With the
    usual 1e-5 the noise of a patch that stands still would come out as strong as an expression.
    """
    return nn.LayerNorm(width, eps=1.0)


def _average(x: Tensor, side: int) -> Tensor:
    """Mean of squares of ``side`` positions: (B, H, W, C) → (B, H/side, W/side, C)."""
    if side == 1:
        return x
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).mean(dim=(2, 4))  # (B, H/s, s, W/s, s, C)


def check_sides(shape: Shape, sides: Sequence[int]) -> None:
    """Raise ValueError unless both sides of a frame are multiples of the stride."""
    if any(side % shape.stride or side < shape.stride for side in sides):
        wanted = f"multiples of {shape.stride} px"
        raise ValueError(f"frames of {sides[0]} x {sides[1]} px: both sides must be {wanted} (evaluation.input_size)")
