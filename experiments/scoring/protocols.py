"""Protocols: who is tested and who is trained on, as index arithmetic over subjects.

A protocol is a function from the subject of each clip to a list of `Fold`; `check_folds` says what all of them must
keep. Subjects are named ``<dataset>/<subject>``, so that ``01`` of two data sets are two people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

DEFAULT_K = 10
NAMES = ("loso", "k_fold", "leave_one_dataset_out")


@dataclass(frozen=True)
class Fold:
    """One split into training and test clips.

    Attributes:
        name: unique in its protocol and usable as a folder name.
        subject: the held-out subject, or ``name`` where several are held out. The fold's seed derives from it.
        train, test: positions into the clips that the protocol was given, ascending.
    """

    name: str
    subject: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def leave_one_subject_out(subjects: Sequence[str]) -> list[Fold]:
    """One fold per subject, in sorted subject order: all clips of that subject are tested, all others train.

    Args:
        subjects: the subject of each clip, ``(N,)``, ids unique over data sets (``casme2/sub01``).

    Raises:
        ValueError: there are fewer than two subjects, so that nobody would be left to learn from.
    """
    folds = [
        Fold(_folder_name(held_out), held_out, *_split(subjects, {held_out}))
        for held_out in _sorted_subjects(subjects, wanted=2)
    ]
    check_folds(folds, subjects)
    return folds


def subject_k_fold(subjects: Sequence[str], k: int, seed: int = 0) -> list[Fold]:
    """``k`` folds of whole subjects, shuffled by ``seed``; their numbers of subjects differ by at most one.

    Raises:
        ValueError: ``k`` is below 2 or above the number of subjects.
    """
    if k < 2:
        raise ValueError(f"k is {k}, wanted at least 2 folds")
    names = _sorted_subjects(subjects, wanted=k)
    order = np.random.default_rng(seed).permutation(len(names))
    folds = []
    for number, group in enumerate(np.array_split(order, k), start=1):
        name = f"{number:02d}of{k:02d}"
        folds.append(Fold(name, name, *_split(subjects, {names[i] for i in group})))
    check_folds(folds, subjects)
    return folds


def leave_one_dataset_out(subjects: Sequence[str]) -> list[Fold]:
    """One fold per data set, in sorted order: all its clips are tested, those of all others train.

    Args:
        subjects: the subject of each clip, ``(N,)``, each ``<dataset>/<subject>``.

    Raises:
        ValueError: there are clips of fewer than two data sets.
    """
    datasets = [subject.split("/", 1)[0] for subject in subjects]
    names = sorted(set(datasets))
    if len(names) < 2:
        raise ValueError(f"leave_one_dataset_out: all {len(subjects)} clips are of {', '.join(names)}, wanted two sets")
    folds = [Fold(_folder_name(name), name, *_split(datasets, {name})) for name in names]
    check_folds(folds, subjects)
    return folds


Protocol = Callable[[Sequence[str]], list[Fold]]
"""The subject of each clip to folds."""


def find_protocol(name: str = "loso", k: int | None = None) -> Protocol:
    """The protocol of that name (one of `NAMES`); ``k`` is the number of folds of ``k_fold``, None takes ten.

    Raises:
        ValueError: no protocol of that name, or a ``k`` that would have no effect.
    """
    if name not in NAMES:
        raise ValueError(f"protocol {name!r} is unknown: choose one of {', '.join(NAMES)}")
    if name == "k_fold":
        return partial(subject_k_fold, k=k or DEFAULT_K)
    if k is not None:
        raise ValueError(f"k = {k} has no effect with protocol = {name!r}: leave it out")
    return leave_one_subject_out if name == "loso" else leave_one_dataset_out


def describe(protocol: Protocol) -> str:
    """A protocol in words, for people and ``run.json``: ``leave one subject out``, ``subject k-fold, k = 10``."""
    if isinstance(protocol, partial) and protocol.func is subject_k_fold:
        return f"subject k-fold, {', '.join(f'{name} = {value}' for name, value in protocol.keywords.items())}"
    return getattr(protocol, "__name__", str(protocol)).replace("_", " ")


def check_folds(folds: Sequence[Fold], subjects: Sequence[str]) -> None:
    """Refuse folds that could not give an honest pooled result.

    Every clip is tested at most once, no subject of a test set is in the same fold's training set, nothing is empty,
    and names are unique also where case does not count. A clip may be in no test set (a protocol that only trains on
    it).

    Raises:
        ValueError: naming the fold and what is wrong with it.
    """
    tested: dict[int, str] = {}
    names: set[str] = set()
    for fold in folds:
        if fold.name.lower() in names:
            raise ValueError(f"fold {fold.name!r} occurs twice: its results would overwrite each other")
        names.add(fold.name.lower())
        if not fold.train or not fold.test:
            raise ValueError(f"fold {fold.name!r} has {len(fold.train)} training and {len(fold.test)} test clips")
        shared = {subjects[i] for i in fold.train} & {subjects[i] for i in fold.test}
        if shared:
            raise ValueError(f"fold {fold.name!r} trains on its test subject {sorted(shared)[0]!r}")
        for i in fold.test:
            if i in tested:
                raise ValueError(f"clip {i} is tested in fold {tested[i]!r} and again in {fold.name!r}")
            tested[i] = fold.name


def _sorted_subjects(subjects: Sequence[str], wanted: int) -> list[str]:
    names = sorted(set(subjects))
    if len(names) < wanted:
        raise ValueError(f"{len(names)} subject(s) {names[:3]} in {len(subjects)} clips, wanted at least {wanted}")
    return names


def _split(subjects: Sequence[str], held_out: set[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    train = tuple(i for i, subject in enumerate(subjects) if subject not in held_out)
    test = tuple(i for i, subject in enumerate(subjects) if subject in held_out)
    return train, test


def _folder_name(subject: str) -> str:
    return re.sub(r"[^\w.()+^-]", "_", subject)
