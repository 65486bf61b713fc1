"""The flow that sees a clip in order: small motions, blinks, light, jumps, and its smoothing over time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing import onset_flow
from preprocessing.onset_flow import CALM, OnsetFlow, smoothed
from preprocessing.optical_flow import METHODS, FlowSettings, clip_flow, flow, flow_to, halve

SIDE = 96
TRACK = FlowSettings("track")


@cache
def skin(shift: float, contrast: float = 12.0, seed: int = 0) -> NDArray[np.float64]:
    """Waves of 6 to 30 px moved to the right by ``shift`` px, exactly; sd of ``contrast`` grey levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    total = np.zeros((SIDE, SIDE))
    for wavelength, angle, phase in zip(rng.uniform(6, 30, 40), *rng.uniform(0, 2 * np.pi, (2, 40)), strict=True):
        total += np.sin(2 * np.pi / wavelength * (np.cos(angle) * (x - shift) + np.sin(angle) * y) + phase)
    return 120 + contrast * total / np.sqrt(20)


def clip(shifts: Sequence[float], noise: float = 0.0) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    pictures = (skin(shift) + rng.normal(0, 1, (SIDE, SIDE)) * noise for shift in shifts)
    return [np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures]


def inside(field: NDArray[Any]) -> NDArray[Any]:
    return field[6:-6, 6:-6]


def test_each_frame_of_a_slow_motion_is_read_as_long_as_it_is() -> None:
    shifts = [0.1 * t for t in range(13)]  # DIS reads the first steps under this noise as 1.5 times as long
    fields = list(clip_flow(clip(shifts, noise=1.0), TRACK))
    assert len(fields) == len(shifts) and not fields[0].any()
    found = [inside(field).mean((0, 1)) for field in fields]
    assert np.allclose([u for u, _ in found], shifts, atol=0.04)  # a third of a frame behind, under noise
    assert np.allclose([v for _, v in found], 0, atol=0.02)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("track", "zero", "tvl1")])
def test_a_method_for_pairs_gives_a_clip_the_flow_of_its_pairs(method: str) -> None:
    frames, settings, counts = clip([0, 0.4, 0.8]), FlowSettings(method), dict[str, int]()
    fields = list(clip_flow(frames, settings, counts))
    assert not fields[0].any() and not counts
    for frame, field in zip(frames[1:], fields[1:], strict=True):
        assert np.array_equal(field, halve(flow(frames[0], frame, settings)))


@pytest.mark.parametrize("method", ["track", "dis"])
def test_the_flow_to_one_frame_is_that_of_the_clip(method: str) -> None:
    frames, settings = clip([0.2 * t for t in range(8)]), FlowSettings(method)
    fields = list(clip_flow(frames, settings))
    for at in (0, 1, 5, 7):
        assert np.array_equal(flow_to(iter(frames), at, settings), fields[at])
    with pytest.raises(ValueError, match="frame 8 of a clip that has fewer"):
        flow_to(frames, 8, settings)


def test_a_clip_without_frames_has_no_flow() -> None:
    assert list(clip_flow([], TRACK)) == []
    assert [field.shape for field in clip_flow(clip([0]), TRACK)] == [(SIDE // 2, SIDE // 2, 2)]


def test_a_clip_is_read_at_most_two_frames_ahead() -> None:
    read = count()
    frames = (frame for frame in clip([0.1 * t for t in range(10)]) if next(read) >= 0)
    for t, _ in enumerate(clip_flow(frames, TRACK)):
        seen = int(repr(read)[6:-1])
        assert seen <= t + 3


class TestBlink:
    """Something covers a part for some frames and goes again, while the skin has moved by 0.3 px."""

    covered = (slice(36, 60), slice(30, 66))

    def fields(self) -> list[NDArray[np.float32]]:
        frames = clip([0.03 * min(t, 10) for t in range(26)], noise=1.0)
        for t in range(8, 14):
            frames[t][self.covered] = skin(5.0 * t, seed=2)[self.covered] * 0.5
        return list(clip_flow(frames, TRACK))

    def error(self, field: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(field - [0.3, 0], axis=-1))

    def test_it_does_not_stick(self) -> None:
        assert self.error(self.fields()[-1])[18:30, 15:33].max() < 0.2  # 2.7 px if the last field always is the start

    def test_what_is_not_covered_is_measured_meanwhile(self) -> None:
        around = np.ones((SIDE // 2, SIDE // 2), bool)
        around[12:36, 9:39] = False
        around[:4], around[-4:], around[:, :4], around[:, -4:] = False, False, False, False
        assert self.error(self.fields()[12])[around].max() < 0.25

    def test_the_frames_around_it_do_not_show_it(self) -> None:
        """Smoothing over time alone would put a quarter of the eyelid's motion into the frame before."""
        still = clip([0.03 * min(t, 10) for t in range(26)], noise=1.0)
        plain = list(clip_flow(still, TRACK))
        assert np.abs(self.fields()[7] - plain[7]).max() <= CALM


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_light_that_changes_is_no_motion(gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth more or less light, and a slope of it across the face."""
    slope = np.linspace(0.95, 1.05, SIDE)[None, :]
    first = skin(0.0)
    frames = [np.clip(np.rint(first * (1 + (gain * slope - 1) * t / 5)), 0, 255).astype(np.uint8) for t in range(6)]
    found = np.linalg.norm(inside(list(clip_flow(frames, TRACK))[-1]), axis=-1)
    monkeypatch.setattr(onset_flow, "LIGHT", 300.0)  # one change for the whole picture
    blind = np.linalg.norm(inside(list(clip_flow(frames, TRACK))[-1]), axis=-1)
    assert found.mean() < 0.02 and blind.mean() > 2 * found.mean()


class TestJump:
    def test_a_jump_falls_back_and_is_counted(self) -> None:
        shifts = [0, 0, 6, 6.2, 6.4, 6.6]
        counts: dict[str, int] = {}
        fields = list(clip_flow(clip(shifts), TRACK, counts))
        for shift, field in zip(shifts, fields, strict=True):
            assert np.median(inside(field)[..., 0]) == pytest.approx(shift, abs=0.2)
        assert 1 <= counts["flow_fallbacks"] <= 4

    def test_without_a_fallback_it_is_lost(self) -> None:
        follow = OnsetFlow(skin(0).astype(np.float32), 3.0, 1.5)
        fields = [follow(skin(shift).astype(np.float32)) for shift in (0, 6)]
        assert abs(np.median(fields[-1][0]) - 6) > 1

    def test_a_fallback_that_explains_less_is_not_taken(self) -> None:
        follow = OnsetFlow(skin(0).astype(np.float32), 3.0, 1.5, lambda frame: np.full((SIDE // 2, SIDE // 2, 2), 30.0))
        follow(skin(6).astype(np.float32))
        assert follow.fallbacks == 0

    def test_a_steady_fast_motion_is_followed(self) -> None:
        """A pixel per frame, up to 10: a smile at 25 frames per second."""
        shifts = [1.0 * t for t in range(11)]
        found = [np.median(inside(field)[..., 0]) for field in clip_flow(clip(shifts), TRACK)]
        assert np.allclose(found, shifts, atol=0.1)

    def test_a_slow_clip_never_falls_back(self) -> None:
        counts: dict[str, int] = {}
        list(clip_flow(clip([0.1 * t for t in range(8)], noise=2.0), TRACK, counts))
        assert counts == {"flow_fallbacks": 0}


class TestSmoothing:
    def test_noise_shrinks_and_a_steady_motion_stays(self) -> None:
        rng = np.random.default_rng(0)
        steady = [np.full((2, 5, 5), 0.2 * t, np.float32) for t in range(9)]
        noisy = [field + rng.normal(0, 0.02, field.shape).astype(np.float32) for field in steady]
        assert np.allclose(list(smoothed(steady)), steady, atol=1e-6)  # a one-sided mean would lag at both ends
        middle = slice(2, 7)
        left, before = (
            np.std(np.array(fields)[middle] - np.array(steady)[middle]) for fields in (list(smoothed(noisy)), noisy)
        )
        assert left < 0.75 * before

    @pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
    def test_as_many_come_out_in_order_and_the_ends_are_kept(self, n: int) -> None:
        fields = [np.full((2, 2, 2), float(t * t) / 50, np.float32) for t in range(n)]
        out = list(smoothed(fields))
        assert len(out) == n
        assert all(np.abs(a - b).max() < 0.1 for a, b in zip(out, fields, strict=True))
        if n:
            assert np.array_equal(out[0], fields[0]) and np.array_equal(out[-1], fields[-1])

    def test_a_sudden_change_is_hardly_moved(self) -> None:
        fields = [np.zeros((2, 2, 2), np.float32) for _ in range(7)]
        fields[3] += 3
        out = list(smoothed(fields))
        assert np.linalg.norm(np.array(out) - fields, axis=1).max() <= CALM / 2 + 1e-6
