"""CausalNet's idea: find where muscles move, then let the release ask the contraction, never the other way round.

CausalNet (Zhang et al., ICCV 2025, arXiv:2508.06640) takes both halves of an expression, so that a wrongly marked apex
hurts less, learns the places of moving muscles, and relates contraction and relaxation by attention whose direction is
that of time.

Ours, built from the abstract: both phases' flow (the paper has the whole sequence); one stack of convolutions shared by
the phases; places weighted by a learned map and by the motion itself; blocks of attention in which a place of the rise
may ask the rise, and a place of the fall both; one small classifier.

    phase_flow (B, 2, 2, H, W) ─► shared stages ─► 2 x (B, N, C) · where (B, N) ─► attention along time ─► classifier
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.attention import CrossAttention, places, tokens
from fusion_net.blocks import ConvStage, Dropout
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.models.ststnet import SMALL

INPUT = "phase_flow"
SIDE = 7
"""Places per side."""


@dataclass(frozen=True)
class CausalNetSettings:
    """Shape of the network.

    Attributes:
        widths: channels of the two convolution stages; the last is the width of a token, a multiple of 4 and of heads.
        heads: of the attention.
        blocks: of attention along time.
        where: the learned weights of places.
        causal: the rise may not ask the fall; without it each may ask both.
        features: length of the pooled vector.
        dropout: share of features that training hides.
    """

    widths: tuple[int, int] = (24, 48)
    heads: int = 4
    blocks: int = 2
    where: bool = True
    causal: bool = True
    features: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if min(*self.widths, self.heads, self.features) < 1 or self.blocks < 0:
            raise ValueError("widths, heads and features must be at least 1, blocks at least 0")
        if self.widths[-1] % 4 or self.widths[-1] % self.heads:
            raise ValueError(
                f"the last of widths, {self.widths[-1]}, must be a multiple of 4 and of heads {self.heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1)")


class CausalNet(Model):
    """Attention along time over moving places; 0.13 M parameters with default settings and five classes."""

    Settings = CausalNetSettings
    TITLE = "CausalNet (idea)"
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = SMALL

    def __init__(self, settings: CausalNetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s = settings
        width = s.widths[-1]
        channels = (inputs[0].channels, *s.widths)
        self.stages = nn.Sequential(*(ConvStage(a, b) for a, b in pairwise(channels)))
        self.where = nn.Conv2d(2 * width + 2, 1, 1, bias=False) if s.where else None
        self.phase = nn.Parameter(0.1 * torch.randn(2, 1, width))
        self.attend = nn.ModuleList(CrossAttention(width, s.heads) for _ in range(s.blocks))
        self.reduce = nn.Linear(width, 8)
        self.pool = nn.Sequential(nn.Linear(2 * 8 * SIDE**2, s.features), nn.ReLU(), Dropout(s.dropout))
        self.classifier = nn.Linear(s.features, len(classes))

    @classmethod
    def uses(cls, settings: CausalNetSettings) -> tuple[InputUse, ...]:
        """The flow of both phases."""
        return (use(INPUT),)

    @classmethod
    def variants(cls, settings: CausalNetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Without each of the two ideas, and without attention."""
        return {
            "full": {},
            "both directions of time": {"causal": False},
            "all places alike": {"where": False},
            "no attention": {"blocks": 0},
        }

    def map_layers(self) -> Mapping[str, nn.Module]:
        """None: both phases go through the same stages, so that no map would belong to one of them."""
        return {}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``where`` (B, N), the weights of places, mean 1."""
        flow = batch[self.inputs[0].name]  # (B, 2 phases, 2, H, W)
        maps = self.stages(flow.flatten(0, 1))
        maps = F.interpolate(maps, (SIDE, SIDE), mode="bilinear", antialias=False).unflatten(
            0, (-1, 2)
        )  # (B, 2, C, s, s)
        weights = self._where(flow, maps)  # (B, N)
        found = [tokens(x) * weights[:, :, None] for x in maps.unbind(dim=1)]  # 2 x (B, N, C)
        x = torch.cat([one + phase for one, phase in zip(found, self.phase, strict=True)], dim=1)  # (B, 2N, C)
        place = places(SIDE, SIDE, x.shape[2], x).repeat(2, 1)
        for block in self.attend:
            x, _ = block(x, x, place, self._allowed(x))
        pooled = self.pool(self.reduce(x).flatten(1))
        return Output(self.classifier(pooled), {"where": weights})

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}

    def _where(self, flow: Tensor, maps: Tensor) -> Tensor:
        """(B, N) weights of places, mean 1 over the places."""
        if self.where is None:
            return maps.new_ones(len(maps), SIDE**2)
        size = (flow.float().square().sum(dim=2) + 1e-8).sqrt()  # (B, 2, H, W)
        small = F.interpolate(size, (SIDE, SIDE), mode="bilinear", antialias=False)
        scores = self.where(torch.cat([maps.flatten(1, 2), small.to(maps.dtype)], dim=1)).flatten(1)  # (B, N)
        return (scores.float().softmax(dim=1) * SIDE**2).to(maps.dtype)

    def _allowed(self, x: Tensor) -> Tensor | None:
        """(2N, 2N) bool: a place of the rise asks the rise, one of the fall both."""
        if not self.settings.causal:
            return None
        falls = torch.arange(x.shape[1], device=x.device) >= SIDE**2
        return falls[:, None] | ~falls[None, :]
