"""What a killed command leaves in shared memory is removed when the next one starts workers.

joblib keeps semaphores and large arguments in ``/dev/shm`` or the folder for temporary files, under the number of the
process that started the workers. ``kill -9`` of that process and its helpers leaves them there for ever. So every such
process keeps a locked file in a folder of this user; a file that can be locked is one of a dead process, and only what
carries the number of such a process is removed.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path

from filelock import lock_descriptor

SHARED_MEMORY = Path("/dev/shm")
PATTERNS = ("sem.loky-{}-*", "joblib_memmapping_folder_{}_*")
CLAIM = ".claim"


def announce() -> None:
    """Remove what dead commands left, and say that this process is alive. Does nothing where there is no POSIX."""
    if os.name == "posix":
        _announce(os.getpid(), _claims())


@cache
def _announce(process: int, folder: Path | None) -> None:
    if folder is None:
        return
    _remove_of_dead(folder)
    path = folder / f"{process}-{secrets.token_hex(4)}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)  # stays open, and locked, until the process ends
    lock_descriptor(file)
    claim = path.rename(path.with_suffix(CLAIM))  # nobody takes it for a dead one's before it is locked
    atexit.register(claim.unlink, missing_ok=True)


def _claims() -> Path | None:
    """The folder of this user's claims; None if somebody else made a folder of that name."""
    folder = Path(tempfile.gettempdir()) / f"mer-processes-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() else None


def _remove_of_dead(folder: Path) -> None:
    for claim in folder.glob(f"*{CLAIM}"):
        try:
            file = os.open(claim, os.O_RDWR)
        except OSError:
            continue  # another command has just removed it
        try:
            number = claim.name.partition("-")[0]
            if lock_descriptor(file, blocking=False) and number.isdecimal() and not _lives(int(number)):
                _remove(number)
                claim.unlink(missing_ok=True)
        finally:
            os.close(file)


def _lives(process: int) -> bool:
    """Whether there is a process of that number, though perhaps another one than the one that died."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(number: str) -> None:
    folders = {SHARED_MEMORY, Path(os.environ.get("JOBLIB_TEMP_FOLDER") or tempfile.gettempdir())}
    for path in (path for folder in folders for pattern in PATTERNS for path in folder.glob(pattern.format(number))):
        if path.lstat().st_uid != os.getuid():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
