"""A run folder as one self-contained HTML page. It reads, and never predicts or scores.

Figures are inline SVG, pictures of clips inline PNG (`experiments.pages.figures`). Nothing is fetched from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from dynamic_images.encoding import VIEW_RANGE
from dynamic_images.inspection.pages import page_environment
from dynamic_images.precomputed import INPUTS, caption, is_streams
from experiments.pages import report_figures
from experiments.pages.examples import clip_groups
from experiments.pages.explanation_maps import explained
from experiments.pages.frame_ranking import ranking
from experiments.runs.provenance import said_of
from experiments.runs.run import METRICS_FILE, PREDICTIONS, RUN, read_histories, read_json, read_predictions
from preprocessing.artefacts.files import write_text
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.errors import ToolkitError

REPORT, TRUTH, CONFIG = "report.html", "truth.json", "config.toml"
SYSTEMS = {
    "afn": "AFN",
    "fdp": "FDP",
    "linear_svm": "Linear SVM on flow",
    "linear_svm_images": "Linear SVM on coarse images",
    "oracle": "Oracle: SVM on true AUs",
    "majority": "Majority floor",
    "chance": "Chance floor",
}
EXPLAINED = 3
"""Clips of each group whose explanation is shown."""
STILL_GATE = 0.02
"""Standard deviation of a gate weight over clips below which the gate is called a bias."""


def write_report(run: Path, cache: Path) -> Path:
    """Write ``report.html`` into a finished run folder.

    Args:
        run: holds ``run.json``, ``predictions.csv``, ``metrics.json`` and the folds; where they are there, also
            ``config.toml`` and ``truth.json`` (a list of ``{quantity, value, unit, n, wanted}``).
        cache: ``cache/<dataset>``: manifest and pictures.

    Returns:
        The page's path.

    Raises:
        ToolkitError: the run is not finished, or the cache has no manifest.
    """
    about, metrics = {"protocol": "", **read_json(run / RUN)}, {"datasets": [], **read_json(run / METRICS_FILE)}
    predictions, manifest = read_predictions(run / PREDICTIONS), read_manifest(cache)
    metrics["datasets"] = [{**part, "rows": _ordered(part["rows"])} for part in metrics["datasets"]]
    if is_streams(manifest):  # no dynamic images: pages call the network's inputs what they are
        predictions = predictions.rename(columns={f"gate_{name}": f"gate_{column}" for name, column in INPUTS.items()})
        about["inputs"] = {INPUTS.get(name, name): shape for name, shape in about["inputs"].items()}
    groups = clip_groups(predictions, manifest, cache)
    page = page_environment(Path(__file__).parent / "templates").get_template("report.html")
    text = page.render(
        name=run.name,
        dataset=", ".join(sorted({i.split("/", 1)[0] for i in predictions["clip_id"]})),
        about=about,
        metrics=metrics,
        labels=SYSTEMS,
        measures={"accuracy": "Accuracy", "uf1": "UF1", "uar": "UAR"},
        rows=_ordered(metrics["rows"]),
        differences=_ordered(metrics["differences"]),
        verdict=_verdict(metrics["differences"]),
        figures=_figures(run, metrics),
        counts=_counts(predictions, about["classes"]),
        data=_data(predictions, manifest),
        said=said_of(run),
        gate=_gate(predictions, about["classes"]),
        ranking=ranking(run, about, predictions, manifest),
        truth=_truth(run, metrics),
        groups=groups,
        explained=explained(run, cache, [clip["clip_id"] for clips in groups.values() for clip in clips[:EXPLAINED]]),
        caption=caption(manifest),
        view_range=VIEW_RANGE,
        config=(run / CONFIG).read_text(encoding="utf-8") if (run / CONFIG).is_file() else None,
    )
    write_text(run / REPORT, text)
    return run / REPORT


def _figures(run: Path, metrics: Mapping[str, Any]) -> dict[str, Markup]:
    drawn = {"forest": report_figures.forest(_ordered(metrics["rows"]), SYSTEMS)}
    if metrics.get("calibration"):
        drawn["reliability"] = report_figures.reliability(metrics["calibration"])
    return drawn | report_figures.learning_curves(read_histories(run))


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The network first (its name is none of the baselines'), then the known systems in their order."""
    place = {name: i for i, name in enumerate(SYSTEMS)}
    return sorted(rows, key=lambda row: place.get(row["system"], 0))


def _verdict(differences: Sequence[Mapping[str, Any]]) -> str:
    """Whether the network is above the floors, in one sentence."""
    floors = [row for row in differences if row["system"] in ("majority", "chance")]
    if not floors:
        return "There are no floors to compare with."
    below = [row for row in floors if row["uf1"]["low"] is None or row["uf1"]["low"] <= 0]
    if not below:
        return "Its UF1 is above both floors: the intervals of the differences exclude zero."
    names = " and ".join(SYSTEMS[row["system"]].lower() for row in below)
    return f"Its UF1 is not shown to be above the {names}: the interval of the difference includes zero."


def _counts(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Clips of each class by subject."""
    clips = predictions.drop_duplicates("clip_id")
    table = pd.crosstab(clips["subject"], clips["y_true"]).reindex(columns=list(classes), fill_value=0)
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


def _truth(run: Path, metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not (run / TRUTH).is_file():
        return list(metrics.get("truth", []))
    try:
        content = json.loads((run / TRUTH).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ToolkitError(f"{run / TRUTH} is not JSON ({error}): run `mer train` again") from error
    return list(content["truth"] if isinstance(content, dict) else content)


def _gate(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any] | None:
    """Gate weights: their spread over clips *within* one trained network, and by class."""
    streams = [c.removeprefix("gate_") for c in predictions.columns if c.startswith("gate_")]
    if not streams:
        return None
    gates = predictions[[f"gate_{s}" for s in streams]].set_axis(streams, axis=1)
    network = [predictions["seed"], predictions["fold"]]
    within = {s: float(np.sqrt(gates[s].groupby(network).var(ddof=0).mean())) for s in streams}
    by_class = [
        {"name": name, **{s: (float(rows[s].mean()), float(rows[s].std(ddof=0))) for s in streams}}
        for name in classes
        if len(rows := gates[predictions["y_true"] == name])
    ]
    return {
        "streams": streams,
        "mean": {s: float(gates[s].mean()) for s in streams},
        "spread": {s: float(gates[s].std(ddof=0)) for s in streams},
        "within": within,
        "still": max(within.values()) < STILL_GATE,
        "limit": STILL_GATE,
        "by_class": by_class,
        "figure": report_figures.gate_histogram(gates, predictions["y_true"], classes),
    }
