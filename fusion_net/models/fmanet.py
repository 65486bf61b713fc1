"""FMANet: the flows of both phases, fused by where and how much each moves, then sharpened by a soft mask.

The paper (arXiv:2510.07810, no code) describes MM-COF, a picture of the magnitudes of both phases' flow, each scaled by
its own extremes, added with fixed weights, and amplified above a threshold; and FMANet, a network that learns the same
steps: a fusion and a modulation. Everything inside is ours. The flows keep one common scale and their sign: extremes of
a phase of its own turn the noise of a still phase into full range, and magnitude alone cannot tell a raised brow from a
lowered one. ``picture`` builds MM-COF itself, and ``minmax`` its scaling, to measure what that costs. The printed
accuracies (87.3 % CASME II, 84.6 % SAMM) come without a known protocol.

    phase_flow (B, 2, 2, H, W) ─► u, v, m ─► shared stage ─► 2 x (B, C, h, w) ─► Σ_p weight_p · map_p · mask ─► stages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import ConvStage, Dropout, GridFeatures
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output

INPUT = "phase_flow"
SALIENT, GAIN = 0.8, 2.0
"""Ours, for ``picture``: magnitudes above this quantile of it are multiplied by this gain, others divided by it."""


@dataclass(frozen=True)
class FMANetSettings:
    """Shape of the network.

    Attributes:
        fusion: ``learned`` weights of the phases per place; ``mean`` of them; or the rising phase alone (``rising``).
        modulation: the learned mask.
        picture: None takes the network; ``mm_cof`` puts the parameter-free picture of one channel in place of fusion
            and modulation.
        minmax: scale the magnitude of each phase by its own extremes, as the paper does; for measurements.
        widths: channels of the stages; the first is shared by the phases.
        grid, features, dropout: as in `fusion_net.models.afn.AFNSettings`.
    """

    fusion: Literal["learned", "mean", "rising"] = "learned"
    modulation: bool = True
    picture: Literal["mm_cof"] | None = None
    minmax: bool = False
    widths: tuple[int, ...] = (16, 32, 64, 128)
    grid: int = 3
    features: int = 320
    dropout: float = 0.4

    def __post_init__(self) -> None:
        if self.fusion not in ("learned", "mean", "rising"):
            raise ValueError(f"fusion {self.fusion!r} is none of learned, mean, rising")
        if self.picture not in (None, "mm_cof"):
            raise ValueError(f"picture {self.picture!r} is not mm_cof")
        if self.picture and (self.fusion, self.modulation) != ("mean", False):
            raise ValueError(
                "picture = 'mm_cof' has neither fusion nor modulation: give fusion = 'mean', modulation = false"
            )
        if len(self.widths) < 2 or min(*self.widths, self.grid, self.features) < 1:
            raise ValueError("widths must be two or more; they, grid and features must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1)")


class FMANet(Model):
    """Fusion and modulation inside one stream; 0.47 M parameters with default settings and five classes."""

    Settings = FMANetSettings
    TITLE = "FMANet"
    COLUMNS: ClassVar[Mapping[str, str]] = {"phase": "place"}

    def __init__(self, settings: FMANetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s = settings
        first = s.widths[0]
        self.stem = ConvStage(1 if s.picture else 3, first)
        self.phase = None if s.picture or s.fusion == "rising" else nn.Parameter(0.1 * torch.randn(2, first, 1, 1))
        self.fuse = nn.Conv2d(2 * first + 2, 2, 1) if s.fusion == "learned" else None
        self.threshold = nn.Parameter(torch.full((1, first, 1, 1), 0.5)) if s.modulation else None
        self.steepness = nn.Parameter(torch.full((1, first, 1, 1), 1.0)) if s.modulation else None
        self.spatial = nn.Conv2d(2, 1, 7, padding=3) if s.modulation else None
        self.stages = nn.Sequential(*(ConvStage(a, b) for a, b in pairwise(s.widths)))
        self.pool = GridFeatures(s.widths[-1], s.grid, s.features, s.dropout)
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(s.features, len(classes))

    @classmethod
    def uses(cls, settings: FMANetSettings) -> tuple[InputUse, ...]:
        """The flow of both phases."""
        return (use(INPUT),)

    @classmethod
    def variants(cls, settings: FMANetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """What each step is worth."""
        return {
            "full": {},
            "no modulation": {"modulation": False},
            "mean of the phases": {"fusion": "mean"},
            "rising phase only": {"fusion": "rising"},
            "MM-COF picture": {"picture": "mm_cof", "fusion": "mean", "modulation": False},
            "extremes per phase": {"minmax": True},
        }

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The last stage but one."""
        return {INPUT: self.stages[max(0, len(self.stages) - 2)]}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``phase`` (B, 2), the mean weight of each phase."""
        flow = batch[self.inputs[0].name]  # (B, 2 phases, 2, H, W)
        size = (flow.float().square().sum(dim=2, keepdim=True) + 1e-8).sqrt()  # (B, 2, 1, H, W)
        if self.settings.minmax:
            size = _to_extremes(size)
        if self.settings.picture:
            fused, weights = self.stem(_mm_cof(size)), size.new_full((size.shape[0], 2), 0.5)
        else:
            fused, weights = self._fused(flow, size)
        return Output(self.classifier(self.dropout(self.pool(self.stages(fused)))), {"phase": weights})

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy, as the paper has it."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}

    def _fused(self, flow: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """The fused, modulated map (B, C, h, w), and the mean weights of the phases (B, 2)."""
        x = torch.cat([flow, size.to(flow.dtype)], dim=2)  # (B, 2, 3, H, W)
        if self.settings.fusion == "rising":
            maps = self.stem(x[:, 0])[:, None]  # (B, 1, C, h, w)
        else:
            maps = self.stem(x.flatten(0, 1)).unflatten(0, (-1, 2)) + self.phase  # (B, 2, C, h, w)
        height, width = maps.shape[3:]
        small = F.interpolate(size[:, :, 0], (height, width), mode="bilinear", antialias=False)  # (B, 2, h, w)
        if self.fuse is not None:
            seen = torch.cat([maps.flatten(1, 2), small.to(maps.dtype)], dim=1)  # (B, 2*C + 2, h, w)
            weights = self.fuse(seen).float().softmax(dim=1)  # (B, 2, h, w)
        else:
            given = [1.0, 0.0] if self.settings.fusion == "rising" else [0.5, 0.5]
            weights = small.new_tensor(given)[None, :, None, None].expand_as(small)
        fused = (weights[:, : maps.shape[1], None] * maps).sum(dim=1)  # (B, C, h, w)
        if self.threshold is not None and self.steepness is not None and self.spatial is not None:
            motion = (weights * small).sum(dim=1, keepdim=True)  # (B, 1, h, w)
            mask = torch.sigmoid(F.softplus(self.steepness) * (motion - self.threshold))
            both = torch.cat([fused.mean(dim=1, keepdim=True), fused.amax(dim=1, keepdim=True)], dim=1)
            fused = fused * mask * torch.sigmoid(self.spatial(both))
        return fused, weights.mean(dim=(2, 3))


def _to_extremes(size: Tensor) -> Tensor:
    """(B, 2, 1, H, W) magnitudes, each phase of each clip stretched to 0 .. 1."""
    low, high = size.amin(dim=(3, 4), keepdim=True), size.amax(dim=(3, 4), keepdim=True)
    return (size - low) / (high - low + 1e-6)


def _mm_cof(size: Tensor) -> Tensor:
    """(B, 2, 1, H, W) magnitudes → the picture (B, 1, H, W): their mean, salient places amplified, others damped."""
    mean = size.mean(dim=1)
    ordered = mean.flatten(1).sort(dim=1).values
    edge = ordered[:, int(SALIENT * (ordered.shape[1] - 1))][:, None, None, None]
    return torch.where(mean >= edge, mean * GAIN, mean / GAIN)
