"""Write a run folder as one self-contained HTML page, from what the run left; nothing is predicted here.

Figures are inline SVG, pictures of clips inline PNG (`experiments.pages.figures`). Nothing is fetched from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from dynamic_images.input_cache import changed_clips
from dynamic_images.inspection.pages import page_environment
from dynamic_images.inspection.pictures import caption
from experiments.pages import report_figures
from experiments.pages.examples import clip_groups
from experiments.pages.explanation_maps import explained
from experiments.pages.gate import titled
from experiments.pages.made_from import report_key, sealed
from experiments.pages.sections import drawn_sections
from experiments.runs.provenance import data_summary
from experiments.runs.run import Run, read_json
from experiments.scoring.label_sets import one_row_per_label
from experiments.scoring.metrics import MEASURES
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import read_manifest

BLIND = ("always", "permuted", "majority", "chance")
"""Systems that never look at a clip, or learn from labels that are not its own; they come last."""
EXPLAINED = 3
"""Clips of each group whose explanation is shown."""


def write_report(run: Run, cache: Path) -> Path:
    """Write ``report.html`` into a finished run folder.

    Args:
        run: with ``run.json``, ``predictions.csv``, ``metrics.json`` and the folds; if they are there, also
            ``config.toml`` and ``truth.json`` (a list of ``{quantity, value, unit, n, wanted}``).
        cache: ``cache/<dataset>``: manifest and pictures.

    Returns:
        The page's path.

    Raises:
        FolderInUseError: another process is at work in the run.
        ToolkitError: the run is not finished, or the cache has no manifest.
    """
    run.about()  # is there such a run?
    with run.locked("mer report"):
        return _write(run, cache)


def _write(run: Run, cache: Path) -> Path:
    about, metrics = run.about(), run.metrics()
    predictions, manifest = run.predictions(), read_manifest(cache)
    for kind in ("datasets", "splits"):
        metrics[kind] = [{**part, "rows": _ordered(part["rows"])} for part in metrics.get(kind, [])]
    changed = frozenset(changed_clips(cache, run.origins()))
    measures = metrics.get("measures", MEASURES)
    groups = {} if about.get("sets") else clip_groups(predictions, manifest, cache, changed)
    environment = page_environment(Path(__file__).parent / "templates")
    text = environment.get_template("report.html").render(
        name=run.name,
        dataset=", ".join(sorted({i.split("/", 1)[0] for i in predictions["clip_id"]})),
        about=about,
        metrics=metrics,
        labels=metrics["titles"],
        titles={name: titled(name) for name in about["inputs"]},
        measures=measures,
        rows=_ordered(metrics["rows"]),
        differences=_like(metrics["differences"], metrics["rows"]),
        verdict=_verdict(metrics["differences"], metrics["titles"], measures["uf1"]),
        plain=_beside_plain(metrics, measures["uf1"]),
        figures=_figures(run, metrics),
        counts=_counts(predictions, about["classes"], bool(about.get("sets"))),
        data=_data(predictions, manifest),
        summary=data_summary(run),
        sections=drawn_sections(environment, run, about, predictions, manifest),
        truth=_truth(run),
        groups=groups,
        changed=len(changed),
        explained=explained(
            run, cache, [clip["clip_id"] for clips in groups.values() for clip in clips[:EXPLAINED]], changed
        ),
        caption=caption(manifest),
        config=run.config_text(),
    )
    write_text(run.report_file, sealed(text, report_key(run, cache)))
    return run.report_file


def _figures(run: Run, metrics: Mapping[str, Any]) -> dict[str, Markup]:
    measure = metrics.get("measures", MEASURES)["uf1"]
    drawn = {"forest": report_figures.forest(_ordered(metrics["rows"]), metrics["titles"], measure)}
    if metrics.get("calibration"):
        drawn["reliability"] = report_figures.reliability(metrics["calibration"])
    return drawn | report_figures.learning_curves(run.histories())


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The run's own system first, then plain systems from the best UF1 down, the oracle, and those that see no clip."""
    return [*rows[:1], *sorted(rows[1:], key=_place)]


def _place(row: Mapping[str, Any]) -> tuple[int, float]:
    name = row["system"]
    group = 1 + BLIND.index(name) + 1 if name in BLIND else int(name == "oracle")
    return group, -(row["uf1"]["value"] or 0.0)


def _like(differences: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The differences in the order of their systems' rows."""
    by_name = {row["system"]: row for row in differences}
    return [by_name[row["system"]] for row in _ordered(rows) if row["system"] in by_name]


def _verdict(differences: Sequence[Mapping[str, Any]], titles: Mapping[str, str], measure: str) -> str:
    """Whether the system is above the baselines that never look at a clip, in one sentence."""
    blind = [row for row in differences if row["system"] in BLIND]
    if not blind:
        return ""
    below = [row for row in blind if row["uf1"]["low"] is None or row["uf1"]["low"] <= 0]
    if not below:
        names = "majority and chance baselines" if len(blind) < 3 else "baselines that do not look at a clip"
        return f"Its {measure} is above the {names}: the intervals of the differences exclude zero."
    names = " and ".join(_lower(titles[row["system"]]) for row in below)
    return f"Its {measure} is not shown to be above the {names}: the interval of the difference includes zero."


def _lower(title: str) -> str:
    """A title inside a sentence; SVM stays as it is."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _beside_plain(metrics: Mapping[str, Any], measure: str) -> str:
    """The best system without a network beside the run's own, in two sentences; none if there is no such system."""
    names = [row["system"] for row in _ordered(metrics["rows"])[1:] if row["system"] not in (*BLIND, "oracle")]
    if not names:
        return ""
    best = next(row for row in metrics["rows"] if row["system"] == names[0])
    uf1, score = next(row["uf1"] for row in metrics["differences"] if row["system"] == names[0]), best["uf1"]
    of = f"The best of {len(names)} plain systems" if len(names) > 1 else "The plain system"
    text = f"{of} is {metrics['titles'][names[0]]}, {measure} {_spread(score)}"
    text = f"{text}. The run's own system minus it: {_spread(uf1)}"
    if uf1["low"] is not None and uf1["low"] > 0:
        return f"{text}, which excludes zero."
    if uf1["high"] is not None and uf1["high"] < 0:
        return f"{text}: it is worse."
    return f"{text}: it is not shown to be better."


def _spread(score: Mapping[str, Any]) -> str:
    shown = ("n/a" if score[key] is None else f"{score[key]:.3f}".replace("-", "−") for key in ("value", "low", "high"))
    value, low, high = shown
    return f"{value} [{low}, {high}]"


def _counts(predictions: pd.DataFrame, classes: Sequence[str], several: bool) -> dict[str, dict[str, int]]:
    """Clips of each class by subject."""
    clips = predictions.drop_duplicates("clip_id")
    people = sorted(set(clips["subject"]))
    if several:
        clips = one_row_per_label(clips)
    table = pd.crosstab(clips["subject"], clips["y_true"])
    table = table.reindex(index=people, columns=list(classes), fill_value=0)
    return {str(s): {str(c): int(n) for c, n in row.items()} for s, row in table.iterrows()}


def _data(predictions: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, Any]:
    """What became of every clip of the manifest."""
    rejected = manifest[manifest["status"] == "rejected"]
    usable = manifest[manifest["status"] == "ok"]
    left_out = usable[~usable["clip_id"].isin(predictions["clip_id"])]
    return {
        "clips": len(manifest),
        "usable": len(usable),
        "evaluated": predictions["clip_id"].nunique(),
        "rejected": rejected[["clip_id", "code", "reason"]].fillna("").to_dict("records"),
        "codes": rejected["code"].fillna("unknown").value_counts(sort=True).to_dict(),
        "left_out": left_out["emotion"].fillna("no label").value_counts().to_dict(),
    }


def _truth(run: Run) -> list[Mapping[str, Any]]:
    return list(read_json(run.accuracy_file)["truth"]) if run.accuracy_file.is_file() else []
