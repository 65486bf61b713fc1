"""The embedded corpus of synthetic micro-expressions: draw every clip, render it, write it like a real data set.

    root/
      frames/s01/c03/img12.jpg   file numbers start anywhere and are not padded, as in CASME II
      annotation.csv             subject, clip, onset, apex, offset (file numbers), fps, emotion, action_units
      truth/s01/c03.npz          what no adapter reads: see `truth.Truth`
      drawn/s01/c03.json         sizes and digests of the clip's files: see `drawn`
      corpus.json                settings and generator version, digest of the table; written last

Every clip depends on (seed, subject, clip) only. A clip is rendered aside and renamed, so whatever stops a run, the
next one goes on and ends with the same bytes; a clip whose files were damaged since is drawn again. One process draws
at a time, a second one waits and finds the corpus there.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preprocessing.artefacts.files import atomic, digest, is_scratch, key_of, remove_leftovers, scratch_path, write_text
from preprocessing.artefacts.locks import LOCK, locked
from preprocessing.errors import DatasetError, EnvironmentProblemError
from preprocessing.synthetic import rendering
from preprocessing.synthetic.action_units import EMOTIONS, notation
from preprocessing.synthetic.drawn import ClipFiles, is_intact, recorded_key, write_record
from preprocessing.synthetic.geometry import Identity, draw_identity
from preprocessing.synthetic.portrait import Portrait, draw_portrait
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.synthetic.timeline import draw_truth
from preprocessing.synthetic.truth import Truth
from preprocessing.workers import unordered

VERSION = 1
ANNOTATION, RECORD, STARTED = "annotation.csv", "corpus.json", "corpus.started.json"
OURS = {"frames", "truth", "drawn", ANNOTATION}
WAIT = 12 * 3600.0
"""Seconds that another process is waited for: longer than any corpus takes to draw."""
SHARES = (0.22, 0.18, 0.24, 0.15, 0.21)
"""Share of each of `EMOTIONS` among the clips."""


def generate(
    root: Path,
    settings: CorpusSettings,
    jobs: int = 1,
    on_clip: Callable[[int, int], None] | None = None,
    verify: bool = False,
    on_mended: Callable[[str], None] | None = None,
) -> Path:
    """Make the corpus below ``root``, or what is missing or damaged of it, and return ``root``.

    A finished corpus of the same settings is left untouched; one of other settings is replaced.

    Args:
        root: folder of the corpus; made if there is none.
        settings: what to make.
        jobs: worker processes. The bytes do not depend on it.
        on_clip: called with (clips done, clips in all) after every clip.
        verify: compare every byte of what is there, not only of files that were touched.
        on_mended: told every clip, as ``s01/c03``, that was drawn before and had to be drawn again.

    Raises:
        DatasetError: ``root`` holds something that this generator did not make.
        EnvironmentProblemError: a file cannot be written.
        FolderInUseError: another process has been drawing there for `WAIT` seconds.
    """
    try:
        _check_place(root)
        if _is_finished(root, settings, verify):
            return root
        with locked(root, "drawing the synthetic corpus", WAIT):
            _claim(root, settings)
            _draw_missing(root, settings, jobs, on_clip, verify, on_mended)
            table = _annotation(root, settings).to_csv(index=False, lineterminator="\n")
            write_text(root / ANNOTATION, table)
            record = _spec(settings) | {"annotation": digest(table.encode("utf-8"))}
            write_text(root / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
            (root / STARTED).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblemError(f"the corpus cannot be written to {root}: {error}") from error
    return root


def _draw_missing(
    root: Path,
    settings: CorpusSettings,
    jobs: int,
    on_clip: Callable[[int, int], None] | None,
    verify: bool,
    on_mended: Callable[[str], None] | None,
) -> None:
    emotions = dict(zip(settings.clips, _shown(settings), strict=True))
    left = [key for key in settings.clips if not _is_done(root, settings, *key, verify)]
    for key in left:
        files = ClipFiles.of(root, *clip_name(*key))
        if on_mended is not None and recorded_key(files) == _clip_key(settings):
            on_mended("/".join(clip_name(*key)))
        files.record.unlink(missing_ok=True)
    done = len(settings.clips) - len(left)
    for _ in unordered(_make_clip, [(root, settings, *key, emotions[key]) for key in left], jobs):
        done += 1
        if on_clip is not None:
            on_clip(done, len(settings.clips))


def settings_of(root: Path) -> CorpusSettings:
    """What the finished corpus in ``root`` was made with.

    Raises:
        DatasetError: it is not finished, or from another generator.
    """
    record = _read(root / RECORD)
    try:
        return CorpusSettings(**record["settings"])
    except (TypeError, KeyError, ValueError) as error:
        raise DatasetError(f"{root / RECORD} holds no settings of a corpus: finish it with `mer synth`") from error


def clip_name(subject: int, clip: int) -> tuple[str, str]:
    """Folder names of a clip: ``(0, 2)`` is ``("s01", "c03")``."""
    return f"s{subject + 1:02d}", f"c{clip + 1:02d}"


def stream(settings: CorpusSettings, *key: int) -> np.random.Generator:
    """Random numbers of (seed, *key), independent of every other key."""
    return stream_of(settings.seed, *key)


def stream_of(seed: int, *key: int) -> np.random.Generator:
    """The same of a seed alone."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@functools.lru_cache(maxsize=2)
def sitter(seed: int, subject: int, size: tuple[int, int]) -> tuple[Identity, Portrait]:
    """The person and the neutral portrait of a subject; the latest two are kept, for the subject's other clips."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(subject,)))
    # multiples of the golden ratio spread any number of subjects evenly over the skin tones
    who = draw_identity(rng, *size, rank=(0.1 + subject * 0.6180339887) % 1)
    return who, draw_portrait(who, size, rng)


def draw_clip(
    settings: CorpusSettings, subject: int, clip: int, emotion: str
) -> tuple[Truth, Iterator[NDArray[np.uint8]]]:
    """The truth of one clip and its frames (H, W, 3) uint8 RGB, before JPEG.

    Every nuisance has its own random stream: switching one off changes nothing else.
    """
    who, portrait = sitter(settings.seed, subject, settings.size)
    rngs = [stream(settings, subject, clip, part) for part in range(6)]
    truth = draw_truth(settings, who, portrait.face, emotion, *rngs[:3])
    gains = rendering.flicker_gains(rngs[3], truth.n_frames, settings.fps, settings.flicker)
    lighting = rendering.draw_lighting(rngs[4])
    backdrop = None
    if settings.background:
        rng = stream(settings, subject, clip, 8)
        backdrop = rendering.draw_backdrop(rng, settings.size, truth.n_frames, settings.background)
    return truth, rendering.render(truth, portrait, lighting, gains, settings.noise, rngs[5], backdrop)


def _make_clip(root: Path, settings: CorpusSettings, subject: int, clip: int, emotion: str) -> Path:
    """Render one clip aside, then show it; return its folder of frames."""
    files = ClipFiles.of(root, *clip_name(subject, clip))
    files.frames.parent.mkdir(parents=True, exist_ok=True)
    with scratch_path(files.frames.parent) as aside:
        aside.mkdir()
        truth = _render(settings, subject, clip, emotion, aside)
        # a worker of a process that was killed may be at this line too, until it notices
        with locked(files.frames.parent, "drawing a clip of the synthetic corpus", WAIT):
            with atomic(files.truth) as scratch:
                truth.save(scratch)
            shutil.rmtree(files.frames, ignore_errors=True)
            aside.rename(files.frames)
            write_record(files, _clip_key(settings))
    return files.frames


def _render(settings: CorpusSettings, subject: int, clip: int, emotion: str, folder: Path) -> Truth:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        truth, frames = draw_clip(settings, subject, clip, emotion)
        first = _first_file(settings, subject, clip)
        for number, frame in enumerate(frames, first):
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])[1]
            (folder / f"img{number}.jpg").write_bytes(code.tobytes())
    finally:
        cv2.setNumThreads(threads)
    return truth


def _is_done(root: Path, settings: CorpusSettings, subject: int, clip: int, verify: bool) -> bool:
    files = ClipFiles.of(root, *clip_name(subject, clip))
    return recorded_key(files) == _clip_key(settings) and is_intact(files, verify)


def _is_finished(root: Path, settings: CorpusSettings, verify: bool) -> bool:
    record = _read(root / RECORD)
    if not _is_of(record, settings) or not (root / ANNOTATION).is_file():
        return False
    if record.get("annotation") != digest(root / ANNOTATION):
        return False
    return all(_is_done(root, settings, *key, verify) for key in settings.clips)


def _clip_key(settings: CorpusSettings) -> str:
    """What the files of a clip depend on: all settings but whether the labels are permuted."""
    return key_of("drawn clip", VERSION, _told(dataclasses.replace(settings, null=False)))


def _first_file(settings: CorpusSettings, subject: int, clip: int) -> int:
    return int(stream(settings, subject, clip, 6).integers(1, 120))


def _shown(settings: CorpusSettings) -> list[str]:
    """Emotion that each clip shows, in the order of ``settings.clips``: fixed shares, random order."""
    n = len(settings.clips)
    exact = n * np.array(SHARES)
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    shown = np.repeat(EMOTIONS, counts)
    return [str(emotion) for emotion in stream(settings).permutation(shown)]


def _labels(settings: CorpusSettings) -> list[str]:
    """Emotion that is annotated for each clip: what it shows, or a permutation of that."""
    shown = _shown(settings)
    if not settings.null:
        return shown
    return [str(emotion) for emotion in stream(settings, 0, 0, 7).permutation(shown)]


def _annotation(root: Path, settings: CorpusSettings) -> pd.DataFrame:
    rows = []
    for (subject, clip), emotion in zip(settings.clips, _labels(settings), strict=True):
        truth = Truth.load(ClipFiles.of(root, *clip_name(subject, clip)).truth)
        first = _first_file(settings, subject, clip)
        person, name = clip_name(subject, clip)
        rows.append(
            {
                "subject": person,
                "clip": name,
                "onset": first + truth.onset,
                "apex": first + truth.apex,
                "offset": first + truth.offset,
                "fps": settings.fps,
                "emotion": emotion,
                "action_units": notation(truth.action_units),
            }
        )
    return pd.DataFrame(rows)


def _check_place(root: Path) -> None:
    """Raise DatasetError where ``root`` is a file, or a folder with something else in it."""
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root} is a file, wanted a folder for the synthetic corpus: name another one")
    if not root.is_dir() or any((root / mark).is_file() for mark in (RECORD, STARTED)):
        return
    found = {path.name for path in root.iterdir() if path.name != LOCK and not is_scratch(path.name)}
    if found and not (found <= OURS and any(root.glob("drawn/*/*.json"))):
        raise DatasetError(f"{root} is not empty and holds no synthetic corpus: name another folder for it")


def _claim(root: Path, settings: CorpusSettings) -> None:
    """Make ``root`` ours: empty, or holding a corpus of these settings, finished or not."""
    remove_leftovers(root, alone=True)
    for folder in root.glob("frames/*/"):
        remove_leftovers(folder, alone=True)
    if any(_is_of(_read(root / mark), settings) for mark in (RECORD, STARTED)):
        return
    # an unfinished clearing must not pass for a corpus: the mark of this spec comes after it
    write_text(root / STARTED, "{}\n")
    for name in (RECORD, ANNOTATION):
        (root / name).unlink(missing_ok=True)
    drawn = [ClipFiles.of(root, *clip_name(*key)) for key in settings.clips]
    if not any(recorded_key(files) == _clip_key(settings) for files in drawn):
        for name in ("frames", "truth", "drawn"):
            if (root / name).exists():
                shutil.rmtree(root / name)
    write_text(root / STARTED, json.dumps(_spec(settings), indent=1, sort_keys=True) + "\n")


def _spec(settings: CorpusSettings) -> dict[str, Any]:
    return {"generator": VERSION, "settings": _told(settings)}


def _told(settings: CorpusSettings) -> dict[str, Any]:
    """Settings as records hold them; without the background where it stands still: the bytes are those of before."""
    told = dataclasses.asdict(settings)
    return told if settings.background else {name: value for name, value in told.items() if name != "background"}


def _is_of(record: Any, settings: CorpusSettings) -> bool:
    spec = _spec(settings)
    return isinstance(record, dict) and {name: record.get(name) for name in spec} == spec


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
