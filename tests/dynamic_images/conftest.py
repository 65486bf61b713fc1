"""Small clips with a known truth: a textured face-like disc whose mouth corner moves and comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.build import ImageSettings, build_images
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, write_stack
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings

SIZE = 64


@dataclass(frozen=True)
class KnownClip:
    """Crops, the exact motion behind them and its amplitude per frame."""

    crops: NDArray[np.uint8]  # (T, S, S, 3)
    flow: NDArray[np.float16]  # (T, S/2, S/2, 2) px, onset -> t
    landmarks: NDArray[np.float32]  # (68, 2) px
    amplitude: NDArray[np.float64]  # (T,) px


def face_landmarks(size: int = SIZE) -> NDArray[np.float32]:
    """68 points of a plain frontal face, in the order of the 68-point scheme."""
    jaw = np.pi * (1 - np.arange(17) / 16)
    parts = [np.c_[0.5 + 0.33 * np.cos(jaw), 0.42 + 0.48 * np.sin(jaw)]]
    for left in (0.22, 0.56):
        x = np.linspace(left, left + 0.22, 5)
        parts.append(np.c_[x, 0.33 - 0.04 * np.sin(np.pi * (x - left) / 0.22)])
    parts.append(np.c_[np.full(4, 0.5), np.linspace(0.4, 0.58, 4)])
    parts.append(np.c_[np.linspace(0.43, 0.57, 5), np.full(5, 0.62)])
    for centre in (0.34, 0.66):
        angle = np.pi + np.array([0, 1, 2, 3, 4, 5]) * np.pi / 3
        parts.append(np.c_[centre + 0.06 * np.cos(angle), 0.42 + 0.03 * np.sin(angle)])
    for count, width, height in ((12, 0.13, 0.05), (8, 0.1, 0.02)):
        angle = np.pi + np.arange(count) * 2 * np.pi / count
        parts.append(np.c_[0.5 + width * np.cos(angle), 0.74 + height * np.sin(angle)])
    return (np.concatenate(parts) * size).astype(np.float32)


def known_clip(n_frames: int = 12, peak: float = 1.5, apex: int = 5, size: int = SIZE, seed: int = 0) -> KnownClip:
    """A skin-like texture whose right mouth corner is pulled up by up to ``peak`` px, most at ``apex``."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (size, size, 3)), (0, 0), 1.5) + 140
    y, x = np.mgrid[:size, :size].astype(np.float32)
    bump = np.exp(-((x - 0.63 * size) ** 2 + (y - 0.74 * size) ** 2) / (2 * (0.09 * size) ** 2))
    t = np.arange(n_frames)
    amplitude = peak * np.interp(t, [0, apex, n_frames - 1], [0, 1, 0.2])
    crops = [
        cv2.remap(texture.astype(np.float32), x, y + np.float32(a) * bump, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
        for a in amplitude
    ]
    full = np.stack([np.stack([0 * bump, -a * bump], -1) for a in amplitude])
    half = full.reshape(n_frames, size // 2, 2, size // 2, 2, 2).mean(axis=(2, 4))
    return KnownClip(
        np.clip(np.rint(crops), 0, 255).astype(np.uint8), half.astype(np.float16), face_landmarks(size), amplitude
    )


def write_clip(folder: Path, clip: KnownClip) -> ClipFolder:
    """What the faces and flow stages would have left."""
    made = ClipFolder(folder)
    with made.writing("faces", Entry("known", {})) as scratch:
        write_stack(scratch / CROPS, clip.crops)
        np.save(scratch / "landmarks.npy", clip.landmarks)
    with made.writing("flow", Entry("known", {}, inputs=made.digests(CROPS))) as scratch:
        np.save(scratch / "flow.npy", clip.flow)
    return made


def finish_clip(
    cache: Path, clip_id: str, clip: KnownClip, apex: int | None = 5, settings: ImageSettings | None = None
) -> ClipFolder:
    """A clip with arrays and records of all stages, as `mer dataset` leaves it."""
    folder = clip_folder(cache, clip_id)
    with folder.writing("faces", Entry("faces key", plain(FaceSettings(size=SIZE)))) as scratch:
        write_stack(scratch / CROPS, clip.crops)
        np.save(scratch / "landmarks.npy", clip.landmarks)
    with folder.writing("flow", Entry("flow key", plain(FlowSettings()))) as scratch:
        np.save(scratch / "flow.npy", clip.flow)
    build_images(folder, settings or ImageSettings(), "flow key", apex)
    return folder


@pytest.fixture
def clip() -> KnownClip:
    return known_clip()


@pytest.fixture(name="clip_folder")
def stored_clip(tmp_path: Path, clip: KnownClip) -> ClipFolder:
    return write_clip(tmp_path / "cache" / "clips" / "sub01" / "a", clip)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., KnownClip]:
    return known_clip


@pytest.fixture(scope="session")
def store_clip() -> Callable[[Path, KnownClip], ClipFolder]:
    return write_clip


@pytest.fixture(scope="session")
def finished_clip() -> Callable[..., ClipFolder]:
    """``finished_clip(cache, clip_id, clip, apex=5, settings=None)``: a clip with all stages and their records."""
    return finish_clip


@pytest.fixture(scope="session")
def manifest_row() -> dict[str, Any]:
    return {
        "clip_id": "known/sub01/a",
        "subject": "known/sub01",
        "emotion": "happiness",
        "status": "ok",
        "code": "",
        "reason": "",
        "fps": 200.0,
        "n_frames": 12,
        "onset": 10,
        "apex": 15,
        "offset": 21,
        "apex_source": "annotated",
        "residual_px": 0.031,
        "peak_intensity": 1.2,
    }
