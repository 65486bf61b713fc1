"""Sections of the report that belong to some systems only: what each needs, and how it is drawn.

A system names its sections (`Model.SECTIONS`); a package adds one by the entry points ``mer.report_sections``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from experiments.pages import frame_ranking, gate
from experiments.runs.run import Run
from preprocessing.registry import Registry


@dataclass(frozen=True)
class Section:
    """One section of the report.

    Attributes:
        anchor: of its heading in the page.
        title: in the page's navigation.
        template: file that draws it; it sees the facts as ``section``.
        facts: (run, its ``run.json``, predictions, manifest) → what the template shows; None leaves the section out.
        folder: of the template, if it is not one of the toolkit's.
    """

    anchor: str
    title: str
    template: str
    facts: Callable[[Run, Mapping[str, Any], pd.DataFrame, pd.DataFrame], Mapping[str, Any] | None]
    folder: Path | None = None


SECTIONS: Registry[Section] = Registry(
    "mer.report_sections",
    "report section",
    {
        "gate": Section("gate", "Gate", "gate.html", gate.facts),
        "frame_ranking": Section("ranking", "Frames in order", "frame_ranking.html", frame_ranking.facts),
    },
)


def drawn_sections(
    environment: jinja2.Environment,
    run: Run,
    about: Mapping[str, Any],
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
) -> list[tuple[Section, Markup]]:
    """The sections that the run's system names and has something to show for, as HTML."""
    found = []
    for name in about.get("sections", ()):
        section = SECTIONS.find(name)
        facts = section.facts(run, about, predictions, manifest)
        if facts is None:
            continue
        if section.folder is None:
            template = environment.get_template(section.template)
        else:
            loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(section.folder), environment.loader])  # type: ignore[list-item]
            template = environment.overlay(loader=loader).get_template(section.template)
        found.append((section, Markup(template.render(section=facts))))
    return found
