"""HTNet's idea: attention inside each quarter of the face first, then over the whole.

HTNet (Wang et al., Neurocomputing 2024, arXiv:2307.14637) cuts the u, v, strain map into areas of eyes and lips, lets
tokens attend to each other inside an area, joins the areas by convolution and pooling, and attends over the joined map.

Ours, built from that description: tokens from one overlapping convolution, 8 x 8 of them at any size of map; two levels
(the four quarters of the face, then the whole) with two and two blocks of 64 channels, where the released network has
three levels, 14 blocks and several hundred channels for a few hundred clips; layer normalisation that leaves still
places weak; signed flow at one scale in place of extremes per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.attention import CrossAttention, as_map, places, tokens
from fusion_net.blocks import ConvStage, Dropout
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.models.ststnet import SMALL

INPUT = "apex_strain"
SIDE = 8
"""Tokens per side of the first level; a quarter of the face has half as many."""


@dataclass(frozen=True)
class HTNetSettings:
    """Shape of the network.

    Attributes:
        width: channels of a token, a multiple of 4 and of ``heads``.
        heads: of the attention.
        local, whole: blocks inside the quarters, and over the whole face.
        ratio: hidden units per channel in the MLP of a block.
        dropout: share of features that training hides.
    """

    width: int = 64
    heads: int = 4
    local: int = 2
    whole: int = 2
    ratio: int = 2
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.width < 1 or self.heads < 1 or self.width % 4 or self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of heads {self.heads}")
        if min(self.local, self.whole) < 0 or not self.local + self.whole or self.ratio < 1:
            raise ValueError("local and whole are numbers of blocks, at least one in all; ratio is at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1)")


class _Block(nn.Module):
    """Self-attention and an MLP, both residual: (B, N, C) → the same."""

    def __init__(self, width: int, heads: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.attend = CrossAttention(width, heads)
        self.mlp = nn.Sequential(
            *(nn.LayerNorm(width, eps=1.0), nn.Linear(width, ratio * width), nn.GELU()),
            *(Dropout(dropout), nn.Linear(ratio * width, width)),
        )

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """See the class."""
        x, _ = self.attend(x, x, place)
        return x + self.mlp(x)


class HTNet(Model):
    """Quarters, then the whole; 0.18 M parameters with default settings and five classes."""

    Settings = HTNetSettings
    TITLE = "HTNet (idea)"
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = SMALL

    def __init__(self, settings: HTNetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s = settings
        blocks = (s.width, s.heads, s.ratio, s.dropout)
        self.embed = ConvStage(inputs[0].channels, s.width, stride=2)
        self.local = nn.ModuleList(_Block(*blocks) for _ in range(s.local))
        self.join = ConvStage(s.width, s.width, stride=2)
        self.whole = nn.ModuleList(_Block(*blocks) for _ in range(s.whole))
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(s.width * (SIDE // 2) ** 2, len(classes))

    @classmethod
    def uses(cls, settings: HTNetSettings) -> tuple[InputUse, ...]:
        """u, v and strain at the apex."""
        return (use(INPUT),)

    @classmethod
    def variants(cls, settings: HTNetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Each level alone."""
        return {"full": {}, "quarters only": {"whole": 0}, "whole only": {"local": 0}}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The joined map."""
        return {self.inputs[0].name: self.join}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K)."""
        x = self.embed(batch[self.inputs[0].name])
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=False)  # (B, C, 8, 8)
        half = SIDE // 2
        parts = x.unflatten(2, (2, half)).unflatten(4, (2, half))  # (B, C, 2, 4, 2, 4)
        parts = parts.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)  # (B*4, 16, C)
        place = places(half, half, x.shape[1], x)
        for block in self.local:
            parts = block(parts, place)
        parts = parts.unflatten(1, (half, half)).unflatten(0, (-1, 2, 2))  # (B, 2, 2, 4, 4, C)
        x = parts.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (B, C, 8, 8)
        x = self.join(x)  # (B, C, 4, 4)
        whole = tokens(x)
        for block in self.whole:
            whole = block(whole, place)
        return Output(self.classifier(self.dropout(as_map(whole, half).flatten(1))))

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}
