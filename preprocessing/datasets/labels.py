"""Label schemes (which emotion words of a data set make which class), and rules that label a manifest by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from preprocessing.errors import DatasetError

MOST_CLASSES = 1000
LONGEST = 300
"""Digits of a label up to which it is a number by its value, and not a word."""
OBJECTIVE = "objective class "
"""Stands before the number in a scheme that means objective classes and not emotion words."""

Scheme = Mapping[str, tuple[str, ...]]
"""Class name → the data set's words that belong to it. The order of classes is the order of every table."""
Schemes = Mapping[str, Scheme]
"""The label schemes of a data set by name; the first is the default."""


def _own(*words: str) -> Scheme:
    """Each word as one class."""
    return {word: (word,) for word in words}


_OBJECTIVE_5: Scheme = {name: (f"{OBJECTIVE}{i}",) for i, name in enumerate(("I", "II", "III", "IV", "V"), start=1)}
"""MEGC2018: objective classes I to V; VI (contempt) and VII (others) are left out."""

_BASIC_NEGATIVE = ("disgust", "fear", "anger", "sadness")
_CASME_CUBED_4: Scheme = {
    "negative": ("negative", *_BASIC_NEGATIVE),
    "surprise": ("surprise",),
    "others": ("others",),
    "positive": ("positive", "happiness"),
}
_CASME_CUBED_3: Scheme = {name: words for name, words in _CASME_CUBED_4.items() if name != "others"}

SCHEMES: dict[str, dict[str, Scheme]] = {
    "synthetic": {
        "5": _own("happiness", "surprise", "disgust", "repression", "others"),
        "3": {
            "positive": ("happiness",),
            "negative": ("disgust", "repression"),
            "surprise": ("surprise",),
        },
    },
    "casme2": {
        "5": _own("happiness", "disgust", "repression", "surprise", "others"),
        "3": {"negative": ("disgust", "repression"), "positive": ("happiness",), "surprise": ("surprise",)},
        "3_all": {
            "negative": ("disgust", "repression", "fear", "sadness"),
            "positive": ("happiness",),
            "surprise": ("surprise",),
        },
        "4": _own("happiness", "disgust", "repression", "surprise"),
        "7": _own("happiness", "disgust", "repression", "surprise", "others", "sadness", "fear"),
        "objective": _OBJECTIVE_5,
    },
    "samm": {
        "5": _own("anger", "contempt", "happiness", "surprise", "others"),
        "3": {
            "negative": ("anger", "contempt", "disgust", "fear", "sadness"),
            "positive": ("happiness",),
            "surprise": ("surprise",),
        },
        "4": _own("anger", "contempt", "happiness", "surprise"),
        "8": _own("anger", "contempt", "happiness", "surprise", "others", "disgust", "fear", "sadness"),
        "objective": _OBJECTIVE_5,
    },
    "smic": {"3": _own("negative", "positive", "surprise")},
    "mmew": {
        "7": _own("happiness", "surprise", "disgust", "fear", "sadness", "anger", "others"),
        "6": _own("happiness", "surprise", "disgust", "fear", "sadness", "anger"),
        "4": _own("happiness", "surprise", "disgust", "others"),
        "3": {"positive": ("happiness",), "negative": _BASIC_NEGATIVE, "surprise": ("surprise",)},
    },
    "casme_squared": {
        "4": _own("negative", "positive", "surprise", "others"),
        "3": _own("negative", "positive", "surprise"),
    },
    "casme_cubed": {
        "7": _own("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness"),
        "4": _CASME_CUBED_4,
        "3": _CASME_CUBED_3,
    },
    "casme_cubed-c": {"4": _CASME_CUBED_4, "3": _CASME_CUBED_3},
    "dfme": {
        "7": _own("happiness", "anger", "contempt", "disgust", "fear", "sadness", "surprise"),
        "4": _own("disgust", "surprise", "sadness", "happiness"),
        "3": {"negative": (*_BASIC_NEGATIVE, "contempt"), "positive": ("happiness",), "surprise": ("surprise",)},
    },
    "casme": {
        "4": _own("tense", "disgust", "repression", "surprise"),
        "8": _own("tense", "disgust", "repression", "surprise", "happiness", "sadness", "fear", "contempt"),
    },
    "4dme": {
        "5": _own("negative", "positive", "surprise", "repression", "others"),
        "3": _own("negative", "positive", "surprise"),
    },
}
"""Per data set, schemes by name; the first is the default. `docs/datasets.md` says how many clips each has."""


@dataclass(frozen=True)
class LabelRule:
    """Which class each clip of a manifest belongs to.

    Attributes:
        name: of the label scheme, for messages and reports.
        classes: in the order of every table; empty if they are the labels that occur, see `apply`.
        labels: manifest → the class of every row, None for a row that the rule leaves out.
    """

    name: str
    classes: tuple[str, ...]
    labels: Callable[[pd.DataFrame], pd.Series]

    @property
    def sets(self) -> bool:
        """Whether a clip may have several of the classes or none, see `label_sets`."""
        return False

    def apply(self, manifest: pd.DataFrame) -> tuple[tuple[str, ...], pd.DataFrame]:
        """The classes, and the usable rows that have one, with it in the column ``label``.

        Classes that the rule does not name are the labels that occur in the manifest, whole numbers by value and then
        words by alphabet.

        Raises:
            DatasetError: there are more than `MOST_CLASSES`.
        """
        labels = self.labels(manifest)
        rows = manifest.assign(label=labels)
        usable = rows[rows["label"].notna() & (rows["status"] == "ok")].reset_index(drop=True)
        classes = self.classes or tuple(class_order(labels.dropna()))
        if len(classes) > MOST_CLASSES:
            raise DatasetError(
                f"label scheme {self.name}: there are {len(classes):,} different labels, at most {MOST_CLASSES:,} are "
                "classes: is it the column of the labels?"
            )
        return classes, usable


def scheme_rule(name: str, scheme: Scheme) -> LabelRule:
    """Classes by emotion word or objective class, as a label scheme has them."""

    def labels(manifest: pd.DataFrame) -> pd.Series:
        objective = manifest.get("objective_class", pd.Series(dtype=str)).reindex(manifest.index)
        pairs = zip(manifest["emotion"], objective, strict=True)
        found = [class_of(_text(word), scheme, _text(number)) for word, number in pairs]
        return pd.Series(found, index=manifest.index, dtype=object)

    return LabelRule(name, tuple(scheme), labels)


def column_rule() -> LabelRule:
    """The manifest's own words are the classes."""

    def labels(manifest: pd.DataFrame) -> pd.Series:
        words = manifest["emotion"]
        return words.astype(object).where(words.notna(), None)

    return LabelRule("of the column label", (), labels)


def find_scheme(dataset: str, schemes: Schemes, name: str | None = None) -> tuple[str, Scheme]:
    """Name and scheme; the first of ``schemes`` for None.

    Raises:
        DatasetError: the data set has no labels, or no scheme of that name.
    """
    if not schemes:
        raise DatasetError(f"data set {dataset!r} has no labels, so there is nothing to train on")
    name = name or next(iter(schemes))
    if name not in schemes:
        raise DatasetError(f"{dataset} has no label scheme {name!r}: choose one of {', '.join(schemes)}")
    return name, schemes[name]


def class_of(emotion: str | None, scheme: Scheme, objective_class: str | None = None) -> str | None:
    """The class that a clip belongs to by its emotion or objective class, or None if the scheme leaves it out."""
    words = {emotion, None if objective_class is None else OBJECTIVE + objective_class}
    return next((label for label, members in scheme.items() if words & set(members)), None)


def class_order(labels: Iterable[str]) -> list[str]:
    """Each label once, whole numbers by value and then words by alphabet: the class list if none is given."""

    def place(text: str) -> tuple[int, int, str]:
        return (0, int(text), text) if text.isdecimal() and len(text) <= LONGEST else (1, 0, text)

    return sorted(set(labels), key=place)


def _text(cell: Any) -> str | None:
    return None if pd.isna(cell) else str(cell)
