"""Who is tested and who is trained on: index arithmetic over subjects, nothing else.

A protocol is a function from the subject of each clip to a list of `Fold`. Another protocol (composite, cross data
set) is another function of this form; `check_folds` says what all of them must keep.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
