"""Further versions of the test clips, such as with their onset moved: carried beside the clips, seen by no training.

The inputs of a version stand under ``<input>@<version>``. `train_fold` trains on the inputs themselves; where there are
versions, it predicts these in the place of the clips as they are, and averages the answers of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from torch import Tensor

from experiments.runs.systems import Answers, Fitted
from fusion_net.inputs import ClipTensors
from preprocessing.errors import UsageError

MARK = "@"


def with_versions(data: ClipTensors, others: Mapping[str, ClipTensors]) -> ClipTensors:
    """The clips with the inputs of other versions of them, by name of the version.

    Raises:
        ValueError: other clips, or in another order.
    """
    further: dict[str, Tensor] = {}
    for version, other in others.items():
        if other.clip_ids != data.clip_ids:
            raise ValueError(f"version {version} is of other clips than the data")
        further |= {f"{name}{MARK}{version}": tensor for name, tensor in other.inputs.items()}
    return replace(data, inputs={**data.inputs, **further})


def versions_of(data: ClipTensors) -> list[str]:
    """Names of the versions, in the order in which they were added."""
    return list(dict.fromkeys(name.partition(MARK)[2] for name in data.inputs if MARK in name))


def with_inputs(data: ClipTensors, names: Sequence[str]) -> ClipTensors:
    """The same clips with these inputs and their versions alone."""
    return data.only([*names, *(n for n in data.inputs if MARK in n and n.partition(MARK)[0] in names)])


def as_version(data: ClipTensors, names: Sequence[str], version: str) -> ClipTensors:
    """The clips with these inputs as a version has them."""
    return replace(data, inputs={name: data.inputs[f"{name}{MARK}{version}"] for name in names})


def answers_of(fitted: Fitted, test: ClipTensors, names: Sequence[str]) -> Answers:
    """What a trained system says of test clips: of each as it is, or of its versions.

    Of several versions the probabilities are averaged; of a system that has none, the commonest answer counts, of
    equally common ones that of the earliest version.

    Raises:
        UsageError: several versions of clips that have several labels each.
    """
    versions = versions_of(test)
    if not versions:
        return fitted.answer(test)
    found = [fitted.answer(as_version(test, names, version)) for version in versions]
    if len(found) > 1 and test.targets is not None:
        raise UsageError("answers are not averaged over neighbouring onsets where a clip has several labels")
    return found[0] if len(found) == 1 else Answers(_averaged([one.table for one in found], test.classes))


def _averaged(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    first, columns = tables[0], [f"p_{name}" for name in classes]
    if any(name not in first for name in columns):
        said = np.array([[classes.index(answer) for answer in table["y_pred"]] for table in tables])  # (versions, N)
        votes = (said[..., None] == np.arange(len(classes))).sum(axis=0)  # (N, K)
        own = np.take_along_axis(votes, said.T, axis=1)  # (N, versions) votes for what each version said
        answers = said[own.argmax(axis=1), np.arange(said.shape[1])]
        return first.assign(y_pred=[classes[k] for k in answers])
    numbers = [name for name in first.columns if pd.api.types.is_numeric_dtype(first[name])]
    mean = pd.DataFrame(np.mean([table[numbers].to_numpy() for table in tables], axis=0), columns=numbers)
    answers = mean[columns].to_numpy().argmax(axis=1)
    return first.assign(**{name: mean[name].to_numpy() for name in numbers}, y_pred=[classes[k] for k in answers])
