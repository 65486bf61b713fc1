"""Save and load a trained model as two files without pickle: ``model.safetensors`` and ``model.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from dynamic_images.build import VERSION as IMAGES_VERSION
from dynamic_images.inputs import recorded_use
from dynamic_images.pipeline import StageSettings
from fusion_net.description import checked_about, checked_classes, checked_scales, checked_size, checked_weights
from fusion_net.inputs import Scaler
from fusion_net.models import MODELS, Model, name_of, new_model
from preprocessing.artefacts.files import digest, key_of, write_bytes, write_text
from preprocessing.artefacts.plain import from_plain, plain
from preprocessing.errors import ToolkitError, UsageError
from preprocessing.pipeline import FACES_VERSION, FLOW_VERSION

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT = 3

STAGE_VERSIONS = {"faces": FACES_VERSION, "flow": FLOW_VERSION, "images": IMAGES_VERSION}


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to use it on new clips.

    Attributes:
        model: its weights, settings and classes; in eval mode when loaded.
        scaler: fitted on its training clips.
        size: side of its input images, px.
        about: anything else worth keeping (seed, data set, left-out subject), as JSON holds it.
        mirrored: whether it was judged, and is therefore used, by the mean over a clip and its mirror image.
        stages: how the pictures that it learnt from were made, so that new clips go the same way; None where that is
            not known, and then it cannot be applied to a video. Of a landmark model only the file's name is kept.
    """

    model: Model
    scaler: Scaler
    size: int
    about: Mapping[str, Any] = field(default_factory=dict)
    stages: StageSettings | None = None
    mirrored: bool = True


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write both files into ``folder``.

    The description goes first and comes back last, with the digest of the weights: anything in between is no model.

    Raises:
        TypeError: the model is not registered, so it could not be read again.
    """
    model = checkpoint.model
    name = name_of(type(model))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = safetensors.torch.save(state)
    write_bytes(folder / WEIGHTS, weights)
    description = {
        "format": FORMAT,
        "toolkit": toolkit_version(),
        "model": name,
        "settings": plain(model.settings),
        "classes": list(model.classes),
        "inputs": [one.plain() for one in model.inputs],
        "size": checkpoint.size,
        "mirrored": checkpoint.mirrored,
        "scales": dict(checkpoint.scaler.scales),
        "preprocessing": described_stages(checkpoint.stages),
        "weights": digest(weights),
        "about": plain(checkpoint.about),
    }
    description["digest"] = key_of(description)
    write_text(folder / DESCRIPTION, json.dumps(description, indent=1, allow_nan=False) + "\n")


def load(folder: Path) -> Checkpoint:
    """Read what `save` wrote; the model comes on the CPU in eval mode.

    Raises:
        ToolkitError: a file is missing or broken, the two do not belong together, or this toolkit does not know the
            model, its settings, its inputs or the way that its pictures were made.
    """
    where = folder / DESCRIPTION
    try:
        description = json.loads(where.read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise ToolkitError(f"{folder} holds no readable checkpoint ({error}): train one with `mer train`") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ToolkitError(f"{where} is not a checkpoint of format {FORMAT}: train it again with this version")
    if not _is_as_written(description):
        raise ToolkitError(f"{where} is not as it was written: copy it again, or train the model again")
    if description.get("weights") != digest(weights):
        raise ToolkitError(f"{folder / WEIGHTS} is not the file that {DESCRIPTION} describes: copy both again")
    try:
        checkpoint = _rebuilt(description, weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError, UsageError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolkitError(f"{where} does not fit this version of the toolkit ({reason}): train it again") from error
    return checkpoint


def _is_as_written(description: dict[str, Any]) -> bool:
    try:
        return bool(description.pop("digest", None) == key_of(description))
    except RecursionError:  # nested deeper than anything that was written here
        return False


def _rebuilt(description: Mapping[str, Any], weights: bytes) -> Checkpoint:
    name, mirrored = description["model"], description["mirrored"]
    if name not in MODELS:
        raise ValueError(f"model {name!r} is not one of {', '.join(MODELS)}")
    if not isinstance(mirrored, bool):
        raise ValueError(f"mirrored is {mirrored!r}, wanted true or false")
    inputs = [recorded_use(one) for one in description["inputs"]]
    settings = from_plain(MODELS[name].Settings, description["settings"], name, complete=True)
    classes, size = checked_classes(description["classes"]), checked_size(description["size"])
    scales, about = checked_scales(description["scales"], inputs), checked_about(description["about"])
    state = checked_weights(weights, MODELS[name], settings, classes, inputs)
    model = new_model(MODELS[name], settings, classes, seed=0, inputs=inputs)
    model.load_state_dict(state)
    return Checkpoint(model.eval(), Scaler(scales), size, about, _stages(description["preprocessing"]), mirrored)


def described_stages(stages: StageSettings | None) -> dict[str, Any] | None:
    """How pictures were made, for a file that is passed on: without the folder that a landmark model lies in."""
    if stages is None:
        return None
    settings = plain(stages)
    if stages.faces.landmark_model is not None:
        settings["faces"]["landmark_model"] = Path(stages.faces.landmark_model).name
    return {"versions": STAGE_VERSIONS, **settings}


def _stages(given: Mapping[str, Any] | None) -> StageSettings | None:
    if given is None:
        return None
    for stage, version_here in STAGE_VERSIONS.items():
        there = given["versions"].get(stage)
        if there != version_here:
            raise ValueError(
                f"it learnt from {stage} of version {there}; this version makes others, of version {version_here}"
            )
    return StageSettings.of(given)


def toolkit_version() -> str:
    """Installed version, or a word that says that it runs from a source tree."""
    try:
        return version("micro-expression-toolkit")
    except PackageNotFoundError:
        return "source"
