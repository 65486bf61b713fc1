"""Damaged artefacts are made again, exactly those, with the right bytes; processes at once leave what agrees."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynamic_images.build import ImageSettings
from dynamic_images.input_cache import build_inputs
from dynamic_images.inputs import use
from dynamic_images.pipeline import StageSettings, build_dataset, check_alike
from preprocessing.artefacts.clip_folder import Damage, clip_folder
from preprocessing.artefacts.manifest import MANIFEST, read_manifest
from preprocessing.artefacts.record import RECORD, Entry, stored
from preprocessing.clips import Clip
from preprocessing.errors import ToolkitError
from preprocessing.pipeline import FaceSettings
from preprocessing.video import image_sequence

SETTINGS = StageSettings(faces=FaceSettings(size=64))
LINEAR = dataclasses.replace(SETTINGS, images=ImageSettings(weights="linear"))
FRAMES = 6
STAGES = {
    "faces": ("crops.mkv", "transforms.npy", "landmarks.npy"),
    "flow": ("flow.npy",),
    "images": (
        *("intensity.npy", "order.npy", "temporal_ranked.npy", "temporal_ranked.png"),
        *("motion_intensity.npy", "motion_intensity.png"),
    ),
}
FILES = [(stage, name) for stage, names in STAGES.items() for name in names]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, write_frames: Callable[..., Path], drawn_face: Any) -> Clip:
    pictures = write_frames(tmp_path_factory.mktemp("pictures") / "a", [drawn_face.picture] * FRAMES)
    return Clip("toy/s1/a", "toy/s1", image_sequence(pictures), offset=FRAMES - 1, apex=3, fps=25.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    root = tmp_path_factory.mktemp("built") / "toy"
    build_dataset([clip], root, SETTINGS)
    return root


@pytest.fixture
def root(tmp_path: Path, built: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "toy"))


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def flip(path: Path, unnoticed: bool = False) -> None:
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if unnoticed:  # as a failing disk does it
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))


def mend(clip: Clip, root: Path, settings: StageSettings = SETTINGS, verify: bool = False) -> list[Damage]:
    """Call what ``mer dataset`` calls; what it says to have mended."""
    found: list[Damage] = []
    build_dataset([clip], root, settings, verify=verify, on_mended=lambda _, damage: found.extend(damage))
    return found


class TestMending:
    @pytest.mark.parametrize(("stage", "name"), FILES)
    def test_one_flipped_bit_and_the_plain_command(
        self, clip: Clip, built: Path, root: Path, stage: str, name: str
    ) -> None:
        """Exactly its stage is made again; the others were made from undamaged files."""
        folder = clip_folder(root, clip.clip_id).folder
        flip(folder / name)
        before = written(folder)
        assert mend(clip, root) == [(stage, name)]
        assert contents(root) == contents(built)
        after = written(folder)
        assert {file for file in after if after[file] != before[file]} == {*STAGES[stage], RECORD}
        assert mend(clip, root) == []

    @pytest.mark.parametrize(("stage", "name"), FILES)
    def test_a_bit_that_changed_by_itself_is_found_when_everything_is_compared(
        self, clip: Clip, built: Path, root: Path, stage: str, name: str
    ) -> None:
        flip(clip_folder(root, clip.clip_id) / name, unnoticed=True)
        assert mend(clip, root) == []
        assert contents(root) != contents(built)
        assert mend(clip, root, verify=True) == [(stage, name)]
        assert contents(root) == contents(built)

    @pytest.mark.parametrize("name", ["crops.mkv", "flow.npy", "landmarks.npy"])
    def test_nothing_is_made_from_damaged_files(self, clip: Clip, root: Path, tmp_path: Path, name: str) -> None:
        """One bit of the crops is some grey levels in a new image, which would be recorded as right."""
        flip(clip_folder(root, clip.clip_id) / name, unnoticed=True)
        assert [damage.file for damage in mend(clip, root, LINEAR)] == [name]
        build_dataset([clip], tmp_path / "right" / "toy", LINEAR)
        assert contents(root) == contents(tmp_path / "right" / "toy")

    def test_several_at_once(self, clip: Clip, built: Path, root: Path) -> None:
        folder = clip_folder(root, clip.clip_id).folder
        for name in ("crops.mkv", "flow.npy", "motion_intensity.png"):
            flip(folder / name)
        (folder / "order.npy").unlink()
        assert len(mend(clip, root)) == 4
        assert contents(root) == contents(built)

    @pytest.mark.parametrize("part", ["faces", "flow", "images"])
    def test_a_changed_record_is_not_believed(self, clip: Clip, built: Path, root: Path, part: str) -> None:
        path = clip_folder(root, clip.clip_id) / RECORD
        record = json.loads(path.read_text())
        record["stages"][part]["result"] = {"n_frames": 3, "apex_index": 1, "code": "no_face", "reason": "planted"}
        path.write_text(json.dumps(record))
        build_dataset([clip], root, SETTINGS)
        assert contents(root) == contents(built)

    @pytest.mark.parametrize(("part", "name"), [("faces", "n_frames"), ("images", "apex_index")])
    @pytest.mark.parametrize("value", [None, "a word", 2.5])
    def test_a_record_that_lacks_a_number_is_made_again(
        self, clip: Clip, built: Path, root: Path, part: str, name: str, value: Any
    ) -> None:
        """Its digest is right: somebody else's program wrote it."""
        folder = clip_folder(root, clip.clip_id)
        record, entry = folder.record(), folder.entry(part)
        assert entry is not None
        del entry.result[name]
        entry.result |= {} if value is None else {name: value}
        record["stages"][part] = stored(part, Entry(**vars(entry)))
        (folder / RECORD).write_text(json.dumps(record))
        build_dataset([clip], root, SETTINGS)
        assert contents(root) == contents(built)

    @pytest.mark.parametrize("content", [b"", b"clip_id,subject\n", b"\xff\x00", b"clip_id,subject,status\na,b,ok\n"])
    def test_a_damaged_manifest_is_written_anew(self, clip: Clip, built: Path, root: Path, content: bytes) -> None:
        (root / MANIFEST).write_bytes(content)
        build_dataset([clip], root, SETTINGS)
        assert contents(root) == contents(built)


BUILD = (
    "import pickle, sys; from pathlib import Path\n"
    "from dynamic_images.pipeline import build_dataset\n"
    "from preprocessing.errors import ToolkitError\n"
    "clip, settings = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
    "print('ready', flush=True)\n"
    "sys.stdin.readline()\n"
    "try:\n"
    "    build_dataset([clip], Path(sys.argv[2]), settings)\n"
    "except ToolkitError as error:\n"
    "    print(error)\n"
    "    sys.exit(1)\n"
)


def build_at_once(clip: Clip, root: Path, settings: list[StageSettings], scratch: Path) -> list[tuple[int, str]]:
    """Exit code and words of one process per settings, all let go in the same moment."""
    some = []
    for i, own in enumerate(settings):
        (scratch / f"{i}.pickle").write_bytes(pickle.dumps((clip, own)))
        command = [sys.executable, "-c", BUILD, str(scratch / f"{i}.pickle"), str(root)]
        some.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in some:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in some:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0] for process in some]
    return [(process.returncode, words) for process, words in zip(some, said, strict=True)]


class TestAtOnce:
    def test_two_processes_with_the_same_settings_share_the_work(self, clip: Clip, built: Path, tmp_path: Path) -> None:
        assert build_at_once(clip, tmp_path / "toy", [SETTINGS, SETTINGS], tmp_path) == [(0, ""), (0, "")]
        assert contents(tmp_path / "toy") == contents(built)

    @pytest.mark.parametrize("other", [LINEAR, StageSettings(faces=FaceSettings(size=80))], ids=["images", "faces"])
    def test_two_processes_with_different_settings_leave_one_of_them(
        self, clip: Clip, root: Path, tmp_path: Path, other: StageSettings
    ) -> None:
        """Never a record that says one over files of the other; who lost it says so instead of writing a manifest."""
        right = {}
        for settings in (SETTINGS, other):
            build_dataset([clip], tmp_path / str(len(right)) / "toy", settings)
            right[len(right)] = contents(tmp_path / str(len(right)) / "toy")
        for first in (LINEAR, SETTINGS):
            build_dataset([clip], root, first)
            codes = build_at_once(clip, root, [SETTINGS, other], tmp_path)
            assert contents(root / "clips") in [
                {name.removeprefix("clips/"): data for name, data in one.items() if name.startswith("clips/")}
                for one in right.values()
            ]
            assert 0 in {code for code, _ in codes}
            assert all("made again by another process under other settings" in words for code, words in codes if code)
        assert read_manifest(root)["clip_id"].tolist() == [clip.clip_id]
        assert not list(root.rglob(".*")), "something was left behind"


def test_clips_of_two_settings_are_not_taken_for_one_kind(clip: Clip, root: Path) -> None:
    other = dataclasses.replace(clip, clip_id="toy/s1/b")
    build_dataset([other], root, LINEAR)
    with pytest.raises(ToolkitError, match=r"toy/s1/b was not made under the same settings as toy/s1/a: run `mer dat"):
        check_alike(root, ["toy/s1/a", "toy/s1/b"])
    build_dataset([other], root, SETTINGS)
    check_alike(root, ["toy/s1/a", "toy/s1/b"])


def test_an_input_that_another_process_makes_meanwhile_is_no_other_artefact(clip: Clip, root: Path) -> None:
    """Two trainings at once may want different inputs of the same clips."""
    build_dataset(
        [clip], root, SETTINGS, on_clip=lambda _: build_inputs(root, [clip.clip_id], [use("frames", count=3)])
    )
    assert any(name.startswith("input ") for name in clip_folder(root, clip.clip_id).record()["stages"])


def test_frames_that_change_while_they_are_read_are_not_recorded(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the artefacts of one video would lie there under the digest of another."""
    seen = iter(["before", "after"])
    monkeypatch.setattr(type(clip.frames), "digest", lambda *_: next(seen))
    with pytest.raises(ToolkitError, match="toy/s1/a: its frames were changed while they were read"):
        build_dataset([clip], tmp_path / "toy", SETTINGS)
    assert clip_folder(tmp_path / "toy", clip.clip_id).entry("faces") is None
