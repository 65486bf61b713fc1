"""Labels of which a clip may have several or none: action units, and emotions that occur together.

The label of a clip is then a set, written in a table as its names with ``+`` between them (``AU4+AU7``), ``none`` for
the empty set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from preprocessing.datasets.labels import LabelRule
from preprocessing.datasets.reading.action_units import ActionUnit, parse
from preprocessing.datasets.reading.cells import Cell
from preprocessing.errors import DatasetError

JOIN, NONE = "+", "none"
"""Between the names of a set, and in place of an empty one."""
ACTION_UNITS, BY_SIDE, JOINT = "action_units", "action_units_by_side", "joint"
SCHEMES = (ACTION_UNITS, BY_SIDE, JOINT)
"""Values of ``evaluation.scheme`` under which the label of a clip is a set."""
PRESENT = 0.5
"""Probability from which on a clip is said to have a label."""
LEAST = 10
"""Clips that an action unit occurs in, so that it is predicted at all."""


def set_text(names: Iterable[str]) -> str:
    """A set as a table has it, in the given order."""
    return JOIN.join(names) or NONE


def names_in(text: str) -> list[str]:
    """The names of a set as a table has it."""
    return [] if text == NONE else text.split(JOIN)


@dataclass(frozen=True)
class SetRule(LabelRule):
    """Which labels each clip of a manifest has.

    Attributes:
        labels: manifest → the names of every row, a tuple; None for a row that the rule leaves out.
        least: a name counts if so many usable clips have it; only for names that the rule does not list.
    """

    least: int = 1

    @property
    def sets(self) -> bool:
        """See `LabelRule.sets`."""
        return True

    def apply(self, manifest: pd.DataFrame) -> tuple[tuple[str, ...], pd.DataFrame]:
        """The names, and the usable rows with their set as text in the column ``label``; see `LabelRule.apply`.

        A clip that has none of the names keeps its row: its set is empty.

        Raises:
            DatasetError: no clip has a label, none is frequent enough, or a name cannot stand in a set.
        """
        rows = manifest.assign(label=self.labels(manifest))
        usable = rows[rows["label"].notna() & (rows["status"] == "ok")].reset_index(drop=True)
        if not len(usable):
            raise DatasetError(f"label scheme {self.name}: no usable clip has a label of this kind")
        counts = Counter(name for names in usable["label"] for name in set(names))
        frequent = sorted((name for name, n in counts.items() if n >= self.least), key=_natural)
        classes = self.classes or tuple(frequent)
        if not classes:
            raise DatasetError(
                f"label scheme {self.name}: no label occurs in {self.least} clips or more, the commonest in "
                f"{max(counts.values(), default=0)}: lower evaluation.unit_clips"
            )
        wrong = next((name for name in classes if JOIN in name or name == NONE), None)
        if wrong is not None:
            raise DatasetError(f"label scheme {self.name}: {wrong!r} cannot be the name of a label of several")
        texts = [set_text(name for name in classes if name in names) for names in usable["label"]]
        return classes, usable.assign(label=texts)


def action_unit_rule(units: Sequence[int] | None = None, least: int = LEAST, by_side: bool = False) -> SetRule:
    """Every coded clip with its action units, as ``AU4`` or, by side, also ``AU12L`` and ``AU12R``.

    A unit counts if its coder was sure of it and it belongs to the expression: ``13?``, either of ``L12 or L14`` and
    the constant ``ref(7B)`` do not count. Intensities are not told apart. A clip without any coded unit is left out,
    since nobody may have looked.

    Args:
        units: numbers of the units; None takes those that occur in ``least`` clips or more.
        least: see there.
        by_side: tell left from right, and both from a unit without a side.
    """

    def labels(manifest: pd.DataFrame) -> pd.Series:
        cells = manifest.get("action_units", pd.Series(index=manifest.index, dtype=object))
        found = [_units(cell, by_side) for cell in cells]
        return pd.Series(found, index=manifest.index, dtype=object)

    sides = ("", "L", "R") if by_side else ("",)
    classes = tuple(f"AU{unit}{side}" for unit in units or () for side in sides)
    name = BY_SIDE if by_side else ACTION_UNITS
    return SetRule(name if units else f"{name} (in {least} clips or more)", classes, labels, least)


def joint_rule(base: LabelRule) -> SetRule:
    """Every clip with all of its emotions: ``surprise+positive`` has two classes of ``base``, which leaves it out."""

    def labels(manifest: pd.DataFrame) -> pd.Series:
        place = range(len(manifest))
        parts = manifest.assign(emotion=manifest["emotion"].str.split(JOIN), place=place).explode("emotion")
        parts = parts.reset_index(drop=True)
        names: list[list[str]] = [[] for _ in place]
        for row, name in zip(parts["place"], base.labels(parts), strict=True):
            names[row] += [name] if isinstance(name, str) else []
        return pd.Series([tuple(some) or None for some in names], index=manifest.index, dtype=object)

    return SetRule(f"{JOINT}, {base.name}", base.classes, labels)


def _units(cell: Cell, by_side: bool) -> tuple[str, ...] | None:
    """Names of the units in a manifest's cell, None if nothing is coded there."""
    units, _ = parse(cell)
    sure = [unit for unit in units if unit.certain and not unit.constant]
    return tuple(dict.fromkeys(_name(unit, by_side) for unit in sure)) if units else None


def _name(unit: ActionUnit, by_side: bool) -> str:
    return f"AU{unit.number}{unit.side if by_side and unit.side in ('L', 'R') else ''}"


def _natural(name: str) -> tuple[str, int, str]:
    """``AU4`` before ``AU12`` before ``AU12L``."""
    word, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    return word, int(number[:9] or 0), rest
