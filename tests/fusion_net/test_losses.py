from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fusion_net.losses import class_weights, set_targets, smooth_targets, soft_cross_entropy


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=40), smoothing=st.floats(0, 0.9))
def test_smoothed_targets_are_probabilities_that_favour_the_label(labels: list[int], smoothing: float) -> None:
    target = smooth_targets(torch.tensor(labels), 5, smoothing)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(len(labels)))
    assert target.argmax(dim=1).tolist() == labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_agrees_with_torch(smoothing: float) -> None:
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    ours = soft_cross_entropy(logits, smooth_targets(labels, 5, smoothing))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_cross_entropy_of_bf16_logits_is_computed_in_float32() -> None:
    logits = torch.randn(6, 5).bfloat16()
    target = smooth_targets(torch.arange(6) % 5, 5, 0.1)
    loss = soft_cross_entropy(logits, target)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, soft_cross_entropy(logits.float(), target))


def test_a_weight_counts_a_clip_that_many_times() -> None:
    logits, target = torch.randn(2, 3), smooth_targets(torch.tensor([0, 2]), 3, 0.0)
    each = [soft_cross_entropy(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    weighted = soft_cross_entropy(logits, target, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(weighted, (3 * each[0] + each[1]) / 2)


@pytest.mark.parametrize("balance", ["none", "inverse", "effective"])
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_weights_average_to_one_over_the_clips_and_absent_classes_get_none(balance: str, labels: list[int]) -> None:
    weights = class_weights(torch.tensor(labels), 6, balance)
    assert torch.isfinite(weights).all()
    assert abs(float(weights[labels].mean()) - 1) < 1e-5
    absent = [k for k in range(6) if k not in labels]
    assert (weights[absent] == 0).all()


def test_inverse_weights_give_every_class_the_same_say() -> None:
    labels = torch.tensor([0] * 12 + [1] * 3 + [2])
    weights = class_weights(labels, 3, "inverse")
    torch.testing.assert_close(weights * torch.bincount(labels), torch.full((3,), 16 / 3))


def test_effective_numbers_lie_between_none_and_inverse() -> None:
    labels = torch.tensor([0] * 30 + [1] * 3)
    ratio = {b: w[1] / w[0] for b in ("none", "inverse", "effective") for w in [class_weights(labels, 2, b)]}
    assert ratio["none"] == 1
    assert 1 < ratio["effective"] < ratio["inverse"]
    n = torch.tensor([30.0, 3.0])
    expected = (1 - 0.99 ** n[0]) / (1 - 0.99 ** n[1])  # Cui et al., eq. 2
    torch.testing.assert_close(ratio["effective"], expected)
    torch.testing.assert_close(class_weights(labels, 2, "effective", 0.0), torch.ones(2))


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="no labels"):
        class_weights(torch.tensor([], dtype=torch.int64), 3)
    with pytest.raises(ValueError, match="balance"):
        class_weights(torch.tensor([0]), 3, "some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beta"):
        class_weights(torch.tensor([0]), 3, "effective", 1.0)
    with pytest.raises(ValueError, match="smoothing"):
        smooth_targets(torch.tensor([0]), 3, 1.0)


def test_a_weight_for_each_class_makes_each_class_a_question_of_its_own() -> None:
    logits, target = torch.randn(5, 3), (torch.rand(5, 3) < 0.5).float()
    weight = torch.rand(5, 3)
    wanted = torch.nn.functional.binary_cross_entropy(logits.sigmoid(), target, weight)
    assert torch.allclose(soft_cross_entropy(logits, target, weight), wanted, atol=1e-6)


def test_clips_with_a_label_weigh_as_much_as_those_without() -> None:
    targets = torch.zeros(10, 3)
    targets[:2, 0] = 1  # the third label is in no clip, the second in all
    targets[:, 1] = 1
    smoothed, weights = set_targets(targets, smoothing=0.2)
    assert weights[:2, 0].sum() == pytest.approx(float(weights[2:, 0].sum()))
    assert torch.allclose(weights.mean(dim=0), torch.ones(3))
    assert torch.allclose(smoothed, targets * 0.8 + 0.1)
    assert (set_targets(targets, 0, "none")[1] == 1).all()
