"""Find faces in a frame and their 68 landmarks: the face libraries by name, dlib among them.

A package adds a library by an entry point of the group ``mer.faces``: a factory that takes the path of a model file, or
None for the library's own, and returns a `Landmarker`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import EnvironmentProblemError
from preprocessing.registry import Registry
from preprocessing.video import Frame

Points = NDArray[np.float64]
"""(68, 2) x, y in px, in the order of `preprocessing.faces.points68`."""

MODEL = "shape_predictor_68_face_landmarks.dat"
SMALLEST = 80  # px: the side of dlib's HOG window
WORKING_SIDE = 960  # px: frames with a longer side are searched at this size first


class Box(NamedTuple):
    """A face box in px, right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def side(self) -> float:
        """Geometric mean of width and height."""
        return float(np.sqrt(max(self.right - self.left, 0) * max(self.bottom - self.top, 0)))

    @property
    def centre(self) -> tuple[float, float]:
        """x, y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


class Landmarker(Protocol):
    """What the pipeline asks of a face library."""

    def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
        """Faces of a frame, or with ``near`` only of its surroundings, with a more lenient threshold."""
        ...

    def landmarks(self, frame: Frame, box: Box) -> Points:
        """68 landmarks (68, 2) px of the face in ``box``."""
        ...

    def version(self) -> str:
        """Name and version of the library, part of the cache key of everything that stands on its answers."""
        ...


class DlibLandmarker:
    """dlib's HOG detector and regression-tree landmarks (Kazemi & Sullivan, CVPR 2014, doi 10.1109/CVPR.2014.241).

    Models load on first use, inside the process that uses them: the predictor weighs 100 MB.
    """

    def __init__(self, model: Path | None = None) -> None:
        self._model = model

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model}

    @cached_property
    def _detector(self) -> Any:
        return _dlib().get_frontal_face_detector()

    @cached_property
    def _predictor(self) -> Any:
        path = landmark_model(self._model)
        try:
            return _dlib().shape_predictor(str(path))
        except RuntimeError as error:
            raise EnvironmentProblemError(f"{path} cannot be read as a landmark model of dlib ({error})") from error

    def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
        """See `Landmarker.detect`. Ordered by size, largest first.

        Without ``near``: at a working size, and once more at twice that size for faces down to about 40 px, of which
        those count that lie apart from the ones found before.
        """
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if near is not None:
            return self._detect_near(grey, near)
        scale = min(1.0, WORKING_SIDE / max(grey.shape))
        found = self._run(grey, scale, 0.0)
        found += [box for box in self._run(grey, 2 * scale, 0.0) if not any(_overlap(box, other) for other in found)]
        return sorted(found, key=lambda box: -box.side)

    def landmarks(self, frame: Frame, box: Box) -> Points:
        """See `Landmarker.landmarks`."""
        left, top, right, bottom = (round(v) for v in box)
        shape = self._predictor(frame, _dlib().rectangle(left, top, right - 1, bottom - 1))
        if shape.num_parts != 68:
            raise EnvironmentProblemError(f"{self._model} finds {shape.num_parts} landmarks, wanted a model of 68")
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)

    def version(self) -> str:
        """See `Landmarker.version`."""
        return f"dlib {_dlib().__version__}"

    def _run(self, grey: NDArray[Any], scale: float, threshold: float) -> list[Box]:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = grey if scale == 1 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method)
        found, _, _ = self._detector.run(np.ascontiguousarray(picture), 0, threshold)
        boxes = [Box(*(v / scale for v in (r.left(), r.top(), r.right() + 1, r.bottom() + 1))) for r in found]
        return sorted(boxes, key=lambda box: -box.side)

    def _detect_near(self, grey: NDArray[Any], near: Box) -> list[Box]:
        (x, y), reach = near.centre, near.side
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        part = grey[top : max(0, int(y + reach) + 1), left : max(0, int(x + reach) + 1)]
        if min(part.shape) < 8:
            return []
        boxes = self._run(part, 1.3 * SMALLEST / near.side, -0.6)
        return [Box(b.left + left, b.top + top, b.right + left, b.bottom + top) for b in boxes]


def _overlap(one: Box, other: Box) -> bool:
    return min(one.right, other.right) > max(one.left, other.left) and min(one.bottom, other.bottom) > max(
        one.top, other.top
    )


class GivenLandmarker:
    """A landmarker that returns given faces for every frame, in the order given: for tests and known geometry."""

    def __init__(self, faces: Sequence[Points]) -> None:
        self._faces = [np.asarray(points, np.float64) for points in faces]

    def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
        """Boxes around the given points."""
        return [Box(*points.min(axis=0), *points.max(axis=0)) for points in self._faces]

    def landmarks(self, frame: Frame, box: Box) -> Points:
        """The given points whose box is ``box``."""
        boxes = self.detect(frame)
        return self._faces[min(range(len(boxes)), key=lambda i: abs(np.subtract(boxes[i], box)).sum())].copy()

    def version(self) -> str:
        """See `Landmarker.version`."""
        return "given"


def landmark_model(path: Path | None = None) -> Path:
    """Where the 68-point predictor lies: ``path``, or inside the package ``face_recognition_models``.

    That package cannot be imported without ``pkg_resources``, so its folder is located without importing it.

    Raises:
        EnvironmentProblemError: it is not installed; the message says how to install it.
    """
    if path is not None:
        if not path.is_file():
            raise EnvironmentProblemError(f"landmark model {path} is not a file; it should be a {MODEL}")
        return path
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(folder) / "models" / MODEL).is_file():
            return found
    raise EnvironmentProblemError(
        f"{MODEL} is not installed: pip install face_recognition_models, or name a file with --landmark-model PATH"
    )


def _dlib() -> Any:
    try:
        import dlib  # loading it takes a moment and only workers that see faces need it
    except ImportError as error:
        raise EnvironmentProblemError(
            "dlib is not installed: pip install dlib-bin (prebuilt), or build it with pip install dlib"
        ) from error
    return dlib


def _installed(model: Path | None) -> DlibLandmarker:
    """dlib with a model that is there: a missing one is told before the first clip."""
    landmark_model(model)
    return DlibLandmarker(model)


LANDMARKERS: Registry[Callable[[Path | None], Landmarker]] = Registry("mer.faces", "face library", {"dlib": _installed})
"""Name → factory: model file, or None → landmarker. Factories raise `EnvironmentProblemError` for what is missing."""
