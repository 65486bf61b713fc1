"""Choose the device and the precision to compute in."""

from __future__ import annotations

from typing import Literal

import torch

from preprocessing.errors import EnvironmentProblemError

Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "fp32", "bf16"]


def resolve_device(device: Device = "auto") -> torch.device:
    """``auto`` is the first of cuda, mps and cpu that this machine has.

    Raises:
        EnvironmentProblemError: the device that was asked for by name is not there.
        ValueError: an unknown name.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if device not in present:
        raise ValueError(f"device {device!r} is none of auto, {', '.join(present)}")
    if not present[device]:
        raise EnvironmentProblemError(f"device {device!r} was asked for and torch sees none here: use device = 'auto'")
    return torch.device(device)


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """``auto`` is bf16 on CUDA hardware with bf16 units (Ampere and later) and fp32 everywhere else.

    On a CPU with bf16 instructions (AVX-512) AFN trained 10 to 20 % faster in bf16 (and slower in channels-last memory,
    in either precision): too little to give two machines that are asked for the same thing different results.

    Raises:
        ValueError: an unknown name.
    """
    if precision == "auto":
        ampere = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if ampere else "fp32"
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is none of auto, fp32, bf16")
    return precision
