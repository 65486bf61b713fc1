"""Train many networks of one kind at once, each on its own clips: on a GPU one alone leaves most of the card idle.

The parameters of all networks are stacked and every operation runs over the stack (`torch.func`). Everything random of
a network is its own (`fit.Course`), so that it learns what it would learn alone, up to the order of sums. The shapes of
a step are always the same, ``slots`` networks and ``batch_size`` clips, whoever is trained along: what a network
becomes does not depend on the company.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state

from fusion_net.augment import Changes, apply_changes
from fusion_net.blocks import ConvStage
from fusion_net.device import resolve_device, resolve_precision
from fusion_net.fit import (
    Course,
    FitSettings,
    check_fits,
    curve,
    keyed,
    learning_rate,
    optimizer_of,
    own_randomness,
    take_step,
    targets_and_weights,
)
from fusion_net.inputs import ClipTensors, Scaler
from fusion_net.models.contract import Model

SLOTS = 36
"""Networks in a stack: few enough for any card, and three seeds of twelve folds fill it."""
NUMBERS = 1 << 26
"""Most numbers in the inputs of one step, 256 MB; what a step keeps for its gradients is about ten times that."""


def slots_for(data: ClipTensors, inputs: Sequence[str], settings: FitSettings) -> int:
    """How many networks are trained together on such clips: a matter of their size, not of how many wait."""
    numbers = settings.batch_size * sum(data.inputs[name][0].numel() for name in inputs)
    return max(1, min(SLOTS, NUMBERS // max(1, numbers)))


@dataclass(frozen=True)
class Pupil:
    """One of the networks that are trained together.

    Attributes:
        model: fresh from `new_model`; trained in place.
        rows: of its training clips among all.
        scaler: fitted on them.
        seed: see `fit`.
    """

    model: Model
    rows: Tensor
    scaler: Scaler
    seed: int


def fit_together(
    pupils: Sequence[Pupil], data: ClipTensors, settings: FitSettings, slots: int
) -> list[list[dict[str, float]]]:
    """`fit` of every pupil, at once; returns their learning curves.

    Args:
        pupils: at most ``slots``, alike but for their weights, with equally many batches to an epoch.
        data: all clips, unscaled.
        settings: how to train.
        slots: networks in the stack; places that are left over repeat the first.

    Raises:
        ValueError: the pupils are too many, or do not have equally many batches.
        ToolkitError: a loss is not finite.
    """
    if not 0 < len(pupils) <= slots:
        raise ValueError(f"{len(pupils)} networks for {slots} slots")
    device = resolve_device(settings.device)
    for pupil in pupils:
        check_fits(pupil.model, data)
        pupil.model.to(device).train()
        _prepare(pupil.model, device, device.type == "cuda")
    filled = [*pupils, *[pupils[0]] * (slots - len(pupils))]
    with own_randomness(pupils[0].seed, device):
        params, curves = _Stack(filled, data, settings, device).train()
    for k, pupil in enumerate(pupils):
        with torch.no_grad():
            for name, parameter in pupil.model.named_parameters():
                parameter.copy_(params[name][k])
        _prepare(pupil.model, None, False)
    return curves[: len(pupils)]


def _prepare(model: Model, keys_on: torch.device | None, as_product: bool) -> None:
    for module in keyed(model):  # a tensor each: one for all would count as one buffer
        module.key = None if keys_on is None else torch.zeros((), dtype=torch.int32, device=keys_on)
    for stage in model.modules():
        if isinstance(stage, ConvStage):
            stage.as_product = as_product


class _Stack:
    """The clips and networks of `fit_together` on the device."""

    def __init__(self, pupils: Sequence[Pupil], data: ClipTensors, settings: FitSettings, device: torch.device) -> None:
        self.pupils, self.settings, self.device = pupils, settings, device
        self.model = pupils[0].model
        self.names = [one.name for one in self.model.inputs]
        self.kinds = {one.name: one.kind for one in self.model.inputs}
        self.inputs = {name: data.inputs[name].to(device, torch.float32) for name in self.names}
        self.scales = {name: self._scale(name) for name in self.names}
        self.labels = [data.labels[pupil.rows] for pupil in pupils]
        self.targets = [targets_and_weights(labels, len(data.classes), settings) for labels in self.labels]
        sizes = [self.inputs[name][0].numel() for name in self.names]
        self.dropouts = [name for name, module in self.model.named_modules() if module in keyed(self.model)]
        self.courses = [Course(len(p.rows), sizes, len(self.dropouts), settings, p.seed) for p in pupils]
        if len({course.batches for course in self.courses}) > 1:
            raise ValueError("the networks need different numbers of batches for an epoch")
        banks = [course.bank for course in self.courses if course.bank is not None]
        self.bank = torch.cat(banks).to(device) if banks else None
        self.keys = torch.stack([course.keys for course in self.courses]).to(device)  # (S, steps, modules)

    def _scale(self, name: str) -> Tensor:
        """(S, 1 or C, 1, 1), or (S, 1, ...) as the input has axes: what each network's clips are divided by."""
        axes = self.inputs[name].ndim - 1
        each = [torch.as_tensor(pupil.scaler.divisor(name), dtype=torch.float32) for pupil in self.pupils]
        return torch.stack([one.view(*[1] * (axes - one.ndim), *one.shape) for one in each]).to(self.device)

    def train(self) -> tuple[Mapping[str, Tensor], list[list[dict[str, float]]]]:
        """The trained parameters, stacked, and the learning curves."""
        params, buffers = stack_module_state([pupil.model for pupil in self.pupils])
        params = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
        optimizer = optimizer_of(params.values(), self.settings, matrix=3)
        batches = self.courses[0].batches
        rates, seen = [], []
        for epoch in range(self.settings.epochs):
            sums: dict[str, Tensor] = {}
            for batch, step in zip(self._epoch(), range(epoch * batches, (epoch + 1) * batches), strict=True):
                buffers |= {f"{name}.key": self.keys[:, step, i] for i, name in enumerate(self.dropouts)}
                rate = learning_rate(step, self.settings.epochs * batches, self.settings)
                parts, hits = self._forward(params, buffers, batch)
                take_step(optimizer, rate, torch.stack([part.sum() for part in parts.values()]).sum())
                counted = {name: part.detach() * batch["count"] for name, part in parts.items()} | {"": hits}
                sums = {name: sums[name] + one if sums else one for name, one in counted.items()}  # each (S,)
            rates.append(rate)
            seen.append(torch.stack(list(sums.values())))
        names, values = list(sums), torch.stack(seen).cpu().double()  # (epochs, parts, S)
        return params, [self._curve(names, values[:, :, k], rates, len(p.rows)) for k, p in enumerate(self.pupils)]

    def _curve(self, names: list[str], values: Tensor, rates: list[float], clips: int) -> list[dict[str, float]]:
        history = []
        for epoch, (row, rate) in enumerate(zip((values / clips).tolist(), rates, strict=True)):
            parts = dict(zip(names, row, strict=True))
            accuracy = parts.pop("")
            history.append({"epoch": float(epoch + 1), "lr": rate, **curve(parts, epoch), "accuracy": accuracy})
        return history

    def _epoch(self) -> list[dict[str, Tensor]]:
        """The batches of one epoch, drawn and then moved to the device as a whole; S networks, B clips in each."""
        size = self.settings.batch_size
        parts: dict[str, list[Tensor]] = {}
        names = list(Changes.__dataclass_fields__)
        changed: list[Changes] = []
        for k, (pupil, course) in enumerate(zip(self.pupils, self.courses, strict=True)):
            batches, changes = course.epoch()
            counts = torch.tensor([len(rows) for rows in batches])
            rows = torch.stack([F.pad(rows, (0, size - len(rows)), value=int(rows[0])) for rows in batches])
            real = torch.arange(size) < counts[:, None]  # (batches, B)
            targets, weights = self.targets[k]
            # a loss is the mean over the batch: clips that fill it up weigh nothing, the others as much as they should
            each = {"row": pupil.rows[rows], "target": targets[rows], "label": self.labels[k][rows], "real": real}
            each |= {"weight": weights[rows] * real * (size / counts[:, None]), "count": counts.float()}
            for name, value in each.items():
                parts.setdefault(name, []).append(value)
            bank = 0 if self.bank is None else len(self.bank) // len(self.pupils)
            one = Changes(*(getattr(changes, name)[rows] for name in names))
            changed.append(Changes(one.matrix, one.gain, one.box, one.start + k * bank))
        parts |= {name: [getattr(one, name) for one in changed] for name in names}
        whole = {name: torch.stack(values, dim=1).to(self.device) for name, values in parts.items()}
        return [{name: value[b] for name, value in whole.items()} for b in range(self.courses[0].batches)]

    def _forward(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], batch: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Parts of the loss by name and number of right answers, (S,) each."""
        slots, size = batch["row"].shape
        picked = {}
        for name, x in self.inputs.items():
            clips = x[batch["row"]]  # (S, B, ...)
            picked[name] = (clips / self.scales[name][:, None]).flatten(0, 1)
        changes = Changes(*(batch[name].flatten(0, 1) for name in Changes.__dataclass_fields__))
        changed = apply_changes(picked, changes, self.settings.augment, self.bank, self.kinds)
        given = {name: x.unflatten(0, (slots, size)) for name, x in changed.items()}
        given |= {name: batch[name] for name in ("target", "weight")}
        autocast = resolve_precision(self.settings.precision, self.device) == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            parts, logits = torch.vmap(self._one)(params, buffers, given)
        right = (logits.argmax(dim=2) == batch["label"]) & batch["real"]
        return parts, right.sum(dim=1)

    def _one(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        output = functional_call(self.model, (params, buffers), (batch,))
        return self.model.loss(output, batch), output.logits
