"""Clips that may have several labels or none, in prediction tables: ``y_true`` and ``y_pred`` are sets as text.

`preprocessing.datasets.label_sets` says how a set is written: ``AU4+AU7``, ``none``. A label is a yes-or-no question of
its own; the F1 of a label is that of "yes", and macro F1 is their mean (scikit-learn's ``f1_score`` with
``average="macro"`` on the indicator matrix, ``zero_division=nan``). Accuracy is the share of clips whose whole set is
right (scikit-learn's ``accuracy_score`` on that matrix).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preprocessing.datasets.label_sets import names_in, set_text


class SetLabels(tuple[str, ...]):
    """A fixed list of labels of which a clip may have several; in the place of a class list it says so."""

    __slots__ = ()

    def members(self, column: pd.Series) -> NDArray[np.bool_]:
        """(N, L): which labels the sets of a column hold.

        Raises:
            ValueError: a set names something that is not in the list, or one label twice.
        """
        known = {name: k for k, name in enumerate(self)}
        found = np.zeros((len(column), len(self)), bool)
        codes, texts = pd.factorize(column)
        rows = np.zeros((len(texts), len(self)), bool)
        for row, text in zip(rows, texts, strict=True):
            names = names_in(str(text))
            unknown = [name for name in names if name not in known]
            if unknown or len(set(names)) < len(names):
                why = f"{unknown[0]!r}, not one of {', '.join(self)}" if unknown else f"{names[0]!r} twice"
                raise ValueError(f"{column.name} holds {text!r} with {why}")
            row[[known[name] for name in names]] = True
        found[:] = rows[codes] if len(codes) else found
        return found


def one_row_per_label(table: pd.DataFrame) -> pd.DataFrame:
    """A clip once for each label that it truly has, ``y_true`` that label alone; clips without one go."""
    each = table.assign(y_true=table["y_true"].map(names_in)).explode("y_true", ignore_index=True)
    return each[each["y_true"].notna()].reset_index(drop=True)


def every_label(labels: SetLabels) -> str:
    """The set of all labels, as text."""
    return set_text(labels)
