"""The `mer` command line: parse options, call a workflow step, print the result.

A command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.leaderboard_command import leaderboard
from experiments.options import (
    SYNTHETIC,
    Cache,
    Changes,
    ClusterAddress,
    ConfigFile,
    DataOptions,
    DatasetName,
    Jobs,
    JobsHere,
    LandmarkModel,
    Model,
    Null,
    RunFolder,
    err,
    existing,
    guarded_command,
    out,
    run_folder,
    settings_of,
    show,
    takes_data_options,
    workplace,
)
from experiments.stream_commands import streams, synth_streams
from experiments.weights_command import weights
from preprocessing.errors import UsageError

app = typer.Typer(
    help="Facial micro-expressions: from clips to dynamic images to a leave-one-subject-out result.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(synth_streams)
app.command()(streams)
app.command()(leaderboard)
app.command()(weights)


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
    on: Annotated[
        Path | None,
        typer.Option("--on", help="Paint into the real faces in this folder: recordings at rest, or photographs."),
    ] = None,
    people: Annotated[
        Path | None, typer.Option(help="With --on: who is at rest where; default people.csv in the folder.")
    ] = None,
    codec: Annotated[str | None, typer.Option(help="With --on: png, or an encoder such as libx264.")] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="With --on: the encoder's quality, 0 best.")] = None,
    fps: Annotated[float | None, typer.Option(min=5, help="With --on: frames per second that clips pretend.")] = None,
    landmark_model: LandmarkModel = None,
    jobs: Jobs = 0,
) -> None:
    """Draw the synthetic corpus, or paint one into real faces: frames, an annotation table, and the truth beside."""
    if on is not None:
        if null or config is not None or change or subjects is not None:
            raise UsageError("--null, --config, --set and --subjects are about drawn faces: leave them out with --on")
        wanted = {"clips_per_person": clips, "seed": seed, "intensity": intensity, "fps": fps, "codec": codec}
        options = {} if crf is None else {"options": {"crf": str(crf)}}
        _paint(on, people, at, {k: v for k, v in wanted.items() if v is not None} | options, landmark_model, jobs)
        return
    unused = {"--people": people, "--codec": codec, "--crf": crf, "--fps": fps, "--landmark-model": landmark_model}
    if given := [name for name, value in unused.items() if value is not None]:
        raise UsageError(f"{', '.join(given)} have an effect with --on FOLDER alone: add it")
    from experiments.preparation import make_corpus

    wanted = {"subjects": subjects, "clips_per_subject": clips, "seed": seed, "intensity": intensity}
    changes = [f"corpus.{key}={value}" for key, value in wanted.items() if value is not None]
    settings = settings_of(config, [*(change or []), *changes], null, offline=True)
    out.print(f"{make_corpus(at, settings, jobs, show)}")


def _paint(
    on: Path, people: Path | None, at: Path | None, wanted: dict[str, Any], landmark_model: Path | None, jobs: int
) -> None:
    from preprocessing.pipeline import FaceSettings
    from preprocessing.synthetic.painted import PaintSettings, paint_corpus
    from preprocessing.synthetic.sitters import rests_below

    root, settings = at or Path("data/painted"), PaintSettings(**wanted)
    faces = FaceSettings(landmark_model=None if landmark_model is None else str(landmark_model))
    with show("painting") as step:
        refused = paint_corpus(root, rests_below(on, people), faces.landmarker(), settings, jobs, step)
    for person, reason in refused.items():
        out.print(f"left out {person}: {reason}", markup=False)
    out.print(f"{root}")


@app.command()
@guarded_command
@takes_data_options
def dataset(
    name: DatasetName = SYNTHETIC,
    *,
    data: DataOptions,
    check_csv: Annotated[
        Path | None, typer.Option(help="The organisers' list of a composite, to compare with.")
    ] = None,
    further: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME", help="Make this input of every clip too, e.g. apex_strain."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with its record, and make again what is damaged.")
    ] = False,
    jobs: JobsHere = 0,
    cluster: ClusterAddress = None,
) -> None:
    """Faces, flow and dynamic images of every clip. Resumable; a second call does only what changed."""
    from dynamic_images.inputs import use
    from experiments import preparation
    from experiments.runs.provenance import description

    settings = data.settings()
    paths = preparation.dataset_paths(name, settings, data.root, data.cache)
    if check_csv is not None and not paths.dataset.members:
        raise UsageError(f"--check-csv has no effect on {name}, which is not a composite: leave it out")
    if check_csv is not None:
        existing(check_csv, "the organisers' list")
    uses = [use(one) for one in further or ()]
    mended: list[str] = []
    with workplace(cluster, jobs, *paths.shared()) as at_once:
        manifest = preparation.make_dataset(paths, settings, at_once, show, verify, mended.append)
        preparation.make_inputs(paths, uses, at_once, show)
    out.print(description(paths.cache), markup=False)
    for line in mended:
        out.print(f"mended {line}", markup=False)
    if verify:
        out.print(f"every file was compared with its record: {len(mended)} clips had damaged files")
    for line in preparation.manifest_lines(manifest):
        out.print(line, markup=False)
    for line in preparation.composite_lines(paths, settings, manifest, check_csv):
        out.print(line, markup=False)
    out.print(f"{paths.cache / 'manifest.csv'}")


@app.command()
@guarded_command
@takes_data_options
def check(
    name: DatasetName,
    folder: Annotated[Path | None, typer.Argument(help="Folder of the data set, as --root.", metavar="[ROOT]")] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every frame of every clip too (slow).")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every item, not the first three.")] = False,
    *,
    data: DataOptions,
) -> None:
    """What a copy of a data set holds and what is wrong with it.

    Exit code 0: as published; 1: usable, with warnings; 2: not usable.
    """
    if (folder is None) == (data.root is None):
        raise UsageError("which folder? Give one: mer check DATASET ROOT")
    if data.null or data.cache is not None or data.landmark_model is not None:
        raise UsageError("--null, --cache and --landmark-model have no effect on mer check: leave them out")
    from experiments.runs import provenance

    settings = data.settings()
    root = folder or data.root or Path()
    text, code = provenance.check(name, root, settings["data"], everything, show if decode else None)
    out.print(text, markup=False, end="")
    raise typer.Exit(code)


@app.command()
@guarded_command
@takes_data_options
def inspect(
    name: DatasetName = SYNTHETIC,
    *,
    data: DataOptions,
    jobs: Jobs = 0,
) -> None:
    """Contact sheet of every clip and one page of the data set."""
    from dynamic_images.inspection.gallery import write_gallery
    from experiments import preparation

    settings = data.settings()
    paths = preparation.dataset_paths(name, settings, data.root, data.cache)
    if not (paths.cache / "manifest.csv").is_file():
        preparation.make_dataset(paths, settings, jobs, show)
    with show("contact sheets and film strips") as step:
        page = write_gallery(paths.cache, jobs=jobs, progress=lambda done, total: step(done, total, ""))
    out.print(f"{page}")


@app.command()
@guarded_command
def limits(
    folder: Annotated[Path, typer.Argument(help="Recordings of people at rest, or photographs.", metavar="FOLDER")],
    people: Annotated[Path | None, typer.Option(help="Who is at rest where; default people.csv in the folder.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the page and the tables.")] = Path("runs/limits"),
    clips: Annotated[int, typer.Option(min=1, help="Clips of each size and condition.")] = 5,
    fps: Annotated[float | None, typer.Option(min=5, help="Frames per second that clips pretend.")] = None,
    only: Annotated[list[str] | None, typer.Option("--person", help="Only this person. Repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other expressions.")] = 0,
    jobs: Jobs = 0,
) -> None:
    """The smallest movements that this camera, light, codec and face can show: painted, recorded again, measured."""
    from experiments import limits as measured
    from experiments.pages.limits import PAGE, TABLE, TRIALS, render
    from preprocessing.artefacts.files import write_text
    from preprocessing.pipeline import FaceSettings
    from preprocessing.synthetic.sitters import load_sitter, rests_below

    rests = {rest.person: rest for rest in rests_below(folder, people) if not only or rest.person in only}
    if not rests:
        raise UsageError(f"{folder} has nobody called {', '.join(only or ())}: leave --person out to see who there is")
    landmarker = FaceSettings().landmarker()
    sitters = [load_sitter(rest, landmarker) for rest in rests.values()]
    settings = measured.LimitSettings(clips=clips, fps=fps, seed=seed)
    with show("painting, recording, measuring") as step:
        found = measured.trials(sitters, settings, jobs=jobs, step=step)
    write_text(to / TRIALS, found.to_csv(index=False, lineterminator="\n"))
    write_text(to / TABLE, measured.summary(found).to_csv(index=False, lineterminator="\n"))
    sizes = ", ".join(f"{size:g}" for size in settings.amplitudes)
    write_text(to / PAGE, render(found, f"Largest displacements of {sizes} px on {', '.join(rests)}"))
    out.print(f"{to / PAGE}")


@app.command("motion-truth")
@guarded_command
def motion_truth(
    root: Annotated[Path, typer.Argument(help="A corpus with a truth: what `mer synth` wrote.")],
    cache: Annotated[Path, typer.Argument(help="Its artefacts: what `mer dataset` wrote.")],
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Print the rule of the candidate action units, fitted to this corpus.")
    ] = False,
    jobs: Jobs = 0,
) -> None:
    """What motion.csv says against what is true: regions, floors, directions, times, action units."""
    from experiments import motion_truth as measured
    from experiments.chain_accuracy import as_table

    found = measured.cases(existing(root, "a corpus", folder=True), existing(cache, "its cache", folder=True), jobs)
    if calibrate:
        out.print(f"{measured.calibration(found)}")
        return
    table = as_table(measured.measured_rows(found) + measured.unit_rows(found))
    out.print(table.to_string(index=False), markup=False)


@app.command()
@guarded_command
@takes_data_options
def train(
    name: DatasetName = SYNTHETIC,
    model: Model = "afn",
    seeds: Annotated[int | None, typer.Option(min=1, help="Passes over all folds.")] = None,
    name_of_run: Annotated[str | None, typer.Option("--name", help="Name of the run; default DATASET-MODEL.")] = None,
    final: Annotated[bool, typer.Option("--final", help="Then train on all subjects: a model to use.")] = False,
    to: Annotated[Path | None, typer.Option("--out", help="Its folder; default runs/NAME/model.")] = None,
    jitter: Annotated[
        int, typer.Option(min=0, help="Move onset and apex of the test clips by up to so many frames.")
    ] = 0,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Average the answers to test clips whose onset is moved by -n … n frames.")
    ] = 0,
    judge: Annotated[bool, typer.Option(help="With --no-judge, a --final model without a result behind it.")] = True,
    *,
    data: DataOptions,
    jobs: JobsHere = 0,
    cluster: ClusterAddress = None,
) -> None:
    """Train and judge leave-one-subject-out; writes runs/NAME and its report.html. Resumable."""
    if not final and (to is not None or not judge):
        raise UsageError("--out and --no-judge are about the model that --final trains: add --final")
    from experiments import preparation, workflow
    from experiments.runs.run import Run

    changes = [f"evaluation.seeds={seeds}"] if seeds else []
    moved = {"jitter": jitter, "neighbours": neighbours}
    changes += [f"evaluation.{key}={value}" for key, value in moved.items() if value]
    settings = data.settings(changes, model)
    paths = preparation.dataset_paths(name, settings, data.root, data.cache)
    end = "".join(f"-{key}{value}" for key, value in moved.items() if value)
    run = Run(run_folder(name_of_run or f"{paths.name}-{model}{end}"))
    with workplace(cluster, jobs, *paths.shared(run.folder)) as at_once:
        if final:
            result = workflow.final(paths, settings, model, run, to or run.model, at_once, show, judge)
        else:
            result = workflow.train(paths, settings, model, run, at_once, show)
    for line in preparation.data_summary(paths, settings):
        out.print(line, markup=False)
    if judge:
        from experiments.score_tables import print_scores

        print_scores(run.metrics(), out)
    out.print(f"{result}")


@app.command()
@guarded_command
def report(run: RunFolder, cache: Cache = None) -> None:
    """Write the report of a finished run again."""
    from experiments.pages.report import write_report
    from experiments.runs.run import Run

    found = Run(existing(run, "the folder of a run", folder=True))
    out.print(f"{write_report(found, found.cache() if cache is None else existing(cache, 'the folder of its clips'))}")


@app.command("score")
@guarded_command
def score_log(
    log: Annotated[
        Path, typer.Argument(help="CSV with the columns subject, y_true, y_pred[, dataset, clip_id, seed].")
    ],
    classes: Annotated[str | None, typer.Option(help="The class list, a,b,c; default: the labels that occur.")] = None,
    sets: Annotated[
        bool, typer.Option("--sets", help="A label is a set: AU4+AU7, or none. Each label is scored on its own.")
    ] = False,
    least: Annotated[
        int | None, typer.Option(min=1, help="With --sets: score labels of so many clips or more; default 1.")
    ] = None,
) -> None:
    """Score somebody's prediction log: accuracy, UF1, UAR with intervals over subjects, and the confusion matrix."""
    from experiments.score_tables import tables
    from experiments.scoring import prediction_log as scoring

    names = None if classes is None else scoring.class_list(classes)
    if least is not None and (names is not None or not sets):
        raise UsageError("--least chooses the labels of --sets: leave it out with --classes, or without --sets")
    table = scoring.read_log(log)
    found = scoring.assess_sets(table, names, least or 1) if sets else scoring.assess(table, names)
    for part in tables(found):
        out.print(part)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


@app.command()
@guarded_command
def explain(run: RunFolder, cache: Cache = None, jobs: Jobs = 0) -> None:
    """What the networks of a run look at: Grad-CAM and blanked parts of the face. Trains its first seeds again."""
    from experiments import workflow
    from experiments.runs.run import Run

    existing(run, "the folder of a run", folder=True)
    if cache is not None:
        existing(cache, "the folder of its clips")
    out.print(f"{workflow.explain(Run(run), cache, jobs, show)}")


@app.command()
@guarded_command
def predict(
    videos: Annotated[
        list[Path], typer.Argument(help="Video files, folders of images, or folders of both; or streams, with --root.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model that `mer train --final` wrote; without it, shipped weights.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="With `mer predict streams`: the table of u, v, strain images.")
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the answers and artefacts.")] = Path("runs/predict"),
    spot: Annotated[bool, typer.Option("--spot", help="Look for candidates in long videos (experimental).")] = False,
    fps: Annotated[
        float | None, typer.Option(min=1, help="Frames per second, believed in place of what the files say.")
    ] = None,
    bit_depth: Annotated[
        int | None, typer.Option(min=8, max=16, help="Bits that the camera filled, of pictures with 16 a sample.")
    ] = None,
    landmark_model: LandmarkModel = None,
    jobs: Jobs = 0,
) -> None:
    """Apply a trained model to videos of your own: a table, a JSON file and a page."""
    from dynamic_images.spotting.motion_curve import SpotSettings
    from experiments import prediction
    from fusion_net.models.motion_net import shipped

    if model is None:
        model = shipped("3")
        err.print("shipped weights, trained on made-up motion alone: see docs/weights.md", style="yellow")
    existing(model, "the folder of a model: what `mer train --final` wrote", folder=True)
    if root is not None:
        from experiments.stream_predictions import TABLE, check_words, predict_streams

        check_words(videos)
        answers = predict_streams(existing(root, "a table of images"), model, to, jobs)
        out.print(f"{len(answers)} clips")
        out.print(f"{to / TABLE}")
        return
    if landmark_model is not None:
        existing(landmark_model, "a dlib 68-point predictor")
    search = SpotSettings() if spot else None
    found = prediction.predict_videos(videos, model, to, jobs, show, search, fps, landmark_model, bit_depth)
    if spot:
        err.print(prediction.EXPERIMENTAL, style="yellow")
    for row in found.table.to_dict("records"):
        answer = (
            f"{row['y_pred']} ({row['p_' + row['y_pred']]:.2f})"
            if row["status"] == "ok"
            else f"rejected: {row['reason']}"
        )
        note = f"  [{row['notes']}]" if row["status"] == "ok" and row["notes"] else ""
        out.print(f"{row['clip_id']}: {answer}{note}", markup=False)
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
    from experiments.runs.run import WAIT
    from fusion_net.checkpoint import load
    from fusion_net.export import ONNX, export_onnx
    from preprocessing.artefacts.locks import locked

    existing(model, "the folder of a model: what `mer train --final` wrote", folder=True)
    with locked(model, "mer export", WAIT):  # nobody trains it again meanwhile
        out.print(f"{export_onnx(load(model), to or model / ONNX)}")


@app.command()
@guarded_command
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more; differences are later minus earlier.")],
    page: Annotated[
        Path | None, typer.Option("--out", help="The page to write; default runs/compare/NAME_NAME.html.")
    ] = None,
    cost: Annotated[bool, typer.Option(help="Measure what the networks cost on this machine.")] = True,
    seed_average: Annotated[
        bool, typer.Option("--seed-average", help="Ask the seeds of a run together: the mean of their probabilities.")
    ] = False,
) -> None:
    """Runs side by side on the same clips: scores, paired differences, classes, subjects, cost; one page."""
    from experiments import workflow
    from experiments.pages.comparison import markdown

    for run in runs:
        existing(run, "the folders of two or more runs", folder=True)
    found, numbers = workflow.comparison(runs, page, cost, show, seed_average)
    out.print(markdown(numbers), markup=False)
    out.print(f"{found}")


@app.command()
@guarded_command
@takes_data_options
def ablate(
    name: DatasetName = SYNTHETIC,
    model: Model = "afn",
    seeds: Annotated[int | None, typer.Option(min=1, help="Passes over all folds.")] = None,
    name_of_run: Annotated[
        str | None, typer.Option("--name", help="Name of the run; default DATASET-MODEL-ablation.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="So many folds of whole subjects instead of leaving one out: quicker.")
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Disturb the test clips instead: labels, frame rate, blur, JPEG, shift."),
    ] = False,
    *,
    data: DataOptions,
    jobs: JobsHere = 0,
    cluster: ClusterAddress = None,
) -> None:
    """A system and its variants, such as without one of its parts, on the same folds and seeds; one table."""
    from experiments import preparation, workflow

    changes = [f"evaluation.seeds={seeds}"] if seeds else []
    changes += ["evaluation.protocol=k_fold", f"evaluation.k={folds}"] if folds else []
    settings = data.settings(changes, model)
    paths = preparation.dataset_paths(name, settings, data.root, data.cache)
    folder = run_folder(name_of_run or f"{paths.name}-{model}-{'robustness' if robustness else 'ablation'}")
    work = workflow.robustness_card if robustness else workflow.ablation
    with workplace(cluster, jobs, *paths.shared(folder)) as at_once:
        table = work(paths, settings, model, folder, at_once, show)
    out.print(table, markup=False)


@app.command()
@guarded_command
def bench(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the tables.")] = Path("runs/bench"),
    config: ConfigFile = None,
    change: Changes = None,
    jobs: Jobs = 0,
    against: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Another checkout, measured beside this one: three runs each.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Only tables with this word in the title. Repeatable.")
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, help="Also a data set of so many short clips: time and memory per 1,000.")
    ] = None,
) -> None:
    """Speed, memory and accuracy on the synthetic corpus, as ratios within one run."""
    from experiments import bench as benchmarks

    settings = settings_of(config, change)
    path = benchmarks.run(settings, out_folder, jobs, show, against, only or (), clips)
    out.print(path.read_text("utf-8"), markup=False)
    out.print(f"{path}")


def main() -> None:
    """What `experiments.__main__` calls."""
    # the decoders' own words about files that end as rejected rows with a reason; read when OpenCV is loaded, which
    # happens later, here and in workers. A user's own choice stands
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    app()
