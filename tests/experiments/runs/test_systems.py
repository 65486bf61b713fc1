"""Every system keeps the contract of `run_folds`: one table, the same bytes after a resume and in other processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from dynamic_images.clip_input import InputUse, NoSettings
from dynamic_images.inputs import use
from experiments.pages.report import write_report
from experiments.runs import folds as loso
from experiments.runs.ablation import ablate
from experiments.runs.classical import SVM, Estimator, SVMSettings
from experiments.runs.folds import class_list, evaluate, run_folds
from experiments.runs.run import Run
from experiments.runs.system_registry import SET_FLOORS, find_system, make_system, system_names
from experiments.runs.systems import Network, System
from experiments.scoring.protocols import leave_one_subject_out
from experiments.scoring.summary import check_predictions
from fusion_net import AFN, MODELS, AFNSettings, ClipTensors, FitSettings, Model, Output
from fusion_net.losses import soft_cross_entropy
from fusion_net.models import Batch

NETWORKS = ("afn", "fdp")
"""Two stand for all: what is tested here does not depend on the network. Others: ``test_systems_of_the_line.py``."""
NAMES = tuple(name for name in system_names() if name in NETWORKS or name not in MODELS)
OTHERS = ("majority", "chance", "oracle", "image_svm", "mean_kernel", "hoof", "mdmo", "lbp_top", *SET_FLOORS)


@pytest.fixture(scope="module")
def all_data(toy_data: ClipTensors, frame_data: ClipTensors) -> ClipTensors:
    """The toy clips with every input that a system of the toolkit asks for."""
    inputs, kinds = ({**getattr(toy_data, part), **getattr(frame_data, part)} for part in ("inputs", "kinds"))
    return dataclasses.replace(toy_data, inputs=inputs, kinds=kinds)


@pytest.fixture(scope="module")
def fitting(all_data: ClipTensors, set_data: ClipTensors) -> Callable[[str], ClipTensors]:
    """The toy clips as a system wants them: with several labels for floors that exist only there."""
    return lambda name: set_data if name in SET_FLOORS else all_data


@pytest.fixture(scope="module")
def small(tiny: Network, tiny_fdp: Network, svm: System) -> dict[str, System]:
    """Every system of the toolkit, small."""
    others = {name: make_system(name, find_system(name).Settings()) for name in OTHERS}
    return {"afn": tiny, "fdp": tiny_fdp, "svm": svm, **others}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(data: ClipTensors, system: System, folder: Path, jobs: int = 1) -> pd.DataFrame:
    return run_folds(data, leave_one_subject_out(data.subjects), Run(folder), system, jobs=jobs)[0]


def test_every_system_is_tested_here(small: dict[str, System]) -> None:
    assert set(small) == set(NAMES)
    for name, system in small.items():
        assert system.name == name and type(system.settings) is find_system(name).Settings


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_resumes_without_training(
    name: str,
    small: dict[str, System],
    fitting: Callable[[str], ClipTensors],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = fitting(name)
    first = run(data, small[name], tmp_path)
    assert set(check_predictions(first, class_list(data))["clip_id"]) == set(data.clip_ids)
    about = Run(tmp_path).about()
    assert (about["model"], about["title"]) == (name, small[name].title)
    assert [one["name"] for one in about["uses"]] == [*about["inputs"]] == [one.name for one in small[name].inputs]
    assert about["settings"] is not None and about["sections"] == list(small[name].sections)
    assert ("parameters" in about) == ("fit" in about) == isinstance(small[name], Network)
    before = contents(tmp_path)
    monkeypatch.setattr(loso, "train_fold", None)
    pd.testing.assert_frame_equal(run(data, small[name], tmp_path), first)
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_give_the_same_bytes(
    name: str, small: dict[str, System], fitting: Callable[[str], ClipTensors], tmp_path: Path
) -> None:
    for jobs in (1, 2):
        run(fitting(name), small[name], tmp_path / str(jobs), jobs)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_inputs_that_a_system_does_not_name_have_no_effect(
    small: dict[str, System], all_data: ClipTensors, tmp_path: Path
) -> None:
    more = run(all_data, small["svm"], tmp_path / "more")
    run(all_data.only(["flow_grid"]), small["svm"], tmp_path / "own")
    assert contents(tmp_path / "more") == contents(tmp_path / "own") and len(more) == 24


class TestKey:
    """A finished fold is reused under the same key: what makes another system must make another key."""

    def test_systems_that_differ_in_their_class_alone(self) -> None:
        """Baselines stand in one file and have neither settings nor inputs: one must not pass for the other."""
        assert len({make_system(name, NoSettings()).key for name in ("majority", "chance")}) == 2

    def test_a_name_settings_inputs_and_training(self, tiny: Network, svm: System) -> None:
        systems: list[System] = [
            *(tiny, svm, dataclasses.replace(tiny, name="other")),
            dataclasses.replace(tiny, settings=dataclasses.replace(tiny.settings, fusion="sum")),
            dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, epochs=3)),
            dataclasses.replace(tiny, inputs=tuple(reversed(tiny.inputs))),
            dataclasses.replace(svm, settings=dataclasses.replace(svm.settings, kernel="rbf")),
            dataclasses.replace(svm, inputs=(use("flow_grid", grid=3),)),
        ]
        assert len({system.key for system in systems}) == len(systems)
        assert tiny.key == dataclasses.replace(tiny).key

    def test_two_networks_of_one_file(self, tiny: Network) -> None:
        class Other(AFN):
            pass

        class Another(AFN):
            pass

        one, two = (dataclasses.replace(tiny, model=model) for model in (Other, Another))
        assert one.key != two.key


def early_fusion() -> type[Model]:
    """A network that only this process knows, as one from a notebook: workers cannot import it."""

    @dataclasses.dataclass(frozen=True)
    class EarlySettings:
        scale: float = 0.01

    class Early(Model):
        Settings = EarlySettings

        def __init__(self, settings: EarlySettings, classes: tuple[str, ...], inputs: tuple[InputUse, ...]) -> None:
            super().__init__(settings, classes, inputs)
            self.classifier = nn.Linear(3 * len(inputs), len(classes))

        @classmethod
        def uses(cls, settings: EarlySettings) -> tuple[InputUse, ...]:
            return (use("motion_intensity"), use("temporal_ranked"))

        def forward(self, batch: Batch) -> Output:
            means = [batch[one.name].mean(dim=(2, 3)) for one in self.inputs]  # 2 x (B, 3)
            return Output(self.classifier(self.settings.scale * torch.cat(means, dim=1)))

        def loss(self, output: Output, batch: Batch) -> dict[str, Tensor]:
            return {"class": soft_cross_entropy(output.logits, batch["target"], batch["weight"])}

    return Early


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> System:
    """The network, registered in this process alone."""
    model = early_fusion()
    monkeypatch.setitem(MODELS, "early", model)  # type: ignore[misc]
    return make_system("early", model.Settings(), FitSettings(epochs=1, device="cpu"))


class TestNetworkOfThisProcess:
    def test_training_does_not_ask_for_its_name(
        self, early: System, toy_data: ClipTensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.delitem(MODELS, "early")
            assert len(run(toy_data, early, tmp_path)) == 24

    @pytest.mark.slow
    def test_it_trains_in_worker_processes_which_do_not_know_its_name(
        self, early: System, toy_data: ClipTensors, tmp_path: Path
    ) -> None:
        for jobs in (1, 2):
            table = run(toy_data, early, tmp_path / str(jobs), jobs)
            assert len(check_predictions(table, toy_data.classes)) == 24
        assert contents(tmp_path / "1") == contents(tmp_path / "2")

    def test_it_may_be_ablated_without_saying_how(self, early: System, toy_data: ClipTensors, tmp_path: Path) -> None:
        """`Model.variants` of the base class: the network as it is."""
        found = find_system("early")
        variants = found.variants(early.settings, early.inputs)
        assert variants == {"full": {}}
        settings = {name: dataclasses.replace(early.settings, **change) for name, change in variants.items()}
        systems = {name: dataclasses.replace(early, settings=own) for name, own in settings.items()}
        rows = ablate(toy_data, systems, tmp_path)
        assert rows["variant"].tolist() == ["full", "Majority baseline"]
        assert rows["parameters"].tolist()[0] == 3 * 6 + 3

    def test_a_class_without_a_title_is_called_by_its_name(self, early: System) -> None:
        assert early.title == "Early" and list(early.sections) == []


@dataclasses.dataclass(frozen=True)
class RidgeSettings:
    alphas: tuple[float, ...] = (1.0, 100.0)


class Ridge(Estimator):
    """What a user writes for a scikit-learn pipeline over features."""

    Settings = RidgeSettings

    @classmethod
    def uses(cls, settings: RidgeSettings) -> tuple[InputUse, ...]:
        return (use("flow_grid"),)

    @property
    def title(self) -> str:
        return "Ridge on flow"

    def candidates(self, seed: int) -> Sequence[BaseEstimator]:
        return [make_pipeline(StandardScaler(), RidgeClassifier(alpha)) for alpha in self.settings.alphas]


class TestEstimatorOfAUser:
    @pytest.fixture
    def ridge(self, monkeypatch: pytest.MonkeyPatch) -> System:
        monkeypatch.setitem(MODELS, "ridge", Ridge)  # type: ignore[misc]
        return make_system("ridge", RidgeSettings())

    def test_it_runs_resumes_and_is_shown(
        self,
        ridge: System,
        toy_data: ClipTensors,
        toy_cache: Path,
        baselines: tuple[System, ...],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder = Run(tmp_path / "mine")
        metrics = evaluate(toy_data, folder, ridge, baselines[:1], cache=toy_cache)
        assert [row["system"] for row in metrics["rows"]] == ["ridge", "majority"]
        assert metrics["rows"][0]["uf1"]["value"] > metrics["rows"][1]["uf1"]["value"]
        page = write_report(folder, folder.cache()).read_text("utf-8")
        assert "<h1>Ridge on flow on toy</h1>" in page and "flow statistics (6)" in page and "[1.0, 100.0]" in page
        before = contents(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(Ridge, "candidates", None)
            run_folds(toy_data, leave_one_subject_out(toy_data.subjects), folder, ridge)
        evaluate(toy_data, folder, ridge, baselines[:1], cache=toy_cache)
        assert contents(tmp_path) == before

    def test_it_stands_beside_another_system_as_a_baseline(
        self, ridge: System, toy_data: ClipTensors, tiny: Network, tmp_path: Path
    ) -> None:
        metrics = evaluate(toy_data, Run(tmp_path), tiny, (ridge,))
        assert metrics["titles"] == {"afn": "AFN", "ridge": "Ridge on flow"}
        assert [row["system"] for row in metrics["differences"]] == ["ridge"]


class TestNetwork:
    def test_it_is_mirrored_only_if_training_mirrored(self, tiny: Network) -> None:
        never = dataclasses.replace(tiny.training.augment, mirror=0.0)
        assert tiny.mirrored
        assert not dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, augment=never)).mirrored

    def test_a_fold_depends_on_who_is_held_out_and_not_on_the_order(self, tiny: Network, toy_data: ClipTensors) -> None:
        """Other weights for each fold, from (seed, held-out subject)."""
        data = toy_data.only(one.name for one in tiny.inputs)
        cases = ((0, "a"), (0, "a"), (0, "b"), (1, "a"))
        losses = [tiny.fit(data, seed, who).history[0]["loss"] for seed, who in cases]
        assert losses[0] == losses[1] and len(set(losses)) == 3

    def test_inputs_that_are_not_those_of_the_settings(self, toy_data: ClipTensors, tmp_path: Path) -> None:
        """As for a data set of precomputed images: the network takes what the clips have."""
        settings = AFNSettings(widths=(8,), grid=1, features=8, gate_hidden=4)
        uses = (use("onset_to_apex"), use("apex_to_offset"))
        system = make_system("afn", settings, FitSettings(epochs=1, device="cpu"), uses)
        images = dict(zip((one.name for one in uses), toy_data.inputs.values(), strict=False))
        table = run(dataclasses.replace(toy_data, inputs=images, kinds={}), system, tmp_path)
        assert [*Run(tmp_path).about()["inputs"]] == ["onset_to_apex", "apex_to_offset"]
        assert {"gate_onset_to_apex", "gate_apex_to_offset"} <= set(table)


def test_default_settings_of_the_svm_are_those_of_its_section() -> None:
    assert make_system("svm", SVMSettings()).inputs == SVM.uses(SVMSettings()) == (use("flow_grid"),)
