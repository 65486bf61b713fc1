"""u, v, strain images: formulas on fields with known derivatives, and that a choice can be told from its image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_images import flow_maps
from dynamic_images.flow_streams import (
    StreamSettings,
    closeness,
    face_box,
    flow_image,
    min_max,
    strain_of,
    with_strain_of,
)


def linear_field(u_x: float, u_y: float, v_x: float, v_y: float, side: int = 12) -> Any:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return np.stack([u_x * x + u_y * y, v_x * x + v_y * y], axis=-1)


SLOPES = st.floats(-0.5, 0.5, width=16)


class TestStrain:
    @given(SLOPES, SLOPES, SLOPES, SLOPES)
    def test_formulas_on_linear_fields(self, u_x: float, u_y: float, v_x: float, v_y: float) -> None:
        field = linear_field(u_x, u_y, v_x, v_y)
        for name, factor in (("full", 0.5), ("no_half", 2.0)):
            wanted = np.sqrt(u_x**2 + v_y**2 + factor * (u_y + v_x) ** 2)
            for gradient in ("central", "shift"):
                inside = strain_of(field, name, gradient)[1:, 1:]  # type: ignore[arg-type]
                assert np.abs(inside - wanted).max() < 2e-5  # 0 everywhere is off by up to 1.6

    def test_it_is_the_strain_of_the_cached_flow(self) -> None:
        field = np.random.default_rng(0).normal(size=(9, 9, 2)).astype(np.float32)
        assert np.allclose(strain_of(field), flow_maps.optical_strain(field, spacing=1), atol=1e-6)

    def test_a_shear_tells_the_formulas_apart_and_a_stretch_does_not(self) -> None:
        shear, stretch = linear_field(0, 0.1, 0, 0), linear_field(0.1, 0, 0, 0)
        assert strain_of(shear, "no_half")[3, 3] == pytest.approx(2 * strain_of(shear)[3, 3])
        assert np.array_equal(strain_of(stretch, "no_half"), strain_of(stretch))


class TestImage:
    def test_values_are_px_of_the_picture_that_was_measured(self, make_clip: Any) -> None:
        """A shift of 1.5 px: as it is if the flow is made small, a third if the frames are made a third as large."""
        texture = make_clip(size=120, n_frames=2, peak=0).crops[0]
        moved = cv2.warpAffine(texture, np.float32([[1, 0, 1.5], [0, 1, 0]]), (120, 120), borderMode=cv2.BORDER_REFLECT)
        landmarks = make_clip(size=120, n_frames=2).landmarks
        large = flow_image(texture, moved, landmarks, StreamSettings("dis", "aligned", "field", 40))
        small = flow_image(texture, moved, landmarks, StreamSettings("dis", "aligned", "pictures", 40))
        assert large.shape == small.shape == (40, 40, 2)
        assert np.median(large[..., 0]) == pytest.approx(1.5, abs=0.1)  # zero flow is off by 1.5
        assert np.median(small[..., 0]) == pytest.approx(0.5, abs=0.15)

    def test_the_face_is_the_box_of_the_landmarks(self) -> None:
        points = np.array([[10.2, 20.9], [50.1, 70.0]] * 34, np.float32)
        assert face_box(points, 100) == (slice(20, 71), slice(10, 52))
        with pytest.raises(ValueError, match="no face in it"):
            face_box(points + 200, 100)

    @pytest.mark.parametrize("wrong", [{"crop": "head"}, {"size": 4}, {"strain": "half"}, {"phase": "apex"}])
    def test_a_choice_that_is_none_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*wanted"):
            StreamSettings(**wrong)

    def test_min_max_fills_the_range_channel_by_channel(self) -> None:
        image = np.random.default_rng(1).normal(size=(8, 8, 3)) * (1, 10, 0)
        scaled = min_max(image)
        assert scaled.dtype == np.uint8
        assert scaled[..., :2].min(axis=(0, 1)).tolist() == [0, 0]
        assert scaled[..., :2].max(axis=(0, 1)).tolist() == [255, 255]
        assert (scaled[..., 2] == 0).all()


class TestCloseness:
    def test_min_max_scaling_hardly_changes_it(self) -> None:
        image = np.random.default_rng(2).normal(size=(28, 28, 3)).astype(np.float32)
        assert (closeness(image, min_max(image)) > 0.9999).all()
        other = np.random.default_rng(3).normal(size=(28, 28, 3))
        assert (np.abs(closeness(image, other)) < 0.15).all()  # what unrelated images have

    def test_a_constant_channel_says_nothing(self) -> None:
        assert closeness(np.ones((4, 4, 3)), np.ones((4, 4, 3))).tolist() == [0, 0, 0]

    def test_the_same_choice_comes_nearest(self, make_clip: Any) -> None:
        clip = make_clip(size=96, n_frames=2, peak=2, apex=1)
        pair = clip.crops[0], clip.crops[1]
        made = StreamSettings("farneback", "face", "field", 28, "no_half")
        image = min_max(with_strain_of(flow_image(*pair, clip.landmarks, made), made))
        others = [
            StreamSettings(solver, crop, "field", 28, strain)  # type: ignore[arg-type]
            for solver in ("dis", "farneback")
            for crop in ("face", "aligned")
            for strain in ("full", "no_half")
        ]
        means = [closeness(with_strain_of(flow_image(*pair, clip.landmarks, one), one), image).mean() for one in others]
        assert others[int(np.argmax(means))] == made
