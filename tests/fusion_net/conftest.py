from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from dynamic_images.clip_input import Kind
from fusion_net.inputs import ClipTensors

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")

# where each class moves, (x, y) in 0..1 on the aligned face, and in which direction (radians); neighbours overlap
PLACES = {
    "happiness": [(0.33, 0.70, 0.6), (0.67, 0.70, 2.5)],
    "surprise": [(0.30, 0.25, 1.57), (0.70, 0.25, 1.57)],
    "disgust": [(0.45, 0.48, 1.57), (0.55, 0.48, 1.57)],
    "repression": [(0.38, 0.78, 1.57), (0.62, 0.78, 1.57)],
    "others": [(0.38, 0.28, 0.3), (0.62, 0.28, 2.8)],
}


def toy_clips(
    n_subjects: int = 6, per_subject: int = 10, size: int = 48, strength: float = 1.0, seed: int = 0
) -> ClipTensors:
    """Signed 'dynamic images': what moves leaves the derivative of a blob, at a place that the class decides.

    On top lie a picture of the subject (residual head motion, in random proportion) and white noise. In every clip one
    of the two inputs carries the expression three times as strongly as the other, and which one is chance.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / (size - 1)

    def edge(cx: float, cy: float, angle: float, width: float) -> np.ndarray:
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        return along / width * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))

    names, subjects, labels = [], [], []
    images: dict[str, list[np.ndarray]] = {"temporal_ranked": [], "motion_intensity": []}
    for s in range(n_subjects):
        person = sum(edge(*rng.uniform(0.1, 0.9, 2), rng.uniform(0, 6.3), 0.05) for _ in range(8))
        for c in range(per_subject):
            label = (s + c) % len(CLASSES)
            signal = np.zeros((size, size))
            for px, py, angle in PLACES[CLASSES[label]]:
                jitter = rng.normal(0, 0.015, 2)
                signal += rng.lognormal(0, 0.4) * edge(px + jitter[0], py + jitter[1], angle, 0.05)
            share = 0.3 if rng.random() < 0.5 else 0.9
            for name, part in (("temporal_ranked", share), ("motion_intensity", 1.2 - share)):
                clutter = rng.normal(0, 0.3) * person
                noise = rng.normal(0, 0.25, (3, size, size))
                images[name].append(20 * (strength * part * signal + clutter + noise))
            names.append(f"toy/s{s}/c{c:02d}")
            subjects.append(f"toy/s{s}")
            labels.append(label)
    inputs = {name: torch.tensor(np.stack(stack), dtype=torch.float32) for name, stack in images.items()}
    return ClipTensors(tuple(names), tuple(subjects), torch.tensor(labels), CLASSES, inputs)


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., ClipTensors]:
    return toy_clips


@pytest.fixture(scope="session")
def toy() -> ClipTensors:
    return toy_clips()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Byte equality is promised for one thread, and the test machine may have few."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy_frames(
    n_subjects: int = 5, per_subject: int = 8, size: int = 32, count: int = 8, noise: float = 0.2, seed: int = 0
) -> ClipTensors:
    """Grey clips of faces of noise on which a blob of two grey levels grows, at a place that the class decides.

    The frames are trivially ordered: the blob only ever grows.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / (size - 1)
    names, subjects, labels, clips = [], [], [], []
    for s in range(n_subjects):
        face = rng.uniform(80, 120, (size, size))
        for c in range(per_subject):
            label = (s + c) % len(CLASSES)
            growth = np.linspace(0, 1, count) ** rng.uniform(0.7, 1.4)
            blob = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 0.01) for px, py, _ in PLACES[CLASSES[label]])
            clip = face + 4 * growth[:, None, None] * blob + rng.normal(0, noise, (count, size, size))
            clips.append(clip[:, None])
            names.append(f"toy/s{s}/c{c:02d}")
            subjects.append(f"toy/s{s}")
            labels.append(label)
    frames = torch.tensor(np.stack(clips), dtype=torch.float32)
    kinds: dict[str, Kind] = {"frames": "frames"}
    return ClipTensors(tuple(names), tuple(subjects), torch.tensor(labels), CLASSES, {"frames": frames}, kinds)


@pytest.fixture(scope="session")
def growing() -> ClipTensors:
    return toy_frames()
