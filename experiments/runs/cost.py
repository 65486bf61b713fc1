"""Measure what a network costs: parameters, multiply-adds, seconds per epoch, milliseconds per clip.

Times are measured where they are asked for, on random clips of the run's shape, so that all runs of a comparison are
measured on one machine under one load and nothing that varies enters a run folder.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from dynamic_images.inputs import use
from experiments.runs.system_registry import find_system
from fusion_net.fit import FitSettings, fit
from fusion_net.inputs import ClipTensors
from fusion_net.models.contract import Model, new_model
from preprocessing.artefacts.plain import from_plain

CLIPS = 32
"""Clips that are timed; an epoch is scaled up from them."""
REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """Costs of one network on one thread of this machine.

    Attributes:
        parameters: trained numbers.
        multiply_adds: of the forward pass of one clip (convolutions, matrix products, attention).
        epoch_seconds: one pass over the training clips of a fold, augmentation included; the best of some.
        clip_milliseconds: forward pass per clip, in batches; the best of some.
    """

    parameters: int
    multiply_adds: int
    epoch_seconds: float
    clip_milliseconds: float


def training_clips(about: Mapping[str, Any], tested: int) -> float:
    """Clips that a fold trains on, the mean over folds.

    Args:
        about: content of a run's ``run.json``.
        tested: clips that are predicted in some fold; under an official split these are not all.
    """
    folds = about["folds"]
    return float(about["clips"] - tested) if folds == 1 else tested * (folds - 1) / folds


def measure(about: Mapping[str, Any], tested: int | None = None) -> Cost | None:
    """Build the network that ``run.json`` describes and measure it, on the CPU with one thread.

    Returns:
        None for a system that is not a network.

    Args:
        about: content of a run's ``run.json``.
        tested: clips that are predicted in some fold; None for all.

    Raises:
        UsageError: settings that this version does not know.
    """
    found = find_system(about["model"])
    if not issubclass(found, Model):
        return None
    settings = from_plain(found.Settings, about["settings"], about["model"])
    training: FitSettings = from_plain(FitSettings, about["fit"], "fit")
    uses = [use(one["name"], **one["settings"]) for one in about["uses"]]
    model = new_model(found, settings, about["classes"], seed=0, inputs=uses)
    generator = torch.Generator().manual_seed(0)
    inputs = {n: torch.randn(CLIPS, *shape, generator=generator) for n, shape in about["inputs"].items()}
    names = tuple(str(i) for i in range(CLIPS))
    clips = ClipTensors(names, names, torch.arange(CLIPS) % len(about["classes"]), tuple(about["classes"]), inputs)
    clips = dataclasses.replace(clips, kinds={one.name: one.kind for one in uses})
    once = dataclasses.replace(training, epochs=1, device="cpu", precision="fp32")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = training_clips(about, about["clips"] if tested is None else tested)
        return Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            multiply_adds=multiply_adds(model, inputs),
            clip_milliseconds=1e3 * _best(lambda: _forward(model, inputs)) / CLIPS,
            epoch_seconds=_best(lambda: fit(model, clips, settings=once)) * trained / CLIPS,
        )
    finally:
        torch.set_num_threads(threads)


def multiply_adds(model: Model, inputs: Mapping[str, torch.Tensor]) -> int:
    """Multiply-adds of the forward pass of one clip; inputs (N, ...) of which the first is taken."""
    with FlopCounterMode(display=False) as counter:
        _forward(model, {name: x[:1] for name, x in inputs.items()})
    return counter.get_total_flops() // 2  # a multiplication and an addition are two operations


@torch.no_grad()
def _forward(model: Model, inputs: Mapping[str, torch.Tensor]) -> None:
    model.eval()
    model(inputs)


def _best(work: Any) -> float:
    """Seconds of the quickest of `REPEATS` calls, after one that warms up."""
    work()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
