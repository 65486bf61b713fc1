"""Predictions of a trained model as a table, one row per clip."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from fusion_net.augment import mirror
from fusion_net.fit import check_fits
from fusion_net.inputs import ClipTensors, set_texts
from fusion_net.models.contract import Model
from preprocessing.datasets.label_sets import PRESENT


@torch.no_grad()
def predict(model: Model, data: ClipTensors, batch_size: int = 64, mirrored: bool = True) -> pd.DataFrame:
    """Predict every clip of ``data``, in its order.

    The model computes in eval mode and fp32 where it stands, and is left in the mode that it came in. No clip sees
    another, so ``batch_size`` changes memory and, beyond rounding, nothing else.

    Args:
        model: trained.
        data: clips, scaled by the *training* scaler.
        batch_size: clips at a time.
        mirrored: average the probabilities (and what else is a column) of a clip and of its mirror image. An emotion
            has no side and training shows both, so the two answers estimate the same thing and their mean varies less.

    Returns:
        ``clip_id, subject, y_true, y_pred, p_<class>...`` (of clips that may have several classes the probability of
        each on its own, and it is predicted from `PRESENT` on), then the model's ``COLUMNS``, for example
        ``gate_<input>...`` or ``score_<t>...`` with t = 1 … T; classes by name, ``y_true`` empty without a label.

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
        "y_true": data.label_texts(),
    }
    answers = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]} if chunks else {}
    probabilities = answers.pop("p", torch.empty(0, len(data.classes)))  # (N, K)
    if data.targets is None:
        table["y_pred"] = [data.classes[k] for k in probabilities.argmax(dim=1).tolist()]
    else:
        table["y_pred"] = set_texts(probabilities >= PRESENT, data.classes)
    table |= {f"p_{name}": probabilities[:, k].numpy() for k, name in enumerate(data.classes)}
    for name, values in answers.items():  # (N, S)
        by_input = model.COLUMNS[name] == "input"
        ends = [one.name for one in model.inputs] if by_input else range(1, values.shape[1] + 1)
        table |= {f"{name}_{end}": values[:, s].numpy() for s, end in enumerate(ends)}
    return pd.DataFrame(table)


def _answer(model: Model, data: ClipTensors, rows: Tensor, mirrored: bool) -> dict[str, Tensor]:
    """``p`` (B, K) and the model's ``COLUMNS`` that it returned, (B, n) each, of some clips; float64 on the CPU."""
    device = next(model.parameters()).device
    plain = {one.name: data.inputs[one.name][rows].to(device, torch.float32) for one in model.inputs}
    views = [plain]
    if mirrored:
        views.append({one.name: mirror(plain[one.name], one.kind) for one in model.inputs})
    outputs = [model(view) for view in views]
    logits = torch.stack([o.logits.cpu().double() for o in outputs])  # (views, B, K)
    answers = {"p": (logits.softmax(dim=2) if data.targets is None else logits.sigmoid()).mean(dim=0)}
    for name in model.COLUMNS:
        if name in outputs[0].extras:
            answers[name] = torch.stack([o.extras[name].cpu().double() for o in outputs]).mean(dim=0)
    return answers
