"""The measurements against the truth: they meet their bounds on a small corpus, and get worse when something breaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.pipeline import build_dataset
from experiments import chain_accuracy as truth
from experiments.config import Config, load_config, offline_sections
from experiments.runs.run import Run
from preprocessing import optical_flow
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.datasets import synthetic
from preprocessing.optical_flow import FlowSettings
from preprocessing.synthetic import action_units
from preprocessing.synthetic.corpus import generate
from preprocessing.synthetic.truth import load_truth
from tests.overwriting import overwrite

SMOOTHING = 0.02


@pytest.fixture(scope="module")
def config() -> Config:
    """Four clips of 240 lines; displacements are half as many px as in the default corpus, drift is the same."""
    corpus = ["width=320", "height=240", "subjects=2", "clips_per_subject=2", "lead_in=2", "tail=2"]
    return load_config(offline_sections(), None, [*(f"corpus.{change}" for change in corpus), "faces.size=160"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    return generate(tmp_path_factory.mktemp("truth") / "corpus", config["corpus"])


@pytest.fixture(scope="module")
def cache(root: Path, config: Config) -> Path:
    folder = root.parent / "synthetic"
    build_dataset(synthetic.load(root), folder, config.stages)
    assert len(truth.usable(folder)) == 4
    return folder


@pytest.fixture
def broken(cache: Path, tmp_path: Path) -> Callable[[str, Callable[[NDArray[Any]], NDArray[Any]]], Path]:
    """A copy of the cache in which every clip's array of that name has been through a function."""

    def make(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Path:
        copy = shutil.copytree(cache, tmp_path / "synthetic")
        for clip_id in truth.usable(copy):
            folder = clip_folder(copy, clip_id)
            overwrite(folder, name, change(folder.load(name)))
        return Path(copy)

    return make


def by_name(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["quantity"]: row["value"] for row in rows}


def shuffled(array: NDArray[Any]) -> NDArray[Any]:
    return np.random.default_rng(0).permutation(array)


def test_landmarks_are_found_and_moved_ones_are_noticed(root: Path, cache: Path, broken: Any) -> None:
    good, bad = (
        truth.landmark_rows(root, at, truth.usable(at))[0]
        for at in (cache, broken("landmarks.npy", lambda points: points + np.float32(4)))
    )
    assert 0 < good["value"] < 3.5
    assert bad["value"] > 2 * good["value"], "4 px of a crop in which the eyes are about 70 px apart"
    assert (good["unit"], good["n"]) == ("% of the eye distance", 4)
    assert good["low"] <= good["value"] <= good["high"]


def test_head_motion_is_gone_and_shuffled_transforms_are_noticed(root: Path, cache: Path, broken: Any) -> None:
    clips = truth.usable(cache)
    good = truth.head_motion_rows(root, cache, clips)
    left, worst = (row["value"] for row in good)
    assert left < 0.15 <= worst + 0.15
    assert worst < 0.3
    uncorrected = float(good[0]["wanted"].rsplit(" ", 1)[1])
    assert left < uncorrected / 3, "the trivial answer, the first transform for all frames"
    bad = truth.head_motion_rows(root, broken("transforms.npy", shuffled), clips)
    assert bad[0]["value"] > uncorrected / 2


def test_one_transform_for_all_frames_scores_what_the_row_calls_uncorrected(
    root: Path, cache: Path, broken: Any
) -> None:
    frozen = broken("transforms.npy", lambda t: np.repeat(t[:1], len(t), axis=0))
    row = truth.head_motion_rows(root, frozen, truth.usable(frozen))[0]
    assert row["wanted"].endswith(f"uncorrected {row['value']:.2f}")


def test_flow_is_better_than_none_where_skin_moves(root: Path, cache: Path) -> None:
    clips = truth.usable(cache)
    scores = by_name(truth.flow_rows(root, cache, clips, FlowSettings()))
    moving = {name.split(": ")[1]: value for name, value in scores.items() if "where skin moves" in name}
    assert set(moving) == {
        "dis, in use",
        "track, in order",
        "dis, plain",
        "farneback, plain",
        "tvl1, plain",
        "zero flow, the baseline",
    }
    assert moving["dis, in use"] < 0.5 * moving["zero flow, the baseline"]
    assert moving["track, in order"] < 0.5 * moving["zero flow, the baseline"]
    zero = by_name(truth.flow_rows(root, cache, clips[:1], FlowSettings(method="zero")))
    assert (
        zero["flow error where skin moves: zero, in use"]
        == zero["flow error where skin moves: zero flow, the baseline"]
    )


def test_flow_onto_the_wrong_frame_is_noticed(root: Path, cache: Path, broken: Any) -> None:
    """Crops in reverse: the motion that is found is that of the offset, not of the apex."""
    reverse = broken("crops.mkv", lambda crops: crops[::-1].copy())
    clips = truth.usable(cache)
    good, bad = (
        np.mean([truth.flow_error(truth.flow_case(root, at, clip), FlowSettings())[0] for clip in clips])
        for at in (cache, reverse)
    )
    assert bad > 1.5 * good


def test_a_method_for_frames_in_order_sees_them(root: Path, cache: Path) -> None:
    """What is measured is what the chain would write, up to its resizing, and not the flow of the pair."""
    case = truth.flow_case(root, cache, truth.usable(cache)[0])
    track = FlowSettings("track")
    written = optical_flow.flow_to(case.clip, case.at, track)
    measured = truth.measured(case, track)
    assert np.abs(optical_flow.halve(measured)[2:-2, 2:-2] - written[2:-2, 2:-2]).max() < 0.05
    alone = truth.measured(replace(case, clip=None), track)
    assert np.array_equal(alone, optical_flow.flow(case.first, case.second, track))
    assert not np.array_equal(alone, measured)


def test_the_still_part_of_a_face_hardly_moves_in_truth(root: Path, cache: Path) -> None:
    case = truth.flow_case(root, cache, truth.usable(cache)[0])
    size = np.hypot(case.motion[..., 0], case.motion[..., 1])
    assert not (case.moving & case.still).any()
    assert case.moving.any()
    assert size[case.moving].mean() > 5 * size[case.still].mean()


def test_intensity_follows_the_displacement_and_a_shuffled_curve_does_not(root: Path, cache: Path, broken: Any) -> None:
    clips = truth.usable(cache)
    curve, apex = (row["value"] for row in truth.intensity_rows(root, cache, clips, SMOOTHING)[:2])
    assert curve > 0.75
    assert apex >= 50
    worse = truth.intensity_rows(root, broken("intensity.npy", shuffled), clips, SMOOTHING)
    assert abs(worse[0]["value"]) < 0.5


def test_expressions_stand_above_their_own_noise_where_they_are_strong_enough(root: Path, cache: Path) -> None:
    row = truth.intensity_rows(root, cache, truth.usable(cache), SMOOTHING)[2]
    assert row["quantity"] == "clips whose intensity stands above their own noise floor"
    assert row["value"] >= 50 and row["n"] == 4


def test_the_apex_row_notices_a_maximum_in_the_wrong_place(root: Path, cache: Path, broken: Any) -> None:
    def maximum_at_the_onset(intensity: NDArray[Any]) -> NDArray[Any]:
        return np.linspace(1, 0, len(intensity), dtype=np.float32)

    rows = truth.intensity_rows(root, broken("intensity.npy", maximum_at_the_onset), truth.usable(cache), SMOOTHING)
    assert rows[1]["value"] == 0


def test_the_true_intensity_is_largest_at_the_apex_and_nothing_at_the_onset(root: Path, cache: Path) -> None:
    for clip_id in truth.usable(cache):
        known = load_truth(root, clip_id)
        curve = truth.true_intensity(known)
        assert len(curve) == known.offset - known.onset + 1
        assert curve[0] < 0.1 * curve.max()
        assert abs(int(curve.argmax()) - (known.apex - known.onset)) <= 2


def test_a_still_face_stays_still_and_the_corpus_is_left_alone(
    root: Path, cache: Path, config: Config, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    beside = sorted(root.parent.iterdir())
    row, seen, covered, over = truth.still_rows(root, tmp_path / "synthetic", config)
    assert row["value"] < 0.02
    assert row["n"] == 2, "one clip of each person"
    assert 0 < seen["value"] < 0.3
    assert covered["value"] == 100 and 1 <= over["value"] < 3, "a floor of 0 covers none, one of a pixel is 10 times it"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert sorted(root.parent.iterdir()) == beside
    assert sorted(path.name for path in tmp_path.iterdir()) == ["synthetic-still"]


def test_the_oracle_sees_the_true_peaks_of_the_clips_it_asked_for(root: Path, cache: Path) -> None:
    clips = truth.usable(cache)[::-1]
    table = truth.peak_table(root, clips)
    assert list(table.index) == clips
    assert list(table.columns) == list(action_units.CODES)
    for clip_id in clips:
        moved = {code: value for code, value in table.loc[clip_id].items() if value}
        assert moved == pytest.approx({k: v for k, v in load_truth(root, clip_id).peaks_px.items() if v})


class TestWrite:
    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How often it has been measured."""
        times: list[int] = []

        def measure(*_: Any) -> list[dict[str, Any]]:
            times.append(1)
            return [{"quantity": "a", "value": float(len(times))}]

        monkeypatch.setattr(truth, "measure", measure)
        return times

    @pytest.fixture
    def folders(self, root: Path, cache: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
        return tmp_path / "run", root, Path(shutil.copytree(cache, tmp_path / "synthetic"))

    def test_it_is_measured_once(self, folders: Any, config: Config, measured: list[int]) -> None:
        paths = [truth.write(Run(folders[0]), *folders[1:], config, lambda *_: None) for _ in range(2)]
        assert (len(measured), paths[0]) == (1, paths[1])
        assert json.loads(paths[0].read_text())["truth"] == [{"quantity": "a", "value": 1.0}]

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"key": 3}', "not json"])
    def test_a_file_that_is_none_is_made_again(
        self, folders: Any, config: Config, measured: list[int], text: str
    ) -> None:
        folders[0].mkdir()
        (folders[0] / "truth.json").write_text(text)
        truth.write(Run(folders[0]), *folders[1:], config, lambda *_: None)
        assert len(measured) == 1

    def test_other_artefacts_are_measured_again(self, folders: Any, config: Config, measured: list[int]) -> None:
        truth.write(Run(folders[0]), *folders[1:], config, lambda *_: None)
        manifest = folders[2] / "manifest.csv"
        manifest.write_text(manifest.read_text().replace("ok", "rejected", 1))
        truth.write(Run(folders[0]), *folders[1:], config, lambda *_: None)
        assert len(measured) == 2


@pytest.mark.parametrize(("n", "of", "taken"), [(3, 9, [0, 4, 8]), (5, 2, [0, 1]), (1, 4, [0])])
def test_evenly_spaced_takes_items_evenly_and_none_twice(n: int, of: int, taken: list[int]) -> None:
    assert truth.evenly_spaced([str(i) for i in range(of)], n) == [str(i) for i in taken]


@pytest.mark.slow
def test_the_whole_table(root: Path, cache: Path, config: Config, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    copy = Path(shutil.copytree(cache, tmp_path / "synthetic"))
    rows = truth.measure(root, copy, config, lambda done, total, _: told.append((done, total)))
    table = truth.as_table(rows)
    assert list(table.columns) == ["quantity", "value", "low", "high", "unit", "n", "wanted"]
    assert len(table) == len(set(table["quantity"])) == 16
    assert np.isfinite(table[["value", "low", "high"]].to_numpy(float)).all()
    assert (table["low"] <= table["high"]).all()
    assert told == [(i, 5) for i in range(1, 6)]


def test_damaged_measurements_are_made_again(
    root: Path, cache: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report would show the other number; a key alone does not tell."""
    rows = [{"quantity": "landmark error", "value": 1.25, "unit": "px", "n": 4, "wanted": ""}]
    made: list[int] = []
    monkeypatch.setattr(truth, "measure", lambda *_: made.append(1) or rows)
    run = Run(tmp_path / "run")
    path = truth.write(run, root, cache, config, lambda *_: None)
    whole = path.read_bytes()
    truth.write(run, root, cache, config, lambda *_: None)
    assert len(made) == 1
    path.write_bytes(whole.replace(b"1.25", b"1.26"))
    assert truth.write(run, root, cache, config, lambda *_: None).read_bytes() == whole
    assert len(made) == 2
