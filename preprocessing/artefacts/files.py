"""Write a file whole or not at all, take digests of files, hash settings into a key."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from preprocessing.artefacts.plain import plain

BLOCK = 1 << 20  # bytes
LEFTOVER_AGE = 24 * 3600
"""Seconds after which a scratch file counts as left over when it cannot be known whether its process lives."""

_HOST = hashlib.blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()
_live: set[str] = set()
_SCRATCH = re.compile(r"\.partial-(\d+)-([0-9a-f]{6})[0-9a-f]{8}.*")


def key_of(*parts: Any) -> str:
    """Stable hash of settings, versions, digests and other keys (dataclasses, dicts, plain values)."""
    text = json.dumps([plain(part) for part in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def digest(content: bytes | Path) -> str:
    """Hash of bytes, or of a file's bytes, which are read block by block. Equal bytes, equal digest."""
    state = hashlib.blake2b(digest_size=16)
    if isinstance(content, bytes):
        state.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(BLOCK):
                state.update(block)
    return state.hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a scratch path in the folder of ``path`` with its suffix; what the block writes there becomes ``path``.

    The file is replaced in one step when the block succeeds. When it fails the scratch is removed and ``path`` stays as
    it was. The name is this call's alone, so that two processes never write into each other's scratch. What a killed
    process leaves is removed by `remove_leftovers`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_path(path.parent, path.suffix) as scratch:
        yield scratch
        scratch.replace(path)


@contextmanager
def scratch_path(folder: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a hidden path in ``folder`` that no other process or call takes; a file or folder there goes away.

    It is called ``.partial-<process>-<host and random><suffix>``.
    """
    path = folder / f".partial-{os.getpid()}-{_HOST}{secrets.token_hex(4)}{suffix}"
    _live.add(path.name)
    try:
        yield path
    finally:
        _live.discard(path.name)
        _remove(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; one that holds the same bytes already is left alone."""
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return  # so that everything fresh can lie in a folder that is only readable
    except OSError:
        pass
    with atomic(path) as scratch:
        scratch.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """The same with text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def is_scratch(name: str) -> bool:
    """Whether `scratch_path` makes such names, in any process."""
    return _SCRATCH.fullmatch(name) is not None


def remove_leftovers(folder: Path, alone: bool = False) -> None:
    """Remove scratch files and folders in ``folder`` whose process has ended.

    Args:
        folder: is looked through, the folders in it are not.
        alone: nobody else can be writing here, since ``folder`` is locked: whatever other processes left is removed.
            Without it a scratch of another machine is removed only after `LEFTOVER_AGE` seconds.
    """
    for path in folder.glob(".partial-*"):
        match = _SCRATCH.fullmatch(path.name)
        if match and path.name not in _live and (alone or _is_left_over(path, int(match[1]), match[2])):
            with suppress(OSError):  # in a folder that is only readable it does no harm
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_left_over(path: Path, process: int, host: str) -> bool:
    if host == _HOST and process == os.getpid():
        return True  # of an earlier process with the same number
    if host == _HOST and os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - path.lstat().st_mtime > LEFTOVER_AGE
    except OSError:
        return False
