"""Read precomputed images of clips as signed arrays of three channels; no video is needed.

All rules are ours, and the same for every clip:

- **sign**: a network input is signed, and 0 is "nothing there". Unsigned 8- and 16-bit files have no sign: the middle
  of their range (128, 32768) becomes 0, or with ``zero = black`` their 0 stays 0. 16 bits are divided by 256. Signed
  and floating-point arrays stay as they are. Nothing is scaled by a clip's own extremes.
- **channels**: in the order of the file (red, green, blue). Without a list an image's alpha is left out. One channel is
  repeated three times; two channels are followed by one of zeros; three stay.
- **size**: stretched to a square of the longer side, at most `LARGEST` px: shrunk by area, enlarged bilinearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.encoding import to_view
from preprocessing.artefacts.arrays import read_array
from preprocessing.artefacts.built import Built, collect
from preprocessing.artefacts.clip_folder import ClipFolder, Damage, clip_folder
from preprocessing.artefacts.files import digest as digest_of
from preprocessing.artefacts.files import key_of
from preprocessing.artefacts.members import write_members
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.datasets.streams import Source, StreamClip
from preprocessing.errors import ClipRejectedError, DatasetError, faults_rejected
from preprocessing.workers import unordered

STAGE = "streams"
VERSION = 2
LARGEST = 512
STREAMS = ("stream_a", "stream_b")
"""Columns of the table, and names of the arrays and pictures that are made of them."""
VIEWED = 100
"""So many clips, evenly spaced, say how wide a range of unscaled values a picture shows."""

WRONG_FORM = "wrong_form"
"""Code of a file that decodes but has not the form of an image; if most are so, it is no matter of single clips."""

Zero = Literal["middle", "black"]


@dataclass(frozen=True)
class StreamSettings:
    """How precomputed images are read.

    Attributes:
        zero_a, zero_b: which value of an unsigned 8- or 16-bit file is "nothing", of stream a and of stream b:
            ``middle`` (128; dynamic images, flow, differences) or ``black`` (0; magnitudes, strain, masks).
        mirror: whether a mirrored image is the image of a mirrored face. It is not where a channel holds horizontal
            flow, whose sign would have to change; so nothing is mirrored unless this says so.
    """

    zero_a: Zero = "middle"
    zero_b: Zero = "middle"
    mirror: bool = False


def build_streams(
    clips: Sequence[StreamClip],
    cache: Path,
    settings: StreamSettings,
    jobs: int = 1,
    on_clip: Callable[[dict[str, Any]], None] | None = None,
    verify: bool = False,
    on_mended: Callable[[str, Sequence[Damage]], None] | None = None,
) -> Path:
    """Bring the artefacts of all clips below ``cache`` up to date; the manifest's path.

    As `dynamic_images.pipeline.build_dataset`, with its ``verify`` and ``on_mended``: what is fresh stays, a file that
    is no image is a rejected row, and any number of processes gives the same bytes.

    Raises:
        DatasetError: a channel that the file has not, or most arrays are of the wrong form: the table is to be changed.
    """
    views = {name: _view_range(clips, name, settings) for name in STREAMS}
    datasets = sorted({clip.clip_id.split("/", 1)[0] for clip in clips})
    write_members(cache, {name: name for name in datasets} if len(datasets) > 1 else {})
    found = unordered(build, [(clip, cache, settings, views, verify) for clip in clips], jobs)
    return collect(found, cache, [clip.clip_id for clip in clips], on_clip, on_mended)


def build(
    clip: StreamClip, cache: Path, settings: StreamSettings, views: dict[str, float], verify: bool = False
) -> Built:
    """Both streams of one clip on disk, and its manifest row, whatever became of it."""
    cv2.setNumThreads(1)
    folder = clip_folder(cache, clip.clip_id)
    row = {"clip_id": clip.clip_id, "subject": clip.subject, "emotion": clip.label}
    row |= {} if clip.split is None else {"split": clip.split}
    written = {name: getattr(clip, name).text for name in STREAMS}
    mended = tuple(folder.damage(verify))
    folder.discard(*{one.stage for one in mended})
    try:
        with faults_rejected():
            result = _build(clip, folder, settings, views)
    except ClipRejectedError as error:
        if folder.folder.is_dir():
            folder.clear()
        row |= {"status": "rejected", "code": error.code, "reason": error.reason} | written
        return Built(row, (STAGE,), folder.state((STAGE,)))
    ranges = {f"{name}_view": views[name] for name in STREAMS}
    row |= {"status": "ok", "code": "", "reason": ""} | written | dict(sorted(result.items())) | ranges
    return Built(row, (STAGE,), folder.state((STAGE,)), mended)


def read_source(source: Source, where: str = "") -> NDArray[Any]:
    """The chosen channels of a file, ``(H, W, C)`` with its own type of numbers, C from 1 to 3.

    Raises:
        ClipRejectedError: ``broken_image``: it cannot be decoded; ``wrong_form``: it has not the form of an image.
        DatasetError: it has no such channel.
    """
    values = _decode(source.path)
    last = values.shape[2] - 1
    channels = source.channels
    if channels is None:
        is_image = source.path.suffix.lower() != ".npy"
        channels = tuple(range(3 if is_image and last == 3 else last + 1))  # without alpha
    if max(channels) > last:
        raise DatasetError(f"{where}: {source.text} wants channel {max(channels)}, the file has 0 to {last}")
    if len(channels) > 3:
        raise DatasetError(
            f"{where}: {source.text} has {len(channels)} channels, a stream takes up to three: "
            f"pick them, for example {source.path.name}#0,1,2"
        )
    return values[:, :, list(channels)]


def to_signed(values: NDArray[Any], zero: Zero) -> NDArray[np.float32]:
    """Signed float32 of the same shape, 0 for "nothing"; see the module. Unsigned files in 8-bit steps."""
    if values.dtype == np.uint8 or values.dtype == np.uint16:
        steps = values.astype(np.float32) / (1 if values.dtype == np.uint8 else 256)
        return np.asarray(steps - 128 if zero == "middle" else steps, np.float32)
    return values.astype(np.float32)


def three_channels(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(H, W, C)`` to ``(H, W, 3)``: one channel repeated, two followed by zeros."""
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.pad(image, ((0, 0), (0, 0), (0, 3 - image.shape[2])))


def square(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(H, W, 3)`` stretched to ``(S, S, 3)``, S the longer side, at most `LARGEST`."""
    height, width = image.shape[:2]
    side = min(max(height, width), LARGEST)
    small = (min(width, side), min(height, side))
    shrunk = image if (width, height) == small else cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    whole = shrunk if small == (side, side) else cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(whole, np.float32)


def at_least(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """``(H, W, C)`` with both sides at least ``side``: smaller images have their pixels repeated."""
    height, width = image.shape[:2]
    if min(height, width) >= side:
        return image
    return np.asarray(cv2.resize(image, (max(width, side), max(height, side)), interpolation=cv2.INTER_NEAREST))


def _build(clip: StreamClip, folder: ClipFolder, settings: StreamSettings, views: dict[str, float]) -> dict[str, Any]:
    sources: dict[str, tuple[Source, Zero]] = {
        "stream_a": (clip.stream_a, settings.zero_a),
        "stream_b": (clip.stream_b, settings.zero_b),
    }
    digest = {name: _digest(source) for name, (source, _) in sources.items()}
    libraries = {"opencv": cv2.__version__, "numpy": np.__version__}
    chosen = {name: [source.channels, zero] for name, (source, zero) in sources.items()}
    key = key_of(STAGE, VERSION, chosen, views, digest, libraries)
    done = folder.entry(STAGE)
    if done is not None and folder.fresh(STAGE, key):
        return done.result
    images = {}
    for name, (source, zero) in sources.items():
        image = square(three_channels(to_signed(read_source(source, clip.where), zero)))
        if not np.isfinite(image).all():
            raise ClipRejectedError("not_finite", f"{source.text} holds values that are not finite")
        images[name] = image
    entry = Entry(key, {"sources": {name: source.text for name, (source, _) in sources.items()}, **plain(settings)})
    about = {"clip_id": clip.clip_id, "subject": clip.subject, "label": clip.label}
    with folder.writing(STAGE, entry, clip=about, input=digest, libraries=libraries) as scratch:
        for name in STREAMS:
            np.save(scratch / f"{name}.npy", images[name])
            view = cv2.cvtColor(to_view(images[name], views[name]), cv2.COLOR_RGB2BGR)
            (scratch / f"{name}.png").write_bytes(cv2.imencode(".png", view)[1].tobytes())
            entry.result[f"{name}_energy"] = round(float(np.sqrt(np.mean(np.square(images[name], dtype=float)))), 4)
        entry.result["side"] = max(len(image) for image in images.values())
    return entry.result


def _decode(path: Path) -> NDArray[Any]:
    """``(H, W, C)``, C in the order red, green, blue, alpha."""
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".npy":
            values = read_array(data)
        else:
            values = _rgb(_image(data))
    except (OSError, ValueError, EOFError) as error:
        raise ClipRejectedError("broken_image", f"{path.name} cannot be read ({error})") from error
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.size or (values.shape[0] <= 4 < values.shape[2]):
        raise ClipRejectedError(
            WRONG_FORM, f"{path.name} has shape {values.shape}, wanted (H, W) or (H, W, C), channels last"
        )
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "u" and values.dtype.itemsize > 2):
        raise ClipRejectedError(
            WRONG_FORM,
            f"{path.name} holds {values.dtype}, wanted 8 or 16 bits, signed integers or floating-point numbers",
        )
    return values


def _image(data: bytes) -> NDArray[Any]:
    """A decoded image; raises ValueError where it is none, also where its header claims to be larger than any."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:
        raise ValueError(f"OpenCV refuses it: {' '.join(error.err.split())}") from error
    if decoded is None:
        raise ValueError("it is no image that OpenCV decodes")
    return np.asarray(decoded)


def _rgb(image: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's blue, green, red[, alpha] in the order of the file."""
    if image.ndim == 2 or image.shape[2] < 3:
        return image
    return image[:, :, [2, 1, 0, *range(3, image.shape[2])]]


def _digest(source: Source) -> str:
    try:
        return digest_of(source.path)
    except OSError as error:
        raise ClipRejectedError("broken_image", f"{source.path.name} cannot be read ({error.strerror})") from error


def _view_range(clips: Sequence[StreamClip], name: str, settings: StreamSettings) -> float:
    """Values at the black and white ends of a stream's pictures, one for the whole data set; for eyes only.

    The range of the format for 8- and 16-bit files; otherwise the 99th percentile of the values' size over some clips,
    rounded up to 1, 2 or 5 times a power of ten. Raises DatasetError if most of these clips have the wrong form.
    """
    zero: Zero = getattr(settings, f"zero_{name[-1]}")
    largest = 0.0
    looked_at = clips[:: max(1, math.ceil(len(clips) / VIEWED))]
    wrong: list[str] = []
    for clip in looked_at:
        try:
            values = read_source(getattr(clip, name), clip.where)
        except ClipRejectedError as error:  # it becomes a rejected row
            wrong += [f"{clip.where}: {error.reason}"] if error.code == WRONG_FORM else []
            if 2 * len(wrong) > len(looked_at):
                raise DatasetError(f"{wrong[0]}; so it is in {len(wrong)} of {len(looked_at)} files") from error
            continue
        if values.dtype.kind == "u":
            largest = max(largest, 127.0 if zero == "middle" else 255.0)
        elif (sizes := np.abs(values[np.isfinite(values)])).size:
            largest = max(largest, float(np.percentile(sizes, 99)))
    return largest if largest in (127.0, 255.0) else _rounded_up(largest)


def _rounded_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{next(step for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)) * power:.6g}")
