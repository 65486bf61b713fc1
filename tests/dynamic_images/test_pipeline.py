from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from dynamic_images.build import ImageSettings
from dynamic_images.pipeline import StageSettings, build_clip, build_dataset, clip_images
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.artefacts.record import RECORD
from preprocessing.clips import Clip
from preprocessing.errors import OUT_OF_MEMORY, ClipRejectedError, EnvironmentProblemError, faults_rejected
from preprocessing.faces import alignment
from preprocessing.pipeline import FaceSettings
from preprocessing.video import Unreadable, image_sequence

SETTINGS = StageSettings(faces=FaceSettings(size=64))
FRAMES = 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, write_frames: Callable[..., Path], drawn_face: Any) -> Path:
    """Four clips: a face, the same one darker, nobody, and a face whose last frame is broken."""
    root = tmp_path_factory.mktemp("pictures")
    face = drawn_face.picture
    write_frames(root / "a", [face] * FRAMES)
    write_frames(root / "b", [np.uint8(0.8 * face)] * FRAMES)
    wall = np.tile(np.linspace(60, 120, face.shape[1]).astype(np.uint8)[:, None], (face.shape[0], 1, 3))
    write_frames(root / "nobody", [wall] * FRAMES)
    write_frames(root / "broken", [face] * FRAMES)
    (root / "broken" / f"img{FRAMES}.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture
def clips(pictures: Path) -> list[Clip]:
    facts = {
        "nobody": {},
        "b": {},
        "a": {"apex": 3, "emotion": "happiness", "action_units": ("L12", "6")},
        "broken": {},
    }
    return [
        Clip(f"toy/s1/{name}", "toy/s1", image_sequence(pictures / name), offset=FRAMES - 1, fps=25.0, **about)
        for name, about in facts.items()
    ]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_every_clip_has_a_row_in_order_and_a_rejected_one_its_reason(clips: list[Clip], tmp_path: Path) -> None:
    told: list[str] = []
    path = build_dataset(clips, tmp_path / "toy", SETTINGS, on_clip=lambda row: told.append(row["clip_id"]))
    assert path == tmp_path / "toy" / "manifest.csv"
    table = read_manifest(tmp_path / "toy").set_index("clip_id")
    assert list(table.index) == told == [clip.clip_id for clip in clips]
    assert list(table["status"]) == ["rejected", "ok", "ok", "rejected"]
    assert list(table["code"].fillna("")) == ["no_face", "", "", "broken_frame"]
    assert table.loc["toy/s1/broken", "reason"] == f"img{FRAMES}.png cannot be decoded as an image"
    good = table.loc["toy/s1/a"]
    assert (good["onset"], good["apex"], good["offset"], good["n_frames"]) == (0, 3, FRAMES - 1, FRAMES)
    assert (good["apex_source"], good["emotion"], good["action_units"]) == ("annotated", "happiness", "L12+6")
    assert table.loc["toy/s1/b", "apex_source"] == "estimated"


def test_the_manifest_is_the_same_bytes_fresh_reused_and_mixed(clips: list[Clip], tmp_path: Path) -> None:
    """Fresh rows come from memory and reused ones from the records, which sort their names."""
    root = tmp_path / "toy"
    fresh = build_dataset(clips, root, SETTINGS).read_bytes()
    assert build_dataset(clips, root, SETTINGS).read_bytes() == fresh
    (clip_folder(root, "toy/s1/b").folder / RECORD).unlink()
    assert build_dataset(clips, root, SETTINGS).read_bytes() == fresh


def test_a_second_call_writes_no_artefact_again(clips: list[Clip], tmp_path: Path) -> None:
    root = tmp_path / "toy"
    build_dataset(clips, root, SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in (root / "clips").rglob("*")}
    build_dataset(clips, root, SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in (root / "clips").rglob("*")} == before


def test_only_the_changed_stage_is_done_again(clips: list[Clip], tmp_path: Path) -> None:
    root = tmp_path / "toy"
    build_dataset(clips, root, SETTINGS)
    names = ("crops.mkv", "flow.npy", "temporal_ranked.npy")
    folder = clip_folder(root, "toy/s1/a").folder
    before = {name: (folder / name).stat().st_mtime_ns for name in names}
    build_dataset(clips, root, dataclasses.replace(SETTINGS, images=ImageSettings(weights="linear")))
    assert [name for name in names if (folder / name).stat().st_mtime_ns != before[name]] == ["temporal_ranked.npy"]


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(clips: list[Clip], tmp_path: Path) -> None:
    for jobs in (1, 2):
        build_dataset(clips, tmp_path / str(jobs), SETTINGS, jobs=jobs)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_inputs_are_only_read(clips: list[Clip], pictures: Path, tmp_path: Path) -> None:
    before = files(pictures)
    build_dataset(clips, tmp_path / "toy", SETTINGS)
    assert files(pictures) == before


def test_a_full_disk_stops_the_work_and_leaves_nothing_half_done(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What numpy says when the disk is full has no error number; nothing is taken for done, the next call finishes."""
    whole, root = tmp_path / "whole", tmp_path / "toy"
    build_dataset(clips, whole, SETTINGS)
    saved = np.save

    def full(path: Path, array: Any) -> None:
        if Path(path).name == "motion_intensity.npy":
            raise OSError("49152 requested and 0 written")
        saved(path, array)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="0 written"):
        patch.setattr(np, "save", full)
        build_dataset(clips, root, SETTINGS)
    assert not (root / "manifest.csv").exists()
    assert not list(root.rglob("temporal_ranked.npy"))
    build_dataset(clips, root, SETTINGS)
    assert files(root) == files(whole)


class TestAFaultThatOneClipBringsOut:
    """It is that clip's row, whatever it is; what is wrong with the machine still ends the command."""

    @staticmethod
    def faulty(error: Exception) -> Clip:
        return Clip("toy/s1/odd", "toy/s1", Unreadable("odd", error))  # type: ignore[arg-type]

    @pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_the_other_clips_go_on(self, clips: list[Clip], tmp_path: Path, jobs: int) -> None:
        """Without it the exception came through and no manifest was written."""
        root, odd = tmp_path / "toy", self.faulty(ZeroDivisionError("0\n/ 0"))
        build_dataset([odd, *clips], root, SETTINGS, jobs=jobs)
        table = read_manifest(root).set_index("clip_id")
        assert list(table["status"]) == ["rejected", "rejected", "ok", "ok", "rejected"]
        assert table.loc[odd.clip_id, "code"] == "unexpected"
        assert re.fullmatch(
            r"ZeroDivisionError in preprocessing\.recordings\.contract, line \d+: 0 / 0\. This is .*please report .*",
            str(table.loc[odd.clip_id, "reason"]),
        )

    def test_a_stage_that_fails_leaves_nothing_and_is_tried_again(
        self, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> Any:
            return cv2.resize(np.empty((0, 4), np.uint8), (2, 2))  # what a runaway registration ended in

        root, (good,) = tmp_path / "toy", clips[2:3]
        build_clip(good, root, SETTINGS)
        with monkeypatch.context() as patch:
            patch.setattr(alignment, "warp", broken)
            row = build_clip(good, root, dataclasses.replace(SETTINGS, faces=FaceSettings(size=96)))
        assert (row["status"], row["code"]) == ("rejected", "unexpected")
        assert row["reason"].startswith("error in dynamic_images") or "OpenCV" in row["reason"]
        assert not list(clip_folder(root, good.clip_id).folder.iterdir()), "no artefacts that look like its own"
        assert build_clip(good, root, SETTINGS)["status"] == "ok"

    @pytest.mark.parametrize("error", [MemoryError("no"), OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_the_machine_is_no_clip(self, clips: list[Clip], tmp_path: Path, error: Exception) -> None:
        with pytest.raises(type(error)):
            build_dataset([self.faulty(error), *clips], tmp_path / "toy", SETTINGS)
        assert not (tmp_path / "toy" / "manifest.csv").exists()

    def test_opencv_out_of_memory_is_the_machine(self) -> None:
        error = cv2.error("Insufficient memory")
        error.code = OUT_OF_MEMORY
        with pytest.raises(MemoryError, match="Insufficient"), faults_rejected():
            raise error


def with_model(path: Path) -> StageSettings:
    return dataclasses.replace(SETTINGS, faces=FaceSettings(size=64, landmark_model=str(path)))


class TestBeforeAnyWork:
    """Problems of the machine are said once, not once per clip."""

    def test_a_landmark_model_that_is_not_there(self, clips: list[Clip], tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblemError, match=r"no/where\.dat is not a file"):
            build_dataset(clips, tmp_path / "toy", with_model(Path("no/where.dat")))
        assert not (tmp_path / "toy").exists()

    def test_an_opencv_without_its_contrib_modules(
        self, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(cv2, "optflow")
        with pytest.raises(EnvironmentProblemError, match="Cure: pip uninstall -y opencv-python"):
            build_dataset(clips, tmp_path / "toy", SETTINGS)
        assert not (tmp_path / "toy").exists()


def test_a_file_that_is_no_landmark_model_is_named(clips: list[Clip], tmp_path: Path) -> None:
    """dlib itself says only: Error deserializing object of type int."""
    wrong = tmp_path / "model.dat"
    wrong.write_text("no model")
    with pytest.raises(EnvironmentProblemError, match=r"model\.dat cannot be read as a landmark model"):
        build_clip(clips[1], tmp_path / "toy", with_model(wrong))


def test_a_row_holds_no_more_than_its_clip(clips: list[Clip], tmp_path: Path) -> None:
    row = build_clip(clips[2], tmp_path / "toy", SETTINGS)
    assert row["clip_id"] == "toy/s1/a"
    assert list(row)[:6] == ["clip_id", "subject", "emotion", "status", "code", "reason"]
    assert all(isinstance(value, str | int | float | None) for value in row.values())
    assert pd.DataFrame([row]).shape[0] == 1


class TestOneClip:
    def test_it_gives_the_dynamic_images_or_what_is_asked_for(self, clips: list[Clip], tmp_path: Path) -> None:
        images = clip_images(clips[2], tmp_path, SETTINGS)
        assert {name: image.shape for name, image in images.items()} == {
            "temporal_ranked": (64, 64, 3),
            "motion_intensity": (64, 64, 3),
        }
        more = clip_images(clips[2], tmp_path, SETTINGS, inputs=("apex_strain", "temporal_ranked"))
        assert {name: array.shape for name, array in more.items()} == {
            "apex_strain": (32, 32, 3),
            "temporal_ranked": (64, 64, 3),
        }
        np.testing.assert_array_equal(more["temporal_ranked"], images["temporal_ranked"])

    def test_a_clip_that_cannot_be_used_says_why(self, clips: list[Clip], tmp_path: Path) -> None:
        with pytest.raises(ClipRejectedError, match="toy/s1/nobody: "):
            clip_images(clips[0], tmp_path, SETTINGS)
