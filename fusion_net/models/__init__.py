"""The models, by the name that configurations and checkpoints use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fusion_net.models.afn import AFN, AFNSettings
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.models.fdp.network import FDP, FDPSettings
from fusion_net.seeds import fold_seed

__all__ = ["AFN", "FDP", "MODELS", "AFNSettings", "Batch", "FDPSettings", "Model", "Output", "build_model", "name_of"]

MODELS: dict[str, type[Model]] = {"afn": AFN, "fdp": FDP}


def name_of(settings: Any) -> str:
    """Name in `MODELS` of the model that these settings describe.

    Raises:
        TypeError: they describe none.
    """
    for name, model in MODELS.items():
        if type(settings) is model.Settings:
            return name
    raise TypeError(f"{type(settings).__name__} are the settings of no model ({', '.join(MODELS)})")


def build_model(settings: Any, classes: Sequence[str], seed: int) -> Model:
    """A new model on the CPU whose weights follow from ``seed`` alone; torch's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold_seed(seed, "weights"))
        return MODELS[name_of(settings)](settings, tuple(classes))
