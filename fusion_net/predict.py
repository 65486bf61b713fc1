"""Predictions as a table, one row per clip."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from fusion_net.augment import mirror
from fusion_net.data import ClipTensors
from fusion_net.fit import check_fits
from fusion_net.models.contract import Model


@torch.no_grad()
def predict(model: Model, data: ClipTensors, batch_size: int = 64, mirrored: bool = True) -> pd.DataFrame:
    """Predict every clip of ``data``, in its order.

    The model computes in eval mode and fp32 where it stands, and is left in the mode that it came in. No clip sees
    another, so ``batch_size`` changes memory and, beyond rounding, nothing else.

    Args:
        model: trained.
        data: clips, scaled by the *training* scaler.
        batch_size: clips at a time.
        mirrored: average the probabilities (and gate weights) of a clip and of its mirror image. An emotion has no
            side and training shows both, so the two answers estimate the same thing and their mean varies less.

    Returns:
        ``clip_id, subject, y_true, y_pred, p_<class>..., gate_<input>...``; classes by name, ``y_true`` empty without
        a label, gate columns only where the model has a gate.

    Raises:
        ValueError: the clips do not fit the model, see `check_fits`.
    """
    check_fits(model, data)
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} must be at least 1")
    was_training = model.training
    model.eval()
    try:
        chunks = [_answer(model, data, rows, mirrored) for rows in torch.arange(len(data)).split(batch_size)]
    finally:
        model.train(was_training)
    table: dict[str, object] = {
        "clip_id": data.clip_ids,
        "subject": data.subjects,
        "y_true": ["" if label < 0 else data.classes[label] for label in data.labels.tolist()],
    }
    probabilities = torch.cat([p for p, _ in chunks])  # (N, K)
    table["y_pred"] = [data.classes[k] for k in probabilities.argmax(dim=1).tolist()]
    table |= {f"p_{name}": probabilities[:, k].numpy() for k, name in enumerate(data.classes)}
    gates = [gate for _, gate in chunks if gate is not None]
    if gates:
        gate = torch.cat(gates)  # (N, S)
        table |= {f"gate_{name}": gate[:, s].numpy() for s, name in enumerate(model.INPUTS)}
    return pd.DataFrame(table)


def _answer(model: Model, data: ClipTensors, rows: Tensor, mirrored: bool) -> tuple[Tensor, Tensor | None]:
    """(B, K) probabilities and (B, S) gate weights of some clips, float64 on the CPU."""
    device = next(model.parameters()).device
    plain = {name: data.inputs[name][rows].to(device) for name in model.INPUTS}
    views = [plain]
    if mirrored:
        views.append({name: mirror(x, model.INPUTS[name]) for name, x in plain.items()})
    outputs = [model(view) for view in views]
    probabilities = torch.stack([o.logits.cpu().double().softmax(dim=1) for o in outputs]).mean(dim=0)
    if "gate" not in outputs[0].extras:
        return probabilities, None
    return probabilities, torch.stack([o.extras["gate"].cpu().double() for o in outputs]).mean(dim=0)
