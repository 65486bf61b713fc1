"""Protocols: who is tested and who is trained on, as index arithmetic over subjects.

A protocol is a function from the subject of each clip to a list of `Fold`; `check_folds` says what all of them must
keep. Subjects are named ``<dataset>/<subject>``, so that ``01`` of two data sets are two people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

DEFAULT_K = 10
TRAIN_K = 5
"""Folds inside the training part of an official split: a fifth of its people is held out at a time."""
TRAIN = "train"
"""What the training part of an official split is called; all other parts are test sets."""
OFFICIAL = ("official_split", "official_train")
"""Protocols that need to know which part of the data set each clip belongs to."""
NAMES = ("loso", "k_fold", "leave_one_dataset_out", *OFFICIAL)


@dataclass(frozen=True)
class Fold:
    """One split into training and test clips.

    Attributes:
        name: unique in its protocol and usable as a folder name.
        subject: the held-out subject, or ``name`` where several are held out. The fold's seed derives from it.
        train, test: positions into the clips that the protocol was given, ascending.
        parts: name of the test set of each test clip, if there are several to be scored apart.
    """

    name: str
    subject: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    parts: tuple[str, ...] = ()


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


def official_split(subjects: Sequence[str], splits: Sequence[str]) -> list[Fold]:
    """One fold, as the makers of a data set divide it: the part ``train`` trains, all other parts are tested once.

    Every test set is predicted by the same system, after its training is over; which of them a clip belongs to stands
    in `Fold.parts`.

    Args:
        subjects: the subject of each clip, ``(N,)``.
        splits: the part of each clip, ``(N,)``.

    Raises:
        ValueError: a clip is in no part, there is no part ``train`` or no other one, or somebody is in two parts.
    """
    _check_splits(subjects, splits)
    name = OFFICIAL[0]
    train = tuple(i for i, split in enumerate(splits) if split == TRAIN)
    test = tuple(i for i, split in enumerate(splits) if split != TRAIN)
    if not test:
        raise ValueError(f"{name}: all {len(splits)} clips are in the part {TRAIN}, so that nothing would be tested")
    folds = [Fold(name, name, train, test, tuple(splits[i] for i in test))]
    check_folds(folds, subjects)
    return folds


def official_train(subjects: Sequence[str], splits: Sequence[str], k: int = TRAIN_K, seed: int = 0) -> list[Fold]:
    """`subject_k_fold` of the people in the part ``train``; clips of the test sets are in no fold at all.

    Here systems and settings are chosen; `official_split` then judges what was chosen.

    Raises:
        ValueError: as `official_split` and `subject_k_fold`.
    """
    _check_splits(subjects, splits)
    places = [i for i, split in enumerate(splits) if split == TRAIN]
    folds = [
        replace(fold, train=tuple(places[i] for i in fold.train), test=tuple(places[i] for i in fold.test))
        for fold in subject_k_fold([subjects[i] for i in places], k, seed)
    ]
    check_folds(folds, subjects)
    return folds


def _check_splits(subjects: Sequence[str], splits: Sequence[str]) -> None:
    if not any(splits):
        raise ValueError("the clips are in no official split: the manifest has no column split that is filled")
    part_of: dict[str, str] = {}
    for subject, split in zip(subjects, splits, strict=True):
        if not split:
            raise ValueError(
                f"a clip of {subject} is in no part of the split: fill in its column split, or leave it out"
            )
        if part_of.setdefault(subject, split) != split:
            raise ValueError(f"{subject} is in two parts of the split, {part_of[subject]} and {split}")
    if TRAIN not in part_of.values():
        raise ValueError(f"no clip is in the part {TRAIN}: the parts are {', '.join(sorted(set(splits)))}")


Protocol = Callable[[Sequence[str]], list[Fold]]
"""The subject of each clip to folds."""


def find_protocol(name: str = "loso", k: int | None = None, splits: Sequence[str] = ()) -> Protocol:
    """The protocol of that name (one of `NAMES`).

    Args:
        name: which.
        k: number of folds of ``k_fold`` (None takes ten) and of ``official_train`` (five).
        splits: the part of each clip, for those of `OFFICIAL`.

    Raises:
        ValueError: no protocol of that name, or a ``k`` that would have no effect.
    """
    if name not in NAMES:
        raise ValueError(f"protocol {name!r} is unknown: choose one of {', '.join(NAMES)}")
    if name == "k_fold":
        return partial(subject_k_fold, k=k or DEFAULT_K)
    if name == "official_train":
        return partial(official_train, splits=_of_all(splits), k=k or TRAIN_K)
    if k is not None:
        raise ValueError(f"k = {k} has no effect with protocol = {name!r}: leave it out")
    if name == "official_split":
        return partial(official_split, splits=_of_all(splits))
    return leave_one_subject_out if name == "loso" else leave_one_dataset_out


def _of_all(splits: Sequence[str]) -> tuple[str, ...]:
    if not splits:
        raise ValueError(
            "the data set has no official split: its manifest has no column split. Choose another protocol, or give "
            f"every clip its part, {TRAIN} or the name of a test set"
        )
    return tuple(splits)


def describe(protocol: Protocol) -> str:
    """A protocol in words, for people and ``run.json``: ``leave one subject out``, ``subject k-fold, k = 10``."""
    if isinstance(protocol, partial) and protocol.func is subject_k_fold:
        return f"subject k-fold, {', '.join(f'{name} = {value}' for name, value in protocol.keywords.items())}"
    if isinstance(protocol, partial) and protocol.func is official_train:
        return f"subject k-fold within the official {TRAIN}, k = {protocol.keywords['k']}"
    if isinstance(protocol, partial) and protocol.func is official_split:
        tested = dict.fromkeys(split for split in sorted(protocol.keywords["splits"]) if split != TRAIN)
        return f"official split, {TRAIN} to {' and '.join(tested)}"
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
