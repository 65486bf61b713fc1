"""The command that trains the shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.options import JobsHere, guarded_command, out, show


@guarded_command
def weights(
    to: Annotated[Path, typer.Option("--out", help="Folder of the model folders.")] = Path("runs/weights"),
    clips: Annotated[int | None, typer.Option(min=256, help="Made-up clips of each task.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    permuted: Annotated[bool, typer.Option("--permuted", help="With labels in another order, for comparison.")] = False,
    jobs: JobsHere = 0,
) -> None:
    """Train the weights that are shipped, from nothing, on made-up motion."""
    from experiments.options import _cores
    from experiments.weights import WeightSettings, train

    usual = WeightSettings()
    settings = WeightSettings(clips or usual.clips, epochs=epochs or usual.epochs, permuted=permuted)
    found = train(settings, to, jobs or _cores(), show)
    for task, numbers in found.items():
        out.print(f"{task}: {numbers}", markup=False)
    out.print(f"{to}")
