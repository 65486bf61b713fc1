from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dynamic_images.clip_input import Kind
from fusion_net.augment import (
    NO_AUGMENTATION,
    AugmentSettings,
    augment,
    mirror,
    random_affine,
    warp,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 4, channels: int = 3, side: int = 16, seed: int = 1) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=rng(seed))


@pytest.mark.parametrize(("kind", "channels"), [("image", 3), ("flow", 2), ("flow", 3)])
def test_mirroring_twice_changes_nothing(kind: Kind, channels: int) -> None:
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


@pytest.mark.parametrize(("kind", "channels"), [("image", 3), ("flow", 2), ("flow", 3)])
def test_a_flip_in_the_warp_is_the_mirror(kind: Kind, channels: int) -> None:
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


class TestFlow:
    """Channels 0 and 1 are a vector that turns with the picture; a third is a number that only moves with it."""

    ONLY = AugmentSettings(0, 0, 20, 0.2, 0, 0, 0, 0)

    def test_the_mirror_turns_u_around_and_nothing_else(self) -> None:
        flow = images(channels=3)
        out = mirror(flow, "flow")
        assert torch.equal(out[:, 0], -flow[:, 0].flip(-1))
        assert torch.equal(out[:, 1:], flow[:, 1:].flip(-1))

    def test_a_turn_turns_the_vector_and_leaves_the_number(self) -> None:
        """Strain is positive at every angle; turned like a vector it would change sign."""
        quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(4, 2, 3)
        flow = images(channels=3)
        out = warp(flow, quarter, "flow")
        torch.testing.assert_close(out[:, 2:], warp(flow[:, 2:], quarter))
        torch.testing.assert_close(out[:, :2], warp(flow[:, :2], quarter, "flow"))
        as_image = warp(flow, quarter)
        torch.testing.assert_close(out[:, :2].norm(dim=1), as_image[:, :2].norm(dim=1), atol=1e-5, rtol=1e-5)
        assert (out[:, :2] - as_image[:, :2]).abs().max() > 1

    @pytest.mark.parametrize("phases", [2, 3])
    def test_phases_of_a_flow_turn_alike(self, phases: int) -> None:
        flow = images(channels=3)
        several = torch.stack([flow * (k + 1) for k in range(phases)], dim=1)  # (B, P, C, H, W)
        out = augment({"a": several, "b": flow}, self.ONLY, rng(), {"a": "flow", "b": "flow"})
        for k in range(phases):
            torch.testing.assert_close(out["a"][:, k], out["b"] * (k + 1))
        assert torch.equal(mirror(several, "flow")[:, 1], mirror(several[:, 1], "flow"))

    def test_in_a_batch_it_moves_with_the_images_beside_it(self) -> None:
        """The third channel is an image; the vector of a clip keeps its length where the map only turns."""
        flow = images(channels=3)
        turns = AugmentSettings(0.5, 0, 20, 0, 0, 0, 0, 0)
        out = augment({"image": flow, "flow": flow}, turns, rng(), {"flow": "flow"})
        torch.testing.assert_close(out["flow"][:, 2], out["image"][:, 2])
        lengths = [out[name][:, :2].norm(dim=1) for name in ("flow", "image")]
        torch.testing.assert_close(*lengths, atol=1e-4, rtol=1e-4)
        assert (out["flow"][:, :2] - out["image"][:, :2]).abs().max() > 0.1


class TestFrames:
    KINDS: ClassVar[Mapping[str, Kind]] = {"frames": "frames"}

    def test_all_of_a_clip_are_augmented_alike(self) -> None:
        """A clip of one picture stays still under every geometry, gain and rectangle."""
        still = 100 + torch.randn(3, 1, 1, 16, 16, generator=rng(1)).expand(-1, 6, -1, -1, -1)
        moved = augment({"frames": still}, AugmentSettings(noise=0, erase=1), rng(), self.KINDS)["frames"]
        assert (moved - moved[:, :1]).abs().max() < 1e-3
        assert (moved - still).abs().max() > 1

    @pytest.mark.parametrize(
        "ranges", [AugmentSettings(0, 0, 0, 0, 0.5, 0, 0, 0), AugmentSettings(0, 0, 0, 0, 0, 0, 1.0, 0.5)]
    )
    def test_gain_and_rectangles_change_the_motion_and_leave_the_face(self, ranges: AugmentSettings) -> None:
        clip = 100 + torch.randn(4, 6, 1, 16, 16, generator=rng(1))
        mean = clip.mean(dim=1, keepdim=True)
        new = augment({"frames": clip}, ranges, rng(), self.KINDS)["frames"]
        torch.testing.assert_close(new.mean(dim=1, keepdim=True), mean, atol=1e-3, rtol=0)
        ratio = (new - mean) / (clip - mean)
        assert (new - clip).abs().max() > 0.1
        if ranges.erase:
            assert ((ratio.abs() < 1e-3) | ((ratio - 1).abs() < 1e-3)).float().mean() > 0.99
        else:
            assert (ratio.flatten(1).std(dim=1) < 1e-2).all()

    def test_every_frame_has_noise_of_its_own(self) -> None:
        still = torch.zeros(2, 5, 1, 16, 16)
        noise = augment({"frames": still}, dataclasses.replace(NO_AUGMENTATION, noise=0.1), rng(), self.KINDS)["frames"]
        assert 0.12 < float((noise[:, 0] - noise[:, 1]).std()) < 0.16  # sqrt(2) * 0.1; shared noise scores 0


@pytest.mark.parametrize(("kind", "shape"), [("series", (6, 3)), ("features", (40,))])
class TestWithoutAPlace:
    """Numbers over time and features have no left and right, no angle and no corner that could be erased."""

    def test_a_mirror_is_refused(self, kind: Kind, shape: tuple[int, ...]) -> None:
        x = torch.randn(4, *shape)
        with pytest.raises(
            ValueError, match=rf"curve is of kind '{kind}' and cannot be mirrored: .*mirror=0"
        ) as caught:
            augment({"image": images(), "curve": x}, AugmentSettings(), rng(), {"curve": kind})
        assert "\n" not in str(caught.value)
        with pytest.raises(ValueError, match=f"kind '{kind}' and cannot be mirrored"):
            mirror(x, kind)

    def test_the_gain_is_that_of_the_clip(self, kind: Kind, shape: tuple[int, ...]) -> None:
        settings = AugmentSettings(0, 0, 0, 0, 0.5, 0, 0, 0)
        x = 1 + torch.rand(4, *shape, generator=rng(1))
        out = augment({"image": images(), "curve": x}, settings, rng(), {"curve": kind})
        ratio = (out["curve"] / x).flatten(1)
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
        beside = (out["image"] / images()).flatten(1).median(dim=1).values
        torch.testing.assert_close(ratio[:, 0], beside, atol=1e-3, rtol=1e-3)
        assert ratio[:, 0].std() > 0.1

    def test_geometry_and_rectangles_leave_it_and_noise_does_not(self, kind: Kind, shape: tuple[int, ...]) -> None:
        x = torch.randn(50, *shape, generator=rng(1))
        out = augment({"curve": x}, AugmentSettings(0, 0.2, 20, 0.3, 0, 0, 1, 0.9), rng(), {"curve": kind})
        torch.testing.assert_close(out["curve"], x)
        noisy = augment({"curve": x}, dataclasses.replace(NO_AUGMENTATION, noise=0.1), rng(), {"curve": kind})
        assert 0.08 < float((noisy["curve"] - x).std()) < 0.12
