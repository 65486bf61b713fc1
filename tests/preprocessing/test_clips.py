from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.clips import Clip, check_unique
from preprocessing.errors import ClipRejectedError, DatasetError
from preprocessing.video import ImageSequence

FRAMES = ImageSequence((Path("somewhere/img1.png"),))


def clip(clip_id: str = "casme2/sub01/EP02_01f", **facts: Any) -> Clip:
    return Clip(clip_id, clip_id.rsplit("/", 1)[0], FRAMES, **facts)


@given(onset=st.integers(-2, 6), apex=st.none() | st.integers(-2, 9), offset=st.none() | st.integers(-2, 9))
def test_frame_numbers_are_in_order_or_refused(onset: int, apex: int | None, offset: int | None) -> None:
    given_numbers = [n for n in (onset, apex, offset) if n is not None]
    if onset >= 0 and given_numbers == sorted(given_numbers):
        made = clip(onset=onset, apex=apex, offset=offset)
        assert made.n_frames == (None if offset is None else len(range(onset, offset + 1)))
    else:
        with pytest.raises(DatasetError, match="casme2/sub01/EP02_01f"):
            clip(onset=onset, apex=apex, offset=offset)


def test_an_apex_after_an_offset_of_zero_is_refused() -> None:
    """``offset or …`` would take the offset 0 for a missing one."""
    with pytest.raises(DatasetError, match=r"apex 5 is outside onset 0 \.\. offset 0"):
        clip(apex=5, offset=0)


@pytest.mark.parametrize("clip_id", ["casme2", "a//b", "/a/b", "a/../b", "a/b/", "a/b\n", "a/b:c", ""])
def test_ids_are_safe_folder_names(clip_id: str) -> None:
    with pytest.raises(DatasetError, match="not of the form"):
        Clip(clip_id, "a", FRAMES)


def test_names_that_no_folder_can_have() -> None:
    """The file system would say it only when the clip is written, hours later."""
    assert Clip(f"a/{'b' * 200}", "a", FRAMES)
    for name in ("b" * 201, "é" * 101):
        with pytest.raises(DatasetError, match=r"a name of 20\d bytes is too long for a folder, at most 200 fit"):
            Clip(f"a/{name}", "a", FRAMES)


def test_the_subject_begins_the_id() -> None:
    """Subjects of two data sets must never collide in leave-one-subject-out."""
    with pytest.raises(DatasetError, match="subject 'samm/sub01'"):
        Clip("casme2/sub01/a", "samm/sub01", FRAMES)
    with pytest.raises(DatasetError, match="subject 'casme2/sub0'"):
        Clip("casme2/sub01/a", "casme2/sub0", FRAMES)
    assert clip().dataset == "casme2"


def test_unique_ids_pass_in_their_order() -> None:
    clips = [clip("d/s/b"), clip("d/s/a"), clip("d/s2/a")]
    assert check_unique(clips) is clips


@pytest.mark.parametrize("other", ["d/s/a", "D/s/A", "d/S/a"])
def test_shared_ids_are_named(other: str) -> None:
    with pytest.raises(DatasetError, match="two clips would be called"):
        check_unique([clip("d/s/a"), clip("d/s/b"), clip(other)])


def test_the_very_same_clip_twice_is_found() -> None:
    one = clip()
    with pytest.raises(DatasetError, match="two clips"):
        check_unique([one, one])


def test_a_rejection_survives_the_way_back_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(ClipRejectedError("no_face", "no face in the first 8 frames")))
    assert (error.code, error.reason, str(error)) == ("no_face", "no face in the first 8 frames", error.reason)
