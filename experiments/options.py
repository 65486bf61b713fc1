"""Options that commands share, the settings that they stand for, and errors turned into sentences."""

from __future__ import annotations

import functools
import inspect
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.text import Text

from experiments.signals import WORDS, Terminated, answered, behind, tidying_up
from preprocessing.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from experiments.config import Config

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

F = TypeVar("F", bound=Callable[..., Any])

SYNTHETIC = "synthetic"
OFFERED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        SYNTHETIC: {},
        "streams": {},
        "videos": {},
        "casme2": {},
        "samm": {},
        "smic": {},
        "mmew": {},
        "casme_squared": {"expression": "micro|macro|both"},
        "casme_cubed": {"part": "a|c"},
        "casme": {},
        "4dme": {},
        "dfme": {},
        "megc2019": {},
    }
)
"""What ``--help`` says of `preprocessing.datasets.OWN`, data set → its options: loading what reads them takes a second.
A test compares the two."""

DatasetName = Annotated[
    str,
    typer.Argument(
        help=f"One of: {', '.join(OFFERED)}; one of an installed package; or several with + between.",
        metavar="DATASET",
    ),
]
Cache = Annotated[Path | None, typer.Option(help="Folder of the artefacts; default cache/DATASET.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="A TOML file of settings, or `quick`.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="One setting: section.key=value. Repeatable.")]
Jobs = Annotated[
    int,
    typer.Option(
        min=0,
        callback=lambda jobs: jobs or _cores(),
        help="Processes; 0 takes every core. Any number gives the same bytes.",
    ),
]
JobsHere = Annotated[
    int,
    typer.Option(
        "--jobs", min=0, help="Processes; 0 takes every core. Any number gives the same bytes. Not with --cluster."
    ),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Do the work on a Dask cluster, tcp://HOST:8786, with the same bytes; see docs/cluster.md.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="A network (afn, dianet …), a plain system (svm, mdmo …) or a baseline; docs/systems.md.",
    ),
]
Null = Annotated[bool, typer.Option("--null", help="Synthetic corpus whose labels carry no information.")]
LandmarkModel = Annotated[Path | None, typer.Option(help="A dlib 68-point predictor instead of the installed one.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder: runs/NAME.")]


def _cores() -> int:
    from preprocessing.workers import cores

    return cores()


def _declared() -> str:
    """The options of the toolkit's data sets, for ``--help``."""
    own = [(name, values, dataset) for dataset, options in OFFERED.items() for name, values in options.items()]
    return " ".join(f"{name}={values} of {dataset}." for name, values, dataset in own)


def _stopped(interrupt: KeyboardInterrupt) -> tuple[int, str]:
    number = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
    return 128 + number, WORDS[number]


def guarded_command(command: F) -> F:
    """Errors that are meant for people become one sentence, and exit code 1, or 2 if what was typed is wrong."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        from experiments.progress import say
        from preprocessing.artefacts.locks import waits_told

        code = 1
        try:
            with tidying_up(), waits_told(say):
                return command(*args, **kwargs)
        except (ToolkitError, ValueError, ImportError) as error:
            interrupt = behind(error)
            if interrupt is not None:
                code, text = _stopped(interrupt)
            elif isinstance(error, ImportError):
                raise
            else:
                code, text = (2 if isinstance(error, UsageError) else 1), str(error)
        except OSError as error:
            # numpy's has neither number nor name when the disk is full
            what = error.strerror or f"a file cannot be written ({error}); is the disk full?"
            text = f"{what}{f': {error.filename}' if error.filename else ''}. What is finished is kept."
        except MemoryError as error:
            text = f"memory ran out ({str(error) or 'no size is told'}): try again with fewer --jobs"
        except KeyboardInterrupt as interrupt:
            code, text = _stopped(interrupt)
        answered()
        err.print(Text(text) if code > 128 else Text.assemble(("error: ", "red"), text))
        raise typer.Exit(code)

    return guarded  # type: ignore[return-value]


@dataclass(frozen=True)
class DataOptions:
    """The options that every command on a data set has; see `takes_data_options`."""

    root: Annotated[Path | None, typer.Option(help="Folder of the data set (streams: its CSV); synthetic needs none.")]
    cache: Cache
    variant: Annotated[str | None, typer.Option(help="raw or cropped, if a data set comes as both.")]
    apex: Annotated[str | None, typer.Option(help="Clips without a usable apex: estimate (default), midpoint or drop.")]
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help=f"{_declared()} Repeatable."),
    ]
    table: Annotated[Path | None, typer.Option(help="The annotation table, if several lie below ROOT.")]
    corrections: Annotated[str | None, typer.Option(help="Your own CSV of corrections, or none.")]
    config: ConfigFile
    change: Changes
    null: Null
    landmark_model: LandmarkModel

    def settings(self, changes: Sequence[str] = (), model: str | None = None) -> Config:
        """The settings of the command: defaults of the model, the file, ``--set``, then the options.

        Args:
            changes: what further options of the command stand for, as ``--set`` has it.
            model: the system that the command is about; None reads the sections of the offline stages alone.
        """
        from experiments.config import all_sections, load_config, offline_sections

        self._check_paths()
        given = {"variant": self.variant, "apex": self.apex, "table": self.table, "corrections": self.corrections}
        data: dict[str, Any] = {name: str(value) for name, value in given.items() if value is not None}
        if self.option:
            data["options"] = dict(map(_option, self.option))
        chosen = {"data": data} | _shared(self.null, self.landmark_model)
        sections, defaults = (all_sections(), model_defaults(model)) if model else (offline_sections(), {})
        return load_config(sections, self.config, [*(self.change or []), *changes], defaults, chosen)

    def _check_paths(self) -> None:
        """Refuse a path that is not there before anything is begun; what reads ``--root`` says best what is wanted."""
        from preprocessing.datasets.settings import SHIPPED

        if self.table is not None:
            existing(self.table, "its annotation table")
        if self.corrections not in (None, SHIPPED, "none"):
            existing(Path(str(self.corrections)), "a CSV of corrections, or none")
        if self.cache is not None and self.cache.exists() and not self.cache.is_dir():
            raise UsageError(f"--cache {self.cache} is a file: give a folder")


def takes_data_options(command: F) -> F:
    """Put the options of `DataOptions` in place of a command's parameter ``data``, which gets them as one object."""
    hints = get_type_hints(DataOptions, include_extras=True)
    shared = {field.name: hints[field.name] for field in fields(DataOptions)}

    @functools.wraps(command)
    def with_options(**arguments: Any) -> Any:
        data = DataOptions(**{name: arguments.pop(name) for name in shared})
        return command(**arguments, data=data)

    own = inspect.signature(command, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.items():
        added = {n: (hint, False if hint is Null else None) for n, hint in shared.items()} if name == "data" else {}
        parameters += [
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for n, (hint, default) in added.items()
        ] or [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options  # type: ignore[return-value]


def settings_of(
    source: str | None, changes: Sequence[str] | None, null: bool = False, *, offline: bool = False
) -> Config:
    """The settings of a command that is not about one data set; ``offline`` leaves out models and training."""
    from experiments.config import all_sections, load_config, offline_sections

    sections = offline_sections() if offline else all_sections()
    return load_config(sections, source, changes or (), given=_shared(null, None))


def show(title: str) -> Any:
    """A display of long work on the error stream, see `experiments.progress`."""
    from experiments.progress import progress

    return progress(title, err)


def existing(path: Path, what: str, folder: bool = False) -> Path:
    """``path``, or UsageError if there is nothing, or no ``folder`` if one is wanted; ``what`` says what is."""
    if not path.exists() or (folder and not path.is_dir()):
        raise UsageError(f"{path} {'is no folder' if path.exists() else 'does not exist'}: give {what}")
    return path


def _shared(null: bool, landmark_model: Path | None) -> dict[str, dict[str, Any]]:
    if landmark_model is not None:
        existing(landmark_model, "a dlib 68-point predictor")
    corpus = {"corpus": {"null": True}} if null else {}
    return corpus | ({"faces": {"landmark_model": str(landmark_model)}} if landmark_model is not None else {})


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UsageError(f"--option {text!r}: wanted NAME=VALUE, for example --option part=c")
    return name.strip(), value.strip()


@contextmanager
def workplace(
    cluster: str | None, jobs: int, written: Sequence[Path], read: Sequence[Path | None] = ()
) -> Iterator[int]:
    """Where a command's work is done in the block: in processes here, or on a cluster. Yields how many at once.

    Args:
        cluster: address of the scheduler.
        jobs: as typed; 0 takes every core.
        written: folders that the work writes into.
        read: what else it reads.
    """
    if cluster is None:
        yield jobs or _cores()
        return
    if jobs:
        raise UsageError("--jobs has no effect with --cluster, whose workers are as many as were started: leave it out")
    from preprocessing.cluster import on_cluster

    with on_cluster(cluster, written, [path for path in read if path is not None]) as at_once:
        yield at_once


def model_defaults(model: str) -> Mapping[str, Mapping[str, Any]]:
    """What a system wants of training and of its input; refuses a name that is not a system's."""
    from experiments.runs.system_registry import find_system

    return find_system(model).DEFAULTS


def run_folder(name: str) -> Path:
    """The run folder of that name, or UsageError for a path."""
    if Path(name).name != name:
        raise UsageError(f"--name {name!r}: wanted the name of one folder below runs/")
    return Path("runs") / name
