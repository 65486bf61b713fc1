"""The exceptions of the toolkit, by cause: what was typed, the data set, one clip, or the machine.

Bad arguments are plain ``ValueError`` / ``TypeError``. Everything below is about data or the machine, carries
one sentence for a person (what, where, got, wanted, what to do) and reaches the terminal without a traceback.
"""

from __future__ import annotations

from pathlib import Path


class ToolkitError(Exception):
    """Base of every error that the command line prints as one sentence."""


class UsageError(ToolkitError):
    """A name, option or setting that does not exist or cannot be: what was typed is to be changed."""


class DatasetError(ToolkitError):
    """A data set, its root or its annotation table is not usable as given."""


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
