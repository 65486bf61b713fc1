"""Base class of the models: what training, prediction, export and the report expect of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from fusion_net.seeds import fold_seed

if TYPE_CHECKING:
    from fusion_net.inputs import ClipTensors, Scaler

Batch = Mapping[str, Tensor]
"""Inputs by name, (B, *shape) float32 with the shape of `dynamic_images.clip_input.InputUse.shape`; in training also
``target`` (B, K) probabilities and ``weight`` (B,)."""


@dataclass(frozen=True)
class Output:
    """``logits`` (B, K) and further results, each (B, ...).

    Those that `Model.COLUMNS` names are a few numbers per clip, (B, n), and go into the predictions.
    """

    logits: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Examination:
    """What a trained model has to show of test clips beyond its predictions.

    Attributes:
        columns: one row per clip, to stand beside the predictions.
        files: file name → array with one row per clip, kept with the fold.
    """

    columns: pd.DataFrame
    files: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Model(nn.Module):
    """Base of the models: which inputs it takes, what it returns, and the loss that belongs to it.

    What belongs to a model stands in its class:

    Attributes:
        Settings: the frozen dataclass that, with classes and inputs, rebuilds the model.
        TITLE: for people; None takes the name of the class.
        DEFAULTS: settings of other sections that this model starts from, section → key → value.
        COLUMNS: extras that become columns of the predictions: name → what their ends are called, ``input`` (one per
            input, called by it) or ``place`` (1, 2, …).
        SECTIONS: sections of the report that show them, names in `experiments.pages.sections.SECTIONS`.
        TOGETHER: several can be trained at once (`fusion_net.together`): ``forward`` and ``loss`` run under
            `torch.vmap`, draw nothing but by `blocks.Dropout`, and every part of the loss is the mean over the batch of
            something times ``weight``.
        SETS: may be trained on clips that have several labels or none: the loss goes through
            `fusion_net.losses.soft_cross_entropy`, which then is a binary cross-entropy of each label.
    """

    Settings: ClassVar[type[Any]]
    TITLE: ClassVar[str | None] = None
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    COLUMNS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    SECTIONS: ClassVar[Sequence[str]] = ()
    TOGETHER: ClassVar[bool] = False
    SETS: ClassVar[bool] = True

    def __init__(self, settings: Any, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__()
        self.settings, self.classes, self.inputs = settings, classes, inputs

    @classmethod
    def uses(cls, settings: Any) -> tuple[InputUse, ...]:
        """The inputs that a model of these settings takes, in the order of its ``gate``."""
        raise NotImplementedError

    @classmethod
    def variants(cls, settings: Any, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Name → settings that differ, for `mer ablate`. The first is what the others are compared with."""
        return {"full": {}}

    def forward(self, batch: Batch) -> Output:
        """Logits of a batch."""
        raise NotImplementedError

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted parts of the loss by name; training minimises their sum and logs each."""
        raise NotImplementedError

    def map_layers(self) -> Mapping[str, nn.Module]:
        """Input → the layer whose activation says where the model looks in it; empty if there is none to show."""
        return {}

    def examine(self, scaler: Scaler, train: ClipTensors, test: ClipTensors) -> Examination | None:
        """What the trained model shows of test clips, both sets unscaled; ``train`` serves for baselines alone."""
        return None


def new_model(
    model: type[Model], settings: Any, classes: Sequence[str], seed: int, inputs: Sequence[InputUse] | None = None
) -> Model:
    """A new model on the CPU whose weights follow from ``seed`` alone; torch's own random state is left as it was.

    Args:
        model: its class, registered or not.
        settings: of ``model.Settings``.
        classes: names of the outputs.
        seed: of the weights.
        inputs: what it takes in; None takes ``model.uses(settings)``.
    """
    uses = model.uses(settings) if inputs is None else tuple(inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold_seed(seed, "weights"))
        return model(settings, tuple(classes), tuple(uses))
