"""Maps made from the flow of a clip: flow and strain at the apex, flow from the apex to the offset. Pure.

Flow is ``(h, w, 2)`` px of the crop, ``[..., 0]`` = +x right, ``[..., 1]`` = +y down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def optical_strain(flow: FloatArray, spacing: float = 2.0) -> NDArray[np.float32]:
    """How much the skin is stretched, squeezed or sheared at each place, whatever the direction.

    The Frobenius norm of the infinitesimal strain tensor, ``sqrt(u_x² + v_y² + (u_y + v_x)² / 2)`` (Shreve et al., FG
    2011, doi 10.1109/FG.2011.5771451; as a map of three channels beside u and v: Liong et al., FG 2019,
    arXiv 1902.03634). A face that moves as a whole has strain 0, and so has a small turn in the picture plane.

    Args:
        flow: (h, w, 2) px.
        spacing: px between neighbouring cells of the grid; the cached flow has one cell per 2 × 2 px.

    Returns:
        (h, w) float32, px per px, at least 0. Derivatives are central differences, one-sided at the border.
    """
    flow = np.asarray(flow, np.float64)
    (u_y, u_x), (v_y, v_x) = (np.gradient(flow[..., c], spacing) for c in (0, 1))
    return np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2).astype(np.float32)


def with_strain(flow: FloatArray, spacing: float = 2.0) -> NDArray[np.float32]:
    """(h, w, 3): u, v in px and the optical strain, the three channels of Liong et al. (arXiv 1902.03634)."""
    return np.concatenate([flow, optical_strain(flow, spacing)[..., None]], axis=-1).astype(np.float32)


def grid_means(image: FloatArray, grid: int) -> NDArray[np.float32]:
    """(h, w, C) to (C, grid, grid): the mean of each cell; cells differ by at most one px in size.

    Raises:
        ValueError: more cells per side than pixels, or none.
    """
    image = np.asarray(image, np.float32)
    if not 1 <= grid <= min(image.shape[:2]):
        raise ValueError(
            f"a grid of {grid} x {grid} cells over {image.shape[0]} x {image.shape[1]} px: wanted at most one per px"
        )
    edges = [np.linspace(0, size, grid, endpoint=False).astype(int) for size in image.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(image, edges[0], axis=0), edges[1], axis=1)
    sizes = [np.diff(e, append=size) for e, size in zip(edges, image.shape[:2], strict=True)]
    means: NDArray[np.float32] = sums / (sizes[0][:, None, None] * sizes[1][None, :, None])
    return means.transpose(2, 0, 1)


def flow_statistics(flow: FloatArray, apex: int | None, grid: int = 6) -> NDArray[np.float64]:
    """Mean u, v and magnitude on a coarse grid, at the apex and averaged over time.

    Args:
        flow: ``(T, h, w, 2)`` px, onset → t.
        apex: frame of the apex, or None for the frame of largest mean magnitude.
        grid: cells per side.

    Returns:
        ``(6 grid²,)``: at the apex, then over time, each u, v, magnitude row by row of the grid.

    Raises:
        ValueError: the apex lies outside the clip.
    """
    flow = np.asarray(flow, np.float32)
    if apex is not None and not 0 <= apex < len(flow):
        raise ValueError(f"apex {apex} is outside a clip of {len(flow)} frames")
    channels = np.concatenate([flow, np.linalg.norm(flow, axis=-1, keepdims=True)], axis=-1)  # (T, h, w, 3)
    if apex is None:
        apex = int(np.argmax(channels[..., 2].mean((1, 2))))
    cells = [grid_means(image, grid) for image in (channels[apex], channels.mean(0))]
    return np.concatenate([c.ravel() for c in cells]).astype(np.float64)
