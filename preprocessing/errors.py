"""The exceptions of the toolkit, by cause: what was typed, the data set, one clip, or the machine.

Bad arguments are plain ``ValueError`` / ``TypeError``. Everything below is about data or the machine, carries
one sentence for a person (what, where, got, wanted, what to do) and reaches the terminal without a traceback.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT_OF_MEMORY = -4
"""Code of `cv2.error` when memory runs out."""
PACKAGES = frozenset({"preprocessing", "dynamic_images", "fusion_net", "experiments"})
MOST_WORDS = 200  # letters of a foreign message


class ToolkitError(Exception):
    """Base of every error that the command line prints as one sentence."""


class UsageError(ToolkitError):
    """A name, option or setting that does not exist or cannot be: what was typed is to be changed."""


class NotOfferedError(UsageError):
    """A data set does not have what a system takes in."""


class DatasetError(ToolkitError):
    """A data set, its root or its annotation table is not usable as given."""


class MissingPathError(DatasetError, UsageError):
    """A file or folder that was named is not there."""


class ClipRejectedError(ToolkitError):
    """One clip cannot be used; it becomes a manifest row with this reason, and the others go on.

    ``code`` is a short stable word for counting (``no_face``, ``broken_frame``, ``too_short``, ...).
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[ClipRejectedError], tuple[str, str]]:
        return type(self), (self.code, self.reason)  # else it cannot come back from a worker process


class DamagedArtefactError(ToolkitError):
    """A file that a stage left behind is not what the stage wrote; making the stage again mends it.

    Attributes:
        folder: of the clip.
        file: its bare name.
        stage: that wrote it; empty if the record knows no such file.
    """

    def __init__(self, folder: Path, file: str, stage: str, what: str) -> None:
        parts = folder.parts
        name = parts[parts.index("clips") - 1] if "clips" in parts[1:] else "NAME"
        by = f"stage {stage}" if stage else "no stage of its record"
        super().__init__(
            f"{folder / file} ({by}) {what}: run `mer dataset {name} --verify`, which makes it again (in a folder of "
            "predictions: delete the clip's folder and predict again)"
        )
        self.folder, self.file, self.stage, self.what = folder, file, stage, what

    def __reduce__(self) -> tuple[type[DamagedArtefactError], tuple[Path, str, str, str]]:
        return type(self), (self.folder, self.file, self.stage, self.what)


class EnvironmentProblemError(ToolkitError):
    """Something about this machine or installation is missing; the message names the cure."""


@contextmanager
def faults_rejected() -> Iterator[None]:
    """In the block, work on one clip: an error that nobody foresaw rejects the clip, so that the others go on.

    The one place that takes every exception: a clip that brings out a fault of this program, or of a library, must not
    cost the results of the others. What concerns the machine (files, memory) or was foreseen comes through as it is.

    Raises:
        ClipRejectedError: ``unexpected``, with the error, the line that it came from, and the plea to report it.
        MemoryError: OpenCV's own error for it too.
    """
    try:
        yield
    except (ToolkitError, OSError, MemoryError):
        raise
    except Exception as error:
        if getattr(error, "code", None) == OUT_OF_MEMORY:
            raise MemoryError(str(error)) from error
        raise ClipRejectedError("unexpected", _report(error)) from error


def _report(error: Exception) -> str:
    """One line about an exception: what, and the last line of this project that it passed."""
    modules = [(f.f_globals.get("__name__", "?"), line) for f, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in modules if place[0].split(".")[0] in PACKAGES] or modules
    text = " ".join(str(error).split())[:MOST_WORDS]
    return (
        f"{type(error).__name__} in {ours[-1][0]}, line {ours[-1][1]}: {text}. This is a fault of the program, not of "
        "the clip: please report this line, and the clip if you may"
    )
