"""Interpret the cells of annotation tables: subjects, frame numbers, emotion words, objective classes. Pure.

Tables of the same data set differ from copy to copy in types and spelling: subject ``"01"``, ``1``, ``1.0`` or
``"sub01"``; frame ``46``, ``"46"`` or ``46.0``; emotion ``"Others "`` or ``"other"``.
"""

from __future__ import annotations

import math
import re
import unicodedata

Cell = object
"""A cell as it was read: None, str, int, float, bool or a date."""

SPELLINGS = {
    "anger": ("angry",),
    "contempt": ("comtempt",),
    "disgust": (),
    "fear": (),
    "happiness": ("happy", "happyiness"),
    "negative": ("ne",),
    "others": ("other",),
    "positive": ("po",),
    "repression": (),
    "sadness": ("sad",),
    "surprise": ("sur",),
    "tense": (),
}
"""Emotion word → other spellings of it that were seen in tables and folder names."""
_WORDS = {spelling: word for word, spellings in SPELLINGS.items() for spelling in spellings}


def text_of(value: Cell) -> str:
    """A cell as a person would type it: ``1.0`` is ``"1"``, blanks around are gone, an empty cell is ``""``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(unicodedata.normalize("NFKC", str(value)).split())


def whole_number(value: Cell) -> int | None:
    """A cell that is a whole number (``46``, ``"46"``, ``"46.0"``), else None."""
    match = re.fullmatch(r"(-?\d{1,12})(?:\.0*)?", text_of(value))
    return int(match[1]) if match else None


def last_number(name: str) -> int | None:
    """The last run of digits of a name: ``sub01`` is 1, ``spNO.10`` is 10, ``006`` is 6; None without digits."""
    runs = re.findall(r"[0-9]+", name)
    return int(runs[-1]) if runs else None


def subject_number(value: Cell) -> int | None:
    """The number of a subject in any of its forms (``"01"``, ``1``, ``1.0``, ``"sub01"``, ``"s1"``), or None."""
    match = re.fullmatch(r"[A-Za-z.]*[ _-]?0*([0-9]{1,6})", text_of(value))
    return int(match[1]) if match else None


def emotion_word(value: Cell) -> str | None:
    """An emotion in lower case and one spelling per word, or None for an empty cell.

    Joint labels (``Surprise+Positive``) keep their parts in the order of the table.
    """
    parts = [part.strip() for part in text_of(value).lower().split("+")]
    return "+".join(_WORDS.get(part, part) for part in parts if part) or None


ROMAN = {word: str(i) for i, word in enumerate(("I", "II", "III", "IV", "V", "VI", "VII"), start=1)}


def objective_class(value: Cell) -> str | None:
    """An objective class as ``"1"`` to ``"7"``, from a number or a Roman numeral, or None."""
    text = text_of(value).upper()
    text = ROMAN.get(text, text)
    return text if text in ROMAN.values() else None


def header_word(value: Cell) -> str:
    """A column name for comparison: lower case, without blanks, underscores and quotes."""
    return re.sub(r"[\s_'’]+", "", text_of(value).lower())
