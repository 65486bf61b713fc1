"""``mer``: the one door. Parse, call, show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from experiments import workflow
from experiments.config import all_sections, offline_sections
from experiments.options import (
    Apex,
    Cache,
    Changes,
    ConfigFile,
    Corrections,
    DatasetName,
    Expression,
    Jobs,
    LandmarkModel,
    Null,
    Part,
    Root,
    RunFolder,
    TableFile,
    Variant,
    data_changes,
    err,
    guarded_command,
    model_defaults,
    out,
    run_folder,
    settings_of,
)
from experiments.progress import progress
from experiments.runs import provenance
from preprocessing.errors import UsageError

app = typer.Typer(
    help="Facial micro-expressions: from clips to dynamic images to a leave-one-subject-out result.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
@guarded_command
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
    settings = settings_of(offline_sections(), config, [*(change or []), *changes], null)
    out.print(f"{workflow.make_corpus(at, settings, jobs or workflow.cores(), _progress)}")


@app.command()
@guarded_command
def synth_streams(
    at: Annotated[Path, typer.Argument(help="Folder to write.", metavar="FOLDER")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people and clips.")] = 0,
    null: Annotated[bool, typer.Option("--null", help="The same images with permuted labels.")] = False,
) -> None:
    """Write an example of precomputed image streams: a table and 442 small images of 68 made-up subjects."""
    from preprocessing.synthetic.precomputed_example import ExampleSettings, write_example

    out.print(f"{write_example(at, ExampleSettings(seed=seed, null=null))}")


@app.command()
@guarded_command
def dataset(
    name: DatasetName = workflow.SYNTHETIC,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    landmark_model: LandmarkModel = None,
    variant: Variant = None,
    apex: Apex = None,
    expression: Expression = None,
    part: Part = None,
    table: TableFile = None,
    corrections: Corrections = None,
    check_csv: Annotated[
        Path | None, typer.Option(help="The organisers' list of a composite, to compare with.")
    ] = None,
    jobs: Jobs = 0,
) -> None:
    """Faces, flow and dynamic images of every clip. Resumable; a second call does only what changed."""
    changes = [*(change or []), *data_changes(variant, apex, expression, part, table, corrections)]
    settings = settings_of(offline_sections(), config, changes, null, landmark_model)
    where = workflow.place(name, settings, root, cache)
    if check_csv is not None and not where.dataset.members:
        raise UsageError(f"--check-csv has no effect on {name}, which is no composite: leave it out")
    manifest = workflow.make_dataset(where, settings, jobs or workflow.cores(), _progress)
    out.print(provenance.description(where.cache), markup=False)
    rejected = manifest[manifest["status"] == "rejected"]
    out.print(f"{len(manifest)} clips, {len(manifest) - len(rejected)} usable, {len(rejected)} rejected")
    for row in rejected.itertuples():
        out.print(f"rejected {row.clip_id}: {row.reason} ({row.code})", markup=False)
    for line in workflow.composite_lines(where, settings, manifest, check_csv):
        out.print(line, markup=False)
    out.print(f"{where.cache / 'manifest.csv'}")


@app.command()
@guarded_command
def check(
    name: DatasetName,
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    decode: Annotated[bool, typer.Option("--decode", help="Decode every frame of every clip too (slow).")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every item, not the first three.")] = False,
    variant: Variant = None,
    apex: Apex = None,
    expression: Expression = None,
    part: Part = None,
    table: TableFile = None,
    corrections: Corrections = None,
    change: Changes = None,
) -> None:
    """What a copy of a data set holds and what is wrong with it.

    Exit code 0: as published; 1: usable, with warnings; 2: not usable.
    """
    changes = [*(change or []), *data_changes(variant, apex, expression, part, table, corrections)]
    settings = settings_of(offline_sections(), None, changes)
    text, code = provenance.check(name, root, settings["data"], everything, _progress if decode else None)
    out.print(text, markup=False, end="")
    raise typer.Exit(code)


@app.command()
@guarded_command
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
    from dynamic_images.inspection.gallery import write_gallery  # matplotlib takes a second to load

    settings = settings_of(offline_sections(), config, change, null)
    where = workflow.place(name, settings, root, cache)
    if not (where.cache / "manifest.csv").is_file():
        workflow.make_dataset(where, settings, jobs or workflow.cores(), _progress)
    with _progress("contact sheets and film strips") as step:
        page = write_gallery(
            where.cache, jobs=jobs or workflow.cores(), progress=lambda done, total: step(done, total, "")
        )
    out.print(f"{page}")


@app.command()
@guarded_command
def train(
    name: DatasetName = workflow.SYNTHETIC,
    model: Annotated[str, typer.Option(help="The network.")] = "afn",
    seeds: Annotated[int | None, typer.Option(min=1, help="Passes over all folds.")] = None,
    run: Annotated[str | None, typer.Option("--name", help="Name of the run; default DATASET-MODEL.")] = None,
    final: Annotated[bool, typer.Option("--final", help="Then train on all subjects: a model to use.")] = False,
    to: Annotated[Path | None, typer.Option("--out", help="Its folder; default runs/NAME/model.")] = None,
    judge: Annotated[bool, typer.Option(help="With --no-judge, a --final model without a result behind it.")] = True,
    root: Root = None,
    cache: Cache = None,
    config: ConfigFile = None,
    change: Changes = None,
    null: Null = False,
    landmark_model: LandmarkModel = None,
    variant: Variant = None,
    apex: Apex = None,
    expression: Expression = None,
    part: Part = None,
    jobs: Jobs = 0,
) -> None:
    """Train and judge leave-one-subject-out; writes runs/NAME and its report.html. Resumable."""
    if not final and (to is not None or not judge):
        raise UsageError("--out and --no-judge are about the model that --final trains: add --final")
    changes = [*(change or []), *([f"evaluation.seeds={seeds}"] if seeds else [])]
    changes += data_changes(variant, apex, expression, part)
    settings = settings_of(all_sections(), config, changes, null, landmark_model, model_defaults(model))
    where = workflow.place(name, settings, root, cache)
    folder = run_folder(run or f"{where.name}-{model}")
    report = None
    if not final:
        report = workflow.train(where, settings, model, folder, jobs or workflow.cores(), _progress)
    else:
        to = to or folder / "model"
        workflow.final(where, settings, model, folder, to, jobs or workflow.cores(), _progress, judge)
    for line in workflow.said_of_a_run(where, settings):
        out.print(line, markup=False)
    if judge:
        _show_scores(folder)
    out.print(f"{report or to}")


@app.command()
@guarded_command
def report(run: RunFolder, cache: Cache = None) -> None:
    """Write the report of a finished run again."""
    from experiments.pages.report import write_report
    from experiments.runs.run import METRICS_FILE, read_json

    name = read_json(run / METRICS_FILE).get("cache", "")
    if cache is None and not name:
        raise UsageError(f"{run} does not say where its clips are: name the folder with --cache")
    out.print(f"{write_report(run, cache or Path('cache', name))}")


@app.command("score")
@guarded_command
def score_log(
    log: Annotated[
        Path, typer.Argument(help="CSV with the columns subject, y_true, y_pred[, dataset, clip_id, seed].")
    ],
    classes: Annotated[str | None, typer.Option(help="The class list, a,b,c; default: the labels that occur.")] = None,
) -> None:
    """Score somebody's prediction log: accuracy, UF1, UAR with intervals over subjects, and the confusion matrix."""
    from experiments.score_tables import tables
    from experiments.scoring import prediction_log as scoring

    names = None if classes is None else scoring.class_list(classes)
    found = scoring.assess(scoring.read_log(log), names)
    for table in tables(found):
        out.print(table)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


@app.command()
@guarded_command
def explain(run: RunFolder, cache: Cache = None, jobs: Jobs = 0) -> None:
    """What the networks of a run look at: Grad-CAM and blanked parts of the face. Trains its first seeds again."""
    out.print(f"{workflow.explain(run, cache, jobs or workflow.cores(), _progress)}")


@app.command()
@guarded_command
def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of images, or folders of both.")],
    model: Annotated[Path, typer.Option(help="Folder of a model: what `mer train --final` wrote.")],
    to: Annotated[Path, typer.Option("--out", help="Folder of the answers and artefacts.")] = Path("runs/predict"),
    spot: Annotated[bool, typer.Option("--spot", help="Look for candidates in long videos (experimental).")] = False,
    fps: Annotated[float | None, typer.Option(min=1, help="Frames per second of sources that do not say.")] = None,
    landmark_model: LandmarkModel = None,
    jobs: Jobs = 0,
) -> None:
    """Apply a trained model to videos of your own: a table, a JSON file and a page."""
    from dynamic_images.spotting.motion_curve import SpotSettings
    from experiments import prediction

    search = SpotSettings() if spot else None
    found = prediction.predict_videos(
        videos, model, to, jobs or workflow.cores(), _progress, search, fps, landmark_model
    )
    if spot:
        err.print(prediction.EXPERIMENTAL, style="yellow")
    for row in found.table.to_dict("records"):
        said = (
            f"{row['y_pred']} ({row['p_' + row['y_pred']]:.2f})"
            if row["status"] == "ok"
            else f"rejected: {row['reason']}"
        )
        note = f"  [{row['notes']}]" if row["status"] == "ok" and row["notes"] else ""
        out.print(f"{row['clip_id']}: {said}{note}", markup=False)
    out.print(f"{to / prediction.PAGE}")


@app.command()
@guarded_command
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a model: what `mer train --final` wrote.", metavar="FOLDER")],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX (the one format there is so far).")] = False,
    to: Annotated[Path | None, typer.Option("--out", help="The file; default FOLDER/model.onnx.")] = None,
) -> None:
    """Write a trained model in a format that other programs run."""
    if not onnx:
        raise UsageError("which format? Add --onnx")
    from fusion_net.checkpoint import load
    from fusion_net.export import ONNX, export_onnx

    out.print(f"{export_onnx(load(model), to or model / ONNX)}")


@app.command()
@guarded_command
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more; differences are later minus earlier.")],
    page: Annotated[
        Path | None, typer.Option("--out", help="The page to write; default runs/compare/NAME_NAME.html.")
    ] = None,
    cost: Annotated[bool, typer.Option(help="Measure what the networks cost on this machine.")] = True,
) -> None:
    """Runs side by side on the same clips: scores, paired differences, classes, subjects, cost; one page."""
    from experiments.pages.comparison import markdown

    found, numbers = workflow.comparison(runs, page, cost, _progress)
    out.print(markdown(numbers), markup=False)
    out.print(f"{found}")


@app.command()
@guarded_command
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
    changes += ["evaluation.protocol=k_fold", f"evaluation.k={folds}"] if folds else []
    settings = settings_of(all_sections(), config, changes, null, defaults=model_defaults(model))
    where = workflow.place(name, settings, root, cache)
    folder = run_folder(run or (f"{where.name}-ablation" if model == "afn" else f"{where.name}-{model}-ablation"))
    table = workflow.ablation(where, settings, model, folder, jobs or workflow.cores(), _progress)
    out.print(table, markup=False)


@app.command()
@guarded_command
def bench(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the tables.")] = Path("runs/bench"),
    config: ConfigFile = None,
    change: Changes = None,
    jobs: Jobs = 0,
) -> None:
    """Speed, memory and accuracy on the synthetic corpus, as ratios within one run."""
    from experiments import bench as benchmarks

    settings = settings_of(all_sections(), config, change)
    path = benchmarks.run(settings, out_folder, jobs or workflow.cores(), _progress)
    out.print(path.read_text("utf-8"), markup=False)
    out.print(f"{path}")


def _progress(title: str) -> Any:
    return progress(title, err)


def _show_scores(run: Path) -> None:
    from experiments.runs.run import METRICS_FILE, read_json
    from experiments.score_tables import score_table

    metrics = read_json(run / METRICS_FILE)
    out.print(score_table(metrics["rows"], "mean over seeds, 95 % interval over subjects"))
    parts = [{**part["rows"][0], "system": part["dataset"]} for part in metrics.get("datasets", [])]
    if parts:
        out.print(score_table(parts, f"{metrics['rows'][0]['system']}, the same predictions by data set", counts=True))
    for note in metrics["undefined"]:
        out.print(f"note: {note}", markup=False)


def main() -> None:
    """What `experiments.__main__` calls."""
    # the decoders' own words about files that end as rejected rows with a reason; a user's own choice stands
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    app()
