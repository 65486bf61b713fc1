"""How a data set is read: what a user may choose where the data set leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from preprocessing.errors import UsageError

Variant = Literal["raw", "cropped"]
Apex = Literal["estimate", "midpoint", "drop"]
Expression = Literal["micro", "macro", "both"]
Part = Literal["a", "c"]
CHOICES = {"variant": Variant, "apex": Apex, "expression": Expression, "part": Part}


@dataclass(frozen=True)
class DataSettings:
    """None is the data set's own default; a choice that a data set does not offer is refused.

    Attributes:
        variant: ``raw`` recordings or the ``cropped`` faces that come with them; None takes raw where both are there.
        apex: what becomes of a clip without a usable apex: ``estimate`` (None: the frame of strongest motion, found
            from the flow), ``midpoint`` between onset and offset, or ``drop`` (the clip is rejected). Recorded per
            clip.
        expression: ``micro`` (None), ``macro`` or ``both``, where a data set has both.
        part: of CAS(ME)³: ``a`` (None) or ``c``.
        table: the annotation table's path, where several lie below the root.
        corrections: a CSV file to use instead of the corrections that come with the toolkit; ``none`` uses none.
        bit_depth: of pictures with 16 bits a sample, how many the camera filled; None (default) takes those of the
            brightest sample of each clip. The manifest says what was used.
    """

    variant: Variant | None = None
    apex: Apex | None = None
    expression: Expression | None = None
    part: Part | None = None
    table: str | None = None
    corrections: str | None = None
    bit_depth: int | None = None

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
        """Names of what is set."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def refuse_other_than(self, offered: tuple[str, ...], dataset: str) -> None:
        """Raise UsageError where something is set that has no effect on this data set."""
        for name in self.given:
            if name not in offered:
                has = f"it offers {', '.join(offered)}" if offered else "it offers no choice"
                raise UsageError(f"{name} = {getattr(self, name)!r} has no effect on data set {dataset}: {has}")

    @property
    def suffix(self) -> str:
        """What tells the artefacts of these settings from the default ones: ``-cropped``, ``-c``, or empty."""
        defaults = ("raw", "a", "micro")
        parts = [value for value in (self.variant, self.part, self.expression) if value and value not in defaults]
        return "".join(f"-{part}" for part in parts)
