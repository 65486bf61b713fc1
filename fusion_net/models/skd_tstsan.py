"""SKD-TSTSAN: three streams with magnification inside, temporal shift, channel attention and self-distillation.

Zhu et al. (arXiv:2406.17538, code released in 2025): a stream of the whole face (S), one of 4 x 4 blocks of it (L),
both of onset and apex, and one of the flow of both phases (T). Each begins with a learned magnification of a
difference. L has channel attention, T shifts an eighth of its channels from phase to phase. Heads at two depths learn
from the labels and from the last head.

What differs here. Width 32 in place of 64 to 128 (0.6 M parameters in place of 2.9 M), which trains on two cores. Flow
keeps its sign and one scale, and "no motion" is zero; the release stretches each map by its own extremes and calls the
most negative flow of it motionless. Group normalisation in place of batch normalisation. Weights of classes come from
the training clips; the release counts the test subject. Epochs are fixed; the release keeps the epoch that is best on
the test subject, and stops there. Nothing is pre-trained; the release says that its magnification is, and loads none of
its weights. The magnification of T has no reference but zero, so that for flow it is a learned gain.

       key_frames (B, 3, 1, H, W) ─► onset, apex ─► S (48 px), L (16 blocks of 48 px) ─┐
       phase_flow (B, 2, 2, H, W) ─► two phases ─────────────────► T ─────────────────┴─► classifier, two heads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import ConvStage, Dropout
from fusion_net.losses import soft_cross_entropy, soft_focal_loss
from fusion_net.models.contract import Batch, Model, Output

Streams = Literal["all", "flow", "faces"]
FRAMES, FLOW = "key_frames", "phase_flow"
SIDE = 48
"""Px of what every stream sees, as published."""
GRID = 4
"""Blocks per side of the face, as published."""
SHIFTED = 8
"""One in so many channels goes to the other phase, as published."""


@dataclass(frozen=True)
class SKDSettings:
    """Shape of the network and weights of its losses.

    Attributes:
        streams: all three, the flow alone (T), or the faces alone (S and L).
        width: channels of the streams; the last stage has twice as many. A multiple of 8.
        amplify: factor of the magnified difference; 0 leaves the magnification out.
        shift: whether phases exchange channels.
        channel_attention: of the blocks' stream.
        auxiliary: weight of the two heads at lower depths; 0 leaves them out, with the distillation.
        distil: weight of what these heads learn from the last one.
        temperature: of that.
        feature: weight of the squared distance of their features to the last ones. As a mean over clips and features,
            where the release has a sum: its 1e-6 is 0.006 for 16 clips and 384 features.
        gamma: of the focal loss.
        dropout: share of features that training hides.
    """

    streams: Streams = "all"
    width: int = 32
    amplify: float = 2.0
    shift: bool = True
    channel_attention: bool = True
    auxiliary: float = 0.9
    distil: float = 0.1
    temperature: float = 3.0
    feature: float = 0.006
    gamma: float = 2.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.streams not in get_args(Streams):
            raise ValueError(f"streams {self.streams!r} is none of {', '.join(get_args(Streams))}")
        if self.width < SHIFTED or self.width % SHIFTED:
            raise ValueError(f"width {self.width} must be a multiple of {SHIFTED}")
        if min(self.amplify, self.auxiliary, self.distil, self.feature, self.gamma) < 0 or self.temperature <= 0:
            raise ValueError("amplify, auxiliary, distil, feature and gamma are at least 0, temperature is above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must lie in [0, 1)")
        if not self.auxiliary and (self.distil or self.feature):
            raise ValueError("without auxiliary heads nothing is distilled: set distil = 0 and feature = 0 too")


class Magnify(nn.Module):
    """A map of a frame, with its difference to a reference made larger: two (B, Cin, H, W) → (B, C, H/2, W/2).

    After the encoder and manipulator of learned motion magnification (Oh et al., ECCV 2018, arXiv:1804.02684), as the
    release uses them: without texture, without decoder.
    """

    def __init__(self, n_in: int, n_out: int, amplify: float) -> None:
        super().__init__()
        self.amplify = amplify
        self.encode = nn.Sequential(ConvStage(n_in, n_out, 2), ConvStage(n_out, n_out, 1))
        self.difference = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False) if amplify else None
        self.after = nn.Conv2d(n_out, n_out, 3, padding=1) if amplify else None

    def forward(self, x: Tensor, reference: Tensor | None) -> Tensor:
        """See the class; without a reference, the difference is to nothing."""
        shape: Tensor = self.encode(x)
        if self.difference is None or self.after is None:
            return shape
        change = shape if reference is None else shape - self.encode(reference)
        return shape + self.after(self.amplify * F.relu(self.difference(change)))


class ChannelAttention(nn.Module):
    """Efficient channel attention: (B, C, H, W) → the same, channels weighed by their mean and largest values.

    Wang et al. (CVPR 2020, arXiv:1910.03151), with mean and maximum through one convolution, as in the release.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        pooled = [x.mean(dim=(2, 3)), x.amax(dim=(2, 3))]
        weights = torch.sigmoid(sum(self.conv(p[:, None])[:, 0] for p in pooled))  # (B, C)
        return x * weights[:, :, None, None]


def shifted(x: Tensor) -> Tensor:
    """(2B, C, H, W), rise and fall of each clip in turn: an eighth of the channels comes from the other phase.

    Of two phases the first gets its first eighth from the second, the second its second eighth from the first; the
    places that nothing moves to are zero (temporal shift, Lin et al., ICCV 2019, arXiv:1811.08383).
    """
    part = x.shape[1] // SHIFTED
    rise, fall = x.unflatten(0, (-1, 2)).unbind(dim=1)  # 2 x (B, C, H, W)
    nothing = torch.zeros_like(rise[:, :part])
    first = torch.cat([fall[:, :part], nothing, rise[:, 2 * part :]], dim=1)
    second = torch.cat([nothing, rise[:, part : 2 * part], fall[:, 2 * part :]], dim=1)
    return torch.stack([first, second], dim=1).flatten(0, 1)


class _Trunk(nn.Module):
    """One stream: magnified map → features at three depths, (B, W), (B, W), (B, 2W)."""

    def __init__(self, width: int, n_in: int, s: SKDSettings, attention: bool, phases: bool) -> None:
        super().__init__()
        self.phases = phases
        self.shift = phases and s.shift
        self.magnify = Magnify(n_in, width, s.amplify)
        widths = ((width, width), (width, width), (width, 2 * width))
        self.stages = nn.ModuleList(ConvStage(a, b, 2) for a, b in widths)
        self.weigh = nn.ModuleList(ChannelAttention() for _ in widths) if attention else None

    def forward(self, x: Tensor, reference: Tensor | None) -> list[Tensor]:
        """See the class."""
        x, depths = self.magnify(x, reference), []
        for depth, stage in enumerate(self.stages):
            x = stage(shifted(x) if self.shift else x)
            x = self.weigh[depth](x) if self.weigh is not None else x
            pooled = x.mean(dim=(2, 3))
            depths.append(pooled.unflatten(0, (-1, 2)).mean(dim=1) if self.phases else pooled)
        return depths


class SKDTSTSAN(Model):
    """Faces, blocks and flow; 0.2 M parameters with default settings and five classes."""

    Settings = SKDSettings
    TITLE = "SKD-TSTSAN"
    SETS = False  # its pupils learn from the softmax of the last head
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"evaluation": {"input_size": 96}})

    def __init__(self, settings: SKDSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        s, n_classes = settings, len(classes)
        faces, flow = s.streams != "flow", s.streams != "faces"
        self.trunks = nn.ModuleDict()
        if faces:
            self.trunks["whole"] = _Trunk(s.width, 1, s, attention=False, phases=False)
            self.trunks["blocks"] = _Trunk(s.width, GRID**2, s, attention=s.channel_attention, phases=False)
        if flow:
            self.trunks["flow"] = _Trunk(s.width, 2, s, attention=False, phases=True)
        joint = len(self.trunks) * 2 * s.width
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(joint, n_classes)
        lower = len(self.trunks) * s.width if s.auxiliary else 0
        self.lift = nn.ModuleList(nn.Sequential(nn.Linear(lower, joint), nn.ReLU()) for _ in range(2) if lower)
        self.heads = nn.ModuleList(nn.Linear(joint, n_classes) for _ in self.lift)

    @classmethod
    def uses(cls, settings: SKDSettings) -> tuple[InputUse, ...]:
        """Frames at onset, apex and offset, and the flow of both phases."""
        return (use(FRAMES), use(FLOW))

    @classmethod
    def variants(cls, settings: SKDSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """Without each of its parts."""
        return {
            "full": {},
            "no distillation": {"distil": 0.0, "feature": 0.0},
            "no auxiliary heads": {"auxiliary": 0.0, "distil": 0.0, "feature": 0.0},
            "no magnification": {"amplify": 0.0},
            "no shift": {"shift": False},
            "no channel attention": {"channel_attention": False},
            "flow only": {"streams": "flow"},
            "faces only": {"streams": "faces"},
        }

    def map_layers(self) -> Mapping[str, nn.Module]:
        """The first stage of the whole face. The phases of the flow share theirs, so no map would belong to one."""
        found = [
            trunk.stages[0] for name, trunk in self.trunks.items() if name == "whole" and isinstance(trunk, _Trunk)
        ]
        return {self.inputs[0].name: found[0]} if found else {}

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``heads`` (B, 2, K), ``features`` (B, 3, D): the lower ones, then the last."""
        depths = list(zip(*self._features(batch), strict=True))  # 3 depths of S streams
        last = torch.cat(depths[2], dim=1)  # (B, D)
        extras = {}
        if self.heads:
            lower = [lift(torch.cat(one, dim=1)) for lift, one in zip(self.lift, depths[:2], strict=True)]
            own = [head(self.dropout(x)) for head, x in zip(self.heads, lower, strict=True)]
            extras = {"heads": torch.stack(own, dim=1), "features": torch.stack([*lower, last], dim=1)}
        return Output(self.classifier(self.dropout(last)), extras)

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``, ``auxiliary``: focal; ``distil``: divergence from the last head; ``feature``: distance to it.

        The last head is a teacher and learns nothing from its pupils.
        """
        s, target, weight = self.settings, batch["target"], batch["weight"]
        parts = {"class": soft_focal_loss(output.logits, target, weight, s.gamma)}
        if "heads" not in output.extras:
            return parts
        own = output.extras["heads"].unbind(dim=1)
        parts["auxiliary"] = s.auxiliary * sum(soft_focal_loss(x, target, weight, s.gamma) for x in own)
        if s.distil:
            teacher = (output.logits.detach().float() / s.temperature).softmax(dim=1)
            soft = sum(soft_cross_entropy(x / s.temperature, teacher) for x in own)
            entropy = -2 * (teacher * teacher.clamp(min=1e-12).log()).sum(dim=1).mean()
            parts["distil"] = s.distil * s.temperature**2 * (soft - entropy)
        if s.feature:
            *lower, last = output.extras["features"].float().unbind(dim=1)
            parts["feature"] = s.feature * sum((x - last.detach()).square().mean() for x in lower)
        return parts

    def _features(self, batch: Batch) -> list[list[Tensor]]:
        found = []
        if "whole" in self.trunks:
            frames = batch[self.inputs[0].name]  # (B, 3, 1, H, W)
            onset, apex = frames[:, 0], frames[:, 1]
            found.append(self.trunks["whole"](_sized(apex), _sized(onset)))
            found.append(self.trunks["blocks"](_blocks(apex), _blocks(onset)))
        if "flow" in self.trunks:
            flow = batch[self.inputs[1].name]  # (B, 2, 2, H, W)
            found.append(self.trunks["flow"](_sized(flow.flatten(0, 1)), None))
        return found


def _sized(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, 48, 48)."""
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=False)


def _blocks(x: Tensor) -> Tensor:
    """(B, 1, H, W) → (B, 16, 48, 48): the blocks of the face, row by row, each enlarged."""
    large = F.interpolate(x, (GRID * SIDE, GRID * SIDE), mode="bilinear", antialias=False)
    return large.unflatten(2, (GRID, SIDE)).unflatten(4, (GRID, SIDE)).permute(0, 1, 2, 4, 3, 5).flatten(1, 3)
