"""Bring the artefacts of a data set up to date and read them: corpus → artefacts → labelled clips as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dynamic_images.clip_input import InputUse
from dynamic_images.disturbances import Disturbance, build_disturbed
from dynamic_images.input_cache import build_inputs, fitting_inputs
from dynamic_images.kinds import build_artefacts, may_mirror
from dynamic_images.noise_floor import noise_notes
from experiments.config import Config, fitted_to
from experiments.progress import Progress, Step
from experiments.runs import provenance
from preprocessing.artefacts.clip_folder import Damage
from preprocessing.artefacts.files import scratch_path
from preprocessing.artefacts.manifest import MANIFEST, read_manifest
from preprocessing.artefacts.members import write_members
from preprocessing.datasets import DATASETS, Composite, Dataset, DataSettings, LabelRule, find_dataset, read_schemes
from preprocessing.datasets.composite_check import differences
from preprocessing.datasets.composites import CompositeRule, count, join
from preprocessing.datasets.label_sets import ACTION_UNITS, BY_SIDE, JOINT, action_unit_rule, joint_rule
from preprocessing.errors import UsageError
from preprocessing.faces.remarks import face_notes
from preprocessing.recordings.remarks import recording_notes
from preprocessing.synthetic.corpus import generate

if TYPE_CHECKING:
    from fusion_net.inputs import ClipTensors

SYNTHETIC = "synthetic"

Told = Callable[[str], None]

Given = Mapping[str, Callable[[Sequence[str]], Any]]
"""Inputs that do not come from the cache: name → (clip ids → (N, C) array)."""


@dataclass(frozen=True)
class DatasetPaths:
    """A data set, where it lies and where its artefacts go.

    Attributes:
        dataset: what it is.
        root: the files; None if the user gave none and the data set is not made here.
        cache: ``cache/<dataset>``.
        settings: how it is read.
        ours: whether the files are made here. Those of a root that the user gave are only read.
    """

    dataset: Dataset
    root: Path | None
    cache: Path
    settings: DataSettings = field(default_factory=DataSettings)
    ours: bool = False

    @property
    def name(self) -> str:
        """Name of the cache folder, which also names runs."""
        return self.cache.name

    def shared(self, *folders: Path) -> tuple[list[Path], list[Path]]:
        """What all machines of a cluster must see: what is written, these ``folders`` among it, and what is read."""
        root = [] if self.root is None else [self.root]
        written = [self.cache, *folders, *(root if self.ours else [])]
        return written, [] if self.ours else root


def dataset_paths(dataset: str, config: Config, root: Path | None = None, cache: Path | None = None) -> DatasetPaths:
    """Resolve the folders of a data set; a corpus whose labels carry no information never shares a folder."""
    found = find_dataset(dataset)
    settings = found.complete(config["data"])
    name = _corpus_name(config) if dataset == SYNTHETIC else dataset + found.suffix(settings)
    ours = dataset == SYNTHETIC and root is None
    return DatasetPaths(found, corpus_root(config) if ours else root, cache or Path("cache") / name, settings, ours)


def _corpus_name(config: Config) -> str:
    return f"{SYNTHETIC}-null" if config["corpus"].null else SYNTHETIC


def corpus_root(config: Config) -> Path:
    """Where the synthetic corpus goes, if no folder is named."""
    return Path("data") / _corpus_name(config)


def make_corpus(
    at: Path | None, config: Config, jobs: int, progress: Progress, verify: bool = False, on_mended: Told | None = None
) -> Path:
    """Generate the synthetic corpus, or what is missing or damaged of it; returns its root."""
    root = at or corpus_root(config)
    with progress("drawing clips") as step:
        return generate(root, config["corpus"], jobs, lambda done, total: step(done, total, ""), verify, on_mended)


def make_dataset(
    paths: DatasetPaths,
    config: Config,
    jobs: int,
    progress: Progress,
    verify: bool = False,
    on_mended: Told | None = None,
) -> pd.DataFrame:
    """All offline stages of a data set; returns its manifest.

    Args:
        paths: the data set.
        config: settings.
        jobs: processes.
        progress: display of long work.
        verify: compare every byte of every file with its record, not only of files that were touched.
        on_mended: told each damaged file that was made again, as a line of text.

    Raises:
        UsageError: no root was given.
        DatasetError: the data set does not lie there, or a member of a composite is not built yet.
    """
    if isinstance(paths.dataset, Composite):
        paths.dataset.refuse_root(paths.root)
        for cache in _member_caches(paths):
            provenance.check_manifest(cache)
        return join(_composite_rule(paths.dataset, config), paths.cache, paths.dataset.suffix(paths.settings))
    if paths.root is None:
        raise UsageError(f"the folder of {paths.dataset.name} is not given: add --root /path (with make: ROOT=/path)")
    if paths.ours:
        drawn = None if on_mended is None else lambda clip: on_mended(f"{clip}: drawn again")
        make_corpus(paths.root, config, jobs, progress, verify, drawn)
    clips, survey = paths.dataset.clips(paths.root, paths.settings)

    def mended(clip_id: str, damage: Sequence[Damage]) -> None:
        if on_mended:
            on_mended(f"{clip_id}: {', '.join(one.file for one in damage)} made again")

    with progress("faces, flow, dynamic images" if paths.dataset.has_frames else "images") as step:
        build_artefacts(clips, paths.cache, config.sections, jobs, told_clip_by_clip(step, len(clips)), verify, mended)
    provenance.describe(paths.cache, clips, paths.settings, survey)
    return read_manifest(paths.cache)


def make_inputs(paths: DatasetPaths, uses: Sequence[InputUse], jobs: int, progress: Progress) -> None:
    """Further inputs of every usable clip."""
    if not uses:
        return
    manifest = read_manifest(paths.cache)
    usable = list(manifest.loc[manifest["status"] == "ok", "clip_id"])
    done = 0
    with progress("further inputs") as step:

        def on_clip(name: str) -> None:
            nonlocal done
            done += 1
            step(done, len(usable), name)

        build_inputs(paths.cache, usable, uses, jobs, on_clip)


def told_clip_by_clip(step: Step, total: int) -> Callable[[dict[str, Any]], None]:
    """A callback for manifest rows that counts them for a progress display."""
    done = 0

    def on_clip(row: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        step(done, total, row["clip_id"] + (f" rejected: {row['reason']}" if row["reason"] else ""))

    return on_clip


def label_rule(paths: DatasetPaths, config: Config) -> LabelRule:
    """Which class each clip of a manifest belongs to, as ``evaluation.scheme`` and ``evaluation.schemes`` say.

    Raises:
        UsageError: action units of the corpus without information: only its emotions are permuted.
    """
    evaluation = config["evaluation"]
    if evaluation.scheme in (ACTION_UNITS, BY_SIDE):
        if paths.dataset.name == SYNTHETIC and config["corpus"].null:
            raise UsageError(
                "--null permutes the emotions of the drawn clips, not their action units: leave it out, and compare "
                "with the floor `permuted`, which every run on action units shows"
            )
        return action_unit_rule(evaluation.units, evaluation.unit_clips, evaluation.scheme == BY_SIDE)
    joint = evaluation.scheme == JOINT
    schemes = read_schemes(evaluation.schemes, DATASETS)
    rule = paths.dataset.label_rule(None if joint else evaluation.scheme, schemes, paths.settings)
    return joint_rule(rule) if joint else rule


def _composite_rule(dataset: Composite, config: Config) -> CompositeRule:
    evaluation = config["evaluation"]
    if evaluation.scheme in (ACTION_UNITS, BY_SIDE):  # data sets without a common label scheme may be joined
        return CompositeRule(dataset.name, {member: {} for member in dataset.members})
    scheme = None if evaluation.scheme == JOINT else evaluation.scheme
    return dataset.rule(scheme, read_schemes(evaluation.schemes, DATASETS))


def composite_lines(paths: DatasetPaths, config: Config, manifest: pd.DataFrame, listed: Path | None) -> list[str]:
    """What a composite consists of, and how it differs from the organisers' list; nothing for other data sets."""
    if not isinstance(paths.dataset, Composite):
        return []
    rule = _composite_rule(paths.dataset, config)
    lines = count(rule, manifest) if rule.classes else []
    if listed is None:
        return lines
    found = differences(rule, manifest, listed)
    verdict = f"{len(found)} differences to" if found else "the same clips and classes as"
    return [*lines, *found, f"{verdict} {listed}"]


def manifest_lines(manifest: pd.DataFrame) -> list[str]:
    """Lines on how many clips can be used, why others cannot, and what is remarkable about a clip."""
    rejected = manifest[manifest["status"] == "rejected"]
    lines = [f"{len(manifest)} clips, {len(manifest) - len(rejected)} usable, {len(rejected)} rejected"]
    lines += [f"rejected {row.clip_id}: {row.reason} ({row.code})" for row in rejected.itertuples()]
    for clip in manifest[manifest["status"] == "ok"].to_dict("records"):
        facts = {str(name): value for name, value in clip.items()}
        notes = face_notes(facts) + recording_notes(facts) + noise_notes(facts)
        lines += [f"note on {clip['clip_id']}: {note}" for note in notes]
    return lines


def data_summary(paths: DatasetPaths, config: Config) -> list[str]:
    """Lines on data source, label scheme and clips per class."""
    copies = [provenance.description(cache) for cache in _member_caches(paths) or [paths.cache]]
    in_use = provenance.classes_in_use(label_rule(paths, config), read_manifest(paths.cache))
    return [*filter(None, copies), in_use]


def _member_caches(paths: DatasetPaths) -> list[Path]:
    suffix = paths.dataset.suffix(paths.settings)
    return [paths.cache.parent / f"{member}{suffix}" for member in paths.dataset.members]


def bring_up_to_date(paths: DatasetPaths, config: Config, jobs: int, progress: Progress) -> None:
    """Make what is not there yet; labels are asked for first, before hours of work."""
    label_rule(paths, config)
    if paths.root is None and not paths.dataset.members:
        provenance.check_settings(paths.cache, paths.settings)
        provenance.check_manifest(paths.cache)
    if paths.root is not None or paths.dataset.members or not (paths.cache / MANIFEST).is_file():
        make_dataset(paths, config, jobs, progress)


def resolved(paths: DatasetPaths, config: Config) -> Config:
    """Settings as they are used with the clips of a data set, see `fitted_to`."""
    manifest = read_manifest(paths.cache)
    sides = manifest["side"].dropna() if "side" in manifest else pd.Series(dtype=int)
    side = int(sides.max()) if len(sides) else None
    return fitted_to(config, side, may_mirror(paths.dataset.has_frames, config.sections))


def fitted_uses(paths: DatasetPaths, uses: Sequence[InputUse], given: Given) -> tuple[InputUse, ...]:
    """The inputs that the clips of a data set have for those that a system wants, see `fitting_inputs`."""
    manifest = read_manifest(paths.cache)
    usable = manifest.loc[manifest["status"] == "ok", "clip_id"]
    if not len(usable) or all(one.name in given for one in uses):
        return tuple(uses)
    return fitting_inputs(paths.cache, str(usable.iloc[0]), uses)


def labelled_tensors(
    paths: DatasetPaths,
    config: Config,
    uses: Sequence[InputUse],
    jobs: int = 1,
    given: Given | None = None,
    manifest: pd.DataFrame | None = None,
) -> ClipTensors:
    """The labelled clips of a cache with these inputs; clips that the label scheme leaves out are not among them.

    ``manifest`` is that of the cache if it is not given.
    """
    import torch  # takes seconds to load; offline commands do without

    from fusion_net.inputs import load_clips

    given = given or {}
    rule = label_rule(paths, config)
    classes, manifest = rule.apply(read_manifest(paths.cache) if manifest is None else manifest)
    stored = [one for one in {one.label: one for one in uses}.values() if one.name not in given]
    size = config["evaluation"].input_size
    data = load_clips(manifest, paths.cache, stored, classes, list(manifest["label"]), size, jobs, rule.sets)
    wanted = [one for one in uses if one.name in given]
    further = {one.name: torch.from_numpy(given[one.name](data.clip_ids)) for one in wanted}
    return replace(data, inputs={**data.inputs, **further}, kinds={**data.kinds, **{o.name: o.kind for o in wanted}})


def disturbed_tensors(
    paths: DatasetPaths,
    config: Config,
    uses: Sequence[InputUse],
    disturbances: Sequence[Disturbance],
    jobs: int,
    progress: Progress,
) -> dict[str, ClipTensors]:
    """The labelled clips under each disturbance, by its name; what is written for them is removed again.

    Raises:
        UsageError: clips without frames, which cannot be disturbed.
    """
    if not paths.dataset.has_frames:
        raise UsageError(f"clips of {paths.dataset.name} have no frames that could be moved or disturbed")
    manifest = read_manifest(paths.cache)
    clip_ids = list(manifest.loc[manifest["status"] == "ok", "clip_id"])
    found = {}
    for one in disturbances:
        with scratch_path(paths.cache) as scratch, progress(f"test clips: {one.name}") as step:
            scratch.mkdir(parents=True)
            several = {clip_id.split("/", 1)[0] for clip_id in clip_ids}
            write_members(scratch, {name: name for name in sorted(several)} if len(several) > 1 else {})
            for done, clip_id in enumerate(build_disturbed(paths.cache, scratch, clip_ids, one, jobs), start=1):
                step(done, len(clip_ids), clip_id)
            found[one.name] = labelled_tensors(replace(paths, cache=scratch), config, uses, jobs, manifest=manifest)
    return found
