"""The noise floor of a clip covers what a still face shows and is not moved by an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dynamic_images.motion_intensity import STATISTICS, intensity_curve
from dynamic_images.noise_floor import noise_floor, noise_notes, shared_motion
from dynamic_images.pipeline import StageSettings, build_clip
from preprocessing.clips import Clip
from preprocessing.video import VideoFile

GRID, T = 40, 30
Y, X = np.mgrid[:GRID, :GRID]
MASK = np.hypot(X - 19.5, Y - 19.5) < 17
CURVE = np.sin(np.linspace(0, np.pi, T)) ** 2  # comes and goes


def noise(seed: int, level: float = 0.1, frames: int = T) -> NDArray[np.float64]:
    """Flow onset → t of a face at rest: the noise of two frames, smooth in space as flow is, new in every frame."""
    rng = np.random.default_rng(seed)
    each = gaussian_filter(rng.normal(0, level, (frames, GRID, GRID, 2)), (0, 2, 2, 0)) * 1.5
    return each - each[0]


def local(peak: float) -> NDArray[np.float64]:
    """An expression: a corner of the mouth moves up by up to ``peak`` px."""
    bump = np.exp(-((X - 28) ** 2 + (Y - 28) ** 2) / (2 * 4**2))
    return CURVE[:, None, None, None] * bump[..., None] * (0, -peak)


def peak(flows: NDArray[np.floating], statistic: str = "top_decile") -> float:
    return float(intensity_curve(flows, MASK, statistic).max())


@pytest.mark.parametrize("statistic", STATISTICS)
def test_it_covers_a_face_at_rest_without_being_out_of_reach(statistic: str) -> None:
    ratios = np.array([noise_floor(f, MASK, statistic) / peak(f, statistic) for f in map(noise, range(20))])
    assert (ratios >= 1).mean() >= 0.95 and ratios.max() < 3
    assert np.isclose(noise_floor(noise(0, 0.4), MASK), 4 * noise_floor(noise(0), MASK)), "it follows the noise"


def test_an_expression_does_not_raise_it() -> None:
    still = noise_floor(noise(1), MASK)
    for size in (0.5, 1.0, 3.0):
        moving = noise(1) + local(size)
        floor = noise_floor(moving, MASK)
        assert floor == pytest.approx(still, rel=0.25)
        assert peak(moving) > 1.3 * floor
    # what a share of the curve would say: its lower quartile grows with the expression
    assert np.percentile(intensity_curve(noise(1) + local(3.0), MASK), 25) > 2 * np.percentile(
        intensity_curve(noise(1), MASK), 25
    )


def test_what_the_whole_face_does_together_raises_it() -> None:
    place = np.stack([X, Y], axis=-1) - 19.5
    head = CURVE[:, None, None, None] * (0.3 + 0.02 * place[..., ::-1] * (1, -1))
    flows = noise(2) + head
    assert noise_floor(flows, MASK) > peak(flows), "motion that alignment left over is no expression"
    assert noise_floor(flows, MASK) > noise_floor(noise(2), MASK) + 0.9 * peak(head)
    both = (head + local(2.0))[T // 2]
    np.testing.assert_allclose(shared_motion(both, MASK), head[T // 2][MASK], atol=0.02)
    assert np.abs(both[MASK] - head[T // 2][MASK]).max() > 1, "a mean over the face would take its part of it"


def test_steady_motion_has_no_jitter() -> None:
    steady = np.arange(T)[:, None, None, None] * local(0.5)[T // 2]
    assert noise_floor(steady, MASK) < 0.02 * peak(steady)


def test_repeated_frames_do_not_hide_the_noise() -> None:
    flows = noise(3)
    stored = np.repeat(flows, 4, axis=0)  # 30 fps stored as 120
    assert noise_floor(stored, MASK) == pytest.approx(noise_floor(flows, MASK))


def test_too_few_frames_have_none() -> None:
    assert noise_floor(noise(4, frames=3), MASK) is None
    assert noise_floor(noise(4, frames=4), MASK) is not None
    assert noise_floor(np.repeat(noise(4, frames=2), 8, axis=0), MASK) is None


@pytest.mark.parametrize(
    "row", [{}, {"peak_intensity": 0.3}, {"peak_intensity": 0.3, "noise_floor": float("nan")}, {"noise_floor": 0.1}]
)
def test_no_remark_where_nothing_is_known(row: dict[str, Any]) -> None:
    assert noise_notes(row) == []


def test_the_remark_names_both_numbers() -> None:
    assert noise_notes({"peak_intensity": 0.31, "noise_floor": 0.3}) == []
    (note,) = noise_notes({"peak_intensity": 0.3, "noise_floor": 0.3})
    assert note == "does not stand above this clip's own noise: intensity 0.30 px, a face at rest up to 0.30 px"


REST = (
    ("grid/bbaf2n.mpg", 0, 8),
    ("grid/bbaf2n.mpg", 66, 74),
    ("grid/brbk7n.mpg", 0, 9),
    ("grid/brbk7n.mpg", 64, 74),
    ("grid/id2_vcd_swwp2s.mpg", 64, 74),
    ("grid/pwij3p.mpg", 64, 74),
    ("pyfeat/single_face.mp4", 0, 15),
    ("intel/head-pose-face-detection-male.gif", 0, 8),
    ("intel/head-pose-face-detection-male.gif", 40, 59),
)
"""First and last frames of pieces in which a person is silent and shows nothing, as seen by eye."""


@pytest.mark.slow
def test_people_at_rest_do_not_stand_above_their_own_noise(real_clips: Path, tmp_path: Path) -> None:
    seen = {}
    for name, first, last in REST:
        clip = Clip(
            f"videos/{first}/{Path(name).stem}", f"videos/{first}", VideoFile(real_clips / name), first, None, last
        )
        row = build_clip(clip, tmp_path, StageSettings())
        assert row["status"] == "ok"
        seen[name, first] = (row["peak_intensity"], row["noise_floor"])
    print(
        "\n".join(f"{name} from {first}: {peak} px, floor {floor} px" for (name, first), (peak, floor) in seen.items())
    )
    below = [peak <= floor for peak, floor in seen.values()]
    # measured 6 of 9, one of the others by 0.001 px; in single_face the brows rise and the head turns a little
    assert sum(below) >= 5  # half the floor covers none
    assert all(floor < 3 * peak for peak, floor in seen.values()), "a floor of a few pixels would cover all of them"
