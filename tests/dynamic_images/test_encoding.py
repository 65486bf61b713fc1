from __future__ import annotations

import numpy as np
import pytest

from dynamic_images.encoding import VIEW_RANGE, to_view, view_of


def signed(scale: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(0, scale, (16, 16, 3))).astype(np.float32)


def levels(view: np.ndarray, end: float) -> np.ndarray:
    """What an 8-bit view stands for."""
    return (view.astype(float) - 128) * end / 127


def test_views_have_one_printed_scale() -> None:
    values = np.array([[-2 * VIEW_RANGE, -VIEW_RANGE, 0, VIEW_RANGE, 2 * VIEW_RANGE]], np.float32)
    np.testing.assert_array_equal(to_view(values), [[1, 1, 128, 255, 255]])


def test_a_view_is_right_to_half_a_step() -> None:
    image = np.clip(signed(8), -VIEW_RANGE, VIEW_RANGE)
    error = np.abs(levels(to_view(image), VIEW_RANGE) - image).max()
    assert error <= VIEW_RANGE / 254 + 1e-5  # truncating instead of rounding doubles it


def test_a_still_clip_is_mid_grey() -> None:
    """A view that is stretched to each image's own extremes shows the noise of a still clip at full range."""
    assert np.abs(to_view(signed(0.05)).astype(int) - 128).max() <= 2


class TestPicturesOfInputs:
    def test_an_image_is_its_view(self) -> None:
        image = signed(8)
        np.testing.assert_array_equal(view_of(image, (VIEW_RANGE,) * 3), to_view(image))

    def test_every_channel_has_a_scale(self) -> None:
        """Strain is twenty times weaker than the displacement beside it and is as visible."""
        pixel = np.array([[[2.0, -2.0, 0.1]]], np.float32)
        assert view_of(pixel, (2.0, 2.0, 0.1)).tolist() == [[[255, 1, 255]]]

    def test_two_channels_leave_blue_in_the_middle_and_one_is_grey(self) -> None:
        flow = np.array([[[1.0, 0.0]]], np.float32)
        assert view_of(flow, (2.0, 2.0)).tolist() == [[[192, 128, 128]]]
        assert view_of(flow[..., :1], (2.0,)).tolist() == [[[192, 192, 192]]]

    @pytest.mark.parametrize("lead", [(2,), (3, 2)])
    def test_planes_stand_side_by_side_in_their_order(self, lead: tuple[int, ...]) -> None:
        count = int(np.prod(lead))
        planes = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, 4, 5, 2))
        picture = view_of(planes.reshape(*lead, 4, 5, 2), (100.0, 100.0))
        assert (picture.shape, picture.dtype) == ((4, count * 5, 3), np.uint8)
        np.testing.assert_array_equal(
            picture[:, ::5, 0], np.tile(to_view(np.arange(count, dtype=float), 100.0), (4, 1))
        )
