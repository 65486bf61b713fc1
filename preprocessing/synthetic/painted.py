"""A corpus of real faces with known motion: people at rest get action units painted into their own pixels.

    root/
      frames/ann/c03/img0.png    or frames/ann/c03.mkv, as the encoder left it
      annotation.csv             as the drawn corpus has it, so that the adapter ``synthetic`` reads it
      truth/ann/c03.npz          see `truth.Truth`
      painted.json               settings, people and how well the noise was kept; written last

Every clip depends on (seed, person, clip) only. Frames are those of people and never leave the folder.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preprocessing.artefacts.files import atomic, key_of, scratch_path, write_text
from preprocessing.artefacts.locks import locked
from preprocessing.errors import ClipRejectedError, DatasetError
from preprocessing.faces.landmarks import Landmarker
from preprocessing.recordings.encoding import write_video
from preprocessing.synthetic import painting
from preprocessing.synthetic.action_units import EMOTIONS, draw_mixture, notation
from preprocessing.synthetic.corpus import SHARES, stream_of
from preprocessing.synthetic.sitters import Rest, Sitter, joined, load_sitter
from preprocessing.synthetic.timeline import head_motion, mixture_curves, truth_of
from preprocessing.synthetic.truth import Truth
from preprocessing.workers import unordered

VERSION = 1
ANNOTATION, RECORD = "annotation.csv", "painted.json"
PICTURES = "png"
"""In place of a codec: every frame a picture without loss."""
STILL_FPS = 100.0
SECONDS = (0.25, 0.5)
"""Onset to offset."""
PEAK = (0.0033, 0.0167)
"""Range of the largest displacement of any skin point, as a share of the eye distance: that of the drawn corpus."""
FEWEST = 8
"""Frames from onset to offset at least, however slow the camera."""


@dataclass(frozen=True)
class PaintSettings:
    """What is painted.

    Attributes:
        clips_per_person: clips of each person.
        seed: another seed, other expressions.
        intensity: multiplies the peak displacement, drawn between `PEAK` of the distance of the outer eye corners.
        fps: frames per second that the clips pretend to have; None takes those of the recording, and `STILL_FPS` for a
            photograph. A recording is played frame by frame, so at a higher rate its own small movements are faster.
        drift, rotation: largest motion that a photograph's head is given over a clip, in shares of the eye distance and
            degrees. The head of a recording moves on its own.
        noise: multiplies the sensor noise that a photograph is given; 1 is that of the photograph itself.
        codec: ``png`` for pictures without loss, or an encoder of FFmpeg, such as ``libx264``.
        options: of the encoder, e.g. ``{"crf": "18"}``.
        lead_in, tail: frames at rest before the onset and after the offset.

    Raises:
        ValueError: a value out of its range, or options for pictures.
    """

    clips_per_person: int = 10
    seed: int = 0
    intensity: float = 1.0
    fps: float | None = None
    drift: float = 0.01
    rotation: float = 0.3
    noise: float = 1.0
    codec: str = PICTURES
    options: Mapping[str, str] = field(default_factory=dict)
    lead_in: int = 4
    tail: int = 4

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "clips_per_person": (1, 999),
            "seed": (0, 2**63),
            "intensity": (0, 20),
            "fps": (5, 2000),
            "drift": (0, 0.5),
            "rotation": (0, 10),
            "noise": (0, 10),
            "lead_in": (0, 500),
            "tail": (0, 500),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} of painted clips is {value}, wanted {low} to {high}")
        if self.options and self.codec == PICTURES:
            raise ValueError("options of an encoder have no effect on pictures: name a codec such as libx264 too")


def paint_corpus(
    root: Path,
    rests: Sequence[Rest],
    landmarker: Landmarker,
    settings: PaintSettings,
    jobs: int = 1,
    step: Callable[[int, int, str], None] | None = None,
) -> dict[str, str]:
    """Make the corpus below ``root``; person → why nothing could be painted on them.

    Raises:
        DatasetError: ``root`` holds something else, or nobody could be painted on.
    """
    if root.is_dir() and any(root.iterdir()) and not (root / RECORD).is_file():
        raise DatasetError(f"{root} is not empty and holds no painted clips: name another folder for them")
    with locked(root, "painting clips"):
        (root / RECORD).unlink(missing_ok=True)
        for name in ("frames", "truth"):
            shutil.rmtree(root / name, ignore_errors=True)
        sitters, refused = _sitters(rests, landmarker)
        if not sitters:
            raise DatasetError(f"nobody can be painted on: {'; '.join(refused.values())}")
        people = joined(sitters)
        rows: dict[str, list[dict[str, Any]]] = {}
        noise = {}
        tasks = [(root, pieces, settings) for pieces in people.values()]
        for person, made, kept in unordered(_paint_person, tasks, jobs):
            rows[person], noise[person] = made, kept
            if step:
                step(len(rows), len(people), person)
        table = pd.DataFrame([row for person in people for row in rows[person]]).to_csv(
            index=False, lineterminator="\n"
        )
        write_text(root / ANNOTATION, table)
        record = {"painter": VERSION, "settings": dataclasses.asdict(settings), "noise": noise, "refused": refused}
        write_text(root / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return refused


def is_painted(root: Path) -> bool:
    """Whether a corpus was painted into real faces; a drawn one is not."""
    return (root / RECORD).is_file()


def _paint_person(
    root: Path, pieces: list[Sitter], settings: PaintSettings
) -> tuple[str, list[dict[str, Any]], dict[str, dict[str, float]]]:
    cv2.setNumThreads(1)  # parallelism is over people
    person = pieces[0].person
    emotions = _emotions(settings, person)
    rows = [_make(root, person, pieces[c % len(pieces)], c, emotion, settings) for c, emotion in enumerate(emotions)]
    return person, rows, kept_noise(pieces[0], settings)


def paint_clip(
    sitter: Sitter, settings: PaintSettings, clip: int, emotion: str, peak: float | None = None
) -> tuple[Truth, Iterator[NDArray[np.uint8]], float]:
    """The truth of one clip, its frames (H, W, 3) uint8 before encoding, and frames per second.

    ``peak`` is the largest displacement as a share of the eye distance, in place of one that is drawn.
    """
    rngs = [stream_of(settings.seed, _number(sitter.person), clip, part) for part in range(3)]
    fps = settings.fps or (STILL_FPS if sitter.is_still else sitter.fps or STILL_FPS)
    length = max(FEWEST, round(rngs[0].uniform(*SECONDS) * fps))
    onset, offset = settings.lead_in, settings.lead_in + length
    n = offset + 1 + settings.tail
    mixture = draw_mixture(emotion, rngs[0])
    curves = mixture_curves(mixture, n, onset, offset, rngs[0])
    drawn = rngs[0].uniform(*PEAK)
    reach = settings.intensity * (drawn if peak is None else peak) * sitter.scale
    places = _there_and_back(len(sitter.frames), n, int(rngs[1].integers(len(sitter.frames))))
    truth = truth_of(
        sitter,
        sitter.neutral,
        sitter.size,
        sitter.face,
        (onset, offset),
        mixture,
        curves,
        reach,
        _poses(sitter, settings, places, rngs[1]),
        np.zeros(n),
    )
    return truth, frames_of(sitter, truth, places, settings.noise, rngs[2]), fps


def frames_of(
    sitter: Sitter, truth: Truth, places: NDArray[np.int64], noise: float, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Frames (H, W, 3) uint8 of a truth on a person; ``places`` (T,) are the frames of the recording to paint on."""
    parts = sitter.parts
    if sitter.is_still:
        picture, residual = parts[0]
        y, x = np.nonzero(sitter.face)
        here = residual[y.min() : y.max(), x.min() : x.max()]
        fresh = (painting_noise(here, residual.shape, noise, rng) for _ in repeat(None))
        return painting.painted(truth, (picture for _ in places), fresh, moves_head=True)
    return painting.painted(truth, (parts[p][0] for p in places), (parts[p][1] for p in places), moves_head=False)


def painting_noise(
    residual: NDArray[np.float32], shape: tuple[int, ...], gain: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise of a whole frame like that of a part of it."""
    tiles = np.tile(residual, (-(-shape[0] // residual.shape[0]), -(-shape[1] // residual.shape[1]), 1))
    return np.asarray(gain * painting.noise_like(tiles[: shape[0], : shape[1]], rng), np.float32)


def kept_noise(sitter: Sitter, settings: PaintSettings) -> dict[str, dict[str, float]]:
    """Statistics of the noise in the face: ``before`` of the recording, ``after`` of a clip painted on it.

    See `painting.noise_statistics`. A photograph has nothing before: its noise over time is made up.
    """
    truth, frames, _ = paint_clip(sitter, settings, 0, EMOTIONS[0])
    after = {"after": painting.noise_statistics(list(frames), sitter.face)}
    if sitter.is_still:
        return after
    places = _there_and_back(len(sitter.frames), truth.n_frames, 0)
    return {"before": painting.noise_statistics([sitter.frames[p] for p in places], sitter.face), **after}


def _sitters(rests: Sequence[Rest], landmarker: Landmarker) -> tuple[list[Sitter], dict[str, str]]:
    found, refused = [], {}
    for rest in rests:
        try:
            found.append(load_sitter(rest, landmarker))
        except ClipRejectedError as error:
            refused[rest.person] = error.reason
    return found, refused


def _make(root: Path, person: str, sitter: Sitter, clip: int, emotion: str, settings: PaintSettings) -> dict[str, Any]:
    name = f"c{clip + 1:02d}"
    truth, frames, fps = paint_clip(sitter, settings, clip, emotion)
    with atomic(root / "truth" / person / f"{name}.npz") as scratch:
        truth.save(scratch)
    folder = root / "frames" / person
    folder.mkdir(parents=True, exist_ok=True)
    if settings.codec == PICTURES:
        with scratch_path(folder) as aside:
            aside.mkdir()
            for t, frame in enumerate(frames):
                cv2.imwrite(str(aside / f"img{t}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            aside.rename(folder / name)
    else:
        with atomic(folder / f"{name}.mkv") as scratch:
            write_video(scratch, frames, fps, settings.codec, settings.options)
    about = {"subject": person, "clip": name, "onset": truth.onset, "apex": truth.apex, "offset": truth.offset}
    return about | {"fps": fps, "emotion": emotion, "action_units": notation(truth.action_units)}


def _emotions(settings: PaintSettings, person: str) -> list[str]:
    """Emotion of each clip of a person: the shares of the drawn corpus, in an order of their own."""
    rng = stream_of(settings.seed, _number(person), 10**6)
    return [str(e) for e in rng.choice(EMOTIONS, settings.clips_per_person, p=np.array(SHARES) / sum(SHARES))]


def _number(person: str) -> int:
    return int(key_of("person", person)[:12], 16)


def _there_and_back(frames: int, n: int, start: int) -> NDArray[np.int64]:
    """``n`` places in a recording of ``frames``, forwards and backwards by turns, so that no step is a jump."""
    if frames == 1:
        return np.zeros(n, np.int64)
    period = 2 * (frames - 1)
    at = (start + np.arange(n)) % period
    return np.asarray(np.minimum(at, period - at), np.int64)


def _poses(
    sitter: Sitter, settings: PaintSettings, places: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    if not sitter.is_still:
        return sitter.poses[places]
    return head_motion(rng, len(places), sitter, settings.drift * sitter.scale, settings.rotation)
