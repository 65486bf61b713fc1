from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dynamic_images.inputs import use
from fusion_net.augment import NO_AUGMENTATION
from fusion_net.fit import FitSettings, fit
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.losses import smooth_targets
from fusion_net.models import FDP, FDPSettings, Model, build_model
from fusion_net.models.fdp.construction import IMAGES

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")
CPU = FitSettings(device="cpu", lr=2e-3)
PARTS = (
    ({}, {"class", "rank", "construction"}),
    ({"rank": 0.0}, {"class", "construction"}),
    ({"construction": 0.0}, {"class", "rank"}),
    ({"rank": 0.0, "construction": 0.0}, {"class"}),
    ({"pooling": "uniform", "rank": 0.0}, {"class", "construction"}),
    ({"weights": "linear", "encoding": "minmax"}, {"class", "rank", "construction"}),
)


def batch(n: int = 2, count: int = 4, rows: int = 32, columns: int = 32, seed: int = 0) -> dict[str, Tensor]:
    frames = torch.randn(n, count, 1, rows, columns, generator=torch.Generator().manual_seed(seed))
    return {"frames": frames, "target": smooth_targets(torch.arange(n) % 5, 5, 0.1), "weight": torch.ones(n)}


def small(**changes: object) -> Model:
    return build_model(FDPSettings(**{"features": 16, "grid": 2, **changes}), CLASSES, seed=1)


def rank_accuracy(scores: np.ndarray) -> float:
    i, j = np.triu_indices(scores.shape[1], 1)
    return float((scores[:, j] > scores[:, i]).mean())


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.sampled_from([16, 32, 48]), st.sampled_from([16, 32, 64]))
def test_shapes(n: int, count: int, rows: int, columns: int) -> None:
    """A batch of one, an odd number of frames, and sides that differ are nothing special."""
    clips = batch(n, count, rows, columns)
    model = small()
    output = model(clips)
    assert output.logits.shape == (n, 5)
    assert {name: tuple(x.shape) for name, x in output.extras.items()} == {
        "score": (n, count),
        "pooling": (n, count),
        "constructed": (n, 1, rows, columns),
    }
    assert all(part.ndim == 0 and torch.isfinite(part) for part in model.loss(output, clips).values())


@pytest.mark.parametrize(("changes", "expected"), PARTS)
def test_a_loss_without_weight_is_left_out_and_so_is_what_only_it_needs(
    changes: dict[str, object], expected: set[str]
) -> None:
    model, clips = small(**changes), batch()
    parts = model.loss(model(clips), clips)
    assert set(parts) == expected
    torch.stack(list(parts.values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_without_the_rank_loss_recognition_alone_moves_the_scores() -> None:
    model, clips = small(rank=0.0, construction=0.0), batch()
    sum(model.loss(model(clips), clips).values()).backward()  # type: ignore[union-attr]
    assert model.scorer.net[0].weight.grad.abs().sum() > 0  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    ("reference", "order"),
    [("none", [3, 0, 6, 1, 5, 2, 4]), ("mean", [3, 0, 6, 1, 5, 2, 4]), ("onset", [0, 3, 6, 1, 5, 2, 4])],
)
def test_permuted_frames_have_permuted_scores(reference: str, order: list[int]) -> None:
    """The time axis is time: nothing in the network knows of an order, but which frame is the onset."""
    model, clips = small(reference=reference).eval(), batch(count=7)
    first, second = model(clips), model({"frames": clips["frames"][:, order]})
    for name in ("score", "pooling"):
        torch.testing.assert_close(second.extras[name], first.extras[name][:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(second.logits, first.logits, atol=1e-5, rtol=1e-5)
    assert first.extras["score"].std(dim=1).min() > 1e-4  # equal scores would be permuted too


@pytest.mark.parametrize("reference", ["none", "onset"])
def test_a_frame_changes_its_own_score_alone_and_the_weights_of_all(reference: str) -> None:
    model, clips = small(reference=reference).eval(), batch(count=6)
    changed = clips["frames"].clone()
    changed[:, 2] += torch.randn(changed[:, 2].shape, generator=torch.Generator().manual_seed(5))
    before, after = (model({"frames": frames}).extras for frames in (clips["frames"], changed))
    same = (before["score"] - after["score"]).abs() < 1e-6
    assert same.tolist() == [[t != 2 for t in range(6)]] * 2
    assert ((before["pooling"] - after["pooling"]).abs() > 1e-7).all()


@pytest.mark.parametrize("reference", ["mean", "onset"])
def test_what_changed_does_not_tell_what_the_face_is_like(reference: str) -> None:
    model, clips = small(reference=reference).eval(), batch()
    face = 10 * torch.randn(2, 1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(model({"frames": clips["frames"] + face}).logits, model(clips).logits, atol=1e-3, rtol=0)


def test_a_still_clip_gets_equal_scores() -> None:
    still = batch()["frames"][:, :1].expand(-1, 4, -1, -1, -1)
    for reference in ("onset", "mean", "none"):
        scores = small(reference=reference).eval()({"frames": still}).extras["score"]
        assert np.ptp(scores.detach().numpy(), axis=1).max() < 1e-4


@pytest.mark.parametrize(("size", "parameters"), [("small", 494_853), ("paper", 52_381_045)])
def test_sizes_and_parameter_counts(size: str, parameters: int) -> None:
    model = build_model(FDPSettings(size=size), CLASSES, seed=0)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_published_widths_run_forward_and_backward() -> None:
    model, clips = build_model(FDPSettings(size="paper"), CLASSES, seed=0), batch(1, 2, 32, 32)
    output = model(clips)
    assert output.extras["constructed"].shape == (1, 1, 32, 32)
    torch.stack(list(model.loss(output, clips).values())).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"40 x 32 px: both sides must be multiples of 16 px"):
        small()(batch(rows=40))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": "huge"}, "small, paper"),
        ({"blocks": "none"}, "both, local, global"),
        ({"frames": 1}, "at least 2"),
        ({"construction": 0.0, "weights": "linear"}, "no effect"),
        ({"dropout": 1.0}, "dropout"),
        ({"grid": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FDPSettings(**wrong)  # type: ignore[arg-type]


def test_eight_clips_are_learnt_by_heart(growing: ClipTensors) -> None:
    few = subset(growing, range(8))
    few = Scaler.fit(few)(few)
    model = build_model(FDPSettings(dropout=0.0), few.classes, 0)
    history = fit(model, few, settings=dataclasses.replace(CPU, epochs=40, augment=NO_AUGMENTATION), seed=0)
    table = predict(model, few, mirrored=False)
    assert (table["y_true"] == table["y_pred"]).all()  # the most frequent class scores 2 of 8
    row = history[-1]
    assert row["loss"] == pytest.approx(row["loss_class"] + row["loss_rank"] + row["loss_construction"])
    assert row["loss_construction"] < 0.7 * history[0]["loss_construction"]


@pytest.fixture(scope="module")
def held_out(growing: ClipTensors) -> tuple[Model, Scaler, ClipTensors, ClipTensors]:
    """A network trained on four people, and the clips of the fifth."""
    train, test = subset(growing, range(32)), subset(growing, range(32, 40))
    scaler = Scaler.fit(train)
    model = build_model(FDPSettings(), growing.classes, 0).eval()
    fit(model, scaler(train), settings=dataclasses.replace(CPU, epochs=30), seed=0)
    return model, scaler, train, test


def test_frames_that_are_trivially_ordered_are_put_in_order(held_out: tuple) -> None:  # type: ignore[type-arg]
    """Of an unseen person; scores that know nothing have half of the pairs right."""
    model, scaler, _, test = held_out
    table = predict(model, scaler(test))
    assert rank_accuracy(table.filter(regex="^score_").to_numpy()) > 0.95
    assert table.filter(regex="^pooling_").sum(axis=1).tolist() == pytest.approx([1] * len(test))
    assert list(table.filter(regex="^score_")) == [f"score_{t}" for t in range(1, 9)]


def test_constructed_images_are_nearer_than_both_floors(held_out: tuple) -> None:  # type: ignore[type-arg]
    model, scaler, train, test = held_out
    drawn = model.examine(scaler, train, test)
    assert drawn.files[IMAGES].shape == (8, 2, 32, 32) and len(drawn.columns) == 8
    mean = drawn.columns.mean()
    assert mean["psnr"] > max(mean["psnr_mean"], mean["psnr_constant"])
    assert not model.training, "the mode is restored"


def test_a_model_that_draws_nothing_has_no_construction_to_show(growing: ClipTensors) -> None:
    few = subset(growing, range(4))
    assert small(construction=0.0).examine(Scaler.fit(few), few, few) is None


def test_it_takes_frames_and_nothing_else() -> None:
    assert [one.plain() for one in FDP.uses(FDPSettings(frames=5))] == [{"name": "frames", "settings": {"count": 5}}]
    with pytest.raises(ValueError, match="FDP ranks the frames of a clip, it cannot take in apex_flow"):
        build_model(FDPSettings(), CLASSES, 0, [use("apex_flow")])
