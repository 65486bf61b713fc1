"""Run one clip through the stages `faces` and `flow`; frames are decoded once and streamed to disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing import optical_flow
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, FLOW, Frames, open_stack, writing_stack
from preprocessing.clips import MIN_FRAMES, Clip
from preprocessing.errors import ClipRejectedError, ToolkitError
from preprocessing.faces import alignment
from preprocessing.faces.alignment import Transform
from preprocessing.faces.landmarks import LANDMARKERS, Box, Landmarker
from preprocessing.faces.points68 import eye_distance
from preprocessing.faces.pose import TurnMeter
from preprocessing.faces.steadiness import Steadiness
from preprocessing.faces.tracking import choose_face
from preprocessing.faces.watch import Watch
from preprocessing.optical_flow import FlowSettings
from preprocessing.recordings.soundness import sound_frames
from preprocessing.video import Frame, FrameReport

FACES_VERSION = 6
FLOW_VERSION = 3

LANDMARKS = "landmarks.npy"
MOST_UNFOLLOWED = 0.1  # share of frames


@dataclass(frozen=True)
class FaceSettings:
    """How a face is found and held still.

    Attributes:
        size: side of the square crop in px; 128 to 224 is sensible. Flow errs less in larger crops and takes longer
            (`mer bench`, table "Crop size").
        landmark_frames: the clip is placed by the median landmarks of so many first frames.
        check_every: after so many frames the detector looks whether the face is still there.
        stabilise: remove the rigid head motion from frame to frame.
        library: the face library, a name of `preprocessing.faces.landmarks.LANDMARKERS`.
        landmark_model: the library's model file, for dlib a 68-point predictor; None takes the installed one.
    """

    size: int = 192
    landmark_frames: int = 8
    check_every: int = 30
    stabilise: bool = True
    library: str = "dlib"
    landmark_model: str | None = None

    def __post_init__(self) -> None:
        LANDMARKERS.find(self.library)
        if not 64 <= self.size <= 512 or self.size % 4:
            raise ValueError(f"faces: size is {self.size} px, wanted a multiple of 4 from 64 to 512")
        if self.landmark_frames < 1 or self.check_every < 1:
            raise ValueError("faces: landmark_frames and check_every are numbers of frames, 1 or more")

    def landmarker(self) -> Landmarker:
        """The face library with its model; loading one takes half a second and 100 MB, so keep it.

        Raises:
            EnvironmentProblemError: the library or its model is not installed.
        """
        return LANDMARKERS.find(self.library)(None if self.landmark_model is None else Path(self.landmark_model))


class ClipKeys(NamedTuple):
    """What a clip's stages would be recorded under: digest of the frames, keys of the stages."""

    digest: str
    faces: str
    flow: str


def clip_keys(clip: Clip, faces: FaceSettings, flow: FlowSettings) -> ClipKeys:
    """The keys of the stages of a clip as its frames and the libraries are now.

    Raises:
        ClipRejectedError: the frames cannot be read, or fewer are there than are wanted.
    """
    stop = None if clip.offset is None else clip.offset + 1
    digest = clip.frames.digest(clip.onset, stop)
    crop = ["cropped"] if clip.cropped else []
    faces_key = key_of("faces", FACES_VERSION, faces, digest, clip.onset, clip.offset, _libraries(faces), *crop)
    return ClipKeys(digest, faces_key, key_of("flow", FLOW_VERSION, flow, faces_key))


def process_clip(
    clip: Clip,
    folder: ClipFolder,
    faces: FaceSettings,
    flow: FlowSettings,
    landmarker: Landmarker,
    keys: ClipKeys | None = None,
) -> str:
    """Bring the stages `faces` and `flow` of one clip up to date, with the clip locked.

    Args:
        clip: where the frames are.
        folder: of the artefacts.
        faces, flow: settings.
        landmarker: finds faces.
        keys: the clip's keys, if they are known already.

    Returns:
        The key of the flow stage, for the stages that stand on it.

    Raises:
        ClipRejectedError: the clip cannot be used. The rejection is recorded too, and raised again without work
            while input and settings are the same.
        DamagedArtefactError: the crops that the flow would be made from are not what was written.
        ToolkitError: the frames were changed while they were read.
    """
    keys = keys or clip_keys(clip, faces, flow)
    about = {"clip": describe(clip), "input": keys.digest, "libraries": _libraries(faces)}
    with folder.locked():
        if not folder.fresh("faces", keys.faces):
            _write_faces(clip, folder, faces, Entry(keys.faces, plain(faces)), landmarker, about)
        rejection = rejection_of(folder)
        if rejection is not None:
            raise rejection
        if not folder.fresh("flow", keys.flow):
            crops = folder.frames(CROPS)
            entry = Entry(keys.flow, plain(flow), inputs=folder.digests(CROPS, LANDMARKS))
            with folder.writing("flow", entry, **about) as scratch:
                entry.result |= measure_flow(crops, flow, scratch / FLOW)
                entry.result |= measure_turn(open_stack(scratch / FLOW), folder.load(LANDMARKS), crops.shape[1])
    return keys.flow


def rejection_of(folder: ClipFolder) -> ClipRejectedError | None:
    """Why a clip cannot be used, as its stage `faces` recorded it; None if it can."""
    entry = folder.entry("faces")
    if entry is None or "code" not in entry.result:
        return None
    return ClipRejectedError(str(entry.result["code"]), str(entry.result.get("reason", "")))


def _libraries(faces: FaceSettings) -> dict[str, str]:
    return {"faces": faces.landmarker().version(), "opencv": cv2.__version__, "numpy": np.__version__}


def _write_faces(
    clip: Clip, folder: ClipFolder, faces: FaceSettings, entry: Entry, landmarker: Landmarker, about: dict[str, Any]
) -> None:
    """The stage `faces`, or that it cannot be: the record says which; the folder then holds nothing else."""
    with folder.writing("faces", entry, **about) as scratch:
        rejection = None
        try:
            entry.result = align_clip(clip, landmarker, faces, scratch)
        except ClipRejectedError as error:
            rejection = error
        _check_unchanged(clip, about["input"])
        if rejection is not None:
            folder.clear()  # what an earlier, better input or setting left behind
            for path in scratch.iterdir():
                path.unlink()
            entry.result = {"code": rejection.code, "reason": rejection.reason}


def _check_unchanged(clip: Clip, digest: str) -> None:
    """Frames that are replaced while they are read must not be recorded under the digest of those before.

    Raises:
        ToolkitError: they were.
    """
    try:
        now = clip.frames.digest(clip.onset, None if clip.offset is None else clip.offset + 1)
    except ClipRejectedError:
        now = ""
    if now != digest:
        raise ToolkitError(f"{clip.clip_id}: its frames were changed while they were read; run the same command again")


def describe(clip: Clip) -> dict[str, Any]:
    """The facts of a clip for its record: all but the pixels."""
    return {
        "clip_id": clip.clip_id,
        "subject": clip.subject,
        "onset": clip.onset,
        "apex": clip.apex,
        "offset": clip.offset,
        "fps": clip.fps,
        "emotion": clip.emotion,
        "objective_class": clip.objective_class,
        "action_units": list(clip.action_units),
    }


def align_clip(clip: Clip, landmarker: Landmarker, settings: FaceSettings, out: Path) -> dict[str, Any]:
    """Write ``crops.mkv``, ``transforms.npy`` and ``landmarks.npy`` of a clip into ``out``.

    Only ``landmark_frames`` source frames are held at a time.

    Returns:
        Quality numbers: ``n_frames``, ``n_declared`` (what the source claims), ``faces_seen`` (most at once),
        ``eye_distance`` (outer corners, source px), ``enlarged`` (crop px per source px), ``checks`` and
        ``checks_missed`` (see `Watch`),
        ``unfollowed`` (frames whose head motion could not be measured; they keep the last frame's transform),
        ``misfits`` and ``likeness`` (frames unlike the first, correlation of the worst), ``jump`` (largest change from
        frame to frame, 1 is a break; see `Steadiness`),
        ``head_motion`` (largest rigid shift of the face centre that was removed, crop px),
        ``fit`` (mean grey difference from the first crop where the skull is followed, worst frame), and what stands in
        the `FrameReport`.

    Raises:
        ClipRejectedError: ``no_face``, ``too_short``, ``face_lost``, ``misaligned``, ``head_turned``, ``not_followed``,
            ``shot_cut``, ``broken_frame``, or what the frame source found.
    """
    report = FrameReport()
    read = clip.frames.read(clip.onset, None if clip.offset is None else clip.offset + 1, report)
    frames = sound_frames(read, report, clip.onset, trim=clip.offset is None and clip.apex is None)
    head = list(islice(frames, settings.landmark_frames))
    if len(head) < min(MIN_FRAMES, settings.landmark_frames):
        raise ClipRejectedError("too_short", f"{len(head)} frames, an expression needs at least {MIN_FRAMES}")
    number = clip.onset + report.blank_start
    box, faces_seen = _find_face(head, landmarker, clip.cropped)
    points = np.stack([landmarker.landmarks(frame, box) for frame in head])
    base = alignment.clip_transform(points, settings.size)
    typical = np.median(points, axis=0)
    landmarks = alignment.apply(base, typical).astype(np.float32)
    trusted = alignment.rigid_weights(landmarks, settings.size)

    every, held = settings.check_every, settings.stabilise
    watch = Watch(landmarker, box, base, landmarks, settings.size, every, number, held)
    steady = Steadiness(trusted)
    transforms: list[Transform] = []
    fit, unfollowed = 0.0, 0
    register: alignment.RigidRegistration | None = None
    first = head[0]
    with writing_stack(out / CROPS, (settings.size, settings.size, 3), np.uint8) as crops:
        # the head is handed on frame by frame, so that it does not stay in memory beside the rest
        for t, frame in enumerate(chain(_drain(head), frames)):
            transform = transforms[-1] if transforms else base
            if register is not None:
                followed = register(frame, transform)
                unfollowed += followed is None
                transform = transform if followed is None else followed
            crop = alignment.warp(frame, transform, settings.size)
            if t == 0:
                first = crop
                if settings.stabilise:
                    register = alignment.RigidRegistration(frame, trusted, base)
            fit = max(fit, _difference(first, crop, trusted))
            steady.take(frame, crop)
            transforms.append(transform)
            crops.append(crop)
            if not clip.cropped:  # a crop of a face has nothing else to show
                watch.look(t, frame, transform)
    _refuse_breaks(steady, number)
    if not clip.cropped:
        watch.finish(len(transforms) - 1, frame, transform)
    if len(transforms) < MIN_FRAMES:
        raise ClipRejectedError("too_short", f"{len(transforms)} frames, an expression needs at least {MIN_FRAMES}")
    _refuse_lost(unfollowed, steady.misfits() if held else 0, len(transforms))
    np.save(out / "transforms.npy", np.stack(transforms))
    np.save(out / "landmarks.npy", landmarks)
    return {
        "n_frames": len(transforms),
        "faces_seen": faces_seen,
        "eye_distance": round(eye_distance(typical), 2),
        "enlarged": round(alignment.scale_of(base), 2),
        "checks": watch.checks,
        "checks_missed": len(watch.troubles),
        "unfollowed": unfollowed,
        "misfits": steady.misfits(),
        "likeness": round(min(steady.likeness), 3),
        "jump": round(steady.break_at()[1], 3),
        "head_motion": round(_head_motion(np.stack(transforms), settings.size), 3),
        "fit": round(fit, 2),
        **report.quality(),
    }


def _refuse_breaks(steady: Steadiness, first: int) -> None:
    t, strength = steady.break_at()
    if strength >= 1:
        raise ClipRejectedError(
            "shot_cut",
            f"at frame {first + t} face and background change at once, {strength:.1f} times as much as movements may: "
            "another shot, a flash, or a picture that does not belong there",
        )


def _refuse_lost(unfollowed: int, misfits: int, n_frames: int) -> None:
    if unfollowed > MOST_UNFOLLOWED * n_frames:
        raise ClipRejectedError("not_followed", f"the head could not be followed in {unfollowed} of {n_frames} frames")
    if misfits > MOST_UNFOLLOWED * n_frames:
        raise ClipRejectedError(
            "misaligned", f"in {misfits} of {n_frames} frames the crop looks unlike the first one where the face is"
        )


def measure_flow(crops: Frames, settings: FlowSettings, out: Path) -> dict[str, Any]:
    """Flow onset → t of every crop, on the half grid, as float16 px of the crop. See docs/architecture.md.

    Returns:
        What the method counted, such as ``flow_fallbacks``.
    """
    size = crops.shape[1]
    counts: dict[str, int] = {}
    with writing_stack(out, (size // 2, size // 2, 2), np.float16) as file:
        for field in optical_flow.clip_flow(crops, settings, counts):
            file.append(field.astype(np.float16))
    return counts


def measure_turn(flows: Frames, landmarks: NDArray[Any], size: int) -> dict[str, float | None]:
    """``head_turn`` (degrees out of the picture's plane) and ``turn_motion`` (crop px by which this moves the face).

    Each is the largest of all frames, None where the face leaves nothing to measure on. See `TurnMeter`.

    Args:
        flows: fields (h, w, 2) px of the crop, from frame 0 to each.
        landmarks: (68, 2) crop px.
        size: side of the crop, px.
    """
    trust = cv2.resize(
        alignment.rigid_weights(landmarks, size), flows.shape[2:0:-1], interpolation=cv2.INTER_AREA
    ).astype(np.float64)
    meter = TurnMeter(landmarks, trust, size)
    for flow in flows:
        meter.look(flow)
    found = {"head_turn": meter.degrees, "turn_motion": meter.motion}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


def _find_face(head: list[Frame], landmarker: Landmarker, cropped: bool) -> tuple[Box, int]:
    """The face box and the most faces seen at once; 0 if a crop is taken for the face itself."""
    detections = [landmarker.detect(frame) for frame in (head[0], head[-1])]
    box = choose_face(detections)
    if box is None and cropped:
        box = _face_of_a_crop(head[0], landmarker)
    if box is None:
        raise ClipRejectedError("no_face", f"no face in the first {len(head)} frames")
    return box, max(map(len, detections))


def _face_of_a_crop(frame: Frame, landmarker: Landmarker) -> Box:
    """Where the face is in a picture that it fills: the detector wants something around it, so the border is repeated.

    If that does not help either, the box is the middle of the picture, as large as crops of data sets leave it
    (ours).
    """
    height, width = frame.shape[:2]
    pad = min(height, width) // 3
    wide = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    found = choose_face([landmarker.detect(np.asarray(wide, np.uint8))])
    if found is not None:
        return Box(*(value - pad for value in found))
    reach = 0.4 * min(height, width)
    return Box(width / 2 - reach, 0.55 * height - reach, width / 2 + reach, 0.55 * height + reach)


def _drain(frames: list[Frame]) -> Iterator[Frame]:
    queue = deque(frames)
    frames.clear()
    while queue:
        yield queue.popleft()


def _difference(first: Frame, crop: Frame, trusted: Any) -> float:
    change = cv2.absdiff(first, crop).mean(axis=2)
    return float((change * trusted).sum() / max(float(trusted.sum()), 1e-6))


def _head_motion(transforms: Any, size: int) -> float:
    """Largest distance in crop px that the face centre had moved from where frame 0 shows it."""
    centre = np.array([size / 2, size / 2])
    start = alignment.apply(alignment.invert(transforms[0]), centre)
    now = np.stack([alignment.apply(transform, start) for transform in transforms])
    return float(np.linalg.norm(now - centre, axis=1).max())
