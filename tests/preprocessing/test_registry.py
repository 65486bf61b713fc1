from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing.errors import EnvironmentProblemError, UsageError
from preprocessing.registry import Registry


def registry() -> Registry[int]:
    return Registry("mer.numbers", "number", {"one": 1, "two": 2}, reserved=("flow",))


def test_own_parts_come_first_and_added_ones_follow() -> None:
    numbers = registry()
    numbers["three"] = 3
    assert list(numbers) == ["one", "two", "three"] and len(numbers) == 3
    assert numbers.find("three") == numbers["three"] == 3 and "three" in numbers
    numbers["three"] = 33  # a notebook cell that is run again
    del numbers["three"]
    assert "three" not in numbers


@pytest.mark.parametrize(
    ("name", "why"), [("one", "of the toolkit"), ("flow", "a section"), ("a b", "letters"), ("", "letters")]
)
def test_names_that_are_taken_or_no_names_are_refused(name: str, why: str) -> None:
    numbers = registry()
    with pytest.raises(UsageError, match=why):
        numbers[name] = 7
    assert dict(numbers) == {"one": 1, "two": 2}


def test_an_unknown_name_is_one_sentence_with_near_names() -> None:
    with pytest.raises(UsageError, match=r"number 'tow' is unknown: did you mean two\? Choose one of one, two"):
        registry().find("tow")


def package(folder: Path, entries: str, module: str = "four = 4\n") -> None:
    """What an installer leaves of a package: a module, and its metadata beside it."""
    (folder / "numbers_of_others.py").write_text(module)
    info = folder / "numbers_of_others-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numbers-of-others\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[mer.numbers]\n{entries}\n")


def test_an_installed_package_adds_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "four = numbers_of_others:four")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(registry()) == ["one", "two", "four"] and registry()["four"] == 4


def test_listing_names_imports_nothing(tmp_path: Path) -> None:
    package(tmp_path, "four = numbers_of_others:four", "raise SystemExit('imported')")
    code = (
        "from preprocessing.registry import Registry; import sys;"
        "print(list(Registry('mer.numbers', 'number', {})), 'numbers_of_others' in sys.modules)"
    )
    where = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {where!r}]; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['four'] False\n", done.stderr


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ("one = numbers_of_others:four", "number name 'one' by the installed package numbers-of-others is taken"),
        ("four = numbers_of_others:five", "cannot be imported"),
        ("four = nowhere:four", "cannot be imported"),
    ],
)
def test_a_package_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str, why: str
) -> None:
    package(tmp_path, entries)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentProblemError, match=why):
        registry().find(entries.split()[0])
