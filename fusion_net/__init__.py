"""Learning from dynamic images: clips as tensors, the adaptive fusion network, training and prediction.

One fold of leave-one-subject-out, from tensors to a table::

    data = load_clips(manifest, cache, AFN.uses(AFNSettings()), classes, labels, size=96)
    train, test = subset(data, train_rows), subset(data, test_rows)
    scaler = Scaler.fit(train)
    seed = fold_seed(0, subject)
    model = build_model(AFNSettings(), data.classes, seed)
    curve = fit(model, scaler(train), settings=FitSettings(), seed=seed)
    predictions = predict(model, scaler(test))
    save(folder, Checkpoint(model, scaler, size=96))

A trained model on clips of one's own, and as a file for other programs::

    checkpoint = load(Path("runs/synthetic-afn/model"))
    table = predict_clips(checkpoint, clips, Path("cache/mine"))
    export_onnx(checkpoint, Path("model.onnx"))
"""

from __future__ import annotations

from fusion_net.augment import NO_AUGMENTATION, AugmentSettings, mirror
from fusion_net.checkpoint import Checkpoint, load, save
from fusion_net.device import resolve_device, resolve_precision
from fusion_net.export import export_onnx
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, load_clips, subset
from fusion_net.models import AFN, FDP, MODELS, AFNSettings, FDPSettings, Model, Output, build_model, new_model
from fusion_net.new_clips import predict_clips
from fusion_net.seeds import fold_seed

__all__ = [
    "AFN",
    "FDP",
    "MODELS",
    "NO_AUGMENTATION",
    "AFNSettings",
    "AugmentSettings",
    "Checkpoint",
    "ClipTensors",
    "FDPSettings",
    "FitSettings",
    "Model",
    "Output",
    "Scaler",
    "build_model",
    "export_onnx",
    "fit",
    "fold_seed",
    "load",
    "load_clips",
    "mirror",
    "new_model",
    "predict",
    "predict_clips",
    "resolve_device",
    "resolve_precision",
    "save",
    "subset",
]
