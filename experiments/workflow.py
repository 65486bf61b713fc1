"""What the commands do, step by step, on folders that are named once: corpus → artefacts → run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dynamic_images.dataset import build_dataset
from experiments.config import Config
from preprocessing.cache import MANIFEST, plain, read_manifest, write_text
from preprocessing.clips import Clip
from preprocessing.datasets import Dataset, DataSettings, Survey, find_dataset, survey
from preprocessing.datasets import check as doctor
from preprocessing.datasets.copies import Finding
from preprocessing.datasets.labels import Scheme, class_of, find_scheme
from preprocessing.errors import DatasetError, UsageError
from preprocessing.synthetic.corpus import generate

if TYPE_CHECKING:
    from fusion_net.data import ClipTensors

Step = Callable[[int, int, str], None]
Progress = Callable[[str], AbstractContextManager[Step]]
"""Opens the display of one piece of long work by its title."""

SYNTHETIC = "synthetic"
DESCRIPTION = "dataset.json"


@dataclass(frozen=True)
class Place:
    """Where a data set lies and where its artefacts go.

    Attributes:
        dataset: what it is.
        root: the files; None where the user gave none and the data set is not made here.
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

    @property
    def schemes(self) -> str:
        """Name of its label schemes: a part of a data set can have its own words."""
        return self.dataset.name + ("-c" if self.settings.part == "c" else "")


def place(dataset: str, config: Config, root: Path | None = None, cache: Path | None = None) -> Place:
    """Resolve the folders of a data set; a corpus whose labels carry no information never shares a folder."""
    found = find_dataset(dataset)
    settings: DataSettings = config["data"]
    name = _corpus_name(config) if dataset == SYNTHETIC else dataset + settings.suffix
    ours = dataset == SYNTHETIC and root is None
    return Place(found, corpus_root(config) if ours else root, cache or Path("cache") / name, settings, ours)


def _corpus_name(config: Config) -> str:
    return f"{SYNTHETIC}-null" if config["corpus"].null else SYNTHETIC


def corpus_root(config: Config) -> Path:
    """Where the synthetic corpus goes unless said otherwise."""
    return Path("data") / _corpus_name(config)


def make_corpus(at: Path | None, config: Config, jobs: int, progress: Progress) -> Path:
    """Generate the synthetic corpus, or what is missing of it; returns its root."""
    with progress("drawing clips") as step:
        return generate(at or corpus_root(config), config["corpus"], jobs, lambda done, total: step(done, total, ""))


def make_dataset(where: Place, config: Config, jobs: int, progress: Progress) -> pd.DataFrame:
    """All offline stages of a data set; returns its manifest.

    Raises:
        UsageError: no root was given.
        DatasetError: the data set does not lie there.
    """
    if where.root is None:
        raise UsageError(f"the folder of {where.dataset.name} is not given: add --root /path (with make: ROOT=/path)")
    if where.ours:
        make_corpus(where.root, config, jobs, progress)
    clips, survey = where.dataset.clips(where.root, where.settings)
    done = 0
    with progress("faces, flow, dynamic images") as step:

        def on_clip(row: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            step(done, len(clips), row["clip_id"] + (f" rejected: {row['reason']}" if row["reason"] else ""))

        build_dataset(clips, where.cache, config.stages, jobs, on_clip)
    _describe(where, clips, survey)
    return read_manifest(where.cache)


def _describe(where: Place, clips: Sequence[Clip], survey: Survey | None) -> None:
    """Keep in words which copy of the data set the artefacts come from; `description` reads it."""
    counts = Counter(clip.emotion for clip in clips if clip.emotion)
    people = len({clip.subject for clip in clips})
    words = "".join(f", {word} {n}" for word, n in counts.most_common())
    summary = f"{where.name}: {len(clips)} clips of {people} subjects{words}" if survey is None else survey.summary
    findings = [] if survey is None else [plain(finding) for finding in survey.findings]
    content = {"summary": summary, "settings": plain(where.settings), "findings": findings}
    write_text(where.cache / DESCRIPTION, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def description(where: Place) -> str:
    """Which copy of the data set the artefacts come from; empty where they are older than this."""
    path = where.cache / DESCRIPTION
    return str(json.loads(path.read_text("utf-8"))["summary"]) if path.is_file() else ""


def check_settings(where: Place) -> None:
    """Refuse, where no root is given, settings that the artefacts were not made with: they would have no effect.

    Raises:
        UsageError: naming the setting, what it was and what is wanted.
    """
    path = where.cache / DESCRIPTION
    if where.root is not None or not path.is_file():
        return
    made = json.loads(path.read_text("utf-8"))["settings"]
    for name in where.settings.given:
        if made.get(name) != getattr(where.settings, name):
            raise UsageError(
                f"{where.cache} was made with {name} = {made.get(name)!r}, not {getattr(where.settings, name)!r}: "
                "add --root to make it again"
            )


def classes(where: Place, config: Config) -> str:
    """The label scheme in use and how many clips of the cache each class has."""
    name, scheme = find_scheme(where.schemes, config["evaluation"].scheme)
    manifest = read_manifest(where.cache)
    rows = labelled(manifest, scheme)
    counts = rows["label"].value_counts()
    each = ", ".join(f"{label} {counts.get(label, 0)}" for label in scheme)
    rejected = int((manifest["status"] != "ok").sum())
    return (
        f"label scheme {name}: {len(rows)} clips of {rows['subject'].nunique()} subjects, {each}; "
        f"{len(manifest) - len(rows) - rejected} of other classes, {rejected} rejected"
    )


def check(name: str, root: Path, config: Config, decode: bool, everything: bool, progress: Progress) -> tuple[str, int]:
    """The doctor's page on a root, and its exit code.

    Raises:
        UsageError: there is no such data set, or nothing is known that its copies could be compared with.
    """
    dataset = find_dataset(name)
    if dataset.layout is None:
        raise UsageError(f"there is nothing to check {name} against: wanted a data set with a published layout")
    layout = dataset.layout(config["data"])
    try:
        found = survey(layout, root, config["data"])
    except DatasetError as error:
        return doctor.refusal(layout.title, str(error))
    broken: list[str] = []
    if decode:
        with progress("decoding") as step:
            for done, (clip, reason) in enumerate(doctor.decode(found.clips), start=1):
                step(done, found.usable, clip.clip_id)
                broken += [f"{clip.clip_id}: {reason}"] if reason else []
    findings = [Finding("clips with frames that do not decode", tuple(broken))] if broken else []
    return doctor.page(found, findings, 0 if everything else 3)


def train(where: Place, config: Config, model: str, run: Path, jobs: int, progress: Progress) -> Path:
    """Leave-one-subject-out training and everything that the report shows; returns the report's path.

    The synthetic corpus and its artefacts are brought up to date first; so are those of other data sets where their
    root is given. Otherwise what `mer dataset` left is used.
    """
    from experiments.loso import Recipe, evaluate  # torch takes seconds to load; offline commands do without
    from experiments.protocols import leave_one_subject_out

    find_scheme(where.schemes, config["evaluation"].scheme)  # no labels: say so now, not after hours of work
    check_settings(where)
    if where.root is not None or not (where.cache / MANIFEST).is_file():
        make_dataset(where, config, jobs, progress)
    data = load_tensors(where, config, model)
    leave_one_subject_out(data.subjects)  # too few subjects: say so now
    write_text(run / "config.toml", config.to_toml())
    peaks = None
    if where.dataset.name == SYNTHETIC and where.root is not None:
        from experiments import truth

        with progress("comparing with the truth") as step:
            truth.write(run, where.root, where.cache, config, step)
        peaks = truth.peak_table(where.root, data.clip_ids)
    with progress("training folds") as step:
        return evaluate(
            data,
            run,
            where.cache,
            Recipe(config[model], config["fit"]),
            seeds=range(config["evaluation"].seeds),
            jobs=training_jobs(config, jobs),
            peaks=peaks,
            progress=step,
        )


def ablation(where: Place, config: Config, folder: Path, jobs: int, progress: Progress) -> str:
    """Every fusion of AFN, and its gate held, on the same folds and seeds; returns the table as Markdown."""
    from experiments.ablation import ablate, markdown
    from experiments.loso import Recipe

    find_scheme(where.schemes, config["evaluation"].scheme)
    if where.root is not None or not (where.cache / MANIFEST).is_file():
        make_dataset(where, config, jobs, progress)
    variants = {fusion: {"fusion": fusion} for fusion in ("gated", "concat", "sum", "temporal_only", "intensity_only")}
    held: dict[str, dict[str, Any]] = {f"gate fixed at {gate:g}": {"gate": gate} for gate in (0.0, 0.5, 1.0)}
    recipes = {
        name: Recipe(dataclasses.replace(config["afn"], **change), config["fit"])
        for name, change in {**variants, **held}.items()
    }
    data = load_tensors(where, config, "afn")
    write_text(folder / "config.toml", config.to_toml())
    with progress("training variants") as step:
        table = ablate(
            data,
            recipes,
            folder,
            seeds=range(config["evaluation"].seeds),
            jobs=training_jobs(config, jobs),
            progress=step,
        )
    return markdown(table)


def load_tensors(where: Place, config: Config, model: str) -> ClipTensors:
    """The labelled clips of a cache as a model eats them; clips that the label scheme leaves out are not among them."""
    from fusion_net.data import load_clips
    from fusion_net.models import MODELS

    _, scheme = find_scheme(where.schemes, config["evaluation"].scheme)
    manifest = labelled(read_manifest(where.cache), scheme)
    return load_clips(
        manifest,
        where.cache,
        inputs=tuple(MODELS[model].INPUTS),
        classes=tuple(scheme),
        labels=list(manifest["label"]),
        size=config["evaluation"].input_size,
    )


def labelled(manifest: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Usable rows that the scheme has a class for, with the class in column ``label``."""
    objective = manifest.get("objective_class", pd.Series(dtype=str)).reindex(manifest.index)
    pairs = zip(manifest["emotion"], objective, strict=True)
    labels = pd.Series([class_of(_text(word), scheme, _text(number)) for word, number in pairs], dtype=object)
    rows = manifest.assign(label=labels.set_axis(manifest.index))
    return rows[rows["label"].notna() & (rows["status"] == "ok")].reset_index(drop=True)


def _text(cell: Any) -> str | None:
    return None if pd.isna(cell) else str(cell)


def training_jobs(config: Config, jobs: int) -> int:
    """Processes for folds: one where an accelerator trains, as many as asked for on the CPU."""
    from fusion_net.device import resolve_device

    return jobs if resolve_device(config["fit"].device).type == "cpu" else 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
