"""Label schemes as data: which of a data set's own emotion words make which class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from preprocessing.errors import DatasetError

Scheme = Mapping[str, tuple[str, ...]]
"""Class name → the data set's words that belong to it. The order of classes is the order of every table."""

SCHEMES: dict[str, dict[str, Scheme]] = {
    "synthetic": {
        "5": {word: (word,) for word in ("happiness", "surprise", "disgust", "repression", "others")},
        "3": {
            "positive": ("happiness",),
            "negative": ("disgust", "repression"),
            "surprise": ("surprise",),
        },
    },
}
"""Per data set, schemes by name; the first is the default."""


def find_scheme(dataset: str, name: str | None = None) -> tuple[str, Scheme]:
    """Name and scheme; the data set's default for None.

    Raises:
        DatasetError: the data set has no labels, or no scheme of that name.
    """
    schemes = SCHEMES.get(dataset)
    if not schemes:
        raise DatasetError(f"data set {dataset!r} has no labels, so there is nothing to train on")
    name = name or next(iter(schemes))
    if name not in schemes:
        raise DatasetError(f"{dataset} has no label scheme {name!r}: choose one of {', '.join(schemes)}")
    return name, schemes[name]


def class_of(emotion: str | None, scheme: Scheme) -> str | None:
    """The class that a word belongs to, or None where the scheme leaves it out."""
    return next((label for label, words in scheme.items() if emotion in words), None)


def class_order(labels: Iterable[str]) -> list[str]:
    """Each label once, whole numbers by value and then words by alphabet: a class list where none is given."""
    return sorted(set(labels), key=lambda text: (0, int(text), text) if text.isdecimal() else (1, 0, text))
