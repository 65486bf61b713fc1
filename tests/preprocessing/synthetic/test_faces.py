"""Drawn faces against dlib: it finds them, and its landmarks lie where they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.faces.landmarks import DlibLandmarker
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.geometry import average_shape
from preprocessing.synthetic.settings import CorpusSettings


@pytest.fixture(scope="module")
def dlib_landmarker() -> DlibLandmarker:
    return DlibLandmarker()


def errors(landmarker: DlibLandmarker, subject: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances (68,) of dlib's points from the drawn ones in units of the outer eye corners' distance; and the same of
    the average face put on the true eye corners."""
    truth, frames = draw_clip(CorpusSettings(), subject, 0, "others")
    frame = next(frames)
    boxes = landmarker.detect(frame)
    assert len(boxes) == 1
    drawn = truth.landmarks[0]
    right, left = drawn[36], drawn[45]
    scale = np.linalg.norm(left - right)
    average = (right + left) / 2 + scale * average_shape()
    found = landmarker.landmarks(frame, boxes[0])
    return np.linalg.norm(found - drawn, axis=1) / scale, np.linalg.norm(average - drawn, axis=1) / scale


def test_dlib_finds_drawn_faces_and_their_landmarks(dlib_landmarker: DlibLandmarker) -> None:
    found, average = (np.mean(part, axis=1) for part in zip(*(errors(dlib_landmarker, s) for s in (0, 1)), strict=True))
    assert found.max() < 0.03
    assert found.mean() < average.mean()  # the average face on the true eye corners


@pytest.mark.slow
def test_dlib_finds_every_subject_of_the_default_corpus(dlib_landmarker: DlibLandmarker) -> None:
    pairs = [errors(dlib_landmarker, subject) for subject in range(CorpusSettings().subjects)]
    found, average = (np.mean(part, axis=1) for part in zip(*pairs, strict=True))
    assert found.mean() < 0.0205  # the average face on the true eye corners scores 0.022
    assert found.max() < 0.03
    assert found.mean() < 0.9 * average.mean()
