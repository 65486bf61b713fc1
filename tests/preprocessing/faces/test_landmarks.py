from __future__ import annotations

import importlib.machinery
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from preprocessing.errors import EnvironmentProblemError
from preprocessing.faces.landmarks import MODEL, Box, DlibLandmarker, GivenLandmarker, landmark_model
from preprocessing.faces.tracking import follow
from preprocessing.video import VideoFile


@pytest.fixture(scope="module")
def dlib() -> DlibLandmarker:
    return DlibLandmarker()


def test_small_faces_are_found_beside_a_large_one(dlib: DlibLandmarker, drawn_face: Any) -> None:
    """The search for them was left out as soon as a larger face, or what looked like one, was found."""
    height, width = drawn_face.picture.shape[:2]
    small = cv2.resize(drawn_face.picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    both = np.full((height, width + small.shape[1] + 40, 3), small[0, 0])
    both[:, :width] = drawn_face.picture
    assert len(dlib.detect(both)) == 1
    both[100 : 100 + small.shape[0], width + 20 : -20] = small
    large, other = dlib.detect(both)
    assert large.side > 3 * other.side
    assert other.centre[0] > width


class TestModel:
    def test_the_installed_one_is_found_without_importing_its_package(self) -> None:
        assert landmark_model().name == MODEL
        assert landmark_model().stat().st_size > 50e6
        assert "face_recognition_models" not in sys.modules

    def test_a_named_one_is_taken(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.dat"
        path.touch()
        assert landmark_model(path) == path

    def test_a_named_one_that_is_missing_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblemError, match=rf"mine.dat is not a file; it should be a {MODEL}"):
            landmark_model(tmp_path / "mine.dat")

    @pytest.mark.parametrize("where", [None, "empty"])
    def test_none_installed_names_the_cure(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str | None
    ) -> None:
        spec = None
        if where is not None:
            spec = importlib.machinery.ModuleSpec("face_recognition_models", None, is_package=True)
            spec.submodule_search_locations = [str(tmp_path)]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        with pytest.raises(
            EnvironmentProblemError, match=r"pip install face_recognition_models, or .*--landmark-model"
        ):
            landmark_model()

    def test_a_missing_dlib_names_the_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(EnvironmentProblemError, match="pip install dlib-bin"):
            DlibLandmarker().version()


class TestBox:
    def test_side_and_centre(self) -> None:
        assert Box(10, 20, 50, 110).side == pytest.approx(60)
        assert Box(10, 20, 50, 110).centre == (30, 65)
        assert Box(10, 20, 5, 30).side == 0


class TestGiven:
    def test_it_returns_what_was_given_in_the_order_given(self, drawn_face: Any) -> None:
        faces = [drawn_face.points + 200, drawn_face.points]
        given = GivenLandmarker(faces)
        boxes = given.detect(drawn_face.picture)
        assert [box.left for box in boxes] == [points[:, 0].min() for points in faces]
        for box, points in zip(boxes, faces, strict=True):
            assert np.array_equal(given.landmarks(drawn_face.picture, box), points)

    def test_its_points_cannot_be_changed_from_outside(self, drawn_face: Any) -> None:
        given = GivenLandmarker([drawn_face.points])
        found = given.landmarks(drawn_face.picture, given.detect(drawn_face.picture)[0])
        found += 1
        assert np.array_equal(given.landmarks(drawn_face.picture, Box(0, 0, 1, 1)), drawn_face.points)

    def test_no_faces_are_no_boxes(self, drawn_face: Any) -> None:
        assert GivenLandmarker([]).detect(drawn_face.picture) == []


class TestDlib:
    def test_a_drawn_face_is_found_with_its_landmarks(self, dlib: DlibLandmarker, drawn_face: Any) -> None:
        """Landmarks at the box's centre would be off by about the distance between the eyes."""
        (box,) = dlib.detect(drawn_face.picture)
        eyes = np.linalg.norm(drawn_face.points[36] - drawn_face.points[45])
        error = np.linalg.norm(dlib.landmarks(drawn_face.picture, box) - drawn_face.points, axis=1)
        assert error.mean() < 0.06 * eyes

    def test_looking_near_a_face_finds_the_same_face(self, dlib: DlibLandmarker, drawn_face: Any) -> None:
        (box,) = dlib.detect(drawn_face.picture)
        assert follow(box, dlib.detect(drawn_face.picture, near=box)) is not None
        moved = Box(box.left + 10, box.top - 8, box.right + 10, box.bottom - 8)
        found = follow(moved, dlib.detect(drawn_face.picture, near=moved))
        assert found is not None
        assert found.centre == pytest.approx(box.centre, abs=0.15 * box.side)

    def test_the_same_on_a_real_face(self, dlib: DlibLandmarker, real_clips: Path) -> None:
        frame = next(VideoFile(real_clips / "grid" / "bbaf2n.mpg").read())
        (box,) = dlib.detect(frame)
        found = follow(box, dlib.detect(frame, near=box))
        assert found is not None
        assert found.centre == pytest.approx(box.centre, abs=0.15 * box.side)

    @pytest.mark.parametrize(
        "near",
        [Box(-400, -400, -300, -300), Box(-150, 100, -50, 200), Box(900, 900, 990, 990), Box(100, -170, 200, -70)],
    )
    def test_outside_of_the_frame_is_no_face(self, dlib: DlibLandmarker, drawn_face: Any, near: Box) -> None:
        """A negative slice end would search nearly the whole frame instead."""
        assert dlib.detect(drawn_face.picture, near=near) == []

    def test_no_face_is_no_box(self, dlib: DlibLandmarker) -> None:
        assert dlib.detect(np.full((120, 160, 3), 90, np.uint8)) == []

    def test_it_travels_to_workers_without_its_models(self, dlib: DlibLandmarker, drawn_face: Any) -> None:
        """The predictor alone pickles to 100 MB."""
        (box,) = dlib.detect(drawn_face.picture)
        expected = dlib.landmarks(drawn_face.picture, box)
        data = pickle.dumps(dlib)
        assert len(data) < 1000
        assert np.array_equal(pickle.loads(data).landmarks(drawn_face.picture, box), expected)

    def test_a_named_model_that_is_missing_is_told_on_first_use(self, drawn_face: Any, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblemError, match="is not a file"):
            DlibLandmarker(tmp_path / "gone.dat").landmarks(drawn_face.picture, Box(0, 0, 100, 100))
