from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from dynamic_images.build import ImageSettings
from dynamic_images.pipeline import StageSettings
from fusion_net.checkpoint import Checkpoint, load, save
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, build_model
from preprocessing.errors import ToolkitError
from preprocessing.pipeline import FaceSettings

SMALL = AFNSettings(widths=(8, 16), grid=2, features=16, gate_hidden=8)


@pytest.fixture
def saved(tmp_path: Path, toy: ClipTensors) -> tuple[Path, Checkpoint]:
    checkpoint = Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, {"seed": 7, "subject": "toy/s1"})
    save(tmp_path, checkpoint)
    return tmp_path, checkpoint


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def test_predictions_survive_the_round_trip_to_the_byte(saved: tuple[Path, Checkpoint], toy: ClipTensors) -> None:
    folder, before = saved
    torch.manual_seed(99)
    after = load(folder)
    assert not after.model.training
    assert (after.size, dict(after.about)) == (48, {"seed": 7, "subject": "toy/s1"})
    assert after.model.settings == SMALL and after.model.classes == toy.classes
    clips = subset(toy, range(6))
    first, again = predict(before.model, before.scaler(clips)), predict(after.model, after.scaler(clips))
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_nothing_else_lies_in_the_folder_and_a_second_save_gives_the_same_bytes(
    saved: tuple[Path, Checkpoint],
) -> None:
    folder, checkpoint = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"model.safetensors", "model.json"}
    save(folder, checkpoint)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format=99), "format 2"),
        (lambda d: d.update(model="resnet"), "'resnet' is none of afn"),
        (lambda d: d["settings"].update(features=32), "size mismatch"),
        (lambda d: d["settings"].update(colour="blue"), "settings colour"),
        (lambda d: d["settings"].pop("dropout"), "settings dropout"),
        (lambda d: d["settings"].update(fusion="product"), "fusion 'product'"),
        (lambda d: d.update(classes=["happiness"]), "size mismatch"),
        (lambda d: d.update(inputs=["frames"]), "eats"),
        (lambda d: d.pop("scales"), "scales"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    saved: tuple[Path, Checkpoint], change: Callable[[dict[str, Any]], object], said: str
) -> None:
    folder, _ = saved
    edit(folder, change)
    with pytest.raises(ToolkitError, match=said) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused(saved: tuple[Path, Checkpoint], tmp_path: Path, toy: ClipTensors) -> None:
    folder, checkpoint = saved
    other = tmp_path / "other"
    save(other, Checkpoint(build_model(SMALL, toy.classes, 8), checkpoint.scaler, 48))
    (other / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(ToolkitError, match="copy both again"):
        load(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_or_broken_file_is_told(saved: tuple[Path, Checkpoint], name: str) -> None:
    folder, _ = saved
    (folder / name).write_bytes(b"{")
    with pytest.raises(ToolkitError):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(ToolkitError, match=r"no readable checkpoint"):
        load(folder)


class TestStages:
    """How the pictures were made is part of the model: other pictures are other inputs."""

    @pytest.fixture
    def folder(self, tmp_path: Path, toy: ClipTensors) -> Path:
        stages = StageSettings(faces=FaceSettings(size=128), images=ImageSettings(extra=("apex_centred",)))
        save(tmp_path, Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, stages=stages))
        return tmp_path

    def test_they_come_back(self, folder: Path) -> None:
        stages = load(folder).stages
        assert stages == StageSettings(faces=FaceSettings(size=128), images=ImageSettings(extra=("apex_centred",)))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda p: p["versions"].update(flow=99), "flow of version 99; this version makes others"),
            (lambda p: p["versions"].pop("images"), "images of version None"),
            (lambda p: p["faces"].update(colour="grey"), "faces settings colour are not on both sides"),
            (lambda p: p["flow"].pop("window"), "flow settings window are not on both sides"),
            (lambda p: p["images"].update(order="random"), "order = 'random' is unknown"),
            (lambda p: p.pop("faces"), "faces settings"),
        ],
    )
    def test_what_this_version_does_not_make_is_refused(
        self, folder: Path, change: Callable[[dict[str, Any]], object], said: str
    ) -> None:
        edit(folder, lambda d: change(d["preprocessing"]))
        with pytest.raises(ToolkitError, match=said):
            load(folder)
