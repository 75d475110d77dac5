"""The norm that no place of a picture can move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.training.test_paper import noise
from training.models.own.running_norm import EPSILON, MOMENTUM, RunningNorm, calibrate, running_norms, take_statistics


def taught(*maps: Tensor) -> RunningNorm:
    norm = RunningNorm(maps[0].shape[1])
    for x in maps:
        norm(x)
        take_statistics([norm])
    return norm.eval()


def test_it_learns_mean_and_spread_of_what_passes() -> None:
    maps = [3 + 2 * noise(4, 2, 16, 16) for _ in range(8)]
    together = torch.cat(maps)
    normed = taught(*maps)(together)
    assert normed.mean(dim=(0, 2, 3)) == pytest.approx([0, 0], abs=1e-4)
    assert normed.std(dim=(0, 2, 3)) == pytest.approx([1, 1], abs=0.02)


def test_what_was_long_ago_is_forgotten() -> None:
    norm = RunningNorm(1)
    for level in (0.0, 1.0):
        for _ in range(round(5 / MOMENTUM)):
            norm(torch.full((1, 1, 2, 2), level))
            take_statistics([norm])
    assert norm.mean.item() == pytest.approx(1.0, abs=0.02)


def test_a_spike_dims_nothing_else() -> None:
    flat = noise(1, 1, 16, 16)
    norm, spiked = taught(flat), flat.clone()
    spiked[..., 5, 7] = 1e3
    elsewhere = torch.ones(16, 16, dtype=torch.bool)
    elsewhere[5, 7] = False
    assert torch.equal(norm(spiked)[..., elsewhere], norm(flat)[..., elsewhere])


def test_a_part_is_normed_as_in_the_whole() -> None:
    whole = noise(1, 3, 16, 16)
    norm = taught(noise(2, 3, 8, 8))
    assert torch.equal(norm(whole)[..., :8, :8], norm(whole[..., :8, :8]))


def test_slices_of_a_batch_give_what_the_batch_gives() -> None:
    batch = torch.cat([noise(2, 3, 8, 8), 2 + 3 * noise(2, 3, 8, 8)])
    whole, sliced = taught(batch), RunningNorm(3)
    for part in batch.split(2):
        sliced(part)
    take_statistics([sliced])
    assert torch.allclose(whole.mean, sliced.mean, atol=1e-6)
    assert torch.allclose(whole.variance, sliced.variance, rtol=1e-5)


def test_only_what_is_learned_from_counts() -> None:
    norm = taught(noise(2, 3, 8, 8))
    before = norm.mean.clone()
    x = noise(1, 3, 8, 8) + 5
    evaluated = norm(x)
    with torch.no_grad():
        assert torch.equal(norm.train()(x), evaluated)
    take_statistics([norm])
    assert torch.equal(norm.mean, before)
    assert torch.equal(norm(x), evaluated)  # the statistics stand still within a step
    take_statistics([norm])
    assert not torch.equal(norm.mean, before)
    again = (x - norm.mean[:, None, None]) / (norm.variance + EPSILON).sqrt()[:, None, None]
    assert torch.allclose(norm(x), again, atol=1e-5)


def test_norms_of_many_layers_settle_one_after_the_other() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(*(part for _ in range(8) for part in (nn.Conv2d(4, 4, 3), RunningNorm(4))))
    norms = running_norms(layers)
    calibrate(norms, lambda: layers(noise(2, 4, 64, 64)))
    assert all(norm.steps == 1 for norm in norms)
    assert layers(2 * noise(2, 4, 64, 64)).std().item() == pytest.approx(2, rel=0.2)
    layers(noise(2, 4, 64, 64))
    assert all(norm.steps == 1 for norm in norms)  # nothing is taken by itself any more
