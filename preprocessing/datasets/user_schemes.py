"""Label schemes from a user's own TOML file.

A table ``[DATASET.SCHEME]`` adds a scheme to a data set; each entry is a class with its emotion words::

    [casme2.mine]
    positive = ["happiness"]
    negative = ["disgust", "repression"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing.artefacts.plain import near, parse_toml
from preprocessing.datasets import label_sets
from preprocessing.datasets.kinds import Dataset, UserSchemes
from preprocessing.datasets.labels import Scheme
from preprocessing.errors import UsageError

_NAME = re.compile(r"\w[\w ()+.^-]{0,39}")


def read_schemes(path: str | None, datasets: Mapping[str, Dataset]) -> UserSchemes:
    """The schemes of a file by data set; none for None.

    Args:
        path: the file, UTF-8.
        datasets: those that there are.

    Raises:
        UsageError: the file cannot be read or is not TOML, a data set is unknown or takes no label schemes, a scheme's
            name is taken, or a scheme is not one: fewer than two classes, a class without words, a word in two classes.
    """
    if path is None:
        return {}
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"label schemes {path} cannot be read ({error.strerror}): give a TOML file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"label schemes {path} are not UTF-8 text: save the file as UTF-8") from error
    tree = parse_toml(text, f"label schemes {path}")
    return {name: _of_dataset(name, schemes, datasets, str(path)) for name, schemes in tree.items()}


def _of_dataset(name: str, schemes: Any, datasets: Mapping[str, Dataset], path: str) -> dict[str, Scheme]:
    if name not in datasets:
        raise UsageError(f"label schemes {path}: there is no data set {name!r}{near(name, datasets)}")
    own = datasets[name].label_schemes()
    if not own:
        raise UsageError(f"label schemes {path}: data set {name} takes no label schemes, so [{name}] has no effect")
    if not isinstance(schemes, dict):
        raise UsageError(f"label schemes {path}: {name} = {schemes!r}, wanted tables like [{name}.mine]")
    for scheme in schemes:
        if scheme in own:
            raise UsageError(f"label schemes {path}: {name} has a scheme {scheme!r} already; choose another name")
        if scheme in ("none", *label_sets.SCHEMES) or not _NAME.fullmatch(scheme):
            raise UsageError(f"label schemes {path}: {scheme!r} cannot be the name of a scheme; choose a word")
    return {scheme: _scheme(classes, f"label schemes {path}: [{name}.{scheme}]") for scheme, classes in schemes.items()}


def _scheme(classes: Any, where: str) -> Scheme:
    if not isinstance(classes, dict):
        raise UsageError(f"{where} is {classes!r}, wanted a table of classes with their words")
    if len(classes) < 2:
        raise UsageError(f"{where} has {len(classes)} classes, wanted two or more")
    made: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for label, words in classes.items():
        if not _NAME.fullmatch(label):
            raise UsageError(f"{where}: {label!r} cannot be the name of a class; choose a word")
        if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
            raise UsageError(f'{where}: {label} = {words!r}, wanted a list of emotion words like ["happiness"]')
        if not words:
            raise UsageError(f"{where}: class {label} has no words; leave it out or name its emotions")
        made[label] = tuple(word.strip().lower() for word in words)  # emotions of clips are lower case
        for word in made[label]:
            if owner.setdefault(word, label) != label:
                raise UsageError(f"{where}: {word!r} is in the classes {owner[word]} and {label}; a word has one class")
    return made
