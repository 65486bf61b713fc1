"""What the commands do with runs: train, explain, make the final model, ablate, compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamic_images.input_cache import changed_clips
from dynamic_images.pipeline import check_alike, recorded_stages
from experiments.config import Config, all_sections, load_config
from experiments.preparation import (
    SYNTHETIC,
    DatasetPaths,
    Given,
    bring_up_to_date,
    data_summary,
    dataset_paths,
    disturbed_tensors,
    fitted_uses,
    label_rule,
    labelled_tensors,
    resolved,
)
from experiments.progress import Progress
from experiments.runs import provenance
from experiments.runs.run import WAIT, Run
from experiments.scoring.protocols import Protocol, find_protocol
from preprocessing.artefacts.files import remove_leftovers, write_text
from preprocessing.artefacts.locks import locked
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.errors import ToolkitError, UsageError
from preprocessing.synthetic.painted import is_painted

if TYPE_CHECKING:
    from dynamic_images.clip_input import InputUse
    from experiments.runs.systems import System
    from fusion_net.inputs import ClipTensors


@dataclass(frozen=True)
class Job:
    """A system with the clips that it is to be judged on, everything resolved.

    Attributes:
        paths: the data set.
        config: settings as they are used with it.
        system: what is judged.
        data: labelled clips with the inputs of the system, and of the baselines if there are any.
        protocol: who is held out.
        baselines: judged beside the system.
    """

    paths: DatasetPaths
    config: Config
    system: System
    data: ClipTensors
    protocol: Protocol
    baselines: tuple[System, ...] = ()

    def jobs(self, wanted: int) -> int:
        """Processes for folds: one if an accelerator trains, as many as asked for on the CPU."""
        return wanted if self.system.device == "cpu" else 1

    @property
    def seeds(self) -> range:
        """Passes over the folds."""
        return range(self.config["evaluation"].seeds)


def prepare(
    paths: DatasetPaths, config: Config, model: str, jobs: int, progress: Progress, baselines: bool = False
) -> Job:
    """Bring the data up to date, resolve the settings once, and read the clips.

    The synthetic corpus and its artefacts are always brought up to date; so are those of other data sets if their
    root is given. Otherwise what `mer dataset` left is used.
    """
    from experiments.runs.system_registry import BASELINES, SET_BASELINES, find_system, make_system  # loads torch

    bring_up_to_date(paths, config, jobs, progress)
    config = resolved(paths, config)
    given = _given(paths)

    def system(name: str, settings: Any) -> System:
        wanted = find_system(name).uses(settings)
        return make_system(name, settings, config["fit"], fitted_uses(paths, wanted, given))

    own = system(model, config[model])
    shown = SET_BASELINES if label_rule(paths, config).sets else BASELINES
    names = [name for name in shown if name != model and (name != "oracle" or given)] if baselines else []
    others = tuple(system(name, find_system(name).Settings()) for name in names)
    uses = [use for one in (own, *others) for use in one.inputs]
    data = labelled_tensors(paths, config, uses, jobs, given)
    if paths.dataset.has_frames:
        check_alike(paths.cache, data.clip_ids)
    protocol = find_protocol(config["evaluation"].protocol, config["evaluation"].k, data.splits)
    protocol(data.subjects)  # too few subjects: tell it now
    if baselines:
        stored = [one for one in uses if one.name not in given]
        data = _with_moved_labels(paths, config, stored, data, jobs, progress)
    return Job(paths, config, own, data, protocol, others)


def _with_moved_labels(
    paths: DatasetPaths, config: Config, uses: Sequence[InputUse], data: ClipTensors, jobs: int, progress: Progress
) -> ClipTensors:
    """The clips with the versions of them that are tested in their place, as ``evaluation`` says."""
    from dynamic_images.disturbances import Disturbance
    from experiments.runs.versions import with_versions

    jitter, reach = config["evaluation"].jitter, config["evaluation"].neighbours
    if not jitter and not reach:
        return data
    moves = [Disturbance("jitter", jitter)] if jitter else []
    moves += [Disturbance("onset", by) for by in range(-reach, reach + 1) if by]
    versions = disturbed_tensors(paths, config, uses, moves, jobs, progress)
    own = {"as-recorded": data.only(one.name for one in uses)} if reach else {}
    return with_versions(data, {**own, **versions})


def _given(paths: DatasetPaths) -> Given:
    """Inputs that only the drawn corpus has: the truth about its action units."""
    root = paths.root
    if paths.dataset.name != SYNTHETIC or root is None:
        return {}
    from experiments import chain_accuracy
    from experiments.runs.classical import TRUE_PEAKS

    return {TRUE_PEAKS.name: lambda clip_ids: chain_accuracy.peak_table(root, clip_ids).to_numpy(copy=True)}


def train(paths: DatasetPaths, config: Config, model: str, run: Run, jobs: int, progress: Progress) -> Path:
    """Judge a system under the protocol, with everything that the report shows; returns the report's path.

    Raises:
        FolderInUseError: another process is at work in the run.
    """
    with run.locked("mer train"):
        return _train(paths, config, model, run, jobs, progress)


def _train(paths: DatasetPaths, config: Config, model: str, run: Run, jobs: int, progress: Progress) -> Path:
    from experiments.pages.made_from import is_fresh, report_key
    from experiments.runs.folds import evaluate

    job = prepare(paths, config, model, jobs, progress, baselines=True)
    write_text(run.config_file, job.config.to_toml())
    provenance.keep(run, paths.dataset, data_summary(paths, job.config))
    if paths.dataset.name == SYNTHETIC and paths.root is not None and not is_painted(paths.root):
        from experiments import chain_accuracy

        with progress("comparing with the truth") as step:
            chain_accuracy.write(run, paths.root, paths.cache, job.config, step)
    with progress("training folds") as step:
        evaluate(
            job.data,
            run,
            job.system,
            job.baselines,
            seeds=job.seeds,
            jobs=job.jobs(jobs),
            protocol=job.protocol,
            cache=paths.cache,
            progress=step,
        )
    if is_fresh(run.report_file, report_key(run, paths.cache)):
        return run.report_file
    from experiments.pages.report import write_report  # loads matplotlib

    return write_report(run, paths.cache)


def explain(run: Run, cache: Path | None, jobs: int, progress: Progress) -> Path:
    """Explain a finished run and write its report again, from the settings that lie in its folder.

    Raises:
        FolderInUseError: another process is at work in the run.
    """
    run.about()  # is there such a run?
    with run.locked("mer explain"):
        return _explain(run, cache, jobs, progress)


def _explain(run: Run, cache: Path | None, jobs: int, progress: Progress) -> Path:
    from experiments.pages.report import write_report
    from experiments.runs.explanations import check_explainable
    from experiments.runs.explanations import explain as explain_run
    from experiments.runs.system_registry import find_system, make_system

    about, dataset = run.about(), provenance.dataset_of(run)
    model = about["model"]
    config = load_config(all_sections(), str(run.config_file))
    check_explainable(make_system(model, config[model], config["fit"]), about["classes"])
    paths = dataset_paths(dataset, config, cache=cache or run.cache())
    _refuse_sets(paths, config, "mer explain")
    if not paths.dataset.has_frames:
        raise UsageError(
            f"mer explain needs facial landmarks, which clips of {dataset} do not have: its images were made elsewhere"
        )
    uses = fitted_uses(paths, find_system(model).uses(config[model]), {})
    system = check_explainable(make_system(model, config[model], config["fit"], uses), about["classes"])
    data = labelled_tensors(paths, config, uses, jobs)
    with progress("training again and explaining") as step:
        explain_run(
            data,
            run,
            paths.cache,
            system,
            jobs=jobs if system.device == "cpu" else 1,
            protocol=find_protocol(config["evaluation"].protocol, config["evaluation"].k, data.splits),
            progress=step,
        )
    return write_report(run, paths.cache)


def final(
    paths: DatasetPaths,
    config: Config,
    model: str,
    run: Run,
    out: Path,
    jobs: int,
    progress: Progress,
    judge: bool = True,
) -> Path:
    """A model folder trained on all subjects; with ``judge``, the leave-one-subject-out run is finished first.

    Raises:
        UsageError: ``out`` holds something that is no model, or no model can come of this.
        FolderInUseError: another process is at work in the run or in ``out``.
    """
    from experiments.runs.final import check_place
    from experiments.runs.system_registry import find_system
    from fusion_net.models.contract import Model

    if not issubclass(find_system(model), Model):
        raise UsageError(f"--final has no effect on {model}: only networks are kept as models to use")
    if not paths.dataset.has_frames:
        raise UsageError(
            f"--final has no use on {paths.dataset.name}: a model of images that were made elsewhere fits no video"
        )
    _refuse_sets(paths, config, "mer train --final")
    check_place(out)
    with run.locked("mer train --final"), locked(out, "mer train --final", WAIT):
        return _final(paths, config, model, run, out, jobs, progress, judge)


def _refuse_sets(paths: DatasetPaths, config: Config, command: str) -> None:
    if label_rule(paths, config).sets:
        raise UsageError(f"{command} is for clips with one class each, not for scheme {config['evaluation'].scheme!r}")


def _final(
    paths: DatasetPaths, config: Config, model: str, run: Run, out: Path, jobs: int, progress: Progress, judge: bool
) -> Path:
    from experiments.runs.final import judged, train_final
    from experiments.runs.systems import Network

    if judge:
        train(paths, config, model, run, jobs, progress)
    job = prepare(paths, config, model, jobs, progress)
    manifest = read_manifest(paths.cache)
    usable = int((manifest["status"] == "ok").sum())
    facts = {
        "dataset": paths.name if paths.ours else paths.dataset.name,
        "scheme": label_rule(paths, config).name,
        "rejected": len(manifest) - usable,
        "left_out": usable - len(job.data),
    }
    if not isinstance(job.system, Network):
        raise UsageError(f"--final has no effect on {model}: only networks are kept as models to use")
    with progress("training on all subjects") as step:
        step(0, 1, f"{len(job.data)} clips, {job.system.training.epochs} epochs")
        # of the pictures themselves, whatever the settings say now
        stages = recorded_stages(paths.cache, job.data.clip_ids)
        if changed_clips(paths.cache, job.data.origins):
            raise ToolkitError(f"clips in {paths.cache} were made again since they were read: start this command again")
        train_final(job.data, out, job.system, stages, facts, judged(run) if judge else None)
        step(1, 1, str(out))
    return out


def ablation(paths: DatasetPaths, config: Config, model: str, folder: Path, jobs: int, progress: Progress) -> str:
    """The variants of a system on the same folds and seeds; returns the table as Markdown.

    Raises:
        FolderInUseError: another process is at work in ``folder``.
        UsageError: the official test sets would be looked at variant by variant.
    """
    if config["evaluation"].protocol == "official_split":
        raise UsageError(
            "an ablation on the official test sets would choose by them: compare variants within the training part "
            "(--set evaluation.protocol=official_train), and judge the one that you chose by mer train"
        )
    with Run(folder).locked("mer ablate"):
        return _ablation(paths, config, model, folder, jobs, progress)


def _ablation(paths: DatasetPaths, config: Config, model: str, folder: Path, jobs: int, progress: Progress) -> str:
    from experiments.runs.ablation import ablate, markdown
    from experiments.runs.system_registry import find_system, make_system

    job = prepare(paths, config, model, jobs, progress)
    config, given = job.config, _given(paths)
    systems = {}
    for name, change in find_system(model).variants(config[model], job.system.inputs).items():
        settings = dataclasses.replace(config[model], **change)
        uses = fitted_uses(paths, find_system(model).uses(settings), given)
        systems[name] = make_system(model, settings, config["fit"], uses)
    wanted = [use for system in systems.values() for use in system.inputs]
    data = labelled_tensors(paths, config, wanted, jobs, given)
    write_text(folder / "config.toml", config.to_toml())
    with progress("training variants") as step:
        table = ablate(
            data, systems, folder, seeds=job.seeds, jobs=job.jobs(jobs), protocol=job.protocol, progress=step
        )
    return markdown(table)


def robustness_card(
    paths: DatasetPaths, config: Config, model: str, folder: Path, jobs: int, progress: Progress
) -> str:
    """A system trained on clips as recorded and tested on disturbed ones; returns the table as Markdown.

    Raises:
        FolderInUseError: another process is at work in ``folder``.
        UsageError: clips without frames, or settings that change the test clips themselves.
    """
    with Run(folder).locked("mer ablate --robustness"):
        return _robustness_card(paths, config, model, folder, jobs, progress)


def _robustness_card(
    paths: DatasetPaths, config: Config, model: str, folder: Path, jobs: int, progress: Progress
) -> str:
    from dynamic_images.disturbances import CARD
    from experiments.runs.robustness import markdown, robustness
    from experiments.runs.versions import with_versions

    if config["evaluation"].jitter or config["evaluation"].neighbours:
        raise UsageError("--robustness moves labels itself: leave evaluation.jitter and evaluation.neighbours at 0")
    job = prepare(paths, config, model, jobs, progress)
    given = _given(paths)
    uses = [one for one in job.system.inputs if one.name not in given]
    if not uses:
        raise UsageError(f"--robustness has no effect on {model}: it looks at no clip")
    versions = disturbed_tensors(paths, job.config, uses, CARD, jobs, progress)
    data = with_versions(job.data, versions)
    write_text(folder / "config.toml", job.config.to_toml())
    with progress("training folds") as step:
        table = robustness(data, job.system, folder, job.seeds, job.jobs(jobs), job.protocol, step)
    return markdown(table)


def comparison(
    folders: list[Path], page: Path | None, cost: bool, progress: Progress, averaged: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Compare finished runs, with ``averaged`` of the mean probabilities of seeds; returns the page and its numbers."""
    from experiments.pages.comparison import read_runs, together, write_comparison
    from experiments.runs.cost import measure

    runs = read_runs(folders)
    if averaged:
        runs = together(runs)
    if cost:
        with progress("measuring cost") as step:
            for i, run in enumerate(runs):
                runs[i] = dataclasses.replace(run, cost=measure(run.about, run.predictions["clip_id"].nunique()))
                step(i + 1, len(runs), run.name)
    names = "_".join(Path(run.name).name for run in runs)
    path = page or Path("runs") / "compare" / f"{names}{'-together' if averaged else ''}.html"
    remove_leftovers(path.parent)
    return path, write_comparison(runs, path)
