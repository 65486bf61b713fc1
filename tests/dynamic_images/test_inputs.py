"""Every input of the registry on clips whose motion is known: shapes, and values that can be worked out by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.build import STAGE, ImageSettings, in_steady_light
from dynamic_images.clip_input import PLANAR, InputUse
from dynamic_images.face_mask import face_weight
from dynamic_images.flow_maps import flow_statistics, optical_strain
from dynamic_images.frames import LUMA, sample_indices
from dynamic_images.input_cache import build_inputs, input_path
from dynamic_images.inputs import FACE, INPUTS, ZEROED, face_only, recorded_use, use, zeroed
from dynamic_images.precomputed import StreamSettings, build_streams
from dynamic_images.rank_pooling import apex_centred_weights, harmonic_weights, linear_weights, pool
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.datasets.streams import Source, StreamClip
from preprocessing.errors import UsageError

FRAMED, IMAGES = "known/sub01/a", "toy/s1/c1"
APEX, LAST = 5, 11


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, make_clip: Any, finished_clip: Callable[..., ClipFolder]) -> Path:
    """A clip with all stages, in the light that it was recorded in."""
    root = tmp_path_factory.mktemp("known")
    finished_clip(root, FRAMED, make_clip(), APEX, ImageSettings(steady_light=False))
    return root


@pytest.fixture(scope="module")
def precomputed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two precomputed images: 20 x 20 px of noise, and 4 x 4 px."""
    root = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    sources = []
    for name, side in (("a.npy", 20), ("b.npy", 4)):
        np.save(root / name, rng.normal(0, 5, (side, side, 3)))
        sources.append(Source(name, root / name, None))
    clip = StreamClip(IMAGES, "toy/s1", "happiness", *sources, where="line 2")
    build_streams([clip], root / "cache", StreamSettings())
    return root / "cache"


def made(cache: Path, one: InputUse, clip_id: str = FRAMED) -> NDArray[Any]:
    """The input as it lies in the cache."""
    build_inputs(cache, [clip_id], [one])
    return np.load(input_path(clip_folder(cache, clip_id), one))


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_has_the_shape_that_it_declares(name: str, cache: Path, precomputed: Path) -> None:
    """Also one that somebody adds: it is found in the registry."""
    one = use(name)
    stages = {one.input.stage} if one.input.make is None else set(one.input.stands_on)
    framed = stages <= {"faces", "flow", STAGE}
    array = made(cache if framed else precomputed, one, FRAMED if framed else IMAGES)
    assert array.dtype == (np.float64 if one.kind == "features" else np.float32)
    assert np.isfinite(array).all() and array.std() > 0
    side = array.shape[-2] if one.kind in PLANAR else 0
    as_tensor = np.moveaxis(array, -1, -3) if one.kind in PLANAR else array  # (..., H, W, C) -> (..., C, H, W)
    assert as_tensor.shape == one.shape(side)
    assert one.kind not in PLANAR or array.shape[-3] == side, "square"


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_is_told_to_people_in_words_and_units(name: str) -> None:
    one = INPUTS[name]
    assert one.name == name
    assert one.title and one.unit and one.about.endswith(".")
    assert one.view is None or len(one.view) == use(name).channels
    assert (one.make is None) == bool(one.stage), "it is made, or a stage writes it"


class TestDynamicImages:
    def test_two_phases_pooled_by_hand(self, cache: Path, clip: Any) -> None:
        rising, falling = clip.crops[: APEX + 1], clip.crops[APEX:]
        for name, frames in (("onset_to_apex", rising), ("apex_to_offset", falling)):
            by_hand = pool(frames, harmonic_weights(len(frames)))
            np.testing.assert_allclose(made(cache, use(name)), by_hand, atol=1e-4)
            assert np.abs(by_hand).max() > 1

    def test_apex_centred_pooled_by_hand(self, cache: Path, clip: Any) -> None:
        by_hand = pool(clip.crops, apex_centred_weights(len(clip.crops), APEX))
        np.testing.assert_allclose(made(cache, use("apex_centred")), by_hand, atol=1e-4)

    def test_they_follow_the_settings_of_the_stage_images(
        self, tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder]
    ) -> None:
        """Weights and light of a clip's dynamic images are the same, whichever image it is."""
        finished_clip(tmp_path, FRAMED, clip, APEX, ImageSettings(weights="linear", steady_light=True))
        steady = np.stack(list(in_steady_light(clip.crops[: APEX + 1], clip.landmarks)))
        by_hand = pool(steady, linear_weights(APEX + 1))
        np.testing.assert_allclose(made(tmp_path, use("onset_to_apex")), by_hand, atol=1e-4)
        assert np.abs(by_hand - pool(steady, harmonic_weights(APEX + 1))).max() > 0.1

    @pytest.mark.parametrize(("name", "apex"), [("onset_to_apex", 0), ("apex_to_offset", LAST)])
    def test_a_phase_of_one_frame_shows_no_motion(
        self, tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder], name: str, apex: int
    ) -> None:
        finished_clip(tmp_path, FRAMED, clip, apex)
        assert not made(tmp_path, use(name)).any()


class TestZeroed:
    @pytest.mark.parametrize("name", [name for name in INPUTS if name.endswith(ZEROED)])
    def test_it_is_the_image_less_the_median_of_each_channel(self, name: str, cache: Path, precomputed: Path) -> None:
        one = use(name)
        at = (precomputed, IMAGES) if name.startswith("stream") else (cache, FRAMED)
        whole, found = made(at[0], use(name.removesuffix(ZEROED)), at[1]), made(at[0], one, at[1])
        np.testing.assert_allclose(found, whole - np.median(whole, axis=(0, 1)), atol=1e-6)
        assert np.abs(np.median(found, axis=(0, 1))).max() < 1e-6

    def test_what_is_made_itself_cannot_be_zeroed(self) -> None:
        with pytest.raises(ValueError, match=r"input apex_centred .* is no image of a stage"):
            zeroed(INPUTS["apex_centred"])


class TestFaceOnly:
    @pytest.mark.parametrize("name", [name for name in INPUTS if name.endswith(FACE)])
    def test_it_is_the_whole_one_inside_the_face_and_nothing_outside(self, name: str, cache: Path, clip: Any) -> None:
        whole, face = made(cache, use(name.removesuffix(FACE))), made(cache, use(name))
        height, width = whole.shape[-3:-1]
        weight = face_weight(clip.landmarks, (height, width), clip.crops.shape[1:3])
        assert 0.2 < (weight == 1).mean() < 0.8
        np.testing.assert_array_equal(face[..., weight == 1, :], whole[..., weight == 1, :])
        assert not face[..., weight == 0, :].any()
        np.testing.assert_allclose(face, whole * weight[..., None], rtol=1e-6)

    def test_there_is_one_of_every_image_and_flow_that_a_clip_of_frames_has(self) -> None:
        bases = {name for name, one in INPUTS.items() if one.kind in ("image", "flow") and one.stage in ("", STAGE)}
        assert {name for name in bases if not name.endswith((FACE, ZEROED))} == {
            name.removesuffix(FACE) for name in INPUTS if name.endswith(FACE)
        }

    def test_other_landmarks_make_it_again(
        self, tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder]
    ) -> None:
        assert {"faces", STAGE} <= set(INPUTS["motion_intensity_face"].stands_on)
        moved = dataclasses.replace(clip, landmarks=clip.landmarks + np.float32(6))
        images = []
        for place, one in (("a", clip), ("b", moved)):
            finished_clip(tmp_path / place, FRAMED, one, APEX)
            images.append(made(tmp_path / place, use("apex_flow_face")))
        assert np.abs(images[0] - images[1]).max() > 0.1

    @pytest.mark.parametrize("name", ["frames", "flow_grid", "stream_a"])
    def test_what_has_no_face_in_the_crop_has_none(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"input {name} .* cannot be cut off outside the face"):
            face_only(INPUTS[name])


class TestFlow:
    def test_at_the_apex_it_is_the_cached_one(self, cache: Path, clip: Any) -> None:
        np.testing.assert_array_equal(made(cache, use("apex_flow")), clip.flow[APEX])
        assert np.abs(clip.flow[APEX]).max() > 1

    def test_strain_stands_beside_it(self, cache: Path, clip: Any) -> None:
        map_ = made(cache, use("apex_strain"))
        np.testing.assert_array_equal(map_[..., :2], clip.flow[APEX])
        np.testing.assert_array_equal(map_[..., 2], optical_strain(clip.flow[APEX]))

    def test_the_first_phase_is_the_flow_at_the_apex(self, cache: Path, clip: Any) -> None:
        np.testing.assert_array_equal(made(cache, use("phase_flow"))[0], clip.flow[APEX])

    def test_the_second_phase_leads_from_the_apex_to_the_offset(self, cache: Path, clip: Any) -> None:
        """Looked up where it points to, the last frame is the apex frame again."""
        small = made(cache, use("phase_flow"))[1]
        falling = cv2.resize(small, clip.crops.shape[2:0:-1], interpolation=cv2.INTER_LINEAR)
        y, x = np.mgrid[: falling.shape[0], : falling.shape[1]].astype(np.float32)
        last, apex = clip.crops[LAST].astype(np.float32), clip.crops[APEX].astype(np.float32)
        back = cv2.remap(last, x + falling[..., 0], y + falling[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
        moving = np.abs(clip.flow[APEX].astype(float)).max(axis=-1).repeat(2, 0).repeat(2, 1) > 0.5
        assert np.abs(back - apex)[moving].mean() < 0.5 * np.abs(last - apex)[moving].mean()  # no flow scores 1

    def test_a_clip_that_ends_at_its_apex_has_no_second_phase(
        self, tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder]
    ) -> None:
        finished_clip(tmp_path, FRAMED, clip, apex=LAST)
        rising, falling = made(tmp_path, use("phase_flow"))
        np.testing.assert_array_equal(rising, clip.flow[LAST])
        assert not falling.any()

    def test_statistics_are_those_of_the_whole_cached_flow(self, cache: Path, clip: Any) -> None:
        for grid in (2, 6):
            expected = flow_statistics(clip.flow, APEX, grid)
            np.testing.assert_array_equal(made(cache, use("flow_grid", grid=grid)), expected)


class TestFrames:
    def test_key_frames_are_onset_apex_and_offset(self, cache: Path, clip: Any) -> None:
        grey = clip.crops.astype(float) @ LUMA
        key = made(cache, use("key_frames"))[..., 0]
        # steady light changes them by 0.025 grey levels on average, the next frame is 0.049 away
        assert np.abs(key - grey[[0, APEX, LAST]]).mean(axis=(1, 2)).max() < 0.03

    @pytest.mark.parametrize("count", [3, 8, 20])
    def test_frames_are_sampled_from_onset_to_offset(self, cache: Path, clip: Any, count: int) -> None:
        grey = clip.crops.astype(float) @ LUMA
        frames = made(cache, use("frames", count=count))[..., 0]
        picked = sample_indices(len(grey), count)
        assert (len(frames), picked[0], picked[-1]) == (count, 0, LAST)
        assert np.abs(frames - grey[picked]).mean(axis=(1, 2)).max() < 0.03


def test_coarse_images_are_the_means_of_every_channel(precomputed: Path) -> None:
    """A cell per pixel where an image has fewer pixels than the grid has cells."""
    features = made(precomputed, use("stream_grid", grid=5), IMAGES).reshape(2, 3, 5, 5)
    a, b = (clip_folder(precomputed, IMAGES).load(f"stream_{name}.npy") for name in "ab")
    np.testing.assert_allclose(features[0], a.reshape(5, 4, 5, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1), atol=1e-5)
    assert set(features[1, 0].ravel()) == set(b[..., 0].astype(float).ravel())


class TestUse:
    def test_names_and_settings_that_do_not_exist_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"input 'frame' is unknown: did you mean frames\?"):
            use("frame")
        with pytest.raises(UsageError, match="input frames has no setting 'number': it has count"):
            use("frames", number=3)
        with pytest.raises(UsageError, match="input apex_flow has no setting 'grid': it has none"):
            use("apex_flow", grid=3)

    def test_values_that_cannot_be_are_refused(self) -> None:
        with pytest.raises(UsageError, match="count is 1, wanted at least 2"):
            use("frames", count=1)
        with pytest.raises(UsageError, match="grid is 0, wanted at least 1"):
            use("flow_grid", grid=0)
        with pytest.raises(UsageError, match=r"input frames\.count = '3', wanted a whole number"):
            use("frames", count="3")

    def test_settings_decide_shape_and_file(self) -> None:
        assert (use("frames").shape(32), use("frames").label) == ((8, 1, 32, 32), "frames")
        few = use("frames", count=3)
        assert few.shape(32) == (3, 1, 32, 32)
        assert few.label.startswith("frames-") and few.label != use("frames", count=4).label
        assert use("frames", count=8).label == "frames", "as by default"
        assert use("flow_grid", grid=2).shape(32) == (24,)
        assert use("phase_flow").shape(32) == (2, 2, 32, 32)

    def test_it_can_be_written_down_and_compared(self) -> None:
        one = use("frames", count=3)
        assert one.plain() == {"name": "frames", "settings": {"count": 3}}
        assert recorded_use(one.plain()) == one != use("frames")

    def test_what_was_written_down_by_another_version_is_refused(self) -> None:
        """Today's default of a setting that is not there might be another value than it was made under."""
        with pytest.raises(ValueError, match="input frames settings count are not on both sides"):
            recorded_use({"name": "frames", "settings": {}})
        with pytest.raises(UsageError, match="input 'frame' is unknown"):
            recorded_use({"name": "frame", "settings": {}})
