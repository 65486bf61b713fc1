"""Settings as plain values (dicts, lists, text, numbers) that JSON and TOML hold, and dataclasses built from them."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from preprocessing.errors import UsageError

DEEPEST = 100
"""Most levels of plain values inside each other. Settings have five; text that has thousands is not settings."""
LONGEST = 300
"""Most digits of a whole number: more do not fit into a floating-point number."""

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    tuple: "a list [..., ...]",
}


def plain(value: Any) -> Any:
    """``value`` as JSON would hold it: dataclasses become dicts, tuples lists, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def without_none(value: Any) -> Any:
    """Plain values without the entries of dicts that are None, which TOML cannot hold."""
    if isinstance(value, dict):
        return {key: without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def from_plain(kind: type[Any], values: Any, where: str, complete: bool = False) -> Any:
    """A settings dataclass from plain values, as a file holds them.

    Args:
        kind: the dataclass; its annotations may name dataclasses, ``tuple[X, ...]``, ``Mapping[str, X]``, ``Literal``,
            ``X | None`` (for which the word ``none`` stands for None) and the plain types.
        values: field → value; what is left out has its default.
        where: what the settings are called in messages, e.g. ``fit``.
        complete: every field must be given, also inside nested dataclasses: for records, whose settings would mean
            something else with today's defaults.

    Raises:
        UsageError: an unknown field (naming near ones), a value of the wrong type or out of range.
        ValueError: with ``complete``, for the same, and for a field that is left out.
    """
    try:
        check_size(values, where)
        return _build(kind, values, where, complete)
    except (ValueError, UsageError) as error:
        if complete:
            raise ValueError(str(error)) from error
        raise UsageError(f"settings: {error}") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """TOML as plain values.

    Raises:
        UsageError: it is not TOML, or beyond `check_size`; the message begins with ``where``.
    """
    try:
        return sized_toml(text, where)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error


def sized_toml(text: str, where: str) -> dict[str, Any]:
    """`parse_toml` for text that need not be TOML.

    Raises:
        TOMLDecodeError: it is not.
        UsageError: it is beyond `check_size`.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise UsageError(f"{where} is nested deeper than {DEEPEST} levels") from error
    except ValueError as error:  # a number of thousands of digits
        raise UsageError(f"{where} holds a whole number of more than {LONGEST} digits") from error
    try:
        check_size(found, where)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return found


def check_size(value: Any, where: str) -> None:
    """Refuse plain values that are nested deeper than `DEEPEST` or hold a number of more than `LONGEST` digits.

    Raises:
        ValueError: they do; the message begins with ``where``.
    """
    level = [value]
    for _ in range(DEEPEST + 1):
        if any(isinstance(one, int) and abs(one) >= 10**LONGEST for one in level):
            raise ValueError(f"{where} holds a whole number of more than {LONGEST} digits")
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return
    raise ValueError(f"{where} is nested deeper than {DEEPEST} levels")


def near(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that does not exist: which are like it, or which there are."""
    names = list(known)
    close = difflib.get_close_matches(name[:LONGEST], names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(names) or 'none'}"


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _build(kind: type[Any], values: Any, where: str, complete: bool) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is a section, got {values!r}")
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    if complete and set(values) != set(names):
        raise ValueError(f"{where} settings {', '.join(sorted(set(values) ^ set(names)))} are not on both sides")
    arguments = {}
    for key, value in values.items():
        if key not in names:
            raise ValueError(f"{where} has no {key!r}{near(key, names)}")
        arguments[key] = _fit(hints[key], value, f"{where}.{key}", complete)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _fit(hint: Any, value: Any, where: str, complete: bool) -> Any:
    """``value`` as the annotation ``hint`` wants it, or an error that says what it wants."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where, complete)
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [choice for choice in choices if choice is not type(None)]
        empty = value in (None, "none") and len(kinds) < len(choices)
        return None if empty else _fit(kinds[0], value, where, complete)
    if origin is Literal:
        if value not in choices:
            raise ValueError(f"{where} = {value!r}, wanted one of {', '.join(map(str, choices))}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_fit(choices[0], item, where, complete) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {str(key): _fit(choices[1], item, f"{where}.{key}", complete) for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is str and type(value) is int:  # --set evaluation.scheme=3 means the scheme of that name
        return str(value)
    wanted = origin or hint
    if type(value) is not wanted:
        raise ValueError(f"{where} = {value!r}, wanted {WORDS.get(wanted, wanted)}")
    return value
