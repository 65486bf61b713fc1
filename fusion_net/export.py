"""Export a trained model as one ONNX file that needs neither torch nor this toolkit to run."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusion_net.augment import mirror
from fusion_net.checkpoint import Checkpoint, described_stages
from fusion_net.models import name_of
from preprocessing.artefacts.files import atomic
from preprocessing.artefacts.plain import plain
from preprocessing.errors import EnvironmentProblemError

ONNX = "model.onnx"
OPSET = 18


def export_onnx(checkpoint: Checkpoint, path: Path) -> Path:
    """Write the model as ONNX, opset 18, any batch size.

    The graph does all that stands between the cached pictures and an answer: it divides by the input scales, and, if
    the model was judged so, it averages the probabilities of a clip and of its mirror image.

    Inputs, by their names: what `fusion_net.load_clips` reads at the model's size, unscaled, (B, *shape) float32: a
    dynamic image is (B, 3, S, S) in grey levels, see `InputUse.shape`. Outputs: ``logits`` (B, K) of the clip as it is,
    ``probabilities`` (B, K), and the model's ``COLUMNS`` that it returns, for example ``gate`` (B, S).

    The file's metadata holds ``classes``, ``scales``, ``size``, ``mirrored``, ``inputs`` (shapes), ``model``,
    ``preprocessing`` and ``about`` as JSON.

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
    shapes = {one.name: one.shape(checkpoint.size) for one in model.inputs}
    whole = _Whole(checkpoint).eval()
    # two clips: a batch of one would become a constant of the graph
    example = tuple(torch.zeros(2, *shape) for shape in shapes.values())
    names = ["logits", "probabilities", *whole.columns(example)]
    batch = torch.export.Dim("batch", min=1)
    with atomic(path) as aside:
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
    return path


class _Whole(nn.Module):
    """From unscaled inputs to answers, as `fusion_net.inference.predict` gives them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self.mirrored = checkpoint.model, checkpoint.mirrored
        self.scales = {one.name: checkpoint.scaler.divisor(one.name) for one in self.model.inputs}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = [self.model(view) for view in self._views(inputs)]
        probabilities = torch.stack([output.logits.softmax(dim=1) for output in outputs]).mean(dim=0)
        shown = [name for name in self.model.COLUMNS if name in outputs[0].extras]
        further = [torch.stack([output.extras[name] for output in outputs]).mean(dim=0) for name in shown]
        return outputs[0].logits, probabilities, *further

    def columns(self, inputs: tuple[Tensor, ...]) -> list[str]:
        """Names of what follows the probabilities."""
        extras = self.model(self._views(inputs)[0]).extras
        return [name for name in self.model.COLUMNS if name in extras]

    def _views(self, inputs: tuple[Tensor, ...]) -> list[dict[str, Tensor]]:
        """The clips, and their mirror images if the model is used with them."""
        uses = self.model.inputs
        plain_view = {one.name: x / self.scales[one.name] for one, x in zip(uses, inputs, strict=True)}
        if not self.mirrored:
            return [plain_view]
        return [plain_view, {one.name: mirror(plain_view[one.name], one.kind) for one in uses}]


def _metadata(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    content: dict[str, Any] = {
        "model": name_of(type(checkpoint.model)),
        "classes": list(checkpoint.model.classes),
        "scales": dict(checkpoint.scaler.scales),
        "size": checkpoint.size,
        "mirrored": checkpoint.mirrored,
        "inputs": shapes,
        "preprocessing": described_stages(checkpoint.stages),
        "about": dict(checkpoint.about),
    }
    return {key: value if isinstance(value, str) else json.dumps(plain(value)) for key, value in content.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and deprecation warnings off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
