"""AFN, the adaptive fusion network: two streams of dynamic images and a gate that weighs them clip by clip.

The paper (arXiv:2510.09730) gives the two inputs, the temporal-ranked and the motion-intensity dynamic image, and says
that one network "automatically learns to optimally integrate" them. Everything below is ours and does not claim to be
the paper's network: the streams, the gate, the auxiliary heads and the fusions to compare it with.

                temporal_ranked (B, 3, H, W) ─► Stream ─► a (B, D) ─┬────► auxiliary head
                                                                   ├─► gate ─► fused (B, D) ─► classifier
               motion_intensity (B, 3, H, W) ─► Stream ─► b (B, D) ─┴────► auxiliary head
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import FACE, ZEROED, use
from fusion_net.blocks import ChannelGate, ConvStage, Dropout, Stream
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output

Fusion = Literal["gated", "concat", "sum", "temporal_only", "intensity_only"]

INPUTS = ("temporal_ranked", "motion_intensity")
_ONLY = {"temporal_only": 0, "intensity_only": 1}
_MULTIPLE = 8
"""Widths of a lone stream are rounded to this, so that they still split into groups."""


@dataclass(frozen=True)
class AFNSettings:
    """Shape of the network.

    Attributes:
        fusion: ``gated``; ``concat`` and ``sum`` of the same streams without a gate; or the stream of the first
            (``temporal_only``) or of the second input (``intensity_only``) alone, widened so that it has the
            parameters and the multiply-adds of two.
        gate: None learns the gate; a number in 0 .. 1 fixes the weight of the second input for all clips and channels
            (0 fuses the first only, 1 the second only). For ``gated`` alone.
        widths: channels of the convolution stages; each but the first halves the map.
        stem: stride of the first stage; 4 looks at 7 x 7 px at once, in place of two stages with stride 2.
        grid: cells per side over which features are pooled; larger keeps more of the place, forgives less misalignment.
        features: D, length of a stream's feature vector.
        gate_hidden: hidden units of the gate.
        dropout: share of pooled and of fused features that training hides.
        auxiliary: weight of the mean loss of the two auxiliary heads.
        face_only: take both images of the face alone, without hair, collar and background.
        zero: ``keep`` the images as they are, or take away the ``median`` of each channel and clip: gives pictures
            that were stretched by their own extremes a common zero.
        root: take the signed square root of every value first: strong places count less.
    """

    fusion: Fusion = "gated"
    gate: float | None = None
    widths: tuple[int, ...] = (16, 32, 64, 128)
    stem: int = 2
    grid: int = 3
    features: int = 320
    gate_hidden: int = 32
    dropout: float = 0.4
    auxiliary: float = 0.5
    face_only: bool = False
    zero: Literal["keep", "median"] = "keep"
    root: bool = False

    def __post_init__(self) -> None:
        if self.zero not in ("keep", "median"):
            raise ValueError(f"zero {self.zero!r} is unknown: choose keep or median")
        if self.face_only and self.zero == "median":
            raise ValueError("face_only and zero = median exclude each other: outside the face it is 0 already")
        if self.fusion not in get_args(Fusion):
            raise ValueError(f"fusion {self.fusion!r} is none of {', '.join(get_args(Fusion))}")
        if self.gate is not None and self.fusion != "gated":
            raise ValueError(f"gate = {self.gate} has no effect with fusion = {self.fusion!r}: leave it out")
        if self.gate is not None and not 0 <= self.gate <= 1:
            raise ValueError(f"gate {self.gate} is outside 0 .. 1")
        if not self.widths or min(*self.widths, self.stem, self.grid, self.features, self.gate_hidden) < 1:
            raise ValueError("widths, stem, grid, features and gate_hidden must be at least 1")
        if not 0 <= self.dropout < 1 or self.auxiliary < 0:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1), auxiliary {self.auxiliary} at or above 0")

    def for_side(self, side: int) -> AFNSettings:
        """The same with as many stages as an input of ``side`` px can carry, at least one.

        A map with fewer cells than ``grid`` has none to give each cell of the pooling: the last stages are dropped
        until it has. 28 px carry three of the four default stages (28, 14, 7, 4).
        """
        stages = len(self.widths)
        while stages > 1 and math.ceil(side / (self.stem * 2 ** (stages - 1))) < self.grid:
            stages -= 1
        return replace(self, widths=self.widths[:stages])


class AFN(Model):
    """Adaptive fusion network; 0.98 M parameters with default settings and five classes, in every fusion within 5 %."""

    Settings = AFNSettings
    TITLE = "AFN"
    COLUMNS: ClassVar[Mapping[str, str]] = MappingProxyType({"gate": "input"})
    SECTIONS = ("gate",)
    TOGETHER = True

    def __init__(self, settings: AFNSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s, n_classes = settings, len(classes)
        if len(inputs) != 2 or any(one.kind not in ("image", "flow") or one.lead for one in inputs):
            raise ValueError(f"AFN fuses two images or flow maps, not {', '.join(one.name for one in inputs)}")
        only = _ONLY.get(s.fusion)
        chosen = inputs if only is None else (inputs[only],)
        widths = s.widths if only is None else _double(s.widths)
        (features,) = (s.features,) if only is None else _double((s.features,))
        streams = {one.name: Stream(one.channels, widths, s.grid, features, s.dropout, s.stem) for one in chosen}
        self.streams = nn.ModuleDict(streams)
        names = tuple(streams)
        learned = s.fusion == "gated" and s.gate is None
        self.gate = ChannelGate(len(names), features, s.gate_hidden) if learned else None
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(len(names) * features if s.fusion == "concat" else features, n_classes)
        alone = only is not None
        self.heads = nn.ModuleDict({} if alone else {name: nn.Linear(features, n_classes) for name in names})
        self.hidden = nn.ModuleDict({name: Dropout(s.dropout) for name in self.heads})

    @classmethod
    def uses(cls, settings: AFNSettings) -> tuple[InputUse, ...]:
        """TRDI and MIDI."""
        form = FACE if settings.face_only else ZEROED if settings.zero == "median" else ""
        return tuple(use(name + form) for name in INPUTS)

    @classmethod
    def variants(cls, settings: AFNSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Every fusion, the gate fixed at 0, a half and 1, and other rules for the pictures.

        A stream alone is called by its input.
        """
        ours = tuple(one.name.removesuffix(FACE).removesuffix(ZEROED) for one in inputs) == INPUTS
        called = {} if ours else {fusion: f"{inputs[place].name}_only" for fusion, place in _ONLY.items()}
        fusions = {called.get(fusion, fusion): {"fusion": fusion} for fusion in get_args(Fusion)}
        fixed: dict[str, dict[str, Any]] = {f"gate fixed at {gate:g}": {"gate": gate} for gate in (0.0, 0.5, 1.0)}
        rules: dict[str, dict[str, Any]] = {
            "no roots" if settings.root else "signed roots": {"root": not settings.root}
        }
        if not settings.face_only:
            other = "keep" if settings.zero == "median" else "median"
            rules[f"zero: {other}"] = {"zero": other}
        if ours and settings.zero == "keep":
            rules["whole crop" if settings.face_only else "face only"] = {"face_only": not settings.face_only}
        return {**fusions, **fixed, **rules}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The last stage but one of each stream: its cells still tell brows from eyes."""
        stages = {
            name: [m for m in stream.modules() if isinstance(m, ConvStage)] for name, stream in self.streams.items()
        }
        return {name: found[max(0, len(found) - 2)] for name, found in stages.items()}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``gate`` (B, 2) mean weights, ``gate_channels`` (B, 2, D), ``auxiliary`` (B, 2, K)."""
        features = [stream(self._seen(batch[name])) for name, stream in self.streams.items()]  # S x (B, D)
        extras: dict[str, Tensor] = {}
        if self.settings.fusion == "gated":
            gate = self._weights(features)  # (B, 2, D)
            fused = (gate * torch.stack(features, dim=1)).sum(dim=1)  # (B, 2, D) -> (B, D)
            extras |= {"gate": gate.mean(dim=2), "gate_channels": gate}
        elif self.settings.fusion == "concat":
            fused = torch.cat(features, dim=1)  # 2 x (B, D) -> (B, 2*D)
        else:
            fused = torch.stack(features, dim=1).sum(dim=1)  # S x (B, D) -> (B, D); one stream is itself
        if self.heads:
            seen = [hide(f) for hide, f in zip(self.hidden.values(), features, strict=True)]
            heads = [head(f) for head, f in zip(self.heads.values(), seen, strict=True)]
            extras["auxiliary"] = torch.stack(heads, dim=1)  # 2 x (B, K) -> (B, 2, K)
        return Output(self.classifier(self.dropout(fused)), extras)

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy of the fused logits; ``auxiliary``: mean over the streams' own heads, weighted.

        Without the second part the gate can starve a stream that learns slowly, and then has nothing left to choose.
        """
        target, weight = batch["target"], batch["weight"]
        parts = {"class": soft_cross_entropy(output.logits, target, weight)}
        if "auxiliary" in output.extras and self.settings.auxiliary:
            heads = output.extras["auxiliary"].unbind(dim=1)  # 2 x (B, K)
            losses = torch.stack([soft_cross_entropy(logits, target, weight) for logits in heads])
            parts["auxiliary"] = self.settings.auxiliary * losses.mean()
        return parts

    def _seen(self, image: Tensor) -> Tensor:
        """(B, C, H, W) as the streams take it in."""
        return image.sign() * image.abs().sqrt() if self.settings.root else image

    def _weights(self, features: list[Tensor]) -> Tensor:
        """(B, 2, D) weights of the streams, learned or fixed; they sum to 1 over the streams."""
        if self.gate is not None:
            weights: Tensor = self.gate(features)
            return weights
        fixed = features[0].new_tensor([1 - self.settings.gate, self.settings.gate])
        return fixed.view(1, 2, 1).expand(len(features[0]), 2, features[0].shape[1])  # (2,) -> (B, 2, D)


def _double(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Widths that make one stream as large as two: a layer's weights grow with the product of its two widths."""
    return tuple(max(1, round(width * 2**0.5 / _MULTIPLE)) * _MULTIPLE for width in widths)
