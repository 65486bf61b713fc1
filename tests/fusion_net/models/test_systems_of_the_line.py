"""What makes each of the further systems what it is; `test_models` holds them to what every model must do."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from fusion_net.attention import CrossAttention, evenness, places
from fusion_net.losses import soft_cross_entropy, soft_focal_loss
from fusion_net.models import MODELS, Model, build_model
from fusion_net.models.dianet import Fusion
from fusion_net.models.skd_tstsan import Magnify, shifted

CLASSES = ("negative", "positive", "surprise")


def made(name: str, **changes: Any) -> Model:
    return build_model(MODELS[name].Settings(**changes), CLASSES, 0).eval()


def noise(model: Model, size: int, count: int = 2, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {one.name: torch.randn(count, *one.shape(size), generator=random) for one in model.inputs}


def parameters(model: Model) -> int:
    return sum(p.numel() for p in model.parameters())


class TestAttention:
    def test_rows_sum_to_one_and_forbidden_places_get_nothing(self) -> None:
        x = torch.randn(2, 6, 8)
        allowed = torch.ones(6, 6, dtype=torch.bool).tril()
        _, weights = CrossAttention(8, 2)(x, x, places(2, 3, 8, x), allowed)
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 6))
        assert float(weights[:, ~allowed].detach().max()) == 0

    def test_evenness_is_one_for_a_mean_and_zero_for_a_choice(self) -> None:
        torch.testing.assert_close(evenness(torch.full((1, 3, 5), 0.2)), torch.ones(1))
        torch.testing.assert_close(evenness(torch.eye(5)[None]), torch.zeros(1), atol=1e-6, rtol=0)

    def test_places_differ(self) -> None:
        found = places(5, 7, 16, torch.zeros(1))
        assert found.shape == (35, 16)
        assert float(torch.cdist(found, found).fill_diagonal_(9).min()) > 0.1


class TestDIANet:
    def test_fusions_have_the_same_size_within_a_twentieth(self) -> None:
        sizes = [parameters(made("dianet", fusion=fusion)) for fusion in get_args(Fusion)]
        assert max(sizes) / min(sizes) < 1.05, sizes

    def test_phases_and_their_weights_can_be_exchanged(self) -> None:
        """Streams are alike: what belongs to a stream moves with its input, and the answer stays."""
        model, other = made("dianet"), made("dianet")
        rise, fall = (one.name for one in model.inputs)
        swapped = {}
        for key, value in model.state_dict().items():
            parts = key.split(".")
            parts = [{rise: fall, fall: rise}.get(part, part) for part in parts]
            swapped[".".join(parts)] = value
        half = model.classifier.weight.shape[1] // 2  # type: ignore[union-attr, operator]
        swapped["classifier.weight"] = swapped["classifier.weight"].roll(int(half), dims=1)  # type: ignore[arg-type]
        other.load_state_dict(swapped)
        batch = noise(model, 32)
        turned = {rise: batch[fall], fall: batch[rise]}
        torch.testing.assert_close(other(turned).logits, model(batch).logits, atol=1e-5, rtol=1e-5)

    def test_a_clip_without_a_fall_is_answered(self) -> None:
        """Where the apex is the last frame, the image of the fall is zero."""
        model = made("dianet")
        batch = noise(model, 32) | {"apex_to_offset": torch.zeros(2, 3, 32, 32)}
        logits = model(batch).logits
        assert torch.isfinite(logits).all() and float((logits[0] - logits[1]).abs().max().detach()) > 0


class TestFMANet:
    def test_the_mask_opens_with_motion(self) -> None:
        """Three times the flow raises what passes by more than three times; without modulation it would not."""
        model = made("fmanet")
        flow = noise(model, 32)["phase_flow"]
        found: dict[bool, list[float]] = {True: [], False: []}
        for modulation in found:
            one = made("fmanet", modulation=modulation)
            for gain in (0.1, 1.0):
                size = (gain * flow).square().sum(dim=2, keepdim=True).add(1e-8).sqrt()
                fused, _ = one._fused(gain * flow, size)  # type: ignore[operator]
                found[modulation].append(float(fused.detach().abs().mean()))
        assert found[True][1] / found[True][0] > 1.2 * found[False][1] / found[False][0]

    def test_extremes_per_phase_make_noise_as_large_as_motion(self) -> None:
        """The scaling of the paper: a phase ten times weaker gives the same answer, which ours tells apart."""
        flow = noise(made("fmanet"), 32)["phase_flow"]
        weak = flow * torch.tensor([1.0, 0.1])[None, :, None, None, None]
        changes = {"picture": "mm_cof", "fusion": "mean", "modulation": False}
        theirs, ours = (made("fmanet", minmax=minmax, **changes) for minmax in (True, False))
        moved = [
            float((m({"phase_flow": flow}).logits - m({"phase_flow": weak}).logits).abs().max()) for m in (theirs, ours)
        ]
        assert moved[0] < 0.05 * moved[1], moved

    def test_nothing_moves(self) -> None:
        model = made("fmanet")
        output = model({"phase_flow": torch.zeros(1, 2, 2, 32, 32, requires_grad=True)})
        output.logits.sum().backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


class TestSKD:
    def test_the_shift_moves_its_eighths_and_nothing_else(self) -> None:
        rise, fall = torch.arange(16.0).view(1, 16, 1, 1) + 1, -torch.arange(16.0).view(1, 16, 1, 1) - 1
        moved = shifted(torch.cat([rise, fall]))[:, :, 0, 0]
        assert moved[0].tolist() == [-1, -2, 0, 0, *range(5, 17)]
        assert moved[1].tolist() == [0, 0, 3, 4, *range(-5, -17, -1)]

    def test_without_magnification_the_onset_says_nothing(self) -> None:
        for amplify, tells in ((0.0, False), (2.0, True)):
            model = made("skd_tstsan", amplify=amplify)
            batch = noise(model, 48)
            other = {**batch, "key_frames": batch["key_frames"].clone()}
            other["key_frames"][:, 0] += 1
            assert bool((model(batch).logits - model(other).logits).abs().max() > 1e-6) == tells

    def test_a_difference_of_nothing_is_not_magnified(self) -> None:
        still = Magnify(1, 8, 50.0)
        x = torch.randn(1, 1, 16, 16)
        torch.testing.assert_close(still(x, x), Magnify.forward(still, x, x))
        apart = still(x, x) - still.encode(x)
        torch.testing.assert_close(apart, still.after(torch.zeros(1, 8, 8, 8)))  # type: ignore[misc]

    def test_the_teacher_learns_nothing_from_its_pupils(self) -> None:
        model = made("skd_tstsan")
        batch = noise(model, 48) | {"target": torch.eye(3)[:2], "weight": torch.ones(2)}
        parts = model.loss(model(batch), batch)
        (parts["distil"] + parts["feature"]).backward()
        assert model.classifier.weight.grad is None  # type: ignore[union-attr]
        assert float(parts["distil"]) >= 0

    def test_a_still_clip(self) -> None:
        model = made("skd_tstsan")
        batch = {one.name: torch.zeros(1, *one.shape(48)) for one in model.inputs}
        output = model(batch | {"target": torch.eye(3)[:1], "weight": torch.ones(1)})
        assert torch.isfinite(output.logits).all()


class TestSmallNetworks:
    def test_time_has_one_direction(self) -> None:
        """With the fall changed, the rise's part of the attention stays; without the rule it does not."""
        for causal in (True, False):
            model = made("causalnet", causal=causal)
            seen: list[Tensor] = []
            model.attend[-1].register_forward_hook(lambda _, __, out, seen=seen: seen.append(out[0]))  # type: ignore
            batch = noise(model, 28)
            changed = {"phase_flow": batch["phase_flow"].clone()}
            changed["phase_flow"][:, 1] *= -1  # the size of the motion, and so the weights of places, may stay
            model.where = None  # type: ignore[assignment]
            model(batch), model(changed)
            half = seen[0].shape[1] // 2
            assert torch.equal(seen[0][:, :half], seen[1][:, :half]) == causal

    def test_quarters_do_not_see_each_other_before_they_are_joined(self) -> None:
        model = made("htnet", local=2)
        seen: list[Tensor] = []
        model.local[-1].register_forward_hook(lambda _, __, out: seen.append(out))  # type: ignore[union-attr, index]
        x = noise(model, 32, count=1)["apex_strain"]
        x[..., 14:18] = 0
        other = x.clone()
        other[..., 20:] += 1  # the right half of the crop
        model.embed.norm = torch.nn.Identity()  # type: ignore[union-attr]  the normalisation sees the whole map
        model({"apex_strain": x}), model({"apex_strain": other})
        left, right = (
            (seen[0] - seen[1]).abs().amax(dim=(1, 2))[[0, 2]],
            (seen[0] - seen[1]).abs().amax(dim=(1, 2))[[1, 3]],
        )
        assert float(left.max()) == 0 < float(right.min())

    @pytest.mark.parametrize(("name", "count"), [("ststnet", 1683), ("off_apexnet", 2664475)])
    def test_they_are_as_small_as_published(self, name: str, count: int) -> None:
        """STSTNet: (27 + 1) * 16 weights, 16 * 2 of the normalisation, 400 * 3 + 3 of the last layer."""
        assert parameters(made(name)) == count


def test_focal_loss_is_the_cross_entropy_at_gamma_zero_and_less_above() -> None:
    logits, target = torch.randn(6, 3), torch.eye(3).repeat(2, 1)
    weight = torch.rand(6)
    torch.testing.assert_close(soft_focal_loss(logits, target, weight, 0), soft_cross_entropy(logits, target, weight))
    assert float(soft_focal_loss(logits, target)) < float(soft_cross_entropy(logits, target))
