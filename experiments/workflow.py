"""What the commands do, step by step, on folders that are named once: corpus → artefacts → run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dynamic_images.dataset import build_dataset
from experiments.config import Config
from preprocessing.cache import MANIFEST, read_manifest, write_text
from preprocessing.datasets import Dataset, find_dataset
from preprocessing.datasets.labels import Scheme, class_of, find_scheme
from preprocessing.errors import UsageError
from preprocessing.synthetic.corpus import generate

if TYPE_CHECKING:
    from fusion_net.data import ClipTensors

Step = Callable[[int, int, str], None]
Progress = Callable[[str], AbstractContextManager[Step]]
"""Opens the display of one piece of long work by its title."""

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Place:
    """Where a data set lies and where its artefacts go.

    Attributes:
        dataset: what it is.
        root: the files; None where the user gave none and the data set is not made here.
        cache: ``cache/<dataset>``.
        ours: whether the files are made here. Those of a root that the user gave are only read.
    """

    dataset: Dataset
    root: Path | None
    cache: Path
    ours: bool = False

    @property
    def name(self) -> str:
        """Name of the cache folder, which also names runs."""
        return self.cache.name


def place(dataset: str, config: Config, root: Path | None = None, cache: Path | None = None) -> Place:
    """Resolve the folders of a data set; a corpus whose labels carry no information never shares a folder."""
    found = find_dataset(dataset)
    name = _corpus_name(config) if dataset == SYNTHETIC else dataset
    ours = dataset == SYNTHETIC and root is None
    return Place(found, corpus_root(config) if ours else root, cache or Path("cache") / name, ours)


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
    clips = where.dataset.load(where.root)
    done = 0
    with progress("faces, flow, dynamic images") as step:

        def on_clip(row: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            step(done, len(clips), row["clip_id"] + (f" rejected: {row['reason']}" if row["reason"] else ""))

        build_dataset(clips, where.cache, config.stages, jobs, on_clip)
    return read_manifest(where.cache)


def train(where: Place, config: Config, model: str, run: Path, jobs: int, progress: Progress) -> Path:
    """Leave-one-subject-out training and everything that the report shows; returns the report's path.

    The synthetic corpus and its artefacts are brought up to date first; so are those of other data sets where their
    root is given. Otherwise what `mer dataset` left is used.
    """
    from experiments.loso import Recipe, evaluate  # torch takes seconds to load; offline commands do without
    from experiments.protocols import leave_one_subject_out

    find_scheme(where.dataset.name, config["evaluation"].scheme)  # no labels: say so now, not after hours of work
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


def ablation(
    where: Place, config: Config, model: str, folder: Path, jobs: int, progress: Progress, folds: int | None = None
) -> str:
    """The variants of a model on the same folds and seeds; returns the table as Markdown.

    With ``folds`` so many folds of whole subjects, the same for all variants, instead of leaving one subject out.
    """
    from experiments.ablation import VARIANTS, ablate, markdown
    from experiments.loso import Recipe
    from experiments.protocols import leave_one_subject_out, subject_k_fold

    find_scheme(where.dataset.name, config["evaluation"].scheme)
    if where.root is not None or not (where.cache / MANIFEST).is_file():
        make_dataset(where, config, jobs, progress)
    recipes = {
        name: Recipe(dataclasses.replace(config[model], **change), config["fit"])
        for name, change in VARIANTS[model].items()
    }
    data = load_tensors(where, config, model)
    write_text(folder / "config.toml", config.to_toml())
    with progress("training variants") as step:
        table = ablate(
            data,
            recipes,
            folder,
            seeds=range(config["evaluation"].seeds),
            jobs=training_jobs(config, jobs),
            protocol=leave_one_subject_out if folds is None else partial(subject_k_fold, k=folds),
            progress=step,
        )
    return markdown(table)


def comparison(folders: list[Path], page: Path | None, cost: bool, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """Compare finished runs; returns the page and its numbers."""
    from experiments.compare import read_runs, write_comparison
    from experiments.cost import measure

    runs = read_runs(folders)
    if cost:
        with progress("measuring cost") as step:
            for i, run in enumerate(runs):
                runs[i] = dataclasses.replace(run, cost=measure(run.about))
                step(i + 1, len(runs), run.name)
    names = "_".join(Path(run.name).name for run in runs)
    path = page or Path("runs") / "compare" / f"{names}.html"
    return path, write_comparison(runs, path)


def load_tensors(where: Place, config: Config, model: str) -> ClipTensors:
    """The labelled clips of a cache as a model eats them; clips that the label scheme leaves out are not among them."""
    from fusion_net.data import load_clips
    from fusion_net.models import MODELS

    _, scheme = find_scheme(where.dataset.name, config["evaluation"].scheme)
    manifest = labelled(read_manifest(where.cache), scheme)
    return load_clips(
        manifest,
        where.cache,
        inputs=tuple(MODELS[model].INPUTS),
        classes=tuple(scheme),
        labels=list(manifest["label"]),
        size=config["evaluation"].input_size,
        n_frames=getattr(config[model], "frames", None),
    )


def labelled(manifest: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Usable rows that the scheme has a class for, with the class in column ``label``."""
    words = manifest["emotion"].where(manifest["emotion"].notna(), None)
    rows = manifest.assign(label=words.map(lambda word: class_of(word, scheme)))
    return rows[rows["label"].notna() & (rows["status"] == "ok")].reset_index(drop=True)


def training_jobs(config: Config, jobs: int) -> int:
    """Processes for folds: one where an accelerator trains, as many as asked for on the CPU."""
    from fusion_net.device import resolve_device

    return jobs if resolve_device(config["fit"].device).type == "cpu" else 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
