"""Read `.npy` files whose header may be damaged: their size is compared before any memory is asked for."""

from __future__ import annotations

import math
import tokenize
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import ToolkitError


class Header(NamedTuple):
    """What a `.npy` file says of itself, and how many bytes stand before the values."""

    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]
    start: int


def read_header(file: BinaryIO) -> Header:
    """The header at the beginning of an open `.npy` file, compared with the file's size.

    Raises:
        ValueError: it is no such header, or the file has not the bytes that it promises. The message is half a
            sentence, for whoever knows the file's name.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"its header is damaged: {error}") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    start = file.tell()
    there, promised = file.seek(0, 2) - start, math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or there != promised:
        raise ValueError(f"its header promises {promised} bytes of values, it has {there}")
    return Header(tuple(shape), by_columns, dtype, start)


def read_array(source: Path | bytes, mmap: bool = False) -> NDArray[Any]:
    """The array of a `.npy` file, or of such a file's bytes.

    Args:
        source: the file.
        mmap: mapped and read-only instead of read; files only.

    Raises:
        ToolkitError: a file is no whole `.npy` file, named in the message.
        ValueError: bytes are not; the message is half a sentence.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        read_header(BytesIO(source))
        return np.asarray(np.load(BytesIO(source), allow_pickle=False))
    try:
        with source.open("rb") as file:
            read_header(file)
        array: NDArray[Any] = np.load(source, mmap_mode="r" if mmap else None, allow_pickle=False)
    except ValueError as error:
        raise ToolkitError(f"{source} is no whole .npy file: {error}") from error
    return array
