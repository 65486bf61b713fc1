"""Off-ApexNet: u and v from onset to apex, a small branch of convolutions for each.

Gan et al. (Signal Processing: Image Communication 74, 2019, arXiv:1805.08699): two convolutions of 6 and 16 filters on
maps of 28 x 28, the branches joined, two dense layers of 1,024 units.

Ours: signed flow at one scale, which the training clips give, in place of extremes per image; the toolkit's epochs,
augmentation and class weights; dropout in the dense layers. Any side of 16 px and more will do: the maps are averaged
to the cells that 28 px give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import Dropout
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.models.ststnet import SMALL, to_cells

CELLS = 7
"""Cells per side that 28 px leave after two poolings."""


@dataclass(frozen=True)
class OffApexNetSettings:
    """Shape of Off-ApexNet.

    Attributes:
        filters: of the two convolutions of each branch.
        hidden: units of each dense layer.
        dropout: share of hidden units that training hides.
    """

    filters: tuple[int, int] = (6, 16)
    hidden: int = 1024
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if min(*self.filters, self.hidden) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("filters and hidden must be at least 1, dropout must lie in [0, 1)")


class OffApexNet(Model):
    """A branch for u, a branch for v; 2.7 M parameters with default settings, nearly all in the dense layers."""

    Settings = OffApexNetSettings
    TITLE = "Off-ApexNet"
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = SMALL

    def __init__(self, settings: OffApexNetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s, (first, second) = settings, settings.filters
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1, first, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(first, second, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            for _ in range(2)
        )
        self.dense = nn.Sequential(
            *(nn.Linear(2 * second * CELLS**2, s.hidden), nn.ReLU(), Dropout(s.dropout)),
            *(nn.Linear(s.hidden, s.hidden), nn.ReLU(), Dropout(s.dropout)),
        )
        self.classifier = nn.Linear(s.hidden, len(classes))

    @classmethod
    def uses(cls, settings: OffApexNetSettings) -> tuple[InputUse, ...]:
        """u and v at the apex."""
        return (use("apex_flow"),)

    @classmethod
    def variants(cls, settings: OffApexNetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Dense layers of a sixteenth of the units."""
        return {"full": {}, "narrow": {"hidden": max(1, settings.hidden // 16)}}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The branch of v: brows and lids move up and down."""
        return {self.inputs[0].name: list(self.branches[1].children())[2]}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K)."""
        x = batch[self.inputs[0].name]  # (B, 2, H, W)
        found = torch.cat([branch(x[:, i : i + 1]) for i, branch in enumerate(self.branches)], dim=1)
        return Output(self.classifier(self.dense(to_cells(found, CELLS).flatten(1))))

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}
