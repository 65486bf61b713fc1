"""Class activation maps of a trained network by input, and clips of which a part is blanked.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) weighs each channel by its gradient averaged over the image.
The streams end in a grid whose cells have weights of their own, so the same channel may speak for a class in one place
and against it in another, which the average hides. HiResCAM (Draelos & Carin, 2020, arXiv:2011.08891) multiplies
gradient and activation place by place. On 30 toy clips of new people, whose motion is at known places, it has 73 % of
its evidence there, Grad-CAM 47 %, an even map 13 % (one training; ``tests/fusion_net/test_activation_maps.py``). Both
are computed by captum.

Ours: a map is the mean over a clip and its mirror image, as the prediction is, and it is taken one stage before the
last, whose cells (an eighth of the image's side with four stages) still tell brows from eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion_net.augment import mirror
from fusion_net.fit import check_fits
from fusion_net.inputs import ClipTensors
from fusion_net.models.contract import Batch, Model

Method = Literal["grad_cam", "hires_cam"]
METHODS: tuple[Method, ...] = get_args(Method)


def activation_maps(
    model: Model,
    data: ClipTensors,
    target: Sequence[int],
    method: Method = "grad_cam",
    batch_size: int = 32,
    mirrored: bool = True,
) -> dict[str, NDArray[np.float32]]:
    """Signed map of every clip, by stream: (N, h, w), on the cells of the stream's last stage but one.

    What is shown is the positive part (what speaks *for* the class, eq. 2 of the Grad-CAM paper); the sign is kept,
    since maps are compared by all of their values. The model computes in eval mode where it stands, and is left in
    the mode that it came in.

    Args:
        model: one that names the layers to look at (`Model.map_layers`), each over one input.
        data: clips, scaled by the *training* scaler.
        target: for each clip the index of the class whose logit is explained.
        method: see the module.
        batch_size: clips at a time.
        mirrored: take the mean over a clip and its mirror image, as `predict` does under this name.

    Raises:
        ValueError: the model names no such layers, or the clips do not fit it.
    """
    layers = model.map_layers()
    if not layers:
        raise ValueError(f"{type(model).__name__} names no layers that a map could show (map_layers)")
    check_fits(model, data)
    if len(target) != len(data):
        raise ValueError(f"{len(target)} classes to explain for {len(data)} clips")
    was_training = model.training
    model.eval()
    try:
        rows = torch.arange(len(data)).split(batch_size)
        return {
            name: np.concatenate(
                [_maps(model, layer, data, r, torch.as_tensor(target)[r], method, mirrored) for r in rows]
            )
            for name, layer in layers.items()
        }
    finally:
        model.train(was_training)


def blank(data: ClipTensors, where: NDArray[np.bool_]) -> ClipTensors:
    """``data`` without motion at the pixels ``where`` (N, H, W), in every input.

    In signed inputs that is zero; in frames (N, T, C, H, W) it is the clip's first frame there.
    """
    keep = torch.from_numpy(~where)
    inputs = {}
    for name, x in data.inputs.items():
        shape = (len(x), *[1] * (x.ndim - 3), *x.shape[-2:])  # (N, H, W) -> (N, 1, ..., H, W)
        rest = x[:, :1] if data.kind(name) == "frames" else torch.zeros_like(x)
        inputs[name] = torch.where(keep.view(shape), x, rest)
    return replace(data, inputs=inputs)


def _maps(
    model: Model, layer: nn.Module, data: ClipTensors, rows: Tensor, target: Tensor, method: Method, mirrored: bool
) -> NDArray[np.float32]:
    """(B, h, w), the clips' maps, or their mean with the maps of the mirror images, mirrored back."""
    device = next(model.parameters()).device
    names = tuple(one.name for one in model.inputs)

    def logits(*inputs: Tensor) -> Tensor:
        batch: Batch = dict(zip(names, inputs, strict=True))
        return model(batch).logits

    plain = tuple(data.inputs[name][rows].to(device, torch.float32) for name in names)
    views = [plain]
    if mirrored:
        views.append(tuple(mirror(x, one.kind) for one, x in zip(model.inputs, plain, strict=True)))
    explainer = LayerGradCam(logits, layer) if method == "grad_cam" else LayerGradientXActivation(logits, layer)
    found = [
        explainer.attribute(view, target.to(device)).sum(dim=1) for view in views
    ]  # (B, 1 or C, h, w) -> (B, h, w)
    mean = (found[0] + found[1].flip(-1)) / 2 if mirrored else found[0]
    maps: NDArray[np.float32] = mean.detach().cpu().numpy()
    return maps
