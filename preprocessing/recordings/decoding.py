"""Video files decoded by FFmpeg (PyAV): coded frames as upright RGB pictures with square pixels, as players show them.

PyAV and not OpenCV, which passes on old memory where it cannot convert an interlaced frame, stretches frames to the
size of the first one, and says neither pixel aspects nor mirrored pictures nor times of frames.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.contract import Frame, FrameReport

RAW = frozenset({"mjpeg", "h264", "hevc", "m4v", "obu"})
"""Containers of bare frames, whose times FFmpeg makes up."""
QUICK = frozenset({"yuv420p", "yuv422p", "yuvj420p", "yuvj422p", "yuva420p"})
"""Pixel formats that come out right to half a grey level without exact rounding, which takes three times as long."""
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
ASPECTS = (Fraction(1, 4), Fraction(4))  # a pixel beyond is a damaged header
QUARTERS = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
"""Display matrices of the turns that PyAV names, degrees against the clock."""
DECODER = f"av {av.__version__}"


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its main track of pictures.

    One thread decodes: the same frames on every machine, from damaged files too, and parallelism is over clips.

    Raises:
        ClipRejectedError: ``broken_video``; or ``unknown_codec``, which names it.
    """
    try:
        container = av.open(str(path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, MemoryError) as error:
        raise ClipRejectedError(
            "broken_video",
            f"{path.name} cannot be opened as a video: it holds no pictures, is damaged, or was cut off before its "
            "index",
        ) from error
    with container:
        stream = _main(container)
        if stream is None:
            raise ClipRejectedError(
                "broken_video", f"{path.name} cannot be opened as a video: it holds no pictures (sound only?)"
            )
        if stream.codec_context is None:
            raise ClipRejectedError(
                "unknown_codec",
                f"{path.name} is coded in a way{_codec_named(path)} that cannot be decoded here: convert it to H.264",
            )
        stream.codec_context.thread_count = 1
        yield container, stream


def _main(container: InputContainer) -> VideoStream | None:
    """The track that a player shows: the default one, else the best; never a cover picture."""
    tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in tracks else next(iter(tracks), None)


def _codec_named(path: Path) -> str:
    """The code of a codec for which there is no decoder, from what FFmpeg remarks on; empty if it does not."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as words, suppress(av.FFmpegError):
            av.open(str(path.absolute()), options={"protocol_whitelist": "file"}).close()
    finally:
        av.logging.set_level(before)
    found = re.search(r"Video: none \((.+?) /", " ".join(text for _, _, text in words))
    return f" ({found[1]})" if found else ""


def coded_frames(container: InputContainer, stream: VideoStream, report: FrameReport) -> Iterator[VideoFrame]:
    """What decodes of a track, in the order in which it is shown; packets that do not decode are counted."""
    packets = container.demux(stream)
    unread = torn = smeared = 0  # a torn packet may come out as a smeared frame: those are counted once
    while True:
        packet, frames = None, []
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except (av.FFmpegError, MemoryError):  # without a packet, the file ends inside one
            unread += 1
        torn += packet is not None and packet.is_corrupt
        for frame in frames:
            smeared += frame.is_corrupt
            yield frame
        report.damaged = unread + max(torn, smeared)
        if packet is None:
            return


def progressive(frames: Iterator[VideoFrame], report: FrameReport) -> Iterator[VideoFrame]:
    """Frames that were recorded as two half pictures, one after the other, as whole pictures of one moment each.

    FFmpeg's ``bwdif``, one frame for one frame. Frames that are not marked as such pass unchanged. Nothing is filtered
    before the first that is.
    """
    graph: Graph | None = None
    for frame in frames:
        report.deinterlaced += frame.interlaced_frame
        if graph is None and frame.interlaced_frame:
            graph = _deinterlacer(frame)
        if graph is None:
            yield frame
            continue
        graph.push(frame)
        yield from _drained(graph)
    if graph is not None:
        graph.push(None)
        yield from _drained(graph)


def _deinterlacer(frame: VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    about = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    source = graph.add("buffer", f"{about}:colorspace={frame.colorspace}:range={frame.color_range}")
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _drained(graph: Graph) -> Iterator[VideoFrame]:
    with suppress(av.BlockingIOError, av.EOFError):
        while True:
            frame = graph.pull()
            if isinstance(frame, VideoFrame):
                yield frame


class Upright:
    """Coded frames of one track as frames: RGB, square pixels, turned and mirrored as the file says."""

    def __init__(self, stream: VideoStream) -> None:
        self._reformatter = VideoReformatter()
        self._aspect = _aspect(stream.sample_aspect_ratio)

    def __call__(self, frame: VideoFrame) -> Frame:
        """One frame, (H, W, 3) uint8."""
        width, height = frame.width, frame.height
        if self._aspect > 1:
            width = round(width * self._aspect)
        elif self._aspect < 1:
            height = round(height / self._aspect)
        scaled = (width, height) != (frame.width, frame.height)
        quick = not scaled and frame.format.name in QUICK
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=Interpolation.BICUBIC if quick else EXACT,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return turned(np.asarray(rgb.to_ndarray(), np.uint8), _matrix(frame))


def turned(picture: Frame, matrix: tuple[int, int, int, int]) -> Frame:
    """A picture as a display matrix shows it: ``x' = a x + c y, y' = b x + d y`` for ``(a, b, c, d)``, y down.

    Only turns by quarters and mirrorings are followed; anything between them is shown as it was recorded.
    """
    a, b, c, d = matrix
    if abs(b) > abs(a) and abs(c) > abs(d):
        picture, a, d = np.asarray(cv2.transpose(picture), np.uint8), c, b
    flip = {(True, False): 1, (False, True): 0, (True, True): -1}.get((a < 0, d < 0))
    return picture if flip is None else np.asarray(cv2.flip(picture, flip), np.uint8)


def _matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    try:
        side: Any = frame.side_data
        data = next((bytes(one) for one in side if one.type is Type.DISPLAYMATRIX), None)
    except ValueError:  # PyAV 18.1 refuses all side data where there is a kind that it does not know, such as Exif
        return QUARTERS.get(frame.rotation % 360, (1, 0, 0, 1))
    a, b, _, c, d, *_ = struct.unpack("9i", data) if data else (1, 0, 0, 0, 1)
    right = (a == d == 0 and b and c) or (b == c == 0 and a and d)
    return (a, b, c, d) if right else (1, 0, 0, 1)


def _aspect(ratio: Fraction | None) -> Fraction:
    """Width of a pixel by its height, 1 where the file gives none, a damaged one, or one that is nearly square."""
    if not ratio or not ASPECTS[0] <= ratio <= ASPECTS[1] or abs(ratio - 1) < Fraction(1, 200):
        return Fraction(1)
    return ratio
