"""Stacks of frames on disk: what was written comes back, and what is damaged is refused before memory is asked for."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from preprocessing.artefacts.frame_stack import FrameReader, FrameWriter
from preprocessing.errors import ToolkitError


class TestFrames:
    @given(
        stack=hnp.arrays(
            st.sampled_from([np.uint8, np.float16, np.float32, np.float64, np.int64, np.bool_]),
            hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=11),
        )
    )
    def test_writer_and_reader_agree_with_numpy(
        self, tmp_path_factory: pytest.TempPathFactory, stack: NDArray[Any]
    ) -> None:
        folder = tmp_path_factory.mktemp("frames")
        with FrameWriter(folder / "ours.npy", stack.shape[1:], stack.dtype) as file:
            for frame in stack:
                file.append(np.asarray(frame))
        np.save(folder / "numpy.npy", stack)
        assert np.array_equal(np.load(folder / "ours.npy"), stack, equal_nan=stack.dtype.kind == "f")
        for name in ("ours.npy", "numpy.npy"):
            reader = FrameReader(folder / name)
            assert (len(reader), reader.shape, reader.dtype) == (len(stack), stack.shape, stack.dtype)
            for t, frame in enumerate(reader):
                assert frame.tobytes() == np.asarray(stack[t]).tobytes()
                assert reader[t - len(stack)].tobytes() == frame.tobytes()

    def test_the_header_grows_in_place(self, tmp_path: Path) -> None:
        """From one digit to many: the frames must not move."""
        with FrameWriter(tmp_path / "a.npy", (1,), np.uint8) as file:
            for t in range(1200):
                file.append(np.array([t % 251], np.uint8))
        assert np.array_equal(np.load(tmp_path / "a.npy")[:, 0], np.arange(1200) % 251)

    def test_wrong_frames_and_positions_are_refused(self, tmp_path: Path) -> None:
        with FrameWriter(tmp_path / "a.npy", (2, 3), np.uint8) as file:
            with pytest.raises(ValueError, match=r"frame of shape \(3, 2\), wanted \(2, 3\)"):
                file.append(np.zeros((3, 2), np.uint8))
            file.append(np.zeros((2, 3), np.uint8))
        with pytest.raises(IndexError, match="frame 1 of 1"):
            FrameReader(tmp_path / "a.npy")[1]

    def test_what_is_not_one_frame_after_the_other_is_refused(self, tmp_path: Path) -> None:
        """Read as if it were, a transposed stack would be a clip of scrambled pictures."""
        np.save(tmp_path / "a.npy", np.asfortranarray(np.arange(12).reshape(3, 4)))
        with pytest.raises(ToolkitError, match="no stack of frames"):
            FrameReader(tmp_path / "a.npy")

    def test_a_full_disk_is_reported_as_such(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            closed = False

            def write(self, data: bytes) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                self.closed = True

        disk = Full()
        with (
            pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
            FrameWriter(tmp_path / "a.npy", (2,), int) as file,
        ):
            file._file.close()
            monkeypatch.setattr(file, "_file", disk)
            file.append(np.zeros(2, int))
        assert disk.closed
