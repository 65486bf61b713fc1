"""What `fit` and `predict` expect of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from fusion_net.augment import Kind

Batch = Mapping[str, Tensor]
"""Inputs by name, each (B, ..., H, W); in training also ``target`` (B, K) probabilities and ``weight`` (B,)."""


@dataclass(frozen=True)
class Output:
    """``logits`` (B, K) and what else is worth a look, each (B, ...); ``gate`` (B, S) goes into the predictions."""

    logits: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """Base of the models: which artefacts it eats, what it returns, and the loss that belongs to it.

    Attributes:
        INPUTS: name of the artefact → how it behaves under a mirror, in the order of the ``gate`` columns.
        Settings: the frozen dataclass that, with the classes, rebuilds the model.
    """

    INPUTS: ClassVar[Mapping[str, Kind]]
    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.settings, self.classes = settings, classes

    def forward(self, batch: Batch) -> Output:
        """Logits of a batch."""
        raise NotImplementedError

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted parts of the loss by name; training minimises their sum and logs each."""
        raise NotImplementedError
