"""How a video was encoded, and whether that can have erased the movements that are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.decoding import opened

SPENT = 0.1
"""Bits per pixel and frame below which a remark is made. A rule of thumb, ours: how much a recording loses depends on
face, light and encoder, and `mer limits` measures it."""
PREDICTS = frozenset({"h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "wmv3"})
"""Codecs that describe a frame by what changed since another one."""
LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png"})


@dataclass(frozen=True)
class Coding:
    """What a video file says of its encoding.

    Attributes:
        codec: FFmpeg's name of it.
        kilobits: per second, of the pictures; None where the file has no times.
        bits_per_pixel: and frame.
        keyframes: numbers of the frames that stand on their own, in the order of decoding, which is that of showing
            for a frame that stands on its own.
        frames: packets of pictures.
    """

    codec: str
    kilobits: float | None
    bits_per_pixel: float
    keyframes: tuple[int, ...]
    frames: int

    @property
    def told(self) -> str:
        """In words: codec, rate and keyframes."""
        rate = "" if self.kilobits is None else f", {self.kilobits:.0f} kbit/s"
        return (
            f"{self.codec}{rate}, {self.bits_per_pixel:.2f} bits per pixel, keyframes at {_listed([*self.keyframes])}"
        )

    @property
    def remarks(self) -> list[str]:
        """What somebody should know who looks for movements below a pixel; at most one sentence."""
        if self.codec in LOSSLESS or self.codec not in PREDICTS:
            return []
        inside = [k for k in self.keyframes if k > 0]  # the first is where every recording begins
        spent = f"{self.codec} at {self.bits_per_pixel:.2f} bits per pixel"
        if self.bits_per_pixel < SPENT:
            return [f"{spent}: so strong a compression can erase movements below a pixel: record with less or none"]
        if inside and len(inside) < self.frames - 1:
            return [f"{spent}, keyframes at {_listed(inside)}: a still face can twitch there"]
        return []


def coding_of(path: Path) -> Coding | None:
    """How a video file is encoded; None of what is no video file or cannot be read. Nothing of it is decoded."""
    try:
        with opened(path) as (container, stream):
            sizes: list[int] = []
            keys: list[int] = []
            times: list[float] = []
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                if packet.is_keyframe:
                    keys.append(len(sizes))
                sizes.append(packet.size)
                if packet.pts is not None and packet.time_base:
                    times.append(float(packet.pts * packet.time_base))
            context = stream.codec_context
            pixels = max(context.width * context.height, 1)
            codec = context.codec.name
    except (ClipRejectedError, av.FFmpegError, OSError):
        return None
    if not sizes:
        return None
    span = max(times) - min(times) if len(times) > 1 else 0.0
    bits = 8.0 * sum(sizes)
    kilobits = bits / span / 1000 * (len(sizes) - 1) / len(sizes) if span > 0 else None
    return Coding(codec, kilobits, bits / len(sizes) / pixels, tuple(keys), len(sizes))


def _listed(frames: list[int]) -> str:
    shown = ", ".join(map(str, frames[:6]))
    return shown + (f" and {len(frames) - 6} more" if len(frames) > 6 else "")
