"""The colour transfer has the target's statistics, and findings are by source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.evaluation.metrics.controls import colour_transfer, from_lab, to_lab
from training.evaluation.metrics.findings import Findings, table
from training.evaluation.metrics.frechet import Gaussian


def noise_image(low: float, high: float, seed: int) -> Tensor:
    """[3, 40, 48]; narrow bounds, so that no pixel is cut off on its way."""
    return torch.empty(3, 40, 48).uniform_(low, high, generator=torch.Generator().manual_seed(seed))


def test_the_way_to_lab_and_back_changes_nothing() -> None:
    image = noise_image(-0.9, 0.9, 0)
    assert torch.allclose(from_lab(to_lab(image)), image, atol=1e-5)


def test_a_grey_image_has_almost_no_colour_in_lab() -> None:
    lab = to_lab(torch.full((3, 4, 4), 0.2))
    assert lab[1:].abs().max().item() < 0.02


def test_the_result_has_the_targets_means_and_deviations() -> None:
    source, target = noise_image(-0.3, 0.1, 1), noise_image(-0.2, 0.3, 2) * torch.tensor([1.0, 0.6, 0.3])[:, None, None]
    given, wanted = to_lab(colour_transfer(source, target)), to_lab(target)
    assert torch.allclose(given.mean(dim=(1, 2)), wanted.mean(dim=(1, 2)), atol=1e-4)
    assert torch.allclose(given.std(dim=(1, 2)), wanted.std(dim=(1, 2)), atol=1e-4)


def test_an_image_given_its_own_colours_stays() -> None:
    image = noise_image(-0.8, 0.8, 3)
    assert torch.allclose(colour_transfer(image, image), image, atol=1e-4)


def test_a_black_image_can_be_coloured() -> None:
    assert torch.isfinite(colour_transfer(torch.full((3, 8, 8), -1.0), noise_image(-1, 1, 4))).all()


def test_means_are_over_sources_not_over_images() -> None:
    findings = Findings()
    for value, source in ((0.0, "walk"), (0.0, "walk"), (0.0, "walk"), (1.0, "drive")):
        findings.note("right", value, source)
    assert findings.estimates({})["right"].mean == 0.5


def test_features_are_compared_with_their_own_reference() -> None:
    findings = Findings()
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for number, source in enumerate(("a", "b", "c")):
        findings.note_features("net", features[2 * number : 2 * number + 2], source)
    reference = Gaussian.of(features.numpy().astype(np.float64) + 1)
    estimate = findings.estimates({"net": reference})["net"]
    assert estimate.mean == pytest.approx(4, rel=1e-4)
    assert estimate.low <= estimate.mean <= estimate.high


def test_a_measure_that_a_method_lacks_leaves_its_cell_empty() -> None:
    first, second = Findings(), Findings()
    first.note("a", 1.0, "x")
    second.note("b", 2.0, "x")
    lines = table({"one": first.estimates({}), "two": second.estimates({})}).splitlines()
    assert lines == ["| measure | one | two |", "|---|---|---|", "| a | 1 [1, 1] |  |", "| b |  | 2 [2, 2] |"]
