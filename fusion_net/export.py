"""A trained model as one ONNX file that needs neither torch nor this toolkit to run."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusion_net.augment import mirror
from fusion_net.checkpoint import Checkpoint
from fusion_net.models import Model, name_of
from preprocessing.artefacts.plain import plain
from preprocessing.errors import EnvironmentProblemError

ONNX = "model.onnx"
OPSET = 18


def export_onnx(checkpoint: Checkpoint, path: Path) -> Path:
    """Write the model as ONNX, opset 18, any batch size.

    The graph does all that stands between the cached pictures and an answer: it divides by the input scales, and it
    averages the probabilities of a clip and of its mirror image as `fusion_net.inference` does.

    Inputs, by their names in ``INPUTS``: what `fusion_net.load_clips` reads at the model's size, unscaled: a dynamic
    image is (B, 3, S, S) float32 in grey levels. Outputs: ``logits`` (B, K) of the clip as it is, ``probabilities``
    (B, K), and ``gate`` (B, S) where the model has one.

    The file's metadata holds ``classes``, ``scales``, ``size``, ``inputs`` (shapes), ``model``, ``preprocessing`` and
    ``about`` as JSON.

    Returns:
        ``path``.

    Raises:
        EnvironmentProblemError: the extra ``export`` is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch exports with
    except ImportError as error:
        raise EnvironmentProblemError(
            f"{error.name} is not installed: pip install 'micro-expression-toolkit[export]'"
        ) from error
    model = checkpoint.model
    shapes = input_shapes(model, checkpoint.size)
    whole = _Whole(model, dict(checkpoint.scaler.scales)).eval()
    # two clips: a batch of one would become a constant of the graph
    example = tuple(torch.zeros(2, *shape) for shape in shapes.values())
    names = ["logits", "probabilities"] + (["gate"] if len(whole(*example)) == 3 else [])
    batch = torch.export.Dim("batch", min=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _quiet():
            torch.onnx.export(
                whole,
                example,
                aside,
                input_names=list(shapes),
                output_names=names,
                dynamic_shapes=(tuple({0: batch} for _ in shapes),),
                opset_version=OPSET,
                external_data=False,
                dynamo=True,
            )
        file = onnx.load(aside)
        for key, value in _metadata(checkpoint, shapes).items():
            file.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(file)
        onnx.save(file, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def input_shapes(model: Model, size: int) -> dict[str, tuple[int, ...]]:
    """Shape of one clip in each input."""
    frames = getattr(model.settings, "frames", None)
    return {
        name: (frames, 1, size, size) if kind == "frames" and frames else (3, size, size)
        for name, kind in model.INPUTS.items()
    }


class _Whole(nn.Module):
    """From unscaled inputs to answers, as `fusion_net.inference` gives them."""

    def __init__(self, model: Model, scales: dict[str, float]) -> None:
        super().__init__()
        self.model, self.scales = model, scales

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        plain_view = {name: x / self.scales[name] for name, x in zip(self.model.INPUTS, inputs, strict=True)}
        turned = {name: mirror(x, self.model.INPUTS[name]) for name, x in plain_view.items()}
        first, second = self.model(plain_view), self.model(turned)
        probabilities = (first.logits.softmax(dim=1) + second.logits.softmax(dim=1)) / 2
        if "gate" not in first.extras:
            return first.logits, probabilities
        return first.logits, probabilities, (first.extras["gate"] + second.extras["gate"]) / 2


def _metadata(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    content: dict[str, Any] = {
        "model": name_of(checkpoint.model.settings),
        "classes": list(checkpoint.model.classes),
        "scales": dict(checkpoint.scaler.scales),
        "size": checkpoint.size,
        "inputs": shapes,
        "preprocessing": None if checkpoint.stages is None else checkpoint.stages,
        "about": dict(checkpoint.about),
    }
    return {key: value if isinstance(value, str) else json.dumps(plain(value)) for key, value in content.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its steps to the terminal and warns of its own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
