"""Named parts that installed packages can add to: models, inputs, data sets, flow methods, face libraries.

A package adds a part by an entry point, in its ``pyproject.toml``::

    [project.entry-points."mer.models"]
    early = "my_package.early:Early"

Entry points are found by name when a registry is first asked, and imported when a part is first used, in every process
on its own: workers see what the command sees.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from preprocessing.errors import EnvironmentProblemError, UsageError

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Name → part: the toolkit's own parts first, then those of installed packages by name.

    Args:
        group: of the entry points, e.g. ``mer.models``.
        what: what a part is called in messages, e.g. ``model``.
        own: the toolkit's own parts; their names cannot be taken.
        reserved: further names that cannot be taken, because they mean something else in the same place.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, T], reserved: Iterable[str] = ()) -> None:
        self.group, self.what = group, what
        self._own, self._reserved = dict(own), frozenset(reserved)
        self._added: dict[str, T] = {}
        self._found: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            return self._own[name]
        if name not in self._added and name in self._entries():
            self._added[name] = self._load(self._entries()[name])
        return self._added[name]

    def __setitem__(self, name: str, part: T) -> None:
        self._check(name, "")
        self._added[name] = part

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._own, *self._added, *self._entries()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._added or name in self._entries()

    def find(self, name: str) -> T:
        """The part of that name.

        Raises:
            UsageError: there is none; the message names near ones.
            EnvironmentProblemError: an installed package takes a name that is taken, or cannot be imported.
        """
        self._entries()  # a clash of names is told whichever name is asked for
        if name not in self:
            names = list(self)
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{self.what} {name!r} is unknown: {hint}Choose one of {', '.join(names)}")
        return self[name]

    def _entries(self) -> dict[str, EntryPoint]:
        if self._found is None:
            found: dict[str, EntryPoint] = {}
            for entry in entry_points(group=self.group):
                package = entry.dist.name if entry.dist is not None else entry.value
                self._check(entry.name, f" by the installed package {package}")
                if entry.name in found and found[entry.name].value != entry.value:
                    raise EnvironmentProblemError(
                        f"two installed packages add a {self.what} {entry.name!r} ({found[entry.name].value} and "
                        f"{entry.value}): uninstall one of them"
                    )
                found[entry.name] = entry
            self._found = found
        return self._found

    def _check(self, name: str, by: str) -> None:
        kind = EnvironmentProblemError if by else UsageError
        if not re.fullmatch(r"\w+", name, re.ASCII):
            raise kind(f"{self.what} name {name!r}{by}: wanted letters, digits and _")
        if name in self._own or name in self._reserved:
            where = "a section of the settings" if name in self._reserved else f"a {self.what} of the toolkit"
            raise kind(f"{self.what} name {name!r}{by} is taken: it is {where}; choose another name")

    def _load(self, entry: EntryPoint) -> T:
        try:
            part: T = entry.load()
        except (ImportError, AttributeError) as error:
            raise EnvironmentProblemError(
                f"{self.what} {entry.name!r} is installed as {entry.value} but cannot be imported: {error}"
            ) from error
        return part
