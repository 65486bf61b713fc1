"""Several data sets joined into one: the rule that says whose clips, of which class, and what is left out.

A composite is made from caches that exist: every member is built by `mer dataset` first, nothing is copied, and clip
ids keep their data set (``casme2/sub01/EP02_01f``), so that subject 1 of two data sets is two people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import MANIFEST, read_manifest, write_manifest_table
from preprocessing.artefacts.members import write_members
from preprocessing.datasets.labels import SCHEMES, Scheme, Schemes, class_of
from preprocessing.errors import DatasetError, ToolkitError, UsageError

JOIN = "+"
"""Between the names of data sets that are to be one."""


@dataclass(frozen=True)
class LeftOut:
    """A clip that a rule leaves out, and why; with ``emotion`` only if the table calls it so."""

    clip_id: str
    why: str
    emotion: str | None = None


@dataclass(frozen=True)
class CompositeRule:
    """A rule that makes one data set of several.

    Attributes:
        name: ``megc2019``, or the members joined by ``+``.
        members: data set → class → its own emotion words; the first one's order of classes is that of every table.
        left_out: single clips.
        published: data set → (clips, subjects) as published, if they are.
    """

    name: str
    members: Mapping[str, Scheme]
    left_out: tuple[LeftOut, ...] = ()
    published: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the tables."""
        return tuple(next(iter(self.members.values())))

    def class_of(self, clip_id: str, emotion: str | None) -> str | None:
        """The class of a clip, or None if the rule leaves it out."""
        for out in self.left_out:
            if out.clip_id == clip_id and out.emotion in (None, emotion):
                return None
        return class_of(emotion, self.members.get(clip_id.split("/", 1)[0], {}))

    def labels(self, manifest: pd.DataFrame) -> pd.Series:
        """The class of every row of a manifest, None if the rule leaves it out."""
        words = manifest["emotion"].where(manifest["emotion"].notna(), None)
        classes = [self.class_of(*row) for row in zip(manifest["clip_id"], words, strict=True)]
        return pd.Series(classes, index=manifest.index, dtype=object)


MEGC2019 = CompositeRule(
    "megc2019",
    members=MappingProxyType({name: SCHEMES[name]["3"] for name in ("casme2", "samm", "smic")}),
    left_out=(
        LeftOut("casme2/sub04/EP12_01f", "its apex is not annotated"),
        LeftOut("casme2/sub05/EP09_05f", "its apex is its onset"),
        *(
            LeftOut(f"casme2/sub24/{clip}", "called sadness in the table of 2014, which the challenge used", "surprise")
            for clip in ("EP07_01", "EP07_04f", "EP10_03")
        ),
    ),
    published=MappingProxyType({"casme2": (145, 24), "samm": (133, 28), "smic": (164, 16)}),
)
"""The 3-class composite of the Micro-Expression Grand Challenge 2019 (See et al., FG 2019,
doi 10.1109/FG.2019.8756611): 442 clips of 68 subjects, 250 negative, 109 positive, 83 surprise. Fear and sadness of
CASME II belong to no class. The list of clips is the organisers'; the reasons for single clips are our reading of it.
"""


def common_rule(name: str, members: Mapping[str, Schemes], scheme: str | None = None) -> CompositeRule:
    """A rule by a label scheme that all members have.

    Args:
        name: of the composite.
        members: data set → its label schemes.
        scheme: the scheme that all members have under this name, with the same classes; None takes the first of the
            first member that all have.

    Raises:
        UsageError: there is no such scheme.
    """
    first, *others = members.values()
    common = [
        label for label, classes in first.items() if all(set(other.get(label, ())) == set(classes) for other in others)
    ]
    if not common or scheme not in (None, *common):
        offered = "; ".join(f"{member} has {', '.join(schemes)}" for member, schemes in members.items())
        wanted = "label scheme" if scheme is None else f"label scheme {scheme!r}"
        found = f"common ones are {', '.join(common)}" if common else f"none has the same classes in all: {offered}"
        raise UsageError(f"{name} has no {wanted} that all members share: {found}")
    chosen = scheme or common[0]
    order = tuple(first[chosen])
    return CompositeRule(
        name, {member: {label: schemes[chosen][label] for label in order} for member, schemes in members.items()}
    )


def join(rule: CompositeRule, cache: Path, suffix: str = "") -> pd.DataFrame:
    """Write the manifest of a composite, whose rows stay in the caches of its members; returns the manifest.

    Args:
        rule: rows that it leaves out stay in the manifest, so that they are counted.
        cache: the composite's folder; those of its members lie beside it under their names.
        suffix: of the members' folders if they are a variant (``casme2-cropped``).

    Raises:
        DatasetError: members are not built yet, or not with the same settings.
    """
    folders = {member: cache.parent / f"{member}{suffix}" for member in rule.members}
    lacking = [member for member, folder in folders.items() if not (folder / MANIFEST).is_file()]
    if lacking:
        commands = ", ".join(f"`mer dataset {member} --root PATH`" for member in lacking)
        raise DatasetError(
            f"{rule.name} is made of {', '.join(rule.members)}, and {folders[lacking[0]] / MANIFEST} does "
            f"not exist: build {commands} first"
        )
    manifests = {member: read_manifest(folder) for member, folder in folders.items()}
    for member, rows in manifests.items():
        foreign = rows[~rows["clip_id"].str.startswith(f"{member}/")]
        if len(foreign):
            raise DatasetError(f"{folders[member]} holds {foreign['clip_id'].iloc[0]}, which is not a clip of {member}")
    _check_settings(rule, folders, manifests)
    whole = pd.concat([rows.convert_dtypes() for rows in manifests.values()], ignore_index=True)
    write_members(cache, {member: f"../{folder.name}" for member, folder in folders.items()})
    write_manifest_table(cache, whole)
    return read_manifest(cache)


def count(rule: CompositeRule, manifest: pd.DataFrame) -> list[str]:
    """What the rule leaves out, then clips and subjects of each member and of all, as published or not.

    Rejected clips count: the rule is about annotations, and a face that is not found is another matter.
    """
    rows = manifest.assign(label=rule.labels(manifest)).dropna(subset="label")
    words = dict(zip(manifest["clip_id"], manifest["emotion"], strict=True))
    out = [o for o in rule.left_out if o.clip_id in words and o.emotion in (None, words[o.clip_id])]
    lines = [f"left out: {o.clip_id}: {o.why}" for o in out]
    for member in rule.members:
        part = rows[rows["clip_id"].str.startswith(f"{member}/")]
        have = (len(part), part["subject"].nunique())
        per_class = ", ".join(f"{int((part['label'] == name).sum())} {name}" for name in rule.classes)
        lines.append(f"{member}: {_clips(*have)} ({per_class}){_against(have, rule.published.get(member))}")
    have = (len(rows), rows["subject"].nunique())
    published = list(rule.published.values())
    total = (sum(n for n, _ in published), sum(s for _, s in published)) if published else None
    rejected = int((rows["status"] == "rejected").sum())
    unusable = f"; {rejected} of them were rejected and are not evaluated" if rejected else ""
    return [*lines, f"{rule.name}: {_clips(*have)}{_against(have, total)}{unusable}"]


def _clips(clips: int, subjects: int) -> str:
    return f"{clips} clips of {subjects} subjects"


def _against(have: tuple[int, int], published: tuple[int, int] | None) -> str:
    if published is None:
        return ""
    return ", as published" if have == published else f", published are {_clips(*published)}"


def _check_settings(rule: CompositeRule, folders: Mapping[str, Path], manifests: Mapping[str, pd.DataFrame]) -> None:
    """Members made in two ways could be told apart by how they were made."""
    first: dict[str, tuple[str, object]] = {}
    for member, rows in manifests.items():
        usable = rows.loc[rows["status"] == "ok", "clip_id"]
        stages = clip_folder(folders[member], str(usable.iloc[0])).record()["stages"] if len(usable) else {}
        for stage, entry in stages.items():
            settings = entry.get("settings") if isinstance(entry, dict) else None
            other, known = first.setdefault(stage, (member, settings))
            if known != settings:
                raise ToolkitError(
                    f"{rule.name}: {member} was built with other settings of {stage} than {other}; build both "
                    "with the same, for example by the same --config"
                )
