"""What the numbers of the stages `faces` and `flow` mean for somebody who reads a result, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preprocessing.artefacts.manifest import number

ENLARGED = 2.0  # times
TURN_SHARE, TURN_LEAST = 0.3, 0.3  # of the strongest motion; px
TURN_LARGE = 5.0  # degrees


def face_notes(row: Mapping[str, Any]) -> list[str]:
    """Remarks on the face of one manifest row; empty where there is nothing to say.

    A face is small if the crop enlarges it more than `ENLARGED` times. A turn is remarked on if the motion that is the
    turn's alone reaches `TURN_SHARE` of the strongest motion of the clip and `TURN_LEAST`, or the turn `TURN_LARGE`.
    """
    found = []
    enlarged, eyes = number(row.get("enlarged")), number(row.get("eye_distance"))
    if enlarged is not None and eyes is not None and enlarged > ENLARGED:
        found.append(
            f"the face is small (outer eye corners {eyes:.0f} px apart) and enlarged {enlarged:.1f} times: a motion of "
            f"1 px in the results is {1 / enlarged:.1g} px in the recording"
        )
    turn, motion, peak = (number(row.get(name)) for name in ("head_turn", "turn_motion", "peak_intensity"))
    if turn is None or motion is None or not peak:
        return found
    if turn >= TURN_LARGE or motion >= max(TURN_LEAST, TURN_SHARE * peak):
        found.append(
            f"the head turns by about {turn:.1f}° out of the picture's plane, which moves the face by up to "
            f"{motion:.1f} px where it moves by {peak:.1f} px at most: this is no expression and cannot be taken out"
        )
    return found
