from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynamic_images.frames import grey_frames, sample_indices
from fusion_net.augment import AugmentSettings, augment
from fusion_net.inputs import ClipTensors, Scaler, load_clips
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.errors import ToolkitError

SIDE = 48


def write_clip(cache: Path, clip_id: str, crops: np.ndarray) -> None:
    folder = clip_folder(cache, clip_id).folder
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "crops.npy", crops)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    oval = np.stack([np.cos(angles), np.sin(angles)], axis=1) * SIDE / 3 + SIDE / 2
    np.save(folder / "landmarks.npy", oval.astype(np.float32))


def crops(n_frames: int = 20, seed: int = 0) -> np.ndarray:
    """A face of noise in which frame t has a patch of 10 t grey levels above it, outside the face."""
    rng = np.random.default_rng(seed)
    stack = np.repeat(rng.integers(60, 120, (1, SIDE, SIDE, 3), np.uint8), n_frames, axis=0)
    stack[:, :4, :4] = 5 * np.arange(n_frames, dtype=np.uint8)[:, None, None, None]
    return stack


@given(st.integers(1, 400), st.integers(2, 40))
def test_first_and_last_frame_are_always_in(n_frames: int, wanted: int) -> None:
    """The sampler ``i * (n // 8)`` of published code never sees the end."""
    picked = sample_indices(n_frames, wanted)
    assert (len(picked), picked[0], picked[-1]) == (wanted, 0, n_frames - 1)
    steps = np.diff(picked)
    assert (steps >= 0).all() and steps.max() - steps.min() <= 1
    if n_frames >= wanted:
        assert len(set(picked.tolist())) == wanted


def test_samples_by_hand() -> None:
    assert sample_indices(8, 8).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sample_indices(15, 8).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert sample_indices(3, 8).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]  # short: neighbours repeat
    assert sample_indices(1, 2).tolist() == [0, 0]


@pytest.mark.parametrize(("n_frames", "wanted"), [(0, 8), (5, 1)])
def test_nothing_to_sample_is_refused(n_frames: int, wanted: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        sample_indices(n_frames, wanted)


def test_frames_come_in_grey_in_time_order_and_steady_light(tmp_path: Path) -> None:
    flicker = crops().astype(float) * np.where(np.arange(20) % 2, 1.1, 1.0)[:, None, None, None]
    write_clip(tmp_path, "toy/s0/c0", np.rint(flicker).astype(np.uint8))
    frames = grey_frames(clip_folder(tmp_path, "toy/s0/c0"), "toy/s0/c0", 8)
    assert frames.shape == (8, SIDE, SIDE) and frames.dtype == np.float32
    np.testing.assert_allclose(frames[:, 1, 1], 5 * sample_indices(20, 8), atol=1)
    face = frames[:, 16:32, 16:32].mean(axis=(1, 2))
    assert np.ptp(face) < 0.2  # the flicker is 9 grey levels


def test_a_model_of_frames_gets_them_in_its_size(tmp_path: Path) -> None:
    manifest = pd.DataFrame([{"clip_id": f"toy/s0/c{i}", "subject": "toy/s0", "status": "ok"} for i in range(2)])
    for i, n in enumerate((20, 3)):
        write_clip(tmp_path, f"toy/s0/c{i}", crops(n, seed=i))
    data = load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16, n_frames=5)
    assert data.inputs["frames"].shape == (2, 5, 1, 16, 16)
    whole = grey_frames(clip_folder(tmp_path, "toy/s0/c1"), "toy/s0/c1", 5)
    torch.testing.assert_close(data.inputs["frames"][1].mean(dim=(1, 2, 3)), torch.tensor(whole.mean(axis=(1, 2))))
    with pytest.raises(ValueError, match="n_frames"):
        load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16)
    with pytest.raises(ValueError, match="n_frames"):
        load_clips(manifest, tmp_path, ["temporal_ranked"], ("a",), None, size=16, n_frames=5)
    (clip_folder(tmp_path, "toy/s0/c1") / "crops.npy").write_bytes(b"broken")
    with pytest.raises(ToolkitError, match=r"toy/s0/c1: crops\.npy cannot be used"):
        load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16, n_frames=5)
    (clip_folder(tmp_path, "toy/s0/c1") / "landmarks.npy").unlink()
    with pytest.raises(ToolkitError, match=r"toy/s0/c1: landmarks\.npy is missing"):
        load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16, n_frames=5)


def test_the_scale_of_frames_is_that_of_what_moves(growing: ClipTensors) -> None:
    brighter = dataclasses.replace(growing, inputs={"frames": growing.inputs["frames"] + 50})
    one, other = Scaler.fit(growing), Scaler.fit(brighter)
    assert one.scales["frames"] == pytest.approx(other.scales["frames"], rel=1e-4)
    assert one.scales["frames"] < 10  # the faces are about 100 grey levels bright


def test_all_frames_of_a_clip_are_augmented_alike() -> None:
    """A clip of one picture stays still under every geometry, gain and rectangle."""
    still = 100 + torch.randn(3, 1, 1, 16, 16).expand(-1, 6, -1, -1, -1)
    settings = AugmentSettings(noise=0, erase=1)
    moved = augment({"frames": still}, settings, torch.Generator().manual_seed(0), {"frames": "frames"})["frames"]
    assert (moved - moved[:, :1]).abs().max() < 1e-3
    assert (moved - still).abs().max() > 1


def test_gain_and_rectangles_change_the_motion_and_leave_the_face() -> None:
    clip = 100 + torch.randn(4, 6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    mean = clip.mean(dim=1, keepdim=True)
    for settings in (AugmentSettings(0, 0, 0, 0, 0.5, 0, 0, 0), AugmentSettings(0, 0, 0, 0, 0, 0, 1.0, 0.5)):
        new = augment({"frames": clip}, settings, torch.Generator().manual_seed(0), {"frames": "frames"})["frames"]
        torch.testing.assert_close(new.mean(dim=1, keepdim=True), mean, atol=1e-3, rtol=0)
        ratio = (new - mean) / (clip - mean)
        assert (new - clip).abs().max() > 0.1
        if settings.erase:
            assert ((ratio.abs() < 1e-3) | ((ratio - 1).abs() < 1e-3)).float().mean() > 0.99
        else:
            assert (ratio.flatten(1).std(dim=1) < 1e-2).all()
