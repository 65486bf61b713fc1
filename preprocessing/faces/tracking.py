"""Choose the face of a clip among several, by size and continuity. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preprocessing.faces.landmarks import Box


def choose_face(detections: Sequence[Sequence[Box]]) -> Box | None:
    """The face of a clip, from the boxes found on its first looked-at frames.

    Boxes are linked into tracks over the frames; the best track has the largest product of median side and share of
    frames in which it was seen, so a big face that is there throughout wins over a bigger one that flashes by.

    Args:
        detections: per looked-at frame, the boxes found there.

    Returns:
        The median box of the best track, or None if nothing was found. Ties go to the left-most face.
    """
    tracks: list[list[Box]] = []
    for boxes in detections:
        free = list(boxes)
        for track in tracks:
            match = follow(track[-1], free)
            if match is not None:
                track.append(match)
                free.remove(match)
        tracks.extend([box] for box in free)
    if not tracks:
        return None

    def rank(track: list[Box]) -> tuple[float, float]:
        return float(np.median([box.side for box in track])) * len(track) / len(detections), -track[0].left

    return Box(*np.median(max(tracks, key=rank), axis=0))


def follow(box: Box, candidates: Sequence[Box]) -> Box | None:
    """The candidate that continues ``box``: the nearest within half its side and within a factor 1.6 of its size."""

    def distance(other: Box) -> float:
        return float(np.hypot(*np.subtract(box.centre, other.centre)))

    near = [c for c in candidates if distance(c) < box.side / 2 and box.side / 1.6 < c.side < 1.6 * box.side]
    return min(near, key=distance, default=None)
