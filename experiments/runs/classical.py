"""Systems without a network: baselines that never look at a clip, and scikit-learn estimators over features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import Tensor

from dynamic_images.clip_input import ClipInput, InputUse, NoSettings
from dynamic_images.inputs import use
from experiments.runs.systems import Answers, Fitted, System, clip_table, labels_of
from fusion_net.inputs import ClipTensors, set_texts
from fusion_net.seeds import fold_seed
from preprocessing.synthetic.action_units import CODES

INNER_FOLDS = 4
CHANCE_DRAWS = 100

Labels = NDArray[np.str_]
Features = NDArray[np.float64]

TRUE_PEAKS = ClipInput(
    name="true_peaks",
    title="true action units",
    about="Largest displacement of every action unit and side, known of drawn clips alone.",
    unit="px",
    kind="features",
    channels=len(CODES),
    stage="truth",
)


class ClassicalSystem(System):
    """A system that a class describes: its settings, the inputs that follow from them, and how it is trained."""

    Settings: ClassVar[type[Any]] = NoSettings

    @classmethod
    def uses(cls, settings: Any) -> tuple[InputUse, ...]:
        """The inputs of a system of these settings."""
        return ()

    @classmethod
    def variants(cls, settings: Any, inputs: Sequence[InputUse]) -> dict[str, dict[str, Any]]:
        """Name → settings that differ, for `mer ablate`; the first is what the others are compared with."""
        return {"full": {}}


class Guess(Fitted):
    """Predictions that come from the labels of the training clips alone."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def answer(self, test: ClipTensors) -> Answers:
        """See `Fitted.answer`."""
        return Answers(clip_table(test).assign(y_pred=self._answers(len(test))))


class Majority(ClassicalSystem):
    """Predict the commonest class of the training clips; of equally common ones the first of the class list.

    Of several labels, each is predicted that more than half of the training clips have. With balanced classes this
    scores *below* 1/K: holding out a subject makes the subject's own classes rarer in training.
    """

    DEFAULTS = MappingProxyType({"evaluation": MappingProxyType({"seeds": 1})})

    @property
    def title(self) -> str:
        """See `System.title`."""
        return "Majority baseline"

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """See `System.fit`."""
        if train.targets is not None:
            (usual,) = set_texts(train.targets.mean(dim=0, keepdim=True) > 0.5, train.classes)
            return Guess(lambda n: [usual] * n)
        counts = train.labels.bincount(minlength=len(train.classes)).tolist()
        commonest = train.classes[int(np.argmax(counts))]
        return Guess(lambda n: [commonest] * n)


class Chance(ClassicalSystem):
    """Guess by the label distribution of the training clips (of sets, as whole sets); every seed is another draw.

    The mean over many draws is the expected score of a system that knows the class frequencies and nothing of the
    clip.
    """

    DEFAULTS = MappingProxyType({"evaluation": MappingProxyType({"seeds": CHANCE_DRAWS})})

    @property
    def title(self) -> str:
        """See `System.title`."""
        return "Chance baseline"

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """See `System.fit`."""
        random, labels = np.random.default_rng(fold_seed(seed, held_out)), labels_of(train)
        return Guess(lambda n: random.choice(labels, size=n))


class Estimator(ClassicalSystem):
    """A scikit-learn estimator over the clip's inputs, flattened side by side.

    A subclass gives ``Settings``, ``uses`` and ``candidates``. Of several candidates each fold takes the one with the
    best macro F1 on inner folds of its own training subjects, the first of equally good ones. Where clips may have
    several labels, there is one estimator for each label, and all have the same settings.
    """

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        """Unfitted estimators to choose among."""
        raise NotImplementedError

    def features(self, data: ClipTensors) -> Features:
        """(N, F) float64 of clips, each from its own inputs alone; nothing may be fitted here."""
        return feature_table(data)

    def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
        """See `System.fit`. A feature that repeats another one is left out, by the training clips."""
        x, y, names = self.features(train), labels_of(train), [one.name for one in self.inputs]
        kept = distinct_columns(x)
        if train.targets is not None:
            has = self.targets(train.targets.numpy().astype(int), seed, held_out)
            one_each = [OneVsRestClassifier(model) for model in self.candidates(seed)]
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # a label that no training clip has
                best = choose(one_each, x[:, kept], has, np.array(train.subjects))
                return _FittedEstimator(best.fit(x[:, kept], has), kept, names, self.features)
        if len(set(y)) == 1:  # nothing to tell apart, and nothing to choose
            return Guess(lambda n: [str(y[0])] * n)
        model = choose(self.candidates(seed), x[:, kept], y, np.array(train.subjects))
        return _FittedEstimator(model.fit(x[:, kept], y), kept, names, self.features)

    def targets(self, has: NDArray[np.int_], seed: int, held_out: str) -> NDArray[np.int_]:
        """What is learnt from: the labels of the training clips, (N, K)."""
        return has


class _FittedEstimator(Fitted):
    def __init__(
        self, model: Any, kept: NDArray[np.intp], names: Sequence[str], features: Callable[[ClipTensors], Features]
    ) -> None:
        self.model, self.kept, self.names, self.features = model, kept, names, features

    def answer(self, test: ClipTensors) -> Answers:
        """See `Fitted.answer`."""
        x = self.features(test.only(self.names))[:, self.kept]
        found = self.model.predict(x)
        if test.targets is not None:
            has = torch.from_numpy(found.reshape(len(test), -1)) > 0
            return Answers(clip_table(test).assign(y_pred=set_texts(has, test.classes)))
        table = clip_table(test).assign(y_pred=found)
        if hasattr(self.model, "predict_proba"):
            shares = pd.DataFrame(self.model.predict_proba(x), columns=self.model.classes_)
            shares = shares.reindex(columns=list(test.classes), fill_value=0.0)
            table = pd.concat([table, shares.add_prefix("p_")], axis=1)
        return Answers(table)


@dataclass(frozen=True)
class SVMSettings:
    """Support vector machine on features.

    Attributes:
        features: an input of kind ``features``.
        kernel: ``linear`` (liblinear) or ``rbf``.
        costs: values of C to choose among on inner folds of whole training subjects.
    """

    features: str = "flow_grid"
    kernel: Literal["linear", "rbf"] = "linear"
    costs: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)

    def __post_init__(self) -> None:
        if self.kernel not in get_args(Literal["linear", "rbf"]):
            raise ValueError(f"svm: kernel {self.kernel!r} is unknown: choose linear or rbf")
        if not self.costs or min(self.costs) <= 0:
            raise ValueError(f"svm: costs are {self.costs}, wanted one or more positive numbers")


class SVM(Estimator):
    """Support vector machine with balanced class weights on standardised features."""

    Settings = SVMSettings
    DEFAULTS = MappingProxyType({"evaluation": MappingProxyType({"seeds": 1})})

    @classmethod
    def uses(cls, settings: SVMSettings) -> tuple[InputUse, ...]:
        """The features that the settings name."""
        return (use(settings.features),)

    @classmethod
    def variants(cls, settings: SVMSettings, inputs: Sequence[InputUse]) -> dict[str, dict[str, Any]]:
        """Both kernels."""
        return {"linear": {"kernel": "linear"}, "rbf": {"kernel": "rbf", "costs": (0.1, 1.0, 10.0)}}

    @property
    def title(self) -> str:
        """See `System.title`."""
        kernel = "Linear" if self.settings.kernel == "linear" else "RBF"
        return f"{kernel} SVM on {self.inputs[0].input.title}"

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        """One per cost."""
        costs = self.settings.costs
        return _linear(costs, seed) if self.settings.kernel == "linear" else _curved(costs)


class Oracle(Estimator):
    """What the true action-unit peaks would give under the same protocol: the ceiling of the drawn corpus.

    Linear and RBF machines compete on inner folds, since classes are combinations of action units. It is a ceiling
    for the *information in the peaks*, learned from as few subjects as a network has, not a bound on any classifier.
    """

    DEFAULTS = MappingProxyType({"evaluation": MappingProxyType({"seeds": 1})})

    @classmethod
    def uses(cls, settings: NoSettings) -> tuple[InputUse, ...]:
        """The true peaks of a drawn clip."""
        return (InputUse(TRUE_PEAKS),)

    @property
    def title(self) -> str:
        """See `System.title`."""
        return "Oracle: SVM on true action units"

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        """Linear machines, then curved ones."""
        return [*_linear(SVMSettings().costs, seed), *_curved((1.0, 10.0))]


def feature_table(data: ClipTensors, inputs: Mapping[str, Tensor] | None = None) -> Features:
    """All inputs of the clips, or these in their place, side by side: (N, F) float64.

    Raises:
        ValueError: features that are not finite.
    """
    parts = [tensor.flatten(1).double().numpy() for tensor in (data.inputs if inputs is None else inputs).values()]
    x = np.concatenate(parts, axis=1) if parts else np.empty((len(data), 0))
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(f"{len(bad)} clips have features that are not finite, for example {data.clip_ids[bad[0]]}")
    return x


def distinct_columns(x: Features) -> NDArray[np.intp]:
    """Positions of the columns (N, F) that do not repeat an earlier one."""
    _, first = np.unique(x.T, axis=0, return_index=True)
    return np.sort(first)


def choose(candidates: Sequence[Any], x: Features, y: NDArray[Any], subjects: Labels) -> Any:
    """The candidate with the best macro F1 on inner folds of whole subjects; the first if there is no way to choose."""
    splits = min(INNER_FOLDS, len(set(subjects)))
    if len(candidates) == 1 or splits < 2:
        return candidates[0]
    inner = list(GroupKFold(splits).split(x, y, subjects))
    if y.ndim == 1 and any(len(set(y[train])) < 2 for train, _ in inner):
        return candidates[0]
    absent: dict[str, Any] = {} if y.ndim == 1 else {"zero_division": 0.0}
    scores = [f1_score(y, cross_val_predict(model, x, y, cv=inner), average="macro", **absent) for model in candidates]
    return candidates[int(np.argmax(scores))]


def _linear(costs: Sequence[float], seed: int) -> list[BaseEstimator]:
    return [_scaled(LinearSVC(C=c, class_weight="balanced", random_state=seed, max_iter=20_000)) for c in costs]


def _curved(costs: Sequence[float]) -> list[BaseEstimator]:
    return [_scaled(SVC(C=c, class_weight="balanced")) for c in costs]


def _scaled(classifier: Any) -> BaseEstimator:
    return make_pipeline(StandardScaler(), classifier)
