"""Video files as players show them: interlaced, mirrored, stretched, deep, with their true rates and sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.datasets import videos
from preprocessing.errors import ClipRejectedError
from preprocessing.video import FrameReport, VideoFile

Write = Callable[..., Path]
X264 = ("-c:v", "libx264", "-qp", 4, "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, write_frames: Write) -> Path:
    """Twenty frames of 96 x 64: a bright corner at the top left, and a bar that moves 4 px to the right in each."""
    frames = np.full((20, 64, 96, 3), 60, np.uint8)
    frames[:, :20, :28] = 220
    for t, frame in enumerate(frames):
        frame[24:, 4 + 4 * t : 12 + 4 * t] = 200
    return write_frames(tmp_path_factory.mktemp("source"), frames) / "img%d.png"


def bright_corner(frame: NDArray[np.uint8]) -> str:
    height, width = frame.shape[0] // 5, frame.shape[1] // 5
    corners = {
        "top left": frame[:height, :width],
        "top right": frame[:height, -width:],
        "bottom left": frame[-height:, :width],
        "bottom right": frame[-height:, -width:],
    }
    return max(corners, key=lambda name: float(corners[name].mean()))


def combed(frame: NDArray[np.uint8]) -> float:
    """How much rows differ from the two beside them, in the part where the bar is."""
    rows = frame[26:62].astype(float).mean(axis=2)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


def test_interlaced_frames_are_made_whole(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    """OpenCV 5.0 refuses to convert them, says that it read a frame, and hands out what lay in memory."""
    import av

    path = tmp_path / "tape.mpg"
    woven = ("-vf", "tinterlace=mode=interleave_top,fieldorder=tff", "-flags", "+ildct+ilme")
    ffmpeg("-framerate", 50, "-i", source, *woven, "-c:v", "mpeg2video", "-q:v", 1, "-r", 25, path)
    raw = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in av.open(str(path)).decode(video=0)]
    report = FrameReport()
    frames = list(VideoFile(path).read(report=report))
    assert len(frames) == report.deinterlaced == len(raw) == 10
    assert min(map(combed, raw)) > 3 * max(map(combed, frames))
    bars = [int(frame[26:62].mean(axis=(0, 2)).argmax()) for frame in frames]
    assert bars == sorted(bars) and len(set(bars)) == 10, "each frame shows its own moment"


def test_progressive_frames_are_not_filtered(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-framerate", 25, "-i", source, *X264, path)
    report = FrameReport()
    assert len(list(VideoFile(path).read(report=report))) == 20
    assert report == FrameReport(declared=20, bit_depth=8)


@pytest.mark.parametrize(
    ("options", "corner", "size"),
    [
        ((), "top left", (64, 96)),
        (("-display_hflip",), "top right", (64, 96)),
        (("-display_vflip",), "bottom left", (64, 96)),
        (("-display_rotation", 90), "bottom left", (96, 64)),
        (("-display_rotation", 180), "bottom right", (64, 96)),
        (("-display_rotation", 270), "top right", (96, 64)),
        (("-display_rotation", 90, "-display_hflip"), None, (96, 64)),
    ],
)
def test_pictures_are_turned_and_mirrored_as_the_file_says(
    tmp_path: Path,
    source: Path,
    ffmpeg: Callable[..., None],
    options: tuple[object, ...],
    corner: str | None,
    size: tuple[int, int],
) -> None:
    """The converter of ffmpeg itself turns them when it plays; what it makes of them is the judge."""
    plain, turned, played = (tmp_path / name for name in ("plain.mp4", "turned.mp4", "played.mp4"))
    ffmpeg("-i", source, *X264, plain)
    ffmpeg(*options, "-i", plain, "-c", "copy", turned)
    ffmpeg("-i", turned, *X264, played)
    frame, judge = next(VideoFile(turned).read()), next(VideoFile(played).read())
    assert frame.shape[:2] == judge.shape[:2] == size
    assert np.abs(frame.astype(int) - judge).mean() < 3
    assert corner is None or bright_corner(frame) == corner


@pytest.mark.parametrize(
    ("ratio", "size"), [("4/3", (64, 128)), ("3/4", (85, 96)), ("1/1", (64, 96)), ("99/1", (64, 96))]
)
def test_pixels_become_square(
    tmp_path: Path, source: Path, ffmpeg: Callable[..., None], ratio: str, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-i", source, "-vf", f"setsar={ratio}", *X264, path)
    assert next(VideoFile(path).read()).shape[:2] == size


def test_a_size_change_is_seen(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    """OpenCV stretches the later frames to the size of the first."""
    parts = []
    for size in ("96x64", "144x64"):
        parts.append(tmp_path / f"{size}.ts")
        ffmpeg("-i", source, "-s", size, *X264, parts[-1])
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(ClipRejectedError, match=r"frame 20 of both.ts is 144x64, the frames before it 96x64") as caught:
        list(VideoFile(path).read())
    assert caught.value.code == "size_change"


@pytest.mark.parametrize(
    "pixels", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "nv12", "uyvy422", "yuv410p", "yuv420p"]
)
def test_grey_stays_grey_in_every_format(
    tmp_path: Path, write_frames: Write, ffmpeg: Callable[..., None], pixels: str
) -> None:
    """OpenCV gives 10 bits in 4:2:0 a green about two levels below red and blue."""
    ramp = np.repeat(np.tile(np.linspace(30, 220, 96).astype(np.uint8), (64, 1))[..., None], 3, axis=2)
    folder, path = write_frames(tmp_path / "grey", [ramp] * 3), tmp_path / "a.nut"
    exact = ("-sws_flags", "accurate_rnd+full_chroma_int")
    ffmpeg("-i", folder / "img%d.png", *exact, "-c:v", "rawvideo", "-pix_fmt", pixels, path)
    frame = next(VideoFile(path).read()).astype(float)
    assert np.abs(frame - ramp).mean() < 0.6
    assert np.ptp(frame.mean(axis=(0, 1))) < 0.3


def test_the_default_track_is_read(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "a.mkv"
    tracks = ("-map", "0:v", "-map", "0:v", "-s:v:0", "16x16", "-disposition:v:0", 0, "-disposition:v:1", "default")
    ffmpeg("-i", source, *tracks, *X264, path)
    assert next(VideoFile(path).read()).shape[:2] == (64, 96)


def test_a_codec_without_a_decoder_is_named(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-i", source, *X264, path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyzw"))
    with pytest.raises(ClipRejectedError, match=r"a.mp4 is coded in a way \(xyzw\) that cannot be decoded") as caught:
        next(VideoFile(path).read())
    assert caught.value.code == "unknown_codec"


def test_a_recording_without_times_has_no_rate(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "a.mjpeg"
    ffmpeg("-framerate", 200, "-i", source, "-c:v", "mjpeg", path)
    (clip,) = videos.load(path)
    assert clip.fps is None
    assert len(list(clip.frames.read())) == 20


@pytest.mark.parametrize("suffix", ["ts", "mts", "3gp", "flv", "ogv", "webm", "wmv", "m2v", "y4m", "gif"])
def test_kinds_of_files_are_clips(tmp_path: Path, source: Path, ffmpeg: Callable[..., None], suffix: str) -> None:
    (tmp_path / "clips").mkdir()
    codec = {
        "ogv": ("-c:v", "libtheora"),
        "webm": ("-c:v", "libvpx"),
        "3gp": X264,
        "flv": X264,
        "y4m": ("-pix_fmt", "yuv420p"),
    }.get(suffix, ())
    container = ("-f", "mpegts") if suffix == "mts" else ()
    ffmpeg("-framerate", 25, "-i", source, "-r", 25, *codec, *container, tmp_path / "clips" / f"a.{suffix}")
    (clip,) = videos.load(tmp_path / "clips")
    assert len(list(clip.frames.read())) == 20
    assert clip.fps == pytest.approx(25, abs=0.1)


def test_lost_packets_are_counted(tmp_path: Path, source: Path, ffmpeg: Callable[..., None]) -> None:
    """Frames are decoded from what is there, and smear."""
    whole, lossy = tmp_path / "a.mp4", tmp_path / "b.mp4"
    ffmpeg("-framerate", 25, "-i", source, *X264, whole)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "noise=drop='between(n,8,12)'", lossy)
    report = FrameReport()
    assert len(list(VideoFile(lossy).read(report=report))) < 20
    assert report.gaps == 1


def test_damage_is_counted_and_gives_the_same_frames_again(
    tmp_path: Path, source: Path, ffmpeg: Callable[..., None]
) -> None:
    """Also of a damaged file: several threads would conceal errors differently."""
    path = tmp_path / "a.ts"
    ffmpeg("-framerate", 25, "-i", source, *X264, path)
    whole = path.read_bytes()
    right = [frame.tobytes() for frame in VideoFile(path).read()]
    wrong = noticed = 0
    for at in range(len(whole) // 2, len(whole) - 1000, len(whole) // 16):
        path.write_bytes(whole[:at] + bytes(300) + whole[at + 300 :])
        report = FrameReport()
        first, again = (
            [frame.tobytes() for frame in VideoFile(path).read(report=each)] for each in (report, FrameReport())
        )
        assert first == again
        wrong += first != right
        noticed += first != right and bool(report.damaged or report.gaps)
    assert wrong >= 3
    assert noticed >= wrong / 2, "not all of it can be noticed: the decoder fills in what it lacks"
