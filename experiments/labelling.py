"""Which class each clip of a manifest is of: by a label scheme, or by the class that the manifest itself gives."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dynamic_images.precomputed import is_streams
from preprocessing.datasets import Dataset
from preprocessing.datasets.composites import find_composite
from preprocessing.datasets.labels import Scheme, class_of, class_order, find_scheme
from preprocessing.datasets.streams import DATASET as STREAMS
from preprocessing.errors import UsageError


def check_scheme(dataset: Dataset, scheme: str | None) -> None:
    """Say at once, before hours of work, that a data set has no labels or no such scheme.

    Raises:
        DatasetError: it has none.
        UsageError: a scheme where it would have no effect.
    """
    if dataset.members:
        find_composite(dataset.name, scheme)
    elif dataset.name == STREAMS:
        if scheme is not None:
            raise UsageError(
                f"evaluation.scheme = {scheme!r} has no effect on {STREAMS}: the column label is the class"
            )
    else:
        find_scheme(dataset.schemes, scheme)


def scheme_name(dataset: Dataset, scheme: str | None) -> str:
    """What to call the scheme in use."""
    if dataset.members:
        return f"of {dataset.name}" if scheme is None else scheme
    return "of the column label" if dataset.name == STREAMS else find_scheme(dataset.schemes, scheme)[0]


def with_classes(dataset: Dataset, scheme: str | None, manifest: pd.DataFrame) -> tuple[tuple[str, ...], pd.DataFrame]:
    """The class list, and the usable rows that have a class with it in the column ``label``.

    Classes of precomputed streams are the labels that occur, numbers by value and then words by alphabet.
    """
    check_scheme(dataset, scheme)
    if dataset.members:
        rule = find_composite(dataset.name, scheme)
        return rule.classes, _usable(manifest.assign(label=rule.labels(manifest)))
    if is_streams(manifest):
        classes: Scheme = {word: (word,) for word in class_order(manifest["emotion"].dropna())}
    else:
        _, classes = find_scheme(dataset.schemes, scheme)
    return tuple(classes), labelled(manifest, classes)


def labelled(manifest: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Usable rows that the scheme has a class for, with the class in column ``label``."""
    objective = manifest.get("objective_class", pd.Series(dtype=str)).reindex(manifest.index)
    pairs = zip(manifest["emotion"], objective, strict=True)
    labels = pd.Series([class_of(_text(word), scheme, _text(number)) for word, number in pairs], dtype=object)
    return _usable(manifest.assign(label=labels.set_axis(manifest.index)))


def _text(cell: Any) -> str | None:
    return None if pd.isna(cell) else str(cell)


def _usable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["label"].notna() & (rows["status"] == "ok")].reset_index(drop=True)
