"""Video files as frames, in the order in which they really decode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings import times
from preprocessing.recordings.contract import Frame, FrameReport
from preprocessing.recordings.decoding import DECODER, RAW, Upright, coded_frames, opened, progressive


@dataclass(frozen=True)
class VideoFile:
    """A video file as players show it; what its header says of its length and its rate is not believed."""

    path: Path

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        """See `FrameSource.read`."""
        report = FrameReport() if report is None else report
        shown: list[float] = []
        t = -1
        with opened(self.path) as (container, stream):
            report.declared = _announced(container, stream) if stop is None else stop - start
            upright = Upright(stream)
            size: tuple[int, int] | None = None
            for t, coded in enumerate(progressive(coded_frames(container, stream, report), report)):
                if coded.time is not None:
                    shown.append(coded.time)
                size = size or (coded.width, coded.height)
                if (coded.width, coded.height) != size:
                    raise ClipRejectedError(
                        "size_change",
                        f"frame {t} of {self.path.name} is {coded.width}x{coded.height}, the frames before it "
                        f"{size[0]}x{size[1]}",
                    )
                if t >= start and (stop is None or t < stop):
                    report.bit_depth = report.bit_depth or coded.format.components[0].bits
                    yield upright(coded)
                if stop is not None and t + 1 >= stop:
                    break
            report.gaps = times.gaps(shown) if container.format.name not in RAW else 0
        if t < 0:
            raise ClipRejectedError("broken_video", f"{self.path.name} holds no picture that decodes")
        if stop is not None and t + 1 < stop:
            raise ClipRejectedError(
                "missing_frames", f"frames up to {stop - 1} are wanted, {self.path.name} decodes to {t + 1}"
            )

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """See `FrameSource.digest`; a video is hashed whole, with the version of its decoder."""
        state = hashlib.blake2b(DECODER.encode(), digest_size=16)
        try:
            with self.path.open("rb") as file:
                while block := file.read(1 << 20):
                    state.update(block)
        except OSError as error:
            raise ClipRejectedError("broken_video", f"{self.path.name} cannot be read: {error.strerror}") from error
        return state.hexdigest()

    def declared(self) -> int | None:
        """How many frames the container counts of what players show; None where it has no count."""
        with opened(self.path) as (container, stream):
            return _announced(container, stream)

    def fps(self) -> float | None:
        """Frames per second by the times of the frames, pauses left out; None where the file has no times.

        Where frames have no fixed rate it is their number divided by the time that they are shown: a frame's number
        times 1 / fps is then an approximate time. The file is read once through, and nothing of it is decoded.
        """
        with opened(self.path) as (container, stream):
            if container.format.name in RAW:
                return None
            announced = stream.average_rate or stream.codec_context.framerate
            nominal = float(announced) if announced else None
            return times.rate_of(_times(container, stream), nominal if nominal and nominal < 10_000 else None)


def _announced(container: InputContainer, stream: VideoStream) -> int | None:
    entries = stream.index_entries
    if stream.frames and "mp4" in container.format.name.split(",") and len(entries) == stream.frames:
        return sum(not entry.is_discard for entry in entries)  # an edit list hides some
    return stream.frames or None


def _times(container: InputContainer, stream: VideoStream) -> list[float]:
    """Seconds at which each packet is to be decoded, in order; those that no player shows are left out."""
    found: list[float] = []
    base = float(stream.time_base or 1)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        if packet is None:
            return found
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is not None and packet.size and not packet.is_discard:
            found.append(stamp * base)
