"""The exceptions of the toolkit, by cause: what was typed, the data set, one clip, or the machine.

Bad arguments are plain ``ValueError`` / ``TypeError``. Everything below is about data or the machine, carries
one sentence for a person (what, where, got, wanted, what to do) and reaches the terminal without a traceback.
"""

from __future__ import annotations


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


class EnvironmentProblemError(ToolkitError):
    """Something about this machine or installation is missing; the message names the cure."""
