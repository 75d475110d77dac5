"""The losses have the values that their definitions give."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from training.losses.adversarial import lsgan
from training.losses.contrastive import contrast, mixed_targets
from training.losses.patch_nce import multiscale_patch_nce, patch_nce


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_patches_that_are_all_alike_cost_the_logarithm_of_their_number() -> None:
    alike = torch.ones(2, 16, 4) / 2
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(math.log(16), abs=1e-5)


def test_orthogonal_patches_cost_nearly_nothing() -> None:
    patches = torch.eye(8).unsqueeze(0)
    expected = math.log(1 + 7 * math.exp(-1 / 0.07))
    assert patch_nce(patches, patches, 0.07).item() == pytest.approx(expected, abs=1e-6)


def test_swapped_patches_cost_much() -> None:
    patches = torch.eye(8).unsqueeze(0)
    assert patch_nce(patches, patches.roll(1, dims=1), 0.07).item() == pytest.approx(1 / 0.07, abs=1e-3)


def test_patches_are_compared_within_their_own_image() -> None:
    query, key = unit(2, 16, 8), unit(2, 16, 8).flip(1)
    apart = torch.stack([patch_nce(query[i : i + 1], key[i : i + 1], 0.1) for i in range(2)]).mean()
    assert patch_nce(query, key, 0.1).item() == pytest.approx(apart.item(), abs=1e-5)


def test_no_gradient_flows_into_the_key() -> None:
    query, key = unit(1, 4, 8).requires_grad_(), unit(1, 4, 8).flip(1).requires_grad_()
    patch_nce(query, key, 0.07).backward()
    assert query.grad is not None
    assert key.grad is None


def test_patches_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        patch_nce(unit(1, 4, 8), unit(1, 5, 8), 0.07)


def test_the_scales_are_averaged() -> None:
    easy, hard = torch.eye(8).unsqueeze(0), torch.ones(1, 8, 8) / 8**0.5
    both = multiscale_patch_nce([easy, hard], [easy, hard], 0.07)
    assert both.item() == pytest.approx(math.log(8) / 2, abs=1e-4)


@pytest.mark.parametrize(("score", "real", "loss"), [(1.0, True, 0.0), (0.0, True, 1.0), (0.5, False, 0.25)])
def test_least_squares_against_one_for_real_and_zero_for_fake(score: float, real: bool, loss: float) -> None:
    assert lsgan(torch.full((2, 1, 3, 3), score), real).item() == pytest.approx(loss)


def test_several_score_maps_are_averaged_whatever_their_size() -> None:
    assert lsgan([torch.ones(2, 1, 8, 8), torch.zeros(2, 1, 2, 2)], True).item() == pytest.approx(0.5)


def test_images_of_weight_zero_do_not_count() -> None:
    scores = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    assert lsgan(scores, False, torch.tensor([1.0, 0.0])).item() == pytest.approx(1.0)
    assert lsgan(scores, False, torch.zeros(2)).item() == 0.0


def test_contrast_is_least_for_pairs_that_agree() -> None:
    directions = torch.eye(4)
    right = contrast(directions, directions, torch.eye(4), 0.1)
    wrong = contrast(directions.roll(1, dims=0), directions, torch.eye(4), 0.1)
    assert right.item() < 1e-3
    assert wrong.item() > 9


def test_targets_of_a_mix_share_its_weights() -> None:
    targets = mixed_targets(torch.tensor([0.75, 1.0, 0.5]), torch.tensor([1, 2, 2]))
    assert targets.tolist() == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
