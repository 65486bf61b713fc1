from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dynamic_images.inputs import use
from experiments import preparation, workflow
from experiments.config import Config, all_sections, load_config
from experiments.preparation import DatasetPaths, dataset_paths, labelled_tensors, make_dataset
from experiments.progress import Step
from experiments.runs import systems
from experiments.runs.run import Run
from experiments.runs.system_registry import make_system
from experiments.scoring.protocols import find_protocol
from fusion_net import ClipTensors
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import write_manifest
from preprocessing.datasets import find_dataset
from preprocessing.errors import DatasetError, ToolkitError, UsageError
from tests.experiments.fake_stages import write_stages


@contextmanager
def silent(title: str) -> Iterator[Step]:
    yield lambda done, total, last: None


IMAGES = ("temporal_ranked", "motion_intensity")
USES = [use(name) for name in IMAGES]


def config(*changes: str) -> Config:
    return load_config(all_sections(), None, changes)


class TestDatasetPaths:
    def test_the_corpus_has_its_own_folders_and_its_null_twin_shares_none(self) -> None:
        default, null = dataset_paths("synthetic", config()), dataset_paths("synthetic", config("corpus.null=true"))
        assert (default.root, default.cache, default.name) == (
            Path("data/synthetic"),
            Path("cache/synthetic"),
            "synthetic",
        )
        assert (null.root, null.cache, null.name) == (
            Path("data/synthetic-null"),
            Path("cache/synthetic-null"),
            "synthetic-null",
        )
        assert default.ours
        assert null.ours

    def test_what_the_user_gives_is_the_users(self) -> None:
        given = dataset_paths("synthetic", config(), Path("/mine"), Path("/fast/one"))
        assert (given.root, given.cache, given.name, given.ours) == (Path("/mine"), Path("/fast/one"), "one", False)
        videos = dataset_paths("videos", config(), Path("/mine"))
        assert (videos.cache, videos.ours) == (Path("cache/videos"), False)

    def test_an_unknown_data_set(self) -> None:
        with pytest.raises(UsageError, match="'casme9' is unknown: did you mean casme"):
            dataset_paths("casme9", config())


class TestMakeDataset:
    @pytest.fixture(autouse=True)
    def _nothing_is_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def generate(*_: Any) -> None:
            raise AssertionError("a corpus is drawn")

        monkeypatch.setattr(preparation, "generate", generate)

    def test_a_given_root_is_read_and_never_made(self, tmp_path: Path) -> None:
        """One with other settings would be replaced: a corpus that somebody wants to keep."""
        root = tmp_path / "corpus"
        with pytest.raises(DatasetError, match="is not a folder: make the corpus with"):
            make_dataset(dataset_paths("synthetic", config(), root, tmp_path / "cache"), config(), 1, silent)
        assert list(tmp_path.iterdir()) == []

    def test_our_own_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(AssertionError, match="a corpus is drawn"):
            make_dataset(dataset_paths("synthetic", config()), config(), 1, silent)

    def test_without_a_root_it_asks_for_one(self) -> None:
        with pytest.raises(UsageError, match="folder of videos is not given: add --root"):
            make_dataset(dataset_paths("videos", config()), config(), 1, silent)


class TestTrain:
    @pytest.mark.parametrize(("dataset", "changes"), [("videos", ()), ("synthetic", ("evaluation.scheme=7",))])
    def test_labels_are_asked_for_before_hours_of_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, changes: tuple[str, ...]
    ) -> None:
        def work(*_: Any) -> None:
            raise AssertionError("work is begun")

        monkeypatch.setattr(preparation, "make_dataset", work)
        paths = dataset_paths(dataset, config(*changes), tmp_path, tmp_path / "cache")
        for command in (
            lambda: workflow.train(paths, config(*changes), "afn", Run(tmp_path / "run"), 1, silent),
            lambda: workflow.ablation(paths, config(*changes), "afn", tmp_path / "run", 1, silent),
        ):
            with pytest.raises(DatasetError, match="has no label"):
                command()


class TestLabelledTensors:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> DatasetPaths:
        cache = tmp_path / "cache" / "synthetic"
        rows = []
        for i, word in enumerate(["surprise", "happiness", "others"]):
            clip_id = f"synthetic/s{i}/c1"
            images = {name: np.full((64, 64, 3), i, np.float32) for name in IMAGES}
            write_stages(clip_folder(cache, clip_id), images)
            facts = {"emotion": word, "status": "ok", "code": "", "reason": ""}
            rows.append({"clip_id": clip_id, "subject": f"synthetic/s{i}", **facts})
        write_manifest(cache, rows)
        return DatasetPaths(find_dataset("synthetic"), None, cache)

    def test_clips_keep_their_own_label_and_image(self, paths: DatasetPaths) -> None:
        data = labelled_tensors(paths, config("evaluation.input_size=16", "evaluation.scheme=3"), USES)
        assert data.clip_ids == ("synthetic/s0/c1", "synthetic/s1/c1")
        assert [data.classes[k] for k in data.labels.tolist()] == ["surprise", "positive"]
        assert {name: tuple(x.shape) for name, x in data.inputs.items()} == {
            "temporal_ranked": (2, 3, 16, 16),
            "motion_intensity": (2, 3, 16, 16),
        }
        assert data.inputs["motion_intensity"].mean(dim=(1, 2, 3)).tolist() == [0, 1]

    def test_without_a_manifest_it_says_what_makes_one(self, tmp_path: Path) -> None:
        nowhere = DatasetPaths(find_dataset("synthetic"), None, tmp_path / "synthetic")
        with pytest.raises(ToolkitError, match="does not exist: build it with `mer dataset synthetic` first"):
            labelled_tensors(nowhere, config(), USES)

    def test_a_file_that_is_not_a_manifest(self, paths: DatasetPaths) -> None:
        (paths.cache / "manifest.csv").write_text("")
        with pytest.raises(ToolkitError, match=r"manifest\.csv is not a manifest .*run `mer dataset synthetic` again"):
            labelled_tensors(paths, config(), USES)

    def test_an_image_that_is_gone_is_named(self, paths: DatasetPaths) -> None:
        (clip_folder(paths.cache, "synthetic/s1/c1") / "motion_intensity.npy").unlink()
        with pytest.raises(ToolkitError, match=r"s1/c1: motion_intensity\.npy is missing .*run `mer dataset` again"):
            labelled_tensors(paths, config(), USES)

    def test_one_subject_cannot_be_left_out(self, paths: DatasetPaths, tmp_path: Path) -> None:
        table = pd.read_csv(paths.cache / "manifest.csv").assign(subject="synthetic/s0")
        table.to_csv(paths.cache / "manifest.csv", index=False)
        with pytest.raises(ValueError, match="at least 2"):
            workflow.train(paths, config("evaluation.input_size=16"), "afn", Run(tmp_path / "run"), 1, silent)
        assert not (tmp_path / "run").exists()

    def test_nothing_to_learn_from(self, paths: DatasetPaths) -> None:
        table = pd.read_csv(paths.cache / "manifest.csv").assign(status="rejected")
        table.to_csv(paths.cache / "manifest.csv", index=False)
        with pytest.raises(ToolkitError, match="nothing to learn from"):
            labelled_tensors(paths, config(), USES)


def test_one_process_trains_on_an_accelerator_and_many_on_the_cpu(
    toy_data: ClipTensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, sections = DatasetPaths(find_dataset("synthetic"), None, Path("cache")), config("fit.device=cpu")
    system = make_system("afn", sections["afn"], sections["fit"])
    job = workflow.Job(paths, sections, system, toy_data, find_protocol())
    assert job.jobs(4) == 4
    monkeypatch.setattr(systems, "resolve_device", lambda name: torch.device("cuda"))
    assert job.jobs(4) == 1
