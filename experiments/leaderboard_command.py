"""The command about many systems at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.options import JobsHere, existing, guarded_command, out, show


@guarded_command
def leaderboard(
    recipe: Annotated[
        Path | None, typer.Argument(help="TOML of boards and systems; without it, the shipped one.", metavar="[RECIPE]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The shipped recipe at a size that takes minutes.")] = False,
    jobs: JobsHere = 0,
) -> None:
    """Every system on every board under one protocol, with floors beside them: a page and a table. Resumable."""
    from experiments import leaderboard as boards
    from experiments.options import _cores
    from experiments.pages.leaderboard import MARKDOWN, write_page
    from preprocessing.errors import UsageError

    if recipe is not None:
        existing(recipe, "a TOML file of boards and systems")
    if recipe is not None and quick:
        raise UsageError("--quick has no effect on a recipe of your own: leave it out")
    wanted = boards.read_recipe(recipe, quick)
    folder = Path("runs") / wanted.name
    rows = boards.run(wanted, folder, jobs or _cores(), show)
    table = boards.write(rows, folder)
    page = write_page(wanted.title, rows, folder)
    out.print((folder / MARKDOWN).read_text("utf-8"), markup=False)
    out.print(f"{table}")
    out.print(f"{page}")
