"""Damaged `.npy` files end in one sentence, whatever their header promises."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from preprocessing.artefacts.arrays import read_array
from preprocessing.artefacts.frame_stack import FrameReader
from preprocessing.errors import ToolkitError


def npy(array: NDArray[Any], **header: Any) -> bytes:
    """The bytes of a file, with parts of the header replaced."""
    buffer = BytesIO()
    if not header:
        np.save(buffer, array)
        return buffer.getvalue()
    about = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue() + array.tobytes()


FRAMES = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
WHOLE = npy(FRAMES)
DAMAGED = {
    "empty": b"",
    "cut in the header": WHOLE[:40],
    "cut in the values": WHOLE[:-1],
    "a byte more": WHOLE + b"x",
    "no magic": b"\0" + WHOLE[1:],
    "version 9": WHOLE[:6] + b"\x09" + WHOLE[7:],
    "134 TB": npy(FRAMES, shape=(100_000, 100_000, 3_600)),
    "longer than numbers are": npy(FRAMES, shape=(10**30, 3, 4)),
    "negative": npy(FRAMES, shape=(-5, -3, 4)),
    "fewer frames": npy(FRAMES, shape=(4, 3, 4)),
    "other type": npy(FRAMES, descr="<f8"),
    "objects": npy(FRAMES, descr="|O"),
    "unbalanced": WHOLE.replace(b"(5, 3, 4)", b"(5, 3, 4["),
    "brackets": WHOLE.replace(b"{'descr'", b"((((((((("),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_sentence_that_names_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "crops.npy").write_bytes(DAMAGED[name])
    with pytest.raises(ToolkitError, match=r"crops\.npy is no whole \.npy file: "):
        read_array(tmp_path / "crops.npy")
    with pytest.raises(ToolkitError, match=r"crops\.npy is no stack of frames: "):
        FrameReader(tmp_path / "crops.npy")
    with pytest.raises(ValueError):
        read_array(DAMAGED[name])


def test_whole_files_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(WHOLE)
    for found in (read_array(tmp_path / "a.npy"), read_array(tmp_path / "a.npy", mmap=True), read_array(WHOLE)):
        np.testing.assert_array_equal(found, FRAMES)
    assert isinstance(read_array(tmp_path / "a.npy", mmap=True), np.memmap)


@given(position=st.integers(0, len(WHOLE) - FRAMES.nbytes - 1), value=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_any_byte_of_the_header_may_be_another(position: int, value: int) -> None:
    changed = bytearray(WHOLE)
    changed[position] = value
    try:
        found = read_array(bytes(changed))
    except ValueError:
        return
    assert found.nbytes == FRAMES.nbytes
