"""All settings of a run in one frozen tree: defaults, then a TOML file, then ``--set a.b=c``."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import tomli_w

from dynamic_images.kinds import SECTIONS, stage_settings
from dynamic_images.pipeline import StageSettings
from preprocessing.artefacts.plain import DEEPEST, from_plain, near, parse_toml, plain, sized_toml, without_none
from preprocessing.datasets.label_sets import ACTION_UNITS, BY_SIDE, LEAST
from preprocessing.datasets.settings import DataSettings
from preprocessing.errors import UsageError
from preprocessing.synthetic.settings import CorpusSettings


@dataclass(frozen=True)
class EvaluationSettings:
    """How a model is judged.

    Attributes:
        seeds: number of seeds (0, 1, …); each is one full pass over the folds.
        input_size: side of the network's input in px; the dynamic images are averaged down to it.
        scheme: label scheme of the data set; None takes its default. ``action_units``, ``action_units_by_side`` and
            ``joint`` (emotions that occur together) make the label of a clip a set, see
            `preprocessing.datasets.label_sets`.
        units: numbers of the action units that are predicted; None takes all that occur in ``unit_clips`` clips or
            more. Both have an effect on action units only.
        unit_clips: see ``units``.
        schemes: a TOML file of label schemes of your own, see `preprocessing.datasets.user_schemes`.
        protocol: who is held out: ``loso`` each subject, ``k_fold`` groups of whole subjects (shuffled once, the same
            for every run), ``leave_one_dataset_out`` each data set of several, ``official_split`` all parts but
            ``train`` of a data set that its makers divided, ``official_train`` groups of subjects within ``train``.
        k: number of folds of ``k_fold`` (None takes ten) and ``official_train`` (five). It has no effect on the others
            and is refused there.
        jitter: onset and apex of every *test* clip are moved by whole numbers of frames up to this, drawn once per
            clip; training clips stay as annotated. 0 leaves the test clips too.
        neighbours: every test clip is shown with its onset moved by -n … n frames, and the answers are averaged.
    """

    seeds: int = 3
    input_size: int = 96
    scheme: str | None = None
    schemes: str | None = None
    units: tuple[int, ...] | None = None
    unit_clips: int = LEAST
    protocol: Literal["loso", "k_fold", "leave_one_dataset_out", "official_split", "official_train"] = "loso"
    k: int | None = None
    jitter: int = 0
    neighbours: int = 0

    def __post_init__(self) -> None:
        if min(self.jitter, self.neighbours) < 0 or (self.jitter and self.neighbours):
            raise ValueError(
                f"evaluation: jitter is {self.jitter} and neighbours {self.neighbours}, wanted one of them, above 0"
            )
        if self.seeds < 1:
            raise ValueError(f"evaluation: seeds is {self.seeds}, wanted 1 or more")
        if not 16 <= self.input_size <= 512:
            raise ValueError(f"evaluation: input_size is {self.input_size} px, wanted 16 to 512")
        if self.unit_clips < 1 or not all(1 <= unit <= 99 for unit in self.units or (1,)) or self.units == ():
            raise ValueError(
                f"evaluation: units are {self.units} and unit_clips {self.unit_clips}, wanted numbers of action units "
                "and 1 or more"
            )
        if self.scheme not in (ACTION_UNITS, BY_SIDE) and (self.units, self.unit_clips) != (None, LEAST):
            raise ValueError(f"evaluation: units and unit_clips have no effect with scheme {self.scheme}")
        if self.k is not None and (self.k < 2 or self.protocol not in ("k_fold", "official_train")):
            raise ValueError(f"evaluation: k is {self.k} with protocol {self.protocol}, wanted 2 or more, for k_fold")


def offline_sections() -> dict[str, type[Any]]:
    """Sections that need no torch: what the offline commands read."""
    return {
        "corpus": CorpusSettings,
        "data": DataSettings,
        **SECTIONS,
        "evaluation": EvaluationSettings,
    }


def all_sections() -> dict[str, type[Any]]:
    """Every section: the offline ones, the systems, and training.

    Raises:
        UsageError: a system has the name of another section.
    """
    from experiments.runs.system_registry import find_system, system_names  # torch takes seconds to load
    from fusion_net.fit import FitSettings

    sections = {**offline_sections(), "fit": FitSettings}
    for name in system_names():
        if name in sections:
            raise UsageError(f"model name {name!r} is taken: it is a section of the settings; choose another name")
        sections[name] = find_system(name).Settings
    return sections


@dataclass(frozen=True)
class Config:
    """Resolved settings by section; see `offline_sections` and `all_sections`."""

    sections: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.sections[name]

    @property
    def stages(self) -> StageSettings:
        """Settings of the offline stages of clips with frames."""
        return stage_settings(self.sections)

    def to_toml(self) -> str:
        """Every setting with its value, ready for ``--config``; settings that are None are left out."""
        return tomli_w.dumps({name: without_none(plain(section)) for name, section in self.sections.items()})


def fitted_to(config: Config, side: int | None, mirror: bool) -> Config:
    """Settings that fit the images of a data set, by rules that look at nothing but their size and kind.

    Images are not enlarged: the input is at most their ``side`` px wide (and at least 16 px), if they have a fixed one.
    A network gets the stages that this carries, if its settings know how (``for_side``). Without ``mirror``, nothing is
    mirrored in training or prediction.
    """
    changed: dict[str, Any] = {}
    if side is not None:
        size = max(16, min(config["evaluation"].input_size, side))
        named = {name: section for name, section in config.sections.items() if hasattr(section, "for_side")}
        changed = {name: section.for_side(size) for name, section in named.items()}
        changed["evaluation"] = dataclasses.replace(config["evaluation"], input_size=size)
    if not mirror:
        fit = config["fit"]
        changed["fit"] = dataclasses.replace(fit, augment=dataclasses.replace(fit.augment, mirror=0.0))
    return Config({**config.sections, **changed})


def load_config(
    sections: Mapping[str, type[Any]],
    source: str | None = None,
    changes: Sequence[str] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read settings.

    Args:
        sections: name → settings dataclass.
        source: a TOML file, or the name of one of the configurations that come with the toolkit (``quick``).
        changes: ``section.key=value`` each, value as TOML would have it (plain words need no quotes).
        defaults: values that stand in for those of the dataclasses, section → key → value: a model's own
            (``Model.DEFAULTS``). The file and ``changes`` win over them.
        given: values that win over everything else, section → key → value: those of a command's own options.

    Raises:
        UsageError: an unknown section or key (naming near ones), a value of the wrong type or out of range.
    """
    tree = _merged(defaults or {}, _read(source) if source else {})
    for change in changes:
        _set(tree, change)
    tree = _merged(tree, given or {})
    known = all_sections() if set(tree) - set(sections) else sections
    for name in tree:
        if name not in known:
            raise UsageError(f"settings: there is no section {name!r}{near(name, known)}")
    return Config({name: from_plain(kind, tree.get(name, {}), name) for name, kind in sections.items()})


def _read(source: str) -> dict[str, Any]:
    shipped = {path.name.removesuffix(".toml"): path for path in files("experiments").joinpath("configs").iterdir()}
    try:
        text = shipped[source].read_text("utf-8") if source in shipped else Path(source).read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"settings file {source!r} cannot be read ({error.strerror}); shipped ones are {', '.join(sorted(shipped))}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"settings file {source!r} is not TOML: it is no UTF-8 text") from error
    return parse_toml(text, f"settings file {source!r}")


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A new tree with what either holds; where both have a value, the one of ``over``."""
    both = {
        k: _merged(under[k], v) if isinstance(under.get(k), Mapping) and isinstance(v, Mapping) else v
        for k, v in over.items()
    }
    return {**{k: _merged(v, {}) if isinstance(v, Mapping) else v for k, v in under.items()}, **both}


def _set(tree: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *parents, key = path.strip().split(".")
    if not equals or not parents or not key:
        raise UsageError(f"--set {change!r}: wanted section.key=value, for example --set fit.epochs=20")
    if len(parents) > DEEPEST:
        raise UsageError(f"--set {change[:60]!r}... is nested deeper than {DEEPEST} levels")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise UsageError(f"--set {change!r}: {parent!r} is a value, not a section")
    tree[key] = _value(text, f"--set {path.strip()}")


def _value(text: str, where: str) -> Any:
    """The value that ``text`` is in TOML, or the text itself: a word needs no quotes."""
    try:
        return sized_toml(f"x = {text}", where)["x"]
    except tomllib.TOMLDecodeError:
        return text.strip()
