"""Kernel machines on images: what they learn of images whose class is known, and that nothing comes from test clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from experiments.runs.folds import pooled_answers, train_fold
from experiments.runs.kernel_machines import (
    ALL_KERNELS,
    ImageSVMSettings,
    KernelMachine,
    MeanKernelSettings,
    block_mean,
)
from experiments.runs.system_registry import make_system
from experiments.scoring import metrics
from experiments.scoring.protocols import leave_one_subject_out
from fusion_net import ClipTensors

K = ("left", "right")
NAMES = ("temporal_ranked_zeroed", "motion_intensity_zeroed")


def clips(noise: float = 1.0, shuffled: bool = False) -> ClipTensors:
    """48 clips of 6 people: a spot to the left or to the right, in noise, on a face that each person has."""
    random = np.random.default_rng(0)
    labels = np.tile([0, 1], 24)
    images = random.normal(0, noise, (48, 3, 12, 12)) + np.repeat(random.normal(0, 1, (6, 3, 12, 12)), 8, axis=0)
    shown = random.permutation(labels) if shuffled else labels
    images[np.arange(48), :, 5:7, np.where(shown == 0, 2, 9)] += 4
    subjects = tuple(f"s{i // 8}" for i in range(48))
    tensor = torch.from_numpy(images.astype(np.float32))
    ids = tuple(f"{s}/{i}" for i, s in enumerate(subjects))
    return ClipTensors(ids, subjects, torch.from_numpy(labels), K, dict.fromkeys(NAMES, tensor))


def uf1(data: ClipTensors, settings: Any, name: str = "image_svm") -> float:
    system = make_system(name, settings)
    table, _ = pooled_answers(data, leave_one_subject_out(data.subjects), system, (0,))
    return metrics.score(table, K).uf1


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_every_kernel_learns_a_spot_and_none_learns_shuffled_labels(kernel: Any) -> None:
    settings = ImageSVMSettings(kernels=(kernel,), costs=(1.0,))
    assert uf1(clips(), settings) > 0.9  # a class at random scores 0.5
    assert uf1(clips(shuffled=True), settings) < 0.7


def test_so_does_their_mean() -> None:
    assert uf1(clips(), MeanKernelSettings(), "mean_kernel") > 0.9
    assert uf1(clips(shuffled=True), MeanKernelSettings(), "mean_kernel") < 0.7


def test_it_is_the_machine_of_scikit_learn_on_the_same_kernel() -> None:
    random = np.random.default_rng(0)
    x, y, new = random.normal(size=(40, 5)), np.repeat(["a", "b"], 20), random.normal(size=(30, 5))
    x[20:] += 0.7
    d2 = ((x[:, None] - x) ** 2).sum(-1)[np.triu_indices(40, 1)]
    theirs = SVC(C=2.0, gamma=1 / np.median(d2), class_weight="balanced").fit(x, y)
    np.testing.assert_array_equal(KernelMachine(("rbf",), 2.0).fit(x, y).predict(new), theirs.predict(new))
    scale = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    linear = SVC(C=2.0, kernel="linear", class_weight="balanced").fit((x - x.mean(0)) / scale, y)
    found = KernelMachine(("linear",), 2.0).fit(x, y).predict(new)
    np.testing.assert_array_equal(found, linear.predict((new - x.mean(0)) / scale))


def test_the_unit_of_the_images_has_no_effect() -> None:
    random = np.random.default_rng(0)
    x, new, y = random.normal(size=(40, 5)), random.normal(size=(30, 5)), np.repeat(["a", "b"], 20)
    answers = [KernelMachine(ALL_KERNELS).fit(k * x, y).predict(k * new) for k in (1, 1000)]
    np.testing.assert_array_equal(*answers)


def test_an_answer_does_not_depend_on_the_other_test_clips() -> None:
    """Median, mean and widths that were fitted on test clips would change it."""
    data, system = clips(noise=2.0), make_system("mean_kernel", MeanKernelSettings())
    fold = leave_one_subject_out(data.subjects)[0]
    alone = train_fold(data, fold, 0, system).predictions
    loud = {name: x.clone() for name, x in data.inputs.items()}
    for x in loud.values():
        x[list(fold.test[1:])] *= 100
    beside = train_fold(ClipTensors(data.clip_ids, data.subjects, data.labels, K, loud), fold, 0, system).predictions
    assert alone["y_pred"][0] == beside["y_pred"][0]


def test_clips_that_are_all_alike_give_an_answer() -> None:
    found = KernelMachine(ALL_KERNELS).fit(np.zeros((6, 4)), np.array(list("aabbab"))).predict(np.zeros((2, 4)))
    assert set(found) <= {"a", "b"}


def test_blocks_are_averaged_by_hand() -> None:
    images = torch.arange(36.0).view(1, 1, 6, 6)
    assert block_mean(images, 2)[0, 0, 0].tolist() == [3.5, 5.5, 7.5]
    assert block_mean(images, 4).shape == (1, 1, 1, 1)
    assert block_mean(images, 1) is images


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"zero": "mean"}, "zero is 'mean'"),
        ({"kernels": ("cubic",)}, "kernels are .*cubic"),
        ({"costs": (0.0,)}, "must be positive"),
        ({"inputs": ()}, "one or more"),
    ],
)
def test_settings_without_a_meaning_are_refused(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageSVMSettings(**bad)
