from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from experiments.pages.report import write_report
from experiments.runs.classical import SVMSettings
from experiments.runs.folds import evaluate
from experiments.runs.kernel_machines import ImageSVMSettings
from experiments.runs.run import Run
from experiments.runs.system_registry import BASELINES, find_system, make_system
from experiments.runs.systems import Network, System, clip_table
from fusion_net import AFN, FDP, AFNSettings, ClipTensors, FDPSettings, FitSettings
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import write_manifest

CLASSES = ("calm", "happy", "other")
SUBJECTS, CLIPS_EACH = 4, 6

Guesses = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session", autouse=True)
def _single_thread() -> None:
    """Networks of a few hundred parameters lose time to threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def classes() -> tuple[str, ...]:
    return CLASSES


@pytest.fixture(scope="session")
def guesses() -> Guesses:
    """A prediction table that is right with probability ``right`` and guesses otherwise."""

    def make(subjects: int = 6, clips: int = 9, right: float = 0.7, seeds: int = 1, rng: int = 0) -> pd.DataFrame:
        random = np.random.default_rng(rng)
        rows = []
        for seed in range(seeds):
            for s in range(subjects):
                for c in range(clips):
                    true = CLASSES[(s + c) % len(CLASSES)]
                    predicted = true if random.random() < right else str(random.choice(CLASSES))
                    subject = f"toy/s{s}"
                    rows.append((f"{subject}/c{c}", subject, f"toy_s{s}", seed, true, predicted))
        return pd.DataFrame(rows, columns=["clip_id", "subject", "fold", "seed", "y_true", "y_pred"])

    return make


@pytest.fixture(scope="session")
def toy_data() -> ClipTensors:
    """24 clips of 4 subjects: the class brightens both images and two of the features a little."""
    n = SUBJECTS * CLIPS_EACH
    labels = torch.arange(n) % len(CLASSES)
    noise = torch.randn(2, n, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images = noise + labels[:, None, None, None]
    subjects = tuple(f"toy/s{i // CLIPS_EACH}" for i in range(n))
    ids = tuple(f"{subject}/c{i % CLIPS_EACH}" for i, subject in enumerate(subjects))
    features = torch.randn(n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    features[:, :2] += labels[:, None]
    inputs = {
        "temporal_ranked": images[0],
        "motion_intensity": images[1],
        "temporal_ranked_zeroed": images[0],  # of which the median is not taken away: it is what tells the class
        "motion_intensity_zeroed": images[1],
        **dict.fromkeys(("flow_grid", "hoof", "mdmo", "lbp_top"), features),
        "true_peaks": torch.eye(len(CLASSES), dtype=torch.float64)[labels],
    }
    kinds = dict.fromkeys(("flow_grid", "hoof", "mdmo", "lbp_top", "true_peaks"), "features")
    return ClipTensors(ids, subjects, labels, CLASSES, inputs, kinds)


@pytest.fixture(scope="session")
def set_data(toy_data: ClipTensors) -> ClipTensors:
    """The toy clips with labels of which a clip may have several: each brightens a feature and a corner of its own."""
    n = len(toy_data)
    targets = (torch.rand(n, len(CLASSES), generator=torch.Generator().manual_seed(3)) < 0.4).float()
    features = torch.randn(n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    features[:, : len(CLASSES)] += 4 * targets
    images = 0.3 * torch.randn(2, n, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    for k, (top, left) in enumerate(((0, 4), (9, 0), (9, 9))):
        images[:, :, :, top : top + 7, left : left + 7] += 2 * targets[:, k, None, None, None]
    inputs = {"temporal_ranked": images[0], "motion_intensity": images[1], "flow_grid": features}
    unlabelled = torch.full((n,), -1)
    return dataclasses.replace(
        toy_data, labels=unlabelled, inputs=inputs, kinds={"flow_grid": "features"}, targets=targets
    )


@pytest.fixture(scope="session")
def tiny() -> Network:
    """An AFN of a few hundred parameters, trained for two epochs."""
    settings = AFNSettings(widths=(8,), grid=1, features=8, gate_hidden=4)
    return Network("afn", settings, AFN.uses(settings), AFN, FitSettings(epochs=2, device="cpu"))


@pytest.fixture(scope="session")
def baselines() -> tuple[System, ...]:
    """What every run shows beside its own system."""
    settings = {"svm": SVMSettings(costs=(0.01,)), "image_svm": ImageSVMSettings(costs=(1.0,))}
    return tuple(make_system(name, settings.get(name, find_system(name).Settings())) for name in BASELINES)


@pytest.fixture(scope="session")
def toy_cache(tmp_path_factory: pytest.TempPathFactory, toy_data: ClipTensors) -> Path:
    """Manifest and pictures of the toy clips, and one rejected clip."""
    cache = tmp_path_factory.mktemp("cache") / "toy"
    random, images = np.random.default_rng(0), ("temporal_ranked", "motion_intensity")
    rows = []
    for i, row in enumerate(clip_table(toy_data).itertuples()):
        folder = clip_folder(cache, str(row.clip_id))
        folder.folder.mkdir(parents=True)
        for name in images:
            cv2.imwrite(str(folder / f"{name}.png"), random.integers(0, 255, (24, 24, 3), np.uint8))
        rows.append(
            {
                "clip_id": row.clip_id,
                "subject": row.subject,
                "emotion": row.y_true,
                "status": "ok",
                "code": "",
                "reason": "",
                "fps": 200.0,
                "n_frames": 5,
                "onset": 3,
                "apex": 5 if i else None,
                "offset": 7,
                "apex_source": "annotated",
                **{f"{name}_energy": 1.5 for name in images},
            }
        )
    lost = {"status": "rejected", "code": "no_face", "reason": "no face in <b>5</b> of 5 frames"}
    write_manifest(cache, [*rows, {**rows[0], "clip_id": "toy/s9/c0", "subject": "toy/s9", **lost}])
    return cache


@pytest.fixture(scope="session")
def _evaluated(
    tmp_path_factory: pytest.TempPathFactory,
    toy_data: ClipTensors,
    toy_cache: Path,
    tiny: Network,
    baselines: tuple[System, ...],
) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    evaluate(toy_data, Run(folder), tiny, baselines, seeds=(0, 1), cache=toy_cache)
    write_report(Run(folder), toy_cache)
    return folder


@pytest.fixture
def finished(_evaluated: Path, tmp_path: Path) -> Run:
    """A copy of a finished run over the toy clips, two seeds, with all baselines and its report."""
    return Run(Path(shutil.copytree(_evaluated, tmp_path / "demo")))


@pytest.fixture(scope="session")
def frame_data(toy_data: ClipTensors) -> ClipTensors:
    """The toy clips as frames: a corner grows brighter by the class, over a face of noise."""
    labels = toy_data.labels
    face = 100 + torch.randn(len(labels), 1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    growth = torch.linspace(0, 1, 4).view(1, 4, 1, 1, 1) * (1 + labels.view(-1, 1, 1, 1, 1))
    corner = torch.zeros(16, 16)
    corner[:8, :8] = 1
    frames = {"frames": face + growth * corner}
    return ClipTensors(toy_data.clip_ids, toy_data.subjects, labels, CLASSES, frames, {"frames": "frames"})


@pytest.fixture(scope="session")
def tiny_fdp() -> Network:
    """FDP on four frames, trained for two epochs."""
    settings = FDPSettings(frames=4, grid=1, features=8)
    return Network("fdp", settings, FDP.uses(settings), FDP, FitSettings(epochs=2, device="cpu"))


@pytest.fixture(scope="session")
def _ranked(
    tmp_path_factory: pytest.TempPathFactory,
    frame_data: ClipTensors,
    toy_cache: Path,
    tiny_fdp: Network,
    baselines: tuple[System, ...],
) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ranked"
    evaluate(frame_data, Run(folder), tiny_fdp, baselines[:2], seeds=(0, 1), cache=toy_cache)
    return folder


@pytest.fixture
def ranked(_ranked: Path, tmp_path: Path) -> Run:
    """A copy of a finished run of FDP over the toy clips, two seeds."""
    return Run(Path(shutil.copytree(_ranked, tmp_path / "ranked")))


@pytest.fixture(scope="session")
def svm() -> System:
    """A linear support vector machine on the features of the toy clips."""
    return make_system("svm", SVMSettings(costs=(0.01,)))


@pytest.fixture(scope="session")
def _separated(
    tmp_path_factory: pytest.TempPathFactory,
    toy_data: ClipTensors,
    toy_cache: Path,
    svm: System,
    baselines: tuple[System, ...],
) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "separated"
    evaluate(toy_data, Run(folder), svm, baselines[:2], cache=toy_cache)
    return folder


@pytest.fixture
def separated(_separated: Path, tmp_path: Path) -> Run:
    """A copy of a finished run of a support vector machine over the toy clips, one seed."""
    return Run(Path(shutil.copytree(_separated, tmp_path / "separated")))
