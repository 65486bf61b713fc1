"""Kernel machines on images and on descriptors: the plain baselines that a network has to beat.

Whatever is fitted, the mean image, the widths of kernels and C, comes from the training clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

from dynamic_images.clip_input import PLANAR, InputUse
from dynamic_images.inputs import ZEROED, use
from experiments.runs.classical import SVM, Estimator, Features, Labels, SVMSettings, feature_table
from fusion_net.inputs import ClipTensors

Kernel = Literal["linear", "rbf", "root_linear", "root_rbf"]
Zero = Literal["keep", "median"]
ALL_KERNELS: tuple[Kernel, ...] = get_args(Kernel)
SEEDLESS = MappingProxyType({"evaluation": MappingProxyType({"seeds": 1})})


class KernelMachine(ClassifierMixin, BaseEstimator):
    """Support vector machine on the mean of kernels, each of mean self-similarity 1 over the training clips.

    ``linear`` is the inner product of clips less their training mean; ``rbf`` is ``exp(-d² / median d²)``, the median
    over pairs of training clips; with ``root_`` before it, of signed square roots: strong places count less.

    Args:
        kernels: names in `Kernel`.
        cost: C; larger fits the training clips more closely.
        balanced: whether rare classes weigh more.
    """

    def __init__(self, kernels: Sequence[Kernel] = ("linear",), cost: float = 1.0, balanced: bool = True) -> None:
        self.kernels, self.cost, self.balanced = kernels, cost, balanced

    def fit(self, x: Features, y: Labels) -> KernelMachine:
        """Learn from features (N, F) and class names (N,)."""
        self._parts = [_FittedKernel(name, x) for name in self.kernels]
        self._machine = SVC(kernel="precomputed", C=self.cost, class_weight="balanced" if self.balanced else None)
        self._machine.fit(self._gram(x), y)
        self.classes_ = self._machine.classes_
        return self

    def predict(self, x: Features) -> Labels:
        """(M,) class names."""
        return np.asarray(self._machine.predict(self._gram(x)))

    def decision_function(self, x: Features) -> Features:
        """(M,) or (M, K): how far clips lie on the side of the second class, or of each."""
        return np.asarray(self._machine.decision_function(self._gram(x)), np.float64)

    def _gram(self, x: Features) -> Features:
        """(M, N) mean similarity of clips to the training clips."""
        return np.asarray(np.mean([part(x) for part in self._parts], axis=0), np.float64)


class _FittedKernel:
    """One kernel with what it took from the training clips (N, F)."""

    def __init__(self, name: Kernel, x: Features) -> None:
        self.rooted, self.curved = name.startswith("root_"), name.endswith("rbf")
        x = self._form(x)
        self.mean = x.mean(axis=0)
        self.train = x - self.mean
        self.norms = (self.train**2).sum(axis=1)
        if self.curved:
            d2 = self._distances(self.train)[np.triu_indices(len(x), 1)]
            self.unit = float(np.median(d2)) if len(d2) else 0.0
        else:
            self.unit = float(self.norms.mean())
        self.unit = self.unit or 1.0  # clips that are all alike

    def __call__(self, x: Features) -> Features:
        x = self._form(x) - self.mean
        if self.curved:
            return np.asarray(np.exp(-self._distances(x) / self.unit), np.float64)
        return np.asarray(x @ self.train.T / self.unit, np.float64)

    def _form(self, x: Features) -> Features:
        return np.sign(x) * np.sqrt(np.abs(x)) if self.rooted else x

    def _distances(self, x: Features) -> Features:
        squares = (x**2).sum(axis=1)[:, None] + self.norms - 2 * x @ self.train.T
        return np.asarray(np.maximum(squares, 0), np.float64)


@dataclass(frozen=True)
class ImageSVMSettings:
    """Kernel machine on the pixels of images.

    Attributes:
        inputs: images, side by side.
        zero: ``median`` takes the median of each channel and clip away, ``keep`` leaves images as they are.
        block: pixels are averaged over blocks of ``block`` x ``block``; 1 leaves them.
        kernels: names in `Kernel`; the mean of several.
        costs: values of C to choose among on inner folds of whole training subjects; one is fixed.
        balanced: whether rare classes weigh more.
    """

    inputs: tuple[str, ...] = ("temporal_ranked", "motion_intensity")
    zero: Zero = "median"
    block: int = 2
    kernels: tuple[Kernel, ...] = ("root_rbf",)
    costs: tuple[float, ...] = (0.1, 1.0, 10.0)
    balanced: bool = True

    def __post_init__(self) -> None:
        if not self.inputs or self.zero not in get_args(Zero):
            raise ValueError(f"inputs are {self.inputs}, zero is {self.zero!r}; wanted one or more, and keep or median")
        if not self.kernels or set(self.kernels) - set(ALL_KERNELS):
            raise ValueError(f"kernels are {self.kernels}, wanted one or more of {', '.join(ALL_KERNELS)}")
        if not self.costs or min(self.costs) <= 0 or self.block < 1:
            raise ValueError(f"costs {self.costs} must be positive, and block {self.block} at least 1")


@dataclass(frozen=True)
class MeanKernelSettings(ImageSVMSettings):
    """The same with the mean of four kernels and one C: nothing is chosen."""

    kernels: tuple[Kernel, ...] = ALL_KERNELS
    costs: tuple[float, ...] = (10.0,)


class ImageSVM(Estimator):
    """Support vector machine on the pixels of the dynamic images, or of precomputed ones."""

    Settings: ClassVar[type[Any]] = ImageSVMSettings
    DEFAULTS = SEEDLESS

    @classmethod
    def uses(cls, settings: ImageSVMSettings) -> tuple[InputUse, ...]:
        """The images that the settings name, less their median if they say so."""
        return tuple(use(name + ZEROED if settings.zero == "median" else name) for name in settings.inputs)

    @classmethod
    def variants(cls, settings: ImageSVMSettings, inputs: Sequence[InputUse]) -> dict[str, dict[str, Any]]:
        """The settings as they are, then every other kernel, and the linear one on images as they are."""
        others = [name for name in ALL_KERNELS if (name,) != settings.kernels]
        kernels: dict[str, dict[str, Any]] = {name: {"kernels": (name,)} for name in others}
        return {"full": {}, **kernels, "linear, zero kept": {"kernels": ("linear",), "zero": "keep"}}

    @property
    def title(self) -> str:
        """See `System.title`."""
        s = self.settings
        if len(s.kernels) > 1:
            return f"SVM on the mean of {len(s.kernels)} kernels of images"
        root, kernel = "root_" in s.kernels[0], s.kernels[0].removeprefix("root_")
        return f"{kernel.upper() if kernel == 'rbf' else 'Linear'} SVM on {'signed roots of ' if root else ''}images"

    def features(self, data: ClipTensors) -> Features:
        """See `Estimator.features`. Pixels are averaged over blocks first."""
        block = self.settings.block
        pooled = {name: block_mean(x, block) if data.kind(name) in PLANAR else x for name, x in data.inputs.items()}
        return feature_table(data, pooled)

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        """One per cost."""
        s = self.settings
        return [KernelMachine(s.kernels, cost, s.balanced) for cost in s.costs]


class MeanKernel(ImageSVM):
    """Support vector machine on the mean of four kernels of the images, with a fixed C."""

    Settings = MeanKernelSettings

    @classmethod
    def variants(cls, settings: ImageSVMSettings, inputs: Sequence[InputUse]) -> dict[str, dict[str, Any]]:
        """Other values of C, and images as they are."""
        return {"full": {}, "C = 1": {"costs": (1.0,)}, "C = 100": {"costs": (100.0,)}, "zero kept": {"zero": "keep"}}


def block_mean(images: torch.Tensor, block: int) -> torch.Tensor:
    """(..., H, W) averaged over ``block`` x ``block`` px; rows and columns that fill no block are left out."""
    if block == 1:
        return images
    flat = images.reshape(-1, 1, *images.shape[-2:])  # (..., H, W) -> (n, 1, H, W)
    pooled = torch.nn.functional.avg_pool2d(flat, block)
    return pooled.reshape(*images.shape[:-2], *pooled.shape[-2:])


@dataclass(frozen=True)
class HOOFSettings(SVMSettings):
    """`SVMSettings` on histograms of oriented optical flow."""

    features: str = "hoof"


@dataclass(frozen=True)
class MDMOSettings(SVMSettings):
    """`SVMSettings` on main directional mean optical flow."""

    features: str = "mdmo"


@dataclass(frozen=True)
class LBPTOPSettings(SVMSettings):
    """`SVMSettings` on local binary patterns of three planes."""

    features: str = "lbp_top"


class HOOF(SVM):
    """Support vector machine on HOOF, see `dynamic_images.motion_histograms.orientation_histograms`."""

    Settings = HOOFSettings


class MDMO(SVM):
    """Support vector machine on MDMO, see `dynamic_images.motion_histograms.main_directions`."""

    Settings = MDMOSettings


class LBPTOP(SVM):
    """Support vector machine on LBP-TOP, see `dynamic_images.motion_histograms.local_patterns`."""

    Settings = LBPTOPSettings
