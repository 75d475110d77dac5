"""Fréchet distances have the values that known Gaussians must give, and sees images as Clean-FID does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import Tensor, nn

from training.checkpoint import CheckpointError
from training.evaluation.metrics.frechet import (
    EfficientNetFeatures,
    Gaussian,
    InceptionFeatures,
    clean_resized,
    frechet_distance,
    frechet_estimate,
    sample_warning,
)
from training.evaluation.metrics.torchscript import torchscript_allowed
from training.models.backbone import Backbone

COVARIANCE = np.array([[2.0, 0.9, 0.1], [0.9, 1.0, -0.3], [0.1, -0.3, 0.5]])


def samples(mean: list[float], covariance: NDArray[np.float64], count: int = 60, seed: int = 0) -> NDArray[np.float64]:
    """[count, D] whose own mean and unbiased covariance are exactly these."""
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean)))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + np.array(mean)


def test_gaussians_with_independent_axes_are_as_far_as_their_means_and_deviations() -> None:
    first = Gaussian.of(samples([0, 1, 2], np.diag([1.0, 4.0, 9.0])))
    second = Gaussian.of(samples([3, 1, 6], np.diag([4.0, 4.0, 1.0]), seed=1))
    # means: 9 + 0 + 16; deviations: (1 - 2)^2 + 0 + (3 - 1)^2
    assert frechet_distance(first, second) == pytest.approx(25 + 5)


def test_correlated_gaussians_are_as_far_as_the_formula_says() -> None:
    other = np.array([[1.0, -0.4, 0.0], [-0.4, 2.0, 0.5], [0.0, 0.5, 1.5]])
    expected = np.trace(COVARIANCE + other - 2 * sqrtm(COVARIANCE @ other).real) + 4
    first, second = Gaussian.of(samples([0, 0, 0], COVARIANCE)), Gaussian.of(samples([0, 2, 0], other, 90, 1))
    assert frechet_distance(first, second) == pytest.approx(expected)


@pytest.mark.parametrize("count", [5, 40, 500])
def test_a_set_is_at_no_distance_from_itself(count: int) -> None:
    features = np.random.default_rng(0).standard_normal((count, 40)) * 7 + 3
    assert frechet_distance(Gaussian.of(features), Gaussian.of(features)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("count", [5, 40, 500])
def test_moving_a_set_costs_the_square_of_the_way_however_few_samples(count: int) -> None:
    features = np.random.default_rng(0).standard_normal((count, 40))
    assert frechet_distance(Gaussian.of(features), Gaussian.of(features + 0.5)) == pytest.approx(40 * 0.25)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two pictures at least"):
        Gaussian.of(np.ones((1, 4)))


def test_the_interval_is_by_source() -> None:
    features = samples([0, 0, 0], COVARIANCE, count=80)
    reference = Gaussian.of(samples([1, 0, 0], COVARIANCE, seed=1))
    wide = frechet_estimate(features, [f"{i}" for i in range(80)], reference)
    assert wide.mean == pytest.approx(1)
    assert wide.low < 1 < wide.high
    one = frechet_estimate(features, ["walk"] * 80, reference)
    assert (one.low, one.high) == pytest.approx((1, 1))


def test_few_images_are_reported() -> None:
    said = sample_warning("FID", 48, 3000, 2048)
    assert said is not None
    assert "48 pictures" in said
    assert sample_warning("FID", 5000, 3000, 2048) is None


def test_a_picture_of_the_right_size_is_only_brought_to_0_to_255() -> None:
    levels = torch.arange(256).repeat(3 * 299 * 299 // 256 + 1)[: 3 * 299 * 299].view(1, 3, 299, 299)
    assert torch.equal(clean_resized(levels / 127.5 - 1), levels.float())


def test_resizing_averages_fine_detail_away_and_does_not_round() -> None:
    stripes = torch.zeros(1, 3, 1196, 1196)
    stripes[:, :, :, ::4] = 1.0  # every fourth column white, the others 128: 159.75 on average
    resized = clean_resized(stripes)
    assert resized.shape == (1, 3, 299, 299)
    assert resized[..., 20:-20, 20:-20].mean().item() == pytest.approx(159.75, abs=0.1)
    assert resized[..., 20:-20, 20:-20].std().item() < 3  # picked pixels would give 255 or 128
    assert not torch.equal(resized, resized.round())


class Layers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 1)


class StandIn(nn.Module):
    """Laid out like Clean-FID's file: what makes features is `layers`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_inception_is_given_what_clean_fid_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "inception.pt"
    with torchscript_allowed():
        torch.jit.script(StandIn()).save(str(path))
    flat = torch.tensor([-1.0, 1.0, 0.5]).view(1, 3, 1, 1).expand(2, 3, 50, 70)
    # 0, 255 and 191 of 255, less 128, over 128
    expected = torch.tensor([[-1.0, 127 / 128, 63 / 128]]).expand(2, 3)
    assert torch.allclose(InceptionFeatures(path)(flat), expected, atol=1e-4)


def test_a_file_that_is_no_inception_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="inception-2015-12-05"):
        InceptionFeatures(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="there is no"):
        InceptionFeatures(tmp_path / "missing.pt")


def test_efficientnet_tells_noise_from_flat_images() -> None:
    features = EfficientNetFeatures(Backbone())
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(6, 3, 64, 64, generator=rng) * 2 - 1
    flat = (torch.rand(6, 3, 1, 1, generator=rng) * 2 - 1).expand(6, 3, 64, 64)
    first, second, other = (Gaussian.of(features(p).numpy()) for p in (noise[:3], noise[3:], flat))
    assert features(noise).shape == (6, 320)
    assert frechet_distance(first, second) < frechet_distance(first, other) / 2
