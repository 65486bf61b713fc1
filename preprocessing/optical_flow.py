"""Dense optical flow between two frames, or from the first frame of a clip to all, by a method chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, islice
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import EnvironmentProblemError
from preprocessing.onset_flow import OnsetFlow, smoothed
from preprocessing.registry import Registry

Flow = NDArray[np.float32]
"""(H, W, 2) float32 px; [..., 0] = +x right, [..., 1] = +y down; at a pixel of the first frame."""

TRACK = "track"
DIS_PRIOR = 0.2
NOISE_VARIANCES = 7.5  # what a prior of 1 is to `track`

STRONG_EDGE = 15.0  # grey levels / px
DERIVATIVE = (
    np.array([1, -8, 0, 8, -1], np.float32) / 12
)  # exact to fourth order; a Sobel filter blurs skin texture away


@dataclass(frozen=True)
class FlowSettings:
    """How flow is measured.

    Attributes:
        method: ``dis`` (Kroeger et al., ECCV 2016, arXiv 1603.03590, refined down to the full resolution),
            ``farneback`` (SCIA 2003), ``tvl1`` (Zach et al., DAGM 2007), each as OpenCV has it; ``track`` (ours, see
            `onset_flow`: faster, for clips whose frames come in order); ``zero`` is the baseline that tables show
            beside them; or a method of an installed package.
        denoise: sd in px of the Gaussian that both frames are smoothed with first. 0 leaves them.
        window: sd in px of the Gaussian neighbourhood that moves as one: of `track` its narrow one; fields of the
            other methods are fitted again within it, see `_refit`, and 0 leaves them as their method made them.
            Larger is calmer and blurrier.
        prior: pull of that fit, of ``track`` towards what a wider window says, of the others towards no motion: where
            the picture is flat, flow is a guess. In (grey levels / px)² of gradient energy; for ``track`` in units of
            `NOISE_VARIANCES` times the variance of the noise. Larger is calmer and biased low.
    """

    method: str = "dis"
    denoise: float = 0.0
    window: float = 3.0
    prior: float = 0.2

    def __post_init__(self) -> None:
        METHODS.find(self.method)
        if min(self.denoise, self.window, self.prior) < 0:
            raise ValueError("flow: denoise, window and prior cannot be negative")
        if self.method == TRACK and self.window < 1:
            raise ValueError(f"flow: window is {self.window} px; {TRACK} needs one of 1 px or more")


@dataclass(frozen=True)
class Prepared:
    """A frame as the solvers take it, with what can be computed once for a reference frame."""

    grey: NDArray[np.float32]
    """(H, W) float32, smoothed."""

    @cached_property
    def grey8(self) -> NDArray[np.uint8]:
        """(H, W) uint8, for OpenCV's solvers."""
        return np.ascontiguousarray(np.clip(np.rint(self.grey), 0, 255), np.uint8)

    @cached_property
    def gradients(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """d/dx, d/dy (grey levels / px) and a weight that keeps one strong edge from outvoting its window."""
        dx = cv2.filter2D(self.grey, cv2.CV_32F, DERIVATIVE[None, :])
        dy = cv2.filter2D(self.grey, cv2.CV_32F, DERIVATIVE[:, None])
        weight = 1 / (1 + (dx * dx + dy * dy) / STRONG_EDGE**2)
        return np.asarray(dx, np.float32), np.asarray(dy, np.float32), np.asarray(weight, np.float32)


def flow(first: NDArray[Any], second: NDArray[Any], settings: FlowSettings | None = None) -> Flow:
    """Motion of every pixel of ``first`` to where it is in ``second``.

    Args:
        first: (H, W) or (H, W, 3) RGB, uint8 or float32 in grey levels 0..255.
        second: the same shape.
        settings: method and smoothing.

    Returns:
        (H, W, 2) float32 px.

    Raises:
        ValueError: shapes differ.
    """
    settings = settings or FlowSettings()
    if first.shape != second.shape:
        raise ValueError(f"flow between frames of shapes {first.shape} and {second.shape}: they must be equal")
    return flow_prepared(prepare(first, settings), prepare(second, settings), settings)


def prepare(frame: NDArray[Any], settings: FlowSettings) -> Prepared:
    """Grey and smoothed, (H, W[, 3]) → (H, W). Prepare a reference frame once, use it for all others."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
    grey = grey.astype(np.float32)
    if settings.denoise > 0:
        grey = cv2.GaussianBlur(grey, (0, 0), settings.denoise, borderType=cv2.BORDER_REFLECT)
    return Prepared(np.asarray(grey, np.float32))


def flow_prepared(first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
    """`flow` on frames that went through `prepare`."""
    return METHODS[settings.method](first, second, settings)


def clip_flow(
    frames: Iterable[NDArray[Any]], settings: FlowSettings | None = None, counts: dict[str, int] | None = None
) -> Iterator[Flow]:
    """Motion from the first frame of a clip to each of its frames, in order.

    Args:
        frames: T of them, each (H, W) or (H, W, 3) RGB; read once. A method that sees them in order may be two frames
            ahead of what it yields.
        settings: method and smoothing.
        counts: filled when the last frame is done, with what the method counts: ``flow_fallbacks``, the frames for
            which it was not used because it was lost. Methods for pairs count nothing.

    Yields:
        T fields (H // 2, W // 2, 2) float32 px on the half grid, see `halve`; the first is zero.
    """
    settings = settings or FlowSettings()
    prepared = (prepare(frame, settings) for frame in frames)
    first = next(prepared, None)
    if first is None:
        return
    yield np.zeros((first.grey.shape[0] // 2, first.grey.shape[1] // 2, 2), np.float32)
    method = METHODS[settings.method]
    if isinstance(method, InOrder):
        yield from method.in_order(first, prepared, settings, {} if counts is None else counts)
    else:
        yield from (halve(method(first, frame, settings)) for frame in prepared)


def flow_to(frames: Iterable[NDArray[Any]], at: int, settings: FlowSettings | None = None) -> Flow:
    """What `clip_flow` yields for frame ``at``, without work that is not needed for it. (H // 2, W // 2, 2) px.

    Raises:
        ValueError: there are not so many frames.
    """
    settings = settings or FlowSettings()
    if isinstance(METHODS[settings.method], InOrder):
        needed, place = islice(frames, at + 3), at
    else:
        needed, place = islice(frames, 0, at + 1, max(1, at)), min(at, 1)
    field = next(islice(clip_flow(needed, settings), place, None), None)
    if field is None:
        raise ValueError(f"flow to frame {at} of a clip that has fewer frames")
    return field


def halve(field: Flow) -> Flow:
    """Mean over 2 × 2 pixels; values stay px of the full grid. (H, W, 2) → (H // 2, W // 2, 2)."""
    h, w = field.shape[0] // 2, field.shape[1] // 2
    return np.asarray(cv2.resize(field[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA), np.float32)


def check_optflow() -> None:
    """Raise `EnvironmentProblemError` with the cure if OpenCV's contrib modules are missing."""
    if not hasattr(cv2, "optflow"):
        raise EnvironmentProblemError(
            f"OpenCV {cv2.__version__} has no cv2.optflow: a second OpenCV wheel has replaced the contrib one. Cure: "
            "pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python "
            "opencv-contrib-python-headless && pip install opencv-contrib-python-headless"
        )


def _refit(first: Prepared, field: NDArray[Any], settings: FlowSettings) -> Flow:
    """Fit a field again as one motion per Gaussian window, each pixel counting as much as its gradients can tell.

    Ours, by the normal equations of Lucas & Kanade (IJCAI 1981) with the zero-motion prior of Simoncelli, Adelson &
    Heeger (CVPR 1991, doi 10.1109/CVPR.1991.139707), solved for ``gradient · motion = gradient · field``: a skin fold
    vouches for the motion across it and not along it, and a flat cheek for none. A plain blur would count them alike.
    """
    field = np.asarray(field, np.float32)
    if settings.window == 0:
        return field
    dx, dy, weight = first.gradients
    along = dx * field[..., 0] + dy * field[..., 1]
    xx, xy, yy, xf, yf = (
        np.asarray(cv2.GaussianBlur(weight * term, (0, 0), settings.window, borderType=cv2.BORDER_REFLECT))
        for term in (dx * dx, dx * dy, dy * dy, dx * along, dy * along)
    )
    xx, yy = xx + settings.prior, yy + settings.prior
    determinant = np.maximum(xx * yy - xy * xy, 1e-12)  # prior 0 on a flat picture: 0 / tiny is 0
    return np.asarray(np.stack([(yy * xf - xy * yf) / determinant, (xx * yf - xy * xf) / determinant], -1), np.float32)


def _dis(first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
    return _refit(first, _dis_solver().calc(first.grey8, second.grey8, np.empty(0)), settings)


def _farneback(first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
    start = np.zeros((*first.grey.shape, 2), np.float32)
    field = cv2.calcOpticalFlowFarneback(first.grey8, second.grey8, start, 0.5, 3, 15, 5, 7, 1.5, 0)
    return _refit(first, field, settings)


def _tvl1(first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
    check_optflow()
    start = np.zeros((*first.grey.shape, 2), np.float32)
    return _refit(first, _tvl1_solver().calc(first.grey8, second.grey8, start), settings)


@runtime_checkable
class InOrder(Protocol):
    """A method that is better or faster if it sees the frames of a clip in order; a plain function sees pairs."""

    def __call__(self, first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
        """Motion of every pixel of ``first`` where nothing is between the two. (H, W, 2) px."""

    def in_order(
        self, first: Prepared, frames: Iterable[Prepared], settings: FlowSettings, counts: dict[str, int]
    ) -> Iterator[Flow]:
        """Motion from ``first`` to each of ``frames`` on the half grid; ``counts`` is filled at the end."""


class _Track:
    def __call__(self, first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
        field = self._follower(first, settings)(second.grey)
        height, width = first.grey.shape
        # odd sides: the last row or column has no cell and takes the one beside it
        whole = [cv2.resize(part, (width // 2 * 2, height // 2 * 2), interpolation=cv2.INTER_LINEAR) for part in field]
        return np.asarray(np.pad(np.stack(whole, -1), ((0, height % 2), (0, width % 2), (0, 0)), "edge"), np.float32)

    def in_order(
        self, first: Prepared, frames: Iterable[Prepared], settings: FlowSettings, counts: dict[str, int]
    ) -> Iterator[Flow]:
        follow = self._follower(first, settings)
        start = np.zeros((2, first.grey.shape[0] // 2, first.grey.shape[1] // 2), np.float32)
        fields = smoothed(chain([start], (follow(frame.grey) for frame in frames)))
        next(fields)  # the first frame itself
        yield from (np.ascontiguousarray(np.moveaxis(field, 0, -1)) for field in fields)
        counts["flow_fallbacks"] = follow.fallbacks

    def _follower(self, first: Prepared, settings: FlowSettings) -> OnsetFlow:
        other = replace(settings, method="dis", prior=DIS_PRIOR)
        return OnsetFlow(
            first.grey,
            settings.window,
            NOISE_VARIANCES * settings.prior,
            lambda grey: halve(_dis(first, Prepared(grey), other)),
        )


def _zero(first: Prepared, second: Prepared, settings: FlowSettings) -> Flow:
    return np.zeros((*first.grey.shape, 2), np.float32)


@cache
def _dis_solver() -> cv2.DISOpticalFlow:
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setFinestScale(0)  # the presets stop at half resolution or coarser, where sub-pixel motion is lost
    # fewer patches and steps than the preset: as accurate on motions of a pixel, and a third faster
    solver.setPatchStride(4)
    solver.setGradientDescentIterations(12)
    return solver


@cache
def _tvl1_solver() -> Any:
    return cv2.optflow.createOptFlow_DualTVL1()


METHODS: Registry[Callable[[Prepared, Prepared, FlowSettings], Flow]] = Registry(
    "mer.flow", "flow method", {TRACK: _Track(), "dis": _dis, "farneback": _farneback, "tvl1": _tvl1, "zero": _zero}
)
"""Name → method: two prepared frames of one shape and the settings → flow, or an `InOrder`. Packages add theirs."""
