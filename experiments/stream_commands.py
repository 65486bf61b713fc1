"""The commands about u, v, strain images: an example of such a data set, and the images of one's own clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.options import (
    SYNTHETIC,
    DataOptions,
    DatasetName,
    Jobs,
    guarded_command,
    out,
    show,
    takes_data_options,
)
from preprocessing.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8  # lines of the comparison


@guarded_command
def synth_streams(
    at: Annotated[Path, typer.Argument(help="Folder to write.", metavar="FOLDER")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people and clips.")] = 0,
    null: Annotated[bool, typer.Option("--null", help="The same images with permuted labels.")] = False,
) -> None:
    """Write an example of precomputed image streams: a table and 442 small images of 68 made-up subjects."""
    from preprocessing.synthetic.precomputed_example import ExampleSettings, write_example

    out.print(f"{write_example(at, ExampleSettings(seed=seed, null=null))}")


@guarded_command
@takes_data_options
def streams(
    name: DatasetName = SYNTHETIC,
    to: Annotated[Path | None, typer.Option("--out", help="Folder to write; default runs/DATASET-streams.")] = None,
    solver: Annotated[str | None, typer.Option(help="Flow method, e.g. tvl1 (default), farneback, dis.")] = None,
    crop: Annotated[str | None, typer.Option(help="face (box of the landmarks, default) or aligned.")] = None,
    resize: Annotated[str | None, typer.Option(help="field (default) or pictures: what is made small.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images in px; default 28.")] = None,
    strain: Annotated[str | None, typer.Option(help="full (default), or no_half as some copies have it.")] = None,
    gradient: Annotated[str | None, typer.Option(help="central (default) or shift.")] = None,
    phase: Annotated[str | None, typer.Option(help="rising (onset to apex, default) or falling.")] = None,
    like: Annotated[Path | None, typer.Option(help="Say which choices come nearest to the images here.")] = None,
    *,
    data: DataOptions,
    jobs: Jobs = 0,
) -> None:
    """The u, v, strain images that code bases of this field read, from your own clips; or how somebody's were made."""
    from dynamic_images.flow_streams import StreamSettings
    from experiments import flow_streams, preparation
    from preprocessing.artefacts.manifest import read_manifest

    given = {"solver": solver, "crop": crop, "resize": resize, "size": size}
    given |= {"strain": strain, "gradient": gradient, "phase": phase}
    chosen = {key: value for key, value in given.items() if value is not None}
    if like is not None and (chosen or to is not None):
        raise UsageError(f"--like tries every choice and writes nothing: leave out --{next(iter(chosen), 'out')}")
    try:
        made = StreamSettings(**chosen)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    settings = data.settings()
    paths = preparation.dataset_paths(name, settings, data.root, data.cache)
    if not paths.dataset.has_frames:
        raise UsageError(f"{name} has images and no frames: u, v, strain images are made from frames")
    preparation.bring_up_to_date(paths, settings, jobs, show)
    classes, manifest = preparation.label_rule(paths, settings).apply(read_manifest(paths.cache))
    rows = flow_streams.rows_of(manifest, classes)
    if like is not None:
        _print_closest(flow_streams.like(paths.cache, rows, like, jobs, show))
        return
    folder = to or Path("runs") / f"{paths.name}-streams"
    counts = flow_streams.write_streams(paths.cache, rows, folder, made, jobs, show)
    out.print(f"{len(rows)} clips: {', '.join(f'{n} {label}' for label, n in counts.items())}", markup=False)
    out.print(f"{folder / 'README.txt'}")


def _print_closest(table: pd.DataFrame) -> None:
    first = table.iloc[0]
    out.print(table.head(SHOWN).to_string(index=False, float_format=lambda value: f"{value:.3f}"), markup=False)
    out.print(
        f"correlations of u, v and strain, means of {first['clips']} clips. Images that were made by other rules and "
        "from other crops seldom correlate above 0.5; the same choices give nearly 1.",
        markup=False,
    )
