"""One process at a time in a folder: a lock that ends with its process and says who holds it.

The lock is the operating system's (``flock``, on Windows ``LockFileEx``, by the library filelock) on a file ``.lock``
in the folder, which is there only while the lock is held. A killed process holds nothing.

Between machines on a network file system this relies on three things: that the server is told of the lock (Linux NFS
does so unless mounted with ``nolock`` or ``local_lock``; SMB does), that opening a file asks the server which file has
that name now (close-to-open consistency), and that a rename is one step on the server. Where locks stay on one machine,
processes of that machine still exclude each other; those of two machines do not, and then only the digests in the
records tell that artefacts do not belong together.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import lock_descriptor

from preprocessing.errors import ToolkitError

LOCK = ".lock"
LOOK_EVERY = 0.05  # seconds
CLIP_WAIT = 3600.0
"""Seconds that a clip's lock is waited for: longer than the offline stages of any clip take."""
TELL_AFTER, TELL_EVERY = 2.0, 10.0
"""Seconds of waiting after which it is told for whom, and between two such words of one process."""

Tell = Callable[[str], None]
"""Is told, in one sentence, for whom this process is waiting; importable by name, so that workers can tell it too."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_held: dict[tuple[int, int, str], int] = {}
"""(process, thread, folder) → how many times over: a holder may lock again what it holds."""
_listening: list[Tell] = []
_told = -TELL_EVERY


class FolderInUseError(ToolkitError):
    """Another process is at work in a folder, and this one cannot share the work."""


@contextmanager
def waits_told(tell: Tell | None) -> Iterator[None]:
    """In the block, ``tell`` hears of every wait of this process that is longer than `TELL_AFTER` seconds."""
    if tell is None:
        yield
        return
    _listening.append(tell)
    try:
        yield
    finally:
        _listening.remove(tell)


def listener() -> Tell | None:
    """Who hears of waits at present."""
    return _listening[-1] if _listening else None


@contextmanager
def locked(folder: Path, what: str, wait: float = 0.0) -> Iterator[None]:
    """Hold ``folder``, which is made if it is not there, against other processes and threads.

    A process may lock again what it holds. In a folder that cannot be written nothing is locked: nobody changes it. A
    folder that was made for the lock goes away with it if nothing was put there.

    Args:
        folder: of a clip, a data set's cache, a corpus, a run or predictions.
        what: what is being done there, for the message to others: ``"mer dataset casme2"``.
        wait: seconds to wait for whoever holds it.

    Raises:
        FolderInUseError: it is held for longer than ``wait``; the message says by whom, where and since when.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    key = (os.getpid(), threading.get_ident(), str(folder.resolve()))
    file = None if _held.get(key) else _take(folder, what, wait)
    _held[key] = _held.get(key, 0) + 1
    try:
        yield
    finally:
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
        if file is not None:
            _let_go(folder / LOCK, file)
            with suppress(OSError):  # it holds something, as a rule
                for one in made:
                    one.rmdir()


def _take(folder: Path, what: str, wait: float) -> int | None:
    path, begin = folder / LOCK, time.monotonic()
    while (file := _open(path)) is not None:
        if lock_descriptor(file, blocking=False):
            if _is_still(path, file):
                break
            os.close(file)  # lets go as well
            continue
        os.close(file)
        waited = time.monotonic() - begin
        if waited >= wait:
            raise FolderInUseError(f"{folder} is in use by {_holder(path)}: wait until that has ended, or end it")
        if waited >= TELL_AFTER:
            _say(f"waiting for {_holder(path)}, which is at work in {folder}")
        time.sleep(LOOK_EVERY)
    if file is not None:
        started = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        with suppress(OSError):  # another user's file is only readable
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()} since {started} ({what})\n".encode())
    return file


def _say(text: str) -> None:
    global _told  # of the process: its threads wait for the same other one
    now, tell = time.monotonic(), listener()
    if tell is not None and now - _told >= TELL_EVERY:
        _told = now
        tell(text)


def _open(path: Path) -> int | None:
    """The lock file, made if it is not there; None in a folder that cannot be written."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except FileNotFoundError:  # its last holder has just removed an empty folder
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
    if not os.access(path.parent, os.W_OK) or not path.exists():
        return None
    return os.open(path, os.O_RDONLY | _NO_LINK)  # another user's


def _is_still(path: Path, file: int) -> bool:
    """Whether ``path`` is still the file that was opened: its last holder removes it before letting go."""
    try:
        again = os.open(path, os.O_RDONLY)  # opening asks a file server anew, looking up alone may not
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(file), os.fstat(again))
    finally:
        os.close(again)


def _let_go(path: Path, file: int) -> None:
    try:
        with suppress(OSError):  # Windows removes no open file; then it stays and is taken again
            path.unlink()
    finally:
        os.close(file)  # lets go as well


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
