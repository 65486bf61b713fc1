"""Train a model for a fixed number of epochs; the function takes training clips and no others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from fusion_net.augment import AugmentSettings, Changes, apply_changes, draw, noise_bank
from fusion_net.blocks import Dropout
from fusion_net.device import Device, Precision, resolve_device, resolve_precision
from fusion_net.inputs import ClipTensors
from fusion_net.losses import Balance, class_weights, set_targets, smooth_targets
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
        training clips (of label sets, the share that is exactly right).

    Raises:
        ValueError: the clips do not fit the model: an input is missing, the classes differ, a label is missing.
        ToolkitError: the loss is not finite.
    """
    settings = settings or FitSettings()
    check_fits(model, train)
    if len(train) == 0 or (train.targets is None and int(train.labels.min()) < 0):
        raise ValueError("training needs clips, and a label for every one of them")
    device = resolve_device(settings.device)
    was_training = model.training
    model.to(device).train()
    with own_randomness(seed, device):
        history = _epochs(model, train, settings, seed, device)
    model.train(was_training)
    return history


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own random state follows from ``seed`` in the block, and is as it was after it."""
    rng_devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=rng_devices), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        torch.manual_seed(fold_seed(seed, "dropout"))
        yield


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


class Course:
    """Everything random of one training, drawn on the CPU in an order that nothing else changes.

    Attributes:
        batches: of an epoch, of nearly equal size.
        bank: see `augment.noise_bank`.
        keys: (steps, modules) int32, for each `blocks.Dropout` at each step.
    """

    def __init__(self, clips: int, sizes: Sequence[int], modules: int, settings: FitSettings, seed: int) -> None:
        self.clips, self.sizes, self.settings = clips, sizes, settings.augment
        self.batches = math.ceil(clips / settings.batch_size)
        self._order, self._changes = generator(seed, "order"), generator(seed, "augment")
        self.bank = noise_bank(sizes, settings.augment, generator(seed, "noise"))
        shape, ends = (settings.epochs * self.batches, modules), (-(2**31), 2**31)
        self.keys = torch.randint(*ends, shape, generator=generator(seed, "dropout"), dtype=torch.int32)

    def epoch(self) -> tuple[list[Tensor], Changes]:
        """The rows of each batch of the next epoch, and the changes of every row of all clips (N)."""
        order = torch.randperm(self.clips, generator=self._order)
        return list(order.tensor_split(self.batches)), draw(self.clips, self.sizes, self.settings, self._changes)


def keyed(model: Model) -> list[Dropout]:
    """The modules of a model whose randomness follows from a key."""
    return [module for module in model.modules() if isinstance(module, Dropout)]


def _epochs(
    model: Model,
    train: ClipTensors,
    settings: FitSettings,
    seed: int,
    device: torch.device,
) -> list[dict[str, float]]:
    autocast = resolve_precision(settings.precision, device) == "bf16"
    inputs = {one.name: train.inputs[one.name].to(device, torch.float32) for one in model.inputs}
    kinds = {one.name: one.kind for one in model.inputs}
    targets, weights = (x.to(device) for x in _aims(train, settings))
    labels = (train.labels if train.targets is None else train.targets > 0.5).to(device)
    hiding = keyed(model)
    course = Course(len(train), [x[0].numel() for x in inputs.values()], len(hiding), settings, seed)
    bank = None if course.bank is None else course.bank.to(device)
    optimizer = optimizer_of(model.parameters(), settings, matrix=2)
    history = []
    for epoch in range(settings.epochs):
        sums: dict[str, Tensor] = {}
        hits = torch.zeros((), device=device)
        batches, changes = course.epoch()
        changes = changes.map(lambda x: x.to(device))
        for step, rows in enumerate(batches, start=epoch * course.batches):
            rows = rows.to(device)
            for module, key in zip(hiding, course.keys[step], strict=True):
                module.key = key.to(device)
            rate = learning_rate(step, settings.epochs * course.batches, settings)
            picked = {name: x[rows] for name, x in inputs.items()}
            batch = apply_changes(picked, changes.map(partial(_rows, rows)), settings.augment, bank, kinds)
            batch |= {"target": targets[rows], "weight": weights[rows]}
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                output = model(batch)
            parts = model.loss(output, batch)
            take_step(optimizer, rate, torch.stack(list(parts.values())).sum())
            for name, part in parts.items():
                sums[name] = sums.get(name, torch.zeros_like(part)) + part.detach() * len(rows)
            hits += _right(output.logits, labels[rows]).sum()
        row = {"epoch": float(epoch + 1), "lr": rate}
        row |= curve({name: float(total) / len(train) for name, total in sums.items()}, epoch)
        row["accuracy"] = float(hits) / len(train)
        history.append(row)
    for module in hiding:
        module.key = None
    return history


def _rows(rows: Tensor, x: Tensor) -> Tensor:
    return x[rows]


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: which clips are right; of several classes, each must be."""
    if labels.ndim == 1:
        return logits.argmax(dim=1) == labels
    return ((logits > 0) == labels).all(dim=1)


def _aims(train: ClipTensors, settings: FitSettings) -> tuple[Tensor, Tensor]:
    """Smoothed targets (N, K), and weights (N,), or (N, K) where a clip may have several classes."""
    if train.targets is None:
        return targets_and_weights(train.labels, len(train.classes), settings)
    return set_targets(train.targets, settings.smoothing, settings.balance, settings.beta)


def targets_and_weights(labels: Tensor, classes: int, settings: FitSettings) -> tuple[Tensor, Tensor]:
    """(N, K) smoothed targets and (N,) class weights of training clips."""
    targets = smooth_targets(labels, classes, settings.smoothing)
    return targets, class_weights(labels, classes, settings.balance, settings.beta)[labels]


def optimizer_of(parameters: Iterable[Tensor], settings: FitSettings, matrix: int) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101); no decay of biases and normalisation.

    Fused, it takes a fifth of the time. ``matrix``: dimensions from which on a parameter is decayed.
    """
    listed = list(parameters)
    groups = [
        {"params": [p for p in listed if p.ndim >= matrix], "weight_decay": settings.weight_decay},
        {"params": [p for p in listed if p.ndim < matrix], "weight_decay": 0.0},
    ]
    fused = listed[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=settings.lr, fused=fused)


def take_step(optimizer: torch.optim.Optimizer, rate: float, loss: Tensor) -> None:
    """One step down the gradient of ``loss``."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def curve(parts: dict[str, float], epoch: int) -> dict[str, float]:
    """The loss and its parts as columns, refused where training has blown up."""
    total = sum(parts.values())
    if not math.isfinite(total):
        shown = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        raise ToolkitError(
            f"the training loss is not finite in epoch {epoch + 1} ({shown}): lower the learning rate, "
            "or look for clips with extreme values"
        )
    return {"loss": total, **{f"loss_{name}": value for name, value in parts.items()}}
