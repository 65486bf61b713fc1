"""DIANet: a dynamic image of the rise and one of the fall, two streams, and cross-attention between them.

The paper (arXiv:2510.12219, no code) gives the two inputs, one CNN for each, and a cross-attention that joins their
features. Everything inside is ours: the streams, one layer of attention in both directions, the auxiliary heads before
the exchange, the fusions to compare it with. Its printed accuracies (70.0 % CASME II, 68.9 % SAMM, 64.2 % MMEW) come
without a known protocol, and none of them is k of the usual number of clips.

     onset_to_apex (B, 3, H, W) ─► stages ─► a (B, C, h, w) ─┐ asks  ┌─► grid features (B, D) ─┐
                                                            ├───────┤                         ├─► classifier
    apex_to_offset (B, 3, H, W) ─► stages ─► b (B, C, h, w) ─┘ other └─► grid features (B, D) ─┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.attention import CrossAttention, as_map, evenness, places, tokens
from fusion_net.blocks import ChannelGate, ConvStage, Dropout, GridFeatures
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output

Fusion = Literal["cross", "concat", "sum", "gated", "rising_only", "falling_only"]

INPUTS = ("onset_to_apex", "apex_to_offset")
_ONLY = {"rising_only": 0, "falling_only": 1}


@dataclass(frozen=True)
class DIANetSettings:
    """Shape of the network.

    Attributes:
        fusion: ``cross``, the attention; ``concat``, ``sum`` and ``gated`` of the same streams without it, with wider
            features; or one stream alone, widened.
        falling: ``as_is``, or ``negated``: a decay that follows the path of the rise then looks like it.
        widths: channels of the convolution stages, each of which halves the map.
        heads: of the attention.
        grid: cells per side over which features are pooled.
        features: D with the attention; without it `_WIDER` times as many, so that parameters are equal within 5 %.
        dropout: share of features that training hides.
        auxiliary: weight of the mean loss of the streams' own heads, which stand before the exchange.
    """

    fusion: Fusion = "cross"
    falling: Literal["as_is", "negated"] = "as_is"
    widths: tuple[int, ...] = (16, 32, 64, 128)
    heads: int = 4
    grid: int = 3
    features: int = 256
    dropout: float = 0.4
    auxiliary: float = 0.5

    def __post_init__(self) -> None:
        if self.fusion not in get_args(Fusion):
            raise ValueError(f"fusion {self.fusion!r} is none of {', '.join(get_args(Fusion))}")
        if self.falling not in ("as_is", "negated"):
            raise ValueError(f"falling {self.falling!r} is none of as_is, negated")
        if not self.widths or min(*self.widths, self.heads, self.grid, self.features) < 1:
            raise ValueError("widths, heads, grid and features must be at least 1")
        if self.widths[-1] % (4 * self.heads):
            raise ValueError(f"the last of widths, {self.widths[-1]}, must be a multiple of 4 * heads")
        if not 0 <= self.dropout < 1 or self.auxiliary < 0:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1), auxiliary {self.auxiliary} at or above 0")


class DIANet(Model):
    """Two phases, two streams, cross-attention; 0.92 M parameters with default settings, in every fusion within 5 %."""

    Settings = DIANetSettings
    TITLE = "DIANet"
    COLUMNS: ClassVar[Mapping[str, str]] = {"evenness": "input"}

    def __init__(self, settings: DIANetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s, n_classes = settings, len(classes)
        only = _ONLY.get(s.fusion)
        chosen = inputs if only is None else (inputs[only],)
        cross = s.fusion == "cross"
        widths = s.widths if only is None else tuple(_even(width * 2**0.5, 8) for width in s.widths)
        features = s.features if cross else _even(s.features * _wider(s) * (1 if only is None else 2**0.5), 8)
        last = widths[-1]
        self.stages = nn.ModuleDict({one.name: _stages((one.channels, *widths)) for one in chosen})
        self.exchange = nn.ModuleDict({name: CrossAttention(last, s.heads) for name in self.stages} if cross else {})
        self.pools = nn.ModuleDict({name: GridFeatures(last, s.grid, features, s.dropout) for name in self.stages})
        self.gate = ChannelGate(2, features, 32) if s.fusion == "gated" else None
        self.dropout = Dropout(s.dropout)
        self.heads = nn.ModuleDict({} if only is not None else {n: nn.Linear(last, n_classes) for n in self.stages})
        joined = 2 if s.fusion in ("cross", "concat") else 1
        self.classifier = nn.Linear(joined * features, n_classes)

    @classmethod
    def uses(cls, settings: DIANetSettings) -> tuple[InputUse, ...]:
        """The rise and the fall."""
        return tuple(use(name) for name in INPUTS)

    @classmethod
    def variants(cls, settings: DIANetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Every fusion, and the other sign of the fall."""
        other = "as_is" if settings.falling == "negated" else "negated"
        return {**{fusion: {"fusion": fusion} for fusion in get_args(Fusion)}, f"fall {other}": {"falling": other}}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The last stage but one of each stream."""
        place = max(0, len(self.settings.widths) - 2)
        return {name: list(stages.children())[place] for name, stages in self.stages.items()}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``evenness`` (B, 2) of the attention, 1 without it, and ``auxiliary`` (B, 2, K)."""
        maps = [stages(self._signed(name, batch[name])) for name, stages in self.stages.items()]  # S x (B, C, h, w)
        extras = {"evenness": maps[0].new_ones(maps[0].shape[0], len(self.inputs), dtype=torch.float32)}
        if self.heads:
            own = [head(x.mean(dim=(2, 3))) for head, x in zip(self.heads.values(), maps, strict=True)]
            extras["auxiliary"] = torch.stack(own, dim=1)  # (B, 2, K)
        if self.exchange:
            maps, extras["evenness"] = self._exchanged(maps)
        features = [pool(x) for pool, x in zip(self.pools.values(), maps, strict=True)]  # S x (B, D)
        if self.gate is not None:
            fused = (self.gate(features) * torch.stack(features, dim=1)).sum(dim=1)
        elif self.settings.fusion in ("cross", "concat"):
            fused = torch.cat(features, dim=1)
        else:
            fused = torch.stack(features, dim=1).sum(dim=1)
        return Output(self.classifier(self.dropout(fused)), extras)

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy of the joint logits; ``auxiliary``: mean over the streams' own heads, weighted."""
        target, weight = batch["target"], batch["weight"]
        parts = {"class": soft_cross_entropy(output.logits, target, weight)}
        if self.heads and self.settings.auxiliary:
            own = [soft_cross_entropy(x, target, weight) for x in output.extras["auxiliary"].unbind(dim=1)]
            parts["auxiliary"] = self.settings.auxiliary * torch.stack(own).mean()
        return parts

    def _signed(self, name: str, x: Tensor) -> Tensor:
        return -x if self.settings.falling == "negated" and name == self.inputs[1].name else x

    def _exchanged(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Both maps after each has asked the other, and how even the attention was, (B, 2)."""
        height, width = maps[0].shape[2:]
        place = places(height, width, maps[0].shape[1], maps[0])
        flat = [tokens(x) for x in maps]  # (B, N, C)
        found = [ask(a, b, place) for ask, a, b in zip(self.exchange.values(), flat, flat[::-1], strict=True)]
        even = torch.stack([evenness(weights) for _, weights in found], dim=1)
        return [as_map(x, height) for x, _ in found], even


def _stages(channels: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(ConvStage(a, b) for a, b in pairwise(channels)))


def _even(value: float, multiple: int) -> int:
    return max(1, round(value / multiple)) * multiple


def _wider(s: DIANetSettings) -> float:
    """How much longer feature vectors become without the attention, for the same number of parameters."""
    cells, last = s.grid**2, s.widths[-1]
    attention = 2 * 4 * last**2
    per_feature = 2 * cells * last
    return 1 + attention / (per_feature * s.features)
