"""The kinds of data set: clips with frames, precomputed images, and several data sets joined into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preprocessing.clips import Clip
from preprocessing.datasets.composites import JOIN, CompositeRule, common_rule
from preprocessing.datasets.labels import LabelRule, Schemes, column_rule, find_scheme, scheme_rule
from preprocessing.datasets.reading.layout import Layout
from preprocessing.datasets.reading.survey import Survey, survey
from preprocessing.datasets.settings import DataSettings, Options
from preprocessing.datasets.streams import StreamClip
from preprocessing.errors import UsageError
from preprocessing.video import ImageSequence, PageStack

UserSchemes = Mapping[str, Schemes]
"""Data set → label schemes that a user adds to its own; see `user_schemes.read_schemes`."""


@dataclass(frozen=True)
class Dataset(ABC):
    """What the toolkit knows about a data set.

    Attributes:
        name: on the command line, and the beginning of clip ids.
        about: one line.
        options: choices that only this data set has: name → values, the first of them the default.
        needs_root: whether its files must be given; False if the toolkit makes them.
    """

    name: str
    about: str
    options: Options = field(default_factory=dict, kw_only=True)
    needs_root: bool = field(default=True, kw_only=True)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the data sets that it is made of; empty if it is not a composite."""
        return ()

    @property
    def has_frames(self) -> bool:
        """Whether its clips have frames, from which faces, flow and images are made."""
        return True

    @property
    def labelled(self) -> bool:
        """Whether there is anything to train on."""
        return True

    @property
    def offers(self) -> tuple[str, ...]:
        """Which of ``variant``, ``apex``, ``table``, ``corrections`` and ``bit_depth`` have an effect."""
        return ()

    def complete(self, settings: DataSettings) -> DataSettings:
        """The settings with every option of this data set; see `DataSettings.complete`.

        Raises:
            UsageError: a setting or an option that has no effect on it, or a value that is not a choice.
        """
        return settings.complete(self.name, self.offers, self.options)

    def suffix(self, settings: DataSettings) -> str:
        """What its cache is called beside its name, e.g. ``-cropped`` or ``-c``."""
        return settings.suffix(self.options)

    def refuse_root(self, root: Path | None) -> None:  # noqa: B027  # any root is fine unless a kind says otherwise
        """Raise UsageError if a folder is given that would have no effect."""

    def label_schemes(self, settings: DataSettings | None = None) -> Schemes:
        """Its label schemes by name; empty if a scheme has no effect on it."""
        return {}

    @abstractmethod
    def clips(
        self, root: Path, settings: DataSettings | None = None
    ) -> tuple[Sequence[Clip] | Sequence[StreamClip], Survey | None]:
        """The clips below ``root``, and what else was seen there.

        Raises:
            DatasetError: the root does not hold the data set.
            UsageError: a setting that has no effect on it.
        """

    @abstractmethod
    def label_rule(
        self, scheme: str | None = None, schemes: UserSchemes | None = None, settings: DataSettings | None = None
    ) -> LabelRule:
        """Which class its clips belong to.

        Args:
            scheme: name of a label scheme; None takes the first.
            schemes: further ones, which a user adds.
            settings: how it is read; a part of a data set may have other schemes.

        Raises:
            DatasetError: there are no labels, or no such scheme.
            UsageError: a scheme that has no effect.
        """


@dataclass(frozen=True)
class ClipDataset(Dataset):
    """A data set whose clips have frames.

    Attributes:
        load: ``load(root, **options)`` → clips; for a data set without a layout.
        layout: of its tables and folders, or ``layout(**options)`` if the options choose one.
        schemes: label schemes by name, the first of them the default; a layout brings its own.
    """

    load: Callable[..., Sequence[Clip]] | None = None
    layout: Layout | Callable[..., Layout] | None = None
    schemes: Schemes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.load is None) == (self.layout is None):
            raise ValueError(f"data set {self.name}: wanted either load or layout")

    @property
    def labelled(self) -> bool:
        """See `Dataset.labelled`."""
        return bool(self.label_schemes())

    @property
    def offers(self) -> tuple[str, ...]:
        """See `Dataset.offers`."""
        layout = self._layout({name: choices[0] for name, choices in self.options.items()})
        return ("bit_depth",) if layout is None else (*layout.offers, "bit_depth")

    def layout_of(self, settings: DataSettings) -> Layout | None:
        """The layout that the options choose; None if its copies cannot be surveyed."""
        return self._layout(self.complete(settings).options)

    def label_schemes(self, settings: DataSettings | None = None) -> Schemes:
        """See `Dataset.label_schemes`."""
        layout = self.layout_of(settings or DataSettings())
        return self.schemes if layout is None else layout.schemes

    def clips(self, root: Path, settings: DataSettings | None = None) -> tuple[list[Clip], Survey | None]:
        """See `Dataset.clips`."""
        chosen = self.complete(settings or DataSettings())
        layout = self._layout(chosen.options)
        if layout is not None:
            found = survey(layout, root, chosen)
            return with_bit_depth(found.clips, chosen.bit_depth), found
        return with_bit_depth([] if self.load is None else self.load(root, **chosen.options), chosen.bit_depth), None

    def label_rule(
        self, scheme: str | None = None, schemes: UserSchemes | None = None, settings: DataSettings | None = None
    ) -> LabelRule:
        """See `Dataset.label_rule`."""
        return scheme_rule(*find_scheme(self.name, self.all_schemes(schemes, settings), scheme))

    def all_schemes(self, schemes: UserSchemes | None, settings: DataSettings | None = None) -> Schemes:
        """Its own label schemes, then the user's."""
        return {**self.label_schemes(settings), **(schemes or {}).get(self.name, {})}

    def _layout(self, options: Mapping[str, str]) -> Layout | None:
        return self.layout(**options) if callable(self.layout) else self.layout


def with_bit_depth(clips: Sequence[Clip], bit_depth: int | None) -> list[Clip]:
    """Clips of pictures, read with that depth in place of the one that is found out; None changes nothing."""
    if bit_depth is None:
        return list(clips)
    return [
        replace(clip, frames=replace(clip.frames, bit_depth=bit_depth))
        if isinstance(clip.frames, ImageSequence | PageStack)
        else clip
        for clip in clips
    ]


@dataclass(frozen=True)
class ImageDataset(Dataset):
    """A data set of precomputed images whose labels stand beside them.

    Attributes:
        load: ``load(root, **options)`` → clips.
    """

    load: Callable[..., Sequence[StreamClip]]

    @property
    def has_frames(self) -> bool:
        """See `Dataset.has_frames`."""
        return False

    def clips(self, root: Path, settings: DataSettings | None = None) -> tuple[list[StreamClip], None]:
        """See `Dataset.clips`."""
        return list(self.load(root, **self.complete(settings or DataSettings()).options)), None

    def label_rule(
        self, scheme: str | None = None, schemes: UserSchemes | None = None, settings: DataSettings | None = None
    ) -> LabelRule:
        """See `Dataset.label_rule`; the classes are the labels that occur."""
        if scheme is not None:
            raise UsageError(
                f"evaluation.scheme = {scheme!r} has no effect on {self.name}: the column label is the class"
            )
        return column_rule()


@dataclass(frozen=True)
class Composite(Dataset):
    """Several data sets as one, made of the caches of its members.

    Attributes:
        fixed: a published rule; None takes a label scheme that all members have.
        parts: then the members.
    """

    fixed: CompositeRule | None = None
    parts: tuple[ClipDataset, ...] = ()
    needs_root: bool = field(default=False, kw_only=True)

    @property
    def members(self) -> tuple[str, ...]:
        """See `Dataset.members`."""
        return tuple(part.name for part in self.parts) if self.fixed is None else tuple(self.fixed.members)

    @property
    def offers(self) -> tuple[str, ...]:
        """See `Dataset.offers`: which variant of its members it is made of."""
        return ("variant",)

    def refuse_root(self, root: Path | None) -> None:
        """See `Dataset.refuse_root`."""
        if root is not None:
            raise UsageError(
                f"{self.name} is made of the caches of {', '.join(self.members)}, so the folder {root} has no effect: "
                "build its members with `mer dataset MEMBER --root PATH`"
            )

    def clips(self, root: Path, settings: DataSettings | None = None) -> tuple[list[Clip], Survey | None]:
        """Not available: the clips are those of the members.

        Raises:
            UsageError: always, since a root has no effect.
        """
        self.refuse_root(root)
        raise UsageError(f"{self.name} has no folder")

    def rule(self, scheme: str | None = None, schemes: UserSchemes | None = None) -> CompositeRule:
        """What is joined and how it is labelled; arguments and errors as `label_rule`."""
        if self.fixed is None:
            members = {part.name: part.all_schemes(schemes) for part in self.parts}
            return common_rule(self.name, members, scheme)
        if scheme is not None:
            raise UsageError(
                f"evaluation.scheme = {scheme!r} has no effect on {self.name}, whose classes are "
                f"{', '.join(self.fixed.classes)}: leave it out"
            )
        return self.fixed

    def label_rule(
        self, scheme: str | None = None, schemes: UserSchemes | None = None, settings: DataSettings | None = None
    ) -> LabelRule:
        """See `Dataset.label_rule`."""
        rule = self.rule(scheme, schemes)
        return LabelRule(scheme or f"of {self.name}", rule.classes, rule.labels)


def join_of(name: str, datasets: Mapping[str, Dataset]) -> Composite:
    """The data set that ``casme2+samm`` means, of any labelled data sets with frames.

    Raises:
        UsageError: a member is unknown, has no label schemes or occurs twice.
    """
    names = name.split(JOIN)
    unknown = [one for one in names if one not in datasets or not datasets[one].label_schemes()]
    if unknown or len(set(names)) < len(names):
        wrong = f"there is no data set {unknown[0]!r} with label schemes" if unknown else "wanted two or more different"
        known = [one for one in datasets if datasets[one].label_schemes()]
        raise UsageError(f"data set {name!r}: {wrong}; join some of {', '.join(known)} with {JOIN}")
    parts = [part for one in names if isinstance(part := datasets[one], ClipDataset)]
    return Composite(name, "made of the caches of its members", parts=tuple(parts))
