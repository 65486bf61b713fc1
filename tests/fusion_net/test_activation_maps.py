from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dynamic_images.inputs import use
from fusion_net.activation_maps import METHODS, Method, activation_maps, blank
from fusion_net.augment import mirror
from fusion_net.fit import FitSettings, fit
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, Model, build_model
from fusion_net.models.contract import Output

SMALL = AFNSettings(widths=(8, 16), grid=2, features=16, gate_hidden=8)


@pytest.fixture
def clips(toy: ClipTensors) -> ClipTensors:
    return subset(Scaler.fit(toy)(toy), range(10))


@pytest.fixture
def model(toy: ClipTensors) -> Model:
    return build_model(SMALL, toy.classes, seed=1)


def by_hand(model: Model, batch: dict[str, torch.Tensor], stream: str, k: int, method: Method) -> NDArray[np.float32]:
    """Gradients weigh the channels: averaged over places (Grad-CAM, eq. 1 and 2 without ReLU) or each at its place."""
    kept: list[torch.Tensor] = []
    stage = next(iter(model.streams[stream].children()))  # type: ignore[index, union-attr]
    hook = stage.register_forward_hook(lambda module, given, out: kept.append(out))
    score = model(batch).logits[:, k].sum()
    hook.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    if method == "grad_cam":
        gradient = gradient.mean(dim=(2, 3), keepdim=True)
    return (gradient * kept[0]).sum(dim=1).detach().numpy()


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_the_mean_of_the_papers_over_a_clip_and_its_mirror_image(
    model: Model, clips: ClipTensors, method: Method
) -> None:
    maps = activation_maps(model, clips, [2] * 10, method)
    model.eval()
    for stream, found in maps.items():
        assert found.shape == (10, 24, 24) and found.dtype == np.float32
        plain = by_hand(model, clips.inputs, stream, 2, method)
        other = by_hand(model, {n: mirror(x) for n, x in clips.inputs.items()}, stream, 2, method)
        np.testing.assert_allclose(found, (plain + other[..., ::-1]) / 2, atol=1e-6 * np.abs(plain).max())
        assert found.min() < 0 < found.max(), "the sign is kept"


def test_each_clip_has_its_own_class_and_no_neighbours(model: Model, clips: ClipTensors) -> None:
    target = [k % 5 for k in range(10)]
    maps = activation_maps(model, clips, target, batch_size=3)
    for i in (0, 4, 7):
        alone = activation_maps(model, subset(clips, [i]), [target[i]])
        for stream, found in alone.items():
            np.testing.assert_allclose(found[0], maps[stream][i], atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(model: Model, clips: ClipTensors, training: bool) -> None:
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = activation_maps(model, clips, [0] * 10)
    assert model.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    again = activation_maps(model, clips, [0] * 10)
    assert all((first[stream] == again[stream]).all() for stream in first), "no dropout, no chance"


def test_a_lone_stream_has_one_map(clips: ClipTensors) -> None:
    lone = build_model(dataclasses.replace(SMALL, fusion="temporal_only"), clips.classes, 0)
    assert set(activation_maps(lone, clips, [0] * 10)) == {"temporal_ranked"}


def test_a_model_that_names_no_layers_is_refused(clips: ClipTensors) -> None:
    class Flat(Model):
        def forward(self, batch: object) -> Output:
            raise AssertionError

    with pytest.raises(ValueError, match=r"Flat names no layers that a map could show \(map_layers\)"):
        activation_maps(Flat(SMALL, clips.classes, ()), clips, [0] * 10)


def test_without_mirror_images_a_map_is_that_of_the_clip(model: Model, clips: ClipTensors) -> None:
    maps = activation_maps(model, clips, [2] * 10, mirrored=False)
    model.eval()
    for stream, found in maps.items():
        plain = by_hand(model, clips.inputs, stream, 2, "grad_cam")
        np.testing.assert_allclose(found, plain, atol=1e-6 * np.abs(plain).max())


def test_a_flow_is_mirrored_with_its_vectors(toy: ClipTensors) -> None:
    """A mirrored flow has the mirrored map, which it would not if u kept its sign."""
    uses = (use("apex_flow"), use("motion_intensity"))
    model = build_model(SMALL, toy.classes, 1, uses)
    inputs = {one.name: torch.randn(4, *one.shape(48)) for one in uses}
    kinds = {one.name: one.kind for one in uses}
    clips = dataclasses.replace(subset(toy, range(4)), inputs=inputs, kinds=kinds)
    turned = dataclasses.replace(clips, inputs={name: mirror(x, kinds[name]) for name, x in inputs.items()})
    maps, mirrored_maps = (activation_maps(model, one, [0] * 4) for one in (clips, turned))
    for name, found in maps.items():
        np.testing.assert_allclose(mirrored_maps[name][..., ::-1], found, atol=1e-5 * np.abs(found).max())


def test_classes_and_clips_must_agree(model: Model, clips: ClipTensors) -> None:
    with pytest.raises(ValueError, match="3 classes to explain for 10 clips"):
        activation_maps(model, clips, [0, 1, 2])


def test_evidence_lies_where_the_class_moves_once_trained(make_toy: Callable[..., ClipTensors]) -> None:
    """Each class moves at two known places. On new people the trained maps glow there, untrained ones do not.

    Measured with this test (30 clips of 3 people, one training): HiResCAM 0.73, Grad-CAM 0.47, an even map 0.13.
    """
    train, test = make_toy(n_subjects=6, seed=0), make_toy(n_subjects=3, seed=9)
    scaler, shape = Scaler.fit(train), AFNSettings(widths=(16, 32, 64), grid=3, features=64)
    trained = build_model(shape, train.classes, 0)
    fit(trained, scaler(train), settings=FitSettings(epochs=25, device="cpu"), seed=0)
    places = {
        "happiness": [(0.33, 0.70), (0.67, 0.70)],
        "surprise": [(0.30, 0.25), (0.70, 0.25)],
        "disgust": [(0.45, 0.48), (0.55, 0.48)],
        "repression": [(0.38, 0.78), (0.62, 0.78)],
        "others": [(0.38, 0.28), (0.62, 0.28)],
    }
    target = test.labels.tolist()
    y, x = (np.mgrid[:12, :12] + 0.5) / 12
    near = np.stack(
        [np.any([np.hypot(x - cx, y - cy) < 0.15 for cx, cy in places[test.classes[k]]], axis=0) for k in target]
    )

    def share_near(network: Model, method: Method) -> float:
        """Share of the evidence within 0.15 of the class's places."""
        maps = sum(np.maximum(m, 0) for m in activation_maps(network, scaler(test), target, method).values())
        return float(((maps * near).sum(axis=(1, 2)) / np.maximum(maps.sum(axis=(1, 2)), 1e-9)).mean())

    even, untrained = float(near.mean()), build_model(shape, train.classes, 77)
    assert share_near(trained, "hires_cam") > 4 * even
    assert share_near(trained, "grad_cam") > 2.5 * even
    assert all(share_near(untrained, method) < 1.5 * even for method in METHODS)


def test_blanking_sets_no_change_and_only_there(clips: ClipTensors) -> None:
    where = np.zeros((10, 48, 48), bool)
    where[:, :10] = True
    where[3] = False
    blanked = blank(clips, where)
    for name, x in blanked.inputs.items():
        assert (x[0, :, :10] == 0).all() and torch.equal(x[:, :, 10:], clips.inputs[name][:, :, 10:])
        assert torch.equal(x[3], clips.inputs[name][3])
    assert blanked.clip_ids == clips.clip_ids
    assert not (clips.inputs["temporal_ranked"][0, :, :10] == 0).all(), "the clips that came in are as they were"


def test_blanked_frames_stand_still_where_they_are_blanked(growing: ClipTensors) -> None:
    """A hole in the face would be a motion that nobody has recorded: it is the first frame there."""
    few = subset(growing, range(3))
    where = np.zeros((3, 32, 32), bool)
    where[:, 8:16, 8:16] = True
    frames, blanked = few.inputs["frames"], blank(few, where).inputs["frames"]
    inside, hidden = torch.from_numpy(where)[:, None, None].expand_as(frames), blanked - frames
    assert torch.equal(blanked[inside], frames[:, :1].expand_as(frames)[inside])
    assert not hidden[~inside].any() and hidden[inside].any()
