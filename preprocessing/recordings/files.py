"""Which files are pictures and videos, and in which order the pictures of a folder are frames."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from preprocessing.errors import ClipRejectedError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2"}
    | {".pgm", ".ppm", ".pbm", ".pnm"}
)
FOREIGN_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"}
    | {".exr", ".hdr", ".tga", ".psd", ".dcm"}
)
"""Pictures that are not read: a folder of them is named as such and does not vanish."""
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".gif", ".apng", ".wmv", ".asf", ".flv", ".f4v"}
    | {".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".mod", ".ts", ".mts", ".m2ts", ".m2t", ".3gp", ".3g2"}
    | {".mjpeg", ".mjpg", ".ogv", ".ogm", ".dv", ".mxf", ".y4m", ".nut", ".ivf", ".rm", ".rmvb"}
    | {".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".insv", ".lrv", ".dav"}
)
STACK_SUFFIXES = frozenset({".tif", ".tiff", ".webp"})
"""Pictures that may hold several."""


def frame_number(path: Path) -> int | None:
    """The last run of digits in a file's stem: ``reg_img46`` is 46, ``006_05562`` is 5562, no digits is None."""
    runs = re.findall(r"\d+", path.stem)
    return int(runs[-1]) if runs else None


def list_images(folder: Path) -> dict[int, Path]:
    """Images of ``folder`` by frame number, ascending; hidden files and other suffixes are passed over.

    Raises:
        ClipRejectedError: the folder cannot be listed, or two files carry the same number.
    """
    found: dict[int, Path] = {}
    for path in pictures(folder):
        number = frame_number(path)
        if number is None:
            continue
        if number in found:
            raise ClipRejectedError("duplicate_frame", f"{found[number].name} and {path.name} are both frame {number}")
        found[number] = path
    return dict(sorted(found.items()))


def pictures(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Files of ``folder`` with one of the suffixes, by name; hidden ones are passed over.

    Raises:
        ClipRejectedError: the folder cannot be listed.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ClipRejectedError("missing_frames", f"{folder} cannot be listed: {error.strerror}") from error
    return [path for path in paths if path.suffix.lower() in suffixes and not path.name.startswith(".")]


def in_order(paths: list[Path]) -> list[Path]:
    """Pictures of one recording in the order in which they were taken, if their names say it beyond doubt.

    That is the order of the last numbers. In names that hold a time (``10-15-12-953`` is followed by ``10-15-13-020``)
    it is the order of all numbers, first before last.

    Raises:
        ClipRejectedError: ``duplicate_frame`` or ``frame_order``: the names do not say which comes first.
    """
    by_number = sorted(paths, key=lambda path: (frame_number(path) or 0, path.name))
    whole = sorted(paths, key=lambda path: (_numbers(path), path.name))
    alike = len({re.sub(r"\d+", "0", path.stem) for path in paths}) <= 1
    if alike and by_number != whole and _is_clock(whole):
        return whole
    for one, other in pairwise(by_number):
        if frame_number(one) == frame_number(other):
            number = frame_number(one)
            raise ClipRejectedError("duplicate_frame", f"{one.name} and {other.name} are both frame {number}")
    if alike and by_number != whole:
        first = next((a, b) for a, b in zip(by_number, whole, strict=True) if a != b)
        raise _unclear(*first, "by the last number of a name or by all of them")
    if alike and _are_decimals(by_number):
        raise _unclear(by_number[0], by_number[1], "as decimal fractions or as whole numbers")
    return by_number


def gaps(numbers: list[int]) -> int:
    """Places at which frames are missing, in ascending numbers most of which grow by one step."""
    steps = [b - a for a, b in pairwise(numbers)]
    usual = max(set(steps), key=steps.count, default=0)
    if usual < 1 or 2 * steps.count(usual) < len(steps):
        return 0  # times, or numbers without a rule
    return sum(step > usual for step in steps)


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(run) for run in re.findall(r"\d+", path.stem))


def _is_clock(paths: list[Path]) -> bool:
    """Whether the last number is the fraction of a unit that the numbers before it count, and runs on evenly.

    Two recordings in one folder (``take1_001 … take2_001 …``) do not: there the last number starts again early.
    """
    digits = [re.findall(r"\d+", path.stem)[-1] for path in paths]
    begins_again = sum(int(a) >= int(b) for a, b in pairwise(digits))
    if len(set(map(len, digits))) > 1 or 2 * begins_again >= len(digits):
        return False
    steps = [(int(b) - int(a)) % 10 ** len(a) for a, b in pairwise(digits)]
    return 0 < max(steps) <= 5 * sorted(steps)[len(steps) // 2] and min(steps) > 0


def _are_decimals(paths: list[Path]) -> bool:
    """Whether names may hold decimal fractions of several lengths: 0.5 comes after 0.25, but 5 before 25."""
    lengths = {len(found[-1]) for path in paths if (found := re.findall(r"(?<=\d[.,])\d+$", path.stem))}
    numbers = [frame_number(path) or 0 for path in paths]
    steps = {b - a for a, b in pairwise(numbers)}
    return len(lengths) > 1 and len(steps) > 1


def _unclear(one: Path, other: Path, how: str) -> ClipRejectedError:
    return ClipRejectedError(
        "frame_order", f"{one.name} or {other.name} comes first, {how}: name the frames 0001, 0002, …"
    )
