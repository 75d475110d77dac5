"""The metrics have the values that known inputs must give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.data.index import read_index
from training.evaluation.metrics.pictures import distance_255, gradient_correlation, tint_255
from training.evaluation.metrics.probe import probe_accuracy, train_probe
from training.evaluation.metrics.statistics import bootstrap, rises_with


def noise_image(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_distance_counts_in_eight_bit_steps() -> None:
    brighter = noise_image() + torch.tensor([2.0, 20.0]).view(2, 1, 1, 1) / 255
    assert distance_255(brighter, noise_image()).tolist() == pytest.approx([1.0, 10.0], rel=1e-4)


def test_gradients_of_the_same_edges_correlate_whatever_the_brightness() -> None:
    assert gradient_correlation(0.3 * noise_image() + 0.2, noise_image()).tolist() == pytest.approx(
        [1.0, 1.0], abs=1e-5
    )


def test_gradients_of_a_negative_correlate_inversely() -> None:
    assert gradient_correlation(-noise_image(), noise_image()).tolist() == pytest.approx([-1.0, -1.0], abs=1e-5)


def test_gradients_of_unrelated_images_do_not_correlate() -> None:
    assert gradient_correlation(noise_image(1), noise_image(2)).abs().max().item() < 0.15


def test_a_flat_image_has_a_finite_correlation() -> None:
    assert gradient_correlation(torch.zeros(1, 3, 8, 8), noise_image()[:1, :, :8, :8]).item() == 0


def test_brightness_is_no_tint() -> None:
    assert tint_255(noise_image() + 0.2, noise_image()).max().item() == pytest.approx(0, abs=1e-4)


def test_tint_is_the_mean_departure_of_the_channels() -> None:
    reddish = noise_image() + torch.tensor([6.0, 0.0, 0.0]).view(3, 1, 1) / 127.5
    assert tint_255(reddish, noise_image()).tolist() == pytest.approx([8 / 3, 8 / 3], rel=1e-3)


def test_bootstrap_gives_the_mean_of_the_groups() -> None:
    estimate = bootstrap([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"])
    assert estimate.mean == 0.5
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_bootstrap_of_one_value_has_no_width() -> None:
    estimate = bootstrap([3.0, 3.0, 3.0], ["a", "b", "c"])
    assert (estimate.mean, estimate.low, estimate.high) == (3.0, 3.0, 3.0)
    assert str(estimate) == "3 [3, 3]"


def test_bootstrap_interval_narrows_with_the_number_of_groups() -> None:
    few = bootstrap([0.0, 1.0] * 5, [str(i) for i in range(10)])
    many = bootstrap([0.0, 1.0] * 200, [str(i) for i in range(400)])
    assert many.high - many.low < (few.high - few.low) / 3
    # a mean of 400 fair coins: 0.5 give or take 1.96 * 0.5 / 20
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15)


def test_bootstrap_refuses_values_without_groups() -> None:
    with pytest.raises(ValueError, match="one group for each value"):
        bootstrap([1.0], [])


@pytest.mark.parametrize(
    ("values", "rises"),
    [
        ([1.0, 2.0, 3.0, 4.0], True),
        ([1.0, 3.0, 2.0, 4.0], False),  # rank correlation 0.8
        ([4.0, 3.0, 2.0, 1.0], False),
        ([2.0, 2.0, 2.0, 2.0], False),
    ],
)
def test_rising_is_told_by_rank(values: list[float], rises: bool) -> None:
    assert rises_with((-30.0, -20.0, -10.0, 0.0), values) is rises


def test_probe_learns_scenes_that_differ_in_colour(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.metrics.probe.SIZE", 32)
    scenes = ["rain", "snow", "summer"]
    probe = train_probe(read_index(index, "train"), scenes, epochs=40)
    assert probe_accuracy(probe, read_index(index, "test"), scenes) > 0.9
