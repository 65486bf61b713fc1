"""Inputs on disk: made once, made again when what they stand on has changed, and never at the cost of anything else."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.build import STAGE, ImageSettings, build_images
from dynamic_images.clip_input import ClipArtefacts, ClipInput, InputUse
from dynamic_images.encoding import view_of
from dynamic_images.input_cache import build_inputs, fitting_inputs, input_path, made_inputs
from dynamic_images.inputs import INPUTS, use
from dynamic_images.precomputed import StreamSettings, build_streams
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.record import RECORD, Entry
from preprocessing.datasets.streams import Source, StreamClip
from preprocessing.errors import NotOfferedError, ToolkitError, UsageError

IDS = ("known/sub01/a", "known/sub02/a")
SEVERAL = tuple(map(use, ("frames", "apex_strain", "phase_flow", "onset_to_apex", "flow_grid")))


@dataclass(frozen=True)
class FasterSettings:
    """Of the input that this module adds to the registry."""

    by: tuple[float, ...] = (2.0,)


def faster(clip: ClipArtefacts, settings: FasterSettings) -> NDArray[np.float32]:
    return np.asarray(clip.flow[clip.apex], np.float32) * np.prod(settings.by).astype(np.float32)


FASTER = ClipInput(
    name="faster",
    title="more flow",
    about="Flow at the apex, enlarged.",
    unit="px of the crop",
    kind="flow",
    channels=2,
    make=faster,
    settings=FasterSettings,
    view=(4.0, 4.0),
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> ClipInput:
    monkeypatch.setitem(INPUTS, "faster", FASTER)
    return FASTER


@pytest.fixture
def cache(tmp_path: Path, make_clip: Callable[..., Any], finished_clip: Callable[..., ClipFolder]) -> Path:
    for seed, clip_id in enumerate(IDS):
        finished_clip(tmp_path / "known", clip_id, make_clip(seed=seed))
    return tmp_path / "known"


@pytest.fixture
def folder(cache: Path) -> ClipFolder:
    """Of the first clip."""
    return ClipFolder(cache / "clips" / "sub01" / "a")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def told(cache: Path, *uses: InputUse) -> list[str]:
    """The clips that had something to make."""
    made: list[str] = []
    build_inputs(cache, IDS, uses, on_clip=made.append)
    return made


class TestOnce:
    def test_what_is_fresh_is_not_made_again(self, cache: Path) -> None:
        assert told(cache, *SEVERAL) == list(IDS)
        before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
        assert told(cache, *SEVERAL) == []
        assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before

    def test_only_what_is_missing_is_made(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, *SEVERAL)
        kept, gone = (input_path(folder, use(name)) for name in ("frames", "phase_flow"))
        before, content = kept.stat().st_mtime_ns, gone.read_bytes()
        gone.unlink()
        assert told(cache, *SEVERAL) == [IDS[0]]
        assert (kept.stat().st_mtime_ns, gone.read_bytes()) == (before, content)

    def test_a_file_of_another_size_is_made_again(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("frames"))
        content = input_path(folder, use("frames")).read_bytes()
        input_path(folder, use("frames")).write_bytes(content[:-8])
        assert told(cache, use("frames")) == [IDS[0]]
        assert input_path(folder, use("frames")).read_bytes() == content

    def test_what_a_stage_writes_needs_no_making(self, cache: Path) -> None:
        assert told(cache, use("temporal_ranked"), use("motion_intensity")) == []


class TestStale:
    def test_another_apex_is_another_input(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("apex_flow"))
        build_images(folder, ImageSettings(), "flow key", apex=3)
        assert told(cache, use("apex_flow")) == [IDS[0]]
        np.testing.assert_array_equal(folder.load("apex_flow.npy"), folder.load("flow.npy")[3])

    def test_other_weights_are_other_images(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("onset_to_apex"))
        before = folder.load("onset_to_apex.npy")
        build_images(folder, ImageSettings(weights="linear"), "flow key", apex=5)
        assert told(cache, use("onset_to_apex")) == [IDS[0]]
        assert np.abs(folder.load("onset_to_apex.npy") - before).max() > 0.1

    def test_what_does_not_stand_on_the_changed_stage_stays(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("frames"))
        build_images(folder, ImageSettings(weights="linear"), "flow key", apex=3)
        assert told(cache, use("frames")) == []
        with folder.writing("faces", Entry("other faces", {})) as scratch:
            for name in ("crops.mkv", "landmarks.npy"):
                (scratch / name).write_bytes((folder / name).read_bytes())
        assert told(cache, use("frames")) == [IDS[0]]

    def test_a_new_version_is_made_again(self, cache: Path) -> None:
        told(cache, use("apex_flow"))
        newer = dataclasses.replace(INPUTS["apex_flow"], version=2)
        assert told(cache, InputUse(newer)) == list(IDS)


class TestApart:
    def test_a_new_input_leaves_everything_else_as_it_is(self, cache: Path, registered: ClipInput) -> None:
        """Adding one must not make a cache of a thousand clips stale: every other file and entry keeps its bytes."""
        told(cache, *SEVERAL)
        before = files(cache)
        told(cache, use("faster"))
        after = files(cache)
        added = {name.rsplit("/", 1)[1] for name in after.keys() - before.keys()}
        assert added == {"faster.npy", "faster.png"}
        assert {name.rsplit("/", 1)[1] for name in before if after[name] != before[name]} == {RECORD}
        for name in (name for name in before if name.endswith(RECORD)):
            old, new = json.loads(before[name]), json.loads(after[name])
            assert new["stages"].pop("input faster")["settings"] == {"by": [2.0]}
            assert new == old

    def test_two_settings_of_an_input_stand_side_by_side(self, cache: Path, folder: ClipFolder) -> None:
        two = (use("frames", count=3), use("frames", count=4))
        told(cache, use("frames"), *two)
        assert [len(np.load(input_path(folder, one))) for one in (use("frames"), *two)] == [8, 3, 4]
        assert told(cache, use("frames"), *two) == []
        assert len({input_path(folder, one) for one in two}) == 2

    def test_a_picture_is_written_beside_what_has_a_scale(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, *SEVERAL)
        picture = cv2.imread(str(folder / "apex_strain.png"), cv2.IMREAD_COLOR_RGB)
        strain = INPUTS["apex_strain"]
        assert strain.view is not None
        np.testing.assert_array_equal(picture, view_of(folder.load("apex_strain.npy"), strain.view))
        assert {path.stem for path in folder.folder.glob("*.png")} == {
            *("temporal_ranked", "motion_intensity", "apex_strain", "phase_flow", "onset_to_apex")
        }


class TestProcesses:
    def test_any_number_of_them_gives_the_same_bytes(
        self, cache: Path, tmp_path: Path, make_clip: Any, finished_clip: Any, registered: ClipInput
    ) -> None:
        """An input that somebody has added goes to the workers with its settings: they need no registry."""
        uses = (*SEVERAL, use("faster"), use("faster", by=(1.5, 2.0)))
        other = tmp_path / "two"
        for seed, clip_id in enumerate(IDS):
            finished_clip(other, clip_id, make_clip(seed=seed))
        told(cache, *uses)
        build_inputs(other, IDS, uses, jobs=2)
        assert files(other) == files(cache)

    def test_the_work_is_done_elsewhere(self, cache: Path) -> None:
        one = InputUse(
            dataclasses.replace(FASTER, name="process", kind="features", channels=1, view=None, make=_process)
        )
        build_inputs(cache, IDS, [one], jobs=2)
        numbers = [np.load(input_path(ClipFolder(cache / "clips" / s / "a"), one)) for s in ("sub01", "sub02")]
        assert os.getpid() not in np.concatenate(numbers)


def _process(clip: ClipArtefacts, settings: Any) -> NDArray[np.float64]:
    return np.array([os.getpid()], np.float64)


class TestMade:
    def test_in_the_order_of_the_registry_and_under_their_settings(
        self, cache: Path, folder: ClipFolder, registered: ClipInput
    ) -> None:
        wide = use("faster", by=(1.5, 2.0))
        told(cache, use("faster"), wide, use("frames", count=3), use("onset_to_apex"))
        assert made_inputs(folder) == [use("onset_to_apex"), use("frames", count=3), use("faster"), wide]

    def test_what_is_stale_or_unknown_is_not_among_them(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("frames"), use("apex_flow"), InputUse(FASTER, FasterSettings()))
        assert made_inputs(folder) == [use("apex_flow"), use("frames")]
        build_images(folder, ImageSettings(), "flow key", apex=3)
        assert made_inputs(folder) == [use("frames")]

    def test_settings_that_cannot_be_any_more_are_passed_over(self, cache: Path, folder: ClipFolder) -> None:
        told(cache, use("frames"), use("frames", count=3))
        text = (folder / RECORD).read_text().replace('"count": 3', '"count": 1')
        (folder / RECORD).write_text(text)
        assert made_inputs(folder) == [use("frames")]


class TestMissing:
    def test_a_clip_without_the_stage_is_one_sentence(self, cache: Path) -> None:
        for name, said in (("stream_a", r"stream_a\.npy is missing"), ("stream_grid", "needs the stage 'streams'")):
            with pytest.raises(ToolkitError, match=said) as caught:
                told(cache, use(name))
            assert "\n" not in str(caught.value) and "mer dataset" in str(caught.value)

    @pytest.mark.parametrize("name", ["apex_flow", "motion_intensity"])
    def test_an_interrupted_stage_is_no_stage(self, cache: Path, folder: ClipFolder, name: str) -> None:
        """Its entry is there without a key and without a result; the files may be of two minds."""
        record = folder.record()
        record["stages"][STAGE] |= {"key": "", "settings": {}, "result": {}}
        (folder / RECORD).write_text(json.dumps(record))
        with pytest.raises(ToolkitError, match="mer dataset"):
            told(cache, use(name))
        assert made_inputs(folder) == []

    def test_broken_arrays_name_clip_and_input(self, cache: Path, folder: ClipFolder) -> None:
        (folder / "crops.mkv").write_bytes(b"no array")
        with pytest.raises(ToolkitError, match=r"sub01/a/crops\.mkv \(stage faces\) is not what was written") as caught:
            told(cache, use("frames"))
        assert "\n" not in str(caught.value)
        assert not list(folder.folder.glob("frames*")) and not list(folder.folder.glob(".*"))

    def test_a_grid_that_is_finer_than_the_flow_is_told(self, cache: Path) -> None:
        with pytest.raises(ToolkitError, match=r"flow statistics cannot be made .*over 32 x 32 px"):
            told(cache, use("flow_grid", grid=33))


class TestFitting:
    """What a system gets of a data set that lacks the inputs that it asks for."""

    @pytest.fixture
    def precomputed(self, tmp_path: Path) -> Path:
        np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(8, 8, 3)))
        source = Source("a.npy", tmp_path / "a.npy", None)
        clip = StreamClip("toy/s1/c1", "toy/s1", "x", source, source, where="line 2")
        build_streams([clip], tmp_path / "toy", StreamSettings())
        return tmp_path / "toy"

    def test_what_the_clips_have_stays(self, cache: Path) -> None:
        wanted = (use("temporal_ranked"), use("frames", count=3), use("flow_grid"))
        assert fitting_inputs(cache, IDS[0], wanted) == wanted

    def test_two_images_stand_in_for_two_images(self, precomputed: Path) -> None:
        wanted = (use("temporal_ranked"), use("motion_intensity"))
        assert fitting_inputs(precomputed, "toy/s1/c1", wanted) == (use("stream_a"), use("stream_b"))
        assert fitting_inputs(precomputed, "toy/s1/c1", [use("flow_grid")]) == (use("stream_grid"),)
        assert fitting_inputs(precomputed, "toy/s1/c1", [use("apex_strain")]) == (use("stream_a"),)
        with pytest.raises(NotOfferedError, match="phase-wise flow cannot be had"):
            fitting_inputs(precomputed, "toy/s1/c1", [use("phase_flow")])

    def test_what_stands_for_an_input_by_name_takes_its_place(self, precomputed: Path) -> None:
        wanted = [use("motion_intensity_zeroed"), use("hoof"), use("temporal_ranked_zeroed")]
        found = fitting_inputs(precomputed, "toy/s1/c1", wanted)
        assert [one.name for one in found] == ["stream_b_zeroed", "stream_hoof", "stream_a_zeroed"]

    @pytest.mark.parametrize("name", ["mdmo", "lbp_top"])
    def test_features_of_something_else_do_not_stand_in(self, name: str, precomputed: Path) -> None:
        """In silence, coarse images would be shown under the name of another descriptor."""
        with pytest.raises(UsageError, match="cannot be had of toy"):
            fitting_inputs(precomputed, "toy/s1/c1", [use(name)])

    def test_nothing_stands_in_for_frames(self, precomputed: Path) -> None:
        with pytest.raises(UsageError, match=r"frames cannot be had of toy: its clips offer stream a, .*coarse"):
            fitting_inputs(precomputed, "toy/s1/c1", [use("frames")])
