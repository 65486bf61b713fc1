from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from dynamic_images.build import ImageSettings
from dynamic_images.inputs import use
from dynamic_images.pipeline import StageSettings
from fusion_net.checkpoint import Checkpoint, load, save
from fusion_net.inference import predict
from fusion_net.inputs import ClipTensors, Scaler, subset
from fusion_net.models import AFNSettings, FDPSettings, build_model, new_model
from preprocessing.artefacts.files import key_of
from preprocessing.errors import ToolkitError
from preprocessing.pipeline import FaceSettings

SMALL = AFNSettings(widths=(8, 16), grid=2, features=16, gate_hidden=8)


@pytest.fixture
def saved(tmp_path: Path, toy: ClipTensors) -> tuple[Path, Checkpoint]:
    checkpoint = Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, {"seed": 7, "subject": "toy/s1"})
    save(tmp_path, checkpoint)
    return tmp_path, checkpoint


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another description that is as it was written: by another version, or by somebody else."""
    path = folder / "model.json"
    description = json.loads(path.read_text())
    del description["digest"]
    change(description)
    path.write_text(json.dumps(description | {"digest": key_of(description)}))


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
        (lambda d: d.update(format=99), "format 3"),
        (lambda d: d.update(model="resnet"), "'resnet' is not one of afn"),
        (
            lambda d: d["settings"].update(features=32),
            r"weight streams.temporal_ranked.2.linear.weight has shape \(16, 64\), wanted \(32, 64\)",
        ),
        (lambda d: d["settings"].update(colour="blue"), "settings colour"),
        (lambda d: d["settings"].pop("dropout"), "settings dropout"),
        (lambda d: d["settings"].update(fusion="product"), "afn.fusion = 'product'"),
        (lambda d: d["settings"].update(gate=2.0), r"gate 2.0 is outside 0 \.\. 1"),
        (
            lambda d: d.update(classes=["happiness", "other"]),
            r"weight classifier.weight has shape \(5, 16\), wanted \(2, 16\)",
        ),
        (lambda d: d.update(inputs=["frames"]), "does not fit"),
        (
            lambda d: d.update(inputs=d["inputs"][:1], scales={"temporal_ranked": 1.0}),
            "AFN fuses two images or flow maps, not temporal_ranked",
        ),
        (lambda d: d["inputs"][0].update(name="TRDI"), "input 'TRDI' is unknown"),
        (lambda d: d["inputs"][0]["settings"].update(count=3), "input temporal_ranked settings count are not on both"),
        (lambda d: d.pop("mirrored"), "mirrored"),
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
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


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


@pytest.mark.parametrize("mirrored", [True, False])
def test_it_is_used_as_it_was_judged(tmp_path: Path, toy: ClipTensors, mirrored: bool) -> None:
    save(tmp_path, Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, mirrored=mirrored))
    assert load(tmp_path).mirrored is mirrored


def test_inputs_and_scales_of_every_form_come_back(tmp_path: Path, toy: ClipTensors) -> None:
    """Inputs with their settings, and a flow with a scale per channel."""
    scales = {"apex_strain": (2.0, 2.0, 0.02), "onset_to_apex": 3.5}
    model = build_model(SMALL, toy.classes, 7, tuple(map(use, scales)))
    save(tmp_path, Checkpoint(model, Scaler(scales), 48))
    assert (load(tmp_path).model.inputs, dict(load(tmp_path).scaler.scales)) == (model.inputs, scales)
    few = FDPSettings(frames=3, features=16)
    frames = build_model(few, toy.classes, 7)
    save(tmp_path, Checkpoint(frames, Scaler({"frames": 1.0}), 32))
    assert load(tmp_path).model.inputs == (use("frames", count=3),) and load(tmp_path).model.settings == few


def test_a_model_that_could_not_be_read_again_overwrites_none(saved: tuple[Path, Checkpoint]) -> None:
    folder, checkpoint = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Unregistered(type(checkpoint.model)):  # type: ignore[misc]
        pass

    own = new_model(Unregistered, SMALL, checkpoint.model.classes, 0)
    with pytest.raises(TypeError, match="Unregistered is not registered"):
        save(folder, Checkpoint(own, checkpoint.scaler, 48))
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_of_a_landmark_model_only_the_name_of_its_file_is_kept(tmp_path: Path, toy: ClipTensors) -> None:
    stages = StageSettings(faces=FaceSettings(landmark_model=str(tmp_path / "private" / "points.dat")))
    save(tmp_path, Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, stages=stages))
    assert str(tmp_path) not in (tmp_path / "model.json").read_text()
    found = load(tmp_path).stages
    assert found is not None and found.faces.landmark_model == "points.dat"


class TestStages:
    """How the pictures were made is part of the model: other pictures are other inputs."""

    @pytest.fixture
    def folder(self, tmp_path: Path, toy: ClipTensors) -> Path:
        stages = StageSettings(faces=FaceSettings(size=128), images=ImageSettings(weights="linear"))
        save(tmp_path, Checkpoint(build_model(SMALL, toy.classes, 7), Scaler.fit(toy), 48, stages=stages))
        return tmp_path

    def test_they_come_back(self, folder: Path) -> None:
        stages = load(folder).stages
        assert stages == StageSettings(faces=FaceSettings(size=128), images=ImageSettings(weights="linear"))

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
