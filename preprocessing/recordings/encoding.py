"""Write frames as a video file through a real encoder (PyAV): what a camera's or a lab's codec does to motion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from preprocessing.errors import EnvironmentProblemError

FORMATS: Mapping[str, str] = {"ffv1": "bgr0", "mjpeg": "yuvj444p", "mpeg4": "yuv420p"}
"""Pixel formats of encoders that do not take ``yuv420p``, or take a better one."""
LOSSLESS = "ffv1"


def write_video(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, codec: str = LOSSLESS, options: Mapping[str, str] = {}
) -> None:
    """Encode frames (H, W, 3) uint8 RGB.

    Args:
        path: with the suffix of a container, e.g. ``.mkv`` or ``.mp4``; an existing file is replaced.
        frames: one or more, all of one size; an odd last row or column is repeated, as encoders of 4:2:0 need it.
        fps: frames per second.
        codec: name of an encoder of FFmpeg, e.g. ``libx264``, ``libx265``, ``mpeg4``, ``mjpeg``, ``ffv1``.
        options: of the encoder, e.g. ``{"crf": "23", "preset": "medium"}``.

    Raises:
        EnvironmentProblemError: this FFmpeg has no such encoder, or it refuses the options.
    """
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, Fraction(fps).limit_denominator(1001), dict(options))
            if not isinstance(stream, VideoStream):
                raise ValueError("it encodes no pictures")
            stream.pix_fmt = FORMATS.get(codec, "yuv420p")
            stream.codec_context.thread_count = 1  # the same bytes on every machine
            for t, frame in enumerate(frames):
                even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
                if t == 0:
                    stream.height, stream.width = even.shape[:2]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise EnvironmentProblemError(
            f"{path.name} cannot be encoded by {codec} with {dict(options) or 'no options'} ({error}): name another "
            "codec, such as libx264, libx265, mpeg4, mjpeg or ffv1, or other options"
        ) from error
