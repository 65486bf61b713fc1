"""Why AFN's gate stays at one half: how alike its two images are, and what a corpus with timing in it changes.

    python -m experiments.gate_question cache/synthetic docs/gate.png

Two measurements on the cached clips of a data set, without a face being looked for:

1. Images of one clip under several rules, and the correlation of each pair inside the face.
2. *Forward or backward:* every clip and the same frames in reverse order, two classes whose only difference is timing.
   A linear machine and AFN, groups of subjects held out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dynamic_images.build import in_steady_light
from dynamic_images.clip_input import ClipArtefacts
from dynamic_images.rank_pooling import pool
from dynamic_images.representations import REPRESENTATIONS, Motion
from experiments.runs.folds import one_thread, train_fold
from experiments.runs.kernel_machines import ImageSVM, ImageSVMSettings
from experiments.runs.systems import Network, System
from experiments.scoring.metrics import score
from experiments.scoring.protocols import find_protocol
from experiments.scoring.statistics import Interval, bootstraps, mean_interval
from fusion_net.fit import FitSettings
from fusion_net.inputs import ClipTensors, resize
from fusion_net.models import AFN, AFNSettings, name_of
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest

RULES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "TRDI, harmonic": ("temporal_ranked", {"weights": "harmonic"}),
    "TRDI, linear": ("temporal_ranked", {"weights": "linear"}),
    "MIDI, linear": ("motion_intensity", {"intensity_weights": "linear"}),
    "MIDI, harmonic": ("motion_intensity", {"intensity_weights": "harmonic"}),
    "onset to apex": ("onset_to_apex", {"weights": "harmonic"}),
    "apex to offset": ("apex_to_offset", {"weights": "harmonic"}),
}
AFN_PAIR, TIMED_PAIR = ("TRDI, harmonic", "MIDI, linear"), ("TRDI, linear", "MIDI, linear")
CLASSES = ("forward", "backward")
SIDE, FOLDS, EPOCHS = 48, 4, 20

Images = dict[str, NDArray[np.float32]]


def images_of(clip: ClipArtefacts) -> tuple[Images, Images]:
    """Every rule's image (S, S, 3) of a clip, and of its frames in reverse order.

    The intensity of a frame stays what it is, onset → t, whichever way the clip runs: MIDI orders frames by it, and so
    is the same image both ways.
    """
    frames = np.stack(list(in_steady_light(clip.crops, clip.landmarks))).astype(np.float32)
    forward, last = clip.motion, len(frames) - 1
    backward = replace(forward, intensity=forward.intensity[::-1], apex=last - forward.apex)
    return pooled(frames, forward), pooled(frames[::-1], backward)


def pooled(frames: NDArray[np.float32], motion: Motion) -> Images:
    """The image of frames (T, S, S, 3) under every rule."""
    weights = [REPRESENTATIONS[name](replace(motion, **changes)) for name, changes in RULES.values()]
    return dict(zip(RULES, pool(frames, np.stack(weights)), strict=True))


def likeness(images: Images, face: NDArray[np.float32]) -> dict[tuple[str, str], float]:
    """Correlation of each pair of images inside the face, weighted as `face_weight` does; 0 means signed grey 0."""
    weighted = {name: image * np.sqrt(face)[..., None] for name, image in images.items()}
    norms = {name: float(np.linalg.norm(image)) or 1.0 for name, image in weighted.items()}
    return {
        (a, b): float((weighted[a] * weighted[b]).sum() / (norms[a] * norms[b]))
        for i, a in enumerate(RULES)
        for b in list(RULES)[i + 1 :]
    }


def both_ways(clip_ids: Sequence[str], subjects: Sequence[str], images: Sequence[tuple[Images, Images]]) -> ClipTensors:
    """Every clip forward and backward, (2N, 3, SIDE, SIDE) per rule."""
    ids = [f"{clip}/{way}" for clip in clip_ids for way in CLASSES]
    shown = [way for pair in images for way in pair]
    inputs = {
        name: torch.from_numpy(np.stack([resize(one[name], SIDE).transpose(2, 0, 1) for one in shown]))
        for name in RULES
    }
    labels = torch.tensor([0, 1] * len(clip_ids))
    people = [subject for subject in subjects for _ in CLASSES]
    return ClipTensors(tuple(ids), tuple(people), labels, CLASSES, inputs)


def answers(data: ClipTensors, system: System) -> pd.DataFrame:
    """Pooled predictions over groups of subjects."""
    folds = find_protocol("k_fold", FOLDS, ())(data.subjects)
    with one_thread():
        return pd.concat([train_fold(data, fold, 0, system).predictions for fold in folds], ignore_index=True)


def under_names(data: ClipTensors, pair: Sequence[str]) -> ClipTensors:
    """The clips with these images as TRDI and MIDI."""
    names = [one.name for one in AFN.uses(AFNSettings())]
    return replace(data, inputs={name: data.inputs[own] for name, own in zip(names, pair, strict=True)})


def timing_table(data: ClipTensors) -> tuple[list[str], dict[str, pd.Series]]:
    """Lines on who tells forward from backward, and the mean gate of every clip by pair."""
    lines, gates = [], {}
    settings = ImageSVMSettings(zero="keep", kernels=("linear",), costs=(1.0,), block=1)
    for name in RULES:
        use = AFN.uses(AFNSettings())[:1]
        one = replace(data, inputs={use[0].name: data.inputs[name]})
        lines.append(f"linear SVM on {name}: UF1 {_shown(_uf1(answers(one, ImageSVM('image_svm', settings, use))))}")
    for pair in (AFN_PAIR, TIMED_PAIR):
        network = Network(
            name_of(AFN), AFNSettings(), AFN.uses(AFNSettings()), AFN, FitSettings(epochs=EPOCHS, device="cpu")
        )
        table = answers(under_names(data, pair), network)
        gate = next(name for name in table.columns if name.startswith("gate") and "temporal" in name)
        gates[" + ".join(pair)] = table[gate]
        mean = mean_interval(table[gate], table["subject"])
        lines.append(
            f"AFN on {' + '.join(pair)}: UF1 {_shown(_uf1(table))}; weight of the first image {_shown(mean)}, "
            f"sd over clips within a fold {table.groupby('fold')[gate].std().mean():.3f}"
        )
    return lines, gates


def _uf1(table: pd.DataFrame) -> Interval:
    assert score(table, CLASSES).uf1 is not None  # both classes occur by construction
    return bootstraps(table, CLASSES, ("uf1",))["uf1"]


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def draw(path: Path, pairs: Mapping[tuple[str, str], NDArray[np.float64]], gates: Mapping[str, pd.Series]) -> None:
    """Figure: correlations of pairs over clips, and the gate where timing tells the class."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1.6, 1))
    names = [f"{a} · {b}" for a, b in pairs]
    left.boxplot(list(pairs.values()), orientation="horizontal", tick_labels=names, showfliers=False)
    left.axvline(0, color="0.7", linewidth=1)
    left.set(
        xlim=(-1.05, 1.05), xlabel="correlation inside the face, one value per clip", title="How alike the images are"
    )
    for name, values in gates.items():
        right.hist(values, bins=np.linspace(0, 1, 41), alpha=0.6, label=name)
    right.axvline(0.5, color="0.7", linewidth=1)
    right.set(xlim=(0, 1), xlabel="weight of the first image", ylabel="clips", title="Gate, forward or backward")
    right.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(cache: Path, picture: Path) -> None:
    """Print the tables and write the figure."""
    manifest = read_manifest(cache)
    manifest = manifest[manifest["status"] == "ok"]
    found: list[tuple[Images, Images]] = []
    alike: list[dict[tuple[str, str], float]] = []
    for clip_id in manifest["clip_id"]:
        clip = ClipArtefacts(clip_folder(cache, clip_id))
        ways = images_of(clip)
        alike.append(likeness(ways[0], clip.face(*clip.crops.shape[1:3])))
        found.append(tuple({k: resize(v, SIDE) for k, v in way.items()} for way in ways))  # type: ignore[arg-type]
    pairs: dict[tuple[str, str], NDArray[np.float64]] = {k: np.array([row[k] for row in alike]) for k in alike[0]}
    subjects = manifest["subject"].reset_index(drop=True)
    print(f"{len(manifest)} clips, {subjects.nunique()} subjects; mean over clips, 95 % interval over subjects")
    for (a, b), values in pairs.items():
        print(f"{a} | {b}: {_shown(mean_interval(pd.Series(values), subjects))}, median {np.median(values):.3f}")
    lines, gates = timing_table(both_ways(list(manifest["clip_id"]), list(subjects), found))
    print("\n".join(lines))
    shown: dict[Any, NDArray[np.float64]] = {k: v for k, v in pairs.items() if "MIDI, linear" in k or k[0] == k[1]}
    draw(picture, shown, gates)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
