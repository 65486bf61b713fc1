"""Text in our CSV files that a spreadsheet would take for a formula, and how it is read back.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and is no plain number, is written with
an apostrophe before it; so is one that begins like that after apostrophes, so that reading takes exactly one away.
Spreadsheets show such a cell as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def guarded(text: str) -> str:
    """Text as a cell holds it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given; what no cell of ours would be stays as it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def guarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table with every text `guarded`."""
    return _each(table, guarded)


def unguarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table that `guarded_table` was given."""
    return _each(table, unguarded)


def _each(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    texts = [name for name, kind in table.dtypes.items() if kind == object or str(kind).startswith("str")]  # noqa: E721
    changed = {name: table[name].map(lambda cell: change(cell) if isinstance(cell, str) else cell) for name in texts}
    return table.assign(**{str(name): column for name, column in changed.items()})
