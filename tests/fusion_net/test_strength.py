"""How strongly a clip moves: measured inside the face, whatever moves behind it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from dynamic_images.clip_input import Kind
from fusion_net.inputs import ClipTensors, strength, subset

SHAPES: dict[Kind, tuple[int, ...]] = {"image": (3, 12, 12), "flow": (2, 2, 12, 12), "frames": (4, 1, 12, 12)}


def clips(x: Tensor, kind: Kind, faces: Tensor | None) -> ClipTensors:
    ids = tuple(f"toy/s/c{i}" for i in range(len(x)))
    return ClipTensors(
        ids, ("toy/s",) * len(x), torch.zeros(len(x), dtype=torch.int64), ("a",), {"x": x}, {"x": kind}, faces=faces
    )


@pytest.fixture
def faces() -> Tensor:
    """A face in the middle third, with a softer edge."""
    faces = torch.zeros(2, 12, 12)
    faces[:, 3:9, 3:9], faces[:, 4:8, 4:8] = 0.5, 1.0
    return faces


@pytest.mark.parametrize("kind", SHAPES)
def test_a_background_does_not_count(kind: Kind, faces: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *SHAPES[kind], generator=generator)
    loud = x + 50 * torch.randn(x.shape, generator=generator) * (faces == 0).view(2, *[1] * (x.ndim - 3), 12, 12)
    torch.testing.assert_close(strength(clips(loud, kind, faces), "x"), strength(clips(x, kind, faces), "x"))
    assert (strength(clips(loud, kind, None), "x") > 10 * strength(clips(x, kind, None), "x")).all(), "the whole crop"


def test_by_hand(faces: Tensor) -> None:
    x = torch.full((2, 3, 12, 12), 2.0)
    x[1, :, faces[1] < 1] = 5.0
    weight = faces[1].double()
    wanted = float(((weight * (4.0 * (weight == 1) + 25.0 * (weight < 1))).sum() / weight.sum()).sqrt())
    assert strength(clips(x, "image", faces), "x").tolist() == pytest.approx([2.0, wanted])


def test_what_has_no_place_in_the_picture_counts_as_a_whole(faces: Tensor) -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert strength(clips(x, "features", faces), "x").tolist() == pytest.approx([12.5**0.5, 0])


def test_faces_stay_with_their_clips(faces: Tensor) -> None:
    faces[1] *= 0.5
    data = clips(torch.ones(2, 3, 12, 12), "image", faces)
    chosen = subset(data, [1])
    assert chosen.faces is not None and torch.equal(chosen.faces[0], faces[1])
    with pytest.raises(ValueError, match="differ in their number of clips"):
        dataclasses.replace(data, faces=faces[:1])
