"""Dynamic images that FDP draws: the target they are compared with, and how near they come.

The target is approximate rank pooling of the very frames that the network sees, see `ranking.rank_pooled`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dynamic_images.encoding import VIEW_RANGE
from fusion_net.inputs import ClipTensors, Scaler
from fusion_net.models.contract import Examination, Model
from fusion_net.models.fdp.ranking import rank_pooled

FRAMES = "frames"
IMAGES = "construction.npy"
MINMAX_RANGE = 1.0
FIXED_RANGE = 2 * VIEW_RANGE
"""Grey levels from the darkest to the lightest of a view, 0 in the middle: the range of a signed image."""
SIGMA = 1.5
BEST_PSNR = 100.0
"""dB at which PSNR ends: two equal images would have an infinite one, and no mean."""


@torch.no_grad()
def construct(model: Model, scaler: Scaler, train: ClipTensors, test: ClipTensors) -> Examination:
    """Let a trained model draw the test clips.

    Args:
        model: trained, with a decoder; left in the mode that it came in.
        scaler: of its training clips.
        train: its training clips, unscaled; only the baselines come from them.
        test: held-out clips, unscaled.

    Returns:
        Columns ``psnr`` (dB) and ``ssim`` of the constructed image, and of two baselines that never look at the clip:
        ``psnr_mean``, ``ssim_mean`` of the mean target of the training clips, ``psnr_constant``, ``ssim_constant`` of
        an image that has the mean of that one everywhere. File `IMAGES`: (N, 2, H, W) float16, constructed and target;
        grey levels, or 0..1 under ``minmax``.
    """
    was_training = model.training
    model.eval()
    try:
        drawn = [_draw(model, scaler(test), rows) for rows in torch.arange(len(test)).split(32)]
    finally:
        model.train(was_training)
    settings = model.settings
    fixed = settings.encoding == "fixed"
    unit = scaler.divisor(FRAMES) if fixed else 1.0
    images = unit * torch.cat(drawn).cpu().double().numpy()  # (N, H, W)
    targets, known = (
        rank_pooled(data.inputs[FRAMES].double(), settings.weights, settings.encoding)[:, 0].numpy()
        for data in (test, train)
    )
    mean = known.mean(axis=0)
    shown = {
        "": images,
        "_mean": np.broadcast_to(mean, targets.shape),
        "_constant": np.full_like(targets, mean.mean()),
    }
    peak, zero = (FIXED_RANGE, FIXED_RANGE / 2) if fixed else (MINMAX_RANGE, 0.0)
    columns = {
        f"{name}{suffix}": [measure(zero + a, zero + b, peak) for a, b in zip(stack, targets, strict=True)]
        for suffix, stack in shown.items()
        for name, measure in (("psnr", psnr), ("ssim", ssim))
    }
    pairs = np.stack([images, targets], axis=1).astype(np.float16)
    return Examination(pd.DataFrame(columns), {IMAGES: pairs})


def psnr(image: NDArray[np.floating], target: NDArray[np.floating], peak: float) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(peak² / mean squared error)``, at most `BEST_PSNR`.

    Args:
        image, target: (H, W), the same unit.
        peak: range of the values in that unit; see `FIXED_RANGE`.
    """
    error = float(np.mean(np.square(image - target)))
    return min(BEST_PSNR, float(10 * np.log10(peak**2 / error))) if error > 0 else BEST_PSNR


def ssim(image: NDArray[np.floating], target: NDArray[np.floating], peak: float) -> float:
    """Mean structural similarity, at most 1 (Wang et al., IEEE TIP 13(4), 2004, doi:10.1109/TIP.2003.819861).

    Gaussian windows of σ = 1.5 px cut at 3.5 σ, K1 = 0.01, K2 = 0.03, as published; the border of 5 px in which a
    window leaves the image is left out of the mean.

    Args:
        image, target: (H, W), the same unit, larger than a window, values from 0: of two signed images the product of
            their means would count as likeness where both are negative. Add half the range to them first.
        peak: range of the values in that unit.
    """
    pair = np.stack([image, target, image**2, target**2, image * target]).astype(np.float64)
    mean_a, mean_b, aa, bb, ab = gaussian_filter(pair, (0, SIGMA, SIGMA), truncate=3.5)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2)
    border = int(3.5 * SIGMA + 0.5)
    return float((above / below)[border:-border, border:-border].mean())


def _draw(model: Model, data: ClipTensors, rows: Tensor) -> Tensor:
    """(B, H, W) constructed images of some clips."""
    device = next(model.parameters()).device
    batch: Mapping[str, Tensor] = {name: data.inputs[name][rows].to(device) for name in (FRAMES,)}
    constructed: Tensor = model(batch).extras["constructed"]
    return constructed[:, 0]
