"""What clips with several labels score by answers that know nothing of the clip: floors to compare a system with."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from experiments.runs.classical import SVM, ClassicalSystem, Guess, SVMSettings
from experiments.runs.systems import Fitted
from fusion_net.inputs import ClipTensors
from fusion_net.seeds import fold_seed
from preprocessing.datasets.label_sets import SCHEMES, set_text
from preprocessing.errors import UsageError

SETS = ", ".join(SCHEMES)


class Always(ClassicalSystem):
    """Predict every label for every clip, where clips may have several: of all answers that do not look at the clip,
    the one with the highest F1, ``2 p / (1 + p)`` for a label that a share p of the clips has.
    """

    DEFAULTS = MappingProxyType({"evaluation": MappingProxyType({"seeds": 1})})

    @property
    def title(self) -> str:
        """See `System.title`."""
        return "All-labels baseline"

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """See `System.fit`.

        Raises:
            UsageError: a clip has one class.
        """
        if train.targets is None:
            raise UsageError(f"{self.name} is for clips with several labels: set evaluation.scheme to one of {SETS}")
        everything = set_text(train.classes)
        return Guess(lambda n: [everything] * n)


@dataclass(frozen=True)
class PermutedSettings(SVMSettings):
    """As `SVMSettings`, with one cost: there is nothing to choose by."""

    costs: tuple[float, ...] = (0.01,)


class Permuted(SVM):
    """The same machine, trained on label sets that were dealt out anew among the training clips.

    What it scores, a system scores that knows how frequent labels are and nothing of the clip that they belong to.
    """

    Settings = PermutedSettings

    @property
    def title(self) -> str:
        """See `System.title`."""
        return "SVM on permuted labels"

    def targets(self, has: NDArray[np.int_], seed: int, held_out: str) -> NDArray[np.int_]:
        """See `Estimator.targets`."""
        return np.random.default_rng(fold_seed(seed, held_out)).permutation(has)

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """See `System.fit`.

        Raises:
            UsageError: a clip has one class; there `mer train --null` does the same on the drawn corpus.
        """
        if train.targets is None:
            raise UsageError(f"{self.name} is for clips with several labels: set evaluation.scheme to one of {SETS}")
        return super().fit(train, seed, held_out)
