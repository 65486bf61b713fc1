"""One network for use, trained on all subjects by the recipe that leave-one-subject-out has judged, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from dynamic_images.pipeline import StageSettings
from experiments.runs.folds import Recipe, data_digest, one_thread, source_digest
from experiments.runs.run import METRICS_FILE, RUN, library_versions, read_json
from fusion_net import checkpoint as checkpoints
from fusion_net.checkpoint import Checkpoint
from fusion_net.device import resolve_device
from fusion_net.export import ONNX
from fusion_net.fit import fit
from fusion_net.inference import strength
from fusion_net.inputs import ClipTensors, Scaler
from fusion_net.models import build_model
from fusion_net.seeds import fold_seed
from preprocessing.artefacts.files import key_of, write_text
from preprocessing.artefacts.plain import plain
from preprocessing.errors import ToolkitError, UsageError

CARD = "model_card.md"
FINAL, SEED = "final", 0
METRICS = {"accuracy": "accuracy", "uf1": "UF1", "uar": "UAR"}


def train_final(
    data: ClipTensors,
    out: Path,
    recipe: Recipe,
    stages: StageSettings,
    facts: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
) -> Path:
    """Train on every clip and write the model's folder: weights, description, card. A finished one is left alone.

    Epochs and all other settings are those of ``recipe``; there is nobody left to choose them on. The description is
    written last, so a folder that loads is whole.

    Args:
        data: labelled clips, unscaled.
        out: the folder; created.
        recipe: what to train.
        stages: how the pictures of the clips were made; a new video goes the same way.
        facts: about the training data, as JSON holds it: ``dataset``, ``scheme``, ``rejected``, ``left_out``.
        evaluation: what `judged` read from the finished leave-one-subject-out run of the same recipe on the same
            clips; None says plainly in model and card that nothing was judged.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` holds something that is no model.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not _is_model(out)):
        raise UsageError(f"--out {out} holds something that is no model: name a new folder")
    about = _about(data, recipe, facts, evaluation)
    about["key"] = key_of(about, recipe, stages, source_digest(), checkpoints.STAGE_VERSIONS)
    if _done(out, about["key"]):
        return out
    seed = fold_seed(SEED, FINAL)
    scaler = Scaler.fit(data)
    model = build_model(recipe.settings, data.classes, seed)
    with one_thread():
        fit(model, scaler(data), settings=recipe.fit, seed=seed)
    about["training"]["strength"] = strengths(scaler(data))
    size = next(iter(data.inputs.values())).shape[-1]
    for name in (checkpoints.DESCRIPTION, ONNX):  # an export of other weights would only look as if it belonged here
        (out / name).unlink(missing_ok=True)
    write_text(out / CARD, _card(about, recipe, stages, size, sum(p.numel() for p in model.parameters())))
    checkpoints.save(out, Checkpoint(model.cpu(), scaler, size, about, stages))
    return out


def judged(run: Path) -> dict[str, Any]:
    """Protocol and scores of a finished run, as model and card quote them.

    Raises:
        ToolkitError: the run is not finished.
    """
    about, metrics = read_json(run / RUN), read_json(run / METRICS_FILE)
    return {
        "run": run.name,
        "protocol": about.get("protocol") or "leave one subject out",
        "network": about["model"],
        "data": about["data"],
        "rows": metrics["rows"],
        "undefined": metrics["undefined"],
    }


def strengths(data: ClipTensors) -> dict[str, list[float]]:
    """Smallest and largest strength of each input over the clips: what a network is used to."""
    spread = {name: strength(tensor) for name, tensor in data.inputs.items()}
    return {name: [round(float(v.min()), 4), round(float(v.max()), 4)] for name, v in spread.items()}


def _about(
    data: ClipTensors, recipe: Recipe, facts: Mapping[str, Any], evaluation: Mapping[str, Any] | None
) -> dict[str, Any]:
    counts = data.labels.bincount(minlength=len(data.classes)).tolist()
    digest = data_digest(data)
    if evaluation is not None and evaluation["data"] != digest:
        raise ToolkitError(f"run {evaluation['run']} was judged on other clips than these: run `mer train` again")
    return {
        "training": {
            **facts,
            "clips": len(data),
            "subjects": len(set(data.subjects)),
            "per_class": dict(zip(data.classes, counts, strict=True)),
            "digest": digest,
            "epochs": recipe.fit.epochs,
            "fit": plain(recipe.fit),
            "seed": SEED,
            "device": resolve_device(recipe.fit.device).type,
        },
        "evaluation": None if evaluation is None else dict(evaluation),
        "libraries": library_versions(),
    }


def _is_model(folder: Path) -> bool:
    return all((folder / name).exists() for name in (checkpoints.WEIGHTS, CARD))


def _done(folder: Path, key: str) -> bool:
    if not (folder / checkpoints.DESCRIPTION).is_file() or not (folder / CARD).is_file():
        return False
    try:
        return checkpoints.load(folder).about.get("key") == key
    except ToolkitError:
        return False


def _card(about: Mapping[str, Any], recipe: Recipe, stages: StageSettings, size: int, parameters: int) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "pages" / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["interval"] = _interval
    return environment.get_template("model_card.md").render(
        model=recipe.name,
        parameters=parameters,
        settings=json.dumps(plain(recipe.settings)),
        stages={name: json.dumps(value) for name, value in plain(stages).items() if name != "faces"},
        faces=json.dumps({k: v for k, v in plain(stages.faces).items() if k != "landmark_model"}),
        size=size,
        metrics=METRICS,
        **about,
    )


def _interval(score: Mapping[str, float | None]) -> str:
    value, low, high = (score[key] for key in ("value", "low", "high"))
    return "n/a" if value is None or low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
