"""Blank, fading and half frames: left out at the ends, refused inside; whole frames pass untouched."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.errors import ClipRejectedError
from preprocessing.recordings.soundness import sound_frames
from preprocessing.video import FrameReport

Frame = NDArray[np.uint8]
BLACK = np.zeros((90, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def film() -> list[Frame]:
    """Thirty different noisy frames of a picture that drifts."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    frames = []
    for t in range(30):
        grey = 120 + 50 * np.sin((x + t) / 9) * np.cos(y / 7) + random.normal(0, 2, x.shape)
        frames.append(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return frames


def passed(frames: Iterable[Frame], trim: bool = True) -> tuple[list[Frame], FrameReport]:
    report = FrameReport()
    return list(sound_frames(iter(frames), report, trim=trim)), report


def test_whole_frames_pass_untouched(film: list[Frame]) -> None:
    found, report = passed(film)
    assert all(a is b for a, b in zip(found, film, strict=True))
    assert report == FrameReport()


def test_an_empty_recording_has_no_frames() -> None:
    assert passed([]) == ([], FrameReport())


@pytest.mark.parametrize("colour", [0, 16, 128, 255])
def test_blank_ends_are_left_out_and_counted(film: list[Frame], colour: int) -> None:
    blank = np.full_like(BLACK, colour)
    found, report = passed([blank, blank, *film, blank])
    assert all(a is b for a, b in zip(found, film, strict=True))
    assert (report.blank_start, report.blank_end) == (2, 1)


def test_a_covered_lens_is_blank_too(film: list[Frame]) -> None:
    dark = np.random.default_rng(1).normal(6, 2, BLACK.shape).clip(0, 255).astype(np.uint8)
    assert passed([dark, *film])[1].blank_start == 1


def test_a_fade_in_is_left_out_with_the_blank_frame(film: list[Frame]) -> None:
    faded = [np.asarray(frame * (t / 10), np.uint8) if t < 10 else frame for t, frame in enumerate(film)]
    found, report = passed(faded)
    assert report.blank_start == 10
    assert all(a is b for a, b in zip(found, film[10:], strict=True))


def test_a_fade_out_is_refused_since_its_frames_are_used_by_then(film: list[Frame]) -> None:
    faded = [np.asarray(frame * min(1, (29 - t) / 10), np.uint8) for t, frame in enumerate(film)]
    with pytest.raises(ClipRejectedError, match="frame 19 and those after it fade out"):
        passed(faded)


@pytest.mark.parametrize("at", [1, 7, 28])
def test_a_blank_frame_inside_is_refused_by_its_number(film: list[Frame], at: int) -> None:
    with pytest.raises(ClipRejectedError, match=f"frame {at} is of one colour") as caught:
        passed([*film[:at], BLACK, *film[at + 1 :]])
    assert caught.value.code == "broken_frame"


@pytest.mark.parametrize("at", [0, 29])
def test_an_annotated_clip_may_not_be_blank_at_its_ends(film: list[Frame], at: int) -> None:
    frames = [*film]
    frames[at] = BLACK
    with pytest.raises(ClipRejectedError, match=f"frame {at} is of one colour"):
        passed(frames, trim=False)


def test_a_recording_that_is_blank_for_the_most_part_is_refused(film: list[Frame]) -> None:
    with pytest.raises(ClipRejectedError, match="12 of 22 frames show no picture"):
        passed([*[BLACK] * 12, *film[:10]])


@pytest.mark.parametrize("at", [0, 12, 28])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_frame_without_its_lower_part_is_refused_by_its_number(film: list[Frame], at: int, share: float) -> None:
    """As decoders leave a picture file that was cut off."""
    broken = film[at].copy()
    broken[round(len(broken) * (1 - share)) :] = 128
    with pytest.raises(ClipRejectedError, match=f"frame {at} lacks its lower part"):
        passed([*film[:at], broken, *film[at + 1 :]])


def test_a_half_frame_at_the_end_is_left_out_where_nobody_annotated_it(film: list[Frame]) -> None:
    """A recording that was cut off inside its last frame."""
    broken = film[29].copy()
    broken[45:] = 128
    found, report = passed([*film[:29], broken])
    assert (len(found), report.blank_end) == (29, 1)
    with pytest.raises(ClipRejectedError, match="frame 29 lacks its lower part"):
        passed([*film[:29], broken], trim=False)


def test_bars_below_a_picture_are_no_damage(film: list[Frame]) -> None:
    bars = [frame.copy() for frame in film]
    for frame in bars:
        frame[70:] = 16
    assert passed(bars)[1] == FrameReport()


def test_repeated_frames_are_counted(film: list[Frame]) -> None:
    """30 frames per second stored as 120; noise of one grey level stands for the coding."""
    random = np.random.default_rng(2)
    stored = [
        (frame + random.integers(0, 2, frame.shape) * (random.random(frame.shape) < 0.1)).clip(0, 255).astype(np.uint8)
        for frame in film
        for _ in range(4)
    ]
    report = passed(stored)[1]
    assert report.repeated == 90
