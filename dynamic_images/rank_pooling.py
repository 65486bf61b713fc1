"""Rank pooling: a clip as one image, the direction in pixel space along which its frames come in order.

Approximate rank pooling is a weighted sum of raw frames, ``D = Σ_t α_t V_t``, the first gradient step of the pairwise
ranking objective. The weights sum to zero: whatever stands still cancels, and what is left is signed change.

Sources:
    Bilen, Fernando, Gavves, Vedaldi, Gould, *Dynamic Image Networks for Action Recognition*, CVPR 2016
    (doi 10.1109/CVPR.2016.331): `harmonic_weights`.
    Bilen, Fernando, Gavves, Vedaldi, *Action Recognition with Dynamic Image Networks*, IEEE TPAMI 40(12), 2018
    (doi 10.1109/TPAMI.2017.2769085): `linear_weights`.
    Fernando, Gavves, Oramas, Ghodrati, Tuytelaars, *Rank Pooling for Action Recognition*, IEEE TPAMI 39(4), 2017
    (doi 10.1109/TPAMI.2016.2558148): `exact_rank_pooling`, from which both are derived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import ToolkitError

Weights = NDArray[np.float64]
"""(T,) float64, one weight per frame."""

EPSILON = 0.1
"""Of the regression of `exact_rank_pooling`: errors in time that cost nothing, in frames (the authors' code)."""
STEPS, GAP = 100_000, 0.01
"""Of its solver: most steps, and the largest share of the objective that may be left to gain."""


def linear_weights(n_frames: int) -> Weights:
    """``α_t = 2t − T − 1`` for t = 1 … T: the pairwise sum over raw frames (Bilen et al., TPAMI 2018).

    Antisymmetric in time, so an expression that comes and goes symmetrically cancels **exactly**. One frame has
    weight 1 by convention.

    Returns:
        (T,) float64, summing to 0 for T >= 2.

    Raises:
        ValueError: ``n_frames`` < 1.
    """
    _check_count(n_frames)
    if n_frames == 1:
        return np.ones(1)
    return 2 * np.arange(1, n_frames + 1, dtype=np.float64) - n_frames - 1


def harmonic_weights(n_frames: int) -> Weights:
    """``α_t = Σ_{i=t..T} (2i − T − 1)/i = 2(T − t + 1) − (T + 1)(H_T − H_{t−1})`` (Bilen et al., CVPR 2016).

    `linear_weights` on running means, with the means already folded in: do not average the frames again. The first
    frames carry large negative weights, the largest one lies about the middle (at T/2 for long clips) and the last
    is below 1, so an expression that comes and goes remains as middle minus onset.

    With ``(2i − T)/i``, as some code has it, the weights sum to T and a ghost of the mean face remains. One frame
    has weight 1 by convention.

    Returns:
        (T,) float64, summing to 0 for T >= 2.

    Raises:
        ValueError: ``n_frames`` < 1.
    """
    _check_count(n_frames)
    if n_frames == 1:
        return np.ones(1)
    i = np.arange(1, n_frames + 1)
    # Σ_{i=t..T}: the cumulative sum from the end
    return np.cumsum(((2.0 * i - n_frames - 1) / i)[::-1])[::-1].copy()


def apex_centred_weights(n_frames: int, apex: int) -> Weights:
    """The linear weights dealt out from the apex: it gets the largest, its neighbours left and right in turn the next.

    After arXiv 2509.00056 (MESTI). Ours: the left neighbour comes first, and where one side has run out the other
    goes on.

    Args:
        n_frames: T.
        apex: 0-based frame of the strongest expression.

    Returns:
        (T,) float64, summing to 0 for T >= 2, largest at ``apex``.

    Raises:
        ValueError: ``n_frames`` < 1 or ``apex`` outside 0 .. T-1.
    """
    order = apex_centred_order(n_frames, apex)
    weights = np.empty(n_frames)
    weights[order] = linear_weights(n_frames)
    return weights


def apex_centred_order(n_frames: int, apex: int) -> NDArray[np.int64]:
    """Frame indices by closeness to the apex, the farthest first and the apex last; see `apex_centred_weights`."""
    _check_count(n_frames)
    if not 0 <= apex < n_frames:
        raise ValueError(f"apex {apex} is outside the clip's frames 0 .. {n_frames - 1}")
    distance = np.arange(n_frames) - apex
    # at equal distance the left one (negative) is the closer of the two
    return np.lexsort((distance, np.abs(distance)))[::-1].astype(np.int64)


def grey_level_scale(weights: Weights) -> float:
    """What a pooled sum is divided by to be in grey levels: half of Σ|α_t|, the sum of either sign.

    Ours. The image is then the difference of two weighted means of frames, so that it lies within ±255 and does not
    grow with T. (The larger of the two signs' sums is taken, which is the same for weights that sum to 0 and leaves
    the conventional weight 1 of a single frame as it is.) 1 where all weights are 0.
    """
    return max(float(weights[weights > 0].sum()), float(-weights[weights < 0].sum())) or 1.0


def pool(frames: Iterable[NDArray[np.generic]], weights: Weights, *, normalise: bool = True) -> NDArray[np.float32]:
    """``Σ_t α_t V_t``, frame by frame.

    Args:
        frames: (T, H, W[, C]) array or any iterable of T frames (H, W[, C]), read once; nothing but the sum is held.
        weights: (T,), or (K, T) for K images from one pass over the frames.
        normalise: divide each image by `grey_level_scale` (ours); without it the values are the papers'.

    Returns:
        (H, W[, C]) float32, or (K, H, W[, C]): signed, grey levels when normalised. Summed in float64.

    Raises:
        ValueError: not as many frames as weights, or frames of different shapes.
    """
    rows = np.atleast_2d(np.asarray(weights, np.float64))
    if normalise:
        rows = rows / np.array([[grey_level_scale(row)] for row in rows])
    count, total, scaled = 0, np.empty(0), np.empty(0)
    for frame in frames:
        if count == 0:
            total, scaled = np.zeros((len(rows), *frame.shape)), np.empty(frame.shape)
        elif frame.shape != scaled.shape:
            raise ValueError(f"frame {count} has shape {frame.shape}, the frames before it {scaled.shape}")
        if count < rows.shape[1]:
            for image, weight in zip(total, rows[:, count], strict=True):
                if weight != 0:
                    image += np.multiply(frame, weight, out=scaled)
        count += 1
    if count != rows.shape[1]:
        raise ValueError(f"{count} frames for {rows.shape[1]} weights: they must be as many")
    images = total.astype(np.float32)
    return images if np.ndim(weights) == 2 else images[0]


def exact_rank_pooling(
    frames: Iterable[NDArray[np.generic]],
    *,
    sign_sqrt: bool = True,
    l2: bool = True,
    centred: bool = False,
    C: float = 1.0,
) -> NDArray[np.float32]:
    """The w of a linear regression from running means of the frames to their time (Fernando et al., TPAMI 2017).

    L2-regularised L2-loss support vector regression, liblinear's solver 11 in the primal, without intercept and with
    epsilon 0.1, as the authors' code has it. Slow and memory-hungry: for short clips only.

    **With the defaults the answer is nearly the mean face.** The running means of an aligned face are almost one
    vector, scaled to length 1 besides: without an intercept the best direction to predict any time is that vector.
    ``centred`` (ours) is the form to compare `pool` with; the numbers are in docs/method.md.

    Args:
        frames: (T, H, W[, C]), T >= 2.
        sign_sqrt: apply sign·√|x| to the running means first; w then lives in that space.
        l2: scale each running mean to length 1 first. With C = 1 the regulariser then outweighs the loss.
        centred: subtract their mean from the running means (after ``sign_sqrt`` and ``l2``) and from the times, which
            is an intercept that costs nothing. What does not change over the clip then has no part in w.
        C: weight of the loss against the regulariser.

    Returns:
        (H, W[, C]) float32, without unit: its direction is what counts.

    Raises:
        ValueError: fewer than two frames, or C not above 0.
        ToolkitError: the solver stopped before the minimum.
    """
    stack = np.asarray([np.asarray(frame, np.float64) for frame in frames])
    if len(stack) < 2:
        raise ValueError(f"exact rank pooling needs at least two frames, got {len(stack)}")
    if not C > 0:
        raise ValueError(f"exact rank pooling with C = {C}: wanted a number above 0")
    time = np.arange(1, len(stack) + 1, dtype=np.float64)
    means = np.cumsum(stack.reshape(len(stack), -1), axis=0) / time[:, None]  # (T, H·W·C)
    if sign_sqrt:
        means = np.sign(means) * np.sqrt(np.abs(means))
    if l2:
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(float).tiny)
    if centred:
        means, time = means - means.mean(axis=0), time - time.mean()
    # w is a sum of running means: in a basis of their span the problem is the same, with T unknowns for H·W·C
    basis, places = np.linalg.qr(means.T)  # (H·W·C, T), (T, T)
    w = basis @ _regression(places.T, time, C)
    return np.asarray(w, np.float32).reshape(stack.shape[1:])


def _regression(points: NDArray[np.float64], targets: NDArray[np.float64], C: float) -> NDArray[np.float64]:
    """w (K,) of the L2-loss support vector regression of ``targets`` (T,) on ``points`` (T, K), at its minimum.

    liblinear stops, without a word, when the gradient has fallen to a share of its first value. Running means as
    recorded differ in one part of ten thousand, so that the usual share leaves the objective a thousand times too
    high; hence the small one here, and the check.

    Raises:
        ToolkitError: the duality gap is not small against the objective.
    """
    # imported here: scikit-learn would double the start-up time of every offline worker
    from sklearn.svm import LinearSVR

    regression = LinearSVR(
        C=C,
        loss="squared_epsilon_insensitive",
        epsilon=EPSILON,
        dual=False,
        fit_intercept=False,
        max_iter=STEPS,
        tol=1e-12,
    )
    w: NDArray[np.float64] = regression.fit(points, targets).coef_
    residual = targets - points @ w
    beyond = np.sign(residual) * np.maximum(np.abs(residual) - EPSILON, 0)
    objective = 0.5 * w @ w + C * beyond @ beyond
    multipliers = 2 * C * beyond
    span = points.T @ multipliers
    bound = targets @ multipliers - EPSILON * np.abs(multipliers).sum() - 0.5 * span @ span
    bound -= multipliers @ multipliers / (4 * C)
    if not objective - bound <= GAP * objective:
        raise ToolkitError(
            f"exact rank pooling of {len(targets)} frames did not converge: after {regression.n_iter_} steps the "
            f"objective is {objective:.4g}, and no more is sure than that it can fall to {max(bound, 0):.4g}; "
            "take a smaller C, or l2=True"
        )
    return w


def _check_count(n_frames: int) -> None:
    if n_frames < 1:
        raise ValueError(f"rank pooling of {n_frames} frames: at least one is needed")


WEIGHTS: dict[str, Callable[[int], Weights]] = {"harmonic": harmonic_weights, "linear": linear_weights}
