"""Measure the offline chain against the synthetic truth: landmarks, stillness, head motion, flow, intensity, apex.

Everything is measured on artefacts in the cache, the way a user's clips are processed. Errors are in crop px unless a
row says otherwise; each row carries its number of clips and, where there is one, what the trivial answer scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynamic_images.motion_intensity import apex_of
from dynamic_images.pipeline import build_dataset
from experiments.config import Config
from experiments.runs.run import Run, read_json, write_json
from preprocessing import optical_flow
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.artefacts.stacks import CROPS, Frames
from preprocessing.datasets import synthetic
from preprocessing.errors import ToolkitError
from preprocessing.faces import alignment
from preprocessing.faces.alignment import Transform
from preprocessing.faces.points68 import LEFT_EYE, RIGHT_EYE, eye_distance, hull_mask
from preprocessing.optical_flow import FlowSettings
from preprocessing.synthetic import action_units
from preprocessing.synthetic.corpus import generate, settings_of
from preprocessing.synthetic.truth import Truth, dense_motion, expression_motion, load_truth, peaks, unit_fields

VERSION = 3
FLOW_CLIPS = 24
MOVING, STILL = 0.25, 0.02  # share of the clip's largest displacement; the still part is also under STILL px
ZERO = "zero"


@dataclass(frozen=True)
class FlowCase:
    """Two crops and what really moved between them.

    Attributes:
        first, second: (S, S, 3) uint8.
        clip: all frames from the first to a few after the second, (N, S, S, 3), read when they are needed; what is
            between two crops that were made otherwise is not known, and None.
        at: position of the second frame in the clip.
        motion: (S, S, 2) true motion of the crops' pixels, px of the crop.
        moving, still: (S, S) where in the face the expression is at work, and where nothing moves. Eyes are in
            neither: a blink covers them, which is no motion.
    """

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    motion: NDArray[np.float64]
    moving: NDArray[np.bool_]
    still: NDArray[np.bool_]
    clip: Frames | None = None
    at: int = 1


def write(run: Run, root: Path, cache: Path, config: Config, step: Callable[[int, int, str], None]) -> Path:
    """Measure everything and keep it as ``truth.json`` in the run folder; left alone where nothing has changed."""
    path = run.accuracy_file
    key = key_of(VERSION, config.stages, settings_of(root), (cache / "manifest.csv").read_text("utf-8"))
    try:
        if read_json(path).get("key") == key:
            return path
    except ToolkitError:
        pass  # not measured yet
    rows = measure(root, cache, config, step)
    write_json(path, {"key": key, "truth": rows})
    return path


def measure(
    root: Path, cache: Path, config: Config, step: Callable[[int, int, str], None] | None = None
) -> list[dict[str, Any]]:
    """All rows; ``step`` is told after each group of them."""
    clips = usable(cache)
    parts: list[Callable[[], list[dict[str, Any]]]] = [
        lambda: landmark_rows(root, cache, clips),
        lambda: still_rows(root, cache, config),
        lambda: head_motion_rows(root, cache, clips),
        lambda: flow_rows(root, cache, clips, config["flow"]),
        lambda: intensity_rows(root, cache, clips, config["images"].apex_smoothing),
    ]
    rows = []
    for i, part in enumerate(parts, start=1):
        rows += part()
        if step:
            step(i, len(parts), "")
    return rows


def usable(cache: Path) -> list[str]:
    """Ids of the usable clips of a cache."""
    manifest = read_manifest(cache)
    return list(manifest.loc[manifest["status"] == "ok", "clip_id"])


def peak_table(root: Path, clip_ids: Sequence[str]) -> pd.DataFrame:
    """True peak displacement (px) of every action unit and side, one row per clip: what the oracle sees."""
    rows = [peaks(load_truth(root, clip_id)) for clip_id in clip_ids]
    return pd.DataFrame(rows, index=pd.Index(clip_ids, name="clip_id"), columns=list(action_units.CODES))


def landmark_rows(root: Path, cache: Path, clips: Sequence[str]) -> list[dict[str, Any]]:
    """Error of the 68 landmarks of the first frames, and of the mean face placed by the true eyes and nose."""
    found, true = [], []
    for clip_id in clips:
        folder, truth = clip_folder(cache, clip_id), load_truth(root, clip_id)
        back = alignment.invert(folder.load("transforms.npy")[0])
        found.append(alignment.apply(back, folder.load("landmarks.npy").astype(np.float64)))
        true.append(np.median(truth.landmarks[truth.onset : truth.onset + 8], axis=0))
    shape = np.mean([alignment.apply(alignment.clip_transform(t[None], 1), t) for t in true], axis=0)
    mean_face = [alignment.apply(alignment.invert(alignment.clip_transform(t[None], 1)), shape) for t in true]
    errors, trivial = (
        np.array([_point_error(a, t) for a, t in zip(points, true, strict=True)]) for points in (found, mean_face)
    )
    wanted = f"at most 3; mean face on true eyes: {100 * trivial.mean():.2f}"
    return [quantity_row("landmark error, mean of 68 points", 100 * errors, clips, "% of the eye distance", wanted)]


def still_rows(root: Path, cache: Path, config: Config) -> list[dict[str, Any]]:
    """How far a face that does not move at all seems to move, and whether its noise floor says so.

    Sensor noise, flicker and JPEG loss are on.
    """
    still = dataclasses.replace(
        settings_of(root), clips_per_subject=1, intensity=0.0, drift=0.0, rotation=0.0, blink=0.0, null=False
    )
    artefacts = cache.with_name(f"{cache.name}-still")
    at = artefacts / "corpus"
    generate(at, still)
    build_dataset(synthetic.load(at), artefacts, config.stages)
    clips, moves = usable(artefacts), []
    for clip_id in clips:
        transforms = clip_folder(artefacts, clip_id).load("transforms.npy")
        places = _follow(transforms, np.tile(np.eye(2, 3), (len(transforms), 1, 1)), _face_points(at, clip_id))
        moves.append(np.linalg.norm(np.diff(places, axis=0), axis=2).mean())
    peaks_px, floors = _peaks_and_floors(artefacts, clips)
    return [
        quantity_row("still face, motion per frame after alignment", np.array(moves), clips, "px", "< 0.02"),
        quantity_row("still face, largest intensity", peaks_px, clips, "px", "0"),
        quantity_row("still faces whose own noise floor covers it", 100.0 * (peaks_px <= floors), clips, "%", "> 95"),
        quantity_row("noise floor over the largest intensity", floors / peaks_px, clips, "times", "1 to 3", np.median),
    ]


def head_motion_rows(root: Path, cache: Path, clips: Sequence[str]) -> list[dict[str, Any]]:
    """Rigid motion that is left in the crops, on points of the face, with the drift of the corpus."""
    left: list[float] = []
    before: list[float] = []
    for clip_id in clips:
        transforms, truth = clip_folder(cache, clip_id).load("transforms.npy"), load_truth(root, clip_id)
        rigid = truth.rigid[truth.onset : truth.onset + len(transforms)]
        points = _face_points(root, clip_id)
        for kept, used in ((left, transforms), (before, np.repeat(transforms[:1], len(transforms), axis=0))):
            places = _follow(used, rigid, points)
            kept.append(float(np.sqrt(np.square(places - places[0]).sum(-1).mean())))
    values = np.array(left)
    return [
        quantity_row(
            "head motion left after alignment, RMS", values, clips, "px", f"< 0.15; uncorrected {np.mean(before):.2f}"
        ),
        quantity_row("head motion left, worst clip", values, clips, "px", statistic=np.max),
    ]


def flow_rows(root: Path, cache: Path, clips: Sequence[str], settings: FlowSettings) -> list[dict[str, Any]]:
    """Endpoint error at the apex, where the skin moves and where it is still, for each method beside zero flow."""
    chosen = evenly_spaced(clips, FLOW_CLIPS)
    cases = [flow_case(root, cache, clip_id) for clip_id in chosen]
    rows = []
    own = [name for name in optical_flow.METHODS if name not in (ZERO, optical_flow.TRACK)]
    plain = {f"{method}, plain": FlowSettings(method=method, denoise=0.0, window=0.0) for method in own}
    tries = {
        f"{settings.method}, in use": settings,
        f"{optical_flow.TRACK}, in order": FlowSettings(optical_flow.TRACK),
        **plain,
        "zero flow, the baseline": FlowSettings(method=ZERO),
    }
    for name, tried in tries.items():
        moving, still = np.array([flow_error(case, tried) for case in cases]).T
        rows.append(quantity_row(f"flow error where skin moves: {name}", moving, chosen, "px"))
        rows.append(quantity_row(f"flow error where it is still: {name}", still, chosen, "px"))
    return rows


def intensity_rows(root: Path, cache: Path, clips: Sequence[str], smoothing: float) -> list[dict[str, Any]]:
    """The intensity curve against the true displacement, and its maximum against the true apex."""
    correlations, misses = [], []
    for clip_id in clips:
        intensity, truth = clip_folder(cache, clip_id).load("intensity.npy"), load_truth(root, clip_id)
        true = true_intensity(truth)[: len(intensity)]
        correlations.append(np.corrcoef(intensity, true)[0, 1])
        misses.append(abs(apex_of(intensity, smoothing) - (truth.apex - truth.onset)) / len(intensity))
    near = 100.0 * (np.array(misses) <= 0.1)
    guess = 100 * _middle_guess(root, clips)
    peaks_px, floors = _peaks_and_floors(cache, clips)
    above = "clips whose intensity stands above their own noise floor"
    curve = "intensity curve against true displacement, median correlation"
    apex = "clips with intensity maximum within 10 % of the clip length of the apex"
    return [
        quantity_row(curve, np.array(correlations), clips, "r", "> 0.9", np.median),
        quantity_row(apex, near, clips, "%", f"> 80; a guess at the middle: {guess:.0f}"),
        quantity_row(above, 100.0 * (peaks_px > floors), clips, "%", "> 80"),
    ]


def _peaks_and_floors(cache: Path, clips: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest intensity and noise floor of each clip, px; NaN where a clip is too short for a floor."""
    rows = read_manifest(cache).set_index("clip_id").loc[list(clips)]
    return rows["peak_intensity"].to_numpy(float), rows["noise_floor"].to_numpy(float)


def true_intensity(truth: Truth) -> NDArray[np.float64]:
    """True displacement of each frame onset .. offset in source px: top decile over the face. (T,)."""
    step = 8
    span = slice(truth.onset, truth.offset + 1)
    mask = truth.face_mask[::step, ::step]
    fields = unit_fields(truth, step)[:, mask]  # (A, N, 2)
    moved = np.einsum("ta,anc->ntc", truth.curves[span], fields)
    magnitude = np.sort(np.hypot(moved[..., 0], moved[..., 1]), axis=0)  # (N, T)
    return np.asarray(magnitude[-max(1, len(magnitude) // 10) :].mean(axis=0))


def flow_case(root: Path, cache: Path, clip_id: str) -> FlowCase:
    """Onset and apex crops of a clip with the true motion between them."""
    folder, truth = clip_folder(cache, clip_id), load_truth(root, clip_id)
    crops, transforms = folder.frames(CROPS), folder.load("transforms.npy")
    k = truth.apex - truth.onset
    size = crops.shape[1]
    at = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)
    source = alignment.apply(alignment.invert(transforms[0]), at)
    whole = dense_motion(truth, truth.apex)
    moved = alignment.apply(transforms[k], source + sample_at(whole, source))
    expression = sample_at(expression_motion(truth, truth.apex), source) * alignment.scale_of(transforms[0])
    size_of = np.hypot(expression[..., 0], expression[..., 1])
    face = sample_at(truth.face_mask.astype(np.float64)[..., None], source)[..., 0] > 0.99
    face &= ~_eyes(folder.load("landmarks.npy"), size)
    moving = face & (size_of > MOVING * size_of[face].max())
    still = face & (size_of < STILL * size_of[face].max()) & (size_of < STILL)
    return FlowCase(crops[0], crops[k], moved - at, moving, still, crops, k)


def flow_error(case: FlowCase, settings: FlowSettings) -> tuple[float, float]:
    """Mean endpoint error px where the skin moves, and where it is still (NaN where no part is)."""
    error = np.hypot(*np.moveaxis(measured(case, settings) - case.motion, -1, 0))
    return float(error[case.moving].mean()), float(error[case.still].mean()) if case.still.any() else float("nan")


def measured(case: FlowCase, settings: FlowSettings) -> NDArray[np.float32]:
    """The flow between the two crops, (S, S, 2) px, by a method that sees the frames between them if it is one."""
    if case.clip is None or not isinstance(optical_flow.METHODS[settings.method], optical_flow.InOrder):
        return optical_flow.flow(case.first, case.second, settings)
    cells = optical_flow.flow_to(case.clip, case.at, settings)
    size = case.motion.shape[1::-1]
    return np.stack([cv2.resize(np.ascontiguousarray(cells[..., c]), size) for c in (0, 1)], -1)


def evenly_spaced(items: Sequence[str], n: int) -> list[str]:
    """At most ``n`` items, evenly over the sequence."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int))]


def _middle_guess(root: Path, clips: Sequence[str]) -> float:
    truths = [load_truth(root, clip_id) for clip_id in clips]
    return float(np.mean([abs((t.apex - t.onset) / (t.offset - t.onset + 1) - 0.5) <= 0.1 for t in truths]))


def _face_points(root: Path, clip_id: str) -> NDArray[np.float64]:
    """A grid of neutral points inside the face, (N, 2) source px."""
    mask = load_truth(root, clip_id).face_mask
    y, x = np.nonzero(mask[::12, ::12])
    return np.stack([x, y], axis=1).astype(np.float64) * 12


def _follow(transforms: NDArray[Any], rigid: NDArray[Any], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where neutral points are seen in the crops, if only the head moves: (T, N, 2) px."""
    pairs: list[tuple[Transform, Transform]] = list(zip(transforms, rigid, strict=True))
    return np.stack([alignment.apply(alignment.compose(view, pose), points) for view, pose in pairs])


def _point_error(points: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(points - true, axis=1).mean() / eye_distance(true))


def sample_at(field: NDArray[np.floating], at: NDArray[np.floating]) -> NDArray[np.float64]:
    """(H, W, C) at positions (h, w, 2): (h, w, C), linear."""
    x, y = (np.ascontiguousarray(at[..., c], np.float32) for c in (0, 1))
    parts = [
        cv2.remap(np.ascontiguousarray(field[..., c], np.float32), x, y, cv2.INTER_LINEAR)
        for c in range(field.shape[-1])
    ]
    return np.stack(parts, axis=-1).astype(np.float64)


def _eyes(landmarks: NDArray[Any], size: int) -> NDArray[np.bool_]:
    mask = np.any([hull_mask(landmarks[eye], (size, size)) for eye in (RIGHT_EYE, LEFT_EYE)], axis=0)
    reach = size // 20
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)


def quantity_row(
    quantity: str,
    per_clip: NDArray[Any],
    clips: Sequence[str],
    unit: str,
    wanted: str = "",
    statistic: Callable[..., Any] = np.nanmean,
) -> dict[str, Any]:
    """One line of the table: a statistic over clips, with its 95 % percentile bootstrap interval over subjects."""
    groups: dict[str, list[int]] = {}
    for i, clip_id in enumerate(clips):
        groups.setdefault(clip_id.rsplit("/", 1)[0], []).append(i)
    members = [np.array(rows) for rows in groups.values()]
    rng = np.random.default_rng(0)
    drawn = (np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]) for _ in range(1000))
    low, high = np.percentile([statistic(per_clip[rows]) for rows in drawn], [2.5, 97.5])
    return {
        "quantity": quantity,
        "value": round(float(statistic(per_clip)), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "unit": unit,
        "n": int(np.isfinite(per_clip).sum()),
        "wanted": wanted,
    }


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table for printing."""
    return pd.DataFrame(list(rows))[["quantity", "value", "low", "high", "unit", "n", "wanted"]]
