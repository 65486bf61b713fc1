"""FDP, fine-grained dynamic perception: frames in, an order and a dynamic representation learnt between them.

The paper (arXiv:2509.06015) describes a local-global feature-aware transformer that encodes each frame, a rank scorer
that gives the frames scores in chronological order, pooling of the frame features by these scores into one dynamic
representation, and two heads that share it: recognition, and construction of the dynamic image. Its released code has
no scorer and no attention block, and convolves along an axis that is not time; this is the description, built.

    frames (B, T, 1, H, W) ─► encoder ─► maps (B, T, h, w, C) ─┬───────────────► Σ_t weight_t · map_t ─► (B, C, h, w)
                                                               └─► scores (B, T) ─► weights (B, T)            │
                                                                              recognition (B, K) ◄────────────┤
                                                                              construction (B, 1, H, W) ◄─────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_net.augment import Kind
from fusion_net.blocks import GridFeatures
from fusion_net.local_global import Blocks, LocalGlobalEncoder, Shape, check_sides
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Model, Output
from fusion_net.ranking import Encoding, Pooling, Rule, pairwise_rank_loss, pooling_weights, rank_pooled

Size = Literal["small", "paper"]

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "small": Shape(local=(32, 64), wide=(32, 64), depths=(1, 1), reductions=(2, 1), ratios=(2, 2), patch=8),
        # the published widths and depths; each stage also gets the global block that the released loop leaves out
        "paper": Shape((96, 192, 384, 768), (128, 256, 512, 1024), (3, 4, 10, 3), (8, 4, 2, 1), (3, 2), 4),
    }
)


@dataclass(frozen=True)
class FDPSettings:
    """Shape of the network and weights of its losses.

    Attributes:
        size: ``small`` trains on two cores; ``paper`` has the published widths and depths of the encoder.
        frames: T, sampled from onset to offset, both always in.
        centred: show the encoder each frame minus the clip's mean frame. Ours: a micro-expression changes a few grey
            levels of a face that fills the whole range, and a few hundred clips do not teach a network to look past
            the face. False shows the frames as recorded, normalised after the embedding.
        blocks: ``both``, or every block of the encoder ``local`` or ``global``.
        pooling: weights over time from the scores: ``softmax``; ``rank``, a smooth version of the linear rank pooling
            weights of the order that the scores give; or ``uniform``, which leaves the scores out.
        rank: weight of the pairwise chronological loss; 0 leaves it out.
        construction: weight of the mean squared error of the constructed image; 0 leaves out its decoder. The released
            code's 100 is for images in 0..1; here their typical rms is near 1.
        weights: rank pooling rule of the target, see `dynamic_images.rank_pooling`.
        encoding: of the target, see `dynamic_images.encoding`.
        grid: cells per side over which the recognition head pools.
        features: units of the recognition head.
        dropout: share of pooled and of head features that training hides.
    """

    size: Size = "small"
    frames: int = 8
    centred: bool = True
    blocks: Blocks = "both"
    pooling: Pooling = "softmax"
    rank: float = 0.1
    construction: float = 1.0
    weights: Rule = "harmonic"
    encoding: Encoding = "fixed"
    grid: int = 4
    features: int = 256
    dropout: float = 0.4

    def __post_init__(self) -> None:
        choices = {"size": Size, "blocks": Blocks, "pooling": Pooling, "weights": Rule, "encoding": Encoding}
        for name, known in choices.items():
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"fdp: {name} {getattr(self, name)!r} is none of {', '.join(get_args(known))}")
        if self.frames < 2:
            raise ValueError(f"fdp: frames is {self.frames}, wanted at least 2: one frame shows no motion")
        if min(self.grid, self.features) < 1:
            raise ValueError("fdp: grid and features must be at least 1")
        if self.rank < 0 or self.construction < 0 or not 0 <= self.dropout < 1:
            raise ValueError("fdp: rank and construction must lie at or above 0, dropout in [0, 1)")
        if self.construction == 0 and (self.weights, self.encoding) != ("harmonic", "fixed"):
            raise ValueError("fdp: weights and encoding have no effect with construction = 0: leave them out")


class FDP(Model):
    """Frame ranking by a local-global transformer; ``small`` has 0.38 M parameters, ``paper`` 48.7 M (five classes)."""

    INPUTS: ClassVar[Mapping[str, Kind]] = MappingProxyType({"frames": "frames"})
    Settings = FDPSettings
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"evaluation": {"input_size": 64}, "fit": {"epochs": 40, "lr": 1e-3}}
    )

    def __init__(self, settings: FDPSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        s, shape = settings, SHAPES[settings.size]
        width = shape.wide[-1]
        self.encoder = LocalGlobalEncoder(1, shape, s.blocks, normed=not s.centred)
        scored = s.pooling != "uniform" or s.rank > 0
        self.scorer = Scorer(width) if scored else None
        self.head = GridFeatures(width, s.grid, s.features, s.dropout)
        self.dropout = nn.Dropout(s.dropout)
        self.classifier = nn.Linear(s.features, len(classes))
        self.decoder = Decoder(shape) if s.construction else None

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``pooling`` (B, T), ``score`` (B, T), ``constructed`` (B, 1, H, W)."""
        frames = batch["frames"]  # (B, T, 1, H, W)
        check_sides(SHAPES[self.settings.size], frames.shape[-2:])
        if self.settings.centred:
            frames = frames - frames.mean(dim=1, keepdim=True)
        count = frames.shape[1]
        maps = self.encoder(frames.flatten(0, 1)).unflatten(0, (-1, count))  # (B*T, 1, H, W) -> (B, T, h, w, C)
        extras: dict[str, Tensor] = {}
        if self.scorer is not None:
            # one scalar per frame, from that frame alone: (B, T, h, w, C) -> (B, T, C) -> (B, T)
            extras["score"] = self.scorer(maps.mean(dim=(2, 3))).float()
        weights = pooling_weights(extras.get("score", frames.new_zeros(frames.shape[:2])), self.settings.pooling)
        extras["pooling"] = weights
        dynamic = torch.einsum("bt,bthwc->bchw", weights, maps.float())
        if self.decoder is not None:
            extras["constructed"] = self.decoder(dynamic)
        return Output(self.classifier(self.dropout(self.head(dynamic))), extras)

    def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``class``: cross-entropy; ``rank``: pairs of frames in the wrong order; ``construction``: MSE to the target.

        Each is multiplied by its weight.
        """
        s, extras = self.settings, output.extras
        parts = {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}
        if s.rank:
            parts["rank"] = s.rank * pairwise_rank_loss(extras["score"])
        if "constructed" in extras:
            target = rank_pooled(batch["frames"], s.weights, s.encoding)  # (B, 1, H, W)
            parts["construction"] = s.construction * F.mse_loss(extras["constructed"].float(), target)
        return parts


class Scorer(nn.Module):
    """A scalar per frame: (B, T, C) → (B, T). Without a last bias: only differences of scores have an effect."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.net(x).squeeze(2)


class Decoder(nn.Module):
    """The encoder's stages backwards, light: (B, C, h, w) → (B, 1, H, W).

    It has no way around the pooled representation (no skips): what it draws is what the recognition head is given.
    Each stage doubles the map, and the last step turns channels into the pixels of a patch (Shi et al., CVPR 2016,
    arXiv:1609.05158), as the encoder's first turns them into channels.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = shape.wide[::-1]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.patch = shape.patch
        self.pixels = nn.Conv2d(widths[-1], shape.patch**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for stage in self.stages:
            x = F.interpolate(F.relu(stage(x)), scale_factor=2.0, mode="nearest")  # (B, Ca, h, w) -> (B, Cb, 2h, 2w)
        return F.pixel_shuffle(self.pixels(x), self.patch)  # (B, P², H/P, W/P) -> (B, 1, H, W)
