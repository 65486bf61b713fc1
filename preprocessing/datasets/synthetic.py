"""Read the synthetic corpus like any data set, from its image folders and annotation table, without its truth.

Clips painted into real faces come in the same layout; a clip may be a video ``frames/s01/c03.mkv`` there.
"""

from __future__ import annotations

from pathlib import Path

from preprocessing.clips import Clip, check_unique
from preprocessing.csv_rows import Row, read_csv_rows
from preprocessing.errors import ClipRejectedError, DatasetError, MissingPathError
from preprocessing.synthetic.drawn import ClipFiles, recorded_frames
from preprocessing.video import FrameSource, ImageSequence, Unreadable, VideoFile, frame_number, list_images

SPAN = ("onset", "apex", "offset")
COLUMNS = ("subject", "clip", "onset", "apex", "offset", "fps", "emotion", "action_units")


def load(root: Path) -> list[Clip]:
    """Clips of the corpus in ``root``, in the order of its table; ids are ``synthetic/s01/c03``.

    Raises:
        DatasetError: no such folder, no table, a column or a frame folder is missing, or a frame number is not a number
            or has no file.
    """
    if not root.is_dir():
        kind = DatasetError if root.exists() else MissingPathError
        raise kind(f"{root} is not a folder: make the corpus with `mer synth {root}`")
    path = root / "annotation.csv"
    if not path.is_file():
        raise DatasetError(f"{path} does not exist: make or finish the corpus with `mer synth {root}`")
    rows = read_csv_rows(path, COLUMNS, may_be_empty=("emotion", "action_units"))
    return check_unique([_clip(root, path, row) for row in rows])


def _clip(root: Path, table: Path, row: Row) -> Clip:
    subject = f"synthetic/{row['subject']}"
    clip_id = f"{subject}/{row['clip']}"
    where = f"{clip_id} ({table.name}, line {row.line})"
    folder = root / "frames" / row["subject"] / row["clip"]
    video = folder.with_name(f"{folder.name}.mkv")
    if video.is_file():
        return _made(row, clip_id, subject, VideoFile(video), [int(_number(row, n, where)) for n in SPAN], where)
    if not folder.is_dir():
        raise DatasetError(f"{where}: no frames in {folder}, finish the corpus with `mer synth`")
    try:
        files = list_images(folder)
    except ClipRejectedError as error:
        raise DatasetError(f"{where}: {error.reason}") from error
    frames: ImageSequence | Unreadable = ImageSequence(tuple(files.values()))
    missing = _missing(root, row, files)
    if missing:
        reason = f"frame {missing[0]} and {len(missing) - 1} more are missing in {folder}"
        frames = Unreadable(str(folder), ClipRejectedError("missing_frames", reason))
    position = {number: index for index, number in enumerate(files)}
    return _made(row, clip_id, subject, frames, [_position(row, name, position, where) for name in SPAN], where)


def _made(row: Row, clip_id: str, subject: str, frames: FrameSource, span: list[int], where: str) -> Clip:
    onset, apex, offset = span
    return Clip(
        clip_id=clip_id,
        subject=subject,
        frames=frames,
        onset=onset,
        apex=apex,
        offset=offset,
        fps=_number(row, "fps", where),
        emotion=row["emotion"].lower(),
        action_units=tuple(filter(None, row["action_units"].split("+"))),
    )


def _missing(root: Path, row: Row, files: dict[int, Path]) -> list[int]:
    """Numbers of frames that were drawn and have no file; without a record of that, the gaps between files."""
    names = recorded_frames(ClipFiles.of(root, row["subject"], row["clip"]))
    drawn = {number for name in names if (number := frame_number(Path(name))) is not None}
    return sorted((drawn or set(range(min(files), max(files) + 1))) - set(files))


def _position(row: Row, name: str, position: dict[int, int], where: str) -> int:
    """0-based position of the frame whose file number stands in column ``name``."""
    number = _number(row, name, where)
    if number not in position:
        raise DatasetError(f"{where}: {name} is frame {row[name]}, which has no file")
    return position[int(number)]


def _number(row: Row, name: str, where: str) -> float:
    try:
        return float(row[name])
    except ValueError:
        raise DatasetError(f"{where}: {name} {row[name]!r} is not a number") from None
