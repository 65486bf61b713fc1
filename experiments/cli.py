"""``mer``: the one door. Parse, call, show."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import cv2
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import workflow
from experiments.config import Config, all_sections, load_config, offline_sections
from experiments.progress import progress
from preprocessing.datasets import DATASETS
from preprocessing.errors import ToolkitError, UsageError

app = typer.Typer(
    help="Facial micro-expressions: from clips to dynamic images to a leave-one-subject-out result.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

F = TypeVar("F", bound=Callable[..., Any])

DatasetName = Annotated[str, typer.Argument(help=f"One of: {', '.join(DATASETS)}.", metavar="DATASET")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set; not needed for synthetic.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of the artefacts; default cache/DATASET.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="A TOML file of settings, or `quick`.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="One setting: section.key=value. Repeatable.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core. Any number gives the same bytes.")]
Null = Annotated[bool, typer.Option("--null", help="Synthetic corpus whose labels carry no information.")]
LandmarkModel = Annotated[Path | None, typer.Option(help="A dlib 68-point predictor instead of the installed one.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder: runs/NAME.")]


def _guarded(command: F) -> F:
    """Errors that are meant for people become one sentence, and exit code 1, or 2 where what was typed is wrong."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        code = 1
        try:
            return command(*args, **kwargs)
        except UsageError as error:
            code, text = 2, str(error)
        except (ToolkitError, ValueError) as error:
            text = str(error)
        except OSError as error:
            # numpy's has neither number nor name when the disk is full
            what = error.strerror or f"a file cannot be written ({error}); is the disk full?"
            text = f"{what}{f': {error.filename}' if error.filename else ''}. What is finished is kept."
        except KeyboardInterrupt:
            code, text = 130, "interrupted: what is finished is kept, the same command goes on from there"
        err.print(Text(text) if code == 130 else Text.assemble(("error: ", "red"), text))
        raise typer.Exit(code)

    return guarded  # type: ignore[return-value]


@app.command()
@_guarded
def synth(
    at: Annotated[
        Path | None, typer.Argument(help="Folder to write; default data/synthetic.", metavar="[FOLDER]")
    ] = None,
    subjects: Annotated[int | None, typer.Option(min=1)] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="Clips per subject.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, other faces and clips.")] = None,
    intensity: Annotated[float | None, typer.Option(min=0, help="Multiplies the peak displacements.")] = None,
    null: Null = False,
    config: ConfigFile = None,
    change: Changes = None,
    jobs: Jobs = 0,
) -> None:
    """Draw the synthetic corpus: image folders, an annotation table, and the truth beside them."""
    wanted = {"subjects": subjects, "clips_per_subject": clips, "seed": seed, "intensity": intensity}
    changes = [f"corpus.{key}={value}" for key, value in wanted.items() if value is not None]
    settings = _settings(offline_sections(), config, [*(change or []), *changes], null)
    out.print(f"{workflow.make_corpus(at, settings, jobs or workflow.cores(), _progress)}")


@app.command()
@_guarded
def dataset(
    name: DatasetName = workflow.SYNTHETIC,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    landmark_model: LandmarkModel = None,
    jobs: Jobs = 0,
) -> None:
    """Faces, flow and dynamic images of every clip. Resumable; a second call does only what changed."""
    settings = _settings(offline_sections(), config, change, null, landmark_model)
    where = workflow.place(name, settings, root, cache)
    manifest = workflow.make_dataset(where, settings, jobs or workflow.cores(), _progress)
    rejected = manifest[manifest["status"] == "rejected"]
    out.print(f"{len(manifest)} clips, {len(manifest) - len(rejected)} usable, {len(rejected)} rejected")
    for row in rejected.itertuples():
        out.print(f"rejected {row.clip_id}: {row.reason} ({row.code})", markup=False)
    out.print(f"{where.cache / 'manifest.csv'}")


@app.command()
@_guarded
def inspect(
    name: DatasetName = workflow.SYNTHETIC,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    jobs: Jobs = 0,
) -> None:
    """Contact sheet of every clip and one page of the data set."""
    from dynamic_images.gallery import write_gallery  # matplotlib takes a second to load

    settings = _settings(offline_sections(), config, change, null)
    where = workflow.place(name, settings, root, cache)
    if not (where.cache / "manifest.csv").is_file():
        workflow.make_dataset(where, settings, jobs or workflow.cores(), _progress)
    with _progress("contact sheets and film strips") as step:
        page = write_gallery(
            where.cache, jobs=jobs or workflow.cores(), progress=lambda done, total: step(done, total, "")
        )
    out.print(f"{page}")


@app.command()
@_guarded
def train(
    name: DatasetName = workflow.SYNTHETIC,
    model: Annotated[str, typer.Option(help="The network.")] = "afn",
    seeds: Annotated[int | None, typer.Option(min=1, help="Passes over all folds.")] = None,
    run: Annotated[str | None, typer.Option("--name", help="Name of the run; default DATASET-MODEL.")] = None,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    landmark_model: LandmarkModel = None,
    jobs: Jobs = 0,
) -> None:
    """Train and judge leave-one-subject-out; writes runs/NAME and its report.html. Resumable."""
    changes = [*(change or []), *([f"evaluation.seeds={seeds}"] if seeds else [])]
    settings = _settings(all_sections(), config, changes, null, landmark_model, _defaults(model))
    where = workflow.place(name, settings, root, cache)
    folder = _run_folder(run or f"{where.name}-{model}")
    report = workflow.train(where, settings, model, folder, jobs or workflow.cores(), _progress)
    _show_scores(folder)
    out.print(f"{report}")


@app.command()
@_guarded
def report(run: RunFolder, cache: Cache = None) -> None:
    """Write the report of a finished run again."""
    from experiments.report import write_report
    from experiments.results import METRICS_FILE, read_json

    name = read_json(run / METRICS_FILE).get("cache", "")
    if cache is None and not name:
        raise UsageError(f"{run} does not say where its clips are: name the folder with --cache")
    out.print(f"{write_report(run, cache or Path('cache', name))}")


@app.command()
@_guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more; differences are later minus earlier.")],
    page: Annotated[
        Path | None, typer.Option("--out", help="The page to write; default runs/compare/NAME_NAME.html.")
    ] = None,
    cost: Annotated[bool, typer.Option(help="Measure what the networks cost on this machine.")] = True,
) -> None:
    """Runs side by side on the same clips: scores, paired differences, classes, subjects, cost; one page."""
    from experiments.compare import markdown

    found, numbers = workflow.comparison(runs, page, cost, _progress)
    out.print(markdown(numbers), markup=False)
    out.print(f"{found}")


@app.command()
@_guarded
def ablate(
    name: DatasetName = workflow.SYNTHETIC,
    model: Annotated[str, typer.Option(help="The network.")] = "afn",
    seeds: Annotated[int | None, typer.Option(min=1, help="Passes over all folds.")] = None,
    run: Annotated[
        str | None,
        typer.Option("--name", help="Name of the run; default DATASET-ablation, of AFN; else with the model."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="So many folds of whole subjects instead of leaving one out: quicker.")
    ] = None,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    jobs: Jobs = 0,
) -> None:
    """A model without each of its parts in turn, on the same folds and seeds; one table.

    AFN: every fusion, and its gate fixed at 0, 0.5 and 1. FDP: without the rank loss, the learnt pooling or the
    construction head, with blocks of one kind only, other pooling weights, frames as recorded.
    """
    changes = [*(change or []), *([f"evaluation.seeds={seeds}"] if seeds else [])]
    settings = _settings(all_sections(), config, changes, null, defaults=_defaults(model))
    where = workflow.place(name, settings, root, cache)
    folder = _run_folder(run or (f"{where.name}-ablation" if model == "afn" else f"{where.name}-{model}-ablation"))
    table = workflow.ablation(where, settings, model, folder, jobs or workflow.cores(), _progress, folds)
    out.print(table, markup=False)


@app.command()
@_guarded
def bench(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the tables.")] = Path("runs/bench"),
    config: ConfigFile = None,
    change: Changes = None,
    jobs: Jobs = 0,
) -> None:
    """Speed, memory and accuracy on the synthetic corpus, as ratios within one run."""
    from experiments import bench as benchmarks

    settings = _settings(all_sections(), config, change)
    path = benchmarks.run(settings, out_folder, jobs or workflow.cores(), _progress)
    out.print(path.read_text("utf-8"), markup=False)
    out.print(f"{path}")


def _settings(
    sections: dict[str, type[Any]],
    source: str | None,
    changes: list[str] | None,
    null: bool = False,
    landmark_model: Path | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    extra = ["corpus.null=true"] if null else []
    if landmark_model is not None:
        extra.append(f"faces.landmark_model={landmark_model}")
    return load_config(sections, source, [*(changes or []), *extra], defaults)


def _defaults(model: str) -> Mapping[str, Mapping[str, Any]]:
    """What a model wants of training and of its input; refuses a name that is no model's."""
    from fusion_net.models import MODELS

    if model not in MODELS:
        raise UsageError(f"model {model!r} is unknown: choose one of {', '.join(MODELS)}")
    return MODELS[model].DEFAULTS


def _run_folder(name: str) -> Path:
    if Path(name).name != name:
        raise UsageError(f"--name {name!r}: wanted the name of one folder below runs/")
    return Path("runs") / name


def _progress(title: str) -> Any:
    return progress(title, err)


def _show_scores(run: Path) -> None:
    from experiments.results import METRICS_FILE, read_json

    table = Table("system", "accuracy", "UF1", "UAR", caption="mean over seeds, 95 % interval over subjects")
    metrics = read_json(run / METRICS_FILE)
    for row in metrics["rows"]:
        cells = [_interval(row[metric]) for metric in ("accuracy", "uf1", "uar")]
        table.add_row(row["system"], *cells)
    out.print(table)
    for note in metrics["undefined"]:
        out.print(f"note: {note}", markup=False)


def _interval(score: dict[str, float | None]) -> str:
    value, low, high = (score[key] for key in ("value", "low", "high"))
    return "n/a" if value is None or low is None or high is None else f"{value:.3f} ({low:.3f}–{high:.3f})"


def main() -> None:
    """Entry point of the console script."""
    # the decoders' own words about files that end as rejected rows with a reason; a user's own choice stands
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    app()
