"""Augment a batch of training clips: what moves one input of a clip moves all of them.

Pure functions; every random number comes from the generator that is passed in. `draw` and `noise_bank` draw,
`apply_changes` computes, and `augment` is the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from dynamic_images.clip_input import PLANAR, Kind


@dataclass(frozen=True)
class AugmentSettings:
    """How far a training clip may differ from its recording. 0 switches a part off.

    The geometric ranges cover what alignment leaves over, not what a camera could do: a micro-expression is told by
    *where* on the aligned face something moves.

    Attributes:
        mirror: probability of a left-right flip.
        shift: largest shift, as a share of the image side.
        rotation: largest rotation, degrees.
        scale: largest relative change of size, up or down.
        gain: standard deviation of the log of one factor per clip, shared by its inputs: a stronger or weaker
            expression. Of ``frames`` it multiplies what differs from the clip's mean frame.
        noise: standard deviation of added white noise, in units of the scaled input (its typical rms is 1); every
            frame of a clip has different noise.
        erase: probability that a rectangle is set to "no motion here" in all inputs of the clip: zero, or in
            ``frames`` the clip's mean frame.
        erase_share: largest area of that rectangle, as a share of the image.
    """

    mirror: float = 0.5
    shift: float = 0.04
    rotation: float = 5.0
    scale: float = 0.06
    gain: float = 0.2
    noise: float = 0.1
    erase: float = 0.25
    erase_share: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"augment.{field.name} is {getattr(self, field.name)}, wanted at least 0")
        for name in ("mirror", "erase", "erase_share"):
            if getattr(self, name) > 1:
                raise ValueError(f"augment.{name} is {getattr(self, name)}, wanted at most 1")


NO_AUGMENTATION = AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0)

BANK = 1 << 20
"""Least numbers in a noise bank."""


@dataclass(frozen=True)
class Changes:
    """What happens to each of N clips, drawn on the CPU so that every device sees the same numbers.

    Attributes:
        matrix: (N, 2, 3), see `random_affine`.
        gain: (N,) factors.
        box: (N, 4) erased rectangles, see `_random_boxes`.
        start: (N, I) int64, where in the noise bank the noise of each of I inputs begins.
    """

    matrix: Tensor
    gain: Tensor
    box: Tensor
    start: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Changes:
        """The same with ``function`` of every attribute, e.g. those of some clips, or on another device."""
        return Changes(*(function(getattr(self, field.name)) for field in fields(self)))


def draw(clips: int, sizes: Sequence[int], settings: AugmentSettings, generator: torch.Generator) -> Changes:
    """Changes of so many clips whose inputs hold ``sizes`` numbers each; other settings draw as many numbers."""
    matrix = random_affine(clips, settings, generator)
    gain = torch.exp(settings.gain * torch.randn(clips, generator=generator))
    box = _random_boxes(clips, settings, generator)
    ends = _bank_size(sizes) - torch.tensor(sizes)
    return Changes(matrix, gain, box, (torch.rand(clips, len(sizes), generator=generator).double() * ends).long())


def noise_bank(sizes: Sequence[int], settings: AugmentSettings, generator: torch.Generator) -> Tensor | None:
    """White noise that clips take theirs from, each another stretch; None without noise.

    A million numbers drawn once stand in for the fifty thousand of every clip in every epoch, whose drawing took a
    twentieth of a training step. Ours.

    Args:
        sizes: numbers in each input of a clip.
        settings: give the standard deviation.
        generator: on the CPU.
    """
    if not settings.noise:
        return None
    return settings.noise * torch.randn(_bank_size(sizes), generator=generator)


def _bank_size(sizes: Sequence[int]) -> int:
    return max(BANK, 2 * max(sizes))


def augment(
    inputs: Mapping[str, Tensor],
    settings: AugmentSettings,
    generator: torch.Generator,
    kinds: Mapping[str, Kind] | None = None,
) -> dict[str, Tensor]:
    """A new version of every clip of a batch, the same geometry, gain and erased rectangle for all inputs of a clip.

    Args:
        inputs: name → (B, ..., H, W) float32; sides may differ between inputs. A series or features (B, ..., C) have
            no place in the picture: they get the gain and noise alone.
        settings: what to do.
        generator: on the CPU.
        kinds: kind of each input; those that are not named are images. A ``flow`` is (B, ..., C, H, W), ``frames``
            are (B, T, C, H, W) and all of a clip move alike.

    Raises:
        ValueError: a mirror of an input that has no place in the picture.
    """
    first = next(iter(inputs.values()))
    sizes = [x[0].numel() for x in inputs.values()]
    changes = draw(len(first), sizes, settings, generator).map(lambda x: x.to(first.device))
    bank = noise_bank(sizes, settings, generator)
    return apply_changes(inputs, changes, settings, None if bank is None else bank.to(first.device), kinds)


def apply_changes(
    inputs: Mapping[str, Tensor],
    changes: Changes,
    settings: AugmentSettings,
    bank: Tensor | None,
    kinds: Mapping[str, Kind] | None = None,
) -> dict[str, Tensor]:
    """`augment` with everything random given; all on one device. ``bank`` is from `noise_bank`."""
    grids: dict[tuple[int, ...], Tensor] = {}
    kept: dict[tuple[int, ...], Tensor] = {}
    out = {}
    for i, (name, x) in enumerate(inputs.items()):
        kind = (kinds or {}).get(name, "image")
        planar, sides = kind in PLANAR, tuple(x.shape[-2:])
        if not planar and settings.mirror:
            raise _without_mirror(name, kind)
        if planar and sides not in grids:
            grids[sides] = sampling_grid(changes.matrix.to(x.dtype), *sides)
            kept[sides] = _outside(changes.box, *sides)
        y = warp(x, changes.matrix.to(x.dtype), kind, grids[sides]) if planar else x
        rest = y.mean(dim=1, keepdim=True) if kind == "frames" else None  # (B, 1, C, H, W)
        if rest is not None:
            y = y - rest
        gain = changes.gain.to(x.dtype).view(-1, *[1] * (x.ndim - 1))  # (B,) -> (B, 1, ..., 1)
        if bank is None:
            y = y * gain
        else:
            # a view of all stretches (len(bank) - n + 1, n), of which those of the clips are copied: (B, n)
            noise = bank.unfold(0, x[0].numel(), 1)[changes.start[:, i]]
            y = torch.addcmul(noise.view(x.shape).to(x.dtype), y, gain)
        if settings.erase and planar:
            y = y * kept[sides].to(x.dtype).view(len(x), *[1] * (x.ndim - 3), *sides)  # (B, H, W) -> (B, 1, ..., H, W)
        out[name] = y if rest is None else rest + y
    return out


def random_affine(batch: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 2, 3) maps from output to input positions, each in -1 .. 1 over the image as in `F.affine_grid`."""
    draw = torch.rand(5, batch, generator=generator) * 2 - 1  # each in -1 .. 1, drawn even where a setting is 0
    angle = math.radians(settings.rotation) * draw[0]
    size = 1 + settings.scale * draw[1]
    flip = torch.where(draw[2] < 2 * settings.mirror - 1, -1.0, 1.0)
    shift = 2 * settings.shift * draw[3:5]  # a share of the side, which is 2 long here
    rows = [
        torch.stack([size * angle.cos() * flip, -size * angle.sin(), shift[0]], dim=1),
        torch.stack([size * angle.sin() * flip, size * angle.cos(), shift[1]], dim=1),
    ]
    return torch.stack(rows, dim=1)  # two (B, 3) -> (B, 2, 3)


def sampling_grid(matrix: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, 2) positions of ``matrix`` (B, 2, 3) at every pixel centre: `F.affine_grid` without its matrix product.

    A sum of one term per column and one per row.
    """
    x, y = (torch.arange(1 - n, n, 2, device=matrix.device, dtype=matrix.dtype) / n for n in (width, height))
    columns = x[:, None] * matrix[:, None, :, 0]  # (B, W, 2)
    rows = y[:, None] * matrix[:, None, :, 1] + matrix[:, None, :, 2]  # (B, H, 2)
    return columns[:, None] + rows[:, :, None]


def warp(x: Tensor, matrix: Tensor, kind: Kind = "image", grid: Tensor | None = None) -> Tensor:
    """Sample ``x`` (B, ..., H, W) at ``matrix`` (B, 2, 3) of every output position, bilinear, zero outside.

    Zero is "nothing moved" in a signed image. The vectors of a ``flow`` (B, ..., C, H, W), its channels 0 and 1, live
    in the picture and turn, mirror and stretch with it: they are multiplied by the inverse of the map's linear part
    (square images). ``grid`` is the `sampling_grid` of the matrix, if it is at hand.
    """
    planes = x.flatten(1, -3) if x.ndim > 4 else x  # (B, T, C, H, W) -> (B, T*C, H, W)
    grid = sampling_grid(matrix, *x.shape[-2:]) if grid is None else grid
    out = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False).view(x.shape)
    if kind == "flow":
        turn = torch.linalg.inv(matrix[:, :, :2])  # (B, 2, 2)
        turned = torch.einsum("bij,b...jhw->b...ihw", turn, out[..., :2, :, :])
        out = torch.cat([turned, out[..., 2:, :, :]], dim=-3)
    return out


def mirror(x: Tensor, kind: Kind = "image") -> Tensor:
    """``x`` (..., H, W) flipped left-right; the horizontal component of a ``flow`` (..., C, H, W) changes its sign.

    A dynamic image is a signed *intensity* image: its sign says brighter or darker over time, not left or right, and
    survives the flip.

    Raises:
        ValueError: a series or features, which have no left and right in a picture.
    """
    if kind not in PLANAR:
        raise _without_mirror("this input", kind)
    flipped = x.flip(-1)
    if kind == "flow":
        sign = flipped.new_ones(x.shape[-3])
        sign[0] = -1.0  # u
        flipped = flipped * sign.view(-1, 1, 1)
    return flipped


def _without_mirror(name: str, kind: Kind) -> ValueError:
    return ValueError(f"{name} is of kind {kind!r} and cannot be mirrored: train with fit.augment.mirror=0")


def _random_boxes(batch: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 4) left, top, right, bottom as shares of the side; empty where nothing is erased (Zhong et al., AAAI 2020).

    arXiv:1708.04896, with aspect ratios 1:2 .. 2:1.
    """
    draw = torch.rand(5, batch, generator=generator)
    area = settings.erase_share * (0.2 + 0.8 * draw[0]) * (draw[4] < settings.erase)
    aspect = torch.exp2(2 * draw[1] - 1)
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    left, top = (1 - width) * draw[2], (1 - height) * draw[3]
    return torch.stack([left, top, left + width, top + height], dim=1)


def _outside(box: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W) float32, 0 at pixel centres inside the (B, 4) box and 1 elsewhere."""
    x = (torch.arange(width, device=box.device) + 0.5) / width
    y = (torch.arange(height, device=box.device) + 0.5) / height
    in_x = ((x >= box[:, 0:1]) & (x < box[:, 2:3])).float()  # (B, W)
    in_y = ((y >= box[:, 1:2]) & (y < box[:, 3:4])).float()  # (B, H)
    return 1 - in_y[:, :, None] * in_x[:, None, :]
