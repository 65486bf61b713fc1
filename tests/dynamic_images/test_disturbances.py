"""Disturbed clips: what is known of each by construction, and that an undisturbed one gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamic_images.clip_input import ClipArtefacts
from dynamic_images.disturbances import CARD, Disturbance, build_disturbed, disturbed
from preprocessing.artefacts.clip_folder import ClipFolder, clip_folder
from preprocessing.errors import ToolkitError

ID, APEX = "known/sub01/a", 5


@pytest.mark.parametrize("by", [-3, -1, 0, 1, 3, 99])
def test_the_apex_stays_the_same_picture_when_the_onset_moves(by: int, clip: Any) -> None:
    crops, apex = disturbed(clip.crops, APEX, Disturbance("onset", by))
    np.testing.assert_array_equal(crops[apex], clip.crops[APEX])
    moved = min(by, APEX)  # never beyond the apex
    assert len(crops) == len(clip.crops) - moved
    first = clip.crops[max(0, moved)]
    np.testing.assert_array_equal(crops[0], first)
    if by < 0:
        assert (crops[: -by + 1] == first).all(), "before the onset the face rests"


def test_the_apex_moves_and_stays_in_the_clip(clip: Any) -> None:
    for by, wanted in ((2, 7), (-2, 3), (99, 11), (-99, 0)):
        crops, apex = disturbed(clip.crops, APEX, Disturbance("apex", by))
        assert apex == wanted and crops is clip.crops


def test_jitter_is_drawn_once_per_clip_and_reaches_both_ends(clip: Any) -> None:
    found = [disturbed(clip.crops, APEX, Disturbance("jitter", 2), seed) for seed in range(60)]
    onsets = [len(clip.crops) - len(crops) for crops, _ in found]
    shifts = [apex - (APEX - onset) for (_, apex), onset in zip(found, onsets, strict=True)]
    assert set(onsets) == set(shifts) == {-2, -1, 0, 1, 2}
    again = disturbed(clip.crops, APEX, Disturbance("jitter", 2), 7)
    assert again[1] == found[7][1] and np.array_equal(again[0], found[7][0])


def test_half_the_frame_rate_is_every_second_frame(clip: Any) -> None:
    crops, apex = disturbed(clip.crops, APEX, Disturbance("frame_rate", 2))
    np.testing.assert_array_equal(crops, clip.crops[::2])
    assert apex == 2


def test_pictures_are_changed_as_far_as_is_said(clip: Any) -> None:
    shifted, _ = disturbed(clip.crops, APEX, Disturbance("shift", 3))
    np.testing.assert_array_equal(shifted[:, 3:, 3:], clip.crops[:, :-3, :-3])
    step = {one: np.abs(np.diff(disturbed(clip.crops, APEX, one)[0].astype(float), axis=2)).mean() for one in CARD}
    sharp = np.abs(np.diff(clip.crops.astype(float), axis=2)).mean()
    assert step[Disturbance("blur", 2)] < step[Disturbance("blur", 1)] < sharp
    errors = [
        np.abs(disturbed(clip.crops, APEX, Disturbance("jpeg", quality))[0].astype(float) - clip.crops).mean()
        for quality in (95, 50, 20)
    ]
    assert 0 < errors[0] < errors[1] < errors[2] < 30


@pytest.mark.parametrize(
    ("kind", "amount", "words"),
    [
        ("rain", 1, "disturbance 'rain' is none of onset, apex"),
        ("onset", 0.5, "wanted a whole number"),
        ("blur", 0, "wanted a number above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(kind: Any, amount: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Disturbance(kind, amount)


class TestStages:
    @pytest.fixture
    def cache(self, tmp_path: Path, clip: Any, finished_clip: Callable[..., ClipFolder]) -> Path:
        finished_clip(tmp_path / "cache", ID, clip, APEX)
        return tmp_path / "cache"

    def built(self, cache: Path, one: Disturbance) -> ClipArtefacts:
        to = cache.parent / one.name
        assert list(build_disturbed(cache, to, [ID], one)) == [ID]
        return ClipArtefacts(clip_folder(to, ID))

    def test_no_motion_of_the_labels_gives_the_images_of_the_stages(self, cache: Path, tmp_path: Path) -> None:
        """The flow of the known clip is written by the fixture, so it is made anew before it is compared."""
        once = self.built(cache, Disturbance("onset", 0))
        again = tmp_path / "again"
        assert list(build_disturbed(tmp_path / "onset+0", again, [ID], Disturbance("apex", 0))) == [ID]
        twice = ClipArtefacts(clip_folder(again, ID))
        np.testing.assert_array_equal(list(once.crops), list(twice.crops))
        for name in ("flow", "temporal_ranked", "motion_intensity", "landmarks"):
            np.testing.assert_array_equal(once.array(name), twice.array(name))
        assert once.apex == twice.apex == APEX

    def test_images_are_made_of_the_disturbed_frames(self, cache: Path, tmp_path: Path) -> None:
        still, moved = self.built(cache, Disturbance("onset", 0)), self.built(cache, Disturbance("onset", 3))
        assert len(moved.crops) == len(still.crops) - 3 and moved.apex == APEX - 3
        assert len(moved.flow) == len(moved.crops) and not np.asarray(moved.flow[0]).any()
        far = [np.linalg.norm(np.asarray(one.flow[one.apex], float), axis=-1).max() for one in (still, moved)]
        assert far[1] < 0.8 * far[0], "what came before the later onset is not seen"
        assert np.abs(moved.array("temporal_ranked") - still.array("temporal_ranked")).max() > 1

    def test_a_clip_that_is_not_built_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ToolkitError, match="known/sub01/a has no crops"):
            list(build_disturbed(tmp_path, tmp_path / "to", [ID], Disturbance("blur", 1)))
