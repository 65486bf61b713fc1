"""Measure the offline chain: against a plain reference, stage by stage, over processes, and its memory."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynamic_images.build import build_images
from dynamic_images.pipeline import build_clip, build_dataset
from experiments import chain_accuracy
from experiments.config import Config
from experiments.worker_memory import build_and_weigh
from preprocessing import optical_flow
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.clips import Clip
from preprocessing.datasets import synthetic
from preprocessing.faces import alignment
from preprocessing.faces.alignment import Transform
from preprocessing.faces.landmarks import DlibLandmarker
from preprocessing.optical_flow import FlowSettings
from preprocessing.synthetic.truth import Truth, dense_motion, load_truth
from preprocessing.video import Frame, ImageSequence

REFERENCE_CLIPS = 6
CLIPS = 12
TIMED_FRAMES = 12
SIZES = (128, 160, 192, 224)
RAW = {"denoise": 0.0, "window": 0.0}


def flow_table(root: Path, cache: Path, config: Config) -> pd.DataFrame:
    """Error at the apex against time for methods and settings: the Pareto table. One thread."""
    cv2.setNumThreads(1)
    clips = chain_accuracy.evenly_spaced(chain_accuracy.usable(cache), CLIPS)
    cases = [chain_accuracy.flow_case(root, cache, clip_id) for clip_id in clips]
    tries = [FlowSettings(method="zero")]
    tries += [FlowSettings(method=name, **RAW) for name in ("farneback", "dis", "tvl1")]
    tries += [FlowSettings(method=name) for name in ("farneback", "dis", "tvl1")]
    tries += [FlowSettings(window=window, prior=prior) for window in (2.0, 3.0, 4.0) for prior in (0.1, 0.2, 0.4)]
    tries += [FlowSettings(denoise=denoise) for denoise in (0.5, 1.0)]
    tries += [FlowSettings("dis", denoise=denoise) for denoise in (0.5, 1.0)]
    tries = [config["flow"], *(settings for settings in tries if settings != config["flow"])]
    rows = []
    for settings in tries:
        errors = np.array([chain_accuracy.flow_error(case, settings) for case in cases])
        milliseconds = 1e3 * np.median([_seconds_per_frame(case, settings) for case in cases[:4]])
        rows.append(
            {
                "method": settings.method,
                "denoise px": settings.denoise,
                "window px": settings.window,
                "prior": settings.prior,
                "error moving px": float(errors[:, 0].mean()),
                "error still px": float(np.nanmean(errors[:, 1])),
                "ms per frame": float(milliseconds),
                "in use": "yes" if settings == config["flow"] else "",
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"Endpoint error onset → apex of {len(clips)} clips against the truth, crops of {config['faces'].size} px, one "
        "thread; `moving` is where the displacement is above a quarter of its largest, `still` where it is below 2 %. "
        "denoise = window = 0 is the method as its authors left it."
    )
    return table


def size_table(root: Path, config: Config) -> pd.DataFrame:
    """Flow error, relative to zero flow, and time per clip for crop sizes: how the default was chosen."""
    clips = _clips(root, CLIPS)
    rows = []
    for size in SIZES:
        settings = dataclasses.replace(config.stages, faces=dataclasses.replace(config["faces"], size=size))
        with _scratch() as folder:
            start = time.perf_counter()
            build_dataset(clips, folder, settings)
            seconds = (time.perf_counter() - start) / len(clips)
            cases = [chain_accuracy.flow_case(root, folder, clip_id) for clip_id in chain_accuracy.usable(folder)]
            window = config["flow"].window * size / config["faces"].size
            scaled = dataclasses.replace(config["flow"], window=window)
            tried = (scaled, FlowSettings(method="zero"))
            ours, zero = (np.array([chain_accuracy.flow_error(case, s) for case in cases]) for s in tried)
        rows.append(
            {
                "size px": size,
                "error moving / zero flow": float((ours[:, 0] / zero[:, 0]).mean()),
                "error still, % of the motion": float(100 * np.nanmean(ours[:, 1] / zero[:, 0])),
                "seconds per clip": seconds,
                "in use": "yes" if size == config["faces"].size else "",
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["note"] = f"{len(clips)} clips, flow window scaled with the crop."
    return table


def chain_table(root: Path, cache: Path, config: Config) -> pd.DataFrame:
    """Milliseconds per frame and flow error at the apex: the plain reference, and this chain, on the same frames.

    The reference detects (one upsample), finds landmarks and aligns every frame on its own, and runs TV-L1 as it comes.
    """
    cv2.setNumThreads(1)
    clips = _clips(root, REFERENCE_CLIPS)
    landmarker = DlibLandmarker()
    size = config["faces"].size
    plain: list[tuple[float, float, float]] = []
    ours: list[tuple[float, float, float]] = []
    for clip in clips:
        onset, apex = clip.onset, clip.apex or clip.onset
        frames = list(clip.frames.read(onset, apex + 1))
        pair = (frames[0], frames[-1])
        start = time.perf_counter()
        crops, views = zip(*(_reference_crop(frame, landmarker, size) for frame in pair), strict=True)
        reference = FlowSettings(method="tvl1", **RAW)
        optical_flow.flow(crops[0], crops[1], reference)
        # of the two crops and one flow, a frame in the middle of a clip needs one each
        seconds = (time.perf_counter() - start) - _seconds(partial(_reference_crop, pair[0], landmarker, size))
        case, known = chain_accuracy.flow_case(root, cache, clip.clip_id), load_truth(root, clip.clip_id)
        judged = dataclasses.replace(case, first=crops[0], second=crops[1], motion=_skin_motion(known, views[0], size))
        plain.append((1e3 * seconds, *chain_accuracy.flow_error(judged, reference)))
        with _scratch() as folder:
            start = time.perf_counter()
            build_clip(clip, folder, config.stages)
            per_frame = (time.perf_counter() - start) / (clip.n_frames or 1)
        view = clip_folder(cache, clip.clip_id).load("transforms.npy")[0]
        judged = dataclasses.replace(case, motion=_skin_motion(known, view, size))
        ours.append((1e3 * per_frame, *chain_accuracy.flow_error(judged, config["flow"])))
    rows = [
        {
            "chain": name,
            "ms per frame": float(np.mean([v[0] for v in values])),
            "times faster": float(np.mean([v[0] for v in plain]) / np.mean([v[0] for v in values])),
            "error moving px": float(np.mean([v[1] for v in values])),
            "error still px": float(np.nanmean([v[2] for v in values])),
        }
        for name, values in (("reference", plain), ("this chain, all stages to disk", ours))
    ]
    table = pd.DataFrame(rows)
    table.attrs["note"] = (
        f"{len(clips)} clips, one thread, errors against the motion of the skin with the head held exactly. Reference: "
        "dlib detection with one upsample, landmarks and alignment on every frame, TV-L1 with its defaults; decoding, "
        "loading the models and writing are counted for this chain only."
    )
    return table


def stage_table(root: Path, config: Config) -> pd.DataFrame:
    """Where the time of a clip goes, one thread."""
    cv2.setNumThreads(1)
    clip = _clips(root, 1)[0]
    faces, settings = config["faces"], config["flow"]
    landmarker = DlibLandmarker()
    frames = list(clip.frames.read(clip.onset, (clip.offset or 0) + 1))
    n = len(frames)
    box = landmarker.detect(frames[0])[0]
    points = np.stack([landmarker.landmarks(frame, box) for frame in frames[: faces.landmark_frames]])
    view = alignment.clip_transform(points, faces.size)
    crops = [alignment.warp(frame, view, faces.size) for frame in frames]
    weights = alignment.rigid_weights(alignment.apply(view, np.median(points, 0)), faces.size)
    register = alignment.RigidRegistration(frames[0], weights, view)
    with _scratch() as folder:
        build_clip(clip, folder, config.stages)
        made = clip_folder(folder, clip.clip_id)
        pool = _seconds(lambda: _pool(made, config, clip))
        write = _seconds(lambda: _copy(made, folder / "copy"))
    looks = 2 + max(1, n // faces.check_every + 1)
    times: dict[str, float] = {
        "decode": _seconds(lambda: sum(1 for _ in clip.frames.read(clip.onset, (clip.offset or 0) + 1))),
        "detect": 2 * _seconds(lambda: landmarker.detect(frames[0]))
        + (looks - 2) * _seconds(lambda: landmarker.detect(frames[0], near=box)),
        "landmarks": faces.landmark_frames * _seconds(lambda: landmarker.landmarks(frames[0], box)),
        "register head motion": n * _mean_seconds([partial(register, f, view) for f in frames[1:20]]),
        "warp": n * _mean_seconds([partial(alignment.warp, f, view, faces.size) for f in frames[:20]]),
        "flow": _seconds(lambda: _use_up(optical_flow.clip_flow(crops, settings))),
        "intensity, pool, encode": pool,
        "write": write,
    }  # fmt: skip
    total = sum(times.values())
    table = pd.DataFrame([{"stage": k, "ms per clip": 1e3 * v, "share %": 100 * v / total} for k, v in times.items()])
    table.attrs["note"] = (
        f"One clip of {n} frames of {frames[0].shape[1]} x {frames[0].shape[0]} px; {1e3 * total / n:.1f} ms per frame."
    )
    return table


def jobs_table(root: Path, config: Config) -> pd.DataFrame:
    """Clips per second with one and two processes, start of the processes included."""
    clips = _clips(root, 2 * CLIPS)
    rates = {}
    for jobs in (1, 2):
        with _scratch() as folder:
            rates[jobs] = len(clips) / _seconds(partial(build_dataset, clips, folder, config.stages, jobs))
    table = pd.DataFrame(
        [{"jobs": j, "clips per second": rate, "times jobs = 1": rate / rates[1]} for j, rate in rates.items()]
    )
    table.attrs["note"] = f"{len(clips)} clips, faces to dynamic images."
    return table


def memory_table(root: Path, config: Config) -> pd.DataFrame:
    """Peak resident memory of a fresh worker, for a clip as it is and the same clip many times as long."""
    clip = _clips(root, 1)[0]
    rows = []
    for times in (1, 10, 40):
        if not isinstance(clip.frames, ImageSequence):
            raise TypeError("the synthetic corpus is made of image sequences")
        paths = clip.frames.paths[clip.onset : (clip.offset or 0) + 1] * times
        longer = dataclasses.replace(
            clip, frames=ImageSequence(paths), onset=0, apex=None, offset=len(paths) - 1, action_units=()
        )
        with _scratch() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(build_and_weigh, (longer, folder, config.stages))
        rows.append({"frames": len(paths), "peak MB": peak, "under 350 MB": "yes" if peak < 350 else "NO"})
    return pd.DataFrame(rows)


def _reference_crop(frame: Frame, landmarker: DlibLandmarker, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    twice = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    box = landmarker.detect(np.asarray(twice, np.uint8))[0]
    half = type(box)(*(v / 2 for v in box))
    view = alignment.clip_transform(landmarker.landmarks(frame, half)[None], size)
    return alignment.warp(frame, view, size), view


def _skin_motion(known: Truth, view: Transform, size: int) -> NDArray[np.float64]:
    """True motion onset → apex in a crop of the onset, the head held exactly: what a user takes the flow for. px.

    Whatever a chain leaves of the head's motion, or adds by its own jitter, is then an error of its flow.
    """
    at = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)
    source = alignment.apply(alignment.invert(view), at)
    moved = source + chain_accuracy.sample_at(dense_motion(known, known.apex), source)
    held = alignment.compose(known.rigid[known.onset], alignment.invert(known.rigid[known.apex]))
    return alignment.apply(view, alignment.apply(held, moved)) - at


def _seconds_per_frame(case: chain_accuracy.FlowCase, settings: FlowSettings) -> float:
    """Of a few frames of a case in order, its reference prepared anew as for a clip of that length."""
    if case.clip is None:
        raise ValueError("a case of the cache has its clip")
    frames = [case.clip[t] for t in range(min(len(case.clip), TIMED_FRAMES))]
    return _seconds(lambda: _use_up(optical_flow.clip_flow(frames, settings))) / (len(frames) - 1)


def _use_up(items: Iterator[Any]) -> None:
    for _ in items:
        pass


def _pool(folder: ClipFolder, config: Config, clip: Clip) -> None:
    build_images(folder, config["images"], f"timed-{time.perf_counter()}", (clip.apex or 0) - clip.onset)


def _copy(folder: ClipFolder, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for path in folder.folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())


def _clips(root: Path, n: int) -> list[Clip]:
    clips = {clip.clip_id: clip for clip in synthetic.load(root)}
    return [clips[clip_id] for clip_id in chain_accuracy.evenly_spaced(list(clips), n)]


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as name:
        yield Path(name)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _mean_seconds(works: Sequence[Callable[[], Any]]) -> float:
    return float(np.mean([_seconds(work) for work in works]))
