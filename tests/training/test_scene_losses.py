"""Losses between batches, and those that keep the structure."""

import pytest
import torch

from training.losses.correspondence import cell_samples, corresponding_cells
from training.losses.distribution import Correspondence, opponent_colors, sliced_wasserstein
from training.losses.structure import gradient_loss, self_similarity_loss
from training.models.cell_descriptor import CellDescriptor
from training.models.projected_discriminator import ProjectedDiscriminator


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halves(images: int) -> torch.Tensor:
    """Descriptors whose upper cells are sky (1) and whose lower ones are ground (-1)."""
    return torch.tensor([1.0, -1.0])[None, None, :, None].expand(images, 1, 2, 2)


def test_equal_distributions_are_nearer_than_shifted_ones() -> None:
    first, second = noise(1, 4, 6, 16, 16), noise(2, 8, 6, 16, 16)
    correspondence = Correspondence.of(0.01 * noise(3, 4, 2, 2, 2), 0.01 * noise(4, 8, 2, 2, 2), rng())
    near = sliced_wasserstein(first, second, correspondence, rng())
    far = sliced_wasserstein(first + 1.5, second, correspondence, rng())
    assert near < 0.15
    assert far > 3 * near


def test_the_pooled_distance_does_not_care_which_image_has_which_feature() -> None:
    real = torch.cat([torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)]) + 0.01 * noise(3, 8, 3, 8, 8)
    made = torch.cat([torch.ones(8, 3, 8, 8), torch.zeros(8, 3, 8, 8)]) + 0.01 * noise(4, 16, 3, 8, 8)
    middle = torch.full((16, 3, 8, 8), 0.5)
    descriptors = noise(5, 8, 2, 2, 2)
    correspondence = Correspondence(
        torch.cat([descriptors, descriptors]), descriptors, torch.randint(32, (64,), generator=rng())
    )
    assert sliced_wasserstein(made, real, correspondence, rng()) < 0.6 * sliced_wasserstein(
        middle, real, correspondence, rng()
    )


def test_a_sky_is_compared_with_skies() -> None:
    upright = torch.zeros(4, 2, 16, 16)
    upright[:, :, :8] = 1.0
    flipped = upright.flip(2)
    correspondence = Correspondence.of(halves(4), halves(4), rng())
    same = sliced_wasserstein(upright, upright + 0.01 * noise(5, 4, 2, 16, 16), correspondence, rng())
    assert sliced_wasserstein(flipped, upright, correspondence, rng()) > 3 * same


def test_an_image_of_sky_alone_is_not_asked_for_ground() -> None:
    """Green ground in the photographs pulls at no image that shows none."""
    photographs = torch.zeros(4, 3, 32, 32)
    photographs[:, :, 16:] = 1.0
    sky = Correspondence.of(torch.ones(2, 1, 2, 2), halves(4), rng())
    assert sliced_wasserstein(torch.zeros(2, 3, 32, 32), photographs, sky, rng(), normalize=False) < 1e-6
    assert sliced_wasserstein(torch.ones(2, 3, 32, 32), photographs, sky, rng(), normalize=False) > 0.1


def test_cells_correspond_by_their_descriptors() -> None:
    cells = corresponding_cells(halves(1), torch.cat([halves(2), -halves(1)]), rng())
    theirs = torch.cat([halves(2), -halves(1)]).permute(0, 2, 3, 1).flatten()
    assert torch.equal(theirs[cells], halves(1).flatten())


@pytest.mark.parametrize("each", [1, 5])
def test_samples_lie_in_their_cells(each: int) -> None:
    rows = torch.arange(8.0)[None, None, :, None].expand(3, 1, 8, 6)
    columns = torch.arange(6.0)[None, None, None].expand(3, 1, 8, 6)
    image = torch.arange(3.0)[:, None, None, None].expand(3, 1, 8, 6)
    cells = torch.tensor([0, 7, 23])  # of three maps of 4 x 2 cells
    drawn = cell_samples(torch.cat([image, rows, columns], dim=1), cells, 4, 2, each, rng()).view(3, each, 3)
    assert drawn[..., 0].tolist() == [[0] * each, [0] * each, [2] * each]
    assert ((drawn[..., 1] // 2) == torch.tensor([0, 3, 3])[:, None]).all()
    assert ((drawn[..., 2] // 3) == torch.tensor([0, 1, 1])[:, None]).all()


def test_a_descriptor_knows_what_is_there_and_neither_its_color_nor_its_light() -> None:
    images = [0.5 * noise(seed, 4, 3, 64, 64).tanh() for seed in range(4)]

    def features(batch: torch.Tensor) -> list[torch.Tensor]:
        fine = torch.nn.functional.avg_pool2d(batch, 16).repeat(1, 6, 1, 1)
        fine = fine * torch.arange(1.0, 19)[None, :, None, None]
        return [fine, torch.nn.functional.avg_pool2d(fine, 2)]

    describe = CellDescriptor(features, images, rng())
    whole = torch.tensor([[0.0, 1.0]]).repeat(4, 1)
    plain = describe(images[0], whole)
    assert plain.shape == (4, 13, 4, 4)
    assert torch.allclose(describe(images[0][:, [2, 0, 1]], whole), plain, atol=1e-4)  # other colors
    assert torch.allclose(describe(images[0] - 0.2, whole), plain, atol=1e-4)  # darker
    hazy = describe(0.5 * images[0], whole)
    assert (hazy - plain)[:, :-1].norm() < 0.4 * plain[:, :-1].norm()
    assert (describe(images[1], whole) - plain)[:, :-1].norm() > 0.8 * plain[:, :-1].norm()
    heights = plain[0, -1, :, 0]
    assert (heights.diff() > 0.1).all()
    assert torch.equal(plain[:, -1], heights[None, :, None].expand(4, 4, 4))
    lower_half = describe(images[0], torch.tensor([[0.5, 1.0]]).repeat(4, 1))
    assert torch.equal(lower_half[:, :-1], plain[:, :-1])
    assert lower_half[0, -1, :, 0].mean() == pytest.approx(float(plain[0, -1, 2:, 0].mean()), abs=1e-5)


def test_opponent_colors_tell_gray_from_green() -> None:
    green = torch.tensor([-1.0, 1.0, -1.0])[None, :, None, None].expand(1, 3, 4, 4)
    lightness, red_green, blue_yellow = opponent_colors(green)[0, :, 0, 0].tolist()
    assert lightness == pytest.approx(-2 / 3)
    assert (red_green, blue_yellow) == (-8.0, -4.0)
    assert opponent_colors(torch.full((1, 3, 4, 4), 0.3))[0, 1:].abs().max() == 0


def test_a_new_color_keeps_the_gradients_and_a_shuffle_does_not() -> None:
    image = noise(6, 2, 3, 32, 32).tanh()
    assert gradient_loss(0.5 * image + 0.3, image) < 1e-3
    assert gradient_loss(image.flip(3), image) > 0.1


def test_self_similarity_ignores_scale_and_sees_structure() -> None:
    features = noise(7, 2, 8, 8, 8)
    assert self_similarity_loss(2 * features, features, rng()) < 1e-5
    assert self_similarity_loss(features.flip(2), features, rng()) > 0.1


def test_a_projected_discriminator_learns_its_heads_alone_and_is_told_the_direction_and_what_is_there() -> None:
    torch.manual_seed(0)
    judge = ProjectedDiscriminator((4, 6), 8, 3, width=8)
    maps = [noise(8, 2, 4, 16, 16), 100 * noise(9, 2, 6, 8, 8)]
    judge.calibrate(maps)
    assert torch.allclose(judge.scale[1] * 100, judge.scale[0], rtol=0.1)
    there, elsewhere = noise(10, 2, 3, 4, 4), noise(11, 2, 3, 4, 4)
    scores = judge(maps, torch.eye(8)[:2], there)
    assert [s.shape for s in scores] == [(2, 64), (2, 256)]
    assert not torch.allclose(scores[0], judge(maps, torch.eye(8)[2:4], there)[0])
    assert torch.equal(scores[0], judge(maps, torch.eye(8)[:2], elsewhere)[0])  # begins at zero
    torch.stack([s.mean() for s in scores]).sum().backward()
    assert all(p.grad is None for p in (*judge.enter.parameters(), *judge.down.parameters()))
    assert all(p.grad is not None for p in judge.learning())
    torch.nn.init.ones_(judge.describe[1].weight)
    assert not torch.allclose(scores[0], judge(maps, torch.eye(8)[:2], elsewhere)[0])
