"""The guided filter keeps what follows the picture's edges, and levels what does not."""

from __future__ import annotations

import pytest
import torch

from training.models.own.guided_filter import guided_filter


def step_picture(size: int = 64) -> torch.Tensor:
    """[1, 1, size, size]: dark on the left, bright on the right, the edge in the middle of a cell."""
    guide = torch.full((1, 1, size, size), -0.6)
    guide[..., size // 2 + 2 :] = 0.6
    return guide


def test_a_level_map_stays_level() -> None:
    guide = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(guided_filter(torch.full((2, 3, 32, 48), 2.5), guide), torch.tensor(2.5), atol=1e-5)


def test_texture_of_its_own_is_levelled_where_the_picture_is_plain() -> None:
    wool = torch.randn(1, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    levelled = guided_filter(wool, torch.full((1, 1, 64, 64), -0.7))
    assert levelled.std() < 0.1 * wool.std()
    assert levelled.mean().item() == pytest.approx(wool.mean().item(), abs=0.01)


def test_what_follows_an_edge_stays_sharp() -> None:
    guide = step_picture()
    snow = 3.0 * (guide < 0).float()  # on the dark side alone
    kept = guided_filter(snow, guide)
    edge = guide.shape[-1] // 2 + 2
    assert (kept[..., edge - 1] - kept[..., edge]).min() > 2.5
    assert (kept - snow).abs().max() < 0.3


def test_an_edge_that_the_picture_lacks_is_smeared() -> None:
    snow = 3.0 * (step_picture() < 0).float()
    smeared = guided_filter(snow, torch.zeros(1, 1, 64, 64))
    assert smeared.diff(dim=-1).abs().max() < 0.5


def test_each_map_is_filtered_by_itself_and_each_picture_by_its_own_guide() -> None:
    rng = torch.Generator().manual_seed(0)
    maps, guide = torch.randn(2, 3, 32, 32, generator=rng), torch.rand(2, 1, 32, 32, generator=rng)
    together = guided_filter(maps, guide)
    for picture in range(2):
        for channel in range(3):
            alone = guided_filter(maps[picture : picture + 1, channel : channel + 1], guide[picture : picture + 1])
            assert torch.allclose(alone[0, 0], together[picture, channel], atol=1e-5)


def test_gradients_are_finite_in_a_plain_picture() -> None:
    maps = torch.zeros(1, 2, 16, 16, requires_grad=True)
    guided_filter(maps, torch.zeros(1, 1, 16, 16)).square().sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
