"""STSTNet: three shallow streams over u, v and strain, the network that most papers compare with.

Liong et al. (FG 2019, arXiv:1902.03634): convolutions of 3, 5 and 8 filters side by side on maps of 28 x 28, pooled,
joined, one linear layer.

Ours: signed flow at one scale, which the training clips give, in place of extremes per image; the toolkit's epochs,
augmentation and class weights; group normalisation in place of batch normalisation, since a clip's result must not
depend on the clips beside it. Any side of 16 px and more will do: the map is averaged to the cells that 28 px give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import Dropout
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output

INPUT = "apex_strain"
SMALL = MappingProxyType({"evaluation": MappingProxyType({"input_size": 28})})
"""What the networks on small maps are run at."""
CELLS = 5
"""Cells per side that 28 px leave after the pooling of STSTNet."""


@dataclass(frozen=True)
class STSTNetSettings:
    """Shape of STSTNet.

    Attributes:
        streams: filters of each stream.
        dropout: share of features that training hides.
    """

    streams: tuple[int, ...] = (3, 5, 8)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not self.streams or min(self.streams) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("streams must be at least 1 each, dropout must lie in [0, 1)")


class STSTNet(Model):
    """Three shallow streams over u, v and strain; 2,500 parameters with five classes."""

    Settings = STSTNetSettings
    TITLE = "STSTNet"
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = SMALL

    def __init__(self, settings: STSTNetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s = settings
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs[0].channels, filters, 3, padding=1),
                nn.GroupNorm(1, filters),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=3, padding=1),
            )
            for filters in s.streams
        )
        self.cells = nn.AvgPool2d(2)
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(sum(s.streams) * CELLS**2, len(classes))

    @classmethod
    def uses(cls, settings: STSTNetSettings) -> tuple[InputUse, ...]:
        """u, v and strain at the apex."""
        return (use(INPUT),)

    @classmethod
    def variants(cls, settings: STSTNetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """One stream of as many filters, and each of the three alone."""
        alone = {f"{n} filters alone": {"streams": (n,)} for n in settings.streams if len(settings.streams) > 1}
        return {"full": {}, "one wide stream": {"streams": (sum(settings.streams),)}, **alone}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The widest stream."""
        return {self.inputs[0].name: self.streams[-1]}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K)."""
        x = batch[self.inputs[0].name]
        found = torch.cat([stream(x) for stream in self.streams], dim=1)  # (B, 16, 10, 10) at 28 px
        cells = to_cells(self.cells(found), CELLS)
        return Output(self.classifier(self.dropout(cells.flatten(1))))

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}


def to_cells(x: Tensor, side: int) -> Tensor:
    """(B, C, h, w) → (B, C, side, side): itself at 28 px, else the means of cells."""
    return x if x.shape[2:] == (side, side) else nn.functional.adaptive_avg_pool2d(x, side)
