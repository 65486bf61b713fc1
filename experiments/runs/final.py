"""Train the model to use: on all subjects, with the settings that leave-one-subject-out has judged; write its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from dynamic_images.pipeline import StageSettings
from experiments.runs.folds import data_digest, one_thread
from experiments.runs.run import WAIT, Run, library_versions
from experiments.runs.systems import FittedNetwork, Network, side_of
from experiments.scoring.metrics import MEASURES
from fusion_net import checkpoint as checkpoints
from fusion_net.checkpoint import Checkpoint
from fusion_net.export import ONNX
from fusion_net.inputs import ClipTensors, strength
from preprocessing.artefacts.files import is_scratch, key_of, remove_leftovers, write_text
from preprocessing.artefacts.locks import LOCK, locked
from preprocessing.artefacts.plain import plain
from preprocessing.errors import ToolkitError, UsageError

CARD = "model_card.md"
FINAL, SEED = "final", 0


def train_final(
    data: ClipTensors,
    out: Path,
    system: Network,
    stages: StageSettings,
    facts: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
) -> Path:
    """Train on every clip and write the model's folder: weights, description, card. A finished one is left alone.

    Epochs and all other settings are those of ``system``; there is nobody left to choose them on. The description is
    written last, so a folder that loads is whole.

    Args:
        data: labelled clips, unscaled.
        out: the folder; created.
        system: what to train.
        stages: how the pictures of the clips were made; a new video goes the same way.
        facts: about the training data, as JSON holds it: ``dataset``, ``scheme``, ``rejected``, ``left_out``.
        evaluation: what `judged` read from the finished leave-one-subject-out run of the same system on the same
            clips; None says plainly in model and card that nothing was judged.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` holds something that is no model.
        FolderInUseError: another process is at work in it.
    """
    check_place(out)
    with locked(out, "training a model on all subjects", WAIT):
        return _train_final(data, out, system, stages, facts, evaluation)


def check_place(out: Path) -> None:
    """Refuse a folder in which a model would stand among something else.

    Raises:
        UsageError: ``out`` is a file, or a folder of other things than a model.
    """
    others = out.is_dir() and any(path.name != LOCK and not is_scratch(path.name) for path in out.iterdir())
    if (out.exists() and not out.is_dir()) or (others and not _is_model(out)):
        raise UsageError(f"--out {out} holds something that is no model: name a new folder")


def _train_final(
    data: ClipTensors,
    out: Path,
    system: Network,
    stages: StageSettings,
    facts: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
) -> Path:
    data = data.only(one.name for one in system.inputs)
    about = _about(data, system, facts, evaluation)
    about["key"] = key_of(about, system.key, stages, checkpoints.STAGE_VERSIONS)
    if _done(out, about["key"]):
        return out
    remove_leftovers(out, alone=True)
    with one_thread():
        fitted = system.fit(data, SEED, FINAL)
    about["training"]["strength"] = strengths(fitted.scaler(data))
    size = side_of(data)
    for name in (checkpoints.DESCRIPTION, ONNX):  # an export of other weights would only look as if it belonged here
        (out / name).unlink(missing_ok=True)
    write_text(out / CARD, _card(about, system, fitted, stages, size))
    checkpoint = Checkpoint(fitted.model.cpu(), fitted.scaler, size, about, stages, system.mirrored)
    checkpoints.save(out, checkpoint)
    return out


def judged(run: Run) -> dict[str, Any]:
    """Protocol and scores of a finished run, as model and card quote them.

    Raises:
        ToolkitError: the run is not finished.
    """
    about, metrics = run.about(), run.metrics()
    return {
        "run": run.name,
        "protocol": about.get("protocol") or "leave one subject out",
        "network": about["model"],
        "data": about["data"],
        "rows": metrics["rows"],
        "titles": metrics["titles"],
        "undefined": metrics["undefined"],
    }


def strengths(data: ClipTensors) -> dict[str, list[float]]:
    """Smallest and largest strength of each input over the clips: what a network is used to."""
    spread = {name: strength(data, name) for name in data.inputs}
    return {name: [round(float(v.min()), 4), round(float(v.max()), 4)] for name, v in spread.items()}


def _about(
    data: ClipTensors, system: Network, facts: Mapping[str, Any], evaluation: Mapping[str, Any] | None
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
            "epochs": system.training.epochs,
            "fit": plain(system.training),
            "seed": SEED,
            "device": system.device,
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


def _card(about: Mapping[str, Any], system: Network, fitted: FittedNetwork, stages: StageSettings, size: int) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "pages" / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["interval"] = _interval
    return environment.get_template("model_card.md").render(
        model=system.title,
        parameters=sum(p.numel() for p in fitted.model.parameters()),
        settings=json.dumps(plain(system.settings)),
        inputs=[(one.input, one.shape(size)) for one in system.inputs],
        mirrored=system.mirrored,
        stages={name: json.dumps(value) for name, value in plain(stages).items() if name != "faces"},
        faces=json.dumps({k: v for k, v in plain(stages.faces).items() if k != "landmark_model"}),
        size=size,
        metrics=MEASURES,
        **about,
    )


def _interval(score: Mapping[str, float | None]) -> str:
    value, low, high = (score[key] for key in ("value", "low", "high"))
    return "n/a" if value is None or low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
