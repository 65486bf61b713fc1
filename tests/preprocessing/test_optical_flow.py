from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing import optical_flow
from preprocessing.errors import EnvironmentProblemError, UsageError
from preprocessing.optical_flow import METHODS, FlowSettings, check_optflow, flow, flow_prepared, halve, prepare

SIDE = 128
REAL_METHODS = [name for name in METHODS if name != "zero"]
Field = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def noise_picture(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Band-limited noise (wavelengths 6 to 30 px) that is known between the pixels too; grey levels."""
    rng = np.random.default_rng(0)
    total = np.zeros(np.shape(x))
    for wavelength, angle, phase in zip(rng.uniform(6, 30, 40), *rng.uniform(0, 2 * np.pi, (2, 40)), strict=True):
        total += np.sin(2 * np.pi / wavelength * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return 128 + 9 * total


def pair(field: Field) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Two frames and the motion between them: what is at p in the first is at p + field(p) in the second."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    origin = np.stack([x, y], -1)
    for _ in range(20):
        origin = np.stack([x, y], -1) - field(origin[..., 0], origin[..., 1])
    frames = [np.clip(np.rint(noise_picture(*at)), 0, 255) for at in ((x, y), (origin[..., 0], origin[..., 1]))]
    return frames[0].astype(np.uint8), frames[1].astype(np.uint8), field(x, y)


def smooth(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Up to 0.8 px, as skin moves."""
    return np.stack([0.6 * np.sin(x / 13 + 0.5) * np.cos(y / 14), 0.5 * np.cos(x / 16)], -1)


def length(field: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.linalg.norm(field, axis=-1))


@pytest.mark.parametrize("method", REAL_METHODS)
def test_a_known_warp_is_recovered(method: str) -> None:
    first, second, truth = pair(smooth)
    assert length(truth).mean() > 0.4  # what zero flow scores
    error = length(flow(first, second, FlowSettings(method)) - truth)
    assert error.mean() < 0.15
    assert error[8:-8, 8:-8].max() < 0.5


def test_ours_is_the_closest_to_a_smooth_motion_and_the_default_next() -> None:
    first, second, truth = pair(smooth)
    errors = {method: length(flow(first, second, FlowSettings(method)) - truth).mean() for method in REAL_METHODS}
    assert sorted(errors, key=errors.__getitem__)[:2] == ["track", FlowSettings().method]
    assert min(errors.values()) < 0.06  # zero flow 0.42


def test_the_zero_method_is_zero() -> None:
    first, second, _ = pair(smooth)
    assert not flow(first, second, FlowSettings("zero")).any()


@pytest.mark.parametrize("method", REAL_METHODS)
def test_directions(method: str) -> None:
    """[..., 0] is to the right, [..., 1] is down."""
    for motion in ([0.7, 0.0], [0.0, 0.7]):
        first, second, _ = pair(lambda x, y, motion=motion: np.broadcast_to(motion, (*x.shape, 2)))
        middle = flow(first, second, FlowSettings(method))[32:-32, 32:-32].reshape(-1, 2)
        assert np.median(middle, axis=0) == pytest.approx(motion, abs=0.12)


@pytest.mark.parametrize("method", REAL_METHODS)
def test_a_mirrored_pair_has_u_negated(method: str) -> None:
    """Mirroring the field without changing the sign of u would score 0.35 and more."""
    first, second, _ = pair(smooth)
    settings = FlowSettings(method)
    field, mirrored = flow(first, second, settings), flow(first[:, ::-1].copy(), second[:, ::-1].copy(), settings)
    assert length(field[:, ::-1] - mirrored).mean() > 0.3
    assert length(field[:, ::-1] * [-1, 1] - mirrored).mean() < 0.03  # TV-L1 stops early and is not quite symmetric


# Farneback's polynomials are cut off at the border: 0.15 px on identical frames, 0.07 after the fit within windows
@pytest.mark.parametrize(("method", "limit"), [(name, 0.1 if name == "farneback" else 1e-3) for name in REAL_METHODS])
def test_identical_frames_do_not_move_up_to_the_border(method: str, limit: float) -> None:
    first, _, _ = pair(smooth)
    assert np.abs(flow(first, first, FlowSettings(method))).max() < limit


@pytest.mark.parametrize("method", REAL_METHODS)
def test_a_flat_picture_does_not_move(method: str) -> None:
    flat = np.full((SIDE, SIDE), 90, np.uint8)
    noisy = flat + np.random.default_rng(0).integers(0, 3, flat.shape, np.uint8)
    for settings in (FlowSettings(method), FlowSettings(method, prior=0)):
        field = flow(flat, flat, settings)
        assert np.isfinite(field).all()
        assert np.abs(field).max() < 1e-3
    assert length(flow(flat, noisy, FlowSettings(method))).mean() < 0.1


def test_sensor_noise_moves_less_with_smoothing() -> None:
    """A still patch of faint texture, as skin is, recorded twice."""
    rng = np.random.default_rng(0)
    skin = 110 + 0.08 * (pair(smooth)[0] - 128.0)
    first, second = (np.clip(np.rint(skin + rng.normal(0, 1.2, skin.shape)), 0, 255).astype(np.uint8) for _ in "ab")

    def seen(settings: FlowSettings) -> float:
        return float(length(flow(first, second, settings)).mean())

    plain = seen(FlowSettings("dis", window=0))
    for method in ("dis", "track"):
        assert seen(FlowSettings(method, window=6)) < seen(FlowSettings(method, window=2.5)) < plain
    assert seen(FlowSettings("dis", window=2.5, denoise=1)) < seen(FlowSettings("dis", window=2.5))


def test_the_prior_pulls_to_zero() -> None:
    first, second, _ = pair(smooth)
    sizes = [length(flow(first, second, FlowSettings("dis", prior=prior))).mean() for prior in (0, 0.3, 30, 3000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.5 * sizes[0]


@pytest.mark.parametrize("method", list(METHODS))
def test_the_same_frames_give_the_same_bytes(method: str) -> None:
    first, second, _ = pair(smooth)
    settings = FlowSettings(method)
    field = flow(first, second, settings)
    assert (field.shape, field.dtype) == ((SIDE, SIDE, 2), np.float32)
    flow(second, first, settings)  # solvers are kept, but keep nothing
    assert flow(first, second, settings).tobytes() == field.tobytes()
    reference = prepare(first, settings)
    for _ in range(2):
        assert flow_prepared(reference, prepare(second, settings), settings).tobytes() == field.tobytes()


def test_colour_counts_as_its_grey() -> None:
    first, second, _ = pair(smooth)
    colours = [np.repeat(frame[..., None], 3, -1) for frame in (first, second)]
    assert np.allclose(flow(*colours), flow(first, second), atol=1e-5)
    assert np.allclose(flow(first.astype(np.float32), second.astype(np.float32)), flow(first, second))


@pytest.mark.parametrize("shape", [(64, 64), (97, 131), (33, 200), (20, 20)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    first, second, truth = pair(smooth)
    rows, columns = (min(n, SIDE) for n in shape)
    found = flow(first[:rows, :columns], second[:rows, :columns])
    assert found.shape == (rows, columns, 2)
    assert length(found - truth[:rows, :columns]).mean() < 0.15


class TestHalve:
    def test_values_stay_px_of_the_full_grid(self) -> None:
        """Scaling them with the picture is right when the picture shrinks too; the grid alone does not."""
        field = np.broadcast_to(np.float32([1.5, -0.5]), (10, 12, 2)).copy()
        assert halve(field).shape == (5, 6, 2)
        assert np.allclose(halve(field), [1.5, -0.5])

    def test_a_cell_is_the_mean_of_its_four_pixels(self) -> None:
        field = np.random.default_rng(0).normal(size=(11, 8, 2)).astype(np.float32)
        cells = field[:10].reshape(5, 2, 4, 2, 2).mean(axis=(1, 3))
        assert np.allclose(halve(field), cells, atol=1e-6)


class TestArguments:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"denoise": -1.0}, "cannot be negative"),
            ({"window": -0.1}, "cannot be negative"),
            ({"prior": -1e-9}, "cannot be negative"),
            ({"method": "track", "window": 0.0}, "track needs one of 1 px or more"),
        ],
    )
    def test_settings_without_a_sense_are_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            FlowSettings(**values)

    def test_an_unknown_method_is_refused_with_the_choice(self) -> None:
        with pytest.raises(UsageError, match="flow method 'raft' is unknown: Choose one of track, dis, farneback"):
            FlowSettings("raft")

    def test_frames_of_two_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shapes \(8, 8\) and \(8, 9\)"):
            flow(np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8))

    def test_a_missing_optflow_names_the_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        check_optflow()
        monkeypatch.delattr(cv2, "optflow")
        for use in (check_optflow, lambda: flow(*pair(smooth)[:2], FlowSettings("tvl1"))):
            with pytest.raises(
                EnvironmentProblemError, match=r"pip uninstall -y opencv-python .* pip install opencv-con"
            ):
                use()
        assert flow(*pair(smooth)[:2]).any(), "the other methods do not need it"

    def test_inputs_are_not_changed(self) -> None:
        first, second, _ = pair(smooth)
        before = first.tobytes(), second.tobytes()
        for method in METHODS:
            flow(first, second, FlowSettings(method))
        optical_flow.prepare(first, FlowSettings(denoise=0)).grey[:] = 0
        assert (first.tobytes(), second.tobytes()) == before
