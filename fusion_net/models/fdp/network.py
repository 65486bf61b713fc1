"""FDP, fine-grained dynamic perception: a network that ranks frames and pools them by their scores.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse
from dynamic_images.inputs import use
from fusion_net.blocks import Dropout, GridFeatures
from fusion_net.losses import soft_cross_entropy
from fusion_net.models.contract import Batch, Examination, Model, Output
from fusion_net.models.fdp.construction import construct
from fusion_net.models.fdp.encoder import Blocks, LocalGlobalEncoder, Shape, check_sides
from fusion_net.models.fdp.ranking import Encoding, Pooling, Rule, pairwise_rank_loss, pooling_weights, rank_pooled

if TYPE_CHECKING:
    from fusion_net.inputs import ClipTensors, Scaler

Size = Literal["small", "paper"]
Reference = Literal["onset", "mean", "none"]

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "small": Shape(local=(32, 64), wide=(32, 64), depths=(1, 1), reductions=(2, 1), ratios=(1, 1), patch=8),
        # the published widths and depths; each stage also gets the global block that the released loop leaves out
        "paper": Shape((96, 192, 384, 768), (128, 256, 512, 1024), (3, 4, 10, 3), (8, 4, 2, 1), (3, 2), 4),
    }
)

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "full": {},
        "no rank loss": {"rank": 0.0},
        "uniform pooling": {"pooling": "uniform"},
        "no construction": {"construction": 0.0},
        "local only": {"blocks": "local"},
        "global only": {"blocks": "global"},
        "rank pooling": {"pooling": "rank"},
        "about the mean frame": {"reference": "mean"},
        "frames as recorded": {"reference": "none"},
    }
)


@dataclass(frozen=True)
class FDPSettings:
    """Shape of the network and weights of its losses.

    Attributes:
        size: ``small`` trains on two cores; ``paper`` has the published widths and depths of the encoder.
        frames: T, sampled from onset to offset, both always in.
        reference: what the encoder sees of each frame. ``onset``: what changed since the first frame; ``mean``: the
            difference from the clip's mean frame; ``none``: the frame as recorded, normalised after the embedding.
            The differences are ours: a micro-expression changes a few grey levels of a face that fills the whole
            range, and a hundred clips do not teach a network to look past the face. With ``onset`` the first frame
            is known as such, so that 0.625 of the pairs of 8 frames come out right when nothing else is told apart.
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
    reference: Reference = "onset"
    blocks: Blocks = "both"
    pooling: Pooling = "softmax"
    rank: float = 1.0
    construction: float = 0.2
    weights: Rule = "harmonic"
    encoding: Encoding = "fixed"
    grid: int = 4
    features: int = 256
    dropout: float = 0.4

    def __post_init__(self) -> None:
        choices = {
            "size": Size,
            "reference": Reference,
            "blocks": Blocks,
            "pooling": Pooling,
            "weights": Rule,
            "encoding": Encoding,
        }
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
    """Frame ranking by a local-global transformer; ``small`` has 0.49 M parameters, ``paper`` 52.4 M (five classes)."""

    Settings = FDPSettings
    TITLE = "FDP"
    COLUMNS: ClassVar[Mapping[str, str]] = MappingProxyType({"score": "place", "pooling": "place"})
    SECTIONS = ("frame_ranking",)
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"evaluation": {"input_size": 64}, "fit": {"epochs": 20, "batch_size": 8, "lr": 2e-3}}
    )

    def __init__(self, settings: FDPSettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
        super().__init__(settings, classes, inputs)
        if [one.name for one in inputs] != ["frames"]:
            raise ValueError(f"FDP ranks the frames of a clip, it cannot take in {', '.join(o.name for o in inputs)}")
        s, shape = settings, SHAPES[settings.size]
        width = shape.wide[-1]
        self.encoder = LocalGlobalEncoder(1, shape, s.blocks, normed=s.reference == "none")
        scored = s.pooling != "uniform" or s.rank > 0
        self.scorer = Scorer(width) if scored else None
        self.head = GridFeatures(sum(shape.wide), s.grid, s.features, s.dropout)
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Linear(s.features, len(classes))
        self.decoder = Decoder(shape) if s.construction else None

    @classmethod
    def uses(cls, settings: FDPSettings) -> tuple[InputUse, ...]:
        """T frames, from onset to offset."""
        return (use("frames", count=settings.frames),)

    @classmethod
    def variants(cls, settings: FDPSettings, inputs: Sequence[InputUse]) -> Mapping[str, Mapping[str, Any]]:
        """The network without each of its parts in turn."""
        return VARIANTS

    def examine(self, scaler: Scaler, train: ClipTensors, test: ClipTensors) -> Examination | None:
        """The constructed images of the test clips beside their targets, and how near they come."""
        return None if self.decoder is None else construct(self, scaler, train, test)

    def forward(self, batch: Batch) -> Output:
        """Logits (B, K); extras: ``pooling`` (B, T), ``score`` (B, T), ``constructed`` (B, 1, H, W)."""
        frames = batch["frames"]  # (B, T, 1, H, W)
        check_sides(SHAPES[self.settings.size], frames.shape[-2:])
        if self.settings.reference != "none":
            onset = self.settings.reference == "onset"
            frames = frames - (frames[:, :1] if onset else frames.mean(dim=1, keepdim=True))
        count = frames.shape[1]
        encoded = self.encoder(frames.flatten(0, 1))  # (B*T, 1, H, W) -> per stage i (B*T, h_i, w_i, C_i)
        maps = [x.unflatten(0, (-1, count)).float() for x in encoded]  # (B*T, h, w, C) -> (B, T, h, w, C)
        extras: dict[str, Tensor] = {}
        if self.scorer is not None:
            # one scalar per frame, from that frame alone: (B, T, h, w, C) -> (B, T, C) -> (B, T)
            extras["score"] = self.scorer(maps[-1].mean(dim=(2, 3))).float()
        weights = pooling_weights(extras.get("score", frames.new_zeros(frames.shape[:2])), self.settings.pooling)
        extras["pooling"] = weights
        dynamic = [torch.einsum("bt,bthwc->bchw", weights, x) for x in maps]  # the dynamic representation
        if self.decoder is not None:
            extras["constructed"] = self.decoder(dynamic)
        smallest = dynamic[-1].shape[-1]
        # every stage brought to the last one's size by averaging, side by side: (B, sum of C_i, h, w)
        together = torch.cat([F.avg_pool2d(x, x.shape[-1] // smallest) for x in dynamic], dim=1)
        return Output(self.classifier(self.dropout(self.head(together))), extras)

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
    """The encoder's stages backwards, light: the pooled map of each stage (B, C_i, h_i, w_i) → (B, 1, H, W).

    What it is given has gone through the pooling over time, on every stage: it draws with the weights that the
    recognition head gets. From the last map on, each step doubles the size and adds the next stage's map; the last
    one turns channels into the pixels of a patch (Shi et al., CVPR 2016, arXiv:1609.05158), as the encoder's first
    turns them into channels.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = shape.wide[::-1]
        self.patch = shape.patch
        self.steps = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.pixels = nn.Conv2d(widths[-1], shape.patch**2, 3, padding=1)

    def forward(self, dynamic: list[Tensor]) -> Tensor:
        """See the class."""
        *wider, x = dynamic
        for step, beside in zip(self.steps, wider[::-1], strict=True):
            # (B, Ca, h, w) -> (B, Cb, 2h, 2w)
            x = beside + F.interpolate(F.relu(step(x)), scale_factor=2.0, mode="nearest")
        return F.pixel_shuffle(self.pixels(x), self.patch)  # (B, P², H/P, W/P) -> (B, 1, H, W)
