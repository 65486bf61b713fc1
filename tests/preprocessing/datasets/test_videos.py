from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.datasets import DATASETS, find_dataset
from preprocessing.datasets.videos import load
from preprocessing.errors import ClipRejectedError, DatasetError, UsageError
from preprocessing.faces.landmarks import DlibLandmarker
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings, process_clip

Write = Callable[..., Path]
BLACK = [np.zeros((48, 64, 3), np.uint8)] * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "my videos"
    folder.mkdir()
    return folder


def ids(root: Path) -> list[str]:
    return [clip.clip_id for clip in load(root)]


def test_files_and_nested_folders(root: Path, write_video: Write) -> None:
    for name in ("b.avi", "anna/a.avi", "anna/day 2/a.avi"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, BLACK)
    clips = {clip.clip_id: clip for clip in load(root)}
    assert {clip_id: clip.subject for clip_id, clip in clips.items()} == {
        "videos/my_videos/b.avi": "videos/my_videos",
        "videos/anna/a.avi": "videos/anna",
        "videos/anna-day_2/a.avi": "videos/anna-day_2",
    }
    one = clips["videos/anna/a.avi"]
    assert (one.onset, one.apex, one.offset, one.fps, one.emotion) == (0, None, None, 25, None)
    assert len(list(one.frames.read())) == 4


def test_folders_of_images_are_clips_too(root: Path, write_frames: Write, write_video: Write) -> None:
    write_frames(root / "anna" / "smile", BLACK)
    write_frames(root / "bea", BLACK[:2])
    write_video(root / "bea" / "c.avi", BLACK)
    clips = {clip.clip_id: clip.frames.declared() for clip in load(root)}
    assert clips == {"videos/anna/smile": 4, "videos/my_videos/bea": 2, "videos/bea/c.avi": 4}


def test_the_root_may_be_the_clip(root: Path, write_frames: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(root, BLACK)
    assert ids(root) == ["videos/my_videos/my_videos"]
    monkeypatch.chdir(root)
    assert ids(Path()) == ["videos/my_videos/my_videos"]


def test_the_root_may_be_one_file(root: Path, write_video: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(root / "a b.avi", BLACK)
    assert ids(path) == ["videos/my_videos/a_b.avi"]
    monkeypatch.chdir(root)
    assert ids(Path("a b.avi")) == ["videos/my_videos/a_b.avi"]


def test_hidden_files_and_others_are_passed_over(root: Path, write_video: Write, write_frames: Write) -> None:
    write_video(root / "a.avi", BLACK)
    for name in (".b.avi", "._a.avi"):
        shutil.copy(root / "a.avi", root / name)
    write_frames(root / ".thumbnails", BLACK)
    (root / "LICENSE").write_text("none")
    (root / "notes.txt").write_text("none")
    assert ids(root) == ["videos/my_videos/a.avi"]


def test_any_spelling_of_a_name_becomes_a_safe_id(root: Path, write_video: Write, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.avi", BLACK)
    for name in ("Größe (1).AVI", "läch eln & mehr.avi", " .avi", "a'b;c.avi"):
        shutil.copy(source, root / name)
    clips = load(root)
    assert len(clips) == 4
    for clip in clips:
        folder = clip_folder(tmp_path / "cache", clip.clip_id).folder
        assert folder.parent == tmp_path / "cache" / "clips" / "my_videos"
        assert len(list(clip.frames.read())) == 4


def test_the_order_does_not_depend_on_the_file_system(
    root: Path, write_frames: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("c", "a", "b"):
        write_frames(root / name, BLACK[:1])
    expected = ids(root)
    assert expected == sorted(expected)
    walk = os.walk

    def backwards(*args: Any, **kwargs: Any) -> Any:
        for name, folders, files in walk(*args, **kwargs):
            folders.reverse()
            yield name, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert ids(root) == expected


class TestRefusals:
    def test_a_missing_root(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="gone does not exist: give the folder that holds the videos"):
            load(tmp_path / "gone")

    def test_an_empty_root(self, root: Path) -> None:
        (root / "empty").mkdir()
        with pytest.raises(DatasetError, match=r"holds no video files \(.*\.mp4.*\) and no folders of numbered images"):
            load(root)

    def test_a_file_that_is_no_video(self, root: Path) -> None:
        (root / "notes.txt").write_text("none")
        with pytest.raises(DatasetError, match="holds no video files"):
            load(root / "notes.txt")

    def test_two_names_that_make_one_id_are_both_named(self, root: Path, write_video: Write) -> None:
        shutil.copy(write_video(root / "a b.avi", BLACK), root / "a_b.avi")
        with pytest.raises(DatasetError, match=r"two clips .*a b.avi and .*a_b.avi.* rename one"):
            load(root)

    def test_an_unknown_data_set(self) -> None:
        assert find_dataset("videos").name == "videos"
        names = ", ".join(DATASETS)
        with pytest.raises(UsageError, match=f"'vidoes' is unknown: did you mean videos. Choose one of {names}"):
            find_dataset("vidoes")


class TestBrokenClips:
    """A clip that cannot be read is a clip with a reason: it must not vanish, nor stop the others."""

    def test_a_text_that_calls_itself_a_video(self, root: Path) -> None:
        (root / "notes.mp4").write_text("no pictures in here")
        (clip,) = load(root)
        assert clip.fps is None
        with pytest.raises(ClipRejectedError, match="cannot be opened as a video"):
            list(clip.frames.read())

    def test_two_images_of_one_number(self, root: Path, write_frames: Write) -> None:
        write_frames(root / "a", BLACK)
        write_frames(root / "a", BLACK, "img0{}.png")
        (clip,) = load(root)
        with pytest.raises(ClipRejectedError, match="are both frame 1"):
            clip.frames.digest()

    def test_a_folder_that_cannot_be_listed(
        self, root: Path, write_frames: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_frames(root / "a", BLACK)
        write_frames(root / "locked", BLACK)
        scandir = os.scandir

        def refuse(path: Any) -> Any:
            if Path(path).name == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        clips = {clip.clip_id: clip for clip in load(root)}
        assert set(clips) == {"videos/my_videos/a", "videos/my_videos/locked"}
        with pytest.raises(ClipRejectedError, match="locked cannot be listed: Permission denied"):
            clips["videos/my_videos/locked"].frames.digest()


class TestRealClips:
    def test_all_of_them_are_listed(self, real_clips: Path) -> None:
        clips = load(real_clips)
        assert len(clips) == 14
        assert {clip.subject for clip in clips} == {"videos/grid", "videos/intel", "videos/pyfeat"}
        assert all(clip.fps for clip in clips)

    def test_a_film_without_people_is_rejected(self, real_clips: Path, tmp_path: Path) -> None:
        (clip,) = load(real_clips / "pyfeat" / "no_face.mp4")
        folder = clip_folder(tmp_path, clip.clip_id)
        with pytest.raises(ClipRejectedError, match="no face in the first") as caught:
            process_clip(clip, folder, FaceSettings(), FlowSettings(), DlibLandmarker())
        assert caught.value.code == "no_face"
        assert [path.name for path in folder.folder.iterdir()] == ["record.json"]

    @pytest.mark.slow
    def test_a_smile_is_followed_to_its_end(self, real_clips: Path, tmp_path: Path) -> None:
        (clip,) = load(real_clips / "pyfeat" / "single_face.mp4")
        folder = clip_folder(tmp_path, clip.clip_id)
        process_clip(clip, folder, FaceSettings(), FlowSettings(), DlibLandmarker())
        entry = folder.entry("faces")
        assert entry is not None
        assert (entry.result["n_frames"], entry.result["checks_missed"], entry.result["unfollowed"]) == (72, 0, 0)
