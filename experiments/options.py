"""What the commands of ``mer`` share: options, the settings that they stand for, errors that are meant for people."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from experiments.config import Config, load_config
from experiments.signals import WORDS, Terminated, tidying_up
from preprocessing.datasets import COMPOSITES, DATASETS
from preprocessing.errors import ToolkitError, UsageError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

F = TypeVar("F", bound=Callable[..., Any])

DatasetName = Annotated[
    str,
    typer.Argument(
        help=f"One of: {', '.join((*DATASETS, *COMPOSITES))}; or several with + between.", metavar="DATASET"
    ),
]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set (streams: its CSV); synthetic needs none.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of the artefacts; default cache/DATASET.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="A TOML file of settings, or `quick`.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="One setting: section.key=value. Repeatable.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core. Any number gives the same bytes.")]
Variant = Annotated[str | None, typer.Option(help="raw or cropped, where a data set comes as both.")]
Apex = Annotated[str | None, typer.Option(help="Clips without a usable apex: estimate (default), midpoint or drop.")]
Expression = Annotated[str | None, typer.Option(help="micro (default), macro or both, for CAS(ME)².")]
Part = Annotated[str | None, typer.Option(help="a (default) or c, for CAS(ME)³.")]
TableFile = Annotated[Path | None, typer.Option("--table", help="The annotation table, where several lie below ROOT.")]
Corrections = Annotated[str | None, typer.Option(help="Your own CSV of corrections, or none.")]
Null = Annotated[bool, typer.Option("--null", help="Synthetic corpus whose labels carry no information.")]
LandmarkModel = Annotated[Path | None, typer.Option(help="A dlib 68-point predictor instead of the installed one.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder: runs/NAME.")]


def guarded_command(command: F) -> F:
    """Errors that are meant for people become one sentence, and exit code 1, or 2 where what was typed is wrong."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        code = 1
        try:
            with tidying_up():
                return command(*args, **kwargs)
        except UsageError as error:
            code, text = 2, str(error)
        except (ToolkitError, ValueError) as error:
            text = str(error)
        except OSError as error:
            # numpy's has neither number nor name when the disk is full
            what = error.strerror or f"a file cannot be written ({error}); is the disk full?"
            text = f"{what}{f': {error.filename}' if error.filename else ''}. What is finished is kept."
        except Terminated:
            code, text = 143, WORDS[signal.SIGTERM]
        except KeyboardInterrupt:
            code, text = 130, WORDS[signal.SIGINT]
        err.print(Text(text) if code > 128 else Text.assemble(("error: ", "red"), text))
        raise typer.Exit(code)

    return guarded  # type: ignore[return-value]


def settings_of(
    sections: dict[str, type[Any]],
    source: str | None,
    changes: list[str] | None,
    null: bool = False,
    landmark_model: Path | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """The settings of a command: defaults of the model, a file, ``--set``, and the options that stand for settings."""
    extra = ["corpus.null=true"] if null else []
    if landmark_model is not None:
        extra.append(f"faces.landmark_model={landmark_model}")
    return load_config(sections, source, [*(changes or []), *extra], defaults)


def data_changes(
    variant: str | None = None,
    apex: str | None = None,
    expression: str | None = None,
    part: str | None = None,
    table: Path | None = None,
    corrections: str | None = None,
) -> list[str]:
    """The options of a data set as settings."""
    given = {
        "variant": variant,
        "apex": apex,
        "expression": expression,
        "part": part,
        "table": table,
        "corrections": corrections,
    }
    return [f"data.{name}={json.dumps(str(value))}" for name, value in given.items() if value is not None]


def model_defaults(model: str) -> Mapping[str, Mapping[str, Any]]:
    """What a model wants of training and of its input; refuses a name that is no model's."""
    from fusion_net.models import MODELS

    if model not in MODELS:
        raise UsageError(f"model {model!r} is unknown: choose one of {', '.join(MODELS)}")
    return MODELS[model].DEFAULTS


def run_folder(name: str) -> Path:
    """The run folder of that name, or UsageError for a path."""
    if Path(name).name != name:
        raise UsageError(f"--name {name!r}: wanted the name of one folder below runs/")
    return Path("runs") / name
