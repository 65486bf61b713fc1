"""Parse the action-unit cells of annotation tables.

The grammar is the union of what stands in the tables of CASME, CASME II, SAMM, MMEW, CAS(ME)², CAS(ME)³ and 4DME::

    cell    = [term {separator term}]            separator = "+" | ","      (full-width forms too)
    term    = choice | "(" choice ")" | "ref(" choice ")"
    choice  = unit {("or" | "/") unit}           one of several, all of them uncertain
    unit    = ["AU"] [prefix] number [suffix] ["?"]
    prefix  = side {"/" side}                    side = L | R | A (asymmetric) | B (bottom) | T (top) | U (upper)
    suffix  = grades | "(" grades ")" | L | R | "(k)"       grades = grade {"/" grade}    grade = A .. E (intensity)

Blanks mean nothing, upper and lower case are the same, and an empty cell, ``NULL``, ``-``, ``/`` or a lone ``?`` is
not an action unit. Numbers have one or two digits: ``1214`` is not guessed to be 12 and 14. What does not parse is
handed back, never dropped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from preprocessing.datasets.reading.cells import Cell, text_of

_UNIT = re.compile(
    r"(?:AU)?(?P<prefix>[LRABTU](?:/[LRABTU])*)?(?P<number>\d{1,2})"
    r"(?P<suffix>[A-E](?:/[A-E])*|\([A-E](?:/[A-E])*\)|[LR]|\(K\))?(?P<doubt>\?)?"
)
_NOTHING = {"", "NULL", "NONE", "NAN", "N/A", "-", "/", "\\", "?"}


@dataclass(frozen=True)
class ActionUnit:
    """One action unit of the Facial Action Coding System (Ekman, Friesen & Hager, 2002).

    Attributes:
        number: 1 to 99.
        side: ``L``, ``R``, ``A``, ``B``, ``T`` or ``U``; two joined by ``/`` if the coder left it open; else empty.
        intensity: ``A`` (trace) to ``E`` (maximum), two joined by ``/`` if the coder left it open; else empty.
        certain: False for ``?`` and for each of several alternatives.
        constant: there before and after the expression (``ref(7B)`` in SAMM, ``AU4(k)`` in 4DME).
    """

    number: int
    side: str = ""
    intensity: str = ""
    certain: bool = True
    constant: bool = False

    def __str__(self) -> str:
        word = f"{self.side}{self.number}{self.intensity}" + ("" if self.certain else "?")
        return f"ref({word})" if self.constant else word


def parse(cell: Cell) -> tuple[tuple[ActionUnit, ...], tuple[str, ...]]:
    """Action units of a cell in its order, and the parts of it that are not action units.

    Writing the units of a cell with `str` and ``+`` between them, and parsing that, gives the same units again.
    """
    text = unicodedata.normalize("NFKC", text_of(cell))
    units: list[ActionUnit] = []
    strange: list[str] = []
    for piece in _split(text):
        found = _term(re.sub(r"\s+", "", piece).upper())
        if found is None:
            strange.append(piece.strip())
        else:
            units += found
    return tuple(units), tuple(strange)


def _split(text: str) -> list[str]:
    """Terms: split at ``+`` and ``,`` outside parentheses."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter in "+," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def _term(word: str) -> list[ActionUnit] | None:
    """Units of a term in upper case without blanks, or None if it is not understood."""
    if word in _NOTHING:
        return []
    bracket = re.fullmatch(r"(REF)?\((.+)\)", word)
    if bracket and _balanced(bracket[2]):
        return _choice(bracket[2], constant=bool(bracket[1]))
    return _choice(word)


def _balanced(word: str) -> bool:
    """Whether the outer parentheses belong together: not in ``(4)OR(5)``."""
    depth = 0
    for letter in word:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return depth == 0


def _choice(word: str, constant: bool = False) -> list[ActionUnit] | None:
    # A/L12 and 4A/B are one unit each, 4/5 and L12orL14 are two
    options = [word] if _UNIT.fullmatch(word) else re.split(r"OR|/(?=(?:AU)?[LRABTU]?\d)", word)
    matches = [_UNIT.fullmatch(option) for option in options]
    found = []
    for match in matches:
        if match is None or int(match["number"]) == 0:
            return None
        suffix = (match["suffix"] or "").strip("()")
        side = match["prefix"] or ""
        if suffix in ("L", "R"):
            if side:
                return None
            side, suffix = suffix, ""
        always = constant or suffix == "K"
        certain = len(matches) == 1 and not match["doubt"]
        found.append(ActionUnit(int(match["number"]), side, "" if suffix == "K" else suffix, certain, always))
    return found
