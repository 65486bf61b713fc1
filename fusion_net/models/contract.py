"""What `fit` and `predict` expect of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from fusion_net.augment import Kind

Batch = Mapping[str, Tensor]
"""Inputs by name, each (B, ..., H, W); in training also ``target`` (B, K) probabilities and ``weight`` (B,)."""


COLUMNS = ("gate", "score", "pooling")
"""Extras of a few numbers per clip: ``gate`` (B, S) per input, ``score`` and ``pooling`` (B, T) per frame."""


@dataclass(frozen=True)
class Output:
    """``logits`` (B, K) and what else is worth a look, each (B, ...); those of `COLUMNS` go into the predictions."""

    logits: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """Base of the models: which artefacts it eats, what it returns, and the loss that belongs to it.

    Attributes:
        INPUTS: name of the artefact → how it behaves under a mirror, in the order of the ``gate`` columns.
        Settings: the frozen dataclass that, with the classes, rebuilds the model.
        DEFAULTS: settings of other sections that this model starts from, section → key → value.
    """

    INPUTS: ClassVar[Mapping[str, Kind]]
    Settings: ClassVar[type[Any]]
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    def __init__(self, settings: Any, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.settings, self.classes = settings, classes

    def forward(self, batch: Batch) -> Output:
        """Logits of a batch."""
        raise NotImplementedError

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted parts of the loss by name; training minimises their sum and logs each."""
        raise NotImplementedError
