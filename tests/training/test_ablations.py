"""The paper's ablations train and resume in the same loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.steps import shrunken
from training import checkpoint
from training.config import TrainingConfig
from training.data.dataset import CoOccurrences
from training.losses.cycle import cycle_losses
from training.presets import PRESETS
from training.start import Start
from training.trainer import train

ABLATIONS = ("no-identity", "late-fusion", "cycle")


def small(name: str, *settings: str) -> TrainingConfig:
    """Two steps of two images."""
    return shrunken(name, "batch=2", "images=4", "sample_images=100", *settings)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_trains_and_resumes_from_its_checkpoint(name: str, index: Path, tmp_path: Path) -> None:
    config = small(name)
    first = checkpoint.load(train(config, index, tmp_path))
    assert checkpoint.config_of(first) == config
    second = checkpoint.load(train(small(name, "images=6"), index, tmp_path, Start(force=True)))
    assert (first["images_seen"], second["images_seen"]) == (4, 6)
    weights = "generator.decoder.head.weight"
    assert not torch.equal(first["networks"][weights], second["networks"][weights])


def test_the_cycle_draws_every_source_with_audio_of_its_own(index: Path) -> None:
    config = small("cycle")
    dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed)
    item = dataset[0, 32]
    assert item["source_waveform"].shape == item["waveform"].shape
    assert not torch.equal(item["source_waveform"], item["waveform"])


def test_the_cycle_costs_nothing_where_the_source_is_found_again() -> None:
    weights = PRESETS["cycle"].losses  # type: ignore[attr-defined]
    source = torch.rand(1, 3, 32, 32) * 0.5
    found = cycle_losses(weights.cycle, weights.identity_l1, source, source, source, source + 0.1)
    assert found["cycle"].item() == pytest.approx(0, abs=1e-6)
    assert found["identity_l1"].item() == pytest.approx(0.1 * weights.identity_l1, rel=1e-4)
