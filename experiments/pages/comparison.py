"""Compare runs on the same clips on one page: scores, paired differences, classes, subjects, cost.

It reads what the runs left and predicts nothing; only cost is measured anew (`experiments.runs.cost`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from dynamic_images.inspection.pages import page_environment
from experiments.pages.figures import ACCENT, QUIET, figure
from experiments.runs.cost import Cost
from experiments.runs.run import Run
from experiments.scoring.label_sets import SetLabels, one_row_per_label
from experiments.scoring.metrics import MEASURES, METRICS, SET_MEASURES, by_class, f1, recall, tallies_by_seed
from experiments.scoring.seed_average import seed_average
from experiments.scoring.statistics import Interval, bootstraps, mcnemar, paired_differences
from experiments.scoring.summary import check_predictions
from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError, UsageError

MOST_CLIPS = 40
"""Clips at most that the page names one by one."""


@dataclass(frozen=True)
class ComparedRun:
    """A finished run as it is compared.

    Attributes:
        name: folder name, made unique among the compared runs.
        about: its ``run.json``.
        predictions: over all its seeds.
        cost: of its network; None if it was not measured, or if the system is not a network.
    """

    name: str
    about: Mapping[str, Any]
    predictions: pd.DataFrame
    cost: Cost | None = None


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Read runs that can be compared.

    Raises:
        UsageError: fewer than two runs, or one named twice.
        FolderInUseError: another process is at work in a run.
        ToolkitError: a run is not finished, or `check_comparable` refuses them.
    """
    places = [folder.resolve() for folder in folders]
    if len(places) < 2 or len(set(places)) < len(places):
        raise UsageError(
            f"{len(places)} run(s) given, {len(places) - len(set(places))} named twice: name at least two, each once"
        )
    short = len({folder.name for folder in places}) == len(places)
    runs = []
    for folder, place in zip(folders, places, strict=True):
        run = Run(folder)
        run.about()  # is there such a run?
        with run.locked("mer compare"):
            about, table = run.about(), run.predictions()
        try:
            table = check_predictions(table, class_list(about))
        except (KeyError, ValueError) as error:
            raise ToolkitError(f"{folder} is not a finished run ({error}): run `mer train` again") from error
        runs.append(ComparedRun(place.name if short else str(folder), about, table))
    check_comparable(runs)
    return runs


def together(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The same runs, each with its seeds asked together, see `seed_average`; a run of one seed stays as it is.

    Raises:
        UsageError: no run has several seeds with probabilities.
    """
    averaged = [seed_average(run.predictions, class_list(run.about)) for run in runs]
    if all(table is None for table in averaged):
        raise UsageError("--seed-average has no effect: none of these runs has several seeds with probabilities")
    return [
        run if table is None else replace(run, name=f"{run.name}, seeds together", predictions=table)
        for run, table in zip(runs, averaged, strict=True)
    ]


def check_comparable(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs that differ in more than the system: classes, clips, subjects, labels, or who is held out together.

    Raises:
        ToolkitError: saying which two runs differ, in what, and in how many clips.
    """
    first = runs[0]
    one = _facts(first)
    for other in runs[1:]:
        if first.about.get("sets") != other.about.get("sets"):
            raise _different(first, other, "in one of them a clip has one class, in the other a set of labels")
        if sorted(first.about["classes"]) != sorted(other.about["classes"]):
            raise _different(first, other, f"the classes are {_list(first)} and {_list(other)}")
        two = _facts(other)
        mine, theirs = (sorted(set(a.index) - set(b.index)) for a, b in ((one, two), (two, one)))
        if mine or theirs:
            only = [f"{len(x)} only in {r.name} (such as {x[0]})" for x, r in ((mine, first), (theirs, other)) if x]
            raise _different(first, other, f"of their clips {' and '.join(only)}")
        for column, what in (("y_true", "label"), ("subject", "subject")):
            differ = one.index[one[column] != two[column]]
            if len(differ):
                a, b = one[column][differ[0]], two[column][differ[0]]
                raise _different(
                    first, other, f"{len(differ)} clips have another {what}; {differ[0]} is {a!r} and {b!r}"
                )
        together = [table.groupby("fold")["subject"].unique().map(sorted).map(tuple) for table in (one, two)]
        if set(together[0]) != set(together[1]):
            raise _different(first, other, f"subjects are held out in {len(together[0])} and {len(together[1])} folds")


def compare(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Everything on the page that is a number: ``rows``, ``pairs``, ``splits``, ``classes``, ``subjects``, ``clips``.

    ``pairs`` hold for each two runs the second minus the first: scores with paired bootstrap intervals over subjects
    (`paired_difference`), and McNemar's test for each seed that both have. ``splits`` are rows and pairs of each test
    set of an official split. ``measures`` says what the scores are called.
    """
    classes = class_list(runs[0].about)
    return {
        "measures": SET_MEASURES if isinstance(classes, SetLabels) else MEASURES,
        "rows": [_row(run, classes) for run in runs],
        "pairs": [_pair(a, b, classes) for a, b in combinations(runs, 2)],
        "splits": _splits(runs, classes),
        "classes": _by_class(runs, classes),
        "subjects": _by_subject(runs),
        "clips": _disagreements(runs),
    }


def _row(run: ComparedRun, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "name": run.name,
        "model": run.about["title"],
        "seeds": run.predictions["seed"].nunique(),
        **bootstraps(run.predictions, classes),
        "cost": None if run.cost is None else asdict(run.cost),
    }


def _splits(runs: Sequence[ComparedRun], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows and pairs of each test set, where all runs have the same two or more."""
    if not all("split" in run.predictions for run in runs):
        return []
    names = sorted(set(runs[0].predictions["split"]))
    found = []
    for name in names if len(names) > 1 else ():
        part = [replace(run, predictions=run.predictions[run.predictions["split"] == name]) for run in runs]
        pairs = [_pair(a, b, classes) for a, b in combinations(part, 2)]
        found.append({"split": name, "rows": [_row(run, classes) for run in part], "pairs": pairs})
    return found


def write_comparison(runs: Sequence[ComparedRun], path: Path) -> dict[str, Any]:
    """Write the page and return its numbers."""
    numbers = compare(runs)
    page = page_environment(Path(__file__).parent / "templates").get_template("compare.html")
    names = [run.name for run in runs]
    first = runs[0].predictions
    text = page.render(
        **numbers,
        names=names,
        n_clips=first["clip_id"].nunique(),
        n_subjects=first["subject"].nunique(),
        most=MOST_CLIPS,
        figures=[_forest(numbers["rows"], numbers["measures"]["uf1"]), _subject_figure(numbers["subjects"], names)],
        notes=_notes(runs),
    )
    write_text(path, text)
    return numbers


def markdown(numbers: Mapping[str, Any]) -> str:
    """Scores and cost of the runs, and their differences, as two tables for a README; then those of each test set."""
    titles = numbers["measures"].values()
    head = " | ".join(title.lower() if title == MEASURES["accuracy"] else title for title in titles)
    lines = [f"| run | {head} | seeds | parameters | multiply-adds | s per epoch | ms per clip |"]
    lines.append("|---|---|---|---|---:|---:|---:|---:|---:|")
    for row in numbers["rows"]:
        scores = " | ".join(_text(row[measure]) for measure in METRICS)
        lines.append(f"| {row['name']} | {scores} | {row['seeds']} | {_cost_cells(row['cost'])} |")
    lines += ["", f"| difference | {head} | McNemar p, by seed |", "|---|---|---|---|---|"]
    for pair in numbers["pairs"]:
        scores = " | ".join(_text(pair[measure], sign="+") for measure in METRICS)
        tests = ", ".join(f"{test['p_value']:.3f}" for test in pair["mcnemar"]) or "no common seed"
        lines.append(f"| {pair['second']} minus {pair['first']} | {scores} | {tests} |")
    for part in numbers["splits"]:
        lines += ["", f"| {part['split']} | {head} |", "|---|---|---|---|"]
        for row in part["rows"]:
            lines.append(f"| {row['name']} | {' | '.join(_text(row[measure]) for measure in METRICS)} |")
        for pair in part["pairs"]:
            scores = " | ".join(_text(pair[measure], sign="+") for measure in METRICS)
            lines.append(f"| {pair['second']} minus {pair['first']} | {scores} |")
    return "\n".join(lines).replace("-0.", "−0.") + "\n"


def class_list(about: Mapping[str, Any]) -> Sequence[str]:
    """The classes of a run, as scores take them, from its ``run.json``."""
    return SetLabels(about["classes"]) if about.get("sets") else list(about["classes"])


def _facts(run: ComparedRun) -> pd.DataFrame:
    return run.predictions.drop_duplicates("clip_id").set_index("clip_id").sort_index()


def _different(first: ComparedRun, other: ComparedRun, how: str) -> ToolkitError:
    return ToolkitError(f"{first.name} and {other.name} cannot be compared: {how}")


def _list(run: ComparedRun) -> str:
    return ", ".join(run.about["classes"])


def _pair(first: ComparedRun, second: ComparedRun, classes: Sequence[str]) -> dict[str, Any]:
    a, b = first.predictions, second.predictions
    seeds = sorted(set(a["seed"]) & set(b["seed"]))
    tests = [{"seed": seed, **asdict(mcnemar(b[b["seed"] == seed], a[a["seed"] == seed]))} for seed in seeds]
    differences = paired_differences(b, a, classes)
    return {"first": first.name, "second": second.name, **differences, "mcnemar": tests}


def _by_class(runs: Sequence[ComparedRun], classes: Sequence[str]) -> list[dict[str, Any]]:
    """F1 and recall of each class and run, mean over seeds, NaN where undefined."""
    per_run = []
    for run in runs:
        _, counts = tallies_by_seed(run.predictions, classes)
        counts = by_class(counts, classes)
        per_run.append((f1(counts).mean(0), recall(counts).mean(0)))
    facts = _facts(runs[0])
    clips = (one_row_per_label(facts) if isinstance(classes, SetLabels) else facts)["y_true"].value_counts()
    return [
        {
            "name": name,
            "clips": int(clips.get(name, 0)),
            "f1": [float(scores[k]) for scores, _ in per_run],
            "recall": [float(scores[k]) for _, scores in per_run],
        }
        for k, name in enumerate(classes)
    ]


def _by_subject(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Accuracy of each held-out subject and run, mean over seeds. No F1: most subjects lack some class."""
    tables = [_right(run).groupby(run.predictions["subject"]).mean() for run in runs]
    clips = _facts(runs[0])["subject"].value_counts()
    return [
        {"name": subject, "clips": int(clips[subject]), "accuracy": [float(table[subject]) for table in tables]}
        for subject in sorted(clips.index)
    ]


def _disagreements(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Clips by how much the share of seeds that are right differs between runs, the most different first."""
    shares = pd.concat([_right(run).groupby(run.predictions["clip_id"]).mean() for run in runs], axis=1)
    spread = shares.max(axis=1) - shares.min(axis=1)
    order = spread[spread > 0].sort_values(ascending=False, kind="stable").index
    labels = _facts(runs[0])["y_true"]
    return [{"name": clip, "true": labels[clip], "right": [float(x) for x in shares.loc[clip]]} for clip in order]


def _right(run: ComparedRun) -> pd.Series:
    return (run.predictions["y_true"] == run.predictions["y_pred"]).astype(float)


def _notes(runs: Sequence[ComparedRun]) -> list[str]:
    """What differs between the runs apart from the model, where it bears on the comparison."""
    seeds = {run.name: sorted(set(run.predictions["seed"])) for run in runs}
    notes = []
    if len({tuple(found) for found in seeds.values()}) > 1:
        counts = ", ".join(f"{name} {len(found)}" for name, found in seeds.items())
        notes.append(f"The runs have different numbers of seeds ({counts}); McNemar’s test uses those that both have.")
    if len({run.about.get("device") for run in runs}) > 1:
        notes.append("The runs were trained on different kinds of device.")
    return notes


def _forest(rows: Sequence[Mapping[str, Any]], measure: str) -> Markup:
    with figure(f"{measure} of each run with its interval over subjects", height=0.7 + 0.4 * len(rows)) as (ax, out):
        for y, row in enumerate(rows):
            score: Interval = row["uf1"]
            ax.plot([score.low, score.high], [y, y], color=ACCENT, linewidth=2, solid_capstyle="butt")
            ax.plot(score.value, y, "o", color=ACCENT, markersize=6)
        ax.set(yticks=range(len(rows)), yticklabels=[row["name"] for row in rows], ylim=(len(rows) - 0.5, -0.5))
        ax.set(xlim=(-0.02, 1.02), xlabel=f"{measure} (0 to 1), 95 % interval over subjects")
    return out[0]


def _subject_figure(subjects: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """A line per subject from run to run."""
    with figure("Accuracy of each held-out subject in every run") as (ax, out):
        places = range(len(names))
        for row in subjects:
            ax.plot(places, row["accuracy"], color=QUIET, linewidth=1, marker="o", markersize=3, alpha=0.7)
        means = np.mean([row["accuracy"] for row in subjects], axis=0)
        ax.plot(places, means, color=ACCENT, linewidth=2, marker="o", label="mean of subjects")
        ax.set(xticks=places, xticklabels=names, ylim=(-0.03, 1.03), ylabel="accuracy of a held-out subject")
        ax.legend(frameon=False, loc="lower right")
    return out[0]


def _text(score: Interval, sign: str = "") -> str:
    return f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"


def _cost_cells(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return "n/a | n/a | n/a | n/a"
    million = f"{cost['multiply_adds'] / 1e6:.1f} M"
    return f"{cost['parameters']:,} | {million} | {cost['epoch_seconds']:.2f} | {cost['clip_milliseconds']:.2f}"
