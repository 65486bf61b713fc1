from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments import workflow
from experiments.config import Config, all_sections, load_config
from experiments.workflow import Place, load_tensors, make_dataset, place, training_jobs
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import write_manifest
from preprocessing.datasets import find_dataset
from preprocessing.errors import DatasetError, ToolkitError, UsageError


@contextmanager
def silent(title: str) -> Iterator[workflow.Step]:
    yield lambda done, total, last: None


def config(*changes: str) -> Config:
    return load_config(all_sections(), None, changes)


class TestPlace:
    def test_the_corpus_has_its_own_folders_and_its_null_twin_shares_none(self) -> None:
        default, null = place("synthetic", config()), place("synthetic", config("corpus.null=true"))
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
        given = place("synthetic", config(), Path("/mine"), Path("/fast/one"))
        assert (given.root, given.cache, given.name, given.ours) == (Path("/mine"), Path("/fast/one"), "one", False)
        videos = place("videos", config(), Path("/mine"))
        assert (videos.cache, videos.ours) == (Path("cache/videos"), False)

    def test_an_unknown_data_set(self) -> None:
        with pytest.raises(UsageError, match="'casme9' is unknown: did you mean casme"):
            place("casme9", config())


class TestMakeDataset:
    @pytest.fixture(autouse=True)
    def _nothing_is_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def generate(*_: Any) -> None:
            raise AssertionError("a corpus is drawn")

        monkeypatch.setattr(workflow, "generate", generate)

    def test_a_given_root_is_read_and_never_made(self, tmp_path: Path) -> None:
        """One with other settings would be replaced: a corpus that somebody wants to keep."""
        root = tmp_path / "corpus"
        with pytest.raises(DatasetError, match="is not a folder: make the corpus with"):
            make_dataset(place("synthetic", config(), root, tmp_path / "cache"), config(), 1, silent)
        assert list(tmp_path.iterdir()) == []

    def test_our_own_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(AssertionError, match="a corpus is drawn"):
            make_dataset(place("synthetic", config()), config(), 1, silent)

    def test_without_a_root_it_asks_for_one(self) -> None:
        with pytest.raises(UsageError, match="folder of videos is not given: add --root"):
            make_dataset(place("videos", config()), config(), 1, silent)


class TestTrain:
    @pytest.mark.parametrize(("dataset", "changes"), [("videos", ()), ("synthetic", ("evaluation.scheme=7",))])
    def test_labels_are_asked_for_before_hours_of_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, changes: tuple[str, ...]
    ) -> None:
        def work(*_: Any) -> None:
            raise AssertionError("work is begun")

        monkeypatch.setattr(workflow, "make_dataset", work)
        where = place(dataset, config(*changes), tmp_path, tmp_path / "cache")
        for command in (
            lambda: workflow.train(where, config(*changes), "afn", tmp_path / "run", 1, silent),
            lambda: workflow.ablation(where, config(*changes), "afn", tmp_path / "run", 1, silent),
        ):
            with pytest.raises(DatasetError, match="has no label"):
                command()


class TestLoadTensors:
    @pytest.fixture
    def where(self, tmp_path: Path) -> Place:
        cache = tmp_path / "cache" / "synthetic"
        rows = []
        for i, word in enumerate(["surprise", "happiness", "others"]):
            clip_id = f"synthetic/s{i}/c1"
            folder = clip_folder(cache, clip_id).folder
            folder.mkdir(parents=True)
            for name in ("temporal_ranked", "motion_intensity"):
                np.save(folder / f"{name}.npy", np.full((64, 64, 3), i, np.float32))
            facts = {"emotion": word, "status": "ok", "code": "", "reason": ""}
            rows.append({"clip_id": clip_id, "subject": f"synthetic/s{i}", **facts})
        write_manifest(cache, rows)
        return Place(find_dataset("synthetic"), None, cache)

    def test_clips_keep_their_own_label_and_image(self, where: Place) -> None:
        data = load_tensors(where, config("evaluation.input_size=16", "evaluation.scheme=3"), "afn")
        assert data.clip_ids == ("synthetic/s0/c1", "synthetic/s1/c1")
        assert [data.classes[k] for k in data.labels.tolist()] == ["surprise", "positive"]
        assert {name: tuple(x.shape) for name, x in data.inputs.items()} == {
            "temporal_ranked": (2, 3, 16, 16),
            "motion_intensity": (2, 3, 16, 16),
        }
        assert data.inputs["motion_intensity"].mean(dim=(1, 2, 3)).tolist() == [0, 1]

    def test_without_a_manifest_it_says_what_makes_one(self, tmp_path: Path) -> None:
        nowhere = Place(find_dataset("synthetic"), None, tmp_path / "synthetic")
        with pytest.raises(ToolkitError, match="does not exist: build it with `mer dataset synthetic` first"):
            load_tensors(nowhere, config(), "afn")

    def test_a_manifest_that_is_none(self, where: Place) -> None:
        (where.cache / "manifest.csv").write_text("")
        with pytest.raises(ToolkitError, match=r"manifest\.csv is no manifest .*run `mer dataset` again"):
            load_tensors(where, config(), "afn")

    def test_an_image_that_is_gone_is_named(self, where: Place) -> None:
        (clip_folder(where.cache, "synthetic/s1/c1") / "motion_intensity.npy").unlink()
        with pytest.raises(ToolkitError, match=r"s1/c1: motion_intensity\.npy is missing .*`mer dataset synthetic`"):
            load_tensors(where, config(), "afn")

    def test_one_subject_cannot_be_left_out(self, where: Place, tmp_path: Path) -> None:
        table = pd.read_csv(where.cache / "manifest.csv").assign(subject="synthetic/s0")
        table.to_csv(where.cache / "manifest.csv", index=False)
        with pytest.raises(ValueError, match="at least 2"):
            workflow.train(where, config("evaluation.input_size=16"), "afn", tmp_path / "run", 1, silent)
        assert not (tmp_path / "run").exists()

    def test_nothing_to_learn_from(self, where: Place) -> None:
        table = pd.read_csv(where.cache / "manifest.csv").assign(status="rejected")
        table.to_csv(where.cache / "manifest.csv", index=False)
        with pytest.raises(ToolkitError, match="nothing to learn from"):
            load_tensors(where, config(), "afn")


def test_one_process_trains_on_an_accelerator_and_many_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fusion_net import device

    assert training_jobs(config("fit.device=cpu"), 4) == 4
    monkeypatch.setattr(device, "resolve_device", lambda name: torch.device("cuda"))
    assert training_jobs(config(), 4) == 1


def test_there_is_a_core() -> None:
    assert workflow.cores() >= 1
