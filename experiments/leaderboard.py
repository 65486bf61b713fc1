"""Many systems on many data sets under one protocol: what is missing is trained, all is one table.

A recipe (TOML) lists the boards, which are data sets with their settings, and the systems. Every system is judged on
every board that has its inputs, by the folds, seeds and keys of `mer train`; what is done already is used. Beside each
stands the same system trained on permuted labels.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import all_sections, load_config
from experiments.progress import Progress
from experiments.runs.run import Run
from experiments.scoring.metrics import METRICS
from experiments.scoring.statistics import Interval, bootstraps, paired_difference
from experiments.scoring.summary import check_predictions
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.plain import from_plain, parse_toml
from preprocessing.errors import DatasetError, NotOfferedError, ToolkitError, UsageError

if TYPE_CHECKING:
    from experiments.runs.cost import Cost
    from experiments.workflow import Job

CLAIMS = "claims.toml"
TABLE, DATA = "leaderboard.csv", "leaderboard.json"


@dataclass(frozen=True)
class Board:
    """A data set that systems are judged on.

    Attributes:
        name: for people, and of folders.
        dataset: as ``mer train`` takes it.
        root: folder or table of the data set; None uses what ``mer dataset`` left, or draws the corpus.
        example: draw the example streams there, if ``root`` is not there yet.
        changes: settings of this board, as ``--set`` has them.
    """

    name: str
    dataset: str = "synthetic"
    root: str | None = None
    example: bool = False
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A system in the table.

    Attributes:
        model: as ``mer train --model`` takes it.
        name: in the table; None takes the system's title.
        changes: settings of this entry, as ``--set`` has them.
        boards: names of those that it is judged on; none given means all.
    """

    model: str
    name: str | None = None
    boards: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Its part of the name of a run."""
        own = "".join(c if c.isalnum() else "-" for c in (self.name or "").lower())
        return f"{self.model}-{own}" if own else self.model


@dataclass(frozen=True)
class Log:
    """Somebody's prediction log, as ``mer score`` reads it: same clips and labels as the board's."""

    board: str
    name: str
    file: str


@dataclass(frozen=True)
class Recipe:
    """What a leaderboard is made of.

    Attributes:
        name: of the folder below ``runs/``.
        title: of the page.
        seeds: passes over all folds.
        permuted: passes over all folds with permuted labels; 0 leaves them out.
        plain: systems whose best, by UF1 on each board, is what all others are compared with.
        changes: settings of all, as ``--set`` has them.
        boards, systems, logs: see there.
    """

    name: str
    title: str
    boards: tuple[Board, ...]
    systems: tuple[Entry, ...]
    seeds: int = 3
    permuted: int = 1
    plain: tuple[str, ...] = ("svm",)
    changes: tuple[str, ...] = ()
    logs: tuple[Log, ...] = ()

    def __post_init__(self) -> None:
        if not self.boards or not self.systems or self.seeds < 1 or self.permuted < 0:
            raise ValueError("a leaderboard has boards, systems and at least one seed")
        if Path(self.name).name != self.name or not self.name:
            raise ValueError(f"name {self.name!r}: wanted the name of one folder below runs/")
        for what, names in (
            ("boards", [board.name for board in self.boards]),
            ("systems", [entry.folder for entry in self.systems]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} have one name: {', '.join(names)}; give each its own")
        known = {board.name for board in self.boards}
        unknown = [name for one in self.systems for name in one.boards] + [log.board for log in self.logs]
        for name in unknown:
            if name not in known:
                raise ValueError(f"board {name!r} is none of {', '.join(sorted(known))}")
        for name in self.plain:
            if name not in [entry.model for entry in self.systems]:
                raise ValueError(f"plain baseline {name!r} is not among the systems")


@dataclass(frozen=True)
class Row:
    """A system on a board.

    Attributes:
        board, name, model: who on what; ``model`` is empty for a log.
        scores: accuracy, UF1, UAR with intervals; None if the system does not fit the board, then ``reason`` says why.
        difference: UF1 minus the best plain baseline's on the same clips, paired; None for that baseline itself.
        permuted: UF1 with permuted labels.
        cost: of a network, on one thread of this machine.
        predictions: of all clips and seeds, for ranks.
    """

    board: str
    name: str
    model: str
    seeds: int = 0
    clips: int = 0
    subjects: int = 0
    scores: Mapping[str, Interval] | None = None
    reason: str = ""
    difference: Interval | None = None
    permuted: Interval | None = None
    cost: Cost | None = None
    predictions: pd.DataFrame | None = field(default=None, repr=False)


def read_recipe(path: Path | None, quick: bool = False) -> Recipe:
    """A recipe of the user, or the one that is shipped.

    Raises:
        UsageError: no such file, an unknown key, a value that cannot be.
    """
    if path is None:
        text = (files("experiments") / "recipes" / f"leaderboard{'-quick' if quick else ''}.toml").read_text("utf-8")
        where = "the shipped recipe"
    else:
        text, where = path.read_text("utf-8"), str(path)
    found: Recipe = from_plain(Recipe, parse_toml(text, where), where)
    return found


def run(recipe: Recipe, folder: Path, jobs: int, progress: Progress) -> list[Row]:
    """Train what is missing below ``folder``, and score all."""
    rows: list[Row] = []
    for board in recipe.boards:
        wanted = [entry for entry in recipe.systems if not entry.boards or board.name in entry.boards]
        found = [_judged(recipe, board, entry, folder, jobs, progress) for entry in wanted]
        found += [_of_log(log, found) for log in recipe.logs if log.board == board.name]
        rows += _compared(found, recipe.plain)
    return rows


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per system and board, scores as numbers; what `read` gives back."""
    return pd.DataFrame(list(map(_flat, rows)))


def write(rows: Sequence[Row], folder: Path) -> Path:
    """The table as CSV and as JSON; the CSV's path."""
    found = table(rows)
    write_text(folder / DATA, json.dumps(json.loads(found.to_json(orient="records")), indent=1) + "\n")
    write_text(folder / TABLE, found.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return folder / TABLE


def read(folder: Path) -> pd.DataFrame:
    """The table that `write` left.

    Raises:
        ToolkitError: there is none.
    """
    try:
        return pd.DataFrame(json.loads((folder / DATA).read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{folder} holds no leaderboard ({error}): run `mer leaderboard`") from error


def claims() -> pd.DataFrame:
    """What papers print for these systems, with its source and what is known of the rule by which it was chosen."""
    text = (files("experiments") / "recipes" / CLAIMS).read_text("utf-8")
    return pd.DataFrame(parse_toml(text, CLAIMS)["claims"])


def _judged(recipe: Recipe, board: Board, entry: Entry, folder: Path, jobs: int, progress: Progress) -> Row:
    from experiments.runs.cost import measure

    try:
        job = _job(recipe, board, entry, jobs, progress)
    except NotOfferedError as error:
        return Row(board.name, entry.name or title_of(entry.model), entry.model, reason=str(error))
    if job.data.targets is not None:
        raise UsageError(f"board {board.name}: a leaderboard is of clips with one class each, not of sets of labels")
    name = entry.name or job.system.title
    place = folder / "".join(c if c.isalnum() else "-" for c in board.name.lower())
    seeds = range(recipe.seeds if not _same_for_all_seeds(job) else 1)
    predictions = _predicted(job, Run(place / entry.folder), seeds, jobs, progress, f"{board.name}: {name}")
    permuted = None
    if recipe.permuted and job.system.inputs:
        nothing = dataclasses.replace(job, data=_permuted(job.data))
        at = Run(place / f"{entry.folder}-permuted")
        of_nothing = _predicted(nothing, at, range(recipe.permuted), jobs, progress, f"{board.name}: {name}, permuted")
        permuted = bootstraps(of_nothing, job.data.classes, ("uf1",))["uf1"]
    return Row(
        board=board.name,
        name=name,
        model=entry.model,
        seeds=len(seeds),
        clips=len(job.data),
        subjects=len(set(job.data.subjects)),
        scores=bootstraps(predictions, job.data.classes),
        permuted=permuted,
        cost=measure(Run(place / entry.folder).about()),
        predictions=predictions,
    )


def title_of(model: str) -> str:
    """What a system is called where nothing of it was made."""
    from experiments.runs.system_registry import find_system

    return getattr(find_system(model), "TITLE", None) or model


def _job(recipe: Recipe, board: Board, entry: Entry, jobs: int, progress: Progress) -> Job:
    """The system with the board's clips, everything resolved."""
    from experiments.options import model_defaults
    from experiments.preparation import dataset_paths
    from experiments.workflow import prepare

    root = None if board.root is None else Path(board.root)
    if root is not None and board.example and not root.exists():
        from preprocessing.synthetic.precomputed_example import ExampleSettings, write_example

        write_example(root.parent if root.suffix == ".csv" else root, ExampleSettings())
    changes = [f"evaluation.seeds={recipe.seeds}", *recipe.changes, *board.changes, *entry.changes]
    config = load_config(all_sections(), None, changes, model_defaults(entry.model), {})
    paths = dataset_paths(board.dataset, config, root)
    return prepare(paths, config, entry.model, jobs, progress)


def _same_for_all_seeds(job: Job) -> bool:
    """A system without randomness, which would only say the same again."""
    from experiments.runs.systems import Network

    return not isinstance(job.system, Network)


def _predicted(job: Job, run: Run, seeds: range, jobs: int, progress: Progress, what: str) -> pd.DataFrame:
    from experiments.runs.folds import evaluate

    with progress(what) as step:
        evaluate(
            job.data,
            run,
            job.system,
            seeds=seeds,
            jobs=job.jobs(jobs),
            protocol=job.protocol,
            cache=job.paths.cache,
            progress=step,
        )
    return check_predictions(run.predictions(), job.data.classes)


def _permuted(data: Any) -> Any:
    """The clips with their labels in another order, the same for all systems."""
    order = np.random.default_rng(0).permutation(len(data))
    return dataclasses.replace(data, labels=data.labels[order])


def _of_log(log: Log, rows: Sequence[Row]) -> Row:
    """A row for somebody's log, of the same clips as the board's others.

    Raises:
        DatasetError: its clips, subjects or labels are not the board's.
    """
    from experiments.scoring.prediction_log import read_log

    ours = next((row.predictions for row in rows if row.predictions is not None), None)
    if ours is None:
        raise DatasetError(f"log {log.file}: no system was judged on board {log.board!r}, so nothing says its clips")
    found = read_log(Path(log.file))
    classes = sorted(set(ours["y_true"]))
    try:
        paired_difference(found, ours, classes, resamples=10)
    except ValueError as error:
        raise DatasetError(f"log {log.file} is not of the clips of board {log.board!r}: {error}") from error
    return Row(
        board=log.board,
        name=f"{log.name} (log)",
        model="",
        seeds=found["seed"].nunique(),
        clips=found["clip_id"].nunique(),
        subjects=found["subject"].nunique(),
        scores=bootstraps(found, classes),
        predictions=found,
    )


def _compared(rows: Sequence[Row], plain: Sequence[str]) -> Iterator[Row]:
    """The rows of a board, each with its difference to the best plain baseline, best UF1 first."""
    judged = [row for row in rows if row.scores is not None]
    best = max((row for row in judged if row.model in plain), key=_uf1, default=None)
    compared = []
    for row in judged:
        difference = None
        if best is not None and row is not best and best.predictions is not None and row.predictions is not None:
            classes = sorted(set(best.predictions["y_true"]))
            difference = paired_difference(row.predictions, best.predictions, classes)
        compared.append(dataclasses.replace(row, difference=difference))
    yield from sorted(compared, key=_uf1, reverse=True)
    yield from (row for row in rows if row.scores is None)


def _uf1(row: Row) -> float:
    return row.scores["uf1"].value if row.scores is not None else -1.0


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {
        name: getattr(row, name) for name in ("board", "name", "model", "clips", "subjects", "seeds")
    }
    for name in METRICS:
        flat |= _ends(name, None if row.scores is None else row.scores[name])
    flat |= _ends("uf1_minus_best_plain", row.difference) | _ends("uf1_permuted", row.permuted)
    for name in ("parameters", "multiply_adds", "epoch_seconds"):
        flat[name] = None if row.cost is None else getattr(row.cost, name)
    return flat | {"reason": row.reason}


def _ends(name: str, score: Interval | None) -> dict[str, float | None]:
    ends = (None, None, None) if score is None else (score.value, score.low, score.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
