"""How a data set is read: the choices that a user makes, and which of them a data set offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from preprocessing.errors import UsageError

Variant = Literal["raw", "cropped"]
Apex = Literal["estimate", "midpoint", "drop"]
CHOICES = {"variant": Variant, "apex": Apex}
SHIPPED = "shipped"

Options = Mapping[str, tuple[str, ...]]
"""What a single data set leaves open: name → its choices, the first of them the default."""


@dataclass(frozen=True)
class DataSettings:
    """How a data set is read; a choice that the data set does not offer is refused.

    Attributes:
        variant: ``raw`` recordings or the ``cropped`` faces that come with them; None takes raw if both are there.
        apex: what becomes of a clip without a usable apex: ``estimate`` (None: the frame of strongest motion, found
            from the flow), ``midpoint`` between onset and offset, or ``drop`` (the clip is rejected). Recorded per
            clip.
        table: the annotation table's path, if several lie below the root; None looks for it.
        corrections: ``shipped`` corrections of the annotation table, ``none``, or the path of your own CSV file.
        bit_depth: of pictures with 16 bits a sample, how many the camera filled; None takes those of the brightest
            sample of each clip. The manifest says what was used.
        options: choices that only this data set has, e.g. ``part = "c"`` of CAS(ME)³.
    """

    variant: Variant | None = None
    apex: Apex | None = None
    table: str | None = None
    corrections: str = SHIPPED
    bit_depth: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bit_depth is not None and not 8 <= self.bit_depth <= 16:
            raise ValueError(
                f"data.bit_depth is {self.bit_depth}, wanted the bits of a sample of 16 that are used, 8 to 16"
            )
        for name, kind in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                raise ValueError(f"data.{name} is {value!r}, wanted one of {', '.join(get_args(kind))}")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of what is not as by default."""
        default = DataSettings()
        return tuple(name for name in vars(default) if getattr(self, name) != getattr(default, name))

    def complete(self, dataset: str, offers: tuple[str, ...], options: Options) -> DataSettings:
        """The same with the default of every option that is not chosen.

        Args:
            dataset: name of the data set, for messages.
            offers: which of ``variant``, ``apex``, ``table`` and ``corrections`` have an effect on it.
            options: the options that it declares.

        Raises:
            UsageError: a setting that has no effect, an option that is not declared, or a value that is not a choice.
        """
        for name in self.given:
            if name not in (*offers, "options"):
                has = f"it offers {', '.join(offers)}" if offers else "it offers no choice"
                raise UsageError(f"{name} = {getattr(self, name)!r} has no effect on data set {dataset}: {has}")
        declared = "; ".join(f"{name} ({', '.join(choices)})" for name, choices in options.items())
        for name, value in self.options.items():
            if name not in options:
                has = f"its options are {declared}" if declared else "it has no options"
                raise UsageError(f"option {name} = {value!r} has no effect on data set {dataset}: {has}")
            if value not in options[name]:
                raise UsageError(
                    f"option {name} = {value!r} of data set {dataset}: wanted {' or '.join(options[name])}"
                )
        chosen = {name: self.options.get(name, choices[0]) for name, choices in options.items()}
        return replace(self, options=chosen)

    def suffix(self, options: Options) -> str:
        """What tells a cache of these settings from that of the defaults: ``-cropped``, ``-c``, or empty."""
        chosen = [self.options.get(name, choices[0]) for name, choices in options.items()]
        parts = [value for value, choices in zip(chosen, options.values(), strict=True) if value != choices[0]]
        return "".join(f"-{part}" for part in (*(["cropped"] if self.variant == "cropped" else []), *parts))
