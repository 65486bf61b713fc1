"""Every system by name: networks (`fusion_net.models.MODELS`), baselines, and estimators of installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from dynamic_images.clip_input import InputUse
from experiments.runs.classical import SVM, Chance, ClassicalSystem, Majority, Oracle
from experiments.runs.floors import Always, Permuted
from experiments.runs.kernel_machines import HOOF, LBPTOP, MDMO, ImageSVM, MeanKernel
from experiments.runs.systems import Network, System
from fusion_net.fit import FitSettings
from fusion_net.models import MODELS
from fusion_net.models.contract import Model
from preprocessing.errors import UsageError

CLASSICAL: Mapping[str, type[ClassicalSystem]] = {
    "majority": Majority,
    "chance": Chance,
    "svm": SVM,
    "image_svm": ImageSVM,
    "mean_kernel": MeanKernel,
    "hoof": HOOF,
    "mdmo": MDMO,
    "lbp_top": LBPTOP,
    "oracle": Oracle,
    "always": Always,
    "permuted": Permuted,
}
BASELINES = ("majority", "chance", "svm", "image_svm", "mean_kernel", "oracle")
"""Systems that every run shows beside its own, as far as the data set has their inputs."""
SET_FLOORS = ("always", "permuted")
SET_BASELINES = ("majority", "chance", *SET_FLOORS, "svm", "oracle")
"""The same where a clip may have several labels: a machine for each label, so that those on images would take long."""

SystemClass = type[Model] | type[ClassicalSystem]


def system_names() -> Iterator[str]:
    """Names that ``--model`` takes."""
    yield from MODELS
    yield from CLASSICAL


def find_system(name: str) -> SystemClass:
    """The class of a system.

    Raises:
        UsageError: there is none of that name, or a package offers something else under it.
    """
    if name in CLASSICAL:
        return CLASSICAL[name]
    if name not in MODELS:
        near = get_close_matches(name, list(system_names()), n=1)
        hint = f"did you mean {near[0]}? Or " if near else ""
        raise UsageError(f"model {name!r} is unknown: {hint}choose one of {', '.join(system_names())}")
    found: Any = MODELS[name]
    if not isinstance(found, type) or not issubclass(found, (Model, ClassicalSystem)):
        raise UsageError(f"model {name!r} is {found!r}, wanted a subclass of Model or of Estimator")
    return found


def make_system(
    name: str, settings: Any, training: FitSettings | None = None, inputs: Sequence[InputUse] | None = None
) -> System:
    """The system of that name.

    Args:
        name: see `system_names`.
        settings: of the system's own dataclass.
        training: how a network is fitted; others do without.
        inputs: what it takes in, if not what its settings name.
    """
    found = find_system(name)
    uses = tuple(found.uses(settings) if inputs is None else inputs)
    if issubclass(found, Model):
        return Network(name, settings, uses, found, training or FitSettings())
    return found(name, settings, uses)
