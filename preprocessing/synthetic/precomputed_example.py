"""An example of precomputed image streams: small images of made-up motion, as a group might share them.

Sizes are those of the MEGC2019 composite (442 clips, 68 subjects, three data sets, three classes), names are not. Each
clip is one 28 x 28 px PNG of red = horizontal, green = vertical motion around 128, and blue = its size, which the
table hands out as two streams: ``#0,1`` and ``#2``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.artefacts.files import write_text
from preprocessing.datasets.streams import COLUMNS, TABLE
from preprocessing.errors import DatasetError

SIDE = 28
LABS = {"lab1": (24, (88, 32, 25)), "lab2": (28, (92, 26, 15)), "lab3": (16, (70, 51, 43))}
"""Data set → subjects, and clips of each class."""
CLASSES = ("negative", "positive", "surprise")
BROWS, MOUTH = ((9.0, 8.5), (19.0, 8.5)), ((9.5, 20.5), (18.5, 20.5))
PUSHES = {
    "negative": ((BROWS, (0.3, 1.0)), (MOUTH, (0.2, 0.6))),
    "positive": ((MOUTH, (-0.8, -0.8)),),
    "surprise": ((BROWS, (0.0, -1.0)), (MOUTH, (0.0, 0.8))),
}
"""Class → which points move, and where to: (towards the middle of the face, down), px."""
LEVELS = 40.0
"""Grey levels of one px of motion."""


@dataclass(frozen=True)
class ExampleSettings:
    """What example to make.

    Attributes:
        seed: another seed, other people and clips.
        null: the same images with permuted labels, so that no label carries information.
        signal: multiplies the motion.
        noise: standard deviation of the smooth motion that has nothing to do with the class, px.
    """

    seed: int = 0
    null: bool = False
    signal: float = 1.0
    noise: float = 0.5


def write_example(folder: Path, settings: ExampleSettings | None = None) -> Path:
    """Write images and their table into ``folder``; the table's path.

    Raises:
        DatasetError: the folder holds something else.
    """
    settings = settings or ExampleSettings()
    if folder.exists() and any(path.name not in (TABLE, "images") for path in folder.iterdir()):
        raise DatasetError(f"{folder} holds other files: name a folder that is empty or not there yet")
    rng = np.random.default_rng((settings.seed, 0))
    rows: list[list[str]] = []
    for lab, (subjects, counts) in LABS.items():
        labels = rng.permutation(np.repeat(CLASSES, counts))
        for clip, subject in enumerate(_who(subjects, len(labels), rng), start=1):
            image = draw(str(labels[clip - 1]), (settings.seed, int(lab[-1]), subject), clip, settings)
            name = f"images/{lab}-{clip:03d}.png"
            (folder / "images").mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
            rows.append([f"c{clip:03d}", f"{subject:02d}", str(labels[clip - 1]), f"{name}#0,1", f"{name}#2", lab])
    if settings.null:
        for row, label in zip(rows, rng.permutation([row[2] for row in rows]), strict=True):
            row[2] = str(label)
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([[*COLUMNS, "dataset"], *rows])
    write_text(folder / TABLE, text.getvalue())
    return folder / TABLE


def draw(label: str, person: tuple[int, ...], clip: int, settings: ExampleSettings) -> NDArray[np.uint8]:
    """``(28, 28, 3)``: u, v around 128 and the size of the motion from 0, in `LEVELS` per px.

    A person moves in their own places, more or less strongly and more on one side; a clip differs in strength, and a
    smooth motion that has nothing to do with the class lies over it.
    """
    own, rng = np.random.default_rng(person), np.random.default_rng((*person, clip))
    place, strength, side = own.normal(0, 1.2, (4, 2)), own.lognormal(0, 0.3), own.uniform(-0.35, 0.35)
    strength *= settings.signal * rng.lognormal(0, 0.4)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    motion = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE, 2)), (0, 0), 2.5)
    motion *= settings.noise / motion.std()
    for points, (inwards, down) in PUSHES[label]:
        for half, point in enumerate(points):
            cx, cy = np.add(point, place[2 * int(points is MOUTH) + half])
            weight = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 2.5**2))[:, :, None]
            push = np.array([inwards if half == 0 else -inwards, down]) * strength * (1 + side * (2 * half - 1))
            motion = motion + weight * push
    size = np.linalg.norm(motion, axis=2, keepdims=True)
    levels = np.concatenate([128 + LEVELS * motion, LEVELS * size], axis=2)
    return np.clip(np.rint(levels + rng.normal(0, 1.5, levels.shape)), 0, 255).astype(np.uint8)


def _who(subjects: int, clips: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The subject, 1 and on, of each clip: each has at least one, and some have many more than others."""
    share = rng.dirichlet(np.full(subjects, 1.5))
    more = rng.choice(subjects, clips - subjects, p=share)
    return rng.permutation(np.concatenate([np.arange(subjects), more])) + 1
