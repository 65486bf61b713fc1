"""What the commands do, step by step, on folders that are named once: corpus → artefacts → run."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dynamic_images.pipeline import build_dataset, recorded_stages
from dynamic_images.precomputed import build_streams, is_streams
from experiments.config import Config, for_streams
from experiments.progress import Progress
from experiments.runs import provenance
from experiments.scoring.protocols import Protocol, find_protocol
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import MANIFEST, read_manifest
from preprocessing.clips import Clip
from preprocessing.datasets import DATASETS, Composite, Dataset, DataSettings, LabelRule, find_dataset, read_schemes
from preprocessing.datasets.composite_check import differences
from preprocessing.datasets.composites import CompositeRule, count, join
from preprocessing.datasets.streams import StreamClip
from preprocessing.errors import UsageError
from preprocessing.synthetic.corpus import generate

if TYPE_CHECKING:
    from fusion_net.inputs import ClipTensors

SYNTHETIC = "synthetic"


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


def place(dataset: str, config: Config, root: Path | None = None, cache: Path | None = None) -> Place:
    """Resolve the folders of a data set; a corpus whose labels carry no information never shares a folder."""
    found = find_dataset(dataset)
    settings = found.complete(config["data"])
    name = _corpus_name(config) if dataset == SYNTHETIC else dataset + found.suffix(settings)
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
        DatasetError: the data set does not lie there, or a member of a composite is not built yet.
    """
    if isinstance(where.dataset, Composite):
        where.dataset.refuse_root(where.root)
        return join(_composite_rule(where.dataset, config), where.cache, where.dataset.suffix(where.settings))
    if where.root is None:
        raise UsageError(f"the folder of {where.dataset.name} is not given: add --root /path (with make: ROOT=/path)")
    if where.ours:
        make_corpus(where.root, config, jobs, progress)
    clips, survey = where.dataset.clips(where.root, where.settings)
    images = [clip for clip in clips if isinstance(clip, StreamClip)]
    done = 0
    with progress("images" if images else "faces, flow, dynamic images") as step:

        def on_clip(row: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            step(done, len(clips), row["clip_id"] + (f" rejected: {row['reason']}" if row["reason"] else ""))

        if images:
            build_streams(images, where.cache, config["streams"], jobs, on_clip)
        else:
            framed = [clip for clip in clips if isinstance(clip, Clip)]
            build_dataset(framed, where.cache, config.stages, jobs, on_clip)
    provenance.describe(where.cache, clips, where.settings, survey)
    return read_manifest(where.cache)


def label_rule(where: Place, config: Config) -> LabelRule:
    """Which class each clip of a manifest belongs to, as ``evaluation.scheme`` and ``evaluation.schemes`` say."""
    evaluation = config["evaluation"]
    schemes = read_schemes(evaluation.schemes, DATASETS)
    return where.dataset.label_rule(evaluation.scheme, schemes, where.settings)


def _composite_rule(dataset: Composite, config: Config) -> CompositeRule:
    evaluation = config["evaluation"]
    return dataset.rule(evaluation.scheme, read_schemes(evaluation.schemes, DATASETS))


def composite_lines(where: Place, config: Config, manifest: pd.DataFrame, listed: Path | None) -> list[str]:
    """What a composite consists of, and how it differs from the organisers' list; nothing for other data sets."""
    if not isinstance(where.dataset, Composite):
        return []
    rule = _composite_rule(where.dataset, config)
    lines = count(rule, manifest)
    if listed is None:
        return lines
    found = differences(rule, manifest, listed)
    verdict = f"{len(found)} differences to" if found else "the same clips and classes as"
    return [*lines, *found, f"{verdict} {listed}"]


def said_of_a_run(where: Place, config: Config) -> list[str]:
    """What every run says of its data: which copy, and clips per class."""
    members = [
        where.cache.parent / f"{member}{where.dataset.suffix(where.settings)}" for member in where.dataset.members
    ]
    copies = [provenance.description(cache) for cache in members or [where.cache]]
    in_use = provenance.classes_in_use(label_rule(where, config), read_manifest(where.cache))
    return [*filter(None, copies), in_use]


def _brought_up_to_date(where: Place, config: Config, jobs: int, progress: Progress) -> None:
    """Before training: labels are asked for before hours of work, then what is not there yet is made."""
    label_rule(where, config)
    if where.root is None and not where.dataset.members:
        provenance.check_settings(where.cache, where.settings)
    if where.root is not None or where.dataset.members or not (where.cache / MANIFEST).is_file():
        make_dataset(where, config, jobs, progress)


def resolve(config: Config, manifest: pd.DataFrame) -> Config:
    """Settings of a run as they are used: on precomputed images some follow from the images' size."""
    sides = manifest["side"].dropna() if is_streams(manifest) and "side" in manifest else pd.Series(dtype=int)
    return for_streams(config, int(sides.max())) if len(sides) else config


def train(where: Place, config: Config, model: str, run: Path, jobs: int, progress: Progress) -> Path:
    """Training under the protocol and everything that the report shows; returns the report's path.

    The synthetic corpus and its artefacts are brought up to date first; so are those of other data sets where their
    root is given. Otherwise what `mer dataset` left is used.
    """
    from experiments.runs.folds import Recipe, evaluate  # torch takes seconds to load; offline commands do without

    _brought_up_to_date(where, config, jobs, progress)
    config = resolve(config, read_manifest(where.cache))
    data = load_tensors(where, config, model)
    protocol = protocol_of(config)
    protocol(data.subjects)  # too few subjects: say so now
    write_text(run / "config.toml", config.to_toml())
    provenance.keep(run, where.dataset, said_of_a_run(where, config))
    peaks = None
    if where.dataset.name == SYNTHETIC and where.root is not None:
        from experiments import chain_accuracy as truth

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
            protocol=protocol,
            peaks=peaks,
            progress=step,
        )


def explain(run: Path, cache: Path | None, jobs: int, progress: Progress) -> Path:
    """Explain a finished run and write its report again, from the settings that lie in its folder."""
    from experiments.config import all_sections, load_config
    from experiments.pages.report import write_report
    from experiments.runs.explanations import explain as explain_run
    from experiments.runs.folds import Recipe
    from experiments.runs.run import METRICS_FILE, PREDICTIONS, RUN, read_json, read_predictions

    model, name = read_json(run / RUN)["model"], read_json(run / METRICS_FILE).get("cache", "")
    config = load_config(all_sections(), str(run / "config.toml"))
    dataset = provenance.dataset_of(run) or read_predictions(run / PREDICTIONS)["clip_id"].iloc[0].split("/", 1)[0]
    where = place(dataset, config, cache=cache or Path("cache", name or dataset))
    if not where.dataset.has_frames:
        raise UsageError(
            f"mer explain has no use on {dataset}: it needs facial landmarks, which precomputed images do not have"
        )
    data = load_tensors(where, config, model)
    with progress("training again and explaining") as step:
        explain_run(
            data,
            run,
            where.cache,
            Recipe(config[model], config["fit"]),
            jobs=training_jobs(config, jobs),
            protocol=protocol_of(config),
            progress=step,
        )
    return write_report(run, where.cache)


def final(
    where: Place, config: Config, model: str, run: Path, out: Path, jobs: int, progress: Progress, judge: bool = True
) -> Path:
    """A model folder trained on all subjects; with ``judge``, the leave-one-subject-out run is finished first."""
    from experiments.runs.final import judged, train_final
    from experiments.runs.folds import Recipe

    if not where.dataset.has_frames:
        raise UsageError(
            f"--final has no use on {where.dataset.name}: a model of images that were made elsewhere fits no video"
        )
    if judge:
        train(where, config, model, run, jobs, progress)
    else:
        _brought_up_to_date(where, config, jobs, progress)
    data, manifest = load_tensors(where, config, model), read_manifest(where.cache)
    usable = int((manifest["status"] == "ok").sum())
    facts = {
        "dataset": where.name if where.ours else where.dataset.name,
        "scheme": label_rule(where, config).name,
        "rejected": len(manifest) - usable,
        "left_out": usable - len(data),
    }
    recipe = Recipe(config[model], config["fit"])
    with progress("training on all subjects") as step:
        step(0, 1, f"{len(data)} clips, {recipe.fit.epochs} epochs")
        stages = recorded_stages(
            where.cache, data.clip_ids
        )  # of the pictures themselves, whatever the settings say now
        train_final(data, out, recipe, stages, facts, judged(run) if judge else None)
        step(1, 1, str(out))
    return out


def ablation(where: Place, config: Config, model: str, folder: Path, jobs: int, progress: Progress) -> str:
    """The variants of a model on the same folds and seeds; returns the table as Markdown."""
    from experiments.runs.ablation import ablate, markdown, variants
    from experiments.runs.folds import Recipe

    _brought_up_to_date(where, config, jobs, progress)
    manifest = read_manifest(where.cache)
    config = resolve(config, manifest)
    recipes = {
        name: Recipe(dataclasses.replace(config[model], **change), config["fit"])
        for name, change in variants(model, is_streams(manifest)).items()
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
            protocol=protocol_of(config),
            progress=step,
        )
    return markdown(table)


def comparison(folders: list[Path], page: Path | None, cost: bool, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """Compare finished runs; returns the page and its numbers."""
    from experiments.pages.comparison import read_runs, write_comparison
    from experiments.runs.cost import measure

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
    from fusion_net.inputs import load_clips
    from fusion_net.models import MODELS

    classes, manifest = label_rule(where, config).apply(read_manifest(where.cache))
    return load_clips(
        manifest,
        where.cache,
        inputs=tuple(MODELS[model].INPUTS),
        classes=classes,
        labels=list(manifest["label"]),
        size=config["evaluation"].input_size,
        n_frames=getattr(config[model], "frames", None),
    )


def protocol_of(config: Config) -> Protocol:
    """Who is held out, as ``evaluation.protocol`` says."""
    return find_protocol(config["evaluation"].protocol, config["evaluation"].k)


def training_jobs(config: Config, jobs: int) -> int:
    """Processes for folds: one where an accelerator trains, as many as asked for on the CPU."""
    from fusion_net.device import resolve_device

    return jobs if resolve_device(config["fit"].device).type == "cpu" else 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
