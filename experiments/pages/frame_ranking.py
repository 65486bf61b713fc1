"""Report section for frame-ranking models: rank accuracy, pooling weights, constructed dynamic images.

Everything is read from the predictions (``score_<t>``, ``pooling_<t>``, ``psnr``, ``ssim`` and their baselines) and
from the constructed images that the folds left; nothing is predicted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from dynamic_images.encoding import VIEW_RANGE, to_view
from dynamic_images.frames import sample_indices
from experiments.pages.figures import ACCENT, QUIET, data_url, figure
from experiments.runs.run import Run
from experiments.scoring.statistics import mean_interval
from fusion_net.models.fdp.construction import IMAGES

CLIPS_SHOWN = 200
"""At most so many clips have their curve on the page."""
CURVE_WIDTH, CURVE_HEIGHT = 200.0, 70.0
BASELINES = {"": "constructed", "_mean": "training mean", "_constant": "constant"}

Facts = Mapping[str, Any]


def facts(run: Run, about: Facts, predictions: pd.DataFrame, manifest: pd.DataFrame) -> Facts | None:
    """What the template shows; None for a run that neither scores frames nor draws.

    Args:
        run: the run folder, for the constructed images.
        about: its ``run.json``.
        predictions: its predictions, over all seeds.
        manifest: frames, apex and frame rate of the clips.
    """
    frames = [name.removeprefix("pooling_") for name in predictions.columns if name.startswith("pooling_")]
    if not frames and "psnr" not in predictions:
        return None
    clips = manifest.set_index("clip_id")
    scored = f"score_{frames[0]}" in predictions if frames else False
    seed = int(predictions["seed"].min())
    return {
        "frames": len(frames),
        "onset_known": 0.5 + 1 / len(frames) if frames and about["settings"].get("reference") == "onset" else None,
        "accuracy": _accuracies(predictions, clips, len(frames)) if scored else [],
        "figures": [_mean_curves(predictions, clips, len(frames))] if scored else [],
        "quality": quality_rows(predictions) if "psnr" in predictions else [],
        "encoding": about["settings"].get("encoding", "fixed"),
        "view_range": VIEW_RANGE,
        "seed": seed,
        "groups": _groups(run, predictions[predictions["seed"] == seed], clips, len(frames), about),
    }


def rank_accuracy(scores: NDArray[np.floating], pairs: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Share of frame pairs in the right order, the later frame with the higher score; equal scores count half.

    Args:
        scores: (N, T).
        pairs: (N, T, T), which pairs i < j count; None for all.

    Returns:
        (N,), NaN for a clip of which no pair counts. Scores that know nothing have 0.5.
    """
    scores = np.asarray(scores, np.float64)
    later = np.triu(np.ones((scores.shape[1],) * 2, bool), 1)
    counted = np.broadcast_to(later, (len(scores), *later.shape)) if pairs is None else later & pairs
    right = np.sign(scores[:, None, :] - scores[:, :, None]) / 2 + 0.5  # [n, i, j]: 1 where j > i
    totals = counted.sum((1, 2))
    return np.divide((right * counted).sum((1, 2)), totals, out=np.full(len(scores), np.nan), where=totals > 0)


def quality_rows(predictions: pd.DataFrame) -> list[Facts]:
    """Mean PSNR and SSIM of constructed images and of both baselines, and their differences, with intervals."""
    rows: list[Facts] = []
    for suffix, title in BASELINES.items():
        row: dict[str, Any] = {"name": title}
        for measure in ("psnr", "ssim"):
            row[measure] = mean_interval(predictions[measure + suffix], predictions["subject"])
            gain = predictions[measure] - predictions[measure + suffix]
            row[f"{measure}_gain"] = mean_interval(gain, predictions["subject"]) if suffix else None
        rows.append(row)
    return rows


def _accuracies(predictions: pd.DataFrame, facts: pd.DataFrame, count: int) -> list[Facts]:
    """Rank accuracy over all pairs, and of those within the rise and within the fall where the apex is known."""
    scores = _columns(predictions, "score", count)
    times = np.stack([_sampled(facts, clip_id, count) for clip_id in predictions["clip_id"]])  # (N, T)
    apex = np.array([_apex(facts, clip_id) for clip_id in predictions["clip_id"]])[:, None]  # (N, 1), NaN unknown
    rise, fall = (side[:, :, None] & side[:, None, :] for side in (times <= apex, times >= apex))
    rows: list[Facts] = []
    for name, pairs in (("all pairs", None), ("both frames up to the apex", rise), ("both from the apex on", fall)):
        values = pd.Series(rank_accuracy(scores, pairs), index=predictions.index)
        known = values.notna()
        if known.any():
            interval = mean_interval(values[known], predictions["subject"][known])
            rows.append({"name": name, "score": interval, "clips": predictions["clip_id"][known].nunique()})
    return rows


def _mean_curves(predictions: pd.DataFrame, facts: pd.DataFrame, count: int) -> Markup:
    """Mean over clips of the scores, each network's scaled to mean 0 and spread 1, against the share of the clip."""
    scores = pd.DataFrame(_columns(predictions, "score", count), index=predictions.index)
    network = [predictions["seed"], predictions["fold"]]
    spread = np.sqrt(scores.T.var(ddof=0).groupby(network).transform("mean")).replace(0, 1)
    middle = scores.mean(axis=1).groupby(network).transform("mean")
    scaled = scores.sub(middle, axis=0).div(spread, axis=0)
    share = np.linspace(0, 100, count)
    lengths = {clip: len_ - 1 for clip, len_ in facts["n_frames"].items() if pd.notna(len_) and len_ > 1}
    peaks = [100 * _apex(facts, clip) / lengths[clip] for clip in predictions["clip_id"].unique() if clip in lengths]
    with figure("Mean score of the frames against the time in the clip", width=5.2) as (ax, out):
        for name, rows in scaled.groupby(predictions["y_true"]):
            ax.plot(share, rows.mean(), color=QUIET, linewidth=1, label=None if name else "")
        ax.plot(share, scaled.mean(), color=ACCENT, linewidth=2, label="all clips")
        if peaks and not np.isnan(peaks).all():
            ax.axvline(float(np.nanmean(peaks)), color=ACCENT, linewidth=1, linestyle=":", label="apex, mean")
        ax.set(xlabel="time from onset to offset, %", ylabel="score (spread of a network = 1)")
        ax.legend(frameon=False)
    return out[0]


def _groups(
    run: Run, predictions: pd.DataFrame, facts: pd.DataFrame, count: int, about: Mapping[str, Any]
) -> dict[str, list[Facts]]:
    """Clips of one seed: one drawn of each class, and the others up to `CLIPS_SHOWN`."""
    images = run.arrays(IMAGES, int(predictions["seed"].iloc[0]))
    rng = np.random.default_rng(0)
    by_class = {str(name): sorted(clips) for name, clips in predictions.groupby("y_true")["clip_id"]}
    drawn = [str(rng.choice(by_class[name])) for name in sorted(by_class)]
    rows = {row["clip_id"]: row for row in predictions.to_dict("records")}
    others = [clip for clip in rows if clip not in drawn][: CLIPS_SHOWN - len(drawn)]
    minmax = about["settings"].get("encoding") == "minmax"
    return {
        title: [_clip(rows[clip], facts, count, images.get(clip), minmax) for clip in clips]
        for title, clips in (("One clip of each class, drawn", drawn), ("Other clips", others))
        if clips
    }


def _clip(
    row: Mapping[Any, Any], facts: pd.DataFrame, count: int, images: NDArray[np.float16] | None, minmax: bool
) -> Facts:
    clip_id = str(row["clip_id"])
    times = _sampled(facts, clip_id, count) if count else np.zeros(0, np.int64)
    scores = np.array([row.get(f"score_{t}", np.nan) for t in range(1, count + 1)], np.float64)
    fps = facts["fps"].get(clip_id, np.nan) if "fps" in facts else np.nan
    source = facts["apex_source"].get(clip_id, "") if "apex_source" in facts else ""
    shown = {} if images is None else dict(zip(("constructed", "target"), images.astype(np.float64), strict=True))
    return {
        "clip_id": clip_id,
        "true": row["y_true"],
        "accuracy": float(rank_accuracy(scores[None])[0]) if np.isfinite(scores).all() and count else None,
        "psnr": row.get("psnr"),
        "length": f"{1000 * times[-1] / fps:.0f} ms" if len(times) and fps == fps else f"{int(times[-1]) + 1} frames",
        "apex_source": source if isinstance(source, str) else "",
        "curve": _curve(clip_id, times, scores, np.array([row[f"pooling_{t}"] for t in range(1, count + 1)]), facts),
        "images": {
            name: data_url(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8) if minmax else to_view(image))
            for name, image in shown.items()
        },
    }


def _curve(
    clip_id: str,
    times: NDArray[np.integer],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    facts: pd.DataFrame,
) -> Markup:
    """Score against time as a line, pooling weights as bars from a base line, the apex as a dashed line."""
    x = CURVE_WIDTH * (0.05 + 0.9 * times / max(1, times[-1]))
    base, tall = CURVE_HEIGHT * (0.98 if weights.min() >= 0 else 0.75), CURVE_HEIGHT * 0.4
    size = max(float(np.abs(weights).max()), 1e-9)
    bars = "".join(
        f'<rect x="{a - 4:.1f}" y="{base - max(h, 0):.1f}" width="8" height="{abs(h):.1f}" fill="currentColor" '
        'opacity=".25"/>'
        for a, h in zip(x, tall * weights / size, strict=True)
    )
    line = ""
    if np.isfinite(scores).all():
        span = float(np.ptp(scores)) or 1.0
        y = CURVE_HEIGHT * (0.9 - 0.8 * (scores - scores.min()) / span)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        line = f'<polyline points="{points}" fill="none" stroke="{ACCENT}" stroke-width="2"/>'
    apex = _apex(facts, clip_id)
    mark = ""
    if apex == apex:
        at = CURVE_WIDTH * (0.05 + 0.9 * apex / max(1, times[-1]))
        mark = f'<path d="M{at:.1f} 0V{CURVE_HEIGHT}" stroke="currentColor" stroke-dasharray="3 3"/>'
    label = Markup.escape(f"Scores and pooling weights of {clip_id} against time")
    view = f'viewBox="0 0 {CURVE_WIDTH:.0f} {CURVE_HEIGHT:.0f}"'
    return Markup(f'<svg role="img" aria-label="{label}" {view} width="100%">{bars}{mark}{line}</svg>')


def _columns(predictions: pd.DataFrame, name: str, count: int) -> NDArray[np.float64]:
    return predictions[[f"{name}_{t}" for t in range(1, count + 1)]].to_numpy(np.float64)


def _sampled(facts: pd.DataFrame, clip_id: str, count: int) -> NDArray[np.int64]:
    """(T,) frames of the clip that the model saw, 0 = onset; their numbers alone where its length is not known."""
    length = facts["n_frames"].get(clip_id, np.nan)
    return sample_indices(int(length) if length == length else count, count)


def _apex(facts: pd.DataFrame, clip_id: str) -> float:
    """Frame of the apex, 0 = onset; the manifest's own, or the estimated one; NaN where neither is there."""
    if clip_id not in facts.index:
        return float("nan")
    row = facts.loc[clip_id].dropna().to_dict()
    if "apex" in row and "onset" in row:
        return float(row["apex"] - row["onset"])
    return float(row.get("apex_index", "nan"))
