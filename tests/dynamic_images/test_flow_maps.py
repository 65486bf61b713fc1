"""Maps of flow whose true values are known: what stretches scores, what moves as a whole does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_images.flow_maps import flow_statistics, grid_means, optical_strain, with_strain

SIDE, SPACING = 48, 2.0


def field(u: tuple[float, float], v: tuple[float, float]) -> np.ndarray:
    """(SIDE, SIDE, 2) px: ``u = u[0] x + u[1] y``, v alike, x and y in px of the crop from its middle."""
    y, x = SPACING * (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)
    return np.stack([u[0] * x + u[1] * y, v[0] * x + v[1] * y], axis=-1)


def rotation(degrees: float) -> np.ndarray:
    """A face that turns in the picture plane, as one piece."""
    turn = np.deg2rad(degrees)
    return field((np.cos(turn) - 1, -np.sin(turn)), (np.sin(turn), np.cos(turn) - 1))


slopes = st.floats(-0.2, 0.2)


class TestStrain:
    @given(slopes, slopes, slopes, slopes)
    def test_of_a_linear_field_it_is_exact_and_the_same_everywhere(
        self, u_x: float, u_y: float, v_x: float, v_y: float
    ) -> None:
        """The formula of the docstring, with the derivatives that the field was made of; at the border too."""
        strain = optical_strain(field((u_x, u_y), (v_x, v_y)))
        expected = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
        assert (strain.shape, strain.dtype) == ((SIDE, SIDE), np.float32)
        np.testing.assert_allclose(strain, expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("u", "v", "expected"),
        [
            ((0.1, 0), (0, 0), 0.1),
            ((0, 0), (0, -0.1), 0.1),
            ((0, 0.1), (0, 0), 0.1 / np.sqrt(2)),
            ((0.1, 0), (0, -0.1), 0.1 * np.sqrt(2)),
        ],
    )
    def test_by_hand(self, u: tuple[float, float], v: tuple[float, float], expected: float) -> None:
        """Stretched, squeezed, sheared; stretched one way and squeezed the other."""
        np.testing.assert_allclose(optical_strain(field(u, v)), expected, rtol=1e-6)

    def test_of_a_face_that_moves_as_a_whole_it_is_zero(self) -> None:
        moved = np.full((SIDE, SIDE, 2), (3.0, -2.0))
        assert optical_strain(moved).max() == 0  # the magnitude of the flow is 3.6 px everywhere

    def test_of_a_small_turn_it_is_next_to_nothing(self) -> None:
        """θ²/√2 is what the infinitesimal tensor leaves of a turn by θ: 0.002 px per px for 3°, a quarter for half."""
        turned = rotation(3)
        assert np.hypot(*np.moveaxis(turned, -1, 0)).max() > 3  # what a map of the magnitude shows
        assert optical_strain(turned).max() < 0.002
        assert optical_strain(rotation(1.5)).max() < 0.0005
        assert optical_strain(field((0.05, 0), (0, 0))).min() > 0.04  # the same at the border, by stretching

    def test_spacing_is_the_distance_between_cells(self) -> None:
        """The cached flow is in px of the crop and has a cell per two of them."""
        flow = field((0.1, 0), (0, 0))
        np.testing.assert_allclose(optical_strain(flow, spacing=1.0), 2 * optical_strain(flow), rtol=1e-6)

    def test_cached_flow_is_float16_and_computed_in_more(self) -> None:
        flow = (field((0.1, 0), (0, 0)) + 100).astype(np.float16)
        assert np.median(optical_strain(flow)) == pytest.approx(0.1, abs=0.04)  # 100 px in float16 are 0.06 px apart
        assert np.isfinite(optical_strain(flow)).all()


def test_strain_is_the_third_channel_beside_the_flow() -> None:
    flow = rotation(2) + field((0.1, 0.02), (0, 0))
    map_ = with_strain(flow.astype(np.float16))
    assert (map_.shape, map_.dtype) == ((SIDE, SIDE, 3), np.float32)
    np.testing.assert_array_equal(map_[..., :2], flow.astype(np.float16))
    np.testing.assert_array_equal(map_[..., 2], optical_strain(flow.astype(np.float16)))


class TestStatistics:
    def test_of_a_known_flow(self) -> None:
        flow = np.zeros((4, 12, 12, 2))
        flow[1:, :6, 6:] = [3.0, -4.0]  # upper right quarter, from frame 1 on
        apex, over_time = flow_statistics(flow, apex=2, grid=2).reshape(2, 3, 2, 2)
        quarter = np.array([[0, 1], [0, 0]])
        np.testing.assert_allclose(apex, np.stack([3 * quarter, -4 * quarter, 5 * quarter]))
        np.testing.assert_allclose(over_time, 0.75 * apex)

    def test_cells_cover_every_pixel_once_at_any_size(self) -> None:
        flow = np.random.default_rng(0).normal(size=(1, 13, 17, 2)).astype(np.float32)
        u = flow_statistics(flow, apex=0, grid=3)[:9].reshape(3, 3)
        rows, columns = (0, 4, 8, 13), (0, 5, 11, 17)
        for i in range(3):
            for j in range(3):
                cell = flow[0, rows[i] : rows[i + 1], columns[j] : columns[j + 1], 0]
                assert u[i, j] == pytest.approx(cell.mean(), abs=1e-5)

    def test_without_an_apex_the_strongest_frame_counts(self) -> None:
        flow = np.zeros((5, 6, 6, 2))
        flow[3] = 1
        np.testing.assert_array_equal(flow_statistics(flow, None, 2), flow_statistics(flow, 3, 2))
        with pytest.raises(ValueError, match="apex 5 is outside a clip of 5 frames"):
            flow_statistics(flow, 5)

    def test_opposite_motion_cancels_in_the_mean_and_not_in_the_magnitude(self) -> None:
        flow = np.ones((1, 4, 4, 2)) * np.where(np.arange(4) % 2, 1, -1)[:, None, None]
        u, _, magnitude = flow_statistics(flow, 0, grid=1)[:3]
        assert (u, magnitude) == (0, pytest.approx(np.sqrt(2)))


@pytest.mark.parametrize("grid", [0, 9])
def test_a_grid_that_is_finer_than_the_image_is_refused(grid: int) -> None:
    """A cell without a pixel has no mean."""
    with pytest.raises(ValueError, match=f"a grid of {grid} x {grid} cells over 8 x 12 px"):
        grid_means(np.ones((8, 12, 1)), grid)
