"""Checkpoints of small random networks, and the bundle that is made of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from export.__main__ import main
from service.model.bundle import GRAPHS
from training import checkpoint
from training.config import TrainingConfig
from training.models.average import Average
from training.models.own.networks import Networks
from training.presets import PRESETS


def small(preset: str) -> TrainingConfig:
    """A preset with hardly any channels."""
    config = PRESETS[preset]
    before_fusion = 2 if config.generator.conditioning == "concat" else 1
    return dataclasses.replace(
        config,
        audio=dataclasses.replace(config.audio, clip_seconds=1.0, encoder_width=4, embedding_dim=8),
        generator=dataclasses.replace(config.generator, width=4, blocks=2, encoder_blocks=before_fusion),
        discriminator=dataclasses.replace(config.discriminator, width=4),
        losses=dataclasses.replace(config.losses, projector_width=8),
    )


def write_checkpoint(path: Path, config: TrainingConfig) -> Path:
    """Networks that do something: random weights, among them the last layer's, which starts near zero."""
    torch.manual_seed(0)
    networks = Networks(config)
    nn.init.normal_(networks.generator.decoder.head.weight, std=0.1)
    for module in networks.audio_encoder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    average = Average(networks, 100.0)
    with torch.no_grad():  # the weights themselves are elsewhere by now
        for parameter in networks.parameters():
            parameter.mul_(1.5)
    values = {
        "config": checkpoint.config_to_dict(config),
        "images_seen": 1234,
        "networks": networks.state_dict(),
        "ema": average.state_dict(),
    }
    checkpoint.save(path, values)
    return path


@pytest.fixture(scope="session")
def run_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt", small("smoke"))


@pytest.fixture(scope="session")
def bundle(run_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that checkpoint, by the command, with the slim checkpoint in it. Not to be changed."""
    directory = tmp_path_factory.mktemp("models") / "small"
    assert main([str(run_checkpoint), str(directory), "--version", "1.2.3", "--with-checkpoint"]) == 0
    return directory


@pytest.fixture(scope="session")
def models(bundle: Path) -> dict[str, onnx.ModelProto]:
    """The graphs of that bundle."""
    return {name: onnx.load(bundle / name) for name in GRAPHS}


@pytest.fixture
def exported_before(models: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that torch.onnx needs: the command takes the graphs that it made of this checkpoint before."""
    monkeypatch.setattr("export.onnx.to_onnx", lambda _graphs: models)
