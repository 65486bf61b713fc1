from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_net.inputs import UNLABELLED, ClipTensors, Scaler, load_clips, resize, subset
from fusion_net.models import AFN
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.errors import ToolkitError

CLASSES = ("happiness", "surprise")


def write_cache(cache: Path, n: int = 4, side: int = 12) -> pd.DataFrame:
    """Clips whose images hold their row number in every pixel; row 1 is rejected and has no files."""
    rows = []
    for i in range(n):
        clip_id = f"toy/s{i // 2}/c{i}"
        status = "rejected" if i == 1 else "ok"
        rows.append({"clip_id": clip_id, "subject": f"toy/s{i // 2}", "status": status})
        if status == "ok":
            folder = clip_folder(cache, clip_id).folder
            folder.mkdir(parents=True)
            for k, name in enumerate(AFN.INPUTS):
                np.save(folder / f"{name}.npy", np.full((side, side, 3), 10.0 * k - i, np.float32))
    return pd.DataFrame(rows)


def test_rejected_rows_are_left_out_and_the_others_keep_their_own_label_and_picture(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    labels = ["happiness", "no class at all", "surprise", "surprise"]
    data = load_clips(manifest, tmp_path, tuple(AFN.INPUTS), CLASSES, labels, size=6)
    assert data.clip_ids == ("toy/s0/c0", "toy/s1/c2", "toy/s1/c3")
    assert data.subjects == ("toy/s0", "toy/s1", "toy/s1")
    assert data.labels.tolist() == [0, 1, 1]
    for k, name in enumerate(AFN.INPUTS):
        assert data.inputs[name].shape == (3, 3, 6, 6) and data.inputs[name].dtype == torch.float32
        assert data.inputs[name][:, 0, 0, 0].tolist() == [10.0 * k - i for i in (0, 2, 3)]


def test_clips_without_labels(tmp_path: Path) -> None:
    data = load_clips(write_cache(tmp_path), tmp_path, ["motion_intensity"], CLASSES, None, size=12)
    assert data.labels.tolist() == [UNLABELLED] * 3


def test_channels_come_first_and_neither_axis_is_mixed_with_them(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path, "toy/s0/c0").folder
    folder.mkdir(parents=True)
    image = np.arange(4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    np.save(folder / "temporal_ranked.npy", image)
    manifest = pd.DataFrame([{"clip_id": "toy/s0/c0", "subject": "toy/s0", "status": "ok"}])
    data = load_clips(manifest, tmp_path, ["temporal_ranked"], CLASSES, ["surprise"], size=4)
    x = data.inputs["temporal_ranked"][0].numpy()
    for row, column, channel in [(0, 0, 0), (1, 2, 0), (3, 1, 2)]:
        assert x[channel, row, column] == image[row, column, channel]


def test_a_missing_input_is_told_before_anything_is_read(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    (clip_folder(tmp_path, "toy/s1/c3") / "motion_intensity.npy").unlink()
    (clip_folder(tmp_path, "toy/s0/c0") / "motion_intensity.npy").write_bytes(b"broken, and not looked at")
    with pytest.raises(ToolkitError, match=r"toy/s1/c3: motion_intensity\.npy is missing") as caught:
        load_clips(manifest, tmp_path, tuple(AFN.INPUTS), CLASSES, ["happiness"] * 4, size=6)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((12, 10, 3), np.float32), "shape"),
        (np.full((12, 12, 3), np.nan, np.float32), "not finite"),
        (b"no array", "cannot be read"),
    ],
)
def test_an_unusable_artefact_names_clip_and_file(tmp_path: Path, content: np.ndarray | bytes, said: str) -> None:
    manifest = write_cache(tmp_path)
    path = clip_folder(tmp_path, "toy/s1/c2") / "temporal_ranked.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(ToolkitError, match=rf"toy/s1/c2: temporal_ranked\.npy .*{said}"):
        load_clips(manifest, tmp_path, tuple(AFN.INPUTS), CLASSES, ["happiness"] * 4, size=6)


def test_labels_and_manifests_that_cannot_be_used(tmp_path: Path) -> None:
    manifest = write_cache(tmp_path)
    with pytest.raises(ToolkitError, match="'joy' is none of the classes happiness, surprise"):
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


def test_the_scaler_makes_the_typical_training_clip_rms_one(toy: ClipTensors) -> None:
    scaled = Scaler.fit(toy)(toy)
    for x in scaled.inputs.values():
        rms = x.square().flatten(1).mean(dim=1).sqrt()
        assert 0.95 < float(rms.median()) < 1.05  # unscaled grey levels score 6 and more


def test_the_scaler_keeps_sign_zero_and_relative_strength(toy: ClipTensors) -> None:
    scaler = Scaler.fit(toy)
    for name, x in scaler(toy).inputs.items():
        torch.testing.assert_close(x * scaler.scales[name], toy.inputs[name])
        assert torch.equal(x.sign(), toy.inputs[name].sign())


def test_one_wild_clip_hardly_moves_the_scale(toy: ClipTensors) -> None:
    wild = {name: x.clone() for name, x in toy.inputs.items()}
    wild["temporal_ranked"][0] *= 100
    before, after = Scaler.fit(toy), Scaler.fit(dataclasses.replace(toy, inputs=wild))
    assert after.scales["temporal_ranked"] / before.scales["temporal_ranked"] < 1.1  # a mean square scores 12


def test_a_still_input_stays_zero(toy: ClipTensors) -> None:
    still = dataclasses.replace(toy, inputs={"temporal_ranked": torch.zeros_like(toy.inputs["temporal_ranked"])})
    assert Scaler.fit(still).scales == {"temporal_ranked": 1.0}
    assert not Scaler.fit(still)(still).inputs["temporal_ranked"].any()


def test_the_scaler_refuses_inputs_that_it_has_not_seen(toy: ClipTensors) -> None:
    with pytest.raises(ValueError, match="knows no 'temporal_ranked'"):
        Scaler({"motion_intensity": 1.0})(toy)
