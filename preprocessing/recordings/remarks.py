"""What the numbers of a `FrameReport` mean for somebody who reads a result, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preprocessing.artefacts.manifest import number

MANY_REPEATED = 0.25  # share of the frames
FEW_DECODED = 0.95


def recording_notes(row: Mapping[str, Any]) -> list[str]:
    """Remarks on the recording of one manifest row; empty where there is nothing to say."""

    def count(name: str) -> int:
        return int(number(row.get(name)) or 0)

    n_frames, declared, repeated = count("n_frames"), count("n_declared"), count("repeated_frames")
    blank = count("blank_start_frames") + count("blank_end_frames")
    found = []
    if n_frames + blank < FEW_DECODED * declared:
        found.append(f"only {n_frames + blank} of {declared} announced frames could be decoded")
    if damaged := count("damaged"):
        found.append(f"damaged at {damaged} place{_s(damaged)}: frames after that may be smeared")
    if places := count("gaps"):
        found.append(f"frames are missing, or the recording pauses, at {places} place{_s(places)}")
    if blank:
        found.append(f"{blank} blank, half or fading frame{_s(blank)} at the ends left out")
    if repeated >= MANY_REPEATED * n_frames > 0:
        found.append(f"{repeated} of {n_frames} frames repeat the one before: recorded at a lower rate than stored")
    if halves := count("deinterlaced_frames"):
        found.append(f"interlaced: {halves} frames made whole from half pictures")
    if strangers := count("unnumbered_frames"):
        found.append(f"{strangers} picture{_s(strangers)} without a number passed over")
    if (depth := count("bit_depth")) > 8:
        found.append(f"{depth} bits a sample scaled to 8")
    return found


def _s(n: int) -> str:
    return "" if n == 1 else "s"
