from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynamic_images.rank_pooling import WEIGHTS, grey_level_scale, linear_weights, pool
from fusion_net.models.fdp.ranking import pairwise_rank_loss, pooling_weights, rank_pooled


def frames(batch: int = 3, count: int = 8, side: int = 6) -> torch.Tensor:
    return torch.rand(batch, count, 1, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class TestLoss:
    def test_it_falls_from_the_wrong_order_over_no_order_to_the_right_one(self) -> None:
        right = torch.arange(8.0).expand(2, 8)
        assert pairwise_rank_loss(torch.zeros(2, 8)) == pytest.approx(math.log(2))
        assert pairwise_rank_loss(right) < 0.2 < math.log(2) < 2 < pairwise_rank_loss(-right)

    def test_every_pair_counts_and_only_differences_do(self) -> None:
        scores = torch.tensor([[0.3, -1.0, 2.0]])
        by_hand = np.mean([math.log1p(math.exp(a - b)) for a, b in ((0.3, -1.0), (0.3, 2.0), (-1.0, 2.0))])
        assert pairwise_rank_loss(scores) == pytest.approx(by_hand)
        assert pairwise_rank_loss(scores + 5) == pytest.approx(by_hand, abs=1e-6)


class TestPoolingWeights:
    @pytest.mark.parametrize(("pooling", "total"), [("softmax", 1.0), ("uniform", 1.0), ("rank", 0.0)])
    def test_they_sum_to_one_or_to_zero(self, pooling: str, total: float) -> None:
        scores = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
        assert pooling_weights(scores, pooling).sum(dim=1).tolist() == pytest.approx([total] * 4, abs=1e-6)  # type: ignore[arg-type]

    def test_scores_far_apart_give_linear_rank_pooling(self) -> None:
        order = torch.tensor([3, 0, 5, 1, 7, 2, 6, 4])
        weights = pooling_weights(50.0 * order[None], "rank")[0]
        linear = linear_weights(8)
        torch.testing.assert_close(weights.double(), torch.tensor(linear / grey_level_scale(linear))[order])

    def test_equal_scores_prefer_no_frame(self) -> None:
        assert pooling_weights(torch.ones(1, 4), "softmax").tolist() == [[0.25] * 4]
        assert pooling_weights(torch.ones(1, 4), "rank").tolist() == [[0.0] * 4]


class TestTarget:
    @pytest.mark.parametrize("rule", list(WEIGHTS))
    @pytest.mark.parametrize("encoding", ["fixed", "minmax"])
    @pytest.mark.parametrize("count", [2, 5, 8])
    def test_it_is_the_image_that_the_offline_stage_would_pool(self, rule: str, encoding: str, count: int) -> None:
        clips = frames(count=count)
        target = rank_pooled(clips, rule, encoding)  # type: ignore[arg-type]
        for clip, image in zip(clips.numpy(), target.numpy(), strict=True):
            pooled = pool(clip, WEIGHTS[rule](count))
            if encoding == "minmax":
                pooled = (pooled - pooled.min()) / np.ptp(pooled)
            np.testing.assert_allclose(image, pooled, atol=1e-5)

    @pytest.mark.parametrize("encoding", ["fixed", "minmax"])
    def test_a_still_clip_has_a_still_target(self, encoding: str) -> None:
        """Also at 255 grey levels: not even rounding is left, which ``minmax`` would stretch to a picture."""
        still = 255 * frames()[:, :1].expand(-1, 8, -1, -1, -1)
        assert rank_pooled(still.float(), encoding=encoding).abs().max() == 0  # type: ignore[arg-type]
        assert rank_pooled(torch.zeros(1, 8, 1, 4, 4), encoding=encoding).abs().max() == 0  # type: ignore[arg-type]
