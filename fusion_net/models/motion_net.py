"""MotionNet: one small stream over u, v and strain, the network that the shipped weights belong to. Ours.

Every channel is centred by its median and divided by its own root mean square before the first layer. So a face that
moves as a whole, a strong and a weak expression, and maps that somebody has stretched to full range look alike; a still
face is not blown up, because a share of the typical strength is added to the divisor.

    apex_strain_face (B, 3, H, W) ─► centred, scaled ─► Stream ─► classifier
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

import safetensors.torch
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import Dropout, Stream
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.models.ststnet import SMALL

FLOOR = 0.2
"""Share of the typical strength that is added to each clip's own."""
SHIPPED = {"3": "motion_3", "5": "motion_5", "units": "motion_units"}
"""Folders of the shipped weights: the three classes of MEGC2019, the five of CASME II, single action units."""


def shipped(name: str) -> Path:
    """Folder of shipped weights, as `fusion_net.checkpoint.load` reads it."""
    return Path(str(files("fusion_net"))) / "shipped" / SHIPPED[name]


@dataclass(frozen=True)
class MotionNetSettings:
    """Shape of the network.

    Attributes:
        widths: channels of the convolution stages.
        grid, features, dropout: as in `fusion_net.models.afn.AFNSettings`.
        init: ``shipped`` starts the stream from the shipped weights, which were trained on made-up motion;
            ``permuted`` from weights that were trained on the same with permuted labels, for comparison.
    """

    widths: tuple[int, ...] = (32, 64, 96)
    grid: int = 4
    features: int = 128
    dropout: float = 0.3
    init: Literal["none", "shipped", "permuted"] = "none"

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.grid, self.features) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("widths, grid and features must be at least 1, dropout must lie in [0, 1)")
        if self.init not in ("none", "shipped", "permuted"):
            raise ValueError(f"init {self.init!r} is none of none, shipped, permuted")
        if self.init != "none" and (self.widths, self.grid, self.features) != ((32, 64, 96), 4, 128):
            raise ValueError("the shipped weights are of widths (32, 64, 96), grid 4 and features 128: leave them so")


class MotionNet(Model):
    """One stream over u, v, strain; 0.27 M parameters."""

    Settings = MotionNetSettings
    TITLE = "MotionNet"
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = SMALL

    def __init__(self, settings: MotionNetSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s = settings
        self.stream = Stream(inputs[0].channels, s.widths, s.grid, s.features, s.dropout)
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(s.features, len(classes))
        if s.init != "none" and not next(self.parameters()).is_meta:
            self.stream.load_state_dict(_start(s.init))

    @classmethod
    def uses(cls, settings: MotionNetSettings) -> tuple[InputUse, ...]:
        """u, v and strain at the apex, inside the face."""
        return (use("apex_strain_face"),)

    @classmethod
    def variants(cls, settings: MotionNetSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Where it starts from."""
        return {"full": {}, **{f"from {name} weights": {"init": name} for name in ("shipped", "permuted")}}

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The last stage but one."""
        return {self.inputs[0].name: self.stream[max(0, len(self.settings.widths) - 2)]}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K)."""
        return Output(self.classifier(self.dropout(self.stream(centred(batch[self.inputs[0].name])))))

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy."""
        return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}


def centred(x: Tensor) -> Tensor:
    """(B, C, H, W), typically of size 1: each channel without its median, at its own root mean square."""
    flat = x.flatten(2)
    middle = flat.sort(dim=2).values[:, :, flat.shape[2] // 2]
    x = x - middle[:, :, None, None]
    size = x.float().square().mean(dim=(2, 3), keepdim=True).add(1e-12).sqrt()
    return x / (size + FLOOR).to(x.dtype)


def _start(init: str) -> dict[str, Tensor]:
    """State of the stream."""
    folder = shipped("3") if init == "shipped" else shipped("3").with_name("motion_permuted")
    state = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    return {name.removeprefix("stream."): tensor for name, tensor in state.items() if name.startswith("stream.")}
