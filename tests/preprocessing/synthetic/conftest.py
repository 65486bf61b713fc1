"""A drawn portrait as a person whose pixels are painted into."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preprocessing.synthetic.corpus import sitter
from preprocessing.synthetic.sitters import Sitter

SIZE = (240, 180)


def _drawn_rest(frames: int, noise: float = 2.0, seed: int = 0) -> Sitter:
    """A drawn portrait as a recording of a face at rest: ``frames`` times the same picture with new noise."""
    who, portrait = sitter(0, 0, SIZE)
    neutral = np.asarray(portrait.albedo, np.float32)
    picture = neutral.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, noise, (frames, SIZE[1], SIZE[0], 1))
    made = tuple(np.clip(np.rint(picture + g), 0, 255).astype(np.uint8) for g in grain)
    return Sitter("drawn", made, 100.0, who.landmarks(), np.tile(np.eye(2, 3), (frames, 1, 1)))


@pytest.fixture(scope="session")
def drawn_rest() -> Callable[..., Sitter]:
    """``drawn_rest(frames, noise=2.0, seed=0)``."""
    return _drawn_rest
