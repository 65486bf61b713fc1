from __future__ import annotations

import dataclasses
import shutil
import warnings
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from dynamic_images.clip_input import NoSettings
from experiments.runs import folds as loso
from experiments.runs import systems
from experiments.runs.classical import CHANCE_DRAWS, Majority
from experiments.runs.folds import evaluate, run_folds, train_fold
from experiments.runs.run import FoldResult, Run, read_predictions
from experiments.runs.system_registry import BASELINES
from experiments.runs.systems import Fitted, Network, System, clip_table
from experiments.scoring.protocols import Fold, leave_one_subject_out, subject_k_fold
from experiments.scoring.summary import check_predictions
from fusion_net import AFN, AFNSettings, ClipTensors, FitSettings


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(data: ClipTensors, system: System, folder: Path, **options: object) -> pd.DataFrame:
    folds = leave_one_subject_out(data.subjects)
    return run_folds(data, folds, Run(folder), system, **options)[0]  # type: ignore[arg-type]


def test_every_clip_is_predicted_once_per_seed(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    table = run(toy_data, tiny, tmp_path, seeds=(0, 5), progress=lambda *step: told.append(step))
    assert len(check_predictions(table, toy_data.classes)) == 2 * len(toy_data)
    truth = dict(zip(toy_data.clip_ids, toy_data.labels.tolist(), strict=True))
    assert all(toy_data.classes[truth[row.clip_id]] == row.y_true for row in table.itertuples())
    assert [step[:2] for step in told] == [(i + 1, 8) for i in range(8)]
    assert {"p_calm", "gate_temporal_ranked"} <= set(table.columns)
    pd.testing.assert_frame_equal(table, read_predictions(tmp_path / "predictions.csv"))


def test_a_fold_is_the_same_whatever_else_runs(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    folds = leave_one_subject_out(toy_data.subjects)
    everything = run(toy_data, tiny, tmp_path / "all", seeds=(1, 0))
    alone, _ = run_folds(toy_data, folds[2:3], Run(tmp_path / "one"), tiny, seeds=(1,))
    same = everything[(everything["seed"] == 1) & (everything["fold"] == folds[2].name)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, same)


@pytest.mark.parametrize("loss", ["deleted", "damaged", "interrupted"])
def test_a_run_resumes_to_the_same_bytes(
    loss: str, toy_data: ClipTensors, tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(toy_data, tiny, tmp_path / "whole")
    broken = tmp_path / "broken"
    train, calls = train_fold, []

    def counted(*args: object) -> object:
        calls.append(args)
        if loss == "interrupted" and len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loso, "train_fold", counted)
    if loss == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            run(toy_data, tiny, broken)
        assert len(list(broken.glob("folds/*/done.json"))) == 2
    else:
        shutil.copytree(tmp_path / "whole", broken)
        if loss == "deleted":
            shutil.rmtree(broken / "folds" / "0-toy_s1")
            (broken / "predictions.csv").unlink()
        else:
            (broken / "folds" / "0-toy_s1" / "predictions.csv").write_text("clip_id\n")
    run(toy_data, tiny, broken)
    assert contents(broken) == contents(tmp_path / "whole")
    assert len(calls) == {"deleted": 1, "damaged": 1, "interrupted": 3 + 2}[loss]


def test_whatever_a_result_depends_on_makes_it_stale(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    run(toy_data, tiny, tmp_path)
    brighter = dataclasses.replace(toy_data, inputs={n: x + 0.01 for n, x in toy_data.inputs.items()})
    changed = [
        (toy_data, dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, epochs=1))),
        (toy_data, dataclasses.replace(tiny, settings=dataclasses.replace(tiny.settings, fusion="sum"))),
        (brighter, tiny),
        (dataclasses.replace(toy_data, labels=toy_data.labels.flip(0)), tiny),
    ]
    for data, system in changed:
        told: list[str] = []
        run(data, system, tmp_path, progress=lambda done, total, text, told=told: told.append(text))
        assert not any("reused" in text for text in told)


def test_test_pixels_cannot_reach_training(toy_data: ClipTensors, tiny: Network) -> None:
    """Absurd images of one test clip: the weights, the scale, and so its neighbours' probabilities are the same bits.

    With test statistics in the scaler, or batch statistics shared at prediction, they would move.
    """
    fold = leave_one_subject_out(toy_data.subjects)[0]
    absurd = {name: x.clone() for name, x in toy_data.inputs.items()}
    for x in absurd.values():
        x[fold.test[0]] = 1e4 * torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(1))
    first = train_fold(toy_data, fold, 0, tiny)
    second = train_fold(dataclasses.replace(toy_data, inputs=absurd), fold, 0, tiny)
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    pd.testing.assert_frame_equal(first.predictions.iloc[1:], second.predictions.iloc[1:], check_exact=True)
    assert first.predictions["p_calm"][0] != second.predictions["p_calm"][0]


def test_training_pixels_do_reach_training(toy_data: ClipTensors, tiny: Network) -> None:
    """The counterpart: the test above would pass on a network that learns nothing."""
    fold = leave_one_subject_out(toy_data.subjects)[0]
    changed = {name: x.clone() for name, x in toy_data.inputs.items()}
    changed["temporal_ranked"][fold.train[0]] *= 3
    first = train_fold(toy_data, fold, 0, tiny)
    second = train_fold(dataclasses.replace(toy_data, inputs=changed), fold, 0, tiny)
    assert first.predictions["p_calm"][0] != second.predictions["p_calm"][0]


@pytest.mark.slow
def test_processes_change_nothing(toy_data: ClipTensors, tmp_path: Path) -> None:
    """Inputs large enough to be memory-mapped by the workers; other torch threads in the parent."""
    images = toy_data.only(one.name for one in AFN.uses(AFNSettings()))
    large = {n: x.repeat(1, 1, 5, 5) for n, x in images.inputs.items()}
    data = dataclasses.replace(images, inputs=large)
    assert data.inputs["temporal_ranked"].nbytes > 1 << 20
    settings = AFNSettings(widths=(8, 8), grid=2, features=8)
    system = Network("afn", settings, AFN.uses(settings), AFN, FitSettings(epochs=1, device="cpu"))
    for jobs in (1, 2):
        run(data, system, tmp_path / str(jobs), jobs=jobs)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with loso.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_other_protocols_fit(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    table, _ = run_folds(toy_data, subject_k_fold(toy_data.subjects, 2), Run(tmp_path), tiny)
    assert sorted(set(table["fold"])) == ["01of02", "02of02"]
    assert len(table) == len(toy_data)


def test_what_cannot_run_is_refused_before_training(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    folds = leave_one_subject_out(toy_data.subjects)
    refuse = partial(run_folds, toy_data, folds, Run(tmp_path), tiny)
    with pytest.raises(ValueError, match="wanted at least one and none twice"):
        refuse(seeds=(1, 1))
    with pytest.raises(ValueError, match="jobs is 0"):
        refuse(jobs=0)
    unlabelled = dataclasses.replace(toy_data, labels=torch.full_like(toy_data.labels, -1))
    with pytest.raises(ValueError, match=r"input 'motion_intensity' is missing: the clips have temporal_ranked"):
        run_folds(toy_data.only(["temporal_ranked"]), folds, Run(tmp_path), tiny)
    with pytest.raises(ValueError, match="24 clips have no label, for example toy/s0/c0"):
        run_folds(unlabelled, folds, Run(tmp_path), tiny)
    assert not list(tmp_path.iterdir())


def test_warnings_are_kept_once_and_survive_a_resume(
    toy_data: ClipTensors, tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = systems.fit

    def warning_fit(*args: object, **options: object) -> object:
        warnings.warn("the loss rises", RuntimeWarning, stacklevel=1)
        return fit(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(systems, "fit", warning_fit)
    folds = leave_one_subject_out(toy_data.subjects)
    for _ in range(2):
        assert run_folds(toy_data, folds, Run(tmp_path), tiny)[1] == ["RuntimeWarning: the loss rises"]


def test_evaluate_leaves_a_whole_run_and_a_second_one_trains_nothing(
    finished: Run,
    toy_data: ClipTensors,
    toy_cache: Path,
    tiny: Network,
    baselines: tuple[System, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = contents(finished.folder)
    assert {"run.json", "predictions.csv", "metrics.json", "report.html"} <= set(before)
    names = list(BASELINES)
    assert {f"baselines/{name}.csv" for name in names} <= set(before)
    about = finished.about()
    assert (about["model"], about["seeds"], about["folds"], about["clips"]) == ("afn", [0, 1], 4, 24)
    assert (about["title"], about["sections"]) == ("AFN", ["gate"])
    assert [one["name"] for one in about["uses"]] == ["temporal_ranked", "motion_intensity"] == [*about["inputs"]]
    assert about["protocol"] == "leave one subject out"
    metrics = finished.metrics()
    assert [row["system"] for row in metrics["rows"]] == ["afn", *names] == [*metrics["titles"]]

    def train(data: ClipTensors, fold: Fold, seed: int, system: System) -> FoldResult:
        assert system.name in names, "a fold of the system itself"
        return train_fold(data, fold, seed, system)

    monkeypatch.setattr(loso, "train_fold", train)
    evaluate(toy_data, finished, tiny, baselines, seeds=(0, 1), cache=toy_cache)
    assert contents(finished.folder) == before
    monkeypatch.setattr(loso, "summarise", lambda *_: pytest.fail("scores were made again"))
    evaluate(toy_data, finished, tiny, baselines, seeds=(0, 1), cache=toy_cache)
    assert contents(finished.folder) == before


@pytest.mark.parametrize("change", ["scores", "baseline", "fewer baselines", "baseline gone"])
def test_scores_that_are_not_of_this_run_are_made_again(
    change: str, finished: Run, toy_data: ClipTensors, tiny: Network, baselines: tuple[System, ...], tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run, before = Run(tmp_path / "run"), finished.metrics()
    if change == "scores":
        run.metrics_file.write_text(run.metrics_file.read_text().replace("0.", "1.", 1))
    elif change == "baseline":
        path = run.baseline_file("chance")
        path.write_text(path.read_text() + "\n")
    elif change == "baseline gone":
        run.baseline_file("svm").unlink()
    asked = baselines[1:] if change == "fewer baselines" else baselines
    evaluate(toy_data, run, tiny, asked, seeds=(0, 1))
    if change == "fewer baselines":
        assert len(run.metrics()["rows"]) == len(before["rows"]) - 1
    else:
        assert {**run.metrics()} == before
        for one in baselines:
            assert run.baseline_file(one.name).read_bytes() == finished.baseline_file(one.name).read_bytes()


def test_baselines_are_judged_on_the_folds_of_the_system(finished: Run) -> None:
    own = finished.predictions()
    fold_of = dict(zip(own["clip_id"], own["fold"], strict=True))
    for name, draws in (("majority", 1), ("chance", CHANCE_DRAWS), ("svm", 1), ("oracle", 1)):
        table = read_predictions(finished.baseline_file(name))
        assert len(table) == draws * 24 and set(table["seed"]) == set(range(draws))
        assert all(fold_of[row.clip_id] == row.fold for row in table.itertuples())
        assert not any(column.startswith("p_") for column in table)


def test_no_baselines_and_no_cache_are_fine(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    metrics = evaluate(toy_data, Run(tmp_path / "run"), tiny)
    assert [row["system"] for row in metrics["rows"]] == ["afn"] and metrics["differences"] == []
    assert "cache" not in Run(tmp_path / "run").about()


def test_warnings_of_baselines_are_told_in_the_metrics(toy_data: ClipTensors, tiny: Network, tmp_path: Path) -> None:
    class Careful(Majority):
        def fit(self, train: ClipTensors, seed: int, held_out: str) -> Fitted:
            warnings.warn("few clips", RuntimeWarning, stacklevel=1)
            return super().fit(train, seed, held_out)

    metrics = evaluate(toy_data, Run(tmp_path), tiny, (Careful("careful", NoSettings(), ()),))
    assert metrics["warnings"] == ["RuntimeWarning: few clips"]


def test_the_table_of_clips_follows_the_tensors(toy_data: ClipTensors) -> None:
    clips = clip_table(toy_data)
    assert clips["clip_id"].tolist() == list(toy_data.clip_ids)
    assert clips["y_true"].tolist() == [toy_data.classes[k] for k in toy_data.labels]


def test_a_model_of_frames_leaves_the_same_bytes_and_its_images(
    frame_data: ClipTensors, tiny_fdp: Network, tmp_path: Path
) -> None:
    """Twice from nothing, and once resumed after its images were damaged."""
    for name in ("one", "two", "damaged"):
        run(frame_data, tiny_fdp, tmp_path / name)
    (tmp_path / "damaged" / "folds" / "0-toy_s1" / "construction.npy").write_bytes(b"nothing")
    run(frame_data, tiny_fdp, tmp_path / "damaged")
    first = contents(tmp_path / "one")
    assert contents(tmp_path / "two") == first and contents(tmp_path / "damaged") == first
    assert sum(name.endswith("construction.npy") for name in first) == 4
    table = read_predictions(tmp_path / "one" / "predictions.csv")
    wanted = {"score_1", "score_4", "pooling_1", "psnr", "ssim", "psnr_mean", "ssim_constant"}
    assert wanted <= set(table.columns)


class TestTogether:
    """Folds that are trained at once, as on a GPU; here the processor does it."""

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Network, "at_once", True)

    def test_they_predict_what_each_predicts_alone(
        self, toy_data: ClipTensors, tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = run(toy_data, tiny, tmp_path / "together")
        monkeypatch.setattr(Network, "at_once", False)
        pd.testing.assert_frame_equal(together, run(toy_data, tiny, tmp_path / "alone"), check_exact=False, atol=1e-5)

    def test_a_fold_that_is_lost_comes_back_with_the_same_bytes(
        self, toy_data: ClipTensors, tiny: Network, tmp_path: Path
    ) -> None:
        run(toy_data, tiny, tmp_path)
        before = contents(tmp_path)
        shutil.rmtree(Run(tmp_path).fold(0, leave_one_subject_out(toy_data.subjects)[1].name))
        run(toy_data, tiny, tmp_path)
        assert contents(tmp_path) == before

    def test_folds_with_other_numbers_of_batches_go_apart(self, toy_data: ClipTensors) -> None:
        folds = [Fold(name, name, tuple(range(count)), (9,)) for name, count in (("a", 9), ("b", 8), ("c", 7))]
        tasks = [(0, fold, "") for fold in folds]
        assert [[task[1].subject for task in some] for some in loso.groups(tasks, 8, 36)] == [["a"], ["b", "c"]]
        assert len(loso.groups(tasks, 8, 1)) == 3
