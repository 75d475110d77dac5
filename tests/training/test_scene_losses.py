"""Losses between batches, and those that keep the structure."""

import torch

from training.losses.distribution import sliced_wasserstein, tone_loss
from training.losses.structure import gradient_loss, self_similarity_loss
from training.models.projected_discriminator import ProjectedDiscriminator


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_distributions_are_nearer_than_shifted_ones() -> None:
    first, second = noise(1, 4, 6, 16, 16), noise(2, 8, 6, 16, 16)
    near = sliced_wasserstein(first, second, rng())
    far = sliced_wasserstein(first + 1.5, second, rng())
    assert near < 0.15
    assert far > 3 * near


def test_the_pooled_distance_does_not_care_which_image_has_which_feature() -> None:
    real = torch.cat([torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)]) + 0.01 * noise(3, 8, 3, 8, 8)
    made = torch.cat([torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)]) + 0.01 * noise(4, 4, 3, 8, 8)
    middle = torch.full((4, 3, 8, 8), 0.5)
    assert sliced_wasserstein(made, real, rng()) < 0.5 * sliced_wasserstein(middle, real, rng())


def test_a_sky_is_compared_with_skies() -> None:
    upright = torch.zeros(4, 2, 16, 16)
    upright[:, :, :8] = 1.0
    flipped = upright.flip(2)
    same = sliced_wasserstein(upright, upright + 0.01 * noise(5, 4, 2, 16, 16), rng())
    assert sliced_wasserstein(flipped, upright, rng()) > 3 * same


def test_tones_are_pooled_over_the_batch_and_told_apart_by_band() -> None:
    dark_below = torch.ones(2, 3, 16, 16)
    dark_below[:, :, 8:] = -1.0
    assert tone_loss(dark_below, dark_below.flip(0)) == 0
    assert tone_loss(dark_below, dark_below.flip(2)) > 0.5


def test_a_new_color_keeps_the_gradients_and_a_shuffle_does_not() -> None:
    image = noise(6, 2, 3, 32, 32).tanh()
    assert gradient_loss(0.5 * image + 0.3, image) < 1e-3
    assert gradient_loss(image.flip(3), image) > 0.1


def test_self_similarity_ignores_scale_and_sees_structure() -> None:
    features = noise(7, 2, 8, 8, 8)
    assert self_similarity_loss(2 * features, features, rng()) < 1e-5
    assert self_similarity_loss(features.flip(2), features, rng()) > 0.1


def test_a_projected_discriminator_learns_its_heads_alone_and_hears_the_direction() -> None:
    torch.manual_seed(0)
    judge = ProjectedDiscriminator((4, 6), 8, width=8)
    maps = [noise(8, 2, 4, 16, 16), 100 * noise(9, 2, 6, 8, 8)]
    judge.calibrate(maps)
    assert torch.allclose(judge.scale[1] * 100, judge.scale[0], rtol=0.1)
    scores = judge(maps, torch.eye(8)[:2])
    assert [s.shape for s in scores] == [(2, 64), (2, 256)]
    assert not torch.allclose(scores[0], judge(maps, torch.eye(8)[2:4])[0])
    torch.stack([s.mean() for s in scores]).sum().backward()
    assert all(p.grad is None for p in (*judge.enter.parameters(), *judge.down.parameters()))
    assert all(p.grad is not None for p in judge.learning())
