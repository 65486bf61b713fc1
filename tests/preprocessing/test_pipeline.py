from __future__ import annotations

import dataclasses
import json
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.record import RECORD
from preprocessing.clips import Clip
from preprocessing.errors import ClipRejectedError, UsageError
from preprocessing.faces import alignment
from preprocessing.faces.landmarks import LANDMARKERS, Box, GivenLandmarker, Landmarker, Points
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings, process_clip
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.video import Frame, FrameReport, FrameSource, image_sequence

Write = Callable[..., Path]
FACES = FaceSettings(size=64, landmark_frames=4, check_every=3)
FLOW = FlowSettings()
FILES = {"crops.mkv", "transforms.npy", "landmarks.npy", "flow.npy", RECORD}


class Counting:
    """A frame source that counts how often each frame is decoded, and how many are in memory at a time."""

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self.decoded: list[int] = []
        self.alive = self.most_alive = 0

    @property
    def name(self) -> str:
        return self.source.name

    def read(self, start: int = 0, stop: int | None = None, report: FrameReport | None = None) -> Iterator[Frame]:
        for t, frame in enumerate(self.source.read(start, stop, report), start=start):
            self.decoded.append(t)
            copy = frame.copy()
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
            weakref.finalize(copy, self._gone)
            del frame
            yield copy
            del copy

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        return self.source.digest(start, stop)

    def declared(self) -> int | None:
        return self.source.declared()

    def _gone(self) -> None:
        self.alive -= 1


class Vanishing(GivenLandmarker):
    """Finds its faces until it has been asked a number of times."""

    def __init__(self, faces: Sequence[Points], times: int) -> None:
        super().__init__(faces)
        self.left = times

    def detect(self, frame: Frame, near: Box | None = None) -> list[Box]:
        self.left -= 1
        return super().detect(frame, near) if self.left >= 0 else []

    def landmarks(self, frame: Frame, box: Box) -> Points:
        return GivenLandmarker(self._faces).landmarks(frame, box)


@pytest.fixture
def landmarker(drawn_face: Any) -> GivenLandmarker:
    return GivenLandmarker([drawn_face.points])


@pytest.fixture(scope="module")
def someone_else() -> NDArray[np.uint8]:
    """Another drawn person, in a picture of the same size."""
    settings = CorpusSettings(width=320, height=360, noise=0)
    return next(draw_clip(settings, subject=2, clip=0, emotion="happiness")[1])


@pytest.fixture
def frames(drawn_face: Any) -> list[NDArray[np.uint8]]:
    return [drawn_face.picture] * 10


@pytest.fixture
def folder(tmp_path: Path) -> ClipFolder:
    return ClipFolder(tmp_path / "cache" / "d" / "clips" / "s" / "c")


@pytest.fixture
def images(tmp_path: Path, write_frames: Write, frames: list[NDArray[np.uint8]]) -> Path:
    return write_frames(tmp_path / "images", frames, "img{}.bmp")


def clip_of(images: Path, **facts: Any) -> Clip:
    return Clip("d/s/c", "d/s", Counting(image_sequence(images)), **facts)


def decoded(clip: Clip) -> list[int]:
    assert isinstance(clip.frames, Counting)
    return clip.frames.decoded


def times(folder: ClipFolder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.folder.iterdir()}


def contents(folder: ClipFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.folder.iterdir()}


class TestArtefacts:
    def test_they_are_what_the_architecture_says(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker, drawn_face: Any
    ) -> None:
        clip = clip_of(images, onset=2, apex=5, offset=8, fps=200.0, emotion="happiness", action_units=("L12",))
        key = process_clip(clip, folder, FACES, FLOW, landmarker)
        assert {path.name for path in folder.folder.iterdir()} == FILES
        expected = {
            "crops.mkv": ((7, 64, 64, 3), np.uint8),
            "transforms.npy": ((7, 2, 3), np.float64),
            "landmarks.npy": ((68, 2), np.float32),
            "flow.npy": ((7, 32, 32, 2), np.float16),
        }
        arrays = {name: folder.load(name) for name in expected}
        assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == expected
        assert arrays["transforms.npy"][0] == pytest.approx(alignment.clip_transform(drawn_face.points[None], 64))
        points = alignment.apply(arrays["transforms.npy"][0], drawn_face.points)
        assert arrays["landmarks.npy"] == pytest.approx(points, abs=1e-4)
        record = json.loads((folder / RECORD).read_text())
        assert record["clip"]["action_units"] == ["L12"]
        assert (record["clip"]["onset"], record["clip"]["apex"], record["clip"]["offset"]) == (2, 5, 8)
        assert record["input"] == clip.frames.digest(2, 9)
        assert set(record["libraries"]) >= {"faces", "opencv", "numpy"}
        assert record["stages"]["flow"]["key"] == key
        assert record["stages"]["faces"]["result"]["n_frames"] == 7

    def test_a_still_clip_stays_still(self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        process_clip(clip_of(images), folder, FACES, FLOW, landmarker)
        crops = folder.load("crops.mkv")
        assert len(np.unique(crops.reshape(len(crops), -1), axis=0)) == 1
        assert np.abs(folder.load("flow.npy")).max() < 1e-3
        entry = folder.entry("faces")
        assert entry is not None
        assert (entry.result["head_motion"], entry.result["fit"], entry.result["unfollowed"]) == (0, 0, 0)
        flow = folder.entry("flow")
        assert flow is not None
        assert flow.result["head_turn"] < 0.01 and flow.result["turn_motion"] < 0.01

    def test_a_head_that_turns_is_measured(
        self, tmp_path: Path, write_frames: Write, folder: ClipFolder, drawn_face: Any, landmarker: GivenLandmarker
    ) -> None:
        """The picture is bent as by a ball that turns by 6 degrees; moved by 6 px it is no turn."""
        height, width = drawn_face.picture.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        centre, radius = drawn_face.points.mean(axis=0), np.ptp(drawn_face.points[:, 0]) / 2
        depth = np.sqrt(np.clip(radius**2 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 1.5, 0, None))
        found = {}
        for name, bend in (("turned", np.float32(np.tan(np.deg2rad(6)) * depth)), ("moved", np.float32(6))):
            frames = [
                cv2.remap(drawn_face.picture, x - t / 7 * bend, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
                for t in range(8)
            ]
            clip, folder = clip_of(write_frames(tmp_path / name, frames)), ClipFolder(tmp_path / f"cache-{name}")
            process_clip(clip, folder, FaceSettings(size=128), FLOW, landmarker)
            found[name] = folder.entry("flow").result  # type: ignore[union-attr]
        assert 2 < found["turned"]["head_turn"] < 9
        assert found["turned"]["turn_motion"] > 1
        assert found["moved"]["head_turn"] < 0.5
        assert found["moved"]["turn_motion"] < 0.25

    def test_the_head_is_held_still_and_can_be_left_moving(
        self, tmp_path: Path, write_frames: Write, drawn_face: Any, landmarker: GivenLandmarker
    ) -> None:
        """The picture moves by a pixel per frame; left alone, the last crop has moved by 9 source px."""
        moving = [np.roll(drawn_face.picture, (t // 2, t), (0, 1)) for t in range(10)]
        clip = clip_of(write_frames(tmp_path / "moving", moving))
        change = {}
        for stabilise in (True, False):
            folder = ClipFolder(tmp_path / f"cache{stabilise}")
            settings = FaceSettings(size=96, stabilise=stabilise)
            process_clip(clip, folder, settings, FLOW, landmarker)
            crops = folder.load("crops.mkv").astype(float)
            change[stabilise] = np.abs(crops[-1] - crops[0])[10:-10, 10:-10].mean()
            head_motion = folder.entry("faces").result["head_motion"]  # type: ignore[union-attr]
            scale = alignment.scale_of(folder.load("transforms.npy")[0])
            assert head_motion == pytest.approx(np.hypot(9, 4) * scale if stabilise else 0, rel=0.05)
        assert change[True] < 0.15 * change[False]

    def test_of_two_faces_the_larger_is_taken(self, images: Path, folder: ClipFolder, drawn_face: Any) -> None:
        small = 0.5 * drawn_face.points
        process_clip(clip_of(images), folder, FACES, FLOW, GivenLandmarker([small, drawn_face.points]))
        expected = alignment.clip_transform(drawn_face.points[None], 64)
        assert folder.load("transforms.npy")[0] == pytest.approx(expected)
        assert folder.entry("faces").result["faces_seen"] == 2  # type: ignore[union-attr]

    def test_the_same_clip_gives_the_same_bytes(
        self, images: Path, tmp_path: Path, landmarker: GivenLandmarker
    ) -> None:
        folders = [ClipFolder(tmp_path / name) for name in "ab"]
        for folder in folders:
            process_clip(clip_of(images), folder, FACES, FLOW, landmarker)
        assert contents(folders[0]) == contents(folders[1])


class TestRejections:
    @staticmethod
    def code(clip: Clip, folder: ClipFolder, landmarker: Landmarker, faces: FaceSettings = FACES) -> str:
        """Code of the rejection; nothing but the record is left, and a second call knows it without looking."""
        with pytest.raises(ClipRejectedError) as caught:
            process_clip(clip, folder, faces, FLOW, landmarker)
        assert [path.name for path in folder.folder.iterdir()] == [RECORD]
        before, looked = times(folder), len(decoded(clip))
        with pytest.raises(ClipRejectedError) as again:
            process_clip(clip, folder, faces, FLOW, landmarker)
        assert (again.value.code, again.value.reason) == (caught.value.code, caught.value.reason)
        assert (times(folder), len(decoded(clip))) == (before, looked)
        return caught.value.code

    @pytest.mark.parametrize("landmark_frames", [1, 2, 4])
    def test_fewer_than_three_frames(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker, landmark_frames: int
    ) -> None:
        settings = FaceSettings(size=64, landmark_frames=landmark_frames)
        assert self.code(clip_of(images, onset=8), folder, landmarker, settings) == "too_short"

    def test_three_frames_are_enough(self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        process_clip(clip_of(images, onset=7), folder, FACES, FLOW, landmarker)
        assert len(folder.load("crops.mkv")) == 3

    def test_an_onset_behind_the_end(self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        assert self.code(clip_of(images, onset=99), folder, landmarker) == "too_short"

    def test_no_face(self, images: Path, folder: ClipFolder) -> None:
        assert self.code(clip_of(images), folder, GivenLandmarker([])) == "no_face"

    @pytest.mark.parametrize("looks", [2, 3])
    def test_a_face_that_leaves(self, images: Path, folder: ClipFolder, drawn_face: Any, looks: int) -> None:
        """Two looks find it; after that it is seen at none, or only at the first, of the looks at frames 3, 6 and 9."""
        assert self.code(clip_of(images), folder, Vanishing([drawn_face.points], looks)) == "face_lost"

    def test_a_face_that_leaves_at_the_very_end(self, images: Path, folder: ClipFolder, drawn_face: Any) -> None:
        settings = FaceSettings(size=64, check_every=4)  # looks at 0, 7; then 4, 8 and the last, 9
        assert self.code(clip_of(images), folder, Vanishing([drawn_face.points], 4), settings) == "face_lost"

    def test_a_head_that_cannot_be_followed(
        self, tmp_path: Path, write_frames: Write, folder: ClipFolder, drawn_face: Any, landmarker: GivenLandmarker
    ) -> None:
        """Shaken about; were it moved once, that would be a break."""
        shaken = [drawn_face.picture] * 4 + [np.roll(drawn_face.picture, 40 * (t % 2), 1) for t in range(1, 7)]
        clip = clip_of(write_frames(tmp_path / "shaken", shaken))
        assert self.code(clip, folder, landmarker, FaceSettings(landmark_frames=4)) == "not_followed"

    @pytest.mark.parametrize("stop", [7, 10])
    @pytest.mark.parametrize("what", ["another person", "mirrored", "brighter"])
    def test_a_picture_that_does_not_belong_there(
        self,
        tmp_path: Path,
        write_frames: Write,
        folder: ClipFolder,
        frames: list[Any],
        landmarker: GivenLandmarker,
        someone_else: NDArray[np.uint8],
        what: str,
        stop: int,
    ) -> None:
        """For one frame or for good. All these were usable clips, whose strongest motion was the cut."""
        others = {"another person": someone_else, "mirrored": frames[0][:, ::-1], "brighter": 128 + frames[0] // 2}
        spliced = [others[what] if 6 <= t < stop else frame for t, frame in enumerate(frames)]
        clip = clip_of(write_frames(tmp_path / "spliced", spliced), onset=1)
        assert self.code(clip, folder, landmarker) == "shot_cut"
        entry = folder.entry("faces")
        assert entry is not None and "at frame 6 " in entry.result["reason"]

    def test_a_crop_that_looks_unlike_the_first_one(
        self, tmp_path: Path, write_frames: Write, folder: ClipFolder, frames: list[Any], landmarker: GivenLandmarker
    ) -> None:
        """A face that fades into a wall within ten frames: nothing jumps, and what is registered is no face."""
        wall = np.random.default_rng(0).integers(0, 255, (*frames[0].shape[:2], 1)).astype(np.float32)
        wall = 3 * cv2.GaussianBlur(wall, (0, 0), 8)[..., None] - 250
        shares = np.linspace(0, 1, 20)
        fading = [np.clip((1 - a) * frames[0] + a * wall, 0, 255).astype(np.uint8) for a in shares]
        clip = clip_of(write_frames(tmp_path / "fading", fading))
        assert self.code(clip, folder, landmarker) in {"misaligned", "not_followed"}

    def test_a_frame_of_another_size(
        self, tmp_path: Path, write_frames: Write, frames: list[Any], folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        clip = clip_of(write_frames(tmp_path / "images", [*frames[:6], frames[6][:-2]], "img{}.bmp"), offset=6)
        assert self.code(clip, folder, landmarker) == "size_change"

    def test_a_broken_frame(self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        (images / "img6.bmp").write_bytes(b"BM")
        assert self.code(clip_of(images), folder, landmarker) == "broken_frame"

    def test_a_broken_frame_outside_of_the_clip_is_no_matter(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        (images / "img9.bmp").write_bytes(b"BM")
        process_clip(clip_of(images, offset=7), folder, FACES, FLOW, landmarker)
        assert len(folder.load("crops.mkv")) == 8

    def test_missing_frames_are_found_before_any_work(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        clip = clip_of(images, offset=30)
        with pytest.raises(ClipRejectedError, match="the folder has 10") as caught:
            process_clip(clip, folder, FACES, FLOW, landmarker)
        assert (caught.value.code, decoded(clip), folder.folder.exists()) == ("missing_frames", [], False)

    def test_what_an_earlier_input_left_goes_away(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        """Else a rejected clip would keep crops and images that look as if they were its own."""
        process_clip(clip_of(images), folder, FACES, FLOW, landmarker)
        (folder / "temporal_ranked.png").touch()
        (images / "img6.bmp").write_bytes(b"")
        assert self.code(clip_of(images), folder, landmarker) == "broken_frame"

    def test_a_repaired_input_is_looked_at_again(
        self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        good = (images / "img6.bmp").read_bytes()
        (images / "img6.bmp").write_bytes(b"")
        assert self.code(clip_of(images), folder, landmarker) == "broken_frame"
        (images / "img6.bmp").write_bytes(good)
        process_clip(clip_of(images), folder, FACES, FLOW, landmarker)
        assert set(times(folder)) == FILES


class TestFreshness:
    @pytest.fixture
    def clip(self, images: Path, folder: ClipFolder, landmarker: GivenLandmarker) -> Clip:
        clip = clip_of(images, offset=9)
        process_clip(clip, folder, FACES, FLOW, landmarker)
        assert decoded(clip) == list(range(10)), "every frame is decoded once, in order"
        return clip

    def test_a_second_call_does_nothing(self, clip: Clip, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        before = times(folder)
        process_clip(clip, folder, FACES, FLOW, landmarker)
        assert (times(folder), len(decoded(clip))) == (before, 10)

    def test_a_flow_setting_redoes_the_flow_only(
        self, clip: Clip, folder: ClipFolder, landmarker: GivenLandmarker
    ) -> None:
        before = times(folder)
        process_clip(clip, folder, FACES, FlowSettings(window=4), landmarker)
        changed = {name for name, time in times(folder).items() if time != before[name]}
        assert changed == {"flow.npy", RECORD}
        assert len(decoded(clip)) == 10

    def test_a_face_setting_redoes_both(self, clip: Clip, folder: ClipFolder, landmarker: GivenLandmarker) -> None:
        process_clip(clip, folder, FaceSettings(size=96), FLOW, landmarker)
        assert folder.load("crops.mkv").shape == (10, 96, 96, 3)
        assert folder.load("flow.npy").shape == (10, 48, 48, 2)
        assert len(decoded(clip)) == 20

    def test_changed_pixels_redo_both(
        self, clip: Clip, folder: ClipFolder, images: Path, landmarker: GivenLandmarker
    ) -> None:
        before = contents(folder)
        data = bytearray((images / "img5.bmp").read_bytes())
        data[len(data) // 2 + 3 * 160] ^= 128  # in the middle of the face
        (images / "img5.bmp").write_bytes(data)
        process_clip(clip_of(images, offset=9), folder, FACES, FLOW, landmarker)
        assert contents(folder)["crops.mkv"] != before["crops.mkv"]
        assert json.loads(before[RECORD])["input"] != json.loads((folder / RECORD).read_text())["input"]

    @pytest.mark.parametrize("name", ["crops.mkv", "landmarks.npy", "flow.npy", RECORD])
    def test_a_lost_file_is_made_again(
        self, clip: Clip, folder: ClipFolder, landmarker: GivenLandmarker, name: str
    ) -> None:
        before = contents(folder)
        (folder / name).unlink()
        process_clip(clip, folder, FACES, FLOW, landmarker)
        assert contents(folder) == before

    def test_an_interruption_within_a_stage_is_made_good(
        self, clip: Clip, folder: ClipFolder, landmarker: GivenLandmarker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        complete = contents(folder)
        (folder / RECORD).unlink()
        rounds = 0

        def interrupted(*_: Any) -> Any:
            nonlocal rounds
            rounds += 1
            if rounds == 5:
                raise KeyboardInterrupt
            return warp(*_)

        warp = alignment.warp
        with monkeypatch.context() as patch:
            patch.setattr(alignment, "warp", interrupted)
            with pytest.raises(KeyboardInterrupt):
                process_clip(clip, folder, FACES, FLOW, landmarker)
        assert not folder.record()["stages"]
        process_clip(clip, folder, FACES, FLOW, landmarker)
        assert contents(folder) == complete


def test_memory_does_not_grow_with_the_clip(
    tmp_path: Path, write_frames: Write, frames: list[Any], folder: ClipFolder, landmarker: GivenLandmarker
) -> None:
    """Holding the clip would be 40 frames."""
    clip = clip_of(write_frames(tmp_path / "long", frames * 4, "img{}.bmp"))
    process_clip(clip, folder, FACES, FLOW, landmarker)
    assert isinstance(clip.frames, Counting)
    assert len(clip.frames.decoded) == 40
    assert clip.frames.most_alive <= FACES.landmark_frames + 1


@pytest.mark.parametrize(
    "values", [{"size": 60}, {"size": 62}, {"size": 66}, {"size": 1024}, {"landmark_frames": 0}, {"check_every": 0}]
)
def test_settings_without_a_sense_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="faces:"):
        FaceSettings(**values)  # type: ignore[arg-type]


class TestFaceLibrary:
    """Another library than dlib is chosen by its name, and its version is part of what artefacts stand on."""

    @pytest.fixture
    def library(self, drawn_face: Any) -> Iterator[type[GivenLandmarker]]:
        class Mine(GivenLandmarker):
            release = "mine 1"

            def version(self) -> str:
                return self.release

        LANDMARKERS["mine"] = lambda model: Mine([drawn_face.points])
        yield Mine
        del LANDMARKERS["mine"]

    def test_it_is_used_and_its_version_makes_artefacts_stale(
        self, library: Any, images: Path, folder: ClipFolder
    ) -> None:
        settings = dataclasses.replace(FACES, library="mine")
        first = process_clip(clip_of(images), folder, settings, FLOW, settings.landmarker())
        again = process_clip(clip_of(images), folder, settings, FLOW, settings.landmarker())
        assert again == first
        assert json.loads((folder / RECORD).read_text())["libraries"]["faces"] == "mine 1"
        library.release = "mine 2"
        assert process_clip(clip_of(images), folder, settings, FLOW, settings.landmarker()) != first

    def test_an_unknown_one_is_refused_with_the_choice(self) -> None:
        with pytest.raises(UsageError, match="face library 'dlip' is unknown: did you mean dlib"):
            FaceSettings(library="dlip")
