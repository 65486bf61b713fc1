from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fusion_net.augment import (
    NO_AUGMENTATION,
    AugmentSettings,
    augment,
    mirror,
    mirror_action_units,
    random_affine,
    warp,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 4, channels: int = 3, side: int = 16, seed: int = 1) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=rng(seed))


@pytest.mark.parametrize(("kind", "channels"), [("image", 3), ("flow", 2)])
def test_mirroring_twice_changes_nothing(kind: str, channels: int) -> None:
    x = images(channels=channels)
    assert torch.equal(mirror(mirror(x, kind), kind), x)
    assert not torch.equal(mirror(x, kind), x)


def test_a_mirrored_image_keeps_its_sign_and_a_mirrored_flow_negates_u() -> None:
    image = torch.zeros(1, 3, 4, 6)
    image[0, :, 1, 0] = -5
    assert mirror(image)[0, 0, 1].tolist() == [0, 0, 0, 0, 0, -5]
    flow = torch.zeros(1, 2, 4, 6)
    flow[0, 0, 1, 0], flow[0, 1, 1, 0] = 3, 2  # right and down at the left border
    assert mirror(flow, "flow")[0, 0, 1].tolist() == [0, 0, 0, 0, 0, -3]  # left at the right border
    assert mirror(flow, "flow")[0, 1, 1].tolist() == [0, 0, 0, 0, 0, 2]


def test_mirrored_action_units_change_sides() -> None:
    assert mirror_action_units(("L12", "6")) == ("R12", "6")
    units = ("R4", "l14", "25", "L1+L2")
    assert mirror_action_units(mirror_action_units(units)) == units
    assert mirror_action_units(("17", "LR7")) == ("17", "LR7")


@pytest.mark.parametrize(("kind", "channels"), [("image", 3), ("flow", 2)])
def test_a_flip_in_the_warp_is_the_mirror(kind: str, channels: int) -> None:
    x = images(channels=channels)
    flip = torch.tensor([[-1.0, 0, 0], [0, 1, 0]]).expand(len(x), 2, 3)
    torch.testing.assert_close(warp(x, flip, kind), mirror(x, kind), atol=1e-5, rtol=1e-5)


def test_the_vectors_of_a_flow_turn_with_the_picture() -> None:
    """A field that points away from the centre still does after any rotation; unturned vectors miss by up to 1.4."""
    axis = torch.linspace(-1, 1, 33)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    field = torch.stack([u, v])[None]
    angle = torch.tensor(0.5)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    out = warp(field, torch.cat([turn, torch.zeros(2, 1)], dim=1)[None], "flow")
    inner = slice(10, 23)
    torch.testing.assert_close(out[..., inner, inner], field[..., inner, inner], atol=0.01, rtol=0)
    assert (warp(field, torch.cat([turn, torch.zeros(2, 1)], dim=1)[None]) - field)[..., inner, inner].abs().max() > 0.1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), rotation=st.floats(0, 20), scale=st.floats(0, 0.3), shift=st.floats(0, 0.2))
def test_random_maps_stay_within_their_settings(seed: int, rotation: float, scale: float, shift: float) -> None:
    ranges = AugmentSettings(mirror=0.5, rotation=rotation, scale=scale, shift=shift)
    matrix = random_affine(8, ranges, rng(seed))
    area = matrix[:, :, :2].det().abs()
    assert ((area >= (1 - scale) ** 2 - 1e-5) & (area <= (1 + scale) ** 2 + 1e-5)).all()
    assert (matrix[:, :, 2].abs() <= 2 * shift + 1e-6).all()
    turned = torch.atan2(-matrix[:, 0, 1], matrix[:, 1, 1]).rad2deg()
    assert (turned.abs() <= rotation + 1e-3).all()


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_clips_are_mirrored_as_often_as_asked(probability: float, share: float) -> None:
    matrix = random_affine(2000, dataclasses.replace(NO_AUGMENTATION, mirror=probability), rng())
    assert abs(float((matrix[:, 0, 0] < 0).float().mean()) - share) < 0.05


def test_switched_off_augmentation_changes_nothing() -> None:
    x = images()
    torch.testing.assert_close(augment({"a": x}, NO_AUGMENTATION, rng())["a"], x, atol=1e-5, rtol=1e-5)


def test_all_inputs_of_a_clip_move_together_and_clips_apart() -> None:
    x = images(batch=6)
    quiet = AugmentSettings(noise=0.0, erase=1.0)
    out = augment({"a": x, "b": x * 2, "c": x[:, :1]}, quiet, rng())
    torch.testing.assert_close(out["b"], out["a"] * 2)
    torch.testing.assert_close(out["c"], out["a"][:, :1])
    same = x[:1].expand(6, -1, -1, -1)
    apart = augment({"a": same}, quiet, rng())["a"]
    assert all(not torch.allclose(apart[0], apart[i]) for i in range(1, 6))


def test_noise_is_drawn_for_every_input_of_its_own() -> None:
    x = images()
    out = augment({"a": x, "b": x}, dataclasses.replace(NO_AUGMENTATION, noise=0.1), rng())
    spread = (out["a"] - out["b"]).std()
    assert 0.12 < float(spread) < 0.16  # sqrt(2) * 0.1; shared noise scores 0


def test_erasing_leaves_zero_in_one_rectangle() -> None:
    x = torch.ones(200, 1, 40, 40)
    out = augment({"a": x}, dataclasses.replace(NO_AUGMENTATION, erase=0.5, erase_share=0.2), rng())["a"]
    gone = (out[:, 0] < 0.5).float()
    share = gone.mean(dim=(1, 2))
    assert 0.35 < float((share > 0).float().mean()) < 0.65
    assert float(share.max()) <= 0.2 + 0.03  # whole pixels
    rows, columns = gone.amax(dim=2), gone.amax(dim=1)
    assert torch.equal(gone, rows[:, :, None] * columns[:, None, :])  # nothing but a rectangle


def test_frames_of_a_clip_share_one_map() -> None:
    still = images(batch=2)[:, None].expand(-1, 5, -1, -1, -1)  # (B, T, C, H, W)
    out = augment({"frames": still}, AugmentSettings(noise=0.0), rng())["frames"]
    assert out.shape == still.shape
    assert torch.equal(out, out[:, :1].expand_as(out))


def test_the_same_generator_gives_the_same_bytes_and_the_global_state_is_not_used() -> None:
    x = images()
    torch.manual_seed(1)
    first = augment({"a": x}, AugmentSettings(), rng(5))["a"]
    torch.manual_seed(2)
    assert torch.equal(first, augment({"a": x}, AugmentSettings(), rng(5))["a"])
    assert not torch.equal(first, augment({"a": x}, AugmentSettings(), rng(6))["a"])


@pytest.mark.parametrize("wrong", [{"shift": -0.1}, {"mirror": 1.5}, {"erase_share": 2.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentSettings(**wrong)
