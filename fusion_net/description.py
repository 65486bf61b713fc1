"""Check what the description of a model claims, before anything of it is built: files may come from somebody else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from dynamic_images.clip_input import InputUse
from fusion_net.models.contract import Model
from preprocessing.datasets.labels import MOST_CLASSES

SIDES = (16, 512)
"""Smallest and largest side of a network's input, px."""
MOST_PARAMETERS = 500_000_000

Scale = float | tuple[float, ...]


def checked_size(value: Any) -> int:
    """Side of the input in px.

    Raises:
        ValueError: it is not a whole number within `SIDES`.
    """
    low, high = SIDES
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"size is {_short(value)}, wanted a whole number of px from {low} to {high}")
    return value


def checked_classes(value: Any) -> tuple[str, ...]:
    """Class names.

    Raises:
        ValueError: they are not two or more different words.
    """
    if not isinstance(value, list) or not 2 <= len(value) <= MOST_CLASSES:
        raise ValueError(f"classes are {_short(value)}, wanted a list of 2 to {MOST_CLASSES} names")
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"class {_short(name)} is not a name")
    if len(set(value)) < len(value):
        raise ValueError("a class is named twice")
    return tuple(value)


def checked_scales(value: Any, inputs: Sequence[InputUse]) -> dict[str, Scale]:
    """Divisors of the inputs.

    Raises:
        ValueError: an input without a scale, or one that is not positive and finite.
    """
    names = [one.name for one in inputs]
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"scales are {_short(value)}, wanted one for each of {', '.join(names)}")
    found: dict[str, Scale] = {}
    for one in inputs:
        scale = value[one.name]
        parts = scale if isinstance(scale, list) else [scale]
        if not all(type(part) in (int, float) and math.isfinite(part) and 1e-6 < part < 1e6 for part in parts):
            raise ValueError(f"the scale of {one.name} is {_short(scale)}, wanted a positive number")
        if isinstance(scale, list) and len(parts) != one.channels:
            raise ValueError(f"{one.name} has {len(parts)} scales for {one.channels} channels")
        found[one.name] = tuple(map(float, parts)) if isinstance(scale, list) else float(scale)
    return found


def checked_about(value: Any) -> dict[str, Any]:
    """Facts about training and evaluation that predictions are compared with.

    Raises:
        ValueError: they are not of the form that `mer train --final` writes.
    """
    about = _table(value, "about")
    for name in ("training", "evaluation"):
        if about.get(name) is not None:
            _table(about[name], f"about.{name}")
    for name, ends in _table((about.get("training") or {}).get("strength", {}), "about.training.strength").items():
        fine = isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)
        if not fine or not 0 <= ends[0] <= ends[1] < math.inf or ends[1] <= 0:
            raise ValueError(f"the strength of {name} is {_short(ends)}, wanted two numbers, the larger one above 0")
    return about


def checked_weights(
    data: bytes, model: type[Model], settings: Any, classes: tuple[str, ...], inputs: Any
) -> dict[str, Tensor]:
    """The weights in a safetensors file, if they are those of this model.

    The model is first laid out without memory, so that settings of absurd size are refused before any is taken.

    Raises:
        ValueError: too many parameters, other names or shapes, or numbers that are not finite.
    """
    with torch.device("meta"):
        empty = model(settings, classes, tuple(inputs)).state_dict()
    total = sum(tensor.numel() for tensor in empty.values())
    if total > MOST_PARAMETERS:
        raise ValueError(f"the settings make {total:,} parameters, at most {MOST_PARAMETERS:,} are read")
    state: dict[str, Tensor] = safetensors.torch.load(data)
    if set(state) != set(empty):
        raise ValueError(f"weights {', '.join(sorted(set(state) ^ set(empty))[:3])} are not on both sides")
    for name, wanted in empty.items():
        tensor = state[name]
        if tensor.shape != wanted.shape:
            raise ValueError(f"weight {name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted.shape)}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"weight {name} holds numbers that are not finite")
    return state


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {_short(value)}, wanted named values")
    return dict(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
