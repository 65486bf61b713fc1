"""Damaged pictures, sequences of pictures and videos."""

from __future__ import annotations

import functools
import io
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fuzz_cases import Case, damaged, expect

FRAMES = 6
LOSSLESS_AND_CHECKED = ".png"
"""Formats with a sum over every byte of the picture: what is accepted is what was written."""


@functools.cache
def pictures() -> list[tuple[str, bytes, Any]]:
    """Suffix, file and content (RGB order) of one small picture in many formats."""
    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.integers(0, 255, (24, 20, 4), np.uint8), (5, 5), 2)
    deep = base.astype(np.uint16) * 257
    kinds: list[tuple[str, Any]] = [
        (s, base[..., :3]) for s in (".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm", ".jp2")
    ]
    kinds += [
        (".png", base),
        (".png", base[..., 0]),
        (".png", deep[..., :3]),
        (".tif", deep[..., 0]),
        (".pgm", base[..., 0]),
    ]
    found = []
    for suffix, image in kinds:
        written, code = cv2.imencode(suffix, image)
        if written:
            order = image if image.ndim == 2 else image[..., [2, 1, 0, *range(3, image.shape[2])]]
            found.append((suffix, code.tobytes(), order))
    for array in (base[..., :3].astype(np.float32) - 128, base, deep[..., 0], base.astype(np.float64)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append((".npy", buffer.getvalue(), array))
    return found


def stream_picture(rng: random.Random, folder: Path, _: Path) -> str:
    """A picture as a stream of a clip."""
    from preprocessing.datasets.streams import Source
    from preprocessing.errors import ClipRejectedError

    try:
        from dynamic_images.precomputed import read_source, square, three_channels, to_signed
    except ImportError:
        from dynamic_images.streams import read_source, square, three_channels, to_signed
    suffix, content, image = rng.choice(pictures())
    data = damaged(content, rng)
    path = folder / f"picture{rng.choice((suffix, suffix, suffix, '.png', '.npy'))}"
    path.write_bytes(data)
    try:
        values = read_source(Source(path.name, path, None), "streams.csv, line 2")
    except ClipRejectedError as error:
        expect(bool(error.code and error.reason), "a rejected row without a reason")
        return "a rejected row"
    made = square(three_channels(to_signed(values, "middle")))
    expect(made.ndim == 3 and made.shape[2] == 3 and made.dtype == np.float32, f"an image of {made.shape} {made.dtype}")
    if suffix == LOSSLESS_AND_CHECKED and path.suffix == suffix:
        right = image if image.ndim == 3 else image[..., None]
        expect(np.array_equal(values, right[..., : values.shape[2]]), "other pixels out of a PNG, which has sums")
    if suffix == ".npy" and path.suffix == ".npy":
        right = np.load(io.BytesIO(data), allow_pickle=False)
        right = right if right.ndim == 3 else right[..., None]
        expect(np.array_equal(values, right[..., : values.shape[2]], True), "another array than NumPy reads")
    return "accepted"


def sequence(rng: random.Random, folder: Path, _: Path) -> str:
    """A folder of numbered pictures, one of which is damaged, gone, twice there or of another size."""
    from preprocessing.errors import ClipRejectedError
    from preprocessing.video import image_sequence

    place = folder / "sequence"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    suffix, content, image = rng.choice([one for one in pictures() if one[0] not in (".npy", ".jp2")])
    for number in range(1, FRAMES + 1):
        (place / f"img{number}{suffix}").write_bytes(content)
    victim, there = place / f"img{rng.randint(1, FRAMES)}{suffix}", FRAMES
    match rng.randrange(8):
        case 0:
            victim.unlink()
            there -= 1
        case 1:
            other = np.zeros((8, 9) if suffix == ".pgm" else (8, 9, 3), np.uint8)
            victim.write_bytes(cv2.imencode(suffix, other)[1].tobytes())
        case _:
            victim.write_bytes(damaged(content, rng))
    try:
        frames = list(image_sequence(place).read())
    except ClipRejectedError as error:
        expect(bool(error.code and error.reason), "a rejected row without a reason")
        return "a rejected row"
    expect(len(frames) == there, f"{len(frames)} frames of {there} files")
    expect(all(f.shape == frames[0].shape and f.dtype == np.uint8 for f in frames), "frames of several forms")
    if suffix == LOSSLESS_AND_CHECKED and image.dtype == np.uint8:
        expect(all(np.array_equal(f, frames[0]) for f in frames), "other pixels out of a PNG, which has sums")
    return "accepted"


@functools.cache
def videos() -> list[tuple[str, bytes]]:
    """Suffix and file of one short recording in several containers and codecs."""
    import tempfile

    import av

    found = []
    rng = np.random.default_rng(1)
    base = cv2.GaussianBlur(rng.integers(0, 255, (64, 64, 3), np.uint8), (9, 9), 4)
    for suffix, codec in (
        (".mp4", "mpeg4"),
        (".avi", "mjpeg"),
        (".mkv", "ffv1"),
        (".mov", "mjpeg"),
        (".mpg", "mpeg1video"),
    ):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / f"v{suffix}"
            with av.open(str(path), "w") as out:
                stream = out.add_stream(codec, rate=25)
                stream.width = stream.height = 64
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for t in range(2 * FRAMES):
                    frame = av.VideoFrame.from_ndarray(np.roll(base, 2 * t, axis=1), format="rgb24")
                    for packet in stream.encode(frame):
                        out.mux(packet)
                for packet in stream.encode():
                    out.mux(packet)
            found.append((suffix, path.read_bytes()))
    return found


def video(rng: random.Random, folder: Path, _: Path) -> str:
    """A video file; what decodes counts, and where frames are lost the count that was declared stands beside it."""
    from preprocessing.errors import ClipRejectedError
    from preprocessing.video import VideoFile

    suffix, content = rng.choice(videos())
    path = folder / f"video{rng.choice((suffix, suffix, suffix, '.mp4', '.avi'))}"
    path.write_bytes(damaged(content, rng))
    try:
        frames = []
        for frame in VideoFile(path).read():
            frames.append(frame)
            if len(frames) > 2000:
                return "accepted"
    except ClipRejectedError as error:
        expect(bool(error.code and error.reason), "a rejected row without a reason")
        return "a rejected row"
    expect(len(frames) > 0, "no frame and no word")
    expect(all(f.shape == frames[0].shape and f.dtype == np.uint8 for f in frames), "frames of several forms")
    return "accepted"


CASES: dict[str, Case] = {"pictures": stream_picture, "sequences": sequence, "videos": video}
