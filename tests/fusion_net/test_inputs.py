from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fusion_net.inputs
from dynamic_images.clip_input import ClipArtefacts, ClipInput, InputUse, Kind
from dynamic_images.frames import grey_frames, sample_indices
from dynamic_images.input_cache import changed_clips, input_path
from dynamic_images.inputs import use
from fusion_net.inputs import UNLABELLED, ClipTensors, load_clips, resize, subset
from fusion_net.models.afn import INPUTS
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, open_stack, write_stack
from preprocessing.errors import ToolkitError
from tests.overwriting import overwrite

CLASSES = ("happiness", "surprise")


def write_stage(cache: Path, clip_id: str, stage: str, **arrays: NDArray[Any]) -> None:
    """A stage with its record and these arrays."""
    settings = {"size": arrays["crops"].shape[1]} if "crops" in arrays else {}
    with clip_folder(cache, clip_id).writing(stage, Entry(f"{stage} key", settings)) as scratch:
        for name, array in arrays.items():
            if name == "crops":
                write_stack(scratch / CROPS, array)
            else:
                np.save(scratch / f"{name}.npy", array)


def write_cache(cache: Path, n: int = 4, side: int = 12) -> pd.DataFrame:
    """Clips whose images hold their row number in every pixel; row 1 is rejected and has no files."""
    rows = []
    for i in range(n):
        clip_id = f"toy/s{i // 2}/c{i}"
        status = "rejected" if i == 1 else "ok"
        rows.append({"clip_id": clip_id, "subject": f"toy/s{i // 2}", "status": status})
        if status == "ok":
            images = {name: np.full((side, side, 3), 10.0 * k - i, np.float32) for k, name in enumerate(INPUTS)}
            write_stage(cache, clip_id, "images", **images)
    return pd.DataFrame(rows)


def test_what_was_read_is_known_later(tmp_path: Path) -> None:
    data = load_clips(write_cache(tmp_path), tmp_path, INPUTS, CLASSES, None, size=12)
    assert changed_clips(tmp_path, subset(data.only(INPUTS[:1]), [0]).origins) == []
    write_stage(tmp_path, "toy/s1/c2", "images", **{name: np.ones((12, 12, 3), np.float32) for name in INPUTS})
    assert changed_clips(tmp_path, data.origins) == ["toy/s1/c2"]


def test_clips_that_another_command_makes_again_meanwhile_are_not_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One half would be of old, one of new settings."""
    manifest, read = write_cache(tmp_path), fusion_net.inputs._read

    def slowly(folder: Any, clip_id: str, one: InputUse) -> NDArray[Any]:
        array = read(folder, clip_id, one)
        if clip_id == "toy/s1/c2":
            write_stage(tmp_path, "toy/s0/c0", "images", **{name: np.ones((12, 12, 3), np.float32) for name in INPUTS})
        return array

    monkeypatch.setattr(fusion_net.inputs, "_read", slowly)
    with pytest.raises(ToolkitError, match=r"1 clips in .*, such as toy/s0/c0, were made again while they were read"):
        load_clips(manifest, tmp_path, INPUTS, CLASSES, None, size=12)


def one_clip(cache: Path, one: InputUse, size: int = 4) -> torch.Tensor:
    """The tensor of an input of the clip toy/s0/c0."""
    manifest = pd.DataFrame([{"clip_id": "toy/s0/c0", "subject": "toy/s0", "status": "ok"}])
    return load_clips(manifest, cache, [one], CLASSES, ["surprise"], size).inputs[one.name][0]


def counting(kind: Kind, shape: tuple[int, ...], channels: int, lead: tuple[int, ...] = ()) -> InputUse:
    """An input of 0, 1, 2, … in the order of its axes."""

    def make(clip: ClipArtefacts, settings: Any) -> NDArray[Any]:
        return np.arange(np.prod(shape), dtype=np.float64 if kind == "features" else np.float32).reshape(shape)

    return InputUse(
        ClipInput(
            "counted", "counted", "Numbers.", "1", kind, channels, make, stands_on=("images",), lead=lambda _: lead
        )
    )


def test_rejected_rows_are_left_out_and_the_others_keep_their_own_label_and_picture(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    labels = ["happiness", "no class at all", "surprise", "surprise"]
    data = load_clips(manifest, tmp_path, INPUTS, CLASSES, labels, size=6)
    assert data.clip_ids == ("toy/s0/c0", "toy/s1/c2", "toy/s1/c3")
    assert data.subjects == ("toy/s0", "toy/s1", "toy/s1")
    assert data.labels.tolist() == [0, 1, 1]
    for k, name in enumerate(INPUTS):
        assert data.inputs[name].shape == (3, 3, 6, 6) and data.inputs[name].dtype == torch.float32
        assert data.inputs[name][:, 0, 0, 0].tolist() == [10.0 * k - i for i in (0, 2, 3)]


def test_clips_without_labels(tmp_path: Path) -> None:
    data = load_clips(write_cache(tmp_path), tmp_path, ["motion_intensity"], CLASSES, None, size=12)
    assert data.labels.tolist() == [UNLABELLED] * 3


class TestAxes:
    """Channels come before height and width, and no axis is taken for another."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        write_stage(tmp_path, "toy/s0/c0", "images")
        return tmp_path

    def test_an_image(self, cache: Path) -> None:
        image = np.arange(4 * 4 * 3).reshape(4, 4, 3)
        x = one_clip(cache, counting("image", (4, 4, 3), 3))
        assert (x.shape, x.dtype) == ((3, 4, 4), torch.float32)
        np.testing.assert_array_equal(x, image.transpose(2, 0, 1))

    @pytest.mark.parametrize(("kind", "channels"), [("frames", 1), ("frames", 3), ("flow", 2), ("flow", 3)])
    def test_several_planes(self, cache: Path, kind: Kind, channels: int) -> None:
        planes = np.arange(5 * 4 * 4 * channels).reshape(5, 4, 4, channels)
        x = one_clip(cache, counting(kind, (5, 4, 4, channels), channels, lead=(5,)))
        assert x.shape == (5, channels, 4, 4)
        np.testing.assert_array_equal(x, planes.transpose(0, 3, 1, 2))

    def test_a_series_and_features_stay_as_they_are(self, cache: Path) -> None:
        series = one_clip(cache, counting("series", (7, 2), 2, lead=(7,)))
        assert (series.shape, series.dtype) == ((7, 2), torch.float32)
        np.testing.assert_array_equal(series, np.arange(14).reshape(7, 2))

    def test_features_keep_their_precision(self, cache: Path) -> None:
        features = one_clip(cache, counting("features", (9,), 9))
        assert (features.shape, features.dtype) == ((9,), torch.float64)

    @pytest.mark.parametrize("channels", [1, 2, 3, 5])
    def test_pictures_are_resized_and_channels_are_not(self, cache: Path, channels: int) -> None:
        x = one_clip(cache, counting("image", (8, 8, channels), channels), size=4)
        image = np.arange(64 * channels, dtype=float).reshape(4, 2, 4, 2, channels).mean(axis=(1, 3))
        np.testing.assert_allclose(x, image.transpose(2, 0, 1), rtol=1e-6)


class TestMaking:
    @pytest.fixture
    def manifest(self, tmp_path: Path) -> pd.DataFrame:
        """Two clips of faces, 20 and 3 frames long."""
        rng = np.random.default_rng(0)
        angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        landmarks = (np.stack([np.cos(angles), np.sin(angles)], axis=1) * 16 + 24).astype(np.float32)
        rows = []
        for i, count in enumerate((20, 3)):
            clip_id = f"toy/s0/c{i}"
            crops = rng.integers(60, 120, (count, 48, 48, 3)).astype(np.uint8)
            write_stage(tmp_path, clip_id, "faces", crops=crops, landmarks=landmarks)
            rows.append({"clip_id": clip_id, "subject": "toy/s0", "status": "ok"})
        return pd.DataFrame(rows)

    def test_what_is_missing_is_made(self, manifest: pd.DataFrame, tmp_path: Path) -> None:
        few = use("frames", count=5)
        data = load_clips(manifest, tmp_path, [few], ("a",), None, size=16)
        assert data.inputs["frames"].shape == (2, 5, 1, 16, 16)
        assert (data.kinds, data.kind("frames")) == ({"frames": "frames"}, "frames")
        folder = clip_folder(tmp_path, "toy/s0/c1")
        assert input_path(folder, few).is_file()
        indices = [int(t) for t in sample_indices(3, 5)]
        whole = grey_frames(open_stack(folder / "crops.mkv"), folder.load("landmarks.npy"), indices)
        torch.testing.assert_close(data.inputs["frames"][1].mean(dim=(1, 2, 3)), torch.tensor(whole.mean(axis=(1, 2))))

    def test_a_name_is_the_input_under_its_default_settings(self, manifest: pd.DataFrame, tmp_path: Path) -> None:
        data = load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16)
        assert data.inputs["frames"].shape == (2, 8, 1, 16, 16)

    def test_what_is_there_is_read(self, manifest: pd.DataFrame, tmp_path: Path) -> None:
        first = load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16)
        times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        again = load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16)
        assert torch.equal(first.inputs["frames"], again.inputs["frames"])
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times

    def test_what_cannot_be_made_names_clip_and_input(self, manifest: pd.DataFrame, tmp_path: Path) -> None:
        overwrite(clip_folder(tmp_path, "toy/s0/c1"), "crops.mkv", b"no video")
        with pytest.raises(ToolkitError, match=r"s0/c1/crops\.mkv is no whole stack of pictures"):
            load_clips(manifest, tmp_path, ["frames"], ("a",), None, size=16)

    def test_a_stage_that_is_missing_is_told(self, manifest: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(ToolkitError, match=r"flow at the apex needs the stage 'images'.*mer dataset"):
            load_clips(manifest, tmp_path, ["apex_flow"], ("a",), None, size=16)


def test_a_missing_input_is_told_before_anything_is_read(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    (clip_folder(tmp_path, "toy/s1/c3") / "motion_intensity.npy").unlink()
    (clip_folder(tmp_path, "toy/s0/c0") / "motion_intensity.npy").write_bytes(b"broken, and not looked at")
    with pytest.raises(ToolkitError, match=r"toy/s1/c3: motion_intensity\.npy is missing") as caught:
        load_clips(manifest, tmp_path, INPUTS, CLASSES, ["happiness"] * 4, size=6)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((12, 10, 3), np.float32), r"has shape \(12, 10, 3\), wanted \(S, S, 3\) for TRDI"),
        (np.zeros((12, 12), np.float32), r"has shape \(12, 12\)"),
        (np.zeros((12, 12, 2), np.float32), r"has shape \(12, 12, 2\)"),
        (np.zeros((0, 0, 3), np.float32), r"has shape \(0, 0, 3\)"),
        (np.full((12, 12, 3), np.nan, np.float32), "holds values that are not finite"),
        (np.full((12, 12, 3), np.inf, np.float32), "holds values that are not finite"),
        (b"no array", r"is no whole \.npy file"),
        (b"", r"is no whole \.npy file"),
    ],
)
def test_an_unusable_artefact_names_clip_and_file(tmp_path: Path, content: np.ndarray | bytes, said: str) -> None:
    manifest = write_cache(tmp_path)
    overwrite(clip_folder(tmp_path, "toy/s1/c2"), "temporal_ranked.npy", content)
    with pytest.raises(ToolkitError, match=rf"s1/c2.*temporal_ranked\.npy {said}") as caught:
        load_clips(manifest, tmp_path, INPUTS, CLASSES, ["happiness"] * 4, size=6)
    assert "\n" not in str(caught.value)


def test_one_changed_bit_of_an_input_is_noticed(tmp_path: Path) -> None:
    """Same size, other content: the network would be trained on other tensors."""
    manifest = write_cache(tmp_path)
    path = clip_folder(tmp_path, "toy/s1/c2") / "temporal_ranked.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ToolkitError, match=r"temporal_ranked\.npy \(stage images\) is not what was written.*--verify"):
        load_clips(manifest, tmp_path, INPUTS, CLASSES, ["happiness"] * 4, size=6)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (counting("frames", (5, 4, 4, 1), 1, lead=(6,)), r"has shape \(5, 4, 4, 1\), wanted \(6, S, S, 1\)"),
        (counting("flow", (4, 4, 3), 2), r"has shape \(4, 4, 3\), wanted \(S, S, 2\)"),
        (counting("series", (7, 2), 3, lead=(7,)), r"has shape \(7, 2\), wanted \(7, 3\)"),
        (counting("features", (8,), 9), r"has shape \(8,\), wanted \(9\)"),
    ],
)
def test_an_input_that_breaks_its_declaration_is_refused(tmp_path: Path, one: InputUse, said: str) -> None:
    """Whoever adds an input is told at once, and not by a network."""
    write_stage(tmp_path, "toy/s0/c0", "images")
    with pytest.raises(ToolkitError, match=rf"toy/s0/c0: counted\.npy {said} for counted"):
        one_clip(tmp_path, one)


def test_labels_and_manifests_that_cannot_be_used(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    with pytest.raises(ToolkitError, match="'joy' is not one of the classes happiness, surprise"):
        load_clips(manifest, tmp_path, ["temporal_ranked"], CLASSES, ["joy"] * 4, size=6)
    with pytest.raises(ValueError, match="3 labels for 4"):
        load_clips(manifest, tmp_path, ["temporal_ranked"], CLASSES, ["joy"] * 3, size=6)
    with pytest.raises(ToolkitError, match="nothing to learn from"):
        load_clips(manifest.assign(status="rejected"), tmp_path, ["temporal_ranked"], CLASSES, ["joy"] * 4, size=6)


@settings(max_examples=20, deadline=None)
@given(side=st.integers(4, 40), size=st.integers(2, 40), value=st.floats(-200, 200, width=32))
def test_resizing_keeps_a_constant_signed_image(side: int, size: int, value: float) -> None:
    out = resize(np.full((side, side, 3), value, np.float32), size)
    assert out.shape == (size, size, 3)
    np.testing.assert_allclose(out, value, rtol=1e-5, atol=1e-5)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.float32([1, -1]), (96, 48))[..., None].repeat(3, axis=2)  # the finest texture there is
    assert np.abs(resize(stripes, 48)).max() < 1e-6  # picking every second pixel scores 1


def test_subset_takes_rows_of_everything(toy: ClipTensors) -> None:
    part = subset(toy, [5, 2])
    assert part.clip_ids == (toy.clip_ids[5], toy.clip_ids[2])
    assert part.labels.tolist() == toy.labels[[5, 2]].tolist()
    assert torch.equal(part.inputs["temporal_ranked"], toy.inputs["temporal_ranked"][[5, 2]])


def test_parts_of_different_length_are_refused(toy: ClipTensors) -> None:
    with pytest.raises(ValueError, match="differ in their number"):
        dataclasses.replace(toy, labels=toy.labels[:-1])
    with pytest.raises(ValueError, match="labels must lie in"):
        dataclasses.replace(toy, classes=toy.classes[:2])


class TestOnly:
    def test_it_keeps_the_clips_and_these_inputs(self, toy: ClipTensors) -> None:
        half = toy.only(["motion_intensity"])
        assert list(half.inputs) == ["motion_intensity"] and len(half) == len(toy)
        assert half.inputs["motion_intensity"] is toy.inputs["motion_intensity"], "no copy"
        assert half.clip_ids == toy.clip_ids and half.classes == toy.classes

    def test_the_order_is_the_one_asked_for(self, toy: ClipTensors) -> None:
        assert list(toy.only(reversed(INPUTS)).inputs) == list(reversed(INPUTS))
        assert toy.only([]).inputs == {}

    def test_an_input_that_is_not_there_is_told(self, toy: ClipTensors) -> None:
        with pytest.raises(ValueError, match="input 'frames' is missing: the clips have temporal_ranked, motion_int"):
            toy.only(["temporal_ranked", "frames"])
