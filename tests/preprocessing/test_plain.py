from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from preprocessing.artefacts.plain import from_plain, parse_toml, plain
from preprocessing.errors import UsageError


@dataclass(frozen=True)
class Inner:
    share: float = 0.5


@dataclass(frozen=True)
class Settings:
    count: int = 3
    kind: Literal["a", "b"] = "a"
    path: str | None = None
    widths: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)
    words: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count is negative")


def test_plain_values_give_the_same_settings_again() -> None:
    settings = Settings(5, "b", "x", (7,), Inner(0.25), {"part": "c"})
    assert from_plain(Settings, plain(settings), "s", complete=True) == settings
    assert plain({"p": Path("a"), "n": np.int64(3)}) == {"p": "a", "n": 3}


def test_what_is_left_out_has_its_default_unless_everything_is_wanted() -> None:
    assert from_plain(Settings, {"count": 1}, "s") == Settings(count=1)
    with pytest.raises(ValueError, match="s settings inner, kind, path, widths, words are not on both sides"):
        from_plain(Settings, {"count": 1}, "s", complete=True)
    nested = plain(Settings()) | {"inner": {}}
    with pytest.raises(ValueError, match=r"s\.inner settings share are not on both sides"):
        from_plain(Settings, nested, "s", complete=True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cuont": 1}, "s has no 'cuont'; did you mean count"),
        ({"count": "many"}, r"s\.count = 'many', wanted a whole number"),
        ({"count": True}, r"s\.count = True, wanted a whole number"),
        ({"kind": "c"}, "wanted one of a, b"),
        ({"inner": {"share": "x"}}, r"s\.inner\.share = 'x', wanted a number"),
        ({"words": {"part": 1.5}}, r"s\.words\.part = 1\.5, wanted a word"),
        ({"count": -1}, "count is negative"),
        (3, "s is a section, got 3"),
    ],
)
def test_values_that_do_not_fit(values: Any, told: str) -> None:
    """Typed by a person they are a usage error; in a complete record a ValueError, which loaders expect."""
    with pytest.raises(UsageError, match=told):
        from_plain(Settings, values, "s")
    whole = plain(Settings()) | values if isinstance(values, dict) and "cuont" not in values else values
    with pytest.raises(ValueError, match="not on both sides" if "cuont" in str(values) else told):
        from_plain(Settings, whole, "s", complete=True)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [101, 100_000])
def test_values_nested_beyond_all_settings_are_refused(levels: int) -> None:
    """A recursive reader would end in a RecursionError."""
    with pytest.raises(UsageError, match="nested deeper than 100 levels"):
        from_plain(Settings, {"count": nested(levels)}, "s")


@pytest.mark.parametrize("number", [10**300, -(10**300), 1 << 20_000], ids=["301 digits", "negative", "6000 digits"])
def test_numbers_that_no_float_holds_are_refused(number: int) -> None:
    """``float(10**400)`` is an OverflowError, and Python does not even print a number of 4301 digits."""
    with pytest.raises(UsageError, match="more than 300 digits"):
        from_plain(Inner, {"share": number}, "s")
    assert from_plain(Inner, {"share": 10**300 - 1}, "s").share == 1e300


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = ", "file x is not TOML"),
        ("a = " + "[" * 5000, "file x is nested deeper than 100 levels"),
        (".".join("a" * 200) + " = 1", "file x is nested deeper than 100 levels"),
        ("a = " + "9" * 5000, "file x holds a whole number of more than 300 digits"),
        ("a = 0x" + "f" * 5000, "file x holds a whole number of more than 300 digits"),
    ],
    ids=["no value", "brackets", "dots", "digits", "hexadecimal"],
)
def test_toml_that_is_none(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_toml(text, "file x")
    assert len(str(caught.value)) < 300
