"""A run folder as one self-contained HTML page. It reads, and never predicts or scores.

Figures are inline SVG, pictures of clips inline PNG (`experiments.figures`). Nothing is fetched from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup

from dynamic_images.encoding import VIEW_RANGE
from dynamic_images.pages import page_environment
from experiments.figures import ACCENT, QUIET, data_url, figure
from experiments.ranking_report import ranking
from experiments.results import METRICS_FILE, PREDICTIONS, RUN, read_histories, read_json, read_predictions
from preprocessing.cache import clip_folder, read_manifest, write_text
from preprocessing.errors import ToolkitError

REPORT, TRUTH, CONFIG = "report.html", "truth.json", "config.toml"
SYSTEMS = {
    "afn": "AFN",
    "fdp": "FDP",
    "linear_svm": "Linear SVM on flow",
    "oracle": "Oracle: SVM on true AUs",
    "majority": "Majority floor",
    "chance": "Chance floor",
}
IMAGES = {"temporal_ranked": "TRDI", "motion_intensity": "MIDI"}
IMAGE_SIDE = 160
CLIPS_PER_GROUP = 4
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
    about, metrics = read_json(run / RUN), read_json(run / METRICS_FILE)
    predictions, manifest = read_predictions(run / PREDICTIONS), read_manifest(cache)
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
        figures={"forest": _forest(_ordered(metrics["rows"])), **_curves(read_histories(run))},
        counts=_counts(predictions, about["classes"]),
        data=_data(predictions, manifest),
        gate=_gate(predictions, about["classes"]),
        ranking=ranking(run, about, predictions, manifest),
        truth=_truth(run, metrics),
        groups=_clip_groups(predictions, manifest, cache),
        view_range=VIEW_RANGE,
        config=(run / CONFIG).read_text(encoding="utf-8") if (run / CONFIG).is_file() else None,
    )
    write_text(run / REPORT, text)
    return run / REPORT


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
        "figure": _gate_histogram(gates, predictions["y_true"], classes),
    }


def _clip_groups(predictions: pd.DataFrame, manifest: pd.DataFrame, cache: Path) -> dict[str, list[dict[str, Any]]]:
    """Four clips each of the highest, the lowest and a drawn probability of the true class; no clip twice."""
    if not any(c.startswith("p_") for c in predictions.columns):
        return {}
    p_true = np.array([row[f"p_{row['y_true']}"] for row in predictions.to_dict("records")])
    mean = predictions.assign(p_true=p_true).groupby("clip_id")["p_true"].mean()
    ranked = list(mean.sort_values(ascending=False, kind="stable").index)
    size = min(CLIPS_PER_GROUP, len(ranked) // 3)
    rest = ranked[size : len(ranked) - size]
    drawn = np.random.default_rng(0).permutation(len(rest))[:size]
    groups = {
        "Surest of the true class": ranked[:size],
        "Least sure of the true class": ranked[len(ranked) - size :][::-1],
        "Drawn at random from the others": [rest[i] for i in sorted(drawn)],
    }
    facts = manifest.set_index("clip_id")
    rows = dict(list(predictions.groupby("clip_id")))
    return {
        title: [_clip(c, rows[c], float(mean[c]), facts.loc[c] if c in facts.index else None, cache) for c in clips]
        for title, clips in groups.items()
    }


def _clip(clip_id: str, rows: pd.DataFrame, p_true: float, facts: pd.Series | None, cache: Path) -> dict[str, Any]:
    votes = rows["y_pred"].value_counts(sort=True)
    facts = pd.Series(dtype=object) if facts is None else facts
    has = {name: facts[name] for name in facts.index if not pd.isna(facts[name])}
    return {
        "clip_id": clip_id,
        "subject": rows["subject"].iloc[0],
        "true": rows["y_true"].iloc[0],
        "votes": {str(name): int(n) for name, n in votes.items()},
        "right": bool((rows["y_pred"] == rows["y_true"]).all()),
        "p_true": p_true,
        "frames": int(has["n_frames"]) if "n_frames" in has else None,
        "fps": float(has["fps"]) if "fps" in has else None,
        "apex": int(has["apex"] - has["onset"]) if {"apex", "onset"} <= set(has) else None,
        "apex_source": has.get("apex_source", ""),
        "images": {label: _picture(clip_folder(cache, clip_id) / f"{name}.png") for name, label in IMAGES.items()},
    }


def _picture(path: Path) -> str | None:
    """PNG as a data URL, at most `IMAGE_SIDE` px wide; None where there is no such picture."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None:
        return None
    if image.shape[1] > IMAGE_SIDE:
        side = (IMAGE_SIDE, round(image.shape[0] * IMAGE_SIDE / image.shape[1]))
        image = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
    return data_url(image)


def _forest(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Each system's UF1 with its interval."""
    with figure("UF1 of each system with its interval over subjects", height=0.55 + 0.36 * len(rows)) as (ax, out):
        for y, row in enumerate(rows):
            uf1, color = row["uf1"], ACCENT if y == 0 else QUIET
            if uf1["value"] is not None:
                ax.plot([uf1["low"], uf1["high"]], [y, y], color=color, linewidth=2, solid_capstyle="butt")
                ax.plot(uf1["value"], y, "o", color=color, markersize=6)
        names = [SYSTEMS.get(row["system"], row["system"]).split(":")[0] for row in rows]
        ax.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5), xlim=(-0.02, 1.02))
        ax.set_xlabel("UF1 (0 to 1), 95 % interval over subjects")
    return out[0]


def _curves(histories: Mapping[str, pd.DataFrame]) -> dict[str, Markup]:
    """Training loss and accuracy of all folds, thin, with their median."""
    wanted = {"loss": "training loss (nats)", "accuracy": "accuracy on training clips", "valid_loss": "watched loss"}
    figures = {}
    for column, label in wanted.items():
        curves = [h for h in histories.values() if column in h]
        if not curves:
            continue
        with figure(f"Learning curves of {len(curves)} folds: {label} by epoch") as (ax, out):
            for curve in curves:
                ax.plot(curve["epoch"], curve[column], color=QUIET, linewidth=0.6, alpha=0.6)
            median = pd.concat(curves).groupby("epoch")[column].median()
            ax.plot(median.index, median, color=ACCENT, linewidth=2, label="median")
            ax.set(xlabel="epoch", ylabel=label)
            ax.legend(frameon=False)
        figures[column] = out[0]
    return figures


def _gate_histogram(gates: pd.DataFrame, y_true: pd.Series, classes: Sequence[str]) -> Markup:
    """Weight of the last stream: a histogram of each class, scaled to its own peak, the mean marked."""
    stream = gates.columns[-1]
    with figure(f"Gate weight of {stream} for every clip, by class", height=0.9 + 0.4 * len(classes)) as (ax, out):
        bins = np.linspace(0, 1, 41)
        for y, name in enumerate(classes):
            values = gates[stream][y_true == name].to_numpy()
            heights, _ = np.histogram(values, bins)
            ax.stairs(-y + 0.8 * heights / max(1, heights.max()), bins, baseline=-y, fill=True, color=QUIET)
            if len(values):
                ax.plot([values.mean()] * 2, [-y, -y + 0.85], color=ACCENT, linewidth=2)
        ax.set(
            yticks=[-y for y in range(len(classes))], yticklabels=classes, xlim=(0, 1), ylim=(-len(classes) + 0.9, 1)
        )
        ax.set_xlabel(f"gate weight of {stream.replace('_', ' ')} (0 to 1)")
    return out[0]
