"""Checkpoints of small random networks, and the bundle that is made of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from filelock import FileLock
from torch import nn

import export.onnx
from export.__main__ import main
from service.model.bundle import GRAPHS
from tests.training.steps import shrunken
from training import checkpoint
from training.config import TrainingConfig, to_dict
from training.kinds import kind_of
from training.models.average import Average


def small(preset: str) -> Any:
    """A preset with hardly any channels."""
    return shrunken(preset)


def write_checkpoint(path: Path, config: TrainingConfig) -> Path:
    """Networks that do something: random weights, among them the last layer's, which starts near zero."""
    torch.manual_seed(0)
    networks = kind_of(config).networks(config)
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
        "config": to_dict(config),
        "images_seen": 1234,
        "networks": networks.state_dict(),
        "ema": average.state_dict(),
    }
    checkpoint.save(path, values)
    return path


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of all processes that run tests, for what takes each of them half a minute."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "made-once"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def run_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt", small("smoke-scene"))


@pytest.fixture(scope="session")
def bundle(run_checkpoint: Path, made_once: Path) -> Path:
    """The bundle of that checkpoint, by the command, with the slim checkpoint in it. Not to be changed."""
    directory = made_once / "small"
    with FileLock(made_once / "small.lock"):  # the checkpoints of all processes are equal
        if not directory.exists():
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


@pytest.fixture
def generator_exported_before(models: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, of the generator's graphs alone."""
    export_one = export.onnx._export

    def export_audio(module: nn.Module, inputs: Any, outputs: list[str], dynamic: Any) -> onnx.ModelProto:
        before = next(model for model in models.values() if [one.name for one in model.graph.output] == outputs)
        return export_one(module, inputs, outputs, dynamic) if outputs == ["embedding"] else before

    monkeypatch.setattr("export.onnx._export", export_audio)
