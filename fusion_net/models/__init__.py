"""The models, by the name that configurations and checkpoints use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dynamic_images.clip_input import InputUse
from fusion_net.models.afn import AFN, AFNSettings
from fusion_net.models.causalnet import CausalNet
from fusion_net.models.contract import Batch, Examination, Model, Output, new_model
from fusion_net.models.dianet import DIANet
from fusion_net.models.fdp.network import FDP, FDPSettings
from fusion_net.models.fmanet import FMANet
from fusion_net.models.htnet import HTNet
from fusion_net.models.motion_net import MotionNet
from fusion_net.models.off_apexnet import OffApexNet
from fusion_net.models.skd_tstsan import SKDTSTSAN
from fusion_net.models.ststnet import STSTNet
from preprocessing.registry import Registry

__all__ = [
    "AFN",
    "FDP",
    "MODELS",
    "AFNSettings",
    "Batch",
    "Examination",
    "FDPSettings",
    "Model",
    "Output",
    "build_model",
    "model_of",
    "name_of",
    "new_model",
]

RESERVED = (
    *("corpus", "data", "faces", "flow", "images", "inputs", "streams", "evaluation", "fit"),
    *(
        "majority",
        "chance",
        "svm",
        "image_svm",
        "mean_kernel",
        "hoof",
        "mdmo",
        "lbp_top",
        "oracle",
        "always",
        "permuted",
    ),
)
"""Sections of the settings that are not a network's: a model of such a name would read another part's settings."""

MODELS: Registry[type[Model]] = Registry(
    "mer.models",
    "model",
    {
        "afn": AFN,
        "fdp": FDP,
        "dianet": DIANet,
        "fmanet": FMANet,
        "skd_tstsan": SKDTSTSAN,
        "ststnet": STSTNet,
        "off_apexnet": OffApexNet,
        "htnet": HTNet,
        "causalnet": CausalNet,
        "motion_net": MotionNet,
    },
    reserved=RESERVED,
)


def name_of(model: type[Model]) -> str:
    """Name of a model in `MODELS`.

    Raises:
        TypeError: it is not registered.
    """
    for name in MODELS:
        if MODELS[name] is model:
            return name
    raise TypeError(f"{model.__name__} is not registered among the models ({', '.join(MODELS)})")


def model_of(settings: Any) -> type[Model]:
    """The registered model that these settings describe.

    Raises:
        TypeError: they describe none.
    """
    for name in MODELS:
        if type(settings) is MODELS[name].Settings:
            return MODELS[name]
    raise TypeError(f"{type(settings).__name__} are not the settings of a model ({', '.join(MODELS)})")


def build_model(settings: Any, classes: Sequence[str], seed: int, inputs: Sequence[InputUse] | None = None) -> Model:
    """`new_model` of the registered model that these settings describe."""
    return new_model(model_of(settings), settings, classes, seed, inputs)
