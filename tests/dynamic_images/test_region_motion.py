"""What moved, as numbers: size, direction, times, floors, on curves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.region_motion import as_row, features, measure, noise_floors
from dynamic_images.regions import REGIONS

R = len(REGIONS)
FPS = 200.0


def still(seed: int, frames: int = 60, sd: float = 0.03, wander: float = 0.01) -> NDArray[np.float64]:
    """A face at rest: noise of every frame against that of the onset, and skin that is never quite still."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sd, (frames, R, 2))
    curves = noise - noise[:1] + np.cumsum(rng.normal(0, wander, (frames, R, 2)), axis=0)
    curves[0] = 0
    return curves


def moving(seed: int, region: str, size: float, frames: int = 60, apex: int = 25) -> NDArray[np.float64]:
    """The same, and one region that goes out and up and comes back."""
    curves = still(seed, frames)
    course = np.interp(np.arange(frames), [0, 10, apex, 45, frames], [0, 0, 1, 0, 0])
    curves[:, REGIONS.index(region)] += size * course[:, None] * np.array([0.6, -0.8])
    return curves


@pytest.mark.parametrize("sd", [0.005, 0.03, 0.1])
@pytest.mark.parametrize("wander", [0.0, 0.01, 0.03])
def test_a_face_at_rest_stays_below_its_own_floor(sd: float, wander: float) -> None:
    clips = [measure(still(seed, sd=sd, wander=wander), FPS) for seed in range(30)]
    above = np.array([[one.above for one in clip] for clip in clips])
    assert above.mean() <= 0.02  # a floor of 0: all of them
    floors = [one.floor for clip in clips for one in clip if one.floor is not None]
    assert np.median(floors) < 5 * np.median([one.size for clip in clips for one in clip])


def test_a_movement_is_read_off() -> None:
    found = {one.region: one for one in measure(moving(1, "left mouth corner", 0.8), FPS)}
    corner = found["left mouth corner"]
    assert corner.above
    assert corner.size == pytest.approx(0.8, abs=0.1)
    assert corner.direction == "outwards and up"
    assert (corner.onset, corner.peak, corner.back) == pytest.approx((13, 25, 41), abs=3)
    assert corner.asymmetry == pytest.approx(0.7, abs=0.2)
    assert sum(one.above for one in found.values()) == 1


def test_the_same_motion_is_inwards_on_the_other_side() -> None:
    found = {one.region: one for one in measure(moving(1, "right mouth corner", 0.8), FPS)}
    assert found["right mouth corner"].direction == "inwards and up"


def test_too_few_frames_have_no_floor_and_nothing_stands_above_it() -> None:
    curves = moving(0, "left chin", 5.0)[:3]
    assert noise_floors(curves, FPS) is None
    assert not any(one.above for one in measure(curves, FPS))


def test_a_row_is_in_px_of_the_recording() -> None:
    one = next(o for o in measure(moving(1, "left mouth corner", 0.8), FPS) if o.region == "left mouth corner")
    row = as_row(one, FPS, eye_distance=80.0, enlarged=2.0)
    assert row["displacement_px"] == pytest.approx(one.size / 2, abs=1e-3)
    assert row["displacement_percent"] == pytest.approx(100 * one.size / 80, abs=1e-2)
    assert row["peak_ms"] == pytest.approx(one.peak * 5)
    assert as_row(one, None, 80.0, 2.0)["peak_ms"] is None


def test_features_mean_the_same_on_both_sides() -> None:
    left, right = np.zeros((4, R, 2)), np.zeros((4, R, 2))
    left[2, REGIONS.index("left nose")] = (0.5, -0.25)
    right[2, REGIONS.index("right nose")] = (-0.5, -0.25)
    one, other = (features(curves, 2, 50.0).reshape(2, R, 2)[0] for curves in (left, right))
    assert one[REGIONS.index("left nose")] == pytest.approx([1.0, -0.5])
    assert one[REGIONS.index("left nose")] == pytest.approx(other[REGIONS.index("right nose")])
