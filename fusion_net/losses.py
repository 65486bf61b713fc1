"""Targets, class weights and the cross-entropy that takes both. Pure."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Balance = Literal["none", "inverse", "effective"]


def smooth_targets(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """(B,) int64 labels as (B, K) float32 probabilities: ``1 - s + s/K`` on the label, ``s/K`` on every other class.

    Larger ``smoothing`` makes the network less sure of itself; 0 is one-hot (Szegedy et al., CVPR 2016,
    arXiv:1512.00567).

    Raises:
        ValueError: smoothing outside [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"label smoothing {smoothing} is outside [0, 1)")
    one_hot = torch.nn.functional.one_hot(labels, n_classes).float()
    return one_hot * (1 - smoothing) + smoothing / n_classes


def soft_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of ``-weight * sum_k target_k log softmax(logits)_k``, in float32 whatever the logits are.

    A weight for each class says that a clip may have several of them: then it is `binary_cross_entropy`.

    Args:
        logits: (B, K), float32 or bfloat16.
        target: (B, K) probabilities.
        weight: (B,) per clip, or None for 1. The sum is divided by B and not by the weights' sum: `class_weights` have
            mean 1 over the training clips, and a batch that happens to hold rare classes should count for more. Or
            (B, K).
    """
    if weight is not None and weight.ndim == 2:
        return binary_cross_entropy(logits, target, weight)
    per_clip = -(target * logits.float().log_softmax(dim=1)).sum(dim=1)  # (B,)
    return per_clip.mean() if weight is None else (weight * per_clip).mean()


def binary_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch and over the classes of the weighted cross-entropy of each class on its own, in float32.

    Args:
        logits: (B, K); the probability that a clip has class k is ``sigmoid(logits)_k``.
        target: (B, K) probabilities.
        weight: (B, K), see `set_targets`.
    """
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (weight * loss).mean()


def set_targets(
    targets: Tensor, smoothing: float, balance: Balance = "inverse", beta: float = 0.99
) -> tuple[Tensor, Tensor]:
    """Smoothed targets and weights, (N, K) each, of training clips that may have several classes.

    Every class is a question of two answers, smoothed and weighed as `smooth_targets` and `class_weights` do with two
    classes: under ``inverse``, the clips that have it count as much as those that have it not. A class that no training
    clip has keeps weight 1 for "has it not".

    Args:
        targets: (N, K), 0 or 1.
        smoothing, balance, beta: see there.
    """
    answers = targets.long()
    smoothed = torch.stack([smooth_targets(answers[:, k], 2, smoothing)[:, 1] for k in range(answers.shape[1])], dim=1)
    weights = [class_weights(answers[:, k], 2, balance, beta)[answers[:, k]] for k in range(answers.shape[1])]
    return smoothed, torch.stack(weights, dim=1)


def class_weights(labels: Tensor, n_classes: int, balance: Balance = "inverse", beta: float = 0.99) -> Tensor:
    """(K,) float32 weights of the classes, from training labels only; their mean *over the clips* is 1.

    ``inverse``: ``1 / n_k``, every class has the same say, which is what UF1 and UAR reward.
    ``effective``: ``(1 - beta) / (1 - beta**n_k)``, the inverse of the effective number of samples (Cui et al., CVPR
    2019, arXiv:1901.05555); from ``none`` at ``beta = 0`` to ``inverse`` as ``beta`` → 1.
    ``none``: 1. A class without a training clip gets 0: no clip asks for its weight, and ``1 / 0`` must not enter the
    mean.

    Args:
        labels: (N,) int64 in 0 .. K-1.
        n_classes: K.
        balance: see above.
        beta: in [0, 1), for ``effective``.

    Raises:
        ValueError: no labels, an unknown ``balance`` or ``beta`` out of range.
    """
    if len(labels) == 0:
        raise ValueError("class weights of no labels are undefined")
    counts = torch.bincount(labels, minlength=n_classes).double()  # (K,)
    if balance == "none":
        raw = torch.ones_like(counts)
    elif balance == "inverse":
        raw = 1 / counts.clamp(min=1)
    elif balance == "effective":
        if not 0 <= beta < 1:
            raise ValueError(f"beta {beta} is outside [0, 1)")
        raw = (1 - beta) / (1 - beta ** counts.clamp(min=1))
    else:
        raise ValueError(f"balance {balance!r} is none of none, inverse, effective")
    raw = raw * (counts > 0)
    return (raw * counts.sum() / (raw * counts).sum()).float()


def soft_focal_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    """`soft_cross_entropy` whose terms are damped by ``(1 - p_k) ** gamma``: clips that are right already count less.

    Lin et al. (ICCV 2017, arXiv:1708.02002); with ``gamma = 0`` it is the cross-entropy. Arguments as there.
    """
    logs = logits.float().log_softmax(dim=1)
    per_clip = -(target * (1 - logs.exp()) ** gamma * logs).sum(dim=1)  # (B,)
    return per_clip.mean() if weight is None else (weight * per_clip).mean()
