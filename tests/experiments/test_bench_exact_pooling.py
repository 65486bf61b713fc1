"""What the table on exact rank pooling says of a clip whose answer is known."""

from __future__ import annotations

import numpy as np

from experiments.bench.exact_pooling import FORMS, cosine, rank_accuracy


def test_the_numbers_of_each_form() -> None:
    rng = np.random.default_rng(0)
    picture, change = rng.uniform(60, 200, (16, 16, 3)), rng.normal(0, 6, (16, 16, 3))
    rise = np.sin(np.linspace(0, np.pi, 20))[:, None, None, None]
    frames = np.rint(picture + rise * change + rng.normal(0, 1, (20, 16, 16, 3))).astype(np.uint8)
    mean = frames.mean(axis=0)
    images = {name: form(frames) for name, form in FORMS.items()}
    to_mean = {name: cosine(image, mean) for name, image in images.items()}
    assert to_mean["exact, as published"] > 0.9 and to_mean["the mean face"] > 0.999
    assert max(abs(to_mean[name]) for name in images if "centred" in name or "harmonic" in name) < 0.1
    order = {name: rank_accuracy(image, frames) for name, image in images.items()}
    assert order["exact, without roots and lengths"] == order["exact, without roots and lengths, centred"] == 100
    assert rank_accuracy(-images["exact, without roots and lengths"], frames) == 0
    assert cosine(mean, -mean) == -1
