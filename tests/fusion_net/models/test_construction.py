from __future__ import annotations

import numpy as np
import pytest

from fusion_net.models.fdp.construction import BEST_PSNR, FIXED_RANGE, psnr, ssim


def image(seed: int = 0) -> np.ndarray:
    """Smooth signed structure of a few grey levels."""
    y, x = np.mgrid[:64, :64] / 63
    rng = np.random.default_rng(seed)
    return sum(rng.normal() * np.sin(2 * np.pi * (rng.uniform(1, 4) * x + rng.uniform(1, 4) * y)) for _ in range(6))


def test_psnr_of_a_known_error() -> None:
    assert psnr(image() + 2.4, image(), FIXED_RANGE) == pytest.approx(20)  # a tenth of the range of 24
    assert psnr(image(), image(), FIXED_RANGE) == BEST_PSNR
    assert psnr(3 * image() + 1, 3 * image(), 3 * 24) > psnr(image() + 1, image(), 24)


def test_ssim_is_one_for_equal_images_and_falls_with_what_differs() -> None:
    one, noise = image(), np.random.default_rng(1).normal(size=(64, 64))
    scores = [ssim(one + strength * noise, one, FIXED_RANGE) for strength in (0, 0.2, 1, 5)]
    assert scores[0] == pytest.approx(1) and scores == sorted(scores, reverse=True)
    assert ssim(one, image(7), FIXED_RANGE) < 0.6
    assert ssim(one, image(7), FIXED_RANGE) == pytest.approx(ssim(image(7), one, FIXED_RANGE))


def test_ssim_of_two_constants_is_the_luminance_term() -> None:
    """(2 ab + c1) / (a² + b² + c1), as published, with c1 = (0.01 · 24)²."""
    a, b, c1 = 3.0, 1.0, 0.24**2
    constants = (np.full((32, 32), value) for value in (a, b))
    assert ssim(*constants, FIXED_RANGE) == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1))


def test_the_opposite_of_an_image_is_worse_than_nothing() -> None:
    """The sign of a dynamic image counts: brighter and darker are not the same."""
    middle, one = FIXED_RANGE / 2, image()
    assert ssim(middle - one, middle + one, FIXED_RANGE) < 0 < ssim(middle + 0 * one, middle + one, FIXED_RANGE)
