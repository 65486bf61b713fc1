"""Train a model for a fixed number of epochs; the function takes training clips and no others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fusion_net.augment import AugmentSettings, augment
from fusion_net.device import Device, Precision, resolve_device, resolve_precision
from fusion_net.inputs import ClipTensors
from fusion_net.losses import Balance, class_weights, smooth_targets
from fusion_net.models.contract import Model
from fusion_net.seeds import fold_seed, generator
from preprocessing.errors import ToolkitError


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    Attributes:
        epochs: passes over the training clips; fixed before the fold, never chosen on it.
        batch_size: largest batch; an epoch is cut into batches of nearly equal size.
        lr: peak learning rate of AdamW.
        weight_decay: of matrices and kernels; biases and norms are left out.
        warmup: share of all steps over which the rate rises from 0, before it falls to 0 along a cosine.
        smoothing: label smoothing, see `losses.smooth_targets`.
        balance, beta: see `losses.class_weights`.
        augment: see `augment.AugmentSettings`.
        device, precision: see `device`.
    """

    epochs: int = 40
    batch_size: int = 16
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    smoothing: float = 0.1
    balance: Balance = "inverse"
    beta: float = 0.99
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    device: Device = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"epochs {self.epochs} and batch_size {self.batch_size} must be at least 1")
        if self.lr <= 0 or self.weight_decay < 0:
            raise ValueError(f"lr {self.lr} must be above 0, weight_decay {self.weight_decay} at or above 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup {self.warmup} is outside [0, 1)")


def fit(
    model: Model,
    train: ClipTensors,
    settings: FitSettings | None = None,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train ``model`` in place and return the learning curve, one row per epoch.

    On a CPU with one thread in fp32 the weights are the same bytes for the same model, clips, settings and seed,
    whatever ran before; torch's own random state is left as it was. The model stays on the device that it was trained
    on, in the mode (train or eval) that it came in.

    Args:
        model: fresh from `build_model`.
        train: labelled clips, scaled by a `Scaler` fitted on them.
        settings: how to train; None is the default.
        seed: of the fold, see `fold_seed`.

    Returns:
        ``epoch``, ``lr`` (the last step's), ``loss`` and its parts ``loss_<part>``, ``accuracy`` on the augmented
        training clips.

    Raises:
        ValueError: the clips do not fit the model: an input is missing, the classes differ, a label is missing.
        ToolkitError: the loss is not finite.
    """
    settings = settings or FitSettings()
    check_fits(model, train)
    if len(train) == 0 or int(train.labels.min()) < 0:
        raise ValueError("training needs clips, and a label for every one of them")
    device = resolve_device(settings.device)
    was_training = model.training
    model.to(device).train()
    rng_devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=rng_devices), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        torch.manual_seed(fold_seed(seed, "dropout"))
        history = _epochs(model, train, settings, seed, device)
    model.train(was_training)
    return history


def check_fits(model: Model, data: ClipTensors) -> None:
    """Raise ValueError unless ``data`` has the model's inputs and classes."""
    names = [one.name for one in model.inputs]
    missing = [name for name in names if name not in data.inputs]
    if missing:
        raise ValueError(f"input {missing[0]!r} is missing: the model takes in {', '.join(names)}")
    if data.classes != model.classes:
        raise ValueError(f"the model tells {model.classes} apart, the clips are labelled {data.classes}")


def learning_rate(step: int, steps: int, settings: FitSettings) -> float:
    """Rate of ``step`` (0-based) out of ``steps``: linear warm-up, then half a cosine down to 0.

    Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983, without restarts.
    """
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.lr * (step + 1) / rise
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - rise + 0.5) / (steps - rise)))


def _epochs(
    model: Model,
    train: ClipTensors,
    settings: FitSettings,
    seed: int,
    device: torch.device,
) -> list[dict[str, float]]:
    autocast = resolve_precision(settings.precision, device) == "bf16"
    order, changes = generator(seed, "order"), generator(seed, "augment")
    inputs = {one.name: train.inputs[one.name].to(device, torch.float32) for one in model.inputs}
    kinds = {one.name: one.kind for one in model.inputs}
    targets = smooth_targets(train.labels, len(train.classes), settings.smoothing).to(device)
    weights = class_weights(train.labels, len(train.classes), settings.balance, settings.beta)[train.labels].to(device)
    labels = train.labels.to(device)
    optimizer = _optimizer(model, settings)
    batches = math.ceil(len(train) / settings.batch_size)
    history = []
    for epoch in range(settings.epochs):
        sums: dict[str, Tensor] = {}
        hits = torch.zeros((), device=device)
        for b, rows in enumerate(torch.randperm(len(train), generator=order).tensor_split(batches)):
            rows = rows.to(device)
            rate = learning_rate(epoch * batches + b, settings.epochs * batches, settings)
            picked = {name: x[rows] for name, x in inputs.items()}
            batch = augment(picked, settings.augment, changes, kinds)
            batch |= {"target": targets[rows], "weight": weights[rows]}
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                output = model(batch)
            parts = model.loss(output, batch)
            _step(optimizer, rate, torch.stack(list(parts.values())).sum())
            for name, part in parts.items():
                sums[name] = sums.get(name, torch.zeros_like(part)) + part.detach() * len(rows)
            hits += (output.logits.argmax(dim=1) == labels[rows]).sum()
        row = {"epoch": float(epoch + 1), "lr": rate}
        row |= _curve({name: float(total) / len(train) for name, total in sums.items()}, epoch)
        row["accuracy"] = float(hits) / len(train)
        history.append(row)
    return history


def _optimizer(model: Model, settings: FitSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101); no decay of biases and normalisation."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr)


def _step(optimizer: torch.optim.Optimizer, rate: float, loss: Tensor) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _curve(parts: dict[str, float], epoch: int) -> dict[str, float]:
    """The loss and its parts as columns, refused where training has blown up."""
    total = sum(parts.values())
    if not math.isfinite(total):
        shown = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        raise ToolkitError(
            f"the training loss is not finite in epoch {epoch + 1} ({shown}): lower the learning rate, "
            "or look for clips with extreme values"
        )
    return {"loss": total, **{f"loss_{name}": value for name, value in parts.items()}}
