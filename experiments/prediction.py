"""Apply a trained model to videos (``mer predict``): a table, a JSON file and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dynamic_images.inspection.gallery import write_gallery
from dynamic_images.noise_floor import noise_notes
from dynamic_images.spotting.candidates import Proposal, propose
from dynamic_images.spotting.motion_curve import SpotSettings
from experiments.pages.predictions import EXPERIMENTAL, JSON, PAGE, TABLE, Predictions, render
from experiments.runs.run import WAIT, library_versions, to_csv, write_json
from fusion_net.checkpoint import Checkpoint, load
from fusion_net.new_clips import predict_clips
from preprocessing.artefacts.files import remove_leftovers, write_text
from preprocessing.artefacts.locks import locked
from preprocessing.clips import Clip, check_unique
from preprocessing.datasets import videos as adapter
from preprocessing.datasets import with_bit_depth
from preprocessing.errors import ClipRejectedError, UsageError, faults_rejected
from preprocessing.faces.remarks import face_notes
from preprocessing.pipeline import FaceSettings
from preprocessing.recordings.coding import coding_of
from preprocessing.recordings.remarks import recording_notes
from preprocessing.video import Frame, FrameReport, FrameSource

Step = Callable[[int, int, str], None]
Progress = Callable[[str], AbstractContextManager[Step]]

FIRST = (
    *("clip_id", "video", "status", "code", "reason", "notes", "spotted"),
    *("onset", "apex", "offset", "start_s", "end_s", "fps", "n_frames"),
)
"""Columns that the table begins with; the answer follows, then the quality numbers of the manifest."""
MOST_FRAMES = 1500
"""A clip beyond it is no clip: its crops and flow would fill the disk, and one answer about it means nothing."""
LONG = 2.0  # seconds beyond which one answer about a clip is remarked on
EVERY = 10  # frames between two words about progress


def predict_videos(
    videos: Sequence[Path],
    model: Path,
    out: Path,
    jobs: int,
    progress: Progress,
    spot: SpotSettings | None = None,
    fps: float | None = None,
    landmark_model: Path | None = None,
    bit_depth: int | None = None,
) -> Predictions:
    """Predict every clip below ``videos`` and write ``predictions.csv``, ``.json`` and ``.html`` into ``out``.

    Args:
        videos: video files, folders of numbered images, or folders of such; each is a trimmed clip.
        model: a folder that ``mer train --final`` wrote.
        out: gets the artefacts of the clips too, which a second call reuses.
        jobs: processes of the offline stages.
        progress: opens the display of one piece of work.
        spot: search each video for candidates and predict those in its place.
        fps: frames per second, believed in place of what the files say.
        landmark_model: stands in for ``faces.landmark_model`` of the model's settings; needed if it was trained with
            another landmark model than the installed one, since only that file's name is kept.
        bit_depth: of pictures with 16 bits a sample, how many the camera filled; None finds it out per clip.

    Raises:
        UsageError: a video that is not there, or ``out`` is a file.
        FolderInUseError: another process is at work in ``out``.
        ToolkitError: the model cannot be used.
    """
    clips = with_bit_depth(_clips(videos, fps), bit_depth)
    checkpoint = _with_landmarks(load(model), landmark_model)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: name a folder for the answers")
    with locked(out, "mer predict", WAIT):
        remove_leftovers(out, alone=True)
        return _predict(checkpoint, clips, out, jobs, progress, spot)


def _predict(
    checkpoint: Checkpoint, clips: list[Clip], out: Path, jobs: int, progress: Progress, spot: SpotSettings | None
) -> Predictions:
    if spot is None:
        clips = [replace(clip, frames=_Bounded(clip.frames)) for clip in clips]
    proposals: list[Proposal] = []
    lost: list[dict[str, Any]] = []
    if spot is not None:
        faces = FaceSettings() if checkpoint.stages is None else checkpoint.stages.faces
        with progress("looking for candidates") as step:
            for proposal in _search(clips, out, spot, faces, step):
                if isinstance(proposal, Proposal):
                    proposals.append(proposal)
                else:
                    lost.append(proposal)
        clips = [clip for proposal in proposals for clip in proposal.clips]
    with progress("faces, flow, dynamic images") as step:
        rows = _answers(checkpoint, clips, out, jobs, step) if clips else pd.DataFrame()
    if clips:
        with progress("contact sheets") as step:
            write_gallery(out, jobs=jobs, progress=lambda done, total: step(done, total, ""))
    table = _table(rows, lost, proposals, checkpoint, {clip.clip_id: clip.frames.name for clip in clips})
    found = Predictions(table, checkpoint, tuple(proposals), tuple(_remarks(checkpoint)))
    _write(found, out)
    return found


def _clips(videos: Sequence[Path], fps: float | None) -> list[Clip]:
    for path in videos:
        if not path.exists():
            raise UsageError(f"{path} does not exist: give video files, folders of images, or folders of them")
    clips = check_unique([clip for path in videos for clip in adapter.clips_below(path) or [adapter.no_clip(path)]])
    return clips if fps is None else [replace(clip, fps=fps) for clip in clips]


def _with_landmarks(checkpoint: Checkpoint, landmark_model: Path | None) -> Checkpoint:
    if checkpoint.stages is None or landmark_model is None:
        return checkpoint
    faces = replace(checkpoint.stages.faces, landmark_model=str(landmark_model))
    return replace(checkpoint, stages=replace(checkpoint.stages, faces=faces))


def _search(
    clips: Sequence[Clip], out: Path, spot: SpotSettings, faces: FaceSettings, step: Step
) -> Iterator[Proposal | dict[str, Any]]:
    """What is found in each video, or a row that says why it cannot be searched."""
    landmarker = faces.landmarker()
    lengths = [_declared(clip) for clip in clips]
    done, total = 0, sum(lengths)
    for clip, length in zip(clips, lengths, strict=True):

        def on_frame(n: int, name: str = clip.clip_id, before: int = done) -> None:
            if n % EVERY == 0:
                step(before + n, max(total, before + n + 1), name)

        try:
            with faults_rejected():
                found = propose(clip, out, landmarker, spot, on_frame)
            yield found
        except ClipRejectedError as error:
            yield _rejected(clip, error.code, error.reason)
        done += length
        step(done, max(total, done), clip.clip_id)


def _declared(clip: Clip) -> int:
    try:
        return clip.frames.declared() or 0
    except ClipRejectedError:  # it is rejected with the same reason when its frames are read
        return 0


def _rejected(clip: Clip, code: str, reason: str) -> dict[str, Any]:
    about = {"clip_id": clip.clip_id, "subject": clip.subject, "video": clip.frames.name, "fps": clip.fps}
    return {**about, "status": "rejected", "code": code, "reason": reason}


def _answers(checkpoint: Checkpoint, clips: Sequence[Clip], out: Path, jobs: int, step: Step) -> pd.DataFrame:
    done = 0

    def on_clip(row: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        step(done, len(clips), row["clip_id"] + (f" rejected: {row['reason']}" if row["reason"] else ""))

    return predict_clips(checkpoint, clips, out, jobs, on_clip)


def _table(
    rows: pd.DataFrame,
    lost: list[dict[str, Any]],
    proposals: Sequence[Proposal],
    checkpoint: Checkpoint,
    names: dict[str, str],
) -> pd.DataFrame:
    """One row per clip: where it is, what became of it, what the model answers, what to keep in mind."""
    records = [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")] if len(rows) else []
    places = {
        clip.clip_id: (proposal.video, found)
        for proposal in proposals
        for clip, found in zip(proposal.clips, proposal.found, strict=True)
    }
    for row in records:
        row["video"] = names[row["clip_id"]]
        if row["clip_id"] in places:
            video, found = places[row["clip_id"]]
            row |= {"video": video.frames.name, "prominence": found.prominence}
            for name in ("onset", "apex", "offset"):
                row[name] = row[name] + found.onset if pd.notna(row[name]) else getattr(found, name)
        row["spotted"] = row["clip_id"] in places
        coding = coding_of(Path(row["video"]))
        row |= {} if coding is None else {"coding": coding.told}
        row["notes"] = "; ".join(notes(row, checkpoint) + (coding.remarks if coding else []))
        if pd.notna(row["fps"]) and pd.notna(row["offset"]):
            row |= {"start_s": round(row["onset"] / row["fps"], 3), "end_s": round(row["offset"] / row["fps"], 3)}
    lost += [_without(proposal) for proposal in proposals if not proposal.found]
    table = pd.DataFrame([*records, *lost])
    answers = [c for c in table.columns if c.startswith(("gate_", "strength_"))]
    first = [*FIRST, "y_pred", *(f"p_{name}" for name in checkpoint.model.classes), *answers]
    table = table.reindex(columns=list(dict.fromkeys([*first, *table.columns])))
    return table.drop(columns=["emotion", "action_units"], errors="ignore").convert_dtypes()


def _without(proposal: Proposal) -> dict[str, Any]:
    """The row of a searched video in which nothing was found."""
    if not np.isfinite(proposal.curve).any():
        return _rejected(proposal.video, "no_face", "no face could be followed for as long as an expression lasts")
    return _rejected(proposal.video, "no_candidate", "nothing in it moves and moves back as an expression would")


def notes(row: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    """What somebody should know who reads the answer about a clip."""
    if row["status"] != "ok":
        return []
    found = []
    seconds = row["n_frames"] / row["fps"] if pd.notna(row["fps"]) else None
    if seconds is not None and seconds > LONG and not row["spotted"]:
        found.append(f"lasts {seconds:.1f} s, a micro-expression at most 0.5 s: trim it, or try --spot")
    if row["faces_seen"] > 1:
        found.append(f"{row['faces_seen']:.0f} faces: the largest that stays was followed")
    return found + face_notes(row) + recording_notes(row) + noise_notes(row) + _strange(row, checkpoint)


def _strange(row: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    """Whether a clip moves as no training clip did, over the inputs."""
    ranges = checkpoint.about.get("training", {}).get("strength", {})
    values = {name: float(row[f"strength_{name}"]) for name in ranges}
    above = max((values[name] / high for name, (_, high) in ranges.items()), default=0)
    if above > 1:
        return [f"moves {above:.1f} times as much as the strongest training clip: the answer is a guess"]
    if any(values[name] < low for name, (low, _) in ranges.items()):
        return ["moves less than the weakest training clip: the answer is a guess"]
    return []


def _remarks(checkpoint: Checkpoint) -> Iterator[str]:
    here, there = library_versions(), checkpoint.about.get("libraries", {})
    for name in sorted(set(here) & set(there)):
        if here[name] != there[name]:
            yield f"trained with {name} {there[name]}, used with {here[name]}"


def _write(found: Predictions, out: Path) -> None:
    write_text(out / TABLE, to_csv(found.table))
    records = [
        {k: None if pd.isna(v) else v for k, v in row.items()} for row in found.table.astype(object).to_dict("records")
    ]
    about = found.checkpoint.about
    content = {
        "model": {
            "classes": list(found.checkpoint.model.classes),
            "training": about.get("training"),
            "evaluation": about.get("evaluation"),
            "remarks": list(found.remarks),
        },
        "experimental": EXPERIMENTAL if found.proposals or found.table.get("spotted", pd.Series()).any() else None,
        "clips": records,
    }
    write_json(out / JSON, content, sealed=False)
    write_text(out / PAGE, render(found, out))


@dataclass(frozen=True)
class _Bounded:
    """A source that is refused when it turns out to be no trimmed clip, before it has filled the disk."""

    source: FrameSource

    @property
    def name(self) -> str:
        return self.source.name

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        for t, frame in enumerate(self.source.read(start, stop, report)):
            if t >= MOST_FRAMES:
                raise ClipRejectedError(
                    "too_long",
                    f"more than {MOST_FRAMES} frames are no trimmed clip: cut it, or look for candidates with --spot",
                )
            yield frame

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        return self.source.digest(start, stop)

    def declared(self) -> int | None:
        return self.source.declared()
