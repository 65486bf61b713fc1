"""Cut the candidates of a long video out as ordinary clips; what was measured and cut is kept and reused.

    <root>/clips/<subject>/<video>/      curve.npy, boxes.npy       what `spotting.motion_curve` measured
    <root>/cut/<subject>/<video>+<span>/ img<number>.png            the frames of a candidate, the face and around it

Frames keep their numbers in the video. Seeking in video files is off by some frames in many of them, so the second
pass too decodes from the start, once for all candidates. Lossless, since a pixel of motion is what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.spotting.motion_curve import VERSION, Candidate, SpotSettings, find_candidates, motion_curve
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError
from preprocessing.faces.landmarks import Landmarker
from preprocessing.video import Frame, image_sequence

STAGE, CUT_STAGE = "spotting", "cut"
MARGIN = 1.1  # of the face box, to each side of its centre: room for the head to move, and what a detector wants to see


@dataclass(frozen=True)
class Proposal:
    """What was found in one video.

    Attributes:
        video: the clip that was searched.
        curve: (T,) float32 px, NaN where nothing could be measured.
        found: the candidates, frame numbers of the video.
        clips: the same as clips of their own, ``<video>+<onset>-<offset>``, without an annotated apex.
        left_out: weaker candidates beyond ``SpotSettings.most``.
    """

    video: Clip
    curve: NDArray[np.float32]
    found: tuple[Candidate, ...]
    clips: tuple[Clip, ...]
    left_out: int


def propose(
    video: Clip,
    root: Path,
    landmarker: Landmarker,
    settings: SpotSettings | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Proposal:
    """Candidates of a video, cut out and ready for the offline stages. What was done before is reused.

    Memory does not grow with the video but by 20 bytes per frame; on disk lie the frames of the candidates.

    Args:
        video: a whole recording with its frames per second.
        root: the folder that gets the artefacts.
        landmarker: finds faces.
        settings: see `SpotSettings`.
        on_frame: told the number of frames measured so far.

    Raises:
        ClipRejectedError: ``no_rate``: its frames per second are not known, so nobody knows how long half a second
            is; or what the frame source found.
    """
    settings = settings or SpotSettings()
    if video.fps is None:
        raise ClipRejectedError("no_rate", "its frames per second are not known, so it cannot be searched: add --fps")
    folder = clip_folder(root, video.clip_id)
    digest = video.frames.digest()
    measured = (settings.duration, settings.hold, settings.size)  # the rest only chooses among peaks
    key = key_of(STAGE, VERSION, measured, video.fps, digest, landmarker.version(), cv2.__version__, np.__version__)
    with folder.locked():
        _discard_damaged(folder)
        if not folder.fresh(STAGE, key):
            with folder.writing(STAGE, Entry(key, plain(settings)), input=digest) as scratch:
                curve, boxes = motion_curve(video.frames, video.fps, landmarker, settings, on_frame)
                np.save(scratch / "curve.npy", curve)
                np.save(scratch / "boxes.npy", boxes)
    curve, boxes = folder.load("curve.npy"), folder.load("boxes.npy")
    found, left_out = find_candidates(curve, video.fps, settings)
    _cut(video, root, found, boxes, key)
    clips = tuple(
        replace(video, clip_id=_name(video, one), frames=image_sequence(_folder(root, video, one).folder))
        for one in found
    )
    return Proposal(video, curve, tuple(found), clips, left_out)


def _cut(video: Clip, root: Path, found: Sequence[Candidate], boxes: NDArray[np.float32], key: str) -> None:
    """Write the frames of every candidate that is not there yet."""
    todo = {one: key_of(CUT_STAGE, MARGIN, key, one.onset, one.offset) for one in found}
    for one in todo:
        _discard_damaged(_folder(root, video, one))
    todo = {one: own for one, own in todo.items() if not _folder(root, video, one).fresh(CUT_STAGE, own)}
    if not todo:
        return
    first, last = min(one.onset for one in todo), max(one.offset for one in todo)
    pictures: dict[Candidate, list[bytes]] = {one: [] for one in todo}
    for t, frame in enumerate(video.frames.read(first, last + 1), start=first):
        for one in [one for one in pictures if one.onset <= t <= one.offset]:
            pictures[one].append(_png(_around(frame, boxes[one.apex])))
            if t == one.offset:
                entry = Entry(todo[one], {"margin": MARGIN})
                with _folder(root, video, one).writing(CUT_STAGE, entry) as scratch:
                    for number, data in enumerate(pictures.pop(one), start=one.onset):
                        (scratch / f"img{number:06d}.png").write_bytes(data)


def _discard_damaged(folder: ClipFolder) -> None:
    """All digests are compared: nobody who reads these files later would do it, and they are few."""
    folder.discard(*{one.stage for one in folder.damage(everything=True)})


def _around(frame: Frame, box: NDArray[np.float32]) -> Frame:
    left, top, right, bottom = box
    x, y, reach = (left + right) / 2, (top + bottom) / 2, MARGIN * max(right - left, bottom - top)
    height, width = frame.shape[:2]
    rows = slice(max(0, round(float(y - reach))), min(height, round(float(y + reach))))
    return frame[rows, max(0, round(float(x - reach))) : min(width, round(float(x + reach)))]


def _png(frame: Frame) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ClipRejectedError("broken_frame", f"a part of {frame.shape[1]}x{frame.shape[0]} px cannot be encoded")
    return data.tobytes()


def _name(video: Clip, one: Candidate) -> str:
    return f"{video.clip_id}+{one.onset}-{one.offset}"


def _folder(root: Path, video: Clip, one: Candidate) -> ClipFolder:
    return ClipFolder(root / "cut" / _name(video, one).split("/", 1)[1])
