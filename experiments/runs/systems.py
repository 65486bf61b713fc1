"""Systems: whatever can be trained on some subjects and predict others.

Networks are systems (`Network`); so are baselines and any scikit-learn estimator over features
(`experiments.runs.classical`). A system knows its settings, its inputs, and what the report shows of it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dynamic_images.clip_input import PLANAR, InputUse
from experiments.runs.sources import source_digest
from fusion_net.device import resolve_device
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models.contract import Model, new_model
from fusion_net.seeds import fold_seed
from fusion_net.together import Pupil, fit_together, slots_for
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.errors import UsageError


@dataclass(frozen=True)
class Answers:
    """What a trained system says of test clips.

    Attributes:
        table: ``clip_id, subject, y_true, y_pred``, ``p_<class>`` for all classes or none, and further columns.
        files: file name → array with one row per clip, kept with the fold.
    """

    table: pd.DataFrame
    files: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Fitted(ABC):
    """A trained system."""

    history: Sequence[Mapping[str, float]] = ()
    """Learning curve, a row per epoch; empty for a system without epochs."""

    @abstractmethod
    def answer(self, test: ClipTensors) -> Answers:
        """Predict test clips, which the system sees here for the first time."""


@dataclass(frozen=True)
class System(ABC):
    """A system with its settings.

    Attributes:
        name: in settings, folders and tables.
        settings: of the system's own dataclass.
        inputs: what it takes in of a clip.

    What belongs to the class: ``DEFAULTS`` (settings of other sections to start from, section → key → value) and the
    property ``sections`` (of the report).
    """

    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    name: str
    settings: Any
    inputs: tuple[InputUse, ...]

    @abstractmethod
    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """Train on these clips alone.

        Args:
            train: labelled clips with the system's inputs, unscaled.
            seed: of the pass over the folds.
            held_out: name of who is left out; randomness follows from it and the seed, not from the order of folds.
        """

    @property
    @abstractmethod
    def title(self) -> str:
        """For people."""

    @property
    def sections(self) -> Sequence[str]:
        """Names of the report's sections about what is particular to the system."""
        return ()

    @property
    def device(self) -> str:
        """Kind of device that trains."""
        return "cpu"

    @property
    def key(self) -> str:
        """Hash of all that decides the results, apart from the clips: class, settings, inputs and source code."""
        identity = (self.name, type(self).__qualname__, self._settings())
        return key_of(identity, [one.plain() for one in self.inputs], self.source)

    @property
    def source(self) -> str:
        """Digest of the source of the system and of its inputs, with all that they import."""
        return source_digest(self._modules())

    def about(self, classes: Sequence[str]) -> dict[str, Any]:
        """Facts about the system for ``run.json``."""
        return {
            "model": self.name,
            "title": self.title,
            "settings": plain(self.settings),
            "sections": list(self.sections),
            "device": self.device,
            "source": self.source,
        }

    def _settings(self) -> Any:
        return self.settings

    def _modules(self) -> Iterable[str]:
        yield type(self).__module__
        for one in self.inputs:
            maker: Any = one.input.make
            while isinstance(maker, partial):
                maker = maker.func
            yield getattr(maker, "__module__", "") or type(one.input).__module__


@dataclass(frozen=True)
class Network(System):
    """A network and how it is trained.

    Attributes:
        model: the class of the network; workers get the class itself, registered or not.
        training: how it is fitted.
    """

    model: type[Model]
    training: FitSettings = field(default_factory=FitSettings)

    @property
    def title(self) -> str:
        """See `System.title`."""
        return self.model.TITLE or self.model.__name__

    @property
    def sections(self) -> Sequence[str]:
        """See `System.sections`."""
        return tuple(self.model.SECTIONS)

    @property
    def device(self) -> str:
        """See `System.device`."""
        return resolve_device(self.training.device).type

    @property
    def mirrored(self) -> bool:
        """Whether predictions average a clip and its mirror image: only if training showed both."""
        return self.training.augment.mirror > 0

    def new(self, classes: Sequence[str], seed: int) -> Model:
        """An untrained network."""
        return new_model(self.model, self.settings, classes, seed, self.inputs)

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> FittedNetwork:
        """See `System.fit`. The scale of the inputs comes from these clips too.

        Raises:
            UsageError: clips with several labels, for a model that cannot learn them.
        """
        if train.targets is not None and not self.model.SETS:
            raise UsageError(f"{self.title} learns one class for each clip: choose another model or evaluation.scheme")
        if self.at_once and train.targets is None:  # as in a run, whose folds are trained together
            return self.fit_together(train, [(range(len(train)), seed, held_out)])[0]
        own_seed = fold_seed(seed, held_out)
        scaler = Scaler.fit(train)
        model = self.new(train.classes, own_seed)
        history = fit(model, scaler(train), settings=self.training, seed=own_seed)
        return FittedNetwork(model, scaler, history, lambda: train, self.mirrored)

    @property
    def at_once(self) -> bool:
        """Whether folds are trained together: on a GPU, if the model can."""
        return self.device == "cuda" and self.model.TOGETHER

    def slots(self, data: ClipTensors) -> int:
        """Most folds that `fit_together` takes of these clips."""
        return slots_for(data, [one.name for one in self.inputs], self.training)

    def fit_together(self, data: ClipTensors, tasks: Sequence[tuple[Sequence[int], int, str]]) -> list[FittedNetwork]:
        """`fit` of several tasks at once: rows of the training clips, seed, and who is held out.

        All need the same number of batches for an epoch.
        """
        pupils = []
        for rows, seed, held_out in tasks:
            own_seed = fold_seed(seed, held_out)
            scaler = Scaler.fit(subset(data, rows))
            pupils.append(Pupil(self.new(data.classes, own_seed), torch.tensor(list(rows)), scaler, own_seed))
        histories = fit_together(pupils, data, self.training, self.slots(data))
        return [
            FittedNetwork(pupil.model, pupil.scaler, history, partial(subset, data, pupil.rows), self.mirrored)
            for pupil, history in zip(pupils, histories, strict=True)
        ]

    def about(self, classes: Sequence[str]) -> dict[str, Any]:
        """See `System.about`."""
        parameters = sum(p.numel() for p in self.new(classes, seed=0).parameters())
        return {**super().about(classes), "parameters": parameters, "fit": plain(self.training)}

    def _settings(self) -> Any:
        return [self.model.__qualname__, self.settings, self.training]

    def _modules(self) -> Iterable[str]:
        yield from super()._modules()
        yield from (cls.__module__ for cls in inspect.getmro(self.model) if issubclass(cls, Model))


class FittedNetwork(Fitted):
    """A trained network with the scale of its inputs and the clips that it was trained on."""

    def __init__(
        self,
        model: Model,
        scaler: Scaler,
        history: Sequence[Mapping[str, float]],
        train: Callable[[], ClipTensors],
        mirrored: bool,
    ) -> None:
        self.model, self.scaler, self.history, self.train, self.mirrored = model, scaler, history, train, mirrored

    def answer(self, test: ClipTensors) -> Answers:
        """See `Fitted.answer`."""
        table = predict(self.model, self.scaler(test), mirrored=self.mirrored)
        found = self.model.examine(self.scaler, self.train(), test)
        if found is None:
            return Answers(table)
        return Answers(pd.concat([table, found.columns], axis=1), found.files)


def clip_table(data: ClipTensors) -> pd.DataFrame:
    """``clip_id, subject, y_true`` in the order of ``data``."""
    return pd.DataFrame({"clip_id": data.clip_ids, "subject": data.subjects, "y_true": data.label_texts()})


def side_of(data: ClipTensors) -> int:
    """Side of the clips' pictures in px; 0 if no input is a picture."""
    return next((int(tensor.shape[-1]) for name, tensor in data.inputs.items() if data.kind(name) in PLANAR), 0)


def labels_of(data: ClipTensors) -> NDArray[np.str_]:
    """Label of each clip: its class, or its set as text."""
    return np.array(data.label_texts(), dtype=str)
