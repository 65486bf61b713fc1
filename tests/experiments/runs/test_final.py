from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dynamic_images.pipeline import StageSettings, recorded_stages
from experiments.runs.final import judged, train_final
from experiments.runs.folds import train_fold
from experiments.runs.run import Run
from experiments.runs.systems import Network, side_of
from experiments.scoring.protocols import Fold
from fusion_net import ClipTensors, Scaler, load
from fusion_net.inference import predict
from fusion_net.inputs import strength
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.artefacts.record import Entry
from preprocessing.errors import ToolkitError, UsageError
from preprocessing.pipeline import FaceSettings

FACTS = {"dataset": "toy", "scheme": "3", "rejected": 1, "left_out": 2}
STAGES = StageSettings(faces=FaceSettings(size=64, landmark_model="somewhere/else.dat"))


@pytest.fixture
def images(toy_data: ClipTensors) -> ClipTensors:
    """The toy clips with what the network takes in."""
    return toy_data.only(["temporal_ranked", "motion_intensity"])


@pytest.fixture
def make(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> Callable[..., Path]:
    def final(**change: Any) -> Path:
        given = {"data": toy_data, "out": tmp_path / "model", "system": tiny, "stages": STAGES, "facts": FACTS}
        return train_final(**{**given, "evaluation": None, **change})

    return final


def test_the_folder_holds_weights_description_and_card_and_no_pickle(make: Callable[..., Path]) -> None:
    out = make()
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.safetensors", "model_card.md"]
    assert all(b"pickle" not in path.read_bytes()[:200] for path in out.glob("model.s*"))


def test_it_says_all_that_a_new_clip_needs(make: Callable[..., Path], images: ClipTensors, tiny: Network) -> None:
    model = load(make())
    assert model.stages is not None
    assert model.stages.faces == FaceSettings(size=64, landmark_model="else.dat"), "no path of another machine"
    assert model.model.classes == images.classes and model.size == 16
    training = model.about["training"]
    assert (training["clips"], training["subjects"], training["epochs"]) == (24, 4, tiny.training.epochs)
    assert training["per_class"] == {"calm": 8, "happy": 8, "other": 8}
    low, high = training["strength"]["temporal_ranked"]
    assert 0 < low <= float(strength(model.scaler(images), "temporal_ranked").median()) <= high
    answers = predict(model.model, model.scaler(images))
    assert len(answers) == 24


def test_it_is_the_system_of_the_folds_on_every_clip(
    make: Callable[..., Path], images: ClipTensors, tiny: Network
) -> None:
    """A fold that trains on everybody and is named alike ends with the same scale, epochs and answers."""
    model = load(make())
    everybody = tuple(range(len(images)))
    same = train_fold(images, Fold("final", "final", everybody, everybody), 0, tiny)
    answers = predict(model.model, model.scaler(images))
    assert len(same.history) == model.about["training"]["epochs"]
    torch.testing.assert_close(
        torch.tensor(answers["p_calm"].to_numpy()), torch.tensor(same.predictions["p_calm"].to_numpy())
    )
    assert dict(model.scaler.scales) == dict(Scaler.fit(images).scales)


def test_a_finished_one_is_left_alone_and_a_changed_one_is_trained_again(
    make: Callable[..., Path], tiny: Network
) -> None:
    out = make()
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    make()
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    make(facts={**FACTS, "scheme": "5"})
    assert load(out).about["training"]["scheme"] == "5"


def test_an_interrupted_one_is_no_model(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between weights and description, over an older model: it does not load, and the next call makes it."""
    out = make()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fusion_net.checkpoint.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            make(facts={**FACTS, "scheme": "5"})
    with pytest.raises(ToolkitError, match="no readable checkpoint"):
        load(out)
    make()
    assert load(out).about["training"]["scheme"] == "3"


def test_a_folder_of_something_else_is_never_written_to(make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    with pytest.raises(UsageError, match="holds something that is no model"):
        make(out=tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_side_is_that_of_the_pictures(toy_data: ClipTensors, frame_data: ClipTensors) -> None:
    """Features have none, also if they come first."""
    assert side_of(toy_data.only(["flow_grid", "temporal_ranked"])) == side_of(frame_data) == 16
    assert side_of(toy_data.only(["flow_grid"])) == 0


class TestCard:
    def test_it_quotes_the_result_with_its_interval_and_says_what_was_not_judged(
        self, make: Callable[..., Path], finished: Run
    ) -> None:
        evaluation = judged(finished)
        card = (make(evaluation=evaluation) / "model_card.md").read_text()
        row = next(row for row in evaluation["rows"] if row["system"] == "afn")
        assert f"{row['uf1']['value']:.3f} [{row['uf1']['low']:.3f}, {row['uf1']['high']:.3f}]" in card
        assert "| AFN |" in card and "| Majority baseline |" in card and "| 24 | 4 |" in card
        assert "This very network was not judged" in card
        for section in ("Intended use", "Factors", "Training data", "Ethical considerations", "Caveats"):
            assert f"## {section}" in card
        assert "lie detector" in card and "1810.03993" in card
        assert "somewhere" not in card

    def test_it_names_the_inputs_that_the_network_takes_in(
        self, make: Callable[..., Path], frame_data: ClipTensors, tiny_fdp: Network, tmp_path: Path
    ) -> None:
        images, frames = make(), make(data=frame_data, system=tiny_fdp, out=tmp_path / "fdp")
        first, second = ((out / "model_card.md").read_text() for out in (images, frames))
        assert "Network `AFN`" in first and "TRDI (3 × 16 × 16), MIDI (3 × 16 × 16)." in first
        assert "Network `FDP`" in second and "frames (4 × 1 × 16 × 16)." in second
        assert "TRDI" not in second and "frames (" not in first

    def test_it_says_whether_mirror_images_are_asked(
        self, make: Callable[..., Path], tiny: Network, tmp_path: Path
    ) -> None:
        fit = dataclasses.replace(tiny.training, augment=dataclasses.replace(tiny.training.augment, mirror=0.0))
        plain = make(system=dataclasses.replace(tiny, training=fit), out=tmp_path / "plain")
        both = make()
        assert (load(both).mirrored, load(plain).mirrored) == (True, False)
        said = [" ".join((out / "model_card.md").read_text().split()) for out in (both, plain)]
        assert ["the mean over a clip and its mirror image" in text for text in said] == [True, False]

    def test_without_a_result_it_says_so(self, make: Callable[..., Path]) -> None:
        out = make()
        assert "**Not judged.**" in (out / "model_card.md").read_text()
        assert json.loads((out / "model.json").read_text())["about"]["evaluation"] is None

    def test_drawn_faces_are_called_drawn(self, make: Callable[..., Path]) -> None:
        card = make(facts={**FACTS, "dataset": "synthetic"}) / "model_card.md"
        assert "Trained on drawn faces" in card.read_text()

    def test_a_result_on_other_clips_is_not_quoted(self, make: Callable[..., Path], finished: Run) -> None:
        with pytest.raises(ToolkitError, match="judged on other clips"):
            make(evaluation={**judged(finished), "data": "other"})


class TestRecordedStages:
    def fill(self, folder: ClipFolder, size: int) -> None:
        stages = {"faces": FaceSettings(size=size), "flow": STAGES.flow, "images": STAGES.images}
        for name, settings in stages.items():
            with folder.writing(name, Entry("key", json.loads(json.dumps(settings.__dict__)))):
                pass

    def test_they_are_those_of_the_pictures(self, tmp_path: Path) -> None:
        self.fill(clip_folder(tmp_path, "toy/a/1"), 64)
        assert recorded_stages(tmp_path, ["toy/a/1"]) == StageSettings(faces=FaceSettings(size=64))

    def test_clips_that_differ_are_refused(self, tmp_path: Path) -> None:
        for number, size in ((1, 64), (2, 128)):
            self.fill(clip_folder(tmp_path, f"toy/a/{number}"), size)
        with pytest.raises(ToolkitError, match=r"toy/a/2 was not made under the same settings as toy/a/1"):
            recorded_stages(tmp_path, ["toy/a/1", "toy/a/2"])
