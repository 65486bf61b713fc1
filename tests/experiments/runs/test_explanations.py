from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.pages.report import write_report
from experiments.runs.explanations import (
    MAPS,
    OCCLUSION,
    check_explainable,
    explain,
    rank_correlation,
    read_numbers,
)
from experiments.runs.run import Run, read_json, read_predictions, to_csv, write_json
from experiments.runs.systems import Network, System
from fusion_net.inputs import ClipTensors
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import digest
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, write_stack
from preprocessing.errors import ToolkitError, UsageError


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, toy_cache: Path, toy_data: ClipTensors, drawn_face: Any) -> Path:
    """The toy clips with a face in each."""
    cache = Path(shutil.copytree(toy_cache, tmp_path_factory.mktemp("faces") / "toy"))
    scale = 24 / np.array(drawn_face.picture.shape[1::-1])
    for clip_id in toy_data.clip_ids:
        folder = clip_folder(cache, clip_id)
        with folder.writing("faces", Entry("faces key", {})) as scratch:
            np.save(scratch / "landmarks.npy", (drawn_face.points * scale).astype(np.float32))
            write_stack(scratch / CROPS, np.full((5, 24, 24, 3), 128, np.uint8))
    return cache


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def explained(finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network) -> Run:
    explain(toy_data, finished, faces, tiny)
    return finished


def test_nothing_of_the_run_is_changed(finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network) -> None:
    before = contents(finished.folder)
    told: list[tuple[int, int]] = []
    explain(toy_data, finished, faces, tiny, progress=lambda done, total, _: told.append((done, total)))
    after = contents(finished.folder)
    assert {name: data for name, data in after.items() if not name.startswith("explanations/")} == before
    assert told == [(k, 4) for k in (1, 2, 3, 4)]


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(
    explained: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    before = contents(explained.folder)
    shutil.rmtree(explained.explanations)
    explain(toy_data, explained, faces, tiny, jobs=2)
    assert contents(explained.folder) == before


def test_numbers_stand_for_every_held_out_clip(explained: Run) -> None:
    numbers = read_numbers(explained)
    assert numbers is not None
    assert (numbers["clips"], numbers["subjects"], numbers["seeds"]) == (24, 4, [0, 1])
    assert [(r["method"], r["stream"]) for r in numbers["sanity"]] == [
        (method, stream) for method in ("grad_cam", "hires_cam") for stream in ("temporal_ranked", "motion_intensity")
    ]
    for row in numbers["sanity"]:
        for kind in ("untrained", "again", "other_clip"):
            assert row[kind]["n"] <= 24
            assert row[kind]["value"] is None or -1 <= row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"] <= 1
    assert [r["part"] for r in numbers["occlusion"]] == ["eyes", "brows", "nose", "mouth", "elsewhere"]
    assert sum(r["area"] for r in numbers["occlusion"]) == pytest.approx(1)
    table = pd.read_csv(explained.explanations / OCCLUSION)
    assert len(table) == 24 * 5 and table["clip_id"].nunique() == 24
    predictions = explained.predictions()
    first = predictions[predictions["seed"] == 0].set_index("clip_id")
    assert (table["y_pred"] == list(first["y_pred"].loc[table["clip_id"]])).all()
    for row in numbers["occlusion"]:
        own = table[table["part"] == row["part"]]
        assert row["drop"]["value"] == pytest.approx(own["drop"].mean(), abs=1e-6)
        assert row["flips"]["value"] == pytest.approx(own["flips"].mean())
    with np.load(explained.explanations / MAPS) as maps:
        assert maps["map/grad_cam/temporal_ranked"].shape == (24, 8, 8)


def test_what_is_there_is_not_made_again_and_what_is_damaged_is(
    explained: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    parts = sorted((explained.explanations).glob("*-*.npz"))
    assert len(parts) == 4
    before, bytes_before = [p.stat().st_mtime_ns for p in parts], contents(explained.folder)
    parts[2].write_bytes(parts[2].read_bytes()[:50])
    explain(toy_data, explained, faces, tiny)
    again = [p.stat().st_mtime_ns == old for p, old in zip(parts, before, strict=True)]
    assert again == [True, True, False, True]
    assert contents(explained.folder) == bytes_before


def test_other_clips_or_other_settings_are_refused(
    finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    other = dataclasses.replace(toy_data, labels=toy_data.labels.flip(0))
    with pytest.raises(ToolkitError, match="was made with other clips"):
        explain(other, finished, faces, tiny)
    longer = dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, epochs=3))
    with pytest.raises(ToolkitError, match="is not the fold that these settings make"):
        explain(toy_data, finished, faces, longer)


def test_a_run_of_other_source_code_is_refused(
    finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    write_json(finished.about_file, finished.about() | {"source": "of yesterday"})
    with pytest.raises(
        ToolkitError, match=r"made with other source code of the system \(of yesterday, now [0-9a-f]+\)"
    ):
        explain(toy_data, finished, faces, tiny)


@pytest.mark.parametrize("name", ["tiny_fdp", "svm"])
def test_a_system_without_layers_to_show_is_refused_before_any_work(
    name: str, request: pytest.FixtureRequest, toy_data: ClipTensors, frame_data: ClipTensors, tmp_path: Path
) -> None:
    """Before the run is even looked for."""
    system: System = request.getfixturevalue(name)
    refusal = f"{system.title} has no layers that a map over the face could show"
    with pytest.raises(UsageError, match=refusal):
        check_explainable(system, toy_data.classes)
    data = frame_data if name == "tiny_fdp" else toy_data
    with pytest.raises(UsageError, match=refusal):
        explain(data, Run(tmp_path / "no run"), tmp_path / "no cache", system)  # type: ignore[arg-type]


def test_a_network_with_layers_to_show_passes(tiny: Network, toy_data: ClipTensors) -> None:
    assert check_explainable(tiny, toy_data.classes) is tiny


def test_a_network_that_predicts_otherwise_is_not_explained(
    finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    """As after training on another device: the fold is whole and says something else."""
    folder = finished.fold(0, "toy_s1")
    table = read_predictions(folder / "predictions.csv")
    table[["p_calm", "p_happy"]] = table[["p_happy", "p_calm"]]
    (folder / "predictions.csv").write_text(to_csv(table))
    done = read_json(folder / "done.json")
    done["files"]["predictions.csv"] = digest(folder / "predictions.csv")
    write_json(folder / "done.json", done)
    with pytest.raises(ToolkitError, match="so it is another network"):
        explain(toy_data, finished, faces, tiny)


def test_one_seed_has_no_second_training_to_compare_with(
    finished: Run, toy_data: ClipTensors, faces: Path, tiny: Network
) -> None:
    write_json(finished.about_file, finished.about() | {"seeds": [0]})
    explain(toy_data, finished, faces, tiny)
    numbers = read_numbers(finished)
    assert numbers is not None and "again" not in numbers["sanity"][0]
    assert "With a second seed" in write_report(finished, faces).read_text("utf-8")


def test_the_report_shows_them_until_the_predictions_change(explained: Run, faces: Path) -> None:
    text = write_report(explained, faces).read_text("utf-8")
    for wanted in ("untrained network", "trained again (seed 1)", "blanking", "HiResCAM"):
        assert wanted in text
    assert text.count("data:image/jpeg") >= 3 * 6 + 9 * 8 - 8
    table = explained.predictions()
    explained.predictions_file.write_text(to_csv(table.iloc[::-1]))
    text = write_report(explained, faces).read_text("utf-8")
    assert "untrained network" not in text and "run <b>mer explain</b> again" in text


def test_the_explanations_fit_the_screen(
    explained: Run, faces: Path, visit: Callable[..., Any], sideways: Callable[[Any], list[str]]
) -> None:
    write_report(explained, faces)
    page = visit(explained.report_file, width=400)
    assert sideways(page) == []
    assert page.get_by_role("region", name="Maps of single clips").evaluate("e => e.scrollWidth > e.clientWidth")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")


def test_rank_correlation_of_maps() -> None:
    ramp = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(ramp, np.exp(ramp)) == pytest.approx(1)
    assert rank_correlation(ramp, -ramp) == pytest.approx(-1)
    assert np.isnan(rank_correlation(ramp, np.ones((3, 4))))
